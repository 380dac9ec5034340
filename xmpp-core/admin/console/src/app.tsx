import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type Me, onLost, post, Refused, whoAmI } from "./api.ts";
import { Changes } from "./pages/changes.tsx";
import { Fleet } from "./pages/fleet.tsx";
import { History } from "./pages/history.tsx";
import { Login } from "./pages/login.tsx";
import { Overview } from "./pages/overview.tsx";
import { Properties } from "./pages/properties.tsx";
import { Sessions } from "./pages/sessions.tsx";
import { Flame, Loading } from "./parts.tsx";
import { switchTheme } from "./theme.ts";
import { useAnswer } from "./use-answer.ts";
import { firstLanguage, type Language, LanguageContext, languages, useSpeech } from "./words.ts";

const pages = {
  overview: Overview,
  changes: Changes,
  sessions: Sessions,
  history: History,
  properties: Properties,
  fleet: Fleet,
} as const satisfies Record<string, ComponentType>;
type Page = keyof typeof pages;

/** The page that the address names; the skip link names none. */
function pageOfAddress(): Page | undefined {
  const named = location.hash.slice(1);
  return Object.hasOwn(pages, named) ? (named as Page) : undefined;
}

export function App() {
  const [language, chooseLanguage] = useState<Language>(firstLanguage);
  const [me, setMe] = useState<Me | "unknown" | undefined>("unknown");
  const [why, setWhy] = useState<Refused | undefined>();
  useEffect(() => {
    document.documentElement.lang = language;
    localStorage.setItem("language", language);
  }, [language]);
  useEffect(() => {
    onLost((refused) => {
      setWhy(refused);
      setMe(undefined);
    });
    whoAmI().then(setMe, (refused) => {
      setMe(undefined);
      if (refused instanceof Refused && refused.status !== 401) setWhy(refused);
    });
  }, []);
  const enter = (entered: Me): void => {
    setWhy(undefined);
    setMe(entered);
  };
  return (
    <LanguageContext.Provider value={language}>
      {me === "unknown" && <Loading />}
      {me === undefined && <Login why={why} onEnter={enter} tools={<Tools {...{ language, chooseLanguage }} />} />}
      {typeof me === "object" && (
        <Console me={me} onLeave={() => setMe(undefined)} tools={<Tools {...{ language, chooseLanguage }} />} />
      )}
    </LanguageContext.Provider>
  );
}

function Tools({ language, chooseLanguage }: { language: Language; chooseLanguage: (language: Language) => void }) {
  const { say } = useSpeech();
  return (
    <div class="tools">
      <select
        class="form-select form-select-sm"
        aria-label={say("chooseLanguage")}
        value={language}
        onChange={(event) => chooseLanguage(event.currentTarget.value as Language)}
      >
        {Object.entries(languages).map(([code, words]) => (
          <option key={code} value={code} lang={code}>
            {words.language}
          </option>
        ))}
      </select>
      <button
        type="button"
        class="btn btn-sm btn-icon"
        aria-label={say("theme")}
        title={say("theme")}
        onClick={switchTheme}
      >
        <svg class="tool-icon" viewBox="0 0 24 24" aria-hidden="true">
          <circle cx="12" cy="12" r="8" />
          <path d="M12 4a8 8 0 0 1 0 16z" />
        </svg>
      </button>
    </div>
  );
}

function Console({ me, onLeave, tools }: { me: Me; onLeave: () => void; tools: preact.ComponentChildren }) {
  const { say } = useSpeech();
  const [page, setPage] = useState<Page>(pageOfAddress() ?? "overview");
  const heading = useRef<HTMLHeadingElement>(null);
  const { answer: status } = useAnswer("/api/status", 5000);
  useEffect(() => {
    const follow = (): void => {
      const named = pageOfAddress();
      if (named !== undefined) setPage(named);
      heading.current?.focus();
    };
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    // On a narrow screen the row of pages scrolls.
    document.querySelector(`nav a[href="#${page}"]`)?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [page]);
  const domain = status?.server.domain ?? "";
  useEffect(() => {
    document.title = [say(page), domain, "Firekeeper"].filter(Boolean).join(" · ");
  });
  const logOut = (): void => {
    post("/api/logout").finally(onLeave);
  };
  const pending = status?.agent?.pending ?? 0;
  const Shown = pages[page];
  return (
    <div class="page">
      <a class="skip" href="#content">
        {say("skip")}
      </a>
      <header class="navbar d-print-none">
        <div class="container-xl">
          <div class="navbar-brand">
            <Flame />
            <span>{domain || "Firekeeper"}</span>
          </div>
          <div class="who">
            {tools}
            <span class="text-secondary who-name">{me.admin}</span>
            <button type="button" class="btn btn-sm" onClick={logOut}>
              {say("logOut")}
            </button>
          </div>
        </div>
      </header>
      <nav class="pages" aria-label={say("pages")}>
        <div class="container-xl">
          <ul>
            {(Object.keys(pages) as Page[]).map((each) => (
              <li key={each}>
                <a href={`#${each}`} aria-current={each === page ? "page" : undefined}>
                  {say(each)}
                  {each === "changes" && pending > 0 && <span class="badge pending-count ms-2">{pending}</span>}
                </a>
              </li>
            ))}
          </ul>
        </div>
      </nav>
      <main class="page-wrapper" id="content">
        <div class="container-xl page-body">
          <h1 class="page-title mb-3" tabIndex={-1} ref={heading}>
            {say(page)}
          </h1>
          <Shown />
        </div>
      </main>
    </div>
  );
}
