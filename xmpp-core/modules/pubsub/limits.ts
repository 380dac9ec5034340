import { property } from "../../properties/property.ts";
import { integer } from "../../properties/text-schema.ts";
import type { Core } from "../module.ts";

export const mostNodes = property("firekeeper.pubsub.max-nodes", {
  schema: integer(1, 1_000_000),
  default: 10_000,
  impact: "live",
  doc: "Most nodes that the PubSub service holds; a person's account holds a tenth of that.",
});

export const mostItems = property("firekeeper.pubsub.max-items", {
  schema: integer(1, 1_000_000),
  default: 10_000,
  impact: "live",
  doc: 'Most items that one node keeps: what "max" means to nodes of the service and of persons.',
});

export const largestItem = property("firekeeper.pubsub.max-payload-size", {
  schema: integer(1024, 16_777_216),
  default: 524_288,
  impact: "live",
  unit: "bytes",
  doc: "Largest payload of one item.",
});

export const mostBytes = property("firekeeper.pubsub.max-bytes", {
  schema: integer(65_536),
  default: 104_857_600,
  impact: "live",
  unit: "bytes",
  doc: "Most bytes that the items of one person's nodes have together; the service's nodes may have ten times that.",
});

export const mostSubscriptions = property("firekeeper.pubsub.max-subscriptions", {
  schema: integer(1, 1_000_000),
  default: 10_000,
  impact: "live",
  doc: "Most subscriptions and most affiliations of one node.",
});

/** What bounds nodes; no node's own configuration goes beyond. */
export interface Limits {
  nodes(owner: number): number;
  items(): number;
  payloadBytes(): number;
  /** Of all items of an owner. */
  bytes(owner: number): number;
  /** Of one node; affiliations likewise. */
  subscriptions(): number;
}

/** Subscriptions that one entity may have at one node. */
export const mostSubscriptionsEach = 20;
/** Ids in one request, items in one publication. */
export const mostAtOnce = 500;
export const longestNodeName = 1024;
export const longestItemId = 1024;

export function limits({ properties }: Core): Limits {
  return {
    nodes: (owner) => (owner > 0 ? Math.ceil(properties.get(mostNodes) / 10) : properties.get(mostNodes)),
    items: () => properties.get(mostItems),
    payloadBytes: () => properties.get(largestItem),
    bytes: (owner) => (owner > 0 ? 1 : 10) * properties.get(mostBytes),
    subscriptions: () => properties.get(mostSubscriptions),
  };
}
