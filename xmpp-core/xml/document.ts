import type { Element } from "ltx";
import { encodingProblem } from "./characters.ts";
import { fault } from "./fault.ts";
import { beginFrame, newFrame, scanFrame, takeStanza } from "./frame.ts";
import type { Limits } from "./limits.ts";
import { newScope } from "./scope.ts";
import type { Prefixes, Stanza } from "./stanza.ts";

/**
 * Reads exactly one element, as in a WebSocket frame (RFC 7395 §3.3) or a stored stanza, by the rules of a stream.
 * `contentNs` is the default namespace around it, `prefixes` are declared there. Throws XmlFault. Whitespace around the
 * element is allowed.
 */
export function parseStanza(
  source: string | Buffer,
  contentNs: string,
  limits: Limits,
  prefixes: Prefixes = [],
): Stanza {
  const bytes = typeof source === "string" ? Buffer.from(source) : source;
  let start = 0;
  let end = bytes.length;
  while (start < end && isSpace(bytes[start] as number)) start++;
  while (end > start && isSpace(bytes[end - 1] as number)) end--;
  if (end - start > limits.stanzaBytes) fault("policy-violation", "a stanza is too large");
  if (bytes[start] !== 0x3c)
    fault(
      encodingProblem(bytes) === "encoding" ? "unsupported-encoding" : "not-well-formed",
      "an element was expected",
    );
  const frame = newFrame(newScope(contentNs, prefixes));
  beginFrame(frame);
  const behind = scanFrame(frame, bytes, start, end, limits);
  if (behind < 0) fault("not-well-formed", "the element is not complete");
  if (behind !== end) fault("not-well-formed", "something follows the element");
  return takeStanza(frame, bytes, start, end);
}

/** The tree of one element from text or bytes, with explicit xmlns as far as it has any. Throws XmlFault. */
export function parseDocument(source: string | Buffer, limits: Limits): Element {
  return parseStanza(source, "", limits).element();
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
