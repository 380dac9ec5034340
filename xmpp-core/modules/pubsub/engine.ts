import type { Element } from "ltx";
import { isStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import type { Core } from "../module.ts";
import { blocking } from "../points.ts";
import type { Access, Asker, Host } from "./access.ts";
import type { Entities } from "./entities.ts";
import { noSuchNode, pubsubError } from "./errors.ts";
import type { Events } from "./events.ts";
import { type Limits, longestNodeName } from "./limits.ts";
import type { Publishing } from "./publishing.ts";
import type { Node, NodeStore } from "./store.ts";

/** What the handlers of requests share; the service's nodes and everybody's own go through the same ones. */
export interface Engine {
  readonly core: Core;
  readonly store: NodeStore;
  readonly entities: Entities;
  readonly access: Access;
  readonly events: Events;
  readonly publishing: Publishing;
  readonly limits: Limits;
  /** Where a request's nodes are, or why nowhere. */
  hostOf(request: OpenRequest): Host | StanzaError;
  /** Whether these may make nodes there. */
  mayCreate(host: Host, asker: Asker): boolean;
  /** Whether one address may subscribe to a node several times. */
  multiple(): boolean;
  /** Newest items first. */
  descending(): boolean;
  /** Most items in one answer. */
  pageMost(): number;
  /** Whether a last item says when it was published. */
  delays(): boolean;
}

/** One operation on a node. */
export interface Work {
  readonly request: OpenRequest;
  readonly host: Host;
  readonly asker: Asker;
  /** The element that names what is to be done. */
  readonly element: Element;
  /** Its node attribute; "": none. */
  readonly name: string;
}
export type Operation = (engine: Engine, work: Work) => IqAnswer | Promise<IqAnswer>;

export function attribute(element: Element, name: string): string | undefined {
  const value: unknown = element.attrs[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Runs an operation for whoever asked, if it concerns him at all. */
export async function perform(
  engine: Engine,
  request: OpenRequest,
  element: Element,
  operation: Operation,
): Promise<IqAnswer> {
  const host = engine.hostOf(request);
  if (isStanzaError(host)) return request.error(host);
  const { account } = host;
  if (account !== undefined && account !== request.session?.account)
    for (const each of engine.core.offered(blocking))
      if (each.blocks(account, request.from)) return request.error(stanzaError("service-unavailable"));
  const name = attribute(element, "node") ?? "";
  if (Buffer.byteLength(name) > longestNodeName)
    return request.error(
      stanzaError("not-acceptable", { text: `A node's name has ${longestNodeName} bytes at most.` }),
    );
  const asker = await engine.access.asker(host, request);
  return operation(engine, { request, host, asker, element, name });
}

/** Runs `work` in one turn with the node that the request names. */
export async function onNode(
  engine: Engine,
  { request, host, name }: Work,
  work: (node: Node) => IqAnswer | Promise<IqAnswer>,
): Promise<IqAnswer> {
  if (name === "") return request.error(pubsubError("nodeid-required"));
  return engine.store.withNode(host.owner, name, (node) =>
    node === undefined ? request.error(noSuchNode()) : work(node),
  );
}

/** As `onNode`, for its owners. */
export function asOwner(
  engine: Engine,
  work: Work,
  run: (node: Node) => IqAnswer | Promise<IqAnswer>,
): Promise<IqAnswer> {
  return onNode(engine, work, (node) =>
    engine.access.isOwner(node, work.asker)
      ? run(node)
      : work.request.error(stanzaError("forbidden", { text: "Only an owner of this node may do that." })),
  );
}

/** How addresses of options are stored. */
export const relative =
  ({ core }: Engine) =>
  (address: string): string => {
    const jid = parseJid(address);
    return jid === undefined ? address : core.names.relative(jid);
  };
