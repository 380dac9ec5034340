import { z } from "zod";
import { ns } from "../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { type Jid, parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { IqAnswer, IqRequest } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { sessionState } from "../routing/session-state.ts";
import { read, type Write, write } from "../storage/statement.ts";
import type { Ticket } from "../storage/storage.ts";
import { type Xml, x } from "../xml/writer.ts";
import { defineModule } from "./module.ts";
import { blocking as blockingPoint, blockLists, blockReports, presences } from "./points.ts";
import { renamed, storedAddress } from "./stored-address.ts";

const migration = {
  name: "0012_blocking",
  sql: `
    CREATE TABLE blocked (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, jid TEXT NOT NULL, PRIMARY KEY (account, jid)
    ) WITHOUT ROWID;`,
};
const everything = read<[], { account: number; jid: string }>("SELECT account, jid FROM blocked");
const putBlocked = write<[account: number, jid: string]>("INSERT OR IGNORE INTO blocked (account, jid) VALUES (?, ?)");
const dropBlocked = write<[account: number, jid: string]>("DELETE FROM blocked WHERE account = ? AND jid = ?");

/** A list is small: it is held in memory as a whole, for everybody who has one. */
const longestList = 5000;

/** Sessions that asked for the list and are told of changes. XEP-0191 §3.3 */
const interested = sessionState("blocking", { schema: z.boolean(), initial: false });

const blockedHere = x("blocked", { xmlns: ns.blockingErrors });

