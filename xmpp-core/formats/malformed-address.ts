import { parseJid } from "../jid/jid.ts";
import { type StanzaError, stanzaError } from "./stanza-error.ts";

/** The refusal of what is no address; names with spaces get a suggestion: `team room@…` is "team-room@…". RFC 7622 §3.3 */
export function malformedAddress(given: string): StanzaError {
  const at = given.indexOf("@");
  const name = given.slice(0, Math.max(at, 0)).trim();
  const close = at < 0 || !/\s/.test(name) ? undefined : `${name.replaceAll(/\s+/g, "-")}${given.slice(at)}`;
  const meant = close !== undefined && parseJid(close) !== undefined ? ` Names have no spaces: try "${close}".` : "";
  return stanzaError("jid-malformed", { text: `"${given}" is not a valid address.${meant}` });
}
