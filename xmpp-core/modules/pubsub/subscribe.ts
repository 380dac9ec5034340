import { booleanOf, type DataForm, type Field, formElement, formIn, singleValueOf } from "../../formats/data-form.ts";
import { delayElement, parseDate } from "../../formats/delay.ts";
import { ns } from "../../formats/namespaces.ts";
import { isStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { type Jid, parseJid } from "../../jid/jid.ts";
import type { IqAnswer } from "../../routing/handlers.ts";
import { type Xml, x } from "../../xml/writer.ts";
import type { Host } from "./access.ts";
import { askOwners } from "./approval.ts";
import { itemElement } from "./content.ts";
import { attribute, type Engine, type Operation, onNode, type Work } from "./engine.ts";
import { notSubscribed, pubsubError, unsupported } from "./errors.ts";
import { mostSubscriptionsEach } from "./limits.ts";
import { isOn } from "./options.ts";
import { newest } from "./retrieve.ts";
import type { Node, Subscription } from "./store.ts";
import { ofEntity, subscriptionElement, tellState } from "./subscription.ts";
import * as rows from "./tables.ts";

const optionsForm = "http://jabber.org/protocol/pubsub#subscribe_options";
type Options = Pick<Subscription, "deliver" | "expires">;
const byDefault: Options = { deliver: true, expires: undefined };

/** XEP-0060 §6.1 */
export const subscribe: Operation = (engine, work) =>
  onNode(engine, work, (node) => {
    const { request, host, asker } = work;
    const { store, access, core } = engine;
    const jid = ownAddress(engine, work);
    if (jid === undefined) return request.error(pubsubError("invalid-jid"));
    const form = request.element.getChild("options", ns.pubsub);
    const options = optionsFrom(form && formIn(form), byDefault, core.clock.now());
    if (isStanzaError(options)) return request.error(options);
    const may = access.maySubscribe(node, asker);
    if (isStanzaError(may)) return request.error(may);
    if (!isOn(node.config, "subscribe") && !access.isOwner(node, asker)) return request.error(unsupported("subscribe"));
    const own = ofEntity(node, asker.who);
    const same = own.filter(({ resource }) => resource === jid.resource);
    if (same.some(({ state }) => state === "pending")) return request.error(pubsubError("pending-subscription"));
    const [known] = same;
    // §6.1.6: the same once more, unless several are allowed; what it says of options is taken.
    if (known !== undefined && !engine.multiple()) {
      if (form === undefined) return request.result(answer(engine, node, known, asker.view));
      const after = store.commit(node, asker.session, store.subscribe(node, { ...known, ...options }));
      return request.result(answer(engine, node, known, asker.view), after);
    }
    if (own.length >= mostSubscriptionsEach || node.subscriptions.size >= engine.limits.subscriptions())
      return request.error(
        stanzaError("policy-violation", {
          type: "wait",
          application: pubsubError("too-many-subscriptions").application,
        }),
      );
    const subscription: Subscription = {
      ...{ subid: core.random(9).toString("base64url"), who: asker.who, resource: jid.resource },
      ...{ state: may === "pending" ? "pending" : "subscribed", ...options },
    };
    const after = store.commit(node, asker.session, store.subscribe(node, subscription));
    if (may === "pending") askOwners(engine, host, node, subscription, after);
    else {
      tellOwners(engine, host, node, subscription, after);
      const place = store.nextPlace();
      if (node.config.send_last_published_item !== "never")
        core.seeThrough(
          `the last item of ${node.name}`,
          core.storage.settled(after).then(
            () => sendLast(engine, host, node, subscription.subid, place),
            () => undefined, // there is no subscription
          ),
        );
    }
    return request.result(answer(engine, node, subscription, asker.view), after);
  });

/** The address of the request, if it is the asker's own. §6.1.3.1 */
function ownAddress({ entities }: Engine, { element, asker }: Work): Jid | undefined {
  const jid = parseJid(attribute(element, "jid") ?? "");
  return jid !== undefined && entities.of(jid) === asker.who ? jid : undefined;
}

const answer = (engine: Engine, node: Node, subscription: Subscription, view: string): Xml =>
  x("pubsub", { xmlns: ns.pubsub }, subscriptionElement(engine, node.name, subscription, view));

/** Owners hear of who comes and goes if the node says so. XEP-0060 §12.10 */
function tellOwners(
  engine: Engine,
  host: Host,
  node: Node,
  subscription: Subscription,
  after: number,
  now?: "none",
): void {
  if (!isOn(node.config, "notify_sub")) return;
  for (const [who, affiliation] of node.affiliations) {
    const to = affiliation === "owner" && who !== subscription.who ? engine.entities.jid(who) : undefined;
    if (to !== undefined) tellState(engine, host, node, subscription, after, to, now);
  }
}

/** §6.1.7: what was the last item at `place` in the order of publication; later ones were told as they came. */
async function sendLast(engine: Engine, host: Host, node: Node, subid: string, place: number): Promise<void> {
  const { core, entities, events } = engine;
  const item = await newest(engine, node);
  await engine.access.prepare(host);
  const subscription = node.subscriptions.get(subid);
  const to = subscription && entities.jid(subscription.who, subscription.resource);
  if (item === undefined || item.seq > place || to === undefined) return;
  if (!subscription?.deliver || !events.mayHear(host, node, subscription.who)) return;
  const full = isOn(node.config, "deliver_payloads");
  events.tellOne(host, node, to, {
    after: 0,
    event: (view) => x("items", { node: node.name }, itemElement(core, entities, item, view, full)),
    beside: engine.delays() ? delayElement({ stamp: new Date(item.published) }) : undefined,
  });
}

/** Which of the asker's subscriptions is meant. §6.2.3, §6.3.4 */
function meant(engine: Engine, work: Work, node: Node): Subscription | StanzaError {
  const { element, asker } = work;
  if (attribute(element, "jid") === undefined) return pubsubError("jid-required");
  const jid = ownAddress(engine, work);
  if (jid === undefined) return stanzaError("forbidden");
  const own = ofEntity(node, asker.who).filter(({ resource }) => resource === jid.resource);
  const subid = attribute(element, "subid");
  const [first, second] = own;
  if (first === undefined) return notSubscribed("unexpected-request");
  if (subid === undefined) return second === undefined ? first : pubsubError("subid-required");
  return own.find((each) => each.subid === subid) ?? pubsubError("invalid-subid");
}

/** XEP-0060 §6.2 */
export const unsubscribe: Operation = (engine, work) =>
  onNode(engine, work, (node) => {
    const { request, host, asker } = work;
    const found = meant(engine, work, node);
    if (isStanzaError(found)) return request.error(found);
    const after = engine.store.commit(node, asker.session, engine.store.unsubscribe(node, found.subid));
    tellOwners(engine, host, node, found, after, "none");
    const gone = subscriptionElement(engine, node.name, found, asker.view, "none");
    return request.result(x("pubsub", { xmlns: ns.pubsub }, gone), after);
  });

/** XEP-0060 §6.3 */
export const options: Operation = (engine, work) =>
  onNode(engine, work, (node) => {
    const { request, asker, element } = work;
    const found = meant(engine, work, node);
    if (isStanzaError(found)) return request.error(found);
    if (request.type === "get") {
      const jid = engine.entities.address(asker.who, asker.view, found.resource);
      const form = optionsElement(found);
      return request.result(
        x("pubsub", { xmlns: ns.pubsub }, x("options", { node: node.name, jid, subid: found.subid }, form)),
      );
    }
    const wanted = optionsFrom(formIn(element), found, engine.core.clock.now());
    if (isStanzaError(wanted)) return request.error(wanted);
    const changed = engine.store.subscribe(node, { ...found, ...wanted });
    return request.result(undefined, engine.store.commit(node, asker.session, changed));
  });

/** XEP-0060 §6.4 */
export const defaultOptions: Operation = (_engine, { request, name }) =>
  request.result(
    x(
      "pubsub",
      { xmlns: ns.pubsub },
      x("default", { node: name === "" ? undefined : name }, optionsElement(byDefault)),
    ),
  );

function optionsElement({ deliver, expires }: Options): Xml {
  const fields: Field[] = [
    {
      ...{ name: "pubsub#deliver", type: "boolean", label: "Whether notifications are wanted" },
      values: [deliver ? "1" : "0"],
    },
    {
      ...{ name: "pubsub#expire", type: "text-single", label: "When the subscription ends (date and time)" },
      values: expires === undefined ? [] : [new Date(expires).toISOString()],
    },
  ];
  return formElement({ type: "form", formType: optionsForm, fields });
}

function optionsFrom(form: DataForm | undefined, before: Options, now: number): Options | StanzaError {
  if (form === undefined || form.type === "cancel") return { deliver: before.deliver, expires: before.expires };
  let { deliver, expires } = before;
  for (const { name = "" } of form.fields) {
    const value = singleValueOf(form, name);
    if (name === "pubsub#deliver") {
      const read = booleanOf(form, name);
      if (read === undefined) return pubsubError("invalid-options", "pubsub#deliver is true or false.");
      deliver = read;
    } else if (name === "pubsub#expire") {
      const date = value === undefined || value === "" ? undefined : parseDate(value);
      if (value !== undefined && value !== "" && (date === undefined || date.getTime() <= now))
        return pubsubError("invalid-options", "pubsub#expire is a date and time to come.");
      expires = date?.getTime();
    } else return pubsubError("invalid-options", `${name} is no option of subscriptions here.`);
  }
  return { deliver, expires };
}

/** XEP-0060 §5.6 */
export const subscriptions: Operation = async (engine, { request, host, asker, name }) => {
  const list = await engine.core.storage.read(rows.subscriptionsFor, asker.who, host.owner, 1000);
  const now = engine.core.clock.now();
  const found = list
    .filter((row) => (name === "" || row.name === name) && (row.expires ?? now + 1) > now)
    .map((row) => subscriptionElement(engine, row.name, subscriptionOf(row), asker.view));
  const inside = x("subscriptions", { node: name === "" ? undefined : name }, ...found);
  return request.result(x("pubsub", { xmlns: ns.pubsub }, inside));
};

const subscriptionOf = (row: rows.SubscriptionRow): Subscription => ({
  ...{ subid: row.subid, who: row.who, resource: row.resource, state: row.state as Subscription["state"] },
  ...{ deliver: row.deliver === 1, expires: row.expires ?? undefined },
});

/** XEP-0060 §5.7 */
export const affiliations: Operation = async (engine, { request, host, asker, name }): Promise<IqAnswer> => {
  const list = await engine.core.storage.read(rows.affiliationsFor, asker.who, host.owner, 1000);
  const found = list
    .filter((row) => name === "" || row.name === name)
    .map((row) => x("affiliation", { node: row.name, affiliation: row.affiliation }));
  const inside = x("affiliations", { node: name === "" ? undefined : name }, found);
  return request.result(x("pubsub", { xmlns: ns.pubsub }, inside));
};
