import { booleanOf, formElement, parseForm, singleValueOf } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import type { ServiceStanza } from "../../routing/handlers.ts";
import type { Ticket } from "../../storage/storage.ts";
import type { Asker, Host } from "./access.ts";
import type { Engine } from "./engine.ts";
import type { Node, Subscription } from "./store.ts";
import { tellState } from "./subscription.ts";

/** Requests that wait for an owner of the node. XEP-0060 §8.6 */
export const authorizationForm = "http://jabber.org/protocol/pubsub#subscribe_authorization";

/** Asks every owner; whoever answers first decides. */
export function askOwners(engine: Engine, host: Host, node: Node, subscription: Subscription, after: Ticket): void {
  const owners = [...node.affiliations].filter(([, affiliation]) => affiliation === "owner").map(([who]) => who);
  if (host.account !== undefined) owners.push(engine.entities.ofAccount(host.account));
  for (const who of new Set(owners)) ask(engine, host, node, subscription, who, after);
}

export function ask(
  engine: Engine,
  host: Host,
  node: Node,
  { who, resource, subid }: Subscription,
  owner: string,
  after: Ticket,
): void {
  const to = engine.entities.jid(owner);
  if (to === undefined) return;
  const form = (view: string) =>
    formElement({
      type: "form",
      formType: authorizationForm,
      title: "Subscription request",
      instructions: "Allow or deny this subscription.",
      fields: [
        { name: "pubsub#subid", type: "hidden", values: [subid] },
        { name: "pubsub#node", type: "text-single", label: "Node", values: [node.name] },
        {
          ...{ name: "pubsub#subscriber_jid", type: "jid-single", label: "Subscriber" },
          values: [engine.entities.address(who, view, resource) ?? ""],
        },
        { name: "pubsub#allow", type: "boolean", label: "Allow this subscription?", values: ["0"] },
      ],
    });
  engine.events.ask(host, to, form, after);
}

/** An owner's answer, in a message to the service or to his own account. Undefined: it is none. */
export async function decide(
  engine: Engine,
  host: Host,
  asker: Asker,
  stanza: ServiceStanza["stanza"],
): Promise<StanzaError | undefined> {
  const element = stanza.child(ns.dataForms, "x");
  const form = element && parseForm(element);
  if (form === undefined || form.formType !== authorizationForm || form.type !== "submit") return undefined;
  const name = singleValueOf(form, "pubsub#node") ?? "";
  const subid = singleValueOf(form, "pubsub#subid");
  const subscriber = parseJid(singleValueOf(form, "pubsub#subscriber_jid") ?? "");
  const allowed = booleanOf(form, "pubsub#allow");
  if (allowed === undefined) return stanzaError("bad-request", { text: "pubsub#allow must be true or false." });
  return engine.store.withNode(host.owner, name, (node) => {
    if (node === undefined) return stanzaError("item-not-found");
    if (!engine.access.isOwner(node, asker)) return stanzaError("forbidden");
    const who = subscriber && engine.entities.of(subscriber);
    const found = [...node.subscriptions.values()].find(
      (each) => each.state === "pending" && (subid === undefined ? each.who === who : each.subid === subid),
    );
    if (found === undefined) return stanzaError("item-not-found", { text: "There is no such request." });
    settle(engine, host, node, found, allowed, asker);
    return undefined;
  });
}

/** Ends the waiting of a request. */
export function settle(
  engine: Engine,
  host: Host,
  node: Node,
  found: Subscription,
  allowed: boolean,
  asker: Asker,
): Ticket {
  const { store } = engine;
  const now: Subscription = { ...found, state: "subscribed" };
  const writes = allowed ? store.subscribe(node, now) : store.unsubscribe(node, found.subid);
  const after = store.commit(node, asker.session, writes);
  tellState(engine, host, node, allowed ? now : found, after, undefined, allowed ? undefined : "none");
  return after;
}
