import { stanzaError } from "../../formats/stanza-error.ts";
import type { Handlers } from "../../routing/handlers.ts";
import { type Core, defineModule } from "../module.ts";
import { personalNodes } from "../personal-points.ts";
import { access as openAccess } from "./access.ts";
import type { Engine } from "./engine.ts";
import { entities as openEntities } from "./entities.ts";
import { events as openEvents } from "./events.ts";
import { largestItem, mostBytes, mostItems, mostNodes, mostSubscriptions, limits as openLimits } from "./limits.ts";
import { personalDefaults, serviceDefaults } from "./options.ts";
import { pepEnabled, personalEventing, personalHost } from "./pep.ts";
import { personal } from "./personal.ts";
import { publishing as openPublishing } from "./publishing.ts";
import { pubsubRequests } from "./requests.ts";
import * as service from "./service.ts";
import { nodeStore } from "./store.ts";
import { sweeper } from "./sweep.ts";
import * as rows from "./tables.ts";

/** Nodes that people and programs publish to: at a service, and at every account. XEP-0060, XEP-0163 */
export const pubsub = defineModule({
  name: "pubsub",
  implements: [
    {
      ...{ spec: "XEP-0060", version: "1.27.0", status: "complete" },
      note: "leaf nodes; nodes belong to the service or to an account",
    },
    { spec: "XEP-0163", version: "1.2.2", status: "complete", note: "between accounts of this server" },
    { spec: "XEP-0222", version: "1.0.1", status: "complete" },
    { spec: "XEP-0223", version: "1.1.1", status: "complete" },
  ],
  properties: [
    pepEnabled,
    ...service.serviceProperties,
    mostNodes,
    mostItems,
    largestItem,
    mostBytes,
    mostSubscriptions,
  ],
  migrations: [rows.pubsubMigration, rows.retractedMigration, rows.bytesMigration],
  start,
});

function start(core: Core): Handlers {
  const store = nodeStore(core, (owner, name) => (owner > 0 ? personalDefaults(name) : serviceDefaults));
  const limits = openLimits(core);
  const entities = openEntities(core);
  const access = openAccess(core, entities, service.isMaster(core));
  const events = openEvents(core, entities, access);
  const publishing = openPublishing(core, store, entities, events, limits);
  const engine: Engine = {
    ...{ core, store, entities, access, events, publishing, limits },
    hostOf({ place, account }) {
      if (place.at === "service") return service.serviceHost(core, place.served.id);
      if (!core.properties.get(pepEnabled) || account === undefined || account.probe)
        return stanzaError("service-unavailable");
      return personalHost(core, account);
    },
    mayCreate: (host, asker) => (host.account === undefined ? service.mayCreate(engine, asker) : asker.master),
    multiple: () => core.properties.get(service.multipleSubscriptions),
    descending: () => core.properties.get(service.descendingOrder),
    pageMost: () => core.properties.get(service.fetchMost),
    delays: () => !core.properties.get(service.noDelays),
  };
  core.offer(
    personalNodes,
    personal(core, store, entities, access, publishing, (account) => personalHost(core, account)),
  );
  const own = service.openService(engine);
  const eventing = personalEventing(engine);
  const sweep = sweeper(engine);

  return {
    ready: store.ready,
    iq: [...pubsubRequests(engine, ["account", `service:${service.serviceKind}`]), ...own.iq],
    message: { notify: eventing.decided },
    session: { resumed: (session, after) => after === "crash" && eventing.catchUp(session) },
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
    stop() {
      sweep.stop();
      own.close();
    },
  };
}
