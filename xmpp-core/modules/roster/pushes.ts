import { z } from "zod";
import { ns } from "../../formats/namespaces.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Session } from "../../routing/session.ts";
import { sessionState } from "../../routing/session-state.ts";
import { type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { rosterPushed, type SharedContacts, sharedContacts } from "../points.ts";
import { contactAccount, longestStory, type Roster, type Rosters } from "./rosters.ts";
import { everyShown, itemElement, type Shown, shownContact } from "./shown.ts";
import * as tables from "./tables.ts";

/** The version of the roster that the session asked for last; "": it never did and gets no pushes. RFC 6121 §2.1.6 */
export const interested = sessionState("roster", { schema: z.string(), initial: "" });

export function isInterested(session: Session): boolean {
  return interested.get(session) !== "";
}

// How many shared contacts are pushed again to a session that a crash may have kept from them.
const mostRepeated = 500;

/** Shows rosters to clients: whole, as what changed since a version, and as pushes. RFC 6121 §2.1.6, §2.6 */
export interface Pushes {
  /** What a session gets for a roster request; `follow` is called once the answer is queued. */
  answer(
    session: Session,
    roster: Roster,
    known: string | undefined,
  ): { payload: Xml | undefined; follow?: () => void };
  /** Pushes contacts (stored form) as they are now, or as removed, to the sessions that asked for the roster. */
  push(account: Account, contacts: Iterable<string>): void;
  /** Pushes what a session may have missed in a crash. */
  repeat(session: Session): Promise<void>;
  shown(roster: Roster, contact: string): Shown | undefined;
}

export function rosterPushes(core: Core, rosters: Rosters, versioning: () => boolean): Pushes {
  const { names, accounts, storage, router } = core;
  const sharing = (): SharedContacts | undefined => core.offered(sharedContacts)[0];
  let lastPush = 0;

  // The view is part of it: under another name of the domain every address in the roster is another.
  function version(roster: Roster, view: string): string {
    return `${names.epochOf(view)}.${roster.version}.${sharing()?.version(roster.account) ?? ""}`;
  }

  /** The count of the user's own changes that a client knows of; undefined if more than those has changed since. */
  function countOf(known: string, now: string): number | undefined {
    const [view, count, ...shared] = known.split(".");
    const [viewNow, countNow, ...sharedNow] = now.split(".");
    if (view !== viewNow || shared.join(".") !== sharedNow.join(".") || !/^\d{1,15}$/.test(count ?? ""))
      return undefined;
    const behind = Number(countNow) - Number(count);
    return behind >= 0 && behind <= longestStory ? Number(count) : undefined;
  }

  function shown(roster: Roster, contact: string): Shown | undefined {
    const other = contactAccount(accounts, roster.account, contact);
    return shownContact(roster.items.get(contact), other && sharing()?.contact(roster.account, other));
  }

  function pushed(roster: Roster, contact: string, view: string): Xml {
    const item = shown(roster, contact);
    if (item !== undefined) return itemElement(names, item, view);
    return x("item", { jid: names.absolute(contact, view), subscription: "remove" });
  }

  function tellOthers(account: Account, contacts: readonly string[]): void {
    const wanting = core.offered(rosterPushed).filter(({ wanted }) => wanted);
    if (wanting.length === 0) return;
    const tell = (roster: Roster): void => {
      for (const one of wanting)
        one.pushed(account, (view) => contacts.map((contact) => pushed(roster, contact, view)));
    };
    const roster = rosters.get(account);
    if (roster !== undefined) return tell(roster);
    rosters
      .load(account)
      .then(tell, (error: unknown) => core.report.wrong({ what: `roster of ${account.name}`, error }));
  }

  function pushTo(session: Session, roster: Roster, contacts: readonly string[]): void {
    const now = version(roster, session.view);
    contacts.forEach((contact, index) => {
      const element = pushed(roster, contact, session.view);
      // Only the last of several pushes brings a client up to the version; the others lead to a whole roster.
      const ver = versioning() ? (index === contacts.length - 1 ? now : `${now}~${index}`) : undefined;
      const query = x("query", { xmlns: ns.roster, ver }, element);
      router.send(session, x("iq", { type: "set", id: `roster-${++lastPush}`, to: session.address }, query));
    });
  }

  async function changedSince(roster: Roster, count: number): Promise<string[]> {
    const removed = await storage.read(tables.removedSince, roster.account.id, count);
    const changed = [...roster.items.values()].filter((item) => item.version > count);
    changed.sort((one, other) => one.version - other.version);
    return [...removed.map(({ contact }) => contact), ...changed.map(({ contact }) => contact)];
  }

  const whole = (session: Session, roster: Roster, ver: string | undefined): Xml => {
    const items: Xml[] = [];
    for (const item of everyShown(roster, accounts, sharing())) items.push(itemElement(names, item, session.view));
    return x("query", { xmlns: ns.roster, ver }, items);
  };

  async function story(session: Session, account: Account, count: number): Promise<void> {
    const contacts = await changedSince(await rosters.load(account), count);
    const roster = await rosters.load(account);
    if (!session.ended) pushTo(session, roster, contacts);
  }

  return {
    shown,
    answer(session, roster, known) {
      const now = version(roster, session.view);
      interested.set(session, now);
      if (!versioning()) return { payload: whole(session, roster, undefined) };
      if (known === now) return { payload: undefined };
      const count = known === undefined ? undefined : countOf(known, now);
      if (count === undefined) return { payload: whole(session, roster, known === undefined ? undefined : now) };
      const follow = (): void => core.seeThrough(`roster of ${session.address}`, story(session, roster.account, count));
      return { payload: undefined, follow };
    },
    push(account, given) {
      const contacts = [...given];
      tellOthers(account, contacts);
      const sessions = account.sessions.filter(isInterested);
      if (sessions.length === 0) return;
      const roster = rosters.get(account);
      if (roster !== undefined) {
        for (const session of sessions) pushTo(session, roster, contacts);
        return;
      }
      rosters.load(account).then(
        (loaded) => {
          for (const session of account.sessions.filter(isInterested)) pushTo(session, loaded, contacts);
        },
        (error: unknown) => core.report.wrong({ what: `roster of ${account.name}`, error }),
      );
    },
    async repeat(session) {
      const roster = await rosters.load(session.account);
      const now = version(roster, session.view);
      const known = interested.get(session);
      if (known === "" || known === now) return;
      const count = /^\d+\.(\d+)\./.exec(known)?.[1];
      const contacts = new Set(await changedSince(roster, Number(count ?? 0)));
      if (countOf(known, now) === undefined)
        for (const { account, subscription } of sharing()?.contactsOf(session.account) ?? [])
          if (subscription !== "from" && contacts.size < mostRepeated) contacts.add(`${account.name}@`);
      if (session.ended) return;
      pushTo(session, await rosters.load(session.account), [...contacts]);
      interested.set(session, now);
    },
  };
}
