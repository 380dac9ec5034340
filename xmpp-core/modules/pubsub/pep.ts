import { delayElement } from "../../formats/delay.ts";
import { ns } from "../../formats/namespaces.ts";
import { isStanzaError } from "../../formats/stanza-error.ts";
import { property } from "../../properties/property.ts";
import { boolean } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { MessageFlow } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { interests, interestsKnown } from "../personal-points.ts";
import { accountNodes, discoExtra, presenceFlows, visibility } from "../points.ts";
import type { Host, Sight } from "./access.ts";
import { decide } from "./approval.ts";
import { itemElement } from "./content.ts";
import { accountFeatures, itemItems, nodeInfo, nodeItems } from "./disco.ts";
import type { Engine } from "./engine.ts";
import { shownItemId } from "./entities.ts";
import { isOn, personalDefaults } from "./options.ts";
import { newest, newestItems } from "./retrieve.ts";
import type { Node } from "./store.ts";
import * as rows from "./tables.ts";

export const pepEnabled = property("xmpp.pep.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether persons have nodes of their own: avatars, moods, bookmarks, keys.",
});

/** Where a person's nodes are. */
export const personalHost = (core: Core, account: Account): Host => ({
  ...{ owner: account.id, account, defaults: personalDefaults },
  address: (view) => core.names.absolute(`${account.name}@`, view),
});

/** Offline contacts whose nodes are looked at when somebody comes online; those who are there are always. */
const mostOffline = 1000;
const nodesAtOnce = 100;
/** Nodes of one person that are looked at when somebody begins to see him. */
const mostNodes = 1000;
/** Of how many nodes, and how many items of each, a device is told anew. */
const mostNodesAnew = 5000;
const mostItemsAnew = 500;

