import { formElement, formIn } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { isStanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import type { Write } from "../../storage/statement.ts";
import { type Xml, x } from "../../xml/writer.ts";
import { configFor } from "./create.ts";
import { asOwner, attribute, type Engine, type Operation, type Work } from "./engine.ts";
import type { Who } from "./entities.ts";
import { pubsubError } from "./errors.ts";
import { mostAtOnce } from "./limits.ts";
import { configFields, configForm, isOn, type NodeConfig } from "./options.ts";
import { purgeNode } from "./publish-requests.ts";
import { type Affiliation, affiliationNames, type Subscription } from "./store.ts";
import { ofEntity, subscriptionElement, tellState } from "./subscription.ts";
import * as rows from "./tables.ts";

const ownerNs = `${ns.pubsub}#owner`;

const form = ({ core }: Engine, config: NodeConfig, view: string): Xml =>
  formElement({
    ...{ type: "form", formType: configForm, title: "Node configuration" },
    fields: configFields(config, (address) => core.names.absolute(address, view)),
  });

/** XEP-0060 §8.2 */
export const configure: Operation = (engine, work) =>
  asOwner(engine, work, (node) => {
    const { request, host, asker, element } = work;
    if (request.type === "get") {
      const inside = x("configure", { node: node.name }, form(engine, node.config, asker.view));
      return request.result(x("pubsub", { xmlns: ownerNs }, inside));
    }
    const given = formIn(element);
    if (given === undefined) return request.error(stanzaError("bad-request", { text: "A form is needed." }));
    const config = configFor(engine, work, node.config, given);
    if (isStanzaError(config)) return request.error(config);
    const writes = engine.store.configure(node, config);
    writes.push(rows.trimItems.with(node.id, node.id, engine.publishing.capacity(node)));
    if (!isOn(config, "persist_items")) writes.push(rows.dropItems.with(node.id));
    const after = engine.store.commit(node, asker.session, writes);
    if (isOn(config, "notify_config"))
      engine.events.tell(host, node, {
        after,
        event(view) {
          const fields = configFields(config, (address) => engine.core.names.absolute(address, view));
          const told = formElement({ type: "result", formType: configForm, fields });
          return x("configuration", { node: node.name }, isOn(config, "deliver_payloads") && told);
        },
      });
    return request.result(undefined, after);
  });

/** XEP-0060 §8.3 */
export const defaultConfig: Operation = (engine, { request, host, asker, name }) =>
  request.result(x("pubsub", { xmlns: ownerNs }, x("default", {}, form(engine, host.defaults(name), asker.view))));

/** XEP-0060 §8.4 */
export const remove: Operation = (engine, work) =>
  asOwner(engine, work, (node) => {
    const { request, host, asker, element } = work;
    const redirect = element.getChild("redirect", ownerNs);
    const uri = redirect && attribute(redirect, "uri");
    const after = engine.publishing.remove(host, node, { session: asker.session, by: asker.jid }, uri);
    return request.result(undefined, after);
  });

/** XEP-0060 §8.5 */
export const purge: Operation = (engine, work) => asOwner(engine, work, (node) => purgeNode(engine, work, node));

interface Named {
  readonly who: Who;
  readonly resource: string;
  /** What it shall be; undefined: as it is. */
  readonly value: string | undefined;
}

/** Addresses with what they shall be from now on; undefined: one is none. */
function named({ entities }: Engine, { element }: Work, child: string, valueName: string): Named[] | undefined {
  const found: Named[] = [];
  for (const each of element.getChildren(child, ownerNs)) {
    const jid = parseJid(attribute(each, "jid") ?? "");
    if (jid === undefined || found.length >= mostAtOnce) return undefined;
    found.push({ who: entities.of(jid), resource: jid.resource, value: attribute(each, valueName) });
  }
  return found.length === 0 ? undefined : found;
}

/** XEP-0060 §8.8 */
export const ownerSubscriptions: Operation = (engine, work) =>
  asOwner(engine, work, (node) => {
    const { request, host, asker } = work;
    const { store } = engine;
    if (request.type === "get") {
      const list = [...node.subscriptions.values()]
        .filter(({ state }) => state === "subscribed")
        .map((each) => subscriptionElement(engine, undefined, each, asker.view));
      return request.result(x("pubsub", { xmlns: ownerNs }, x("subscriptions", { node: node.name }, ...list)));
    }
    const given = named(engine, work, "subscription", "subscription");
    if (given === undefined) return request.error(pubsubError("jid-required"));
    if (given.some(({ value }) => value !== undefined && !["subscribed", "none", "pending"].includes(value)))
      return request.error(stanzaError("not-acceptable"));
    if (node.subscriptions.size + given.length > engine.limits.subscriptions())
      return request.error(pubsubError("too-many-subscriptions"));
    const writes: Write[] = [];
    const told: { readonly subscription: Subscription; readonly gone: boolean }[] = [];
    for (const { who, resource, value } of given) {
      const known = ofEntity(node, who).filter((each) => each.resource === resource);
      if (value === "none")
        for (const each of known) {
          writes.push(...store.unsubscribe(node, each.subid));
          told.push({ subscription: each, gone: true });
        }
      if (value !== "subscribed" || known.some(({ state }) => state === "subscribed")) continue;
      const fresh: Subscription = {
        ...{ subid: engine.core.random(9).toString("base64url"), who, resource, deliver: true, expires: undefined },
        ...known[0],
        state: "subscribed",
      };
      writes.push(...store.subscribe(node, fresh));
      told.push({ subscription: fresh, gone: false });
    }
    const after = store.commit(node, asker.session, writes);
    for (const { subscription, gone } of told)
      tellState(engine, host, node, subscription, after, undefined, gone ? "none" : undefined);
    return request.result(undefined, after);
  });

/** XEP-0060 §8.9 */
export const ownerAffiliations: Operation = (engine, work) =>
  asOwner(engine, work, (node) => {
    const { request, host, asker } = work;
    const { store, entities } = engine;
    const list = (of: Iterable<readonly [Who, Affiliation]>): Xml =>
      x(
        "affiliations",
        { node: node.name },
        ...[...of].map(([who, affiliation]) => {
          const jid = entities.address(who, asker.view);
          return jid === undefined ? undefined : x("affiliation", { jid, affiliation });
        }),
      );
    if (request.type === "get") return request.result(x("pubsub", { xmlns: ownerNs }, list(node.affiliations)));
    const given = named(engine, work, "affiliation", "affiliation");
    if (given === undefined) return request.error(pubsubError("jid-required"));
    const wanted = new Map<Who, Affiliation>();
    for (const { who, value } of given) {
      if (value === undefined) continue;
      const affiliation = affiliationNames.find((name) => name === value);
      if (affiliation === undefined) return request.error(stanzaError("not-acceptable"));
      wanted.set(who, affiliation);
    }
    const owner = host.account && entities.ofAccount(host.account);
    const owners = [...new Map([...node.affiliations, ...wanted])].filter(([, affiliation]) => affiliation === "owner");
    // The last owner stays, and a person stays the owner of what is his.
    const kept = owner === undefined ? owners.length > 0 : (wanted.get(owner) ?? "owner") === "owner";
    if (!kept) return request.error(stanzaError("not-acceptable", { text: "A node keeps an owner." }));
    if (node.affiliations.size + wanted.size > engine.limits.subscriptions())
      return request.error(stanzaError("policy-violation", { text: "The node has too many affiliations." }));
    const writes: Write[] = [];
    const ended: Subscription[] = [];
    for (const [who, affiliation] of wanted) {
      writes.push(...store.affiliate(node, who, affiliation));
      if (affiliation !== "outcast") continue;
      for (const each of ofEntity(node, who)) {
        writes.push(...store.unsubscribe(node, each.subid));
        ended.push(each);
      }
    }
    const after = store.commit(node, asker.session, writes);
    for (const each of ended) tellState(engine, host, node, each, after, undefined, "none");
    return request.result(undefined, after);
  });
