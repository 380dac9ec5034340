import { z } from "zod";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { Jid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqRequest, MessageFlow } from "../../routing/handlers.ts";
import { ready } from "../../routing/messages.ts";
import type { Session } from "../../routing/session.ts";
import { sessionState } from "../../routing/session-state.ts";
import type { Write } from "../../storage/statement.ts";
import type { Ticket } from "../../storage/storage.ts";
import { type Xml, x } from "../../xml/writer.ts";
import { type Core, defineModule } from "../module.ts";
import { blocking, blockLists, rosterFacts } from "../points.ts";
import { renamed } from "../stored-address.ts";
import { denies, isBlock, itemElements, itemsIn, needsRoster, type PrivacyItem, type PrivacyKind } from "./items.ts";
import { changesOfPresence } from "./presence.ts";
import * as tables from "./tables.ts";

const mostLists = 50;
const longestName = 200;
/** The default list of who has only a block list. XEP-0191 §5 */
const virtualName = "blocklist";

/** The list that this session uses instead of the default one. */
const activeList = sessionState("privacy list", { schema: z.string().nullable(), initial: null });

/** What one person has; immutable. */
interface Held {
  readonly lists: ReadonlyMap<string, readonly PrivacyItem[]>;
  readonly default: string | undefined;
}
const nothingHeld: Held = { lists: new Map(), default: undefined };
const noItems: readonly PrivacyItem[] = [];

/**
 * Lets people say by rules whom they deal with. XEP-0016. The block list (XEP-0191) is the head of the default list: the
 * rules there that shut one address out altogether. It holds whatever list is active, and choosing another default list
 * never unblocks anybody.
 */
export const privacyLists = defineModule({
  name: "privacy-lists",
  implements: [
    {
      spec: "XEP-0016",
      version: "1.7",
      status: "complete",
      note: "the block list stands at the head of the default list and holds under every active list",
    },
  ],
  features: [ns.privacy],
  migrations: [tables.privacyMigration],
  sessionState: [activeList],
  start,
});

