import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqRequest } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { x } from "../../xml/writer.ts";
import { acquaintance } from "../account-points.ts";
import { type Core, defineModule } from "../module.ts";
import {
  countable,
  presences,
  rosterFacts,
  rosterLists,
  type SharedContactChange,
  sharedContacts,
  sharedContactsChanged,
  subscriptions,
  visibility,
} from "../points.ts";
import { newChange, pushLater, settle } from "./change.ts";
import { factsOf } from "./facts.ts";
import { interested, isInterested, rosterPushes } from "./pushes.ts";
import { readWish, type Wish } from "./request.ts";
import { contactAccount, contactOf, openRosters, type Roster } from "./rosters.ts";
import { everyShown, itemElement, shownContact } from "./shown.ts";
import { subscriptionRoad } from "./subscriptions.ts";
import * as tables from "./tables.ts";
import { rosterVisibility } from "./visibility.ts";

const active = property("xmpp.client.roster.active", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether users have contact lists. Without them nobody sees the presence of others.",
});

const versioningActive = property("xmpp.client.roster.versioning.active", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether a client that knows a version of its roster gets only what changed since.",
});

// A bound against rosters that exist to fill the disk.
const mostItems = 10_000;

/** Contact lists and who may see whose presence. RFC 6121 §2 and §3, XEP-0237 */
export const roster = defineModule({
  name: "roster",
  implements: [
    { spec: "RFC 6121", section: "2", status: "complete" },
    {
      spec: "RFC 6121",
      section: "3",
      status: "partial",
      note: "between accounts of this server and with contacts behind its components",
    },
    { spec: "XEP-0237", version: "1.3", status: "complete" },
  ],
  features: [ns.roster],
  properties: [active, versioningActive],
  migrations: [tables.rosterMigration],
  sessionState: [interested],
  start,
});

