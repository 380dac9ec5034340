import type { Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import { ns } from "./namespaces.ts";

/** What a sender asks for by XEP-0334. */
export const hints = ["no-permanent-store", "no-store", "no-copy", "store"] as const;
export type Hint = (typeof hints)[number];

/** Whether a message carries the hint. */
export function hasHint(message: Pick<Stanza, "has">, hint: Hint): boolean {
  return message.has(ns.hints, hint);
}

/** `<store xmlns="urn:xmpp:hints"/>` */
export function hintElement(hint: Hint): Xml {
  return x(hint, { xmlns: ns.hints });
}
