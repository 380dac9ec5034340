import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import type { AnswersAt, IqHandler, OpenRequest } from "../../routing/handlers.ts";
import { create } from "./create.ts";
import { type Engine, type Operation, perform } from "./engine.ts";
import { unsupported } from "./errors.ts";
import { configure, defaultConfig, ownerAffiliations, ownerSubscriptions, purge, remove } from "./owner.ts";
import { publish, retract } from "./publish-requests.ts";
import { items } from "./retrieve.ts";
import { affiliations, defaultOptions, options, subscribe, subscriptions, unsubscribe } from "./subscribe.ts";

const ownerNs = `${ns.pubsub}#owner`;

type Table = ReadonlyMap<string, Operation>;
/** In each request one child names what is to be done; others (`configure`, `options`, `publish-options`) go with it. */
const gets: Table = new Map<string, Operation>([
  ["items", items],
  ["subscriptions", subscriptions],
  ["affiliations", affiliations],
  ["options", options],
  ["default", defaultOptions],
]);
const sets: Table = new Map<string, Operation>([
  ["create", create],
  ["publish", publish],
  ["retract", retract],
  ["subscribe", subscribe],
  ["unsubscribe", unsubscribe],
  ["options", options],
]);
const ownerGets: Table = new Map<string, Operation>([
  ["configure", configure],
  ["default", defaultConfig],
  ["subscriptions", ownerSubscriptions],
  ["affiliations", ownerAffiliations],
]);
const ownerSets: Table = new Map<string, Operation>([
  ["configure", configure],
  ["delete", remove],
  ["purge", purge],
  ["subscriptions", ownerSubscriptions],
  ["affiliations", ownerAffiliations],
]);

/** Requests about nodes, at accounts and at the service. XEP-0060 */
export function pubsubRequests(engine: Engine, at: readonly AnswersAt[]): IqHandler[] {
  const answer = (table: Table, namespace: string) => (request: OpenRequest) => {
    for (const element of request.element.getChildElements()) {
      const operation = element.getNS() === namespace ? table.get(element.getName()) : undefined;
      if (operation !== undefined) return perform(engine, request, element, operation);
    }
    const [first] = request.element.getChildElements();
    if (first === undefined) return request.error(stanzaError("bad-request"));
    return request.error(first.getName() === "collection" ? unsupported("collections") : stanzaError("bad-request"));
  };
  const open = { at, by: "anyone", open: true } as const;
  return [
    { ...open, get: [ns.pubsub, "pubsub"], answer: answer(gets, ns.pubsub) },
    { ...open, set: [ns.pubsub, "pubsub"], answer: answer(sets, ns.pubsub) },
    { ...open, get: [ownerNs, "pubsub"], answer: answer(ownerGets, ownerNs) },
    { ...open, set: [ownerNs, "pubsub"], answer: answer(ownerSets, ownerNs) },
  ];
}
