/** How the pages look, and the pieces they are made of. No script, no style inside. */

import { type Language, languageNames, languages } from "../../formats/language.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { WebAnswer } from "../web-points.ts";
import type { Words } from "./words.ts";

/** Where a page stands and who reads it. */
export interface Place {
  readonly language: Language;
  readonly words: Words;
  /** The way from the page to the root of the web ports: "", "../", "../../". A proxy may have put them under a path. */
  readonly root: string;
}

export function page(
  place: Place,
  status: number,
  title: string,
  content: readonly (Xml | undefined | false)[],
): WebAnswer {
  const { language, root } = place;
  const html = x(
    "html",
    { lang: language },
    x(
      "head",
      {},
      x("meta", { charset: "utf-8" }),
      x("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      x("meta", { name: "robots", content: "noindex" }),
      x("title", {}, text(title)),
      x("link", { rel: "stylesheet", href: `${root}account/style.css` }),
    ),
    x(
      "body",
      {},
      x("main", {}, x("h1", {}, text(title)), ...content),
      x(
        "footer",
        {},
        languages.map((one) => x("a", { href: `?lang=${one}`, hreflang: one, lang: one }, text(languageNames[one]))),
      ),
    ),
  );
  return { status, headers: { "content-type": "text/html; charset=utf-8" }, body: `<!doctype html>${html}\n` };
}

export const paragraph = (sentence: string): Xml => x("p", {}, text(sentence));
/** What went wrong; read aloud at once. */
export const alarm = (sentence: string): Xml => x("p", { role: "alert", class: "alarm" }, text(sentence));

export interface Input {
  readonly name: string;
  readonly label: string;
  readonly type?: "text" | "password" | "email";
  readonly hint?: string | undefined;
  readonly value?: string | undefined;
  /** What browsers fill in. HTML: autocomplete */
  readonly fills?: string;
  readonly optional?: boolean;
  readonly fixed?: boolean;
}

export function input({ name, label, type = "text", hint, value, fills = "off", optional, fixed }: Input): Xml {
  const described = hint === undefined ? undefined : `${name}-hint`;
  return x(
    "div",
    { class: "field" },
    x("label", { for: name }, text(label)),
    x("input", {
      ...{ id: name, name, type, value, autocomplete: fills, autocapitalize: "none", spellcheck: "false" },
      ...{ "aria-describedby": described, maxlength: 256 },
      ...(optional === true ? {} : { required: "required" }),
      ...(fixed === true ? { readonly: "readonly" } : {}),
    }),
    hint !== undefined && x("small", { id: described }, text(hint)),
  );
}

export const hidden = (name: string, value: string): Xml => x("input", { type: "hidden", name, value });

/** Sent to the address of its own page. */
export function form(token: string, fields: readonly (Xml | undefined | false)[], button: string): Xml {
  return x("form", { method: "post" }, hidden("token", token), ...fields, x("button", {}, text(button)));
}

export const style = `:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --edge: #6b7480; --mark: #0b57d0; --alarm: #a3140f }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #16181b; --edge: #9aa3ad; --mark: #8ab4f8; --alarm: #ff9c94 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.5 system-ui, sans-serif }
main, footer { max-width: 34rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25 }
h2 { font-size: 1.2rem; margin-top: 2rem }
a { color: var(--mark) }
footer a { margin-right: 1rem }
.field { margin: 1rem 0 }
label { display: block; font-weight: 600 }
label.check { font-weight: 400 }
input:not([type=checkbox]) { width: 100%; padding: .6rem; font: inherit; color: inherit; background: transparent; border: 1px solid var(--edge); border-radius: .3rem }
input[type=checkbox] { width: 1.3rem; height: 1.3rem; vertical-align: middle }
button, a.button { display: inline-block; padding: .7rem 1.2rem; font: inherit; font-weight: 600; color: var(--paper); background: var(--mark); border: 0; border-radius: .3rem; text-decoration: none; cursor: pointer }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px }
.alarm { padding: .7rem; border-left: .3rem solid var(--alarm); color: var(--alarm) }
.address { font-size: 1.2rem; font-weight: 600 }
img, svg { max-width: 100%; background: #fff }
svg { width: 12rem; height: auto; padding: .5rem }
ul { padding-left: 1.2rem }
`;
