import { ns } from "../formats/namespaces.ts";
import { errorReply, stanzaError } from "../formats/stanza-error.ts";
import type { IqAnswer, StrangerRequest } from "../routing/handlers.ts";
import type { Stanza } from "../xml/stanza.ts";
import { nothing, type Xml, x } from "../xml/writer.ts";
import { isTrusted } from "./login.ts";
import type { StreamParts } from "./parts.ts";
import type { Wire } from "./wire.ts";

/** Requests that one stream may make before it logs in, from networks that are not trusted; a form, an attempt and a few corrections. */
const mostRequests = 10;
const made = new WeakMap<Wire, number>();

/** What modules offer to those who have not logged in; on encrypted streams only. */
export function strangerFeatures(parts: StreamParts): Xml[] {
  return [...parts.beforeLogin().flatMap((each) => each.feature() ?? []), ...parts.featuresBeforeLogin()];
}

/** The answer to a request before login, or undefined if nothing may be asked so. RFC 6120 §6.3.2 leaves room for XEP-0077 alone. */
export function answerStranger(
  parts: StreamParts,
  { wire }: { readonly wire: Wire },
  at: { readonly view: string },
  stanza: Stanza,
): Promise<Xml> | undefined {
  const { id, type } = stanza;
  const [payload, second] = stanza.children;
  if (stanza.ns !== ns.client || stanza.name !== "iq" || id === undefined) return undefined;
  if ((type !== "get" && type !== "set") || payload === undefined || second !== undefined) return undefined;
  const handler = parts
    .beforeLogin()
    .find(({ request: [space, name] }) => payload.ns === space && payload.name === name);
  const host = parts.names.host(stanza.to ?? at.view);
  const element = stanza.child(payload.ns, payload.name);
  if (handler === undefined || element === undefined || host === undefined || host.service !== "") return undefined;
  const count = (made.get(wire) ?? 0) + 1;
  made.set(wire, count);
  if (count > mostRequests && !isTrusted(parts, wire.remote.address)) return undefined;
  const request: StrangerRequest = {
    type,
    element,
    served: host.served,
    view: at.view,
    remote: wire.remote.address,
    secured: wire.tls !== undefined,
    stream: wire,
    result: (result, after) => ({ is: "result", payload: result, after }),
    error: (error) => ({ is: "error", error }),
  };
  return reply(parts, stanza, at.view, handler.answer(request));
}

async function reply(
  parts: StreamParts,
  stanza: Stanza,
  view: string,
  given: IqAnswer | Promise<IqAnswer>,
): Promise<Xml> {
  const refused = (error: Parameters<typeof errorReply>[1]): Xml =>
    errorReply(stanza, error, { from: view, to: undefined }) ?? nothing;
  try {
    const answer = await given;
    if (answer.is === "error") return refused(answer.error);
    if (answer.is === "later") return refused(stanzaError("feature-not-implemented"));
    if (answer.after !== undefined) await parts.storage.settled(answer.after);
    return x("iq", { type: "result", id: stanza.id, from: view }, answer.payload);
  } catch (error) {
    parts.report.wrong({ what: "answering before login", error });
    return refused(stanzaError("internal-server-error"));
  }
}
