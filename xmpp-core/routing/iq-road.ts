import type { Element } from "ltx";
import { malformedAddress } from "../formats/malformed-address.ts";
import { ns } from "../formats/namespaces.ts";
import { errorElement, errorReply, notStored, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { bare, formatJid, type Jid, parseJid } from "../jid/jid.ts";
import type { Report } from "../report.ts";
import { parseStanza } from "../xml/document.ts";
import { unlimited } from "../xml/limits.ts";
import type { Child, Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import type { Accounts } from "./accounts.ts";
import type { Handlers, IqAnswer, IqDetour, IqHandler, OpenRequest, ServiceHandler } from "./handlers.ts";
import type { Names, Place } from "./names.ts";
import { rewritten, type Sender, serviceStanza } from "./sender.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { Views } from "./views.ts";

export type Allowed = (session: Session, by: NonNullable<IqHandler["by"]>, place: Place) => boolean;
type Answered = (ok: boolean, payload: Element | undefined) => void;

/** The way of requests and their answers. RFC 6120 §8.2.3, RFC 6121 §8.5 */
export interface IqRoad {
  /** A promise means: take nothing more from this sender until it is settled. */
  receive(sender: Sender, stanza: Stanza): Promise<void> | undefined;
  /** A request of the server itself to a client. */
  ask(session: Session, type: "get" | "set", payload: Xml, answered: Answered): void;
  /** A request in the name of an account's bare address or of the server (`Router.act`). */
  act(from: Jid, request: Stanza, answered: (answer: Stanza) => void): () => void;
  register(all: readonly Handlers[], isAllowed: Allowed): void;
  /** The client that was asked will not answer: whoever asked is told. */
  bounce(id: string, from: string, silent: Session): void;
  /** Questions of the server to a session that is no more. */
  forget(session: Session): void;
}

/** Ids of requests are kept until they are answered. */
const longestId = 1024;

export function iqRoad(parts: {
  readonly names: Names;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly views: Views;
  readonly random: (bytes: number) => Buffer;
  readonly report: Report;
  readonly service: (label: string) => ServiceHandler | undefined;
  readonly refuse: (sender: Sender, stanza: Stanza, error: StanzaError) => void;
  /** Refuses with `internal-server-error` what throws. */
  readonly settle: (sender: Sender, stanza: Stanza, work: Promise<unknown>) => Promise<void>;
}): IqRoad {
  const { names, accounts, sessions, views, refuse, settle } = parts;
  const handlers = new Map<string, IqHandler>();
  let detours: readonly IqDetour[] = [];
  let allowed: Allowed = () => false;
  let admits: (session: Session, target: Session) => boolean = () => true;
  /** Questions in the name of bare addresses and of the server: stored address and id. */
  const acting = new Map<string, { whom: string; answered: (answer: Stanza) => void }>();
  const asked = new Map<string, { session: Session; answered: Answered }>();

  function receive(sender: Sender, stanza: Stanza): Promise<void> | undefined {
    const to = stanza.to === undefined ? bare(sender.from) : parseJid(stanza.to);
    if (to === undefined) {
      refuse(sender, stanza, malformedAddress(stanza.to ?? ""));
      return undefined;
    }
    const place = names.locate(to);
    const service = place.at === "service" ? parts.service(place.label) : undefined;
    if (place.at === "service" && service?.link !== undefined) return toService(sender, stanza, place, to);
    if (service?.away !== undefined) {
      refuse(sender, stanza, service.away);
      return undefined;
    }
    if (stanza.type === "result" || stanza.type === "error") return answered(sender, stanza, place, to);
    // RFC 6120 §8.2.3: a request has an id and exactly one payload.
    if ((stanza.type !== "get" && stanza.type !== "set") || stanza.id === undefined || stanza.children.length !== 1) {
      const text = "An IQ needs type, id and, for get and set, exactly one child.";
      refuse(sender, stanza, stanzaError("bad-request", { text }));
      return undefined;
    }
    if (place.at === "foreign") {
      refuse(sender, stanza, stanzaError("remote-server-not-found"));
      return undefined;
    }
    if (place.at === "account" && accounts.get(place.served.id, place.name)?.contact) {
      refuse(sender, stanza, stanzaError("service-unavailable"));
      return undefined;
    }
    if (place.at === "account" && place.resource !== "") {
      toClient(sender, stanza, place, to);
      return undefined;
    }
    if (place.at === "service" && place.resource !== "" && parts.service(place.label)?.fullAddresses === true)
      return toService(sender, stanza, place, to);
    return answerHere(sender, stanza, place, to, stanza.type);
  }

  /** RFC 6121 §8.5.3.1: an IQ to a full address goes to that client or nowhere. */
  function toClient(sender: Sender, stanza: Stanza, place: Place & { at: "account" }, to: Jid): void {
    const account = accounts.get(place.served.id, place.name);
    const target = account && sessions.get(account, place.resource);
    if (
      target === undefined ||
      stanza.id === undefined ||
      (sender.session !== undefined && !admits(sender.session, target))
    ) {
      refuse(sender, stanza, stanzaError("service-unavailable"));
      return;
    }
    if (!nameable(sender, stanza, stanza.id)) return;
    sender.session?.asks(stanza.id, formatJid(to));
    target.outbound.stanza(rewritten(views, stanza, sender, target.view, to), 0, {
      is: "request",
      id: stanza.id,
      from: sender.address,
    });
  }

  function nameable(sender: Sender, stanza: Stanza, id: string): boolean {
    if (id.length <= longestId) return true;
    refuse(sender, stanza, stanzaError("bad-request", { text: `An id has ${longestId} characters at most.` }));
    return false;
  }

  function toService(
    sender: Sender,
    stanza: Stanza,
    place: Place & { at: "service" },
    to: Jid,
  ): Promise<void> | undefined {
    const service = parts.service(place.label);
    if (service === undefined) {
      refuse(sender, stanza, stanzaError("service-unavailable"));
      return undefined;
    }
    if (service.link !== undefined) {
      const asks = stanza.type === "get" || stanza.type === "set";
      if (asks && stanza.id !== undefined) {
        if (!nameable(sender, stanza, stanza.id)) return undefined;
        sender.session?.asks(stanza.id, formatJid(to));
      }
      service.link.send(rewritten(views, stanza, sender, service.link.view, to), 0);
      return undefined;
    }
    const refused = service.iq(serviceStanza(sender, stanza, place, to));
    if (refused instanceof Promise)
      return settle(
        sender,
        stanza,
        refused.then((error) => error && refuse(sender, stanza, error)),
      );
    if (refused !== undefined) refuse(sender, stanza, refused);
    return undefined;
  }

  /** A result or error: to whom asked, or to the server's own question. Nothing else passes. */
  function answered(sender: Sender, stanza: Stanza, place: Place, to: Jid): Promise<void> | undefined {
    if (place.at === "service") return parts.service(place.label) && toService(sender, stanza, place, to);
    if (stanza.id === undefined) return undefined;
    const { session } = sender;
    const own = session && asked.get(`${session.id} ${stanza.id}`);
    const fromServer =
      place.at === "server" ||
      (place.at === "account" && place.resource === "" && place.name === session?.account.name);
    if (session !== undefined && own !== undefined && fromServer) {
      asked.delete(`${session.id} ${stanza.id}`);
      own.answered(stanza.type === "result", stanza.element().getChildElements()[0]);
      return undefined;
    }
    if (place.at === "foreign") return undefined;
    const acted = place.resource === "" ? acting.get(`${names.relative(to)} ${stanza.id}`) : undefined;
    if (acted !== undefined && sender.isOwn(acted.whom)) acted.answered(asSeen(sender, stanza, to));
    if (place.at !== "account" || place.resource === "") return undefined;
    const account = accounts.get(place.served.id, place.name);
    const target = account && sessions.get(account, place.resource);
    const answerer = target?.asking.get(stanza.id);
    if (target === undefined || answerer === undefined || !sender.isOwn(answerer)) return undefined;
    target.asking.delete(stanza.id);
    target.outbound.stanza(rewritten(views, stanza, sender, target.view, target.jid), 0);
    return undefined;
  }

  /** The stanza as it would go out to this address. */
  function asSeen(sender: Sender, stanza: Stanza, to: Jid): Stanza {
    const view = names.host(to.domain)?.view ?? names.primary.name;
    return parseStanza(rewritten(views, stanza, sender, view, to), ns.client, unlimited);
  }

  function act(from: Jid, request: Stanza, told: (answer: Stanza) => void): () => void {
    const view = names.host(from.domain)?.view ?? names.primary.name;
    const key = `${names.relative(from)} ${request.id}`;
    const answered = (answer: Stanza): void => {
      if (acting.delete(key)) told(answer);
    };
    acting.set(key, { whom: request.to ?? formatJid(from), answered });
    const sender: Sender = {
      ...{ session: undefined, from, address: formatJid(from), view },
      isOwn: (address) => address === formatJid(from),
      send: (stanza) => answered(parseStanza(stanza, ns.client, unlimited)),
    };
    receive(sender, request)?.catch((error: unknown) => parts.report.wrong({ what: "asking for an account", error }));
    return () => void acting.delete(key);
  }

  function handlerFor(type: "get" | "set", place: Place, payload: Child): IqHandler | undefined {
    if (place.at !== "service") return handlers.get(`${type} ${place.at} ${payload.ns} ${payload.name}`);
    const kind = parts.service(place.label)?.kind ?? place.label;
    return (
      handlers.get(`${type} service:${kind} ${payload.ns} ${payload.name}`) ??
      handlers.get(`${type} service:* ${payload.ns} ${payload.name}`)
    );
  }

  function answerHere(
    sender: Sender,
    stanza: Stanza,
    place: Exclude<Place, { at: "foreign" }>,
    to: Jid,
    type: "get" | "set",
  ): Promise<void> | undefined {
    const payload = stanza.children[0];
    const element = payload && stanza.child(payload.ns, payload.name);
    const { session } = sender;
    const responder = stanza.to === undefined ? formatJid(bare(sender.from)) : formatJid(to);
    if (payload === undefined || element === undefined) return undefined;
    const request: OpenRequest = {
      ...{ type, element, stanza, session, place, responder, from: sender.from, view: sender.view },
      served: place.served,
      account: place.at === "account" ? accounts.get(place.served.id, place.name) : undefined,
      result: (result, after) => ({ is: "result", payload: result, after }),
      error: (error) => ({ is: "error", error }),
    };
    const reply = (answer: IqAnswer): void => {
      if (answer.is === "later") return;
      if (answer.is === "error") {
        const error = errorReply(stanza, answer.error, { from: responder, to: sender.address });
        if (error !== undefined) sender.send(error, 0);
        return;
      }
      const result = x("iq", { type: "result", id: stanza.id, from: responder, to: sender.address }, answer.payload);
      if (answer.after === undefined) return sender.send(result, 0);
      const instead = (): string => errorReply(stanza, notStored, { from: responder, to: sender.address }) ?? "";
      sender.send(result, answer.after, { is: "answer", instead });
    };
    let answer: IqAnswer | Promise<IqAnswer> | undefined;
    try {
      if (place.at !== "service")
        for (const detour of detours) {
          answer ??= detour(request);
        }
      if (answer === undefined) {
        const handler = handlerFor(type, place, payload);
        if (handler === undefined && place.at === "service") return toService(sender, stanza, place, to);
        const refused = handler === undefined ? stanzaError("service-unavailable") : mayAsk(handler, sender, place);
        if (handler === undefined || refused !== undefined) {
          refuse(sender, stanza, refused ?? stanzaError("service-unavailable"));
          return undefined;
        }
        if (handler.open) answer = handler.answer(request);
        else if (session !== undefined) answer = handler.answer({ ...request, session });
        else answer = request.error(stanzaError("service-unavailable"));
      }
    } catch (error) {
      return settle(sender, stanza, Promise.reject(error));
    }
    if (answer instanceof Promise) return settle(sender, stanza, answer.then(reply));
    reply(answer);
    return undefined;
  }

  function mayAsk(handler: IqHandler, { session }: Sender, place: Place): StanzaError | undefined {
    const by = handler.by ?? (place.at === "account" ? "self" : "anyone");
    if (by === "anyone" || (session !== undefined && allowed(session, by, place))) return undefined;
    return stanzaError(by === "self" ? "service-unavailable" : "forbidden");
  }

  return {
    receive,
    act,
    ask(session, type, payload, told) {
      const id = parts.random(9).toString("base64url");
      asked.set(`${session.id} ${id}`, { session, answered: told });
      session.outbound.stanza(x("iq", { type, id, from: session.view, to: session.address }, payload), 0);
    },
    register(all, isAllowed) {
      allowed = isAllowed;
      detours = all.flatMap((each) => each.iqDetour ?? []);
      const each = all.flatMap(({ admitsIq }) => admitsIq ?? []);
      admits = (session, target) => each.every((admit) => admit(session, target));
      handlers.clear();
      for (const { iq: declared } of all)
        for (const handler of declared ?? [])
          for (const at of handler.at)
            for (const [type, pair] of [
              ["get", handler.get],
              ["set", handler.set],
            ] as const) {
              if (pair === undefined) continue;
              const key = `${type} ${at} ${pair[0]} ${pair[1]}`;
              if (handlers.has(key)) throw new Error(`two handlers for ${key}`);
              handlers.set(key, handler);
            }
    },
    bounce(id, from, silent) {
      const address = parseJid(from);
      const place = address && names.locate(address);
      const error = errorElement(stanzaError("recipient-unavailable"));
      if (place?.at === "service") {
        const link = parts.service(place.label)?.link;
        const silentThere = link && views.address(silent.address, link.view);
        link?.send(x("iq", { type: "error", id, from: silentThere, to: from }, error), 0);
        return;
      }
      const account = place?.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
      const asker = account && place?.at === "account" ? sessions.get(account, place.resource) : undefined;
      if (asker === undefined || !asker.asking.delete(id)) return;
      asker.outbound.stanza(
        x("iq", { type: "error", id, from: views.address(silent.address, asker.view), to: asker.address }, error),
        0,
      );
    },
    forget(session) {
      for (const [key, question] of asked) {
        if (question.session !== session) continue;
        asked.delete(key);
        question.answered(false, undefined);
      }
    },
  };
}
