import { formatJid, type Jid, parseJid } from "../jid/jid.ts";
import type { Ticket } from "../storage/storage.ts";
import type { Stanza } from "../xml/stanza.ts";
import { writeStanza, type Xml } from "../xml/writer.ts";
import type { Accounts } from "./accounts.ts";
import type { Link, ServiceStanza } from "./handlers.ts";
import type { Names, Place } from "./names.ts";
import type { Cargo } from "./outbound.ts";
import type { Session } from "./session.ts";
import type { Views } from "./views.ts";

/** Whoever a stanza came from: a session of ours, or somebody behind a link. */
export interface Sender {
  readonly session: Session | undefined;
  /** Full address under `view`. */
  readonly from: Jid;
  readonly address: string;
  readonly view: string;
  /** Whether an address, under whatever name of the domain, means the sender. */
  isOwn(address: string): boolean;
  /** Sends an answer back. */
  send(stanza: Xml | Buffer, after: Ticket, cargo?: Cargo): void;
}

/** Full and bare address, under every name of the domain and of the person. */
export function isOwn(names: Names, accounts: Accounts, session: Session, given: string): boolean {
  if (given === session.address || given === session.bareAddress) return true;
  const address = parseJid(given);
  const place = address && names.locate(address);
  return (
    place?.at === "account" &&
    accounts.get(place.served.id, place.name) === session.account &&
    (place.resource === "" || place.resource === session.resource)
  );
}

export function sessionSender(names: Names, accounts: Accounts, session: Session): Sender {
  return {
    ...{ session, from: session.jid, address: session.address, view: session.view },
    isOwn: (address) => isOwn(names, accounts, session, address),
    send: (stanza, after, cargo) => session.outbound.stanza(stanza, after, cargo),
  };
}

export function linkedSender(names: Names, from: Jid, link: Link): Sender {
  const stored = names.relative(from);
  return {
    ...{ session: undefined, from, address: formatJid(from), view: link.view },
    isOwn(address) {
      const parsed = parseJid(address);
      return parsed !== undefined && names.relative(parsed) === stored;
    },
    send: (stanza, after) => link.send(stanza, after),
  };
}

/** A stanza as it came, for somebody under `view`. */
export function rewritten(
  views: Views,
  stanza: Stanza,
  from: Pick<Sender, "address" | "view">,
  view: string,
  to: Jid,
): Buffer {
  if (from.view === view) return writeStanza(stanza, { from: from.address, to: formatJid(to) });
  return writeStanza(stanza, {
    from: views.address(from.address, view),
    to: views.address(formatJid(to), view),
    payload: views.payload(stanza.payload(), from.view, view),
  });
}

export function serviceStanza(
  { session, from, view }: Pick<Sender, "session" | "from" | "view">,
  stanza: Stanza,
  place: Place & { readonly at: "service" },
  to: Jid,
): ServiceStanza {
  return { stanza, session, from, view, place, to };
}
