import { field } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { type Page, pageElement, parsePageRequest } from "../../formats/rsm.ts";
import { isStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { OpenRequest } from "../../routing/handlers.ts";
import type { DiscoInfo, DiscoItems } from "../points.ts";
import type { Asker, Host } from "./access.ts";
import type { Engine } from "./engine.ts";
import { shownItemId } from "./entities.ts";
import { noSuchNode } from "./errors.ts";
import { type OptionName, valuesOfOption } from "./options.ts";
import { idPage, shownPage } from "./retrieve.ts";
import type { Node } from "./store.ts";
import * as rows from "./tables.ts";

const both = [
  ...["access-authorize", "access-open", "access-whitelist", "auto-create", "config-node", "config-node-max"],
  ...["create-and-configure", "create-nodes", "delete-items", "delete-nodes", "instant-nodes", "item-ids"],
  ...["last-published", "leased-subscription", "manage-subscriptions", "member-affiliation", "meta-data"],
  ...["modify-affiliations", "multi-items", "outcast-affiliation", "persistent-items", "presence-notifications"],
  ...["publish", "publish-node-full", "publish-only-affiliation", "publish-options", "publisher-affiliation"],
  ...["purge-nodes", "retract-items", "retrieve-affiliations", "retrieve-default", "retrieve-default-sub"],
  ...["retrieve-items", "retrieve-subscriptions", "rsm", "subscribe", "subscription-notifications"],
  "subscription-options",
];
const named = (features: readonly string[]): string[] => features.map((name) => `${ns.pubsub}#${name}`);

/** What the service can do. XEP-0060 §10 */
export const serviceFeatures: readonly string[] = [ns.pubsub, ns.rsm, ...named([...both, "get-pending"])];
/** What every account can do. XEP-0163 §6 */
export const accountFeatures: readonly string[] = [
  ...[ns.pubsub, ns.rsm],
  ...named([...both, "access-presence", "access-roster", "auto-subscribe", "filtered-notifications"]),
  ...named(["presence-subscribe", "pubsub-on-a-jid"]),
];

const nodesAtOnce = 200;
const mostLooked = 2000;

/** A node and what is told of it. XEP-0060 §5.3, §5.4 */
export async function nodeInfo(
  engine: Engine,
  host: Host,
  request: OpenRequest,
  name: string,
): Promise<DiscoInfo | StanzaError> {
  const asker = await engine.access.asker(host, request);
  const found = await engine.store.withNode(host.owner, name, (node) =>
    node === undefined || !visible(engine, node, asker) ? noSuchNode() : { node },
  );
  if (isStanzaError(found)) return found;
  const { node } = found;
  const { entities } = engine;
  const { view } = asker;
  const count = await idPage(engine, node, { max: 0 }, false);
  const addresses = (wanted: string): string[] =>
    [...node.affiliations].flatMap(([who, is]) => (is === wanted ? (entities.address(who, view) ?? []) : []));
  const subscribers = [...node.subscriptions.values()].filter(({ state }) => state === "subscribed").length;
  const told = (option: OptionName) => field(`pubsub#${option}`, valuesOfOption(node.config, option));
  return {
    identities: [{ category: "pubsub", type: "leaf", ...(node.config.title !== "" && { name: node.config.title }) }],
    features: [ns.pubsub, `${ns.pubsub}#meta-data`],
    forms: [
      {
        ...{ type: "result", formType: `${ns.pubsub}#meta-data` },
        fields: [
          ...(["type", "title", "description", "language", "access_model", "publish_model", "max_items"] as const).map(
            told,
          ),
          field(
            "pubsub#contact",
            valuesOfOption(node.config, "contact").map((each) => engine.core.names.absolute(each, view)),
          ),
          field("pubsub#creator", entities.address(node.creator, view) ?? ""),
          field("pubsub#creation_date", new Date(node.created).toISOString()),
          field("pubsub#owner", host.account === undefined ? addresses("owner") : [host.address(view)]),
          field("pubsub#publisher", addresses("publisher")),
          field("pubsub#num_subscribers", subscribers),
          field("pubsub#num_items", isStanzaError(count) ? 0 : (count.page.count ?? 0)),
        ],
      },
    ],
  };
}

/** Whether one may know of a node: he may read it, or ask to. */
function visible({ access }: Engine, node: Node, asker: Asker): boolean {
  if (access.mayRead(node, asker) === undefined) return true;
  return !isStanzaError(access.maySubscribe(node, asker)) || access.mayPublish(node, asker) === undefined;
}

/** The nodes that somebody may know of, a page of them. XEP-0060 §5.2 */
export async function nodeItems(engine: Engine, host: Host, request: OpenRequest): Promise<DiscoItems | StanzaError> {
  const { storage } = engine.core;
  const asked = parsePageRequest(request.element);
  if (asked === "malformed") return stanzaError("bad-request", { text: "The page wanted cannot be read." });
  const asker = await engine.access.asker(host, request);
  const jid = host.address(asker.view);
  const limit = Math.min(asked?.max ?? nodesAtOnce, nodesAtOnce);
  const found: { jid: string; node: string; name: string | undefined }[] = [];
  const backwards = asked?.before !== undefined;
  let from = backwards ? (asked.before ?? "") : (asked?.after ?? "");
  let complete = false;
  // Nodes that nobody may know of leave gaps: read on until the page is full.
  for (let looked = 0; found.length < limit && !complete && looked < mostLooked; looked += nodesAtOnce) {
    const names = backwards
      ? await (from === ""
          ? storage.read(rows.lastNames, host.owner, nodesAtOnce)
          : storage.read(rows.namesBefore, host.owner, from, nodesAtOnce))
      : await storage.read(rows.namesAfter, host.owner, from, nodesAtOnce);
    complete = names.length < nodesAtOnce;
    from = names.at(-1)?.name ?? from;
    const seen = await Promise.all(
      names.map(({ name }) =>
        engine.store.withNode(host.owner, name, (node) => (node && visible(engine, node, asker) ? node : undefined)),
      ),
    );
    for (const node of seen) {
      if (node === undefined || found.length >= limit) continue;
      found.push({ jid, node: node.name, name: node.config.title === "" ? undefined : node.config.title });
    }
    if (found.length >= limit && seen.filter((node) => node !== undefined).length > 0)
      complete &&= found.length < limit;
  }
  if (backwards) found.reverse();
  if (asked === undefined && complete) return { items: found };
  const page: Page = { first: found[0]?.node, last: found.at(-1)?.node };
  const all = complete && !backwards && asked?.after === undefined;
  return { items: found, page: pageElement(all ? { ...page, index: 0, count: found.length } : page) };
}

/** The items of a node, a page of them. XEP-0060 §5.5 */
export async function itemItems(
  engine: Engine,
  host: Host,
  request: OpenRequest,
  name: string,
): Promise<DiscoItems | StanzaError> {
  const asked = parsePageRequest(request.element);
  if (asked === "malformed") return stanzaError("bad-request", { text: "The page wanted cannot be read." });
  const asker = await engine.access.asker(host, request);
  const found = await engine.store.withNode(host.owner, name, (node) => {
    if (node === undefined) return noSuchNode();
    return engine.access.mayRead(node, asker) ?? { node };
  });
  if (isStanzaError(found)) return found;
  const listed = await idPage(engine, found.node, asked, false);
  if (isStanzaError(listed)) return listed;
  const jid = host.address(asker.view);
  const items = listed.ids.map((id) => ({ jid, name: shownItemId(engine.core, id, asker.view) }));
  const cut = listed.ids.length < (listed.page.count ?? 0);
  return asked === undefined && !cut
    ? { items }
    : { items, page: pageElement(shownPage(engine, listed.page, asker.view)) };
}
