import { formIn } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { isStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { Write } from "../../storage/statement.ts";
import { x } from "../../xml/writer.ts";
import { type Engine, type Operation, relative, type Work } from "./engine.ts";
import { pubsubError, unsupported } from "./errors.ts";
import { type NodeConfig, optionsIn } from "./options.ts";
import type { Node } from "./store.ts";
import * as rows from "./tables.ts";

/** XEP-0060 §8.1 */
export const create: Operation = async (engine, work) => {
  const { request, host, asker } = work;
  const type: unknown = work.element.attrs.type;
  if (type !== undefined && type !== "leaf") return request.error(unsupported("collections"));
  // §8.1.2: without a name it is an instant node.
  const name = work.name === "" ? engine.core.random(12).toString("base64url") : work.name;
  const configure = request.element.getChild("configure", ns.pubsub);
  const wanted = configFor(engine, work, host.defaults(name), configure && formIn(configure));
  if (isStanzaError(wanted)) return request.error(wanted);
  const count = (await engine.core.storage.read(rows.countNodes, host.owner))[0]?.number ?? 0;
  return engine.store.withNode(host.owner, name, (present) => {
    if (present !== undefined) return request.error(stanzaError("conflict", { text: "There is a node of this name." }));
    const made = createNode(engine, work, name, wanted, count);
    if (isStanzaError(made)) return request.error(made);
    const after = engine.store.commit(made.node, asker.session, made.writes);
    return request.result(x("pubsub", { xmlns: ns.pubsub }, x("create", { node: name })), after);
  });
};

/** A node in memory and the rows that make it, if he may and there is room. `count`: how many there are. */
export function createNode(
  engine: Engine,
  { host, asker }: Work,
  name: string,
  config: NodeConfig,
  count: number,
): { readonly node: Node; readonly writes: readonly Write[] } | StanzaError {
  if (!engine.mayCreate(host, asker))
    return stanzaError("forbidden", { text: "Nodes cannot be made here by everybody." });
  const refused = unsuitable(host.account === undefined, config);
  if (refused !== undefined) return refused;
  if (count >= engine.limits.nodes(host.owner))
    return pubsubError("max-nodes-exceeded", `There is room for ${engine.limits.nodes(host.owner)} nodes.`);
  const { node, writes } = engine.store.create(host.owner, name, asker.who, config);
  return { node, writes: [...writes, ...engine.store.affiliate(node, asker.who, "owner")] };
}

/** A configuration with what a form changes; the form may be absent or cancelled. */
export function configFor(
  engine: Engine,
  { host }: Work,
  before: NodeConfig,
  form: ReturnType<typeof formIn>,
): NodeConfig | StanzaError {
  if (form === undefined || form.type === "cancel") return before;
  const wanted = optionsIn(form, relative(engine));
  if (typeof wanted === "string")
    return stanzaError("not-acceptable", { text: `${wanted} is no option here, or cannot have that value.` });
  const config = { ...before, ...wanted };
  return unsuitable(host.account === undefined, config) ?? config;
}

/** The service has no presence and no roster: models that need them belong to persons. */
function unsuitable(atService: boolean, { access_model: model }: NodeConfig): StanzaError | undefined {
  return atService && (model === "presence" || model === "roster")
    ? pubsubError("unsupported-access-model")
    : undefined;
}
