import type { Element } from "ltx";
import { text, type Xml, x } from "../xml/writer.ts";
import { ns } from "./namespaces.ts";

const profile = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

/** A moment as XEP-0082 writes it, in UTC with milliseconds: `2026-11-21T08:30:00.000Z`. */
export function formatDate(at: Date): string {
  return at.toISOString();
}

/** Reads a DateTime of XEP-0082 §3; undefined if it is none. Any offset is accepted, more digits than three are cut. */
export function parseDate(source: string): Date | undefined {
  const match = profile.exec(source);
  if (match === null) return undefined;
  const [, day = "", time = "", fraction = "", zone = ""] = match;
  const date = new Date(`${day}T${time}${fraction.slice(0, 4)}${zone}`);
  // The platform lets 30 February pass as the first days of March.
  const real = new Date(`${day}T00:00:00Z`);
  return Number.isNaN(date.getTime()) || Number.isNaN(real.getTime()) || !real.toISOString().startsWith(day)
    ? undefined
    : date;
}

/** Why a stanza arrives late, and since when (XEP-0203). */
export interface Delay {
  readonly stamp: Date;
  /** Address of who delayed it. */
  readonly from?: string | undefined;
  readonly reason?: string | undefined;
}

/** `delayElement({ stamp: new Date(0), from: "dom" })` is `<delay xmlns="urn:xmpp:delay" from="dom" stamp="1970-…"/>`. */
export function delayElement({ stamp, from, reason }: Delay): Xml {
  return x("delay", { xmlns: ns.delay, from, stamp: formatDate(stamp) }, reason !== undefined && text(reason));
}

/** Reads a `<delay/>`; undefined if its stamp is no date. */
export function parseDelay(element: Element): Delay | undefined {
  const stamp = parseDate(String(element.attrs.stamp ?? ""));
  if (stamp === undefined) return undefined;
  const from: unknown = element.attrs.from;
  const reason = element.getText();
  return { stamp, ...(typeof from === "string" && { from }), ...(reason !== "" && { reason }) };
}
