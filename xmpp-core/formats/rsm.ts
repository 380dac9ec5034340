import type { Element } from "ltx";
import { text, type Xml, x } from "../xml/writer.ts";
import { ns } from "./namespaces.ts";

/** Which page of a result is wanted (XEP-0059 §2). No cursor: the first page; `before: ""`: the last one (§2.5). */
export interface PageRequest {
  /** Items wanted at most; 0 asks for the count alone. */
  readonly max?: number | undefined;
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  /** Position to start from (§2.6). */
  readonly index?: number | undefined;
}

/** What the answer tells of the page it holds. */
export interface Page {
  readonly first?: string | undefined;
  readonly last?: string | undefined;
  /** Position of the first item in the whole result. */
  readonly index?: number | undefined;
  readonly count?: number | undefined;
}

/** Reads the `<set/>` inside a query; undefined without one, "malformed" if its numbers are none. */
export function parsePageRequest(query: Element): PageRequest | undefined | "malformed" {
  const set = query.getChild("set", ns.rsm);
  if (set === undefined) return undefined;
  const max = numberIn(set, "max");
  const index = numberIn(set, "index");
  if (max === "malformed" || index === "malformed") return "malformed";
  return { max, after: textIn(set, "after"), before: textIn(set, "before"), index };
}

/** `pageElement({ first: "a", last: "b", count: 2 })` is the `<set/>` that ends a page. */
export function pageElement(page: Page): Xml {
  const { first, last, index, count } = page;
  return x(
    "set",
    { xmlns: ns.rsm },
    first !== undefined && x("first", { index }, text(first)),
    last !== undefined && x("last", {}, text(last)),
    count !== undefined && x("count", {}, text(count)),
  );
}

function textIn(set: Element, name: string): string | undefined {
  return set.getChild(name, ns.rsm)?.getText();
}

function numberIn(set: Element, name: string): number | undefined | "malformed" {
  const found = textIn(set, name);
  if (found === undefined) return undefined;
  return /^[0-9]{1,15}$/.test(found) ? Number(found) : "malformed";
}
