import type { Element } from "ltx";
import { parseForm, valuesOf } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import type { Account } from "../../routing/accounts.ts";

/** What can be searched, by the names that Openfire's form has. */
export const searchFields = ["Username", "Name", "Email"] as const;
export type SearchField = (typeof searchFields)[number];

const longestPattern = 200;

export const textOf = (account: Account, field: SearchField): string | undefined =>
  field === "Username" ? account.name : field === "Name" ? account.displayName : account.email;

/** Whom a query means. `form`: it came as a data form and is answered with one. */
export interface Search {
  readonly form: boolean;
  matches(account: Account): boolean;
}

/** Reads a query; undefined: it asks for nobody. XEP-0055 §2.1 and §3 */
export function readSearch(query: Element, open: readonly SearchField[]): Search | "malformed" | undefined {
  const element = query.getChild("x", ns.dataForms);
  if (element !== undefined) {
    const form = parseForm(element);
    return form?.type === "submit" ? fromForm(form, open) : "malformed";
  }
  const wanted = legacy.flatMap(([name, fields]) => {
    const text = query.getChild(name, ns.search)?.getText() ?? "";
    return text.trim() === "" ? [] : [{ pattern: pattern(text), fields: fields.filter((one) => open.includes(one)) }];
  });
  if (wanted.length === 0) return undefined;
  return {
    form: false,
    matches: (account) => wanted.every(({ pattern: fits, fields }) => fields.some((one) => fits(textOf(account, one)))),
  };
}

/** Names have no parts here: both are looked for in the whole. */
export const legacy = [
  ["first", ["Name"]],
  ["last", ["Name"]],
  ["nick", ["Username", "Name"]],
  ["email", ["Email"]],
] as const satisfies readonly (readonly [string, readonly SearchField[]])[];

function fromForm(form: Parameters<typeof valuesOf>[0], open: readonly SearchField[]): Search | undefined {
  const text = valuesOf(form, "search")[0] ?? "";
  const ticked = (name: string): boolean | undefined => {
    const [value] = valuesOf(form, name);
    return value === undefined ? undefined : value === "1" || value === "true";
  };
  // Clients that show only what they know submit the text alone.
  const none = searchFields.every((name) => ticked(name) === undefined);
  const fields = open.filter((name) => none || ticked(name) === true);
  if (text.trim() === "" || fields.length === 0) return undefined;
  const fits = pattern(text);
  return { form: true, matches: (account) => fields.some((name) => fits(textOf(account, name))) };
}

/** Whether a text holds the pieces between the asterisks, in their order. No regular expression: strangers write it. */
export function pattern(given: string): (text: string | undefined) => boolean {
  const pieces = folded(given.slice(0, longestPattern))
    .split("*")
    .map((piece) => piece.trim())
    .filter((piece) => piece !== "");
  return (text) => {
    if (text === undefined) return false;
    const whole = folded(text);
    let at = 0;
    for (const piece of pieces) {
      const found = whole.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return true;
  };
}

/** Without case and accents: people look for "Jose" and mean "José". */
const folded = (text: string): string => text.normalize("NFKD").replaceAll(/\p{M}/gu, "").toLowerCase();
