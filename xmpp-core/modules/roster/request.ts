import type { Element } from "ltx";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { bare, explainJid, type Jid, parseJid } from "../../jid/jid.ts";
import type { Names } from "../../routing/names.ts";

/** What a client wants of its roster. */
export type Wish =
  | { readonly is: "set"; readonly jid: Jid; readonly name: string | undefined; readonly groups: readonly string[] }
  | { readonly is: "remove"; readonly jid: Jid };

// RFC 6121 §2.3.3 leaves the limits to us; names and groups as long as a part of an address suit everybody.
const longestText = 1023;
const mostGroups = 100;

/** Reads a roster set, or says why it is none. `given`: the view whose domain a hint names. RFC 6121 §2.1.5, §2.3.3, §2.5.3 */
export function readWish(query: Element, names: Names, view: string): Wish | StanzaError {
  const items = query.getChildElements();
  const [item] = items;
  if (item === undefined || items.length !== 1 || item.getName() !== "item" || item.getNS() !== query.getNS())
    return stanzaError("bad-request", { text: "A roster set holds exactly one item." });
  const given: unknown = item.attrs.jid;
  if (typeof given !== "string") return stanzaError("bad-request", { text: "The item has no jid." });
  const address = readContact(given, names, view);
  if ("condition" in address) return address;
  const jid = bare(address);
  if (item.attrs.subscription === "remove") return { is: "remove", jid };
  const groups = item
    .getChildElements()
    .filter((child) => child.getName() === "group" && child.getNS() === query.getNS())
    .map((group) => group.getText());
  if (new Set(groups).size !== groups.length)
    return stanzaError("bad-request", { text: "A group is named more than once." });
  if (groups.some((group) => group.trim() === ""))
    return stanzaError("not-acceptable", { text: "A group has an empty name." });
  if (groups.length > mostGroups)
    return stanzaError("not-acceptable", { text: `A contact may be in at most ${mostGroups} groups.` });
  const name: unknown = item.attrs.name;
  const texts = typeof name === "string" ? [name, ...groups] : groups;
  if (texts.some((one) => Buffer.byteLength(one) > longestText))
    return stanzaError("not-acceptable", {
      text: `Names of contacts and groups may have ${longestText} bytes at most.`,
    });
  return { is: "set", jid, name: typeof name === "string" && name !== "" ? name : undefined, groups };
}

/**
 * The address of a contact. A name alone (`bob`) is what people type first: it is refused with what they meant, as it
 * would be a server without a dot, which no address of ours can be.
 */
export function readContact(given: string, names: Names, view: string): Jid | StanzaError {
  const address = parseJid(given);
  if (address === undefined)
    return stanzaError("jid-malformed", {
      text: `"${given}" is not a valid address: ${explainJid(given) ?? "unreadable"}.`,
    });
  return refuseBareName(address, names, view) ?? address;
}

/** The refusal of `bob`, with "did you mean bob@example.org?"; undefined for every other address. */
export function refuseBareName(address: Jid, names: Names, view: string): StanzaError | undefined {
  const { local, domain } = address;
  if (local !== "" || domain.includes(".") || domain.startsWith("[") || names.host(domain) !== undefined)
    return undefined;
  return stanzaError("jid-malformed", {
    text: `"${domain}" is a name, not an address: did you mean ${domain}@${view}?`,
  });
}
