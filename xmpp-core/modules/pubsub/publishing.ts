import type { StanzaError } from "../../formats/stanza-error.ts";
import type { Jid } from "../../jid/jid.ts";
import type { Session } from "../../routing/session.ts";
import type { Write } from "../../storage/statement.ts";
import type { Ticket } from "../../storage/storage.ts";
import { x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { personalNodeChanged } from "../personal-points.ts";
import type { Host } from "./access.ts";
import { type Item, itemElement, shownPayload } from "./content.ts";
import { type Entities, shownItemId } from "./entities.ts";
import { pubsubError } from "./errors.ts";
import type { Events } from "./events.ts";
import type { Limits } from "./limits.ts";
import { isOn } from "./options.ts";
import type { Node, NodeStore } from "./store.ts";
import * as rows from "./tables.ts";

/** So many retractions of a node are remembered. */
const mostRetracted = 200;

/** Who caused a change, as far as commit and notifications care. */
export interface Cause {
  readonly session: Session | undefined;
  /** The publishing resource. */
  readonly by: Jid | undefined;
}

/** Changes of what nodes hold, each committed and then told. All run in the turn in which the node was found. */
export interface Publishing {
  /** Items that are new, or replace those of the same id. `before`: writes that belong to the same unit (a new node). */
  publish(host: Host, node: Node, items: readonly Item[], cause: Cause, before?: readonly Write[]): Ticket;
  /** Takes items away; stored ids. */
  retract(host: Host, node: Node, ids: readonly string[], cause: Cause, notify: boolean): Ticket;
  purge(host: Host, node: Node, cause: Cause): Ticket;
  remove(host: Host, node: Node, cause: Cause, redirect: string | undefined): Ticket;
  /** What must be known before an item is published to a node that does not simply discard its oldest; undefined: go on. */
  makeRoom(host: Host, node: Node, ids: readonly string[]): Promise<StanzaError | readonly string[]> | undefined;
  /** Most items the node keeps. */
  capacity(node: Node): number;
  /** Items published before are gone: ms since 1970, 0 for none. */
  expiredBefore(node: Node): number;
}

export function publishing(
  core: Core,
  store: NodeStore,
  entities: Entities,
  events: Events,
  limits: Limits,
): Publishing {
  function capacity(node: Node): number {
    const most = limits.items();
    const own = node.config.max_items;
    return own === "max" ? most : Math.min(Number(own), most);
  }

  function expiredBefore(node: Node): number {
    const own = node.config.item_expire;
    return own === "max" || own === "0" ? 0 : core.clock.now() - Number(own) * 1000;
  }

  /** Modules that follow a person's nodes hear of a change once it is on disk. */
  function follow(
    host: Host,
    node: Node,
    after: Ticket,
    change: { published?: readonly Item[]; retracted?: readonly string[]; emptied?: boolean },
  ): void {
    const { account } = host;
    const listeners = account === undefined ? [] : core.offered(personalNodeChanged);
    if (account === undefined || listeners.length === 0) return;
    core.storage.settled(after).then(
      () => {
        for (const listener of listeners)
          listener.personalNodeChanged({
            ...{ account, node: node.name, emptied: change.emptied ?? false },
            published: (change.published ?? []).map((item) => nodeItem(core, item)),
            retracted: (change.retracted ?? []).map((id) => shownItemId(core, id, core.names.primary.name)),
          });
      },
      () => undefined, // it did not happen
    );
  }

  return {
    capacity,
    expiredBefore,
    publish(host, node, items, cause, before = []) {
      const persistent = isOn(node.config, "persist_items");
      const writes = [...before];
      if (persistent) {
        for (const { id, publisher, published, epoch, payload } of items) {
          writes.push(rows.putItem.with(store.nextPlace(), node.id, id, publisher, published, epoch, payload));
          if (host.account !== undefined) writes.push(rows.dropRetracted.with(node.id, id));
        }
        writes.push(rows.trimItems.with(node.id, node.id, capacity(node)));
        const old = expiredBefore(node);
        if (old > 0) writes.push(rows.trimOld.with(node.id, old));
      }
      const after = store.commit(node, cause.session, writes);
      const full = isOn(node.config, "deliver_payloads");
      events.tell(host, node, {
        ...{ after, by: cause.by },
        event: (view) =>
          x(
            "items",
            { node: node.name },
            items.map((item) => itemElement(core, entities, item, view, full)),
          ),
      });
      follow(host, node, after, { published: items });
      return after;
    },
    retract(host, node, ids, cause, notify) {
      const writes = ids.map((id) => rows.dropItem.with(node.id, id));
      if (host.account !== undefined) {
        for (const id of ids) writes.push(rows.putRetracted.with(node.id, id, store.nextPlace()));
        writes.push(rows.trimRetracted.with(node.id, node.id, mostRetracted));
      }
      const after = store.commit(node, cause.session, writes);
      if (notify)
        events.tell(host, node, {
          after,
          event: (view) =>
            x(
              "items",
              { node: node.name },
              ids.map((id) => x("retract", { id: shownItemId(core, id, view) })),
            ),
        });
      follow(host, node, after, { retracted: ids });
      return after;
    },
    purge(host, node, cause) {
      const writes: Write[] = [rows.dropItems.with(node.id)];
      if (host.account !== undefined) writes.unshift(rows.putPurged.with(store.nextPlace(), node.id));
      const after = store.commit(node, cause.session, writes);
      if (isOn(node.config, "notify_retract"))
        events.tell(host, node, { after, event: () => x("purge", { node: node.name }) });
      follow(host, node, after, { emptied: true });
      return after;
    },
    remove(host, node, cause, redirect) {
      const after = store.commit(node, cause.session, store.remove(node));
      const uri = redirect === undefined ? undefined : x("redirect", { uri: redirect });
      if (isOn(node.config, "notify_delete"))
        events.tell(host, node, { after, event: () => x("delete", { node: node.name }, uri) });
      follow(host, node, after, { emptied: true });
      return after;
    },
    makeRoom(_host, node, ids) {
      const { publish_node_full: policy } = node.config;
      if (policy === "discard-oldest" || !isOn(node.config, "persist_items")) return undefined;
      return (async () => {
        const since = Math.max(0, expiredBefore(node));
        const last = Number.MAX_SAFE_INTEGER;
        const present = await core.storage.read(rows.itemsNamed, node.id, JSON.stringify(ids), since);
        const count = (await core.storage.read(rows.countItems, node.id, 0, last, since))[0]?.number ?? 0;
        const over = count + new Set(ids).size - present.length - capacity(node);
        if (over <= 0) return [];
        if (policy === "reject-new") return pubsubError("node-full", `The node holds ${capacity(node)} items at most.`);
        const oldest = await core.storage.read(rows.idsUp, node.id, 0, last, since, over);
        return oldest.map(({ id }) => id).filter((id) => !ids.includes(id));
      })();
    },
  };
}

/** An item as other modules see it: under the present name of the domain. */
export function nodeItem(core: Core, item: Item) {
  const { name } = core.names.primary;
  return {
    id: shownItemId(core, item.id, name),
    payload: shownPayload(core, item, name),
    epoch: core.names.epochOf(name),
    publishedAt: item.published,
  };
}
