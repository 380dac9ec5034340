import { formElement, formIn, singleValueOf } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import { property } from "../../properties/property.ts";
import { boolean, integer, jidList, seconds, serviceLabel } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqHandler, OpenRequest, ServiceStanza } from "../../routing/handlers.ts";
import { x } from "../../xml/writer.ts";
import type { Core, Identity } from "../module.ts";
import { serviceDisco } from "../points.ts";
import type { Asker, Host } from "./access.ts";
import { ask, authorizationForm, decide } from "./approval.ts";
import { itemItems, nodeInfo, nodeItems, serviceFeatures } from "./disco.ts";
import type { Engine } from "./engine.ts";
import { serviceDefaults } from "./options.ts";
import * as rows from "./tables.ts";

const enabled = property("xmpp.pubsub.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the PubSub service is open; nodes of persons have xmpp.pep.enabled.",
});

const serviceName = property("xmpp.pubsub.service", {
  schema: serviceLabel,
  default: "pubsub",
  impact: "live",
  doc: "First label of the PubSub service's address.",
});
const createAnyone = property("xmpp.pubsub.create.anyone", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether everybody may create nodes at the PubSub service; without it those in xmpp.pubsub.create.jid may.",
});
const creators = property("xmpp.pubsub.create.jid", {
  schema: jidList,
  default: [],
  impact: "live",
  doc: "Addresses that may create nodes at the PubSub service if not everybody may.",
});
const sysadmins = property("xmpp.pubsub.sysadmin.jid", {
  schema: jidList,
  default: [],
  impact: "live",
  doc: "Addresses that own every node of the PubSub service, besides the admin.",
});
export const multipleSubscriptions = property("xmpp.pubsub.multiple-subscriptions", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether one address may subscribe to a node several times; without it a second request is answered with the first subscription.",
  weakens: (value) => (value ? "Clients that subscribe at each start pile up subscriptions." : undefined),
});
export const descendingOrder = property("xmpp.pubsub.order.descending", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether items are answered newest first.",
});
export const fetchMost = property("xmpp.pubsub.fetch.max", {
  schema: integer(1, 100_000),
  default: 2000,
  impact: "live",
  doc: "Most items in one answer.",
});
export const purgeTimer = property("xmpp.pubsub.purge.timer", {
  schema: seconds,
  default: 300,
  impact: "live",
  doc: "How often items and subscriptions whose time is over are cleared away; values under 60 count as 60.",
});
export const noDelays = property("xmpp.pubsub.disable-delayed-delivery", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether a last published item that is sent on subscription or presence comes without the time of its publication.",
});
export const serviceProperties = [
  ...[enabled, serviceName, createAnyone, creators, sysadmins, multipleSubscriptions, descendingOrder, fetchMost],
  ...[purgeTimer, noDelays],
];

export const serviceKind = "pubsub";
const identities: readonly Identity[] = [{ category: "pubsub", type: "service", name: "PubSub service" }];

/** Who is named in a list of addresses, in which a local part means an account here. */
function listed(core: Core, list: readonly string[], account: Account | undefined): boolean {
  return list.some((entry) => {
    const jid = parseJid(entry.includes("@") ? entry : `${entry}@${core.names.primary.name}`);
    const place = jid && core.names.locate(jid);
    return (
      account !== undefined && place?.at === "account" && core.accounts.get(place.served.id, place.name) === account
    );
  });
}

export const isMaster =
  (core: Core) =>
  (account: Account | undefined): boolean =>
    account !== undefined && (core.rights.isAdmin(account.id) || listed(core, core.properties.get(sysadmins), account));

export function mayCreate({ core, entities }: Engine, { master, who }: Asker): boolean {
  if (master || core.properties.get(createAnyone)) return true;
  return listed(core, core.properties.get(creators), entities.account(who));
}

/** Where the nodes of a domain's service are. */
export const serviceHost = (core: Core, served: number): Host => ({
  ...{ owner: -served, account: undefined },
  address: (view) => core.names.hostName(view, serviceKind),
  defaults: () => serviceDefaults,
});

