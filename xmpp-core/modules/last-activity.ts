import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { property } from "../properties/property.ts";
import { enumeration } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { IqAnswer, OpenRequest } from "../routing/handlers.ts";
import { read, write } from "../storage/statement.ts";
import { x } from "../xml/writer.ts";
import { type Core, defineModule } from "./module.ts";
import { activity, presences } from "./points.ts";

const kept = property("firekeeper.last-activity.kept", {
  schema: enumeration("exact", "day", "quarter", "nothing"),
  default: "exact",
  impact: "live",
  doc: "How exactly the server remembers when people logged in and out: to the second, the day, the quarter of the year, or not at all. Coarser is applied to what is kept already.",
});

const migration = {
  name: "0071_last-activity",
  sql: `
    CREATE TABLE last_activity (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, login_at INTEGER, logout_at INTEGER
    );`,
};
const find = read<[account: number], { login_at: number | null; logout_at: number | null }>(
  "SELECT login_at, logout_at FROM last_activity WHERE account = ?",
);
// By way of the account's row: sessions of a removed account end behind it.
const loggedIn = write<[at: number, account: number]>(
  "INSERT INTO last_activity (account, login_at) SELECT id, ? FROM account WHERE id = ? ON CONFLICT (account) DO UPDATE SET login_at = excluded.login_at",
);
const loggedOut = write<[at: number, account: number]>(
  "INSERT INTO last_activity (account, logout_at) SELECT id, ? FROM account WHERE id = ? ON CONFLICT (account) DO UPDATE SET logout_at = excluded.logout_at",
);
const forgetAll = write<[]>("DELETE FROM last_activity");
const page = read<[after: number], { account: number; login_at: number | null; logout_at: number | null }>(
  "SELECT account, login_at, logout_at FROM last_activity WHERE account > ? ORDER BY account LIMIT 500",
);
const rewrite = write<[login: number | null, logout: number | null, account: number]>(
  "UPDATE last_activity SET login_at = ?, logout_at = ? WHERE account = ?",
);

type Exactness = "exact" | "day" | "quarter" | "nothing";

/** The beginning of the day or quarter in UTC. */
function coarsened(at: number, how: Exactness): number {
  const date = new Date(at);
  if (how === "day") return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate());
  if (how === "quarter") return Date.UTC(date.getUTCFullYear(), Math.floor(date.getUTCMonth() / 3) * 3);
  return at;
}

/** Since when the server runs and people are away; told to those who may see their presence. XEP-0012 */
export const lastActivity = defineModule({
  name: "last-activity",
  implements: [{ spec: "XEP-0012", version: "2.0", status: "complete" }],
  features: [ns.lastActivity],
  accountFeatures: [ns.lastActivity],
  properties: [kept],
  migrations: [migration],
  start,
});

function start(core: Core) {
  const { clock, storage } = core;
  const startedAt = clock.now();
  const how = (): Exactness => core.properties.get(kept);
  const remember = (account: Account, statement: typeof loggedIn): void => {
    if (account.probe || how() === "nothing") return;
    // What the disk does not take the storage has reported.
    storage.write([statement.with(coarsened(clock.now(), how()), account.id)]).catch(() => undefined);
  };

  /** What was kept more exactly than it is to be now. */
  async function coarsenAll(to: Exactness): Promise<void> {
    if (to === "exact") return;
    if (to === "nothing") return storage.write([forgetAll.with()]);
    const less = (at: number | null): number | null => (at === null ? null : coarsened(at, to));
    for (let after = -1; ; ) {
      const rows = await storage.read(page, after);
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.account;
      await storage.write(rows.map((row) => rewrite.with(less(row.login_at), less(row.logout_at), row.account)));
    }
  }
  core.watch(kept, (to) => {
    coarsenAll(to).catch((error: unknown) => core.report.wrong({ what: "forgetting when people were here", error }));
  });

  core.offer(activity, {
    lastLogin: async (account) => (await storage.read(find, account.id))[0]?.login_at ?? undefined,
  });

  const seconds = (since: number): string => String(Math.max(0, Math.floor((clock.now() - since) / 1000)));
  const answerWith = (request: OpenRequest, value: string): IqAnswer =>
    request.result(x("query", { xmlns: ns.lastActivity, seconds: value }));

  async function ofAccount(request: OpenRequest): Promise<IqAnswer> {
    const { account, from, session } = request;
    // Whoever may not see somebody's presence gets the same answer as for a name that nobody bears. XEP-0012 §3
    const forbidden = request.error(stanzaError("forbidden"));
    if (account === undefined || account.contact) return forbidden;
    let allowed = account === session?.account;
    for (const each of core.offered(presences)) allowed ||= await each.showsTo(account, from);
    if (!allowed) return forbidden;
    if (account.sessions.some(({ priority }) => priority !== undefined)) return answerWith(request, "0");
    const row = (await storage.read(find, account.id))[0];
    const since = row?.logout_at ?? row?.login_at;
    if (since == null)
      return request.error(stanzaError("item-not-found", { text: "It is not known when they were last here." }));
    return answerWith(request, seconds(since));
  }

  return {
    iqDetour(request: OpenRequest) {
      if (request.type !== "get" || request.place.at !== "account") return undefined;
      return request.element.is("query", ns.lastActivity) ? ofAccount(request) : undefined;
    },
    iq: [
      {
        get: [ns.lastActivity, "query"] as const,
        at: ["server"] as const,
        open: true as const,
        answer: (request: OpenRequest) => answerWith(request, seconds(startedAt)),
      },
    ],
    session: {
      opened: ({ account }: { account: Account }) => remember(account, loggedIn),
      closed({ account }: { account: Account }) {
        if (account.sessions.length === 0) remember(account, loggedOut);
      },
    },
  };
}
