import type { Account } from "../../routing/accounts.ts";
import type { Core } from "../module.ts";
import type { PersonalNodes } from "../personal-points.ts";
import type { Access, Host } from "./access.ts";
import type { Item } from "./content.ts";
import { type Entities, storedItemId } from "./entities.ts";
import { optionsOf, personalDefaults } from "./options.ts";
import { nodeItem, type Publishing } from "./publishing.ts";
import type { Node, NodeStore } from "./store.ts";
import * as rows from "./tables.ts";

/** What other modules do with a person's nodes, in his name. */
export function personal(
  core: Core,
  store: NodeStore,
  entities: Entities,
  access: Access,
  publishing: Publishing,
  hostOf: (account: Account) => Host,
): PersonalNodes {
  const cause = { session: undefined, by: undefined };

  async function all(node: Node): Promise<Item[]> {
    const since = publishing.expiredBefore(node);
    const most = publishing.capacity(node);
    const found = await core.storage.read(rows.itemsUp, node.id, 0, Number.MAX_SAFE_INTEGER, since, most);
    return found.map((row) => ({ ...row, payload: Buffer.from(row.payload) }));
  }

  return {
    async items(account, name) {
      const found = await store.withNode(account.id, name, (node) => (node === undefined ? [] : all(node)));
      return found.map((item) => nodeItem(core, item));
    },
    accessModel: (account, name) => store.withNode(account.id, name, (node) => node?.config.access_model),
    async publish(account, name, items, options) {
      const host = hostOf(account);
      await access.prepare(host);
      const after = await store.withNode(account.id, name, (present) => {
        const publisher = entities.ofAccount(account);
        const config = { ...personalDefaults(name), ...optionsOf(options, (address) => address) };
        const made = present === undefined ? store.create(account.id, name, publisher, config) : undefined;
        const node = present ?? made?.node;
        if (node === undefined) throw new Error("unreachable: there is a node now");
        const published = core.clock.now();
        const kept = items.map(({ id, payload, epoch }): Item => {
          const stored = storedItemId(core, name, id);
          return { id: stored, publisher, published, epoch, payload };
        });
        return publishing.publish(host, node, kept, cause, made?.writes);
      });
      await core.storage.settled(after);
    },
    async retract(account, name, ids) {
      const host = hostOf(account);
      await access.prepare(host);
      const after = await store.withNode(account.id, name, (node) => {
        const stored = ids.map((id) => storedItemId(core, name, id));
        return node === undefined ? 0 : publishing.retract(host, node, stored, cause, true);
      });
      await core.storage.settled(after);
    },
  };
}
