import type { Element, Node } from "ltx";
import { isNcName, isQName } from "./characters.ts";
import { escapeAttribute, escapeText } from "./escape.ts";
import { xmlNamespace, xmlnsNamespace } from "./scope.ts";

/**
 * An ltx tree as XML for a place where `contentNs` is the default namespace. Element names lose their prefixes and
 * get `xmlns` where it changes; prefix declarations are kept, those that only stand outside of `element` are added
 * where attributes need them. Throws a TypeError for names that are none and prefixes that nobody declares.
 */
export function serialise(element: Element, contentNs: string): string {
  return write([element], element.parent, contentNs);
}

/** The children of an element, texts included, in the same form; only those that `keep` wants. */
export function serialiseChildren(element: Element, contentNs: string, keep?: (node: Node) => boolean): string {
  const kept = keep === undefined ? [...element.children] : element.children.filter(keep);
  return write(kept.reverse(), element, contentNs);
}

/** What is left to write: nodes, and the end of an element with the default namespaces to go back to. */
type Work = Node | { readonly close: string; readonly outer: string; readonly inherited: string };

/** `work` is taken from its end; declarations on `beyond` and above it are not part of the output. */
function write(work: Work[], beyond: Element | null, contentNs: string): string {
  let out = "";
  /** The default namespace where we are, in the output and in the tree. */
  let outer = contentNs;
  let inherited = beyond === null ? contentNs : (find(beyond, "xmlns") ?? contentNs);
  for (let item = work.pop(); item !== undefined; item = work.pop()) {
    if (typeof item !== "object") out += escapeText(String(item));
    else if ("close" in item) {
      out += item.close;
      outer = item.outer;
      inherited = item.inherited;
    } else {
      if (!isQName(item.name)) throw new TypeError("not an XML name");
      const colon = item.name.indexOf(":");
      const local = colon < 0 ? item.name : item.name.slice(colon + 1);
      const fallback = own(item, "xmlns") ?? inherited;
      const ns = colon < 0 ? fallback : prefixed(item, item.name.slice(0, colon));
      out += `<${local}`;
      if (ns !== outer) out += ` xmlns="${escapeAttribute(ns)}"`;
      out += attributes(item, beyond);
      if (item.children.length === 0) {
        out += "/>";
        continue;
      }
      out += ">";
      work.push({ close: `</${local}>`, outer, inherited });
      for (let i = item.children.length - 1; i >= 0; i--) {
        const child = item.children[i];
        if (child !== undefined && child !== null) work.push(child);
      }
      outer = ns;
      inherited = fallback;
    }
  }
  return out;
}

function own(element: Element, name: string): string | undefined {
  if (!Object.hasOwn(element.attrs, name)) return undefined;
  const value: unknown = element.attrs[name];
  return value === undefined || value === null ? undefined : String(value);
}

/** The value of an attribute on the element or the nearest one around it. */
function find(element: Element, name: string): string | undefined {
  for (let at: Element | null = element; at !== null; at = at.parent) {
    const value = own(at, name);
    if (value !== undefined) return value;
  }
  return undefined;
}

function prefixed(element: Element, prefix: string): string {
  if (prefix === "xml") return xmlNamespace;
  const uri = find(element, `xmlns:${prefix}`);
  if (uri === undefined) throw new TypeError("a namespace prefix that is not declared");
  return uri;
}

function attributes(element: Element, beyond: Element | null): string {
  let out = "";
  let added: Set<string> | undefined;
  for (const name of Object.keys(element.attrs)) {
    const value = own(element, name);
    if (value === undefined || name === "xmlns") continue;
    if (!isQName(name)) throw new TypeError("not an XML name");
    const colon = name.indexOf(":");
    if (colon >= 0) {
      const prefix = name.slice(0, colon);
      if (prefix === "xmlns") checkDeclaration(name.slice(6), value);
      else if (prefix !== "xml" && added?.has(prefix) !== true && !declaredInside(element, beyond, prefix)) {
        out += ` xmlns:${prefix}="${escapeAttribute(prefixed(element, prefix))}"`;
        added = (added ?? new Set()).add(prefix);
      }
    }
    out += ` ${name}="${escapeAttribute(value)}"`;
  }
  return out;
}

function declaredInside(element: Element, beyond: Element | null, prefix: string): boolean {
  for (let at: Element | null = element; at !== null && at !== beyond; at = at.parent)
    if (own(at, `xmlns:${prefix}`) !== undefined) return true;
  return false;
}

function checkDeclaration(prefix: string, uri: string): void {
  const reserved = prefix === "xmlns" || uri === xmlnsNamespace || (prefix === "xml") !== (uri === xmlNamespace);
  if (reserved || uri === "" || !isNcName(prefix)) throw new TypeError("not a namespace declaration");
}
