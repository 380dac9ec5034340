import type { Account } from "../../routing/accounts.ts";
import type { Handlers } from "../../routing/handlers.ts";
import { type Core, defineModule } from "../module.ts";
import { personalNodes } from "../points.ts";
import { type Host, access as openAccess } from "./access.ts";
import { entities as openEntities } from "./entities.ts";
import { events as openEvents } from "./events.ts";
import { largestItem, mostItems, mostNodes, mostSubscriptions, limits as openLimits } from "./limits.ts";
import { personalDefaults, serviceDefaults } from "./options.ts";
import { personal } from "./personal.ts";
import { publishing as openPublishing } from "./publishing.ts";
import { nodeStore } from "./store.ts";
import * as rows from "./tables.ts";

/** Nodes that people and programs publish to: at a service, and at every account. XEP-0060, XEP-0163 */
export const pubsub = defineModule({
  name: "pubsub",
  implements: [],
  properties: [mostNodes, mostItems, largestItem, mostSubscriptions],
  migrations: [rows.pubsubMigration],
  start,
});

function start(core: Core): Handlers {
  const defaultsOf = (owner: number, name: string) => (owner > 0 ? personalDefaults(name) : serviceDefaults);
  const store = nodeStore(core, defaultsOf);
  const limits = openLimits(core);
  const entities = openEntities(core);
  const access = openAccess(core, entities, (account) => account !== undefined && core.rights.isAdmin(account.id));
  const events = openEvents(core, entities, access);
  const publishing = openPublishing(core, store, entities, events, limits);

  const personalHost = (account: Account): Host => ({
    ...{ owner: account.id, account, defaults: personalDefaults },
    address: (view) => core.names.absolute(`${account.name}@`, view),
  });
  core.offer(personalNodes, personal(core, store, entities, access, publishing, personalHost));

  return {
    ready: store.ready,
    account: {
      removed(account) {
        store.forget(account.id);
        const who = entities.ofAccount(account);
        return [
          rows.dropNodesOf.with(account.id),
          rows.dropAffiliationsFor.with(who),
          rows.dropSubscriptionsFor.with(who),
        ];
      },
    },
  };
}
