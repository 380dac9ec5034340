import type { Element } from "ltx";
import { formIn } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { isStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { IqAnswer } from "../../routing/handlers.ts";
import type { Write } from "../../storage/statement.ts";
import { type Xml, x } from "../../xml/writer.ts";
import { type Item, payloadOf } from "./content.ts";
import { createNode } from "./create.ts";
import { attribute, type Engine, type Operation, onNode, relative, type Work } from "./engine.ts";
import { shownItemId, storedItemId } from "./entities.ts";
import { noSuchNode, pubsubError, unsupported } from "./errors.ts";
import { longestItemId, mostAtOnce } from "./limits.ts";
import { firstMismatch, isOn, type NodeConfig, optionsForm, optionsIn } from "./options.ts";
import type { Node } from "./store.ts";
import * as rows from "./tables.ts";

/** An item of a request, before it is known whether its node takes it. */
interface Given {
  readonly id: string | undefined;
  readonly payload: Buffer;
}

/** XEP-0060 §7.1 */
export const publish: Operation = async (engine, work) => {
  const { request, host, asker, element, name } = work;
  if (name === "") return request.error(pubsubError("nodeid-required"));
  const options = publishOptions(engine, request.element);
  if (isStanzaError(options)) return request.error(options);
  const given = itemsIn(element, engine.limits.payloadBytes());
  if (isStanzaError(given)) return request.error(given);
  const room = await engine.store.withNode(host.owner, name, (node) => {
    if (node === undefined || engine.access.mayPublish(node, asker) !== undefined) return undefined;
    return engine.publishing.makeRoom(host, node, storedIds(engine, name, given));
  });
  if (isStanzaError(room)) return request.error(room);
  const held = (await engine.core.storage.read(rows.bytesOf, host.owner))[0]?.bytes ?? 0;
  const more = given.reduce((sum, { payload }) => sum + payload.length, 0);
  if (held + more > engine.limits.bytes(host.owner))
    return request.error(stanzaError("resource-constraint", { text: "There is no room for more items here." }));
  // Only a node that is not there costs the count of the others.
  const absent = await engine.store.withNode(host.owner, name, (node) => node === undefined);
  const count = absent ? ((await engine.core.storage.read(rows.countNodes, host.owner))[0]?.number ?? 0) : 0;
  return engine.store.withNode(host.owner, name, (present) => {
    let node = present;
    let before: readonly Write[] = [];
    if (node === undefined) {
      const made = createNode(engine, work, name, { ...host.defaults(name), ...options }, count);
      if (isStanzaError(made)) return request.error(made);
      node = made.node;
      before = made.writes;
    } else {
      const refused = engine.access.mayPublish(node, asker) ?? unmet(node, options);
      if (refused !== undefined) return request.error(refused);
    }
    const items = taken(engine, work, node, given);
    if (isStanzaError(items)) {
      // A node that was made for this must not stay.
      if (present === undefined) engine.store.forgetNode(host.owner, name);
      return request.error(items);
    }
    const cause = { session: asker.session, by: asker.jid };
    const writes = [...before, ...(room ?? []).map((id) => rows.dropItem.with(node.id, id))];
    const after = engine.publishing.publish(host, node, items, cause, writes);
    if (node.config.publish_node_full === "retract-oldest" && room !== undefined && room.length > 0)
      engine.publishing.retract(host, node, room, cause, isOn(node.config, "notify_retract"));
    const ids = items.map(({ id }): Xml => x("item", { id: shownItemId(engine.core, id, asker.view) }));
    return request.result(x("pubsub", { xmlns: ns.pubsub }, x("publish", { node: name }, ids)), after);
  });
};

/** What stands in `<publish-options/>`: configuration of a new node, conditions on one that is there. §7.1.5 */
function publishOptions(engine: Engine, request: Element): Partial<NodeConfig> | StanzaError {
  const element = request.getChild("publish-options", ns.pubsub);
  const form = element && formIn(element);
  if (form === undefined) return {};
  if (form.formType !== optionsForm)
    return stanzaError("bad-request", { text: `FORM_TYPE of publish-options must be ${optionsForm}.` });
  const options = optionsIn(form, relative(engine));
  return typeof options === "string"
    ? pubsubError("precondition-not-met", `${options} is no option here, or cannot have that value.`)
    : options;
}

function unmet(node: Node, options: Partial<NodeConfig>): StanzaError | undefined {
  const name = firstMismatch(node.config, options);
  return name && pubsubError("precondition-not-met", `pubsub#${name} of this node is "${node.config[name]}".`);
}

function itemsIn(element: Element, mostBytes: number): readonly Given[] | StanzaError {
  const elements = element.getChildren("item", ns.pubsub);
  if (elements.length > mostAtOnce)
    return stanzaError("not-acceptable", { text: `At most ${mostAtOnce} items are taken at once.` });
  const given: Given[] = [];
  for (const item of elements) {
    const id = attribute(item, "id");
    if (id !== undefined && Buffer.byteLength(id) > longestItemId)
      return stanzaError("not-acceptable", { text: `An item's id has ${longestItemId} bytes at most.` });
    const payload = payloadOf(item);
    if (payload === "several") return pubsubError("invalid-payload", "An item holds exactly one payload element.");
    if (payload === "bare") return pubsubError("invalid-payload", "The payload element needs a namespace.");
    if (payload.length > mostBytes) return pubsubError("payload-too-big", `A payload has ${mostBytes} bytes at most.`);
    given.push({ id, payload });
  }
  return given;
}

const storedIds = ({ core }: Engine, node: string, given: readonly Given[]): string[] =>
  given.map(({ id }) => (id === undefined ? "" : storedItemId(core, node, id)));

/** The items, if the node takes such ones. §7.1.3 */
function taken(engine: Engine, { asker }: Work, node: Node, given: readonly Given[]): Item[] | StanzaError {
  const { core } = engine;
  const persistent = isOn(node.config, "persist_items");
  const carries = isOn(node.config, "deliver_payloads");
  if (given.length === 0 && (persistent || carries)) return pubsubError("item-required");
  if (given.length > 0 && !persistent && !carries) return pubsubError("item-forbidden");
  const own = node.config.max_payload_size;
  const items = new Map<string, Item>();
  for (const { id, payload } of given) {
    if (payload.length === 0 && carries) return pubsubError("payload-required");
    if (own !== "max" && payload.length > Number(own)) return pubsubError("payload-too-big");
    const stored = id === undefined ? core.random(12).toString("base64url") : storedItemId(core, node.name, id);
    const epoch = core.names.epochOf(asker.view);
    items.set(stored, { id: stored, publisher: asker.who, published: core.clock.now(), epoch, payload });
  }
  return [...items.values()];
}

/** XEP-0060 §7.2 */
export const retract: Operation = async (engine, work) => {
  const { request, host, asker, element, name } = work;
  const { core } = engine;
  const ids = element.getChildren("item", ns.pubsub).map((item) => attribute(item, "id"));
  if (name === "") return request.error(pubsubError("nodeid-required"));
  if (ids.length === 0 || ids.length > mostAtOnce || !ids.every((id) => id !== undefined))
    return request.error(pubsubError("item-required"));
  const stored = [...new Set(ids.map((id) => storedItemId(core, name, id)))];
  // Whose items these are is on disk only.
  const found = await engine.store.withNode(host.owner, name, (node) => {
    if (node === undefined) return noSuchNode();
    if (!isOn(node.config, "persist_items")) return unsupported("persistent-items");
    return core.storage.read(rows.itemsNamed, node.id, JSON.stringify(stored), engine.publishing.expiredBefore(node));
  });
  if (isStanzaError(found)) return request.error(found);
  return onNode(engine, work, (node) => {
    const own = engine.access.affiliation(node, asker);
    const mine = found.every(({ publisher }) => publisher === asker.who);
    const may = own === "owner" || own === "publisher" || (own !== "outcast" && mine && found.length > 0);
    if (!may || (own === "none" && engine.access.mayPublish(node, asker) !== undefined))
      return request.error(stanzaError("forbidden"));
    if (found.length < stored.length)
      return request.error(stanzaError("item-not-found", { text: "There is no such item." }));
    const asked = attribute(element, "notify");
    const notify = asked === "1" || asked === "true" || isOn(node.config, "notify_retract");
    const after = engine.publishing.retract(host, node, stored, { session: asker.session, by: asker.jid }, notify);
    return request.result(undefined, after);
  });
};

/** XEP-0060 §8.5 */
export function purgeNode(engine: Engine, { request, host, asker }: Work, node: Node): IqAnswer {
  if (!isOn(node.config, "persist_items")) return request.error(unsupported("persistent-items"));
  const after = engine.publishing.purge(host, node, { session: asker.session, by: asker.jid });
  return request.result(undefined, after);
}
