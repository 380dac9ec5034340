import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import { type Jid, parseJid } from "../../jid/jid.ts";
import { property } from "../../properties/property.ts";
import { enumeration } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqHandler, IqRequest } from "../../routing/handlers.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { rosterFacts } from "../points.ts";
import { renamed, storedAddress } from "../stored-address.ts";

const policies = ["always", "never", "roster"] as const;
type Policy = (typeof policies)[number];

export const defaultPolicy = property("firekeeper.archive.default", {
  schema: enumeration(...policies),
  default: "always",
  impact: "live",
  doc: "Whose messages are archived for people who have not said so themselves: everybody's, nobody's, or those of contacts in the roster.",
});

export const preferencesMigration = {
  name: "0065_archive-preferences",
  sql: `
    CREATE TABLE archive_preference (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, policy TEXT NOT NULL
    );
    CREATE TABLE archive_rule (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, jid TEXT NOT NULL, keep INTEGER NOT NULL,
      PRIMARY KEY (account, jid)
    ) WITHOUT ROWID;`,
};
const everyPolicy = read<[], { account: number; policy: Policy }>("SELECT account, policy FROM archive_preference");
const everyRule = read<[], { account: number; jid: string; keep: number }>(
  "SELECT account, jid, keep FROM archive_rule",
);
const putPolicy = write<[account: number, policy: string]>(
  "INSERT OR REPLACE INTO archive_preference (account, policy) VALUES (?, ?)",
);
const dropRules = write<[account: number]>("DELETE FROM archive_rule WHERE account = ?");
const dropRule = write<[account: number, jid: string]>("DELETE FROM archive_rule WHERE account = ? AND jid = ?");
const putRule = write<[account: number, jid: string, keep: number]>(
  "INSERT OR REPLACE INTO archive_rule (account, jid, keep) VALUES (?, ?, ?)",
);

/** Lists are held in memory. */
const mostRules = 1000;

interface Preferences {
  readonly policy: Policy;
  /** Stored addresses; true: always, false: never. */
  readonly rules: ReadonlyMap<string, boolean>;
}

export interface ArchivePreferences {
  /** Whether the account wants what it writes to or gets from this address in its archive. */
  keeps(account: Account, other: Jid): boolean;
  readonly iq: readonly IqHandler[];
  readonly ready: Promise<unknown>;
  /** The rules follow who is renamed. */
  follow(account: Account, before: string): void;
  /** Forgets the account, and rules of others for its name; memory follows the caller's commit. */
  leave(account: Account): Write[];
}