function start(core: Core) {
  const { names, sessions, storage } = core;
  /** Of those who have a list. */
  const held = new Map<number, Held>();
  const of = (account: Account): Held => held.get(account.id) ?? nothingHeld;
  const loaded = Promise.all([storage.read(tables.everyList), storage.read(tables.everyDefault)]).then(
    ([lists, defaults]) => {
      const found = new Map<number, Map<string, readonly PrivacyItem[]>>();
      for (const { account, name, items } of lists)
        found.set(account, (found.get(account) ?? new Map()).set(name, JSON.parse(items) as PrivacyItem[]));
      const chosen = new Map(defaults.map(({ account, name }) => [account, name]));
      for (const [account, own] of found) hold(account, { lists: own, default: chosen.get(account) });
    },
  );

  function hold(id: number, now: Held): void {
    if (now.lists.size === 0) held.delete(id);
    else held.set(id, now);
    const account = core.accounts.byId(id);
    if (account !== undefined && [...now.lists.values()].some(needsRoster)) core.offered(rosterFacts)[0]?.hold(account);
  }

  const defaultItems = (account: Account): readonly PrivacyItem[] => {
    const own = of(account);
    return (own.default === undefined ? undefined : own.lists.get(own.default)) ?? noItems;
  };
  const itemsFor = (session: Session): readonly PrivacyItem[] => {
    const active = activeList.get(session);
    return (active === null ? undefined : of(session.account).lists.get(active)) ?? defaultItems(session.account);
  };
  /** Nobody shuts out himself or the server. */
  function exempt(account: Account, other: Jid): boolean {
    const place = names.locate(other);
    if (place.at === "account") return core.accounts.get(place.served.id, place.name) === account;
    return place.at === "server";
  }
  function hides(session: Session, kind: PrivacyKind | "sent", other: Jid): boolean {
    if (held.size === 0 || !held.has(session.account.id)) return false;
    const items = itemsFor(session);
    return items.length > 0 && !exempt(session.account, other) && denies(core, session.account, items, kind, other);
  }
  function hidesAll(account: Account, kind: PrivacyKind | "sent", other: Jid): boolean {
    if (held.size === 0 || !held.has(account.id)) return false;
    const items = defaultItems(account);
    return items.length > 0 && !exempt(account, other) && denies(core, account, items, kind, other);
  }
  core.offer(blocking, {
    blocks: (account, other) => hidesAll(account, "sent", other),
    hidesPresence: (session, way, other) => hides(session, way === "in" ? "presence-in" : "presence-out", other),
    hidesMessage: (session, other) => hides(session, "message", other),
  });

  // ---------------------------------------------------------------- messages

  /** A message to the bare address is refused if none of those who would get it takes it. */
  function admit(flow: MessageFlow): StanzaError | undefined {
    if (held.size === 0) return undefined;
    const { sender, recipient, from, to, place } = flow;
    if (sender !== undefined && hides(sender, "sent", to)) return stanzaError("not-acceptable", { type: "cancel" });
    if (recipient === undefined || recipient === sender?.account || !held.has(recipient.id)) return undefined;
    const resource = place.at === "account" ? place.resource : "";
    const exact = resource === "" ? undefined : sessions.get(recipient, resource);
    const targets = exact === undefined ? ready(recipient) : [exact];
    const refused =
      targets.length === 0
        ? hidesAll(recipient, "message", from)
        : targets.every((session) => hides(session, "message", from));
    return refused ? stanzaError("service-unavailable") : undefined;
  }

  function amend(flow: MessageFlow): void {
    const { recipient, sender, from } = flow;
    if (held.size === 0 || recipient === undefined || recipient === sender?.account || !held.has(recipient.id)) return;
    flow.targets = flow.targets.filter((session) => !hides(session, "message", from));
  }

  // ---------------------------------------------------------------- the lists themselves

  const blocked = (account: Account): readonly string[] => core.offered(blockLists)[0]?.of(account) ?? [];
  /** A block list alone is shown as a list of its own. */
  function defaultName(account: Account): string | undefined {
    const own = of(account);
    if (own.default !== undefined) return own.default;
    return blocked(account).length > 0 && !own.lists.has(virtualName) ? virtualName : undefined;
  }

  /** The list as the client sees it: the default one with the block list at its head. */
  function shownItems(account: Account, name: string): readonly PrivacyItem[] | undefined {
    const isDefault = defaultName(account) === name;
    const own = of(account).lists.get(name) ?? (isDefault ? noItems : undefined);
    if (own === undefined || !isDefault) return own;
    const head = blocked(account).map(
      (value, order): PrivacyItem => ({ type: "jid", value, allow: false, order, kinds: [] }),
    );
    const shift = Math.max(0, head.length - (own[0]?.order ?? 0));
    return [...head, ...own.map((item) => ({ ...item, order: item.order + shift }))];
  }

  function get(request: IqRequest): IqAnswer {
    const { session, element } = request;
    const { account } = session;
    const asked = element.getChildElements();
    const query = (...content: Xml[]): IqAnswer => request.result(x("query", { xmlns: ns.privacy }, content));
    if (asked.length === 0) {
      const active = activeList.get(session);
      const standard = defaultName(account);
      const known = new Set([...of(account).lists.keys(), ...(standard === undefined ? [] : [standard])]);
      return query(
        ...(active === null ? [] : [x("active", { name: active })]),
        ...(standard === undefined ? [] : [x("default", { name: standard })]),
        ...[...known].map((name) => x("list", { name })),
      );
    }
    const [list] = asked;
    if (asked.length > 1 || list === undefined || list.name !== "list")
      return request.error(stanzaError("bad-request", { text: "One list is asked for at a time." }));
    const name = String(list.attrs.name ?? "");
    const items = shownItems(account, name);
    return items === undefined
      ? request.error(noList())
      : query(x("list", { name }, itemElements(core, items, session.view)));
  }

  function set(request: IqRequest): IqAnswer {
    const asked = request.element.getChildElements();
    const [change] = asked;
    if (asked.length !== 1 || change === undefined)
      return request.error(stanzaError("bad-request", { text: "One thing is changed at a time." }));
    const given: unknown = change.attrs.name;
    const name = typeof given === "string" ? given : undefined;
    const { session } = request;
    let outcome: Ticket | StanzaError = stanzaError("bad-request", { text: "active, default or list was expected." });
    // Whoever sees the session's presence by the new rules and not by the old ones, or the other way round, is told.
    const told = changesOfPresence(core, session.account, hides);
    if (change.name === "active") outcome = choose(session, name);
    else if (change.name === "default") outcome = chooseDefault(session, name);
    else if (change.name === "list" && name !== undefined && name.length <= longestName && name !== "")
      outcome = change.getChild("item", ns.privacy) === undefined ? remove(session, name) : edit(request, name, change);
    if (typeof outcome !== "number") return request.error(outcome);
    const answer = request.result(undefined, outcome);
    told();
    return answer;
  }

  function choose(session: Session, name: string | undefined): Ticket | StanzaError {
    const virtual = name !== undefined && !of(session.account).lists.has(name);
    if (virtual && defaultName(session.account) !== name) return noList();
    activeList.set(session, virtual || name === undefined ? null : name);
    return sessions.commit(session, []);
  }

  /** Whether the list is used by another connected session: by its own choice, or as the default. XEP-0016 §2.2 */
  function inUse(session: Session, name: string): boolean {
    const standard = defaultName(session.account);
    return session.account.sessions.some((other) => {
      if (other === session) return false;
      const active = activeList.get(other);
      return active === null ? standard === name : active === name;
    });
  }

  function chooseDefault(session: Session, name: string | undefined): Ticket | StanzaError {
    const { account } = session;
    const own = of(account);
    const standing = own.default;
    if (name === defaultName(account)) return sessions.commit(session, []);
    if (name !== undefined && !own.lists.has(name)) return noList();
    if (standing !== undefined && inUse(session, standing)) return conflict();
    if (name === undefined) return save(session, { ...own, default: undefined }, [tables.dropDefault.with(account.id)]);
    const [head, rest] = split(own.lists.get(name) ?? noItems);
    const lists = new Map(own.lists).set(name, rest);
    const writes = [
      tables.putDefault.with(account.id, name),
      tables.putList.with(account.id, name, JSON.stringify(rest)),
    ];
    const shut = new Set(blocked(account));
    return (
      reblock(
        session,
        head.filter((jid) => !shut.has(jid)),
        [],
      ) ?? save(session, { lists, default: name }, writes)
    );
  }

  function remove(session: Session, name: string): Ticket | StanzaError {
    const { account } = session;
    const own = of(account);
    const isDefault = defaultName(account) === name;
    if (!own.lists.has(name) && !isDefault) return noList();
    if (inUse(session, name)) return conflict();
    if (activeList.get(session) === name) activeList.set(session, null);
    const lists = new Map(own.lists);
    lists.delete(name);
    const writes = [
      tables.dropList.with(account.id, name),
      ...(isDefault ? [tables.dropDefault.with(account.id)] : []),
    ];
    const failed = isDefault ? reblock(session, [], blocked(account)) : undefined;
    const ticket = failed ?? save(session, { lists, default: isDefault ? undefined : own.default }, writes);
    if (typeof ticket === "number") push(account, name, ticket);
    return ticket;
  }

  function edit(request: IqRequest, name: string, list: IqRequest["element"]): Ticket | StanzaError {
    const { session } = request;
    const { account } = session;
    const items = itemsIn(core, list);
    if (typeof items === "string") return stanzaError("bad-request", { text: items });
    const own = of(account);
    if (!own.lists.has(name) && own.lists.size >= mostLists)
      return stanzaError("resource-constraint", { type: "cancel", text: `One person has ${mostLists} lists at most.` });
    const isDefault = defaultName(account) === name;
    const [head, rest] = isDefault ? split(items) : [[], items];
    const lists = new Map(own.lists).set(name, rest);
    const writes = [tables.putList.with(account.id, name, JSON.stringify(rest))];
    if (isDefault) writes.push(tables.putDefault.with(account.id, name));
    let failed: StanzaError | undefined;
    if (isDefault) {
      const [before, now] = [new Set(blocked(account)), new Set(head)];
      const fresh = head.filter((jid) => !before.has(jid));
      failed = reblock(
        session,
        fresh,
        [...before].filter((jid) => !now.has(jid)),
      );
    }
    const ticket = failed ?? save(session, { lists, default: isDefault ? name : own.default }, writes);
    if (typeof ticket === "number") push(account, name, ticket);
    return ticket;
  }

  /** Changes the block list; its rows go with those of the list, which is committed in the same turn. */
  function reblock(session: Session, block: readonly string[], unblock: readonly string[]): StanzaError | undefined {
    const shut = core.offered(blockLists)[0];
    if (block.length > (shut?.room(session.account) ?? 0))
      return stanzaError("policy-violation", { text: "The block list would be too long." });
    if (block.length + unblock.length > 0) shut?.change(session, [...new Set(block)], unblock);
    return undefined;
  }

  function save(session: Session, now: Held, writes: readonly Write[]): Ticket {
    const { id } = session.account;
    const before = of(session.account);
    hold(id, now);
    return sessions.commit(session, [...writes], () => hold(id, before));
  }

  /** XEP-0016 §2.2: every connected client hears of it, behind the answer. */
  function push(account: Account, name: string, after: Ticket): void {
    queueMicrotask(() => {
      for (const session of account.sessions) {
        const id = core.random(6).toString("base64url");
        const query = x("query", { xmlns: ns.privacy }, x("list", { name }));
        core.router.send(session, x("iq", { type: "set", id, to: session.address }, query), after);
      }
    });
  }

  // ---------------------------------------------------------------- who changes his name, and who goes

  /** Rows and memory of lists whose rules name this local part; `now` undefined: the rules go. */
  function renameIn(
    account: Account,
    before: string,
    now: string | undefined,
  ): { id: number; held: Held; writes: Write[] }[] {
    const changed: { id: number; held: Held; writes: Write[] }[] = [];
    for (const [id, own] of held) {
      if (core.accounts.byId(id)?.served !== account.served) continue;
      const lists = new Map(own.lists);
      const writes: Write[] = [];
      for (const [name, items] of own.lists) {
        const names = (item: PrivacyItem): boolean =>
          item.type === "jid" && renamed(item.value ?? "", before, "") !== undefined;
        if (!items.some(names)) continue;
        const next = items.flatMap((item) => {
          if (!names(item)) return [item];
          return now === undefined ? [] : [{ ...item, value: renamed(item.value ?? "", before, now) ?? "" }];
        });
        lists.set(name, next);
        writes.push(tables.putList.with(id, name, JSON.stringify(next)));
      }
      if (writes.length > 0) changed.push({ id, held: { ...own, lists }, writes });
    }
    return changed;
  }

  function leave(account: Account): Write[] {
    const changed = renameIn(account, account.name, undefined);
    // Memory follows the caller's commit.
    setImmediate(() => {
      storage.write([]).then(
        () => {
          if (core.accounts.byId(account.id) === account) return;
          held.delete(account.id);
          for (const each of changed) hold(each.id, each.held);
        },
        (error: unknown) => core.report.wrong({ what: "privacy lists", error }),
      );
    });
    return changed.flatMap(({ writes }) => writes);
  }

  return {
    ready: loaded,
    iq: [
      { get: [ns.privacy, "query"] as const, at: ["account"] as const, answer: get },
      { set: [ns.privacy, "query"] as const, at: ["account"] as const, answer: set },
    ],
    message: { admit, amend },
    account: {
      renamed(account: Account, before: string) {
        const changed = renameIn(account, before, account.name);
        for (const each of changed) hold(each.id, each.held);
        if (changed.length > 0) storage.commit(changed.flatMap(({ writes }) => writes));
      },
      setAside: leave,
      removed: leave,
    },
    admitsIq: (session: Session, target: Session) =>
      held.size === 0 ||
      session.account === target.account ||
      !(hides(target, "iq", session.jid) || hides(session, "sent", target.jid)),
  };
}

const noList = (): StanzaError => stanzaError("item-not-found", { text: "There is no list of this name." });
const conflict = (): StanzaError =>
  stanzaError("conflict", { text: "Another device of yours uses this list at the moment." });

/** The addresses that the rules at the head of a list shut out altogether, and the other rules. XEP-0191 §5 */
function split(items: readonly PrivacyItem[]): [head: string[], rest: readonly PrivacyItem[]] {
  const end = items.findIndex((item) => !isBlock(item));
  const at = end < 0 ? items.length : end;
  return [items.slice(0, at).map(({ value }) => value ?? ""), items.slice(at)];
}
