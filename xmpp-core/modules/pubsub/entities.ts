import { formatJid, type Jid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Core } from "../module.ts";

/** A bare address as it is stored: `#7` for an account here, which keeps it through a rename; else as names.relative has it. */
export type Who = string;

/** Between addresses and what is stored of them. */
export interface Entities {
  of(jid: Jid): Who;
  ofAccount(account: Account): Who;
  /** Whose it is, if he is here. */
  account(who: Who): Account | undefined;
  /** As `view` sees it; undefined: somebody who is gone. */
  address(who: Who, view: string, resource?: string): string | undefined;
  /** The same as a Jid, under the present name. */
  jid(who: Who, resource?: string): Jid | undefined;
}

export function entities({ names, accounts }: Core): Entities {
  const account = (who: Who): Account | undefined =>
    who.startsWith("#") ? accounts.byId(Number(who.slice(1))) : undefined;

  function address(who: Who, view: string, resource = ""): string | undefined {
    let stored = who;
    if (who.startsWith("#")) {
      const found = account(who);
      if (found === undefined) return undefined;
      stored = `${found.name}@`;
    }
    return `${names.absolute(stored, view)}${resource === "" ? "" : `/${resource}`}`;
  }

  return {
    of(jid) {
      const place = names.locate(jid);
      const found = place.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
      return found === undefined ? names.relative({ ...jid, resource: "" }) : `#${found.id}`;
    },
    ofAccount: ({ id }) => `#${id}`,
    account,
    address,
    jid(who, resource) {
      const text = address(who, names.primary.name, resource);
      return text === undefined ? undefined : parseJid(text);
    },
  };
}

/** Nodes whose item ids are addresses: those of ours are stored relative and follow the reader's view. XEP-0402, XEP-0490 */
const nodesOfAddresses = new Set(["urn:xmpp:bookmarks:1", "urn:xmpp:mds:displayed:0"]);
/** Stands in front of a stored id that is an address of ours; no XML can hold it, so no client's id begins so. */
const ours = "\u0001";

/** An item id as it is stored. */
export function storedItemId(core: Core, node: string, id: string): string {
  if (!nodesOfAddresses.has(node)) return id;
  const jid = parseJid(id);
  // Only what is written as an address is written is taken for one: another text stays what it is.
  if (jid === undefined || formatJid(jid) !== id) return id;
  const place = core.names.locate(jid);
  if (place.at === "foreign") return id;
  const person = place.at === "account" ? core.accounts.get(place.served.id, place.name) : undefined;
  if (person?.name === jid.local && jid.resource === "") return `${ours}#${person.id}`;
  return ours + core.names.relative(jid);
}

/** A stored item id as `view` sees it. */
export function shownItemId(core: Core, stored: string, view: string): string {
  if (!stored.startsWith(ours)) return stored;
  const address = stored.slice(1);
  const person = address.startsWith("#") ? core.accounts.byId(Number(address.slice(1))) : undefined;
  return core.names.absolute(person === undefined ? address : `${person.name}@`, view);
}
