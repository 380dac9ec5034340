import type { CodedError } from "../../errors.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import type { Ticket } from "../../storage/storage.ts";
import type { Core } from "../module.ts";
import type { Who } from "./entities.ts";
import { configFrom, type NodeConfig, storedConfig } from "./options.ts";
import * as rows from "./tables.ts";

export const affiliationNames = ["owner", "publisher", "publish-only", "member", "none", "outcast"] as const;
export type Affiliation = (typeof affiliationNames)[number];

export interface Subscription {
  readonly subid: string;
  readonly who: Who;
  /** "": the bare address. */
  readonly resource: string;
  state: "subscribed" | "pending";
  deliver: boolean;
  /** ms since 1970. XEP-0060 §12.18 */
  expires: number | undefined;
}

/** A node in memory: everything but its items. */
export interface Node {
  readonly id: number;
  /** An account's id, or the negative id of the served domain. */
  readonly owner: number;
  readonly name: string;
  readonly creator: Who;
  readonly created: number;
  config: NodeConfig;
  readonly affiliations: Map<Who, Affiliation>;
  /** By subid. */
  readonly subscriptions: Map<string, Subscription>;
}

/**
 * Nodes, read when somebody needs them and kept while there is room. Whoever works on a node does so in the turn in
 * which `known` gave it: then no two see it differently. Memory changes with the commit; a commit that fails makes
 * what was changed be read again.
 */
export interface NodeStore {
  readonly ready: Promise<void>;
  /** The node; null: there is none; undefined: it has to be loaded first. */
  known(owner: number, name: string): Node | null | undefined;
  load(owner: number, name: string): Promise<void>;
  /** Loads it and runs `work` in one turn with it. */
  withNode<T>(owner: number, name: string, work: (node: Node | undefined) => T): Promise<Awaited<T>>;
  create(
    owner: number,
    name: string,
    creator: Who,
    config: NodeConfig,
  ): { readonly node: Node; readonly writes: Write[] };
  configure(node: Node, config: NodeConfig): Write[];
  remove(node: Node): Write[];
  affiliate(node: Node, who: Who, affiliation: Affiliation): Write[];
  subscribe(node: Node, subscription: Subscription): Write[];
  unsubscribe(node: Node, subid: string): Write[];
  /** A place in the order of publication behind all others. */
  nextPlace(): number;
  /** Commits what was done to a node, with what else the session owes. */
  commit(
    node: Node,
    session: Session | undefined,
    writes: readonly Write[],
    onFailure?: (error: CodedError) => void,
  ): Ticket;
  /** Makes the nodes of an owner be read again. */
  forget(owner: number): void;
  /** Makes one node be read again. */
  forgetNode(owner: number, name: string): void;
}

/** What all nodes in memory together may weigh, by `weightOf`. */
const heaviest = 400_000;