/** What people say about their archives. XEP-0441 */
export function archivePreferences(core: Core): ArchivePreferences {
  const { names, storage, properties } = core;
  /** Of those who have said something. */
  const said = new Map<number, Preferences>();
  const ready = Promise.all([storage.read(everyPolicy), storage.read(everyRule)]).then(([given, rules]) => {
    const lists = new Map<number, Map<string, boolean>>();
    for (const { account, jid, keep } of rules)
      lists.set(account, (lists.get(account) ?? new Map<string, boolean>()).set(jid, keep === 1));
    for (const { account, policy } of given) said.set(account, { policy, rules: lists.get(account) ?? new Map() });
  });

  function keeps(account: Account, other: Jid): boolean {
    const own = said.get(account.id);
    const policy = own?.policy ?? properties.get(defaultPolicy);
    if (own !== undefined && own.rules.size > 0) {
      // XEP-0441 §3.4: a listed full address is meant as it is, a listed bare one with any resource.
      const exact = own.rules.get(names.relative(other));
      const rule = exact ?? own.rules.get(names.relative({ ...other, resource: "" }));
      if (rule !== undefined) return rule;
    }
    if (policy !== "roster") return policy === "always";
    const facts = core.offered(rosterFacts)[0];
    facts?.hold(account);
    return facts?.contact(account, other) !== undefined;
  }

  const shown = (account: Account, view: string): Xml => {
    const { policy = properties.get(defaultPolicy), rules = new Map<string, boolean>() } = said.get(account.id) ?? {};
    const listed = (wanted: boolean): Xml[] =>
      [...rules].filter(([, keep]) => keep === wanted).map(([jid]) => x("jid", {}, text(names.absolute(jid, view))));
    return x(
      "prefs",
      { xmlns: ns.archive, default: policy },
      x("always", {}, listed(true)),
      x("never", {}, listed(false)),
    );
  };

  /** "never" counts where an address stands in both lists. */
  function wanted(element: Element): Preferences | string {
    const policy = policies.find((one) => one === element.attrs.default);
    if (policy === undefined) return "The default is always, never or roster.";
    const rules = new Map<string, boolean>();
    for (const [list, keep] of [
      ["always", true],
      ["never", false],
    ] as const)
      for (const item of element.getChild(list, ns.archive)?.getChildren("jid", ns.archive) ?? []) {
        const address = parseJid(item.getText().trim());
        if (address === undefined) return `"${item.getText()}" is no address.`;
        rules.set(storedAddress(core, address), keep);
      }
    return { policy, rules };
  }

  function set(request: IqRequest): IqAnswer {
    const { session, element } = request;
    const { account } = session;
    const now = wanted(element);
    if (typeof now === "string") return request.error(stanzaError("bad-request", { text: now }));
    if (now.rules.size > mostRules)
      return request.error(stanzaError("policy-violation", { text: `At most ${mostRules} addresses can be listed.` }));
    const before = said.get(account.id);
    said.set(account.id, now);
    const writes = [putPolicy.with(account.id, now.policy), dropRules.with(account.id)];
    for (const [jid, keep] of now.rules) writes.push(putRule.with(account.id, jid, keep ? 1 : 0));
    const ticket = core.sessions.commit(session, writes, () => {
      if (before === undefined) said.delete(account.id);
      else said.set(account.id, before);
    });
    return request.result(shown(account, session.view), ticket);
  }

  /** Rules that name this local part, with whose they are. */
  function* naming(served: number, name: string): IterableIterator<[owner: number, jid: string, keep: boolean]> {
    for (const [owner, { rules }] of said) {
      if (core.accounts.byId(owner)?.served !== served) continue;
      for (const [jid, keep] of rules) if (renamed(jid, name, "") !== undefined) yield [owner, jid, keep];
    }
  }

  function change(owner: number, edit: (rules: Map<string, boolean>) => void): void {
    const now = said.get(owner);
    if (now === undefined) return;
    const rules = new Map(now.rules);
    edit(rules);
    said.set(owner, { ...now, rules });
  }

  return {
    keeps,
    ready,
    iq: [
      {
        get: [ns.archive, "prefs"],
        at: ["account"],
        answer: (request) => request.result(shown(request.session.account, request.session.view)),
      },
      { set: [ns.archive, "prefs"], at: ["account"], answer: set },
    ],
    follow(account, before) {
      const writes: Write[] = [];
      for (const [owner, jid, keep] of [...naming(account.served, before)]) {
        const now = renamed(jid, before, account.name) ?? jid;
        change(owner, (rules) => {
          rules.delete(jid);
          rules.set(now, keep);
        });
        writes.push(dropRule.with(owner, jid), putRule.with(owner, now, keep ? 1 : 0));
      }
      if (writes.length > 0) storage.commit(writes);
    },
    leave(account) {
      const rules = [...naming(account.served, account.name)];
      setImmediate(() => {
        storage.write([]).then(
          () => {
            if (core.accounts.byId(account.id) === account) return;
            said.delete(account.id);
            for (const [owner, jid] of rules) change(owner, (own) => void own.delete(jid));
          },
          (error: unknown) => core.report.wrong({ what: "preferences of archives", error }),
        );
      });
      return rules.map(([owner, jid]) => dropRule.with(owner, jid));
    },
  };
}
