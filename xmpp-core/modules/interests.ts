import { z } from "zod";
import {
  capabilitiesHash,
  capabilitiesHash2,
  type HeardCapabilities,
  isKnownHash,
  parseCapabilities,
  readsOneWay,
} from "../formats/capabilities.ts";
import { ns } from "../formats/namespaces.ts";
import type { Session } from "../routing/session.ts";
import { sessionState } from "../routing/session-state.ts";
import { read, write } from "../storage/statement.ts";
import { parseStanza } from "../xml/document.ts";
import { limitsAfterLogin } from "../xml/limits.ts";
import type { Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import { type Core, defineModule } from "./module.ts";
import { interestsKnown, interests as interestsPoint } from "./personal-points.ts";
import { presenceBroadcast } from "./points.ts";

const migration = {
  name: "0055_capabilities",
  sql: `
    CREATE TABLE capabilities (
      hash TEXT PRIMARY KEY, wants TEXT NOT NULL, account INTEGER NOT NULL, heard_at INTEGER NOT NULL
    ) WITHOUT ROWID;`,
};
const putHash = write<[hash: string, wants: string, account: number, heardAt: number]>(
  "INSERT OR REPLACE INTO capabilities (hash, wants, account, heard_at) VALUES (?, ?, ?, ?)",
);
const dropHash = write<[hash: string]>("DELETE FROM capabilities WHERE hash = ?");
const allHashes = read<[], { hash: string; wants: string; account: number }>(
  "SELECT hash, wants, account FROM capabilities ORDER BY heard_at",
);

/** So many hashes are known at once; of those that one person brought so many, so that nobody drives out the others'. */
const mostHashes = 2000;
const mostOfOne = 20;
/** What one client may want, and how long the element in its presence may be. */
const mostWants = 200;
const longestNode = 500;
const longestSaid = 2000;

const againMs = 200;

/** What a client is asked, and under which hash its answer may serve others; null: it counts for this session only. */
const question = z.object({
  node: z.string().nullable(),
  hash: z.object({ xep: z.enum(["0115", "0390"]), algorithm: z.string(), value: z.string() }).nullable(),
});
type Question = z.infer<typeof question>;

const capabilities = sessionState("capabilities", {
  schema: z
    .object({
      /** The elements as they stood in the presence: the same again is nothing new. */
      said: z.string(),
      question,
      /** Nodes without "+notify", if they count for this session only; null: not answered yet, or to be found by the hash. */
      wants: z.array(z.string()).readonly().nullable(),
    })
    .nullable(),
  initial: null,
});

/**
 * What clients want to be told of, by the hashes in their presence. Who sends none is not asked: he is told of what he
 * subscribed to. XEP-0115, XEP-0390, XEP-0163 §4.3
 */
export const interests = defineModule({
  name: "interests",
  implements: [
    {
      spec: "XEP-0115",
      version: "1.6.0",
      status: "complete",
      note: "hashes of clients, verified before they serve others",
    },
    { spec: "XEP-0390", version: "0.3.2", status: "partial", note: "no stripping of unchanged hashes (§5.3)" },
  ],
  features: [ns.capabilities, ns.capabilities2],
  migrations: [migration],
  sessionState: [capabilities],
  start,
});

function start(core: Core) {
  const known = knownHashes(core);
  const wanted = new WeakMap<Session, ReadonlySet<string>>();
  const nobody: ReadonlySet<string> = new Set();

  core.offer(interestsPoint, { wants: (session, node) => wanted.get(session)?.has(node) ?? false });
  core.offer(presenceBroadcast, { broadcast });

  function broadcast(session: Session, render: (view: string, to: string) => Xml): void {
    if (session.priority === undefined) {
      wanted.delete(session);
      if (capabilities.get(session) !== null) capabilities.set(session, null);
      return;
    }
    const presence = render(session.view, session.bareAddress);
    const said = saidIn(presence);
    // A presence need not repeat them. XEP-0390 §6.2
    if (said === "" || said === capabilities.get(session)?.said) return;
    const asked = questionIn(parseStanza(presence, ns.client, limitsAfterLogin));
    if (asked === undefined) return;
    capabilities.set(session, { said, question: asked, wants: null });
    const cached = known.get(asked);
    if (cached === undefined) ask(session, said, asked);
    else enter(session, cached);
  }

  function ask(session: Session, said: string, asked: Question): void {
    const query = x("query", { xmlns: ns.discoInfo, node: asked.node ?? undefined });
    core.router.ask(session, "get", query, (ok, payload) => {
      // Meanwhile it may have said something else, or it has gone.
      if (session.ended || capabilities.get(session)?.said !== said) return;
      const told = ok && payload?.is("query", ns.discoInfo) ? parseCapabilities(payload) : undefined;
      const wants = wantedIn(told?.features ?? []);
      if (told !== undefined && isTrue(asked, told)) known.add(asked, wants, session.account.id);
      else capabilities.set(session, { said, question: asked, wants });
      core.sessions.commit(session, []);
      enter(session, known.get(asked) ?? new Set(wants));
    });
  }

  function enter(session: Session, wants: ReadonlySet<string>): void {
    const before = wanted.get(session) ?? nobody;
    wanted.set(session, wants);
    const fresh = [...wants].filter((node) => !before.has(node));
    for (const listener of core.offered(interestsKnown)) listener.interestsKnown(session, fresh);
  }

  // Questions whose answers a restart or crash lost; they are asked again once the client can be reached.
  const unasked = new Set<Session>();
  core.every(againMs, () => {
    for (const session of unasked) {
      const state = capabilities.get(session);
      if (!session.ended && session.carrier === undefined) continue;
      unasked.delete(session);
      if (state !== null && !session.ended && !wanted.has(session)) ask(session, state.said, state.question);
    }
  });

  function restored(session: Session): void {
    const state = capabilities.get(session);
    if (state === null) return;
    const wants = state.wants === null ? known.get(state.question) : new Set(state.wants);
    if (wants === undefined) unasked.add(session);
    else wanted.set(session, wants);
  }

  return { ready: known.ready, session: { restored } };
}

/** The capability elements of a presence as text: "" if there are none. */
function saidIn(presence: string): string {
  const first = /<[^<>]*http:\/\/jabber\.org\/protocol\/caps["'][^<>]*>/.exec(presence)?.[0] ?? "";
  const at = presence.search(/<[^<>]*urn:xmpp:caps["'][^<>]*>/);
  const end = at < 0 ? -1 : presence.indexOf("c>", at);
  const said = first + (end < 0 ? "" : presence.slice(at, end));
  return said.length > longestSaid ? "" : said;
}

/** What to ask: by a hash of XEP-0390 if one can be verified, else by XEP-0115. */
function questionIn(presence: Stanza): Question | undefined {
  for (const hash of presence.child(ns.capabilities2, "c")?.getChildren("hash", ns.hashes) ?? []) {
    const algorithm: unknown = hash.attrs.algo;
    const value = hash.getText().trim();
    if (typeof algorithm !== "string" || !isKnownHash(algorithm) || value === "") continue;
    return { node: `${ns.capabilities2}#${algorithm}.${value}`, hash: { xep: "0390", algorithm, value } };
  }
  const attributes: Readonly<Record<string, unknown>> | undefined = presence.child(ns.capabilities, "c")?.attrs;
  if (attributes === undefined) return undefined;
  const { node, ver, hash: algorithm } = attributes;
  if (typeof node !== "string" || typeof ver !== "string" || ver === "") return { node: null, hash: null };
  const hashed = typeof algorithm === "string" && isKnownHash(algorithm);
  return { node: `${node}#${ver}`, hash: hashed ? { xep: "0115", algorithm, value: ver } : null };
}

/** Whether the answer has the hash that was announced, so that it holds for whoever announces it. */
function isTrue({ hash }: Question, told: HeardCapabilities): boolean {
  if (hash === null) return false;
  if (hash.xep === "0390") return told.strict && capabilitiesHash2(told, hash.algorithm) === hash.value;
  return told.distinct && readsOneWay(told) && capabilitiesHash(told, hash.algorithm) === hash.value;
}

function wantedIn(features: readonly string[]): string[] {
  const nodes = features.flatMap((feature) =>
    feature.endsWith("+notify") ? [feature.slice(0, -"+notify".length)] : [],
  );
  return [...new Set(nodes)].filter((node) => node.length <= longestNode).slice(0, mostWants);
}

/** Verified hashes and what they stand for, on disk too: after a restart nobody is asked again. */
function knownHashes(core: Core) {
  // The order is that of last use.
  const byHash = new Map<string, { wants: ReadonlySet<string>; account: number }>();
  const keyOf = ({ hash }: Question): string | undefined =>
    hash === null ? undefined : `${hash.xep} ${hash.algorithm} ${hash.value}`;

  const ready = core.storage.read(allHashes).then((rows) => {
    for (const { hash, wants, account } of rows)
      byHash.set(hash, { wants: new Set(z.array(z.string()).parse(JSON.parse(wants))), account });
  });

  /** The one to forget before another one that `account` brings; undefined: there is room. */
  function victim(account: number): string | undefined {
    let own = 0;
    let oldestOwn: string | undefined;
    for (const [hash, entry] of byHash) {
      if (entry.account !== account) continue;
      own++;
      oldestOwn ??= hash;
    }
    if (own >= mostOfOne) return oldestOwn;
    return byHash.size >= mostHashes ? byHash.keys().next().value : undefined;
  }

  return {
    ready,
    get(asked: Question): ReadonlySet<string> | undefined {
      const key = keyOf(asked);
      const entry = key === undefined ? undefined : byHash.get(key);
      if (key === undefined || entry === undefined) return undefined;
      byHash.delete(key);
      byHash.set(key, entry);
      return entry.wants;
    },
    add(asked: Question, wants: readonly string[], account: number): void {
      const key = keyOf(asked);
      if (key === undefined || byHash.has(key)) return;
      const gone = victim(account);
      if (gone !== undefined) byHash.delete(gone);
      byHash.set(key, { wants: new Set(wants), account });
      const writes = [putHash.with(key, JSON.stringify(wants), account, core.clock.now())];
      core.storage.commit(gone === undefined ? writes : [dropHash.with(gone), ...writes]);
    },
  };
}
