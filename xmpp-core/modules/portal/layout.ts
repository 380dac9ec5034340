import { type Language, languageNames, languages } from "../../formats/language.ts";
import { nothing, text, type Xml, x } from "../../xml/writer.ts";
import { styleVersion } from "./style.ts";
import { words } from "./words.ts";

/** Where a page stands, for whom. */
export interface Place {
  readonly language: Language;
  /** What a proxy puts before every path: "" or `/chat`. */
  readonly prefix: string;
  /** Of the page itself, without the prefix: `/guide/gajim`. */
  readonly path: string;
  /** Links go on in a language that was asked for by link. */
  readonly chosen: boolean;
}

/** A link to another of these pages. */
export function hrefOf({ prefix, chosen, language }: Place, path: string): string {
  return `${prefix}${path}${chosen ? `?lang=${language}` : ""}`;
}

export const link = (place: Place, path: string, label: string): Xml =>
  x("a", { href: hrefOf(place, path) }, text(label));

/** A whole page without scripts. */
export function htmlPage(place: Place, title: string, main: readonly Xml[]): string {
  const { language, prefix, path } = place;
  const own = words[language];
  const pages: readonly (readonly [string, string])[] = [
    ["/", own.start],
    ["/guide", own.guides],
    ["/certificates", own.certificates],
  ];
  const document = x(
    "html",
    { lang: language },
    x(
      "head",
      {},
      x("meta", { charset: "utf-8" }),
      x("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      x("title", {}, text(title)),
      x("link", { rel: "icon", type: "image/svg+xml", href: `${prefix}/portal.svg` }),
      x("link", { rel: "stylesheet", href: `${prefix}/portal.css?${styleVersion}` }),
      languages.map((each) => x("link", { rel: "alternate", hreflang: each, href: `${prefix}${path}?lang=${each}` })),
    ),
    x(
      "body",
      {},
      x("a", { class: "skip", href: "#main" }, text(own.skip)),
      x(
        "header",
        {},
        x(
          "nav",
          { "aria-label": own.pages },
          x(
            "ul",
            {},
            pages.map(([to, label]) => x("li", {}, to === path ? here(label) : link(place, to, label))),
          ),
        ),
        x(
          "nav",
          { "aria-label": own.languages },
          x(
            "ul",
            {},
            languages.map((each) =>
              x(
                "li",
                {},
                each === language
                  ? here(languageNames[each])
                  : x(
                      "a",
                      { href: `${prefix}${path}?lang=${each}`, hreflang: each, lang: each },
                      text(languageNames[each]),
                    ),
              ),
            ),
          ),
        ),
      ),
      x("main", { id: "main" }, x("h1", {}, text(title)), main),
      x("footer", {}, x("p", {}, text(own.live))),
    ),
  );
  return `<!DOCTYPE html>${document}\n`;
}

const here = (label: string): Xml => x("span", { "aria-current": "page" }, text(label));

/** A table of two columns: what it is, and what to type. */
export function factTable(title: string, rows: readonly (readonly [label: string, value: Xml] | undefined)[]): Xml {
  const shown = rows.filter((row) => row !== undefined);
  if (shown.length === 0) return nothing;
  return x(
    "table",
    { class: "facts", "aria-label": title },
    x(
      "tbody",
      {},
      shown.map(([label, value]) => x("tr", {}, x("th", { scope: "row" }, text(label)), x("td", {}, value))),
    ),
  );
}

export const code = (value: string | number): Xml => x("code", {}, text(value));