export function nodeStore(core: Core, defaultsOf: (owner: number, name: string) => NodeConfig): NodeStore {
  const { storage } = core;
  /** Oldest use first. */
  const cache = new Map<string, { node: Node | null; weight: number }>();
  const loading = new Map<string, Promise<void>>();
  /** Rises when nodes are forgotten: what was read before is not entered. */
  let forgotten = 0;
  let weight = 0;
  let lastNode = 0;
  let lastPlace = 0;
  const keyOf = (owner: number, name: string): string => `${owner} ${name}`;
  /** In pieces of about 100 bytes. */
  function weightOf(key: string, node: Node | null): number {
    if (node === null) return 1 + (key.length >> 6);
    const texts = Object.values(node.config).reduce((sum, text) => sum + text.length, 2 * key.length);
    return 4 + (texts >> 6) + node.affiliations.size + 2 * node.subscriptions.size;
  }

  function enter(key: string, node: Node | null): void {
    drop(key);
    const entry = { node, weight: weightOf(key, node) };
    cache.set(key, entry);
    weight += entry.weight;
    for (const [oldest] of cache) {
      if (weight <= heaviest || oldest === key) break;
      drop(oldest);
    }
  }

  function drop(key: string): void {
    weight -= cache.get(key)?.weight ?? 0;
    cache.delete(key);
  }

  function known(owner: number, name: string): Node | null | undefined {
    const key = keyOf(owner, name);
    const entry = cache.get(key);
    if (entry === undefined) return undefined;
    // What is used stays longest.
    cache.delete(key);
    cache.set(key, entry);
    return entry.node;
  }

  function load(owner: number, name: string): Promise<void> {
    const key = keyOf(owner, name);
    const already = loading.get(key);
    if (already !== undefined) return already;
    const begun = forgotten;
    const reading = Promise.all([
      storage.read(rows.nodeNamed, owner, name),
      storage.read(rows.affiliationsOfNode, owner, name),
      storage.read(rows.subscriptionsOfNode, owner, name),
    ])
      .then(([[row], affiliations, subscriptions]) => {
        if (begun === forgotten && !cache.has(key))
          enter(key, row === undefined ? null : nodeFrom(row, affiliations, subscriptions));
      })
      .finally(() => loading.delete(key));
    loading.set(key, reading);
    return reading;
  }

  function nodeFrom(
    row: rows.NodeRow,
    affiliations: readonly rows.AffiliationRow[],
    subscriptions: readonly rows.SubscriptionRow[],
  ): Node {
    const { id, owner, name, creator, created } = row;
    return {
      ...{ id, owner, name, creator, created },
      config: configFrom(row.config, defaultsOf(owner, name)),
      affiliations: new Map(affiliations.map((each) => [each.who, each.affiliation as Affiliation])),
      subscriptions: new Map(
        subscriptions.map(({ subid, who, resource, state, deliver, expires }) => [
          subid,
          {
            ...{ subid, who, resource, state: state as Subscription["state"], deliver: deliver === 1 },
            expires: expires ?? undefined,
          },
        ]),
      ),
    };
  }

  const reweigh = (node: Node): void => enter(keyOf(node.owner, node.name), node);

  return {
    ready: storage.read(rows.highestNumbers).then(([found]) => {
      lastNode = found?.node ?? 0;
      lastPlace = found?.seq ?? 0;
    }),
    known,
    load,
    async withNode<T>(owner: number, name: string, work: (node: Node | undefined) => T): Promise<Awaited<T>> {
      for (let tries = 0; ; tries++) {
        const node = known(owner, name);
        if (node !== undefined) return await work(node ?? undefined);
        if (tries > 100) throw new Error("a node could not be kept long enough to be used");
        await load(owner, name);
      }
    },
    create(owner, name, creator, config) {
      const node: Node = {
        ...{ id: ++lastNode, owner, name, creator, created: core.clock.now(), config },
        ...{ affiliations: new Map(), subscriptions: new Map() },
      };
      reweigh(node);
      const stored = storedConfig(config, defaultsOf(owner, name));
      const { id, created } = node;
      return { node, writes: [rows.putNode.with(id, owner, name, creator, created, stored, expiry(config))] };
    },
    configure(node, config) {
      node.config = config;
      const stored = storedConfig(config, defaultsOf(node.owner, node.name));
      return [rows.putConfig.with(stored, expiry(config), node.id)];
    },
    remove(node) {
      enter(keyOf(node.owner, node.name), null);
      return [rows.dropNode.with(node.id)];
    },
    affiliate(node, who, affiliation) {
      if (affiliation === "none") node.affiliations.delete(who);
      else node.affiliations.set(who, affiliation);
      reweigh(node);
      return [
        affiliation === "none"
          ? rows.dropAffiliation.with(node.id, who)
          : rows.putAffiliation.with(node.id, who, affiliation),
      ];
    },
    subscribe(node, subscription) {
      node.subscriptions.set(subscription.subid, subscription);
      reweigh(node);
      const { subid, who, resource, state, deliver, expires } = subscription;
      return [rows.putSubscription.with(node.id, subid, who, resource, state, deliver ? 1 : 0, expires ?? null)];
    },
    unsubscribe(node, subid) {
      node.subscriptions.delete(subid);
      reweigh(node);
      return [rows.dropSubscription.with(node.id, subid)];
    },
    nextPlace() {
      lastPlace = Math.max(lastPlace + 1, core.archiveIds());
      return lastPlace;
    },
    commit(node, session, writes, onFailure) {
      return core.sessions.commit(session, writes, (error) => {
        forgotten++;
        drop(keyOf(node.owner, node.name));
        onFailure?.(error);
      });
    },
    forget(owner) {
      forgotten++;
      for (const key of cache.keys()) if (key.startsWith(`${owner} `)) drop(key);
    },
    forgetNode(owner, name) {
      forgotten++;
      drop(keyOf(owner, name));
    },
  };
}

/** Seconds after which items go, as the sweep finds them. */
function expiry({ item_expire: given }: NodeConfig): number | null {
  return given === "max" || given === "0" ? null : Number(given);
}
