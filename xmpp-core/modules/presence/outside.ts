import { bare, type Jid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { OutsidePresence } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { blocking, visibility } from "../points.ts";
import { nothingSaid, renderer, type Said } from "./said.ts";

/** Presence between accounts and contacts behind services: gateways. RFC 6121 §4, as between two servers. */
export interface OutsidePresences {
  /** Sends a presence of the account to a contact, unless he is blocked. */
  send(account: Account, contact: string, render: (view: string, to: string) => Xml): void;
  /** Asks for the presence of everybody behind services whom the session's owner may see. */
  probe(session: Session): void;
  /** Begins or ends the presence of `from` for a contact. */
  flow(from: Account, contact: string, shown: boolean): void;
  /** Answers who asks for the presence of an account. RFC 6121 §4.3.2 */
  answer(flow: OutsidePresence): void;
  /** A service came: it is told who is there and asked the same. */
  came(label: string): void;
  /** A service is gone, and with it everybody behind it. */
  left(label: string): void;
}

export function outsidePresences(core: Core, lastSaid: (session: Session) => Said | undefined): OutsidePresences {
  const { names, accounts, router } = core;
  const sight = () => core.offered(visibility)[0];

  const isBlocked = (account: Account, address: Jid): boolean =>
    core.offered(blocking).some((one) => one.blocks(account, address));

  function addressOf(contact: string): Jid | undefined {
    return parseJid(names.absolute(contact, names.primary.name));
  }

  function send(account: Account, contact: string, render: (view: string, to: string) => Xml): void {
    const address = addressOf(contact);
    if (address !== undefined && !isBlocked(account, address)) router.sendTo(address, render);
  }

  function ask(session: Session, contact: string): void {
    send(session.account, contact, (view, to) =>
      x("presence", { type: "probe", from: router.views.address(session.address, view), to }),
    );
  }

  function show(from: Account, contact: string, said: (session: Session) => Said | undefined): number {
    let shown = 0;
    for (const session of from.sessions) {
      const now = said(session);
      if (now === undefined) continue;
      send(from, contact, renderer(router.views, session, now));
      shown++;
    }
    return shown;
  }

  /** Goes through the accounts with sessions, one roster after the other, as long as the service is here or away. */
  function throughAll(label: string, here: boolean, work: (account: Account) => void): void {
    const go = async (): Promise<void> => {
      for (const account of [...accounts.all()]) {
        if (account.sessions.length === 0 || account.probe) continue;
        for (let loading = sight()?.load(account); loading !== undefined; loading = sight()?.load(account))
          await loading;
        if ((router.service(label)?.link !== undefined) !== here) return;
        work(account);
      }
    };
    core.seeThrough("contacts behind a service", go());
  }

  function* at(label: string, contacts: Iterable<string> | undefined): IterableIterator<string> {
    for (const contact of contacts ?? []) if (contact.endsWith(`@${label}.`)) yield contact;
  }

  function isSeenBy(account: Account, contact: string): boolean {
    for (const each of sight()?.outsideWatchers(account) ?? []) if (each === contact) return true;
    return false;
  }

  async function answer(flow: OutsidePresence): Promise<void> {
    const account = accounts.get(flow.place.served.id, flow.place.name);
    const contact = names.relative(bare(flow.from));
    const exists = account !== undefined && !account.probe && !account.contact;
    if (exists)
      for (let loading = sight()?.load(account); loading !== undefined; loading = sight()?.load(account)) await loading;
    const reply = (type: "unsubscribed" | "unavailable"): boolean =>
      router.sendTo(flow.from, (view, to) =>
        x("presence", { type, from: names.absolute(`${flow.place.name}@`, view), to }),
      );
    // Nobody and somebody who does not show himself are the same to who asks.
    if (!exists || isBlocked(account, flow.from) || !isSeenBy(account, contact)) return void reply("unsubscribed");
    if (show(account, contact, lastSaid) === 0) reply("unavailable");
  }

  return {
    send,
    probe(session) {
      for (const contact of sight()?.outsideWatched(session.account) ?? []) ask(session, contact);
    },
    flow: (from, contact, shown) =>
      void show(from, contact, (session) => lastSaid(session) && (shown ? lastSaid(session) : nothingSaid)),
    answer(flow) {
      core.seeThrough("a probe", answer(flow));
    },
    came: (label) =>
      throughAll(label, true, (account) => {
        for (const contact of at(label, sight()?.outsideWatchers(account))) show(account, contact, lastSaid);
        const session = account.sessions.find((each) => each.priority !== undefined);
        if (session === undefined) return;
        for (const contact of at(label, sight()?.outsideWatched(account))) ask(session, contact);
      }),
    left: (label) =>
      throughAll(label, false, (account) => {
        for (const contact of at(label, sight()?.outsideWatched(account)))
          for (const session of account.sessions) {
            if (session.priority === undefined) continue;
            const from = names.absolute(contact, session.view);
            router.send(session, x("presence", { type: "unavailable", from, to: session.bareAddress }));
          }
      }),
  };
}