/** What accounts do beyond the service: discovery, and the last item for who comes online. XEP-0163 §4.3 */
export function personalEventing(engine: Engine) {
  const { core, store, access, events, entities } = engine;
  const on = (): boolean => core.properties.get(pepEnabled);

  core.offer(discoExtra, {
    // Old clients look for it at the server.
    identities: () => (on() ? [{ category: "pubsub", type: "pep" }] : []),
    accountIdentities: () => (on() ? [{ category: "pubsub", type: "pep" }] : []),
    features: () => (on() ? accountFeatures : []),
    accountFeatures: () => (on() ? accountFeatures : []),
  });
  core.offer(accountNodes, {
    async items(request, node) {
      if (!on() || request.account === undefined) return undefined;
      const host = personalHost(core, request.account);
      // A node of nobody may be another module's; a page of one that is not there is not.
      const asked = request.element.getChild("set", ns.rsm);
      const found = await (node === undefined
        ? nodeItems(engine, host, request)
        : itemItems(engine, host, request, node));
      return isStanzaError(found) && found.condition === "item-not-found" && asked === undefined ? undefined : found;
    },
    async info(request, node) {
      if (!on() || request.account === undefined) return undefined;
      const found = await nodeInfo(engine, personalHost(core, request.account), request, node);
      return isStanzaError(found) && found.condition === "item-not-found" ? undefined : found;
    },
  });

  const seeThrough = (session: Session, work: Promise<void>): void =>
    core.seeThrough(`last items for ${session.address}`, work);

  /** What the session's owner sees of another. His own roster tells, unless the node is for groups of the other's. */
  async function sightOf(session: Session, host: Host, node: Node): Promise<Sight> {
    if (node.config.access_model === "roster") {
      await access.prepare(host);
      return access.sightOf(host, entities.ofAccount(session.account));
    }
    const sight = core.offered(visibility)[0];
    for (let loading = sight?.load(session.account); loading !== undefined; loading = sight?.load(session.account))
      await loading;
    return { shown: host.account !== undefined && sight?.sees(session.account, host.account) === true, groups: [] };
  }

  async function sendOneLast(session: Session, owner: number, name: string): Promise<void> {
    const account = core.accounts.byId(owner);
    if (account === undefined) return;
    const host = personalHost(core, account);
    const node = await store.withNode(owner, name, (present) =>
      present?.config.send_last_published_item === "on_sub_and_presence" && isOn(present.config, "persist_items")
        ? present
        : undefined,
    );
    const item = node && (await newest(engine, node));
    if (node === undefined || item === undefined) return;
    const sight = await sightOf(session, host, node);
    if (session.ended || session.priority === undefined) return;
    const full = isOn(node.config, "deliver_payloads");
    events.tellSession(host, node, session, sight, {
      after: 0,
      event: (view) => x("items", { node: name }, itemElement(core, entities, item, view, full)),
      beside: engine.delays() ? delayElement({ stamp: new Date(item.published) }) : undefined,
    });
  }

  /** The last items of these nodes, as far as the session may hear of them. Reads of one turn travel together. */
  async function sendLast(session: Session, found: readonly { owner: number; name: string }[]): Promise<void> {
    for (let i = 0; i < found.length && !session.ended; i += nodesAtOnce)
      await Promise.all(found.slice(i, i + nodesAtOnce).map(({ owner, name }) => sendOneLast(session, owner, name)));
  }

  /** Whose nodes concern somebody: his own and those of his contacts. */
  async function concerning({ account }: Session): Promise<Set<number>> {
    const sight = core.offered(visibility)[0];
    for (let loading = sight?.load(account); loading !== undefined; loading = sight?.load(account)) await loading;
    const owners = new Set([account.id]);
    for (const other of sight?.watched(account) ?? []) owners.add(other.id);
    const online = owners.size;
    for (const other of sight?.watched(account, "all") ?? []) {
      if (owners.size >= online + mostOffline) break;
      owners.add(other.id);
    }
    return owners;
  }

  async function cameOnline(session: Session, fresh: readonly string[]): Promise<void> {
    const owners = JSON.stringify([...(await concerning(session))]);
    await sendLast(session, await core.storage.read(rows.existingNodes, owners, JSON.stringify(fresh)));
  }

  const wants = (session: Session, name: string): boolean =>
    core.offered(interests).some((each) => each.wants(session, name));

  /** Events on their way when the server died are lost: own nodes are told anew, retractions first, of others the last items. */
  async function tellAnew(session: Session): Promise<void> {
    const { account } = session;
    const owners = JSON.stringify([...(await concerning(session))]);
    const found = await core.storage.read(rows.nodesOf, owners, mostNodesAnew);
    const wanted = found.filter(({ name }) => wants(session, name));
    await sendLast(
      session,
      wanted.filter(({ owner }) => owner !== account.id),
    );
    const host = personalHost(core, account);
    for (const { name } of wanted.filter(({ owner }) => owner === account.id)) {
      const node = await store.withNode(account.id, name, (present) => present);
      if (node === undefined) continue;
      const gone = await core.storage.read(rows.retractedOf, node.id);
      const items = await newestItems(engine, node, mostItemsAnew);
      const own = await sightOf(session, host, node);
      const tell = (inside: (view: string) => Xml[]): void =>
        events.tellSession(host, node, session, own, {
          after: 0,
          event: (view) => x("items", { node: name }, inside(view)),
        });
      if (session.ended || session.priority === undefined) return;
      if (gone.length > 0) tell((view) => gone.map(({ id }) => x("retract", { id: shownItemId(core, id, view) })));
      const full = isOn(node.config, "deliver_payloads");
      if (items.length > 0) tell((view) => items.map((item) => itemElement(core, entities, item, view, full)));
    }
  }
  core.offer(interestsKnown, {
    interestsKnown(session, fresh) {
      if (on() && fresh.length > 0) seeThrough(session, cameOnline(session, fresh));
    },
  });

  async function beganToSee(session: Session, account: Account): Promise<void> {
    const names = await core.storage.read(rows.namesAfter, account.id, "", mostNodes);
    const wanted = names.filter(({ name }) => wants(session, name));
    await sendLast(
      session,
      wanted.map(({ name }) => ({ owner: account.id, name })),
    );
  }
  core.offer(presenceFlows, {
    flowed(from, to, shown) {
      if (!shown || !on()) return;
      for (const session of to.sessions)
        if (session.priority !== undefined) seeThrough(session, beganToSee(session, from));
    },
  });

  return {
    catchUp(session: Session): void {
      if (on()) seeThrough(session, tellAnew(session));
    },
    /** An owner's answer to a request for a subscription, in a message to himself. XEP-0060 §8.6 */
    decided({ stanza, sender, recipient, from, view }: MessageFlow): void {
      if (sender === undefined || sender.account !== recipient || !stanza.has(ns.dataForms, "x")) return;
      const host = personalHost(core, recipient);
      const asker = access.asker(host, { session: sender, from, view });
      core.seeThrough(
        "an approval of a subscription",
        asker.then((known) => decide(engine, host, known, stanza)),
      );
    },
  };
}
