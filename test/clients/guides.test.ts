/** The guides' words against the programs' own translations, and the pages in a real browser. */
import { existsSync, readFileSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { guideNames, guides } from "../../xmpp-core/modules/portal/guides/all.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

/** Without marks for keys, and what fields and menu items end with. */
const bare = (text: string) =>
  text
    .replaceAll("_", "")
    .replace(/[\s\u00a0:]*(?:\.\.\.|…)?$/, "")
    .replaceAll("\u2019", "'")
    .trim();

/** A compiled catalogue of GNU gettext: what it says for each text. */
function compiled(path: string): readonly (readonly [text: string, translated: string])[] {
  const bytes = readFileSync(path);
  const entry = (table: number, at: number): string => {
    const length = bytes.readUInt32LE(table + at * 8);
    const start = bytes.readUInt32LE(table + at * 8 + 4);
    return bytes.toString("utf8", start, start + length);
  };
  expect(bytes.readUInt32LE(0)).toBe(0x950412de);
  const [originals, translations] = [bytes.readUInt32LE(12), bytes.readUInt32LE(16)];
  return Array.from({ length: bytes.readUInt32LE(8) }, (_, at) => [entry(originals, at), entry(translations, at)]);
}

/** A catalogue as translators write it, its short entries. */
function written(path: string): readonly (readonly [text: string, translated: string])[] {
  return [...readFileSync(path, "utf8").matchAll(/^msgid "(.+)"\nmsgstr "(.*)"$/gm)].map(([, text = "", said = ""]) => [
    text,
    said,
  ]);
}

const catalogues = [
  { client: "gajim", path: "/usr/lib/python3/dist-packages/gajim/data/locale/@/LC_MESSAGES/gajim.mo", read: compiled },
  { client: "pidgin", path: "/usr/share/locale/@/LC_MESSAGES/pidgin.mo", read: compiled },
  { client: "dino", path: "/usr/share/locale/@/LC_MESSAGES/dino.mo", read: compiled },
  {
    client: "converse",
    path: new URL("../../node_modules/converse.js/src/i18n/locales/@/LC_MESSAGES/converse.po", import.meta.url)
      .pathname,
    read: written,
  },
];

describe.each(catalogues)("the words of $client", ({ client, path, read }) => {
  const there = existsSync(path.replace("@", "fr"));
  if (!there) console.warn(`the words of ${client} are not checked: it is not installed`);
  test.skipIf(!there).each(["fr", "de"] as const)("are those that it shows in %s", (language) => {
    const said = new Map<string, Set<string>>();
    // Menus of Pidgin are named by their path.
    for (const [text, translated] of read(path.replace("@", language)))
      for (const [from, to] of [
        [text, translated],
        [text.split("/").at(-1), translated.split("/").at(-1)],
      ]) {
        const known = said.get(bare(from ?? "")) ?? new Set();
        said.set(bare(from ?? ""), known.add(bare(to ?? "")));
      }
    for (const label of Object.values(guides.get(client)?.labels ?? {}))
      expect([...(said.get(bare(label.en)) ?? ["no such text in the program"])], label.en).toContain(
        bare(label[language]),
      );
  });
});

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (executablePath === undefined) console.warn("the pages are not looked at: no Chromium here");

interface Look {
  readonly tooWide: boolean;
  /** Elements whose text has a contrast below 4.5 to 1 (WCAG 2.1, 1.4.3). */
  readonly faint: readonly string[];
  readonly nameless: number;
  readonly headings: readonly string[];
  readonly language: string;
  readonly main: number;
}

/** Runs in the page. */
const look = String.raw`(() => {
  const luminance = (colour) => {
    const parts = (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map((part) => Number(part) / 255);
    const [red, green, blue] = parts.map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const background = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (!/, 0\)$|transparent/.test(backgroundColor)) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = [...document.querySelectorAll("main *, header *")].filter((element) => {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== "")) return false;
    const [dark, light] = [luminance(getComputedStyle(element).color), luminance(background(element))].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05) < 4.5;
  });
  return {
    tooWide: document.documentElement.scrollWidth > innerWidth,
    faint: faint.map((element) => element.outerHTML.slice(0, 100)),
    nameless: [...document.querySelectorAll("a")].filter((link) => link.textContent.trim() === "").length,
    headings: [...document.querySelectorAll("h1, h2, h3")].map((heading) => heading.tagName),
    language: document.documentElement.lang,
    main: document.querySelectorAll("main").length,
  };
})()`;

describe.skipIf(executablePath === undefined)("in a browser", () => {
  let core: TestCore;
  let browser: Browser;
  let port: number;

  beforeAll(async () => {
    port = await freePort();
    core = await startTestCore({
      properties: {
        "httpbind.enabled": "true",
        "httpbind.port.plain": "-1",
        "httpbind.port.secure": String(port),
        "firekeeper.contact.support": "mailto:help@example.org",
      },
    });
    browser = await chromium.launch({ ...(executablePath ? { executablePath } : {}), args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
    await core?.close();
  });

  test.each([
    { colorScheme: "light", locale: "en-GB" },
    { colorScheme: "dark", locale: "fr-FR" },
    { colorScheme: "light", locale: "de-DE" },
  ] as const)("the pages fit 360 pixels, ask no other host and can be read: $colorScheme, $locale", async (options) => {
    const context = await browser.newContext({
      ...{ ...options, ignoreHTTPSErrors: true, javaScriptEnabled: true },
      viewport: { width: 360, height: 740 },
    });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    page.on("request", (request) => {
      if (new URL(request.url()).host !== `localhost:${port}`) complaints.push(request.url());
    });
    for (const path of ["/", "/guide", "/certificates", ...guideNames.map((client) => `/guide/${client}`)]) {
      await page.goto(`https://localhost:${port}${path}`);
      const found = await page.evaluate<Look>(look);
      expect(found, path).toMatchObject({ tooWide: false, faint: [], nameless: 0, main: 1 });
      expect(found.language).toBe(options.locale.slice(0, 2));
      expect(found.headings.filter((tag) => tag === "H1")).toHaveLength(1);
      expect(found.headings[0]).toBe("H1");
    }
    expect(complaints).toEqual([]);
    await context.close();
  });

  test("languages are changed by a link that a keyboard reaches, and the choice goes on", async () => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: "en-GB", javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(`https://localhost:${port}/`);
    await page.keyboard.press("Tab");
    expect(await page.getByRole("link", { name: "Skip to the content" }).isVisible()).toBe(true);
    await page.getByRole("link", { name: "Deutsch" }).press("Enter");
    await page.getByRole("heading", { name: "Was Sie eingeben" }).waitFor();
    await page.getByRole("link", { name: "Pidgin" }).click();
    await page.getByRole("heading", { name: "Pidgin bei localhost" }).waitFor();
    expect(await page.getByRole("listitem").filter({ hasText: "Verschlüsselung erforderlich" }).count()).toBe(1);
    await context.close();
  });
});