/** Opens and closes `pubsub.<domain>` as the properties say. Returns its own handlers. */
export function openService(engine: Engine): { readonly iq: readonly IqHandler[]; close(): void } {
  const { core } = engine;
  const { names } = core;
  let unserve: (() => void) | undefined;

  async function message({ stanza, from, place, session, view }: ServiceStanza): Promise<void> {
    const host = serviceHost(core, place.served.id);
    const asker = await engine.access.asker(host, { session, from, view });
    await decide(engine, host, asker, stanza);
  }

  core.watch(enabled, (on) => {
    unserve?.();
    unserve = undefined;
    if (!on) return names.closeService(serviceKind);
    names.openService(serviceKind);
    names.callService(serviceKind, core.properties.get(serviceName));
    unserve = core.router.serve(serviceKind, {
      message(flow) {
        if (flow.stanza.type === "error") return undefined;
        if (!flow.stanza.has(ns.dataForms, "x")) return stanzaError("service-unavailable");
        core.seeThrough("an approval of a subscription", message(flow));
        return () => undefined;
      },
      presence: () => undefined,
      iq: ({ stanza }) =>
        stanza.type === "get" || stanza.type === "set" ? stanzaError("service-unavailable") : undefined,
    });
  });
  core.watch(serviceName, (name) => {
    if (core.properties.get(enabled)) names.callService(serviceKind, name);
  });
  core.offer(serviceDisco, {
    services: () =>
      core.properties.get(enabled) ? [{ service: serviceKind, name: "PubSub service", listed: true }] : [],
    info(request, node) {
      if (node === undefined)
        return { identities, features: [ns.discoInfo, ns.discoItems, ...serviceFeatures, ns.commands] };
      return nodeInfo(engine, serviceHost(core, request.served.id), request, node);
    },
    items(request, node) {
      const host = serviceHost(core, request.served.id);
      return node === undefined ? nodeItems(engine, host, request) : itemItems(engine, host, request, node);
    },
  });

  /** Sends the requests that wait once more to an owner who asks. XEP-0060 §8.7 */
  async function pending(request: OpenRequest) {
    const { element } = request;
    const command = `${ns.pubsub}#get-pending`;
    if (element.attrs.node !== command) return request.error(stanzaError("item-not-found"));
    const host = serviceHost(core, request.served.id);
    const asker = await engine.access.asker(host, request);
    const form = formIn(element);
    const head = { xmlns: ns.commands, node: command, sessionid: core.random(9).toString("base64url") };
    if (element.attrs.action === "cancel") return request.result(x("command", { ...head, status: "canceled" }));
    if (form === undefined) {
      const names: string[] = [];
      for (const { name } of await core.storage.read(rows.nodesWithPending, host.owner))
        if (await engine.store.withNode(host.owner, name, (node) => node && engine.access.isOwner(node, asker)))
          names.push(name);
      const options = names.map((value) => ({ value }));
      const fields = [{ name: "pubsub#node", type: "list-single", values: [], options } as const];
      const asked = formElement({ type: "form", formType: authorizationForm, fields });
      return request.result(x("command", { ...head, status: "executing" }, asked));
    }
    const name = singleValueOf(form, "pubsub#node") ?? "";
    return engine.store.withNode(host.owner, name, (node) => {
      if (node === undefined) return request.error(stanzaError("item-not-found"));
      if (!engine.access.isOwner(node, asker)) return request.error(stanzaError("forbidden"));
      for (const each of node.subscriptions.values())
        if (each.state === "pending") ask(engine, host, node, each, asker.who, 0);
      return request.result(x("command", { ...head, status: "completed" }));
    });
  }

  return {
    iq: [
      {
        ...{ set: [ns.commands, "command"], at: [`service:${serviceKind}`], by: "anyone", open: true },
        answer: pending,
      },
    ],
    close: () => unserve?.(),
  };
}
