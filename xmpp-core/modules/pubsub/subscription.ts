import { type Xml, x } from "../../xml/writer.ts";
import type { Host } from "./access.ts";
import type { Engine } from "./engine.ts";
import type { Node, Subscription } from "./store.ts";

/** What one entity has at a node. */
export const ofEntity = (node: Node, who: string): Subscription[] =>
  [...node.subscriptions.values()].filter((each) => each.who === who);

/** `<subscription/>` as `view` sees it. */
export function subscriptionElement(
  { entities }: Engine,
  node: string | undefined,
  { who, resource, state, subid, expires }: Subscription,
  view: string,
  now?: "none",
): Xml | undefined {
  const jid = entities.address(who, view, resource);
  const expiry = expires === undefined ? undefined : new Date(expires).toISOString();
  return jid === undefined ? undefined : x("subscription", { node, jid, subscription: now ?? state, subid, expiry });
}

/** What became of a subscription, told to its owner or to somebody else. §12.10 */
export function tellState(
  engine: Engine,
  host: Host,
  node: Node,
  subscription: Subscription,
  after: number,
  to = engine.entities.jid(subscription.who, subscription.resource),
  now?: "none",
): void {
  if (to === undefined) return;
  const event = (view: string): Xml =>
    subscriptionElement(engine, node.name, subscription, view, now) ?? x("subscription");
  engine.events.tellOne(host, node, to, { after, event });
}