function start(core: Core) {
  const { accounts, names, storage, properties } = core;
  const rosters = openRosters(storage);
  const crashed = new Set<Session>();
  const isActive = (): boolean => properties.get(active);
  const versioning = (): boolean => properties.get(versioningActive);
  const pushes = rosterPushes(core, rosters, versioning);
  const sight = rosterVisibility(core, rosters, isActive);
  const road = subscriptionRoad(core, { rosters, pushes, visibility: sight, active: isActive });
  core.offer(visibility, sight);
  core.offer(rosterFacts, factsOf(core, rosters, isActive));
  core.offer(subscriptions, road);
  core.offer(acquaintance, road);
  core.offer(rosterLists, {
    async items(account, view) {
      const mine = rosters.get(account) ?? (await rosters.load(account));
      const shown = everyShown(mine, accounts, core.offered(sharedContacts)[0]);
      return Array.from(shown, (each) => itemElement(names, each, view));
    },
    change: (account, query, view) => change(account, query, view, undefined),
  });
  core.offer(sharedContactsChanged, { sharedContactsChanged: sharedChanged });
  core.offer(countable, {
    what: "rosterItems",
    count: async () => (await storage.read(tables.countItems))[0]?.count ?? 0,
    foreignUnder: async (domain) => (await storage.read(tables.contactsUnder, domain)).map(({ contact }) => contact),
    localise: (domain) => [
      ...tables.localiseItems.map((statement) => statement.with(domain)),
      tables.dropOwnItems.with(),
    ],
  });
  const unwatchNames = names.onChanged(() => rosters.forgetAll());
  const wrong = (account: Account) => (error: unknown) =>
    core.report.wrong({ what: `roster of ${account.name}`, error });

  function get(request: IqRequest): IqAnswer | Promise<IqAnswer> {
    if (!isActive()) return request.error(stanzaError("service-unavailable"));
    const { session } = request;
    const known: unknown = request.element.attrs.ver;
    const answer = (loaded: Roster): IqAnswer => {
      const { payload, follow } = pushes.answer(session, loaded, typeof known === "string" ? known : undefined);
      // Pushes of what changed since go behind the answer, which is queued when this returns.
      if (follow !== undefined) setImmediate(follow);
      return request.result(payload);
    };
    const loaded = rosters.get(session.account);
    return loaded === undefined ? rosters.load(session.account).then(answer) : answer(loaded);
  }

  async function set(request: IqRequest): Promise<IqAnswer> {
    const { session } = request;
    const refused = await change(session.account, request.element, session.view, session);
    return refused === undefined ? request.result() : request.error(refused);
  }

  async function change(
    owner: Account,
    query: Element,
    view: string,
    session: Session | undefined,
  ): Promise<StanzaError | undefined> {
    if (!isActive()) return stanzaError("service-unavailable");
    const wish = readWish(query, names, view);
    if ("condition" in wish) return wish;
    const place = names.locate(wish.jid);
    const account = place.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
    // A former name of an account leads to its present one.
    const contact = account === undefined ? names.relative(wish.jid) : contactOf(account);
    if (account === owner) return stanzaError("not-allowed", { text: "Nobody is his own contact." });
    const [mine, theirs] = await road.together(owner, wish.is === "remove" ? account : undefined);
    return wish.is === "remove" ? remove(session, mine, contact, theirs) : put(session, mine, contact, wish);
  }

  async function remove(session: Session | undefined, mine: Roster, contact: string, theirs: Roster | undefined) {
    const shown = pushes.shown(mine, contact);
    if (shown === undefined) return stanzaError("item-not-found", { text: "This contact is not in the roster." });
    if (shown.shared)
      return stanzaError("not-acceptable", {
        text: "This contact is there because of a shared group and cannot be removed.",
      });
    const change = newChange();
    road.endAll(change, mine, contact, theirs);
    return settle(core, rosters, change, session, pushes.push);
  }

  async function put(session: Session | undefined, mine: Roster, contact: string, wish: Wish & { is: "set" }) {
    const { account } = mine;
    const sharing = core.offered(sharedContacts)[0];
    const item = mine.items.get(contact);
    const other = contactAccount(accounts, account, contact);
    const shared = other && sharing?.contact(account, other);
    const visible = shared !== undefined && shared.subscription !== "from" ? shared : undefined;
    const inShared = new Set(visible?.groups);
    const reserved = new Set(sharing?.groupNames(account));
    const groups = wish.groups.filter((group) => !inShared.has(group));
    const taken = groups.find((group) => reserved.has(group) && !(item?.groups.includes(group) ?? false));
    if (taken !== undefined)
      return stanzaError("not-acceptable", {
        text: `"${taken}" is a shared group; its members are chosen by the administrator.`,
      });
    if (item === undefined && mine.items.size >= mostItems)
      return stanzaError("resource-constraint", {
        type: "cancel",
        text: `A roster holds at most ${mostItems} contacts.`,
      });
    const change = newChange();
    change.touched.add(account);
    pushLater(change, account, contact);
    // A shared contact becomes an own one when the user gives it a name or groups of his own.
    const plain = shownContact(undefined, visible);
    const same = plain !== undefined && item === undefined && groups.length === 0;
    if (!same || (wish.name !== undefined && wish.name !== plain.name)) {
      const facts = item ?? { subscription: "none" as const, ask: false, approved: false };
      change.writes.push(...mine.put({ ...facts, contact, name: wish.name, groups }));
    }
    return settle(core, rosters, change, session, pushes.push);
  }

  /** Pushes what shared groups changed, and lets presence begin and end with it. */
  function sharedChanged(changes: readonly SharedContactChange[]): void {
    const byAccount = new Map<Account, SharedContactChange[]>();
    for (const change of changes) {
      const list = byAccount.get(change.account);
      if (list === undefined) byAccount.set(change.account, [change]);
      else list.push(change);
    }
    for (const [account, list] of byAccount) {
      if (account.sessions.length === 0) continue;
      const loaded = rosters.get(account);
      if (loaded !== undefined) follow(loaded, list);
      else rosters.load(account).then((roster) => follow(roster, list), wrong(account));
    }
  }

  function follow(mine: Roster, changes: readonly SharedContactChange[]): void {
    const { account } = mine;
    if (!isActive()) return;
    const contacts = new Set<string>();
    const flows: (() => void)[] = [];
    for (const { contact: other, before, now, formerName } of changes) {
      const contact = contactOf(other);
      const item = mine.items.get(contact);
      // Own items under the former name are pushed when the roster has followed.
      if (formerName !== undefined && visible(before) && item === undefined) contacts.add(`${formerName}@`);
      if (visible(before) || visible(now)) contacts.add(contact);
      const own = item?.subscription === "to" || item?.subscription === "both";
      if (!own && visible(before) !== visible(now))
        flows.push(() => core.offered(presences)[0]?.flow(other, account, visible(now)));
    }
    if (contacts.size > 0 && account.sessions.some(isInterested)) pushes.push(account, contacts);
    for (const flow of flows) flow();
  }

  /** An account's address means somebody else from now on, or nobody: rosters in memory follow the disk. */
  function rereadAfterCommit(contacts: readonly string[]): void {
    setImmediate(() => {
      rosters.forgetOffline();
      for (const mine of rosters.held()) {
        const listed = contacts.some((contact) => mine.items.has(contact));
        if (!listed && !contacts.some((contact) => mine.requests.has(contact))) continue;
        rosters.forget(mine.account);
        if (listed) pushes.push(mine.account, contacts);
      }
    });
  }

  return {
    iq: [
      { get: [ns.roster, "query"] as const, at: ["account"] as const, answer: get },
      { set: [ns.roster, "query"] as const, at: ["account"] as const, answer: set },
    ],
    streamFeatures: () => [
      ...(isActive() && versioning() ? [x("ver", { xmlns: ns.rosterVersioning })] : []),
      ...(isActive() ? [x("sub", { xmlns: ns.preApproval })] : []),
    ],
    session: {
      opened: (session: Session) => rosters.sessionOpened(session.account),
      restored(session: Session, after: "restart" | "crash") {
        if (after === "crash" && isInterested(session)) crashed.add(session);
      },
      resumed(session: Session) {
        if (crashed.delete(session)) core.seeThrough(`roster of ${session.address}`, pushes.repeat(session));
      },
      closed(session: Session) {
        crashed.delete(session);
        rosters.sessionClosed(session.account);
      },
    },
    account: {
      renamed(account: Account, before: string) {
        const [now, then] = [contactOf(account), `${before}@`];
        const args = [now, then, account.served] as const;
        storage.commit([tables.renameContact.with(...args), tables.renameRequests.with(...args)]);
        rereadAfterCommit([then, now]);
      },
      setAside: (account: Account) => endLinks(account),
      removed: (account: Account) => endLinks(account),
    },
    stop: unwatchNames,
  };

  function endLinks(account: Account) {
    const contact = contactOf(account);
    rosters.forget(account);
    rereadAfterCommit([contact]);
    return [tables.endSubscriptions.with(contact, account.served), tables.endRequests.with(contact, account.served)];
  }

  function visible(shared: { subscription: string } | undefined): boolean {
    return shared !== undefined && shared.subscription !== "from";
  }
}