/** Lets people shut others out. XEP-0191 */
export const blocking = defineModule({
  name: "blocking",
  implements: [{ spec: "XEP-0191", version: "1.3", status: "complete" }],
  features: [ns.blocking],
  accountFeatures: [ns.blocking],
  migrations: [migration],
  sessionState: [interested],
  start(core) {
    const { names, sessions } = core;
    const lists = new Map<number, Set<string>>();
    const loaded = core.storage.read(everything).then((rows) => {
      for (const row of rows) {
        const list = lists.get(row.account) ?? new Set();
        lists.set(row.account, list.add(row.jid));
      }
    });

    /** XEP-0191 §3: full address, bare address, domain/resource, domain. */
    function blocks(account: Account, other: Jid): boolean {
      const list = lists.get(account.id);
      if (list === undefined || list.size === 0) return false;
      const { local, domain, resource } = other;
      const forms = [
        other,
        { local, domain, resource: "" },
        { local: "", domain, resource },
        { local: "", domain, resource: "" },
      ];
      return forms.some((form) => list.has(names.relative(form)));
    }
    core.offer(blockingPoint, { blocks });

    const items = (account: Account, view: string): Xml[] =>
      [...(lists.get(account.id) ?? [])].map((jid) => x("item", { jid: names.absolute(jid, view) }));

    /** Addresses of the request in stored form; undefined if one is none. */
    function addressesIn(request: IqRequest): string[] | undefined {
      const found: string[] = [];
      for (const item of request.element.getChildren("item", ns.blocking)) {
        const address = parseJid(String(item.attrs.jid ?? ""));
        if (address === undefined) return undefined;
        found.push(storedAddress(core, address));
      }
      return found;
    }

    /** Entries that name this local part, with whose list they are in. */
    function* naming(served: number, name: string): IterableIterator<{ owner: number; jid: string }> {
      for (const [owner, list] of lists) {
        if (core.accounts.byId(owner)?.served !== served) continue;
        for (const jid of list) if (renamed(jid, name, "") !== undefined) yield { owner, jid };
      }
    }

    /** Who is blocked stays blocked under another name. */
    function follow(account: Account, before: string): void {
      const writes: Write[] = [];
      for (const { owner, jid } of [...naming(account.served, before)]) {
        const now = `${account.name}${jid.slice(before.length)}`;
        lists.get(owner)?.delete(jid);
        lists.get(owner)?.add(now);
        writes.push(dropBlocked.with(owner, jid), putBlocked.with(owner, now));
      }
      if (writes.length > 0) core.storage.commit(writes);
    }

    /** The name may become somebody else's, whom nobody has blocked. Memory follows the caller's commit. */
    function leave(account: Account): Write[] {
      const { served, name } = account;
      const entries = [...naming(served, name)];
      if (entries.length > 0)
        setImmediate(() => {
          core.storage.write([]).then(
            () => {
              if (core.accounts.byId(account.id) === account) return;
              for (const { owner, jid } of entries) lists.get(owner)?.delete(jid);
            },
            (error: unknown) => core.report.wrong({ what: "block lists", error }),
          );
        });
      return entries.map(({ owner, jid }) => dropBlocked.with(owner, jid));
    }

    function push(session: Session, account: Account, change: (view: string) => Xml, after: number): void {
      for (const other of account.sessions) {
        if (interested.get(other)) pushTo(other, change(other.view), after, session);
      }
    }

    function pushTo(session: Session, change: Xml, after: number, asker?: Session): void {
      const id = core.random(6).toString("base64url");
      const from = session === asker ? undefined : session.bareAddress;
      core.router.send(session, x("iq", { type: "set", id, to: session.address, from }, change), after);
    }

    /** Presence stops or comes back for local people whom the list names. */
    function showPresence(account: Account, jids: readonly string[], shown: boolean): void {
      for (const jid of jids) {
        const address = parseJid(names.absolute(jid, names.primary.name));
        const place = address && names.locate(address);
        const other = place?.at === "account" ? core.accounts.get(place.served.id, place.name) : undefined;
        if (other !== undefined) for (const one of core.offered(presences)) one.blockingChanged(account, other, !shown);
      }
    }

    /** `told`: what the pushes name; nothing for "unblock all". */
    function apply(
      session: Session,
      named: readonly string[],
      blockThem: boolean,
      told: readonly string[],
      more: readonly Write[] = [],
    ): Ticket {
      const { account } = session;
      const before = lists.get(account.id) ?? new Set<string>();
      const list = new Set(before);
      if (blockThem) showPresence(account, named, false);
      for (const jid of named)
        if (blockThem) list.add(jid);
        else list.delete(jid);
      lists.set(account.id, list);
      const writes: Write[] = named.map((jid) => (blockThem ? putBlocked : dropBlocked).with(account.id, jid));
      const after = sessions.commit(session, [...writes, ...more], () => lists.set(account.id, before));
      const element = (view: string): Xml =>
        x(
          blockThem ? "block" : "unblock",
          { xmlns: ns.blocking },
          told.map((jid) => x("item", { jid: names.absolute(jid, view) })),
        );
      // The pushes stand behind the answer that the caller returns in this turn.
      queueMicrotask(() => push(session, account, element, after));
      if (!blockThem) showPresence(account, named, true);
      return after;
    }

    core.offer(blockLists, {
      of: (account) => [...(lists.get(account.id) ?? [])],
      room: (account) => longestList - (lists.get(account.id)?.size ?? 0),
      change(session, block, unblock) {
        const unblocked = unblock.length === 0 ? 0 : apply(session, unblock, false, unblock);
        return block.length === 0 ? unblocked : apply(session, block, true, block);
      },
    });

    /** What is said of those who are blocked, each with the rows that keep it. XEP-0377 §5 */
    function reportsIn(request: IqRequest, blocked: readonly string[]): readonly Write[] | string {
      const writes: Write[] = [];
      for (const [i, item] of request.element.getChildren("item", ns.blocking).entries()) {
        const element = item.getChild("report", ns.reporting);
        if (element === undefined) continue;
        for (const reports of core.offered(blockReports)) {
          const rows = reports.report(request.session, blocked[i] ?? "", element);
          if (typeof rows === "string") return rows;
          writes.push(...rows);
        }
      }
      return writes;
    }

    function change(request: IqRequest, blockThem: boolean): IqAnswer {
      const { session, account } = request;
      const given = addressesIn(request);
      if (given === undefined || account === undefined) return request.error(stanzaError("jid-malformed"));
      if (blockThem && given.length === 0)
        return request.error(stanzaError("bad-request", { text: "Nothing to block was named." }));
      const list = lists.get(account.id) ?? new Set<string>();
      const named = blockThem || given.length > 0 ? given : [...list];
      if (blockThem && new Set([...list, ...named]).size > longestList)
        return request.error(
          stanzaError("policy-violation", { text: `A block list holds ${longestList} addresses at most.` }),
        );
      const reports = blockThem ? reportsIn(request, named) : [];
      if (typeof reports === "string") return request.error(stanzaError("bad-request", { text: reports }));
      return request.result(undefined, apply(session, named, blockThem, given.length === 0 ? [] : named, reports));
    }

    return {
      ready: loaded,
      iq: [
        {
          get: [ns.blocking, "blocklist"],
          at: ["account"],
          answer(request) {
            interested.set(request.session, true);
            const { account, session } = request as IqRequest & { account: Account };
            // Told of changes from now on, also of those that it finds when it is back after a crash.
            const after = sessions.commit(session, []);
            return request.result(x("blocklist", { xmlns: ns.blocking }, items(account, session.view)), after);
          },
        },
        { set: [ns.blocking, "block"], at: ["account"], answer: (request) => change(request, true) },
        { set: [ns.blocking, "unblock"], at: ["account"], answer: (request) => change(request, false) },
      ],
      message: {
        admit(flow): StanzaError | undefined {
          if (lists.size === 0) return undefined;
          if (flow.sender !== undefined && blocks(flow.sender.account, flow.to))
            return stanzaError("not-acceptable", { type: "cancel", application: blockedHere });
          if (
            flow.recipient !== undefined &&
            flow.recipient !== flow.sender?.account &&
            blocks(flow.recipient, flow.from)
          )
            return stanzaError("service-unavailable");
          return undefined;
        },
      },
      session: {
        // Pushes that it was still to get are lost. The whole list is said in two: nobody is blocked, but those. XEP-0191 §3.5, §3.6
        resumed(session, after) {
          if (after !== "crash" || !interested.get(session)) return;
          const { account, view } = session;
          pushTo(session, x("unblock", { xmlns: ns.blocking }), 0);
          const all = items(account, view);
          if (all.length > 0) pushTo(session, x("block", { xmlns: ns.blocking }, all), 0);
        },
      },
      account: { renamed: follow, setAside: leave, removed: leave },
      admitsIq: (session, target) =>
        lists.size === 0 ||
        session.account === target.account ||
        !(blocks(target.account, session.jid) || blocks(session.account, target.jid)),
    };
  },
});
