import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { de } from "./words/de.ts";
import { en, type Word, type Words } from "./words/en.ts";
import { fr } from "./words/fr.ts";

export const languages = { en, fr, de } as const satisfies Record<string, Words>;
export type Language = keyof typeof languages;

export const LanguageContext = createContext<Language>("en");

/** Fills a sentence: `say("daysLeft", { n: 12 })`. */
export type Say = (word: Word, values?: Readonly<Record<string, string | number>>) => string;

export interface Speech {
  readonly say: Say;
  /** As `say`, for a word that the server's answer names; the answer's own text where there is none. */
  readonly name: (kind: string, text: string) => string;
  readonly date: (iso: string) => string;
}

export function useSpeech(): Speech {
  const language = useContext(LanguageContext);
  const words: Words = languages[language];
  const dates = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const say: Say = (word, values = {}) =>
    words[word].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  return {
    say,
    name: (kind, text) => (`${kind}_${text}` in words ? say(`${kind}_${text}` as Word) : text),
    date: (iso) => dates.format(new Date(iso)),
  };
}

/** The stored choice, else the browser's, else English. */
export function firstLanguage(): Language {
  const wanted = [localStorage.getItem("language") ?? "", ...navigator.languages].map((each) => each.slice(0, 2));
  return wanted.find((each): each is Language => each in languages) ?? "en";
}
