import { Element } from "ltx";
import { attributeText, contentText } from "./references.ts";

/**
 * The ltx tree of one element, from text that the scanner has proved well-formed. Prefixes stay as written;
 * CDATA becomes text. Not recursive: the depth is bounded by whoever scanned.
 */
export function buildTree(text: string): Element {
  let current: Element | null = null;
  let p = 0;
  for (;;) {
    const markup = text.indexOf("<", p);
    if (markup < 0) throw new RangeError("buildTree needs exactly one whole element");
    if (current !== null && markup > p) addText(current, contentText(text.slice(p, markup)));
    const next = text.charCodeAt(markup + 1);
    if (next === 0x2f) {
      p = text.indexOf(">", markup) + 1;
      if (current === null) throw new RangeError("buildTree needs exactly one whole element");
      if (current.parent === null) return current;
      current = current.parent;
    } else if (next === 0x21) {
      p = text.indexOf("]]>", markup) + 3;
      if (current !== null) addText(current, text.slice(markup + 9, p - 3).replace(/\r\n?/g, "\n"));
    } else {
      const nameEnd = endOfName(text, markup + 1);
      const element: Element = new Element(text.slice(markup + 1, nameEnd));
      p = addAttributes(element, text, nameEnd);
      if (current !== null) {
        element.parent = current;
        current.children.push(element);
      }
      if (text.charCodeAt(p - 2) !== 0x2f) current = element;
      else if (current === null) return element;
    }
  }
}

function addText(element: Element, text: string): void {
  if (text === "") return;
  const { children } = element;
  const last = children.length - 1;
  const before = children[last];
  if (typeof before === "string") children[last] = before + text;
  else children.push(text);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function endOfName(text: string, from: number): number {
  let p = from;
  for (;;) {
    const code = text.charCodeAt(p);
    if (code === 0x3e || code === 0x2f || code === 0x3d || isSpace(code)) return p;
    p++;
  }
}

/** @returns the offset behind the tag's `>`. */
function addAttributes(element: Element, text: string, from: number): number {
  let p = from;
  for (;;) {
    while (isSpace(text.charCodeAt(p))) p++;
    const code = text.charCodeAt(p);
    if (code === 0x3e) return p + 1;
    if (code === 0x2f) return p + 2;
    const nameEnd = endOfName(text, p);
    const name = text.slice(p, nameEnd);
    p = nameEnd;
    while (text.charCodeAt(p) !== 0x22 && text.charCodeAt(p) !== 0x27) p++;
    const close = text.indexOf(text[p] as string, p + 1);
    setAttribute(element, name, attributeText(text.slice(p + 1, close)));
    p = close + 1;
  }
}

/** Sets an attribute whose name came from the wire. */
export function setAttribute(element: Element, name: string, value: string): void {
  // A plain assignment to this name would look for a prototype.
  if (name === "__proto__")
    Object.defineProperty(element.attrs, name, { value, enumerable: true, writable: true, configurable: true });
  else element.attrs[name] = value;
}
