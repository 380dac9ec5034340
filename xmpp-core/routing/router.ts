import type { Element } from "ltx";
import { errorElement, errorReply, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { bare, formatJid, type Jid, parseJid } from "../jid/jid.ts";
import type { Report } from "../report.ts";
import type { Stanza } from "../xml/stanza.ts";
import { writeStanza, type Xml, x } from "../xml/writer.ts";
import type { Accounts } from "./accounts.ts";
import type { Handlers, IqAnswer, IqHandler, IqRequest } from "./handlers.ts";
import { messageRoad } from "./messages.ts";
import type { Names, Place } from "./names.ts";
import type { Cargo, Entry } from "./outbound.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { Views } from "./views.ts";

/** Brings stanzas from sessions to whoever answers or gets them. The seam for several nodes: modules cannot tell. */
export interface Router {
  readonly views: Views;
  /** A stanza from a bound session. A promise means: take nothing more from this session until it is settled. */
  receive(session: Session, stanza: Stanza): Promise<void> | undefined;
  /** Sends a stanza made by the server to a session; `after`: not before this group is on disk. */
  send(session: Session, stanza: Xml | Buffer, after?: number, cargo?: Cargo): void;
  /** A request from the server to a client; `answered` gets the payload of the result, or undefined for an error or none. */
  ask(
    session: Session,
    type: "get" | "set",
    payload: Xml,
    answered: (ok: boolean, payload: Element | undefined) => void,
  ): void;
  /** A message from the server itself, under `from`, through all phases. */
  message(stanza: Stanza, from: Jid, to: Jid): StanzaError | undefined;
  /** Handlers of all modules, set once by the server. */
  register(
    all: readonly Handlers[],
    isAllowed: (session: Session, by: NonNullable<IqHandler["by"]>, place: Place) => boolean,
  ): void;
  /** Answers what is owed when a session ended: requests get an error, stored messages go to whoever is left or offline. */
  owed(session: Session, entries: readonly Entry[]): void;
  /** Stored messages of an ended session that nobody else took. */
  onUndelivered: (session: Session, archiveIds: readonly number[]) => void;
  /** After a crash: requests of this session whose answers are lost are answered. docs/architecture.md "What is on disk when", rule 4. */
  answerLost(session: Session): void;
}

export interface RouterParts {
  readonly names: Names;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly views: Views;
  readonly archiveIds: () => number;
  readonly random: (bytes: number) => Buffer;
  readonly report: Report;
}

/** Ids of requests are kept until they are answered. */
const longestId = 1024;

export function router(parts: RouterParts): Router {
  const { names, accounts, sessions, views, report } = parts;
  let handlers: readonly Handlers[] = [];
  let allowed: (session: Session, by: NonNullable<IqHandler["by"]>, place: Place) => boolean = () => false;
  const iqHandlers = new Map<string, IqHandler>();
  const asked = new Map<string, { session: Session; answered: (ok: boolean, payload: Element | undefined) => void }>();

  const send = messageRoad({
    report: parts.report,
    names,
    accounts,
    sessions,
    views,
    archiveIds: parts.archiveIds,
    handlers: () => messageHandlers,
    refuse: (flow, error) => {
      if (flow.sender !== undefined) refuse(flow.sender, flow.stanza, error);
    },
  });
  let messageHandlers: readonly NonNullable<Handlers["message"]>[] = [];

  /** Tells the sender, unless what it sent is itself an error or an answer. RFC 6120 §8.3.1. */
  function refuse(session: Session, stanza: Stanza, error: StanzaError): void {
    if (stanza.type === "error" || (stanza.name === "iq" && stanza.type === "result")) return;
    session.outbound.stanza(
      errorReply(stanza, error, { from: stanza.to ?? session.bareAddress, to: session.address }),
      0,
    );
  }

  function receive(session: Session, stanza: Stanza): Promise<void> | undefined {
    // RFC 6120 §8.1.2.1: another `from` than one's own is refused; we stamp our own in any case.
    if (stanza.from !== undefined && !isOwn(session, stanza.from)) {
      session.carrier?.end("invalid-from", `"${stanza.from}" is not the address of this session.`);
      return undefined;
    }
    if (stanza.name === "message") {
      const refused = send(stanza, session, session.jid);
      if (refused !== undefined) refuse(session, stanza, refused);
      return undefined;
    }
    if (stanza.name === "presence") return presence(session, stanza);
    return iq(session, stanza);
  }

  function isOwn(session: Session, from: string): boolean {
    if (from === session.address || from === session.bareAddress) return true;
    const address = parseJid(from);
    const place = address && names.locate(address);
    return (
      place?.at === "account" &&
      accounts.get(place.served.id, place.name) === session.account &&
      (place.resource === "" || place.resource === session.resource)
    );
  }

  function presence(session: Session, stanza: Stanza): Promise<void> | undefined {
    const to = stanza.to === undefined ? undefined : parseJid(stanza.to);
    if (stanza.to !== undefined && to === undefined) {
      refuse(session, stanza, stanzaError("jid-malformed", { text: `"${stanza.to}" is not a valid address.` }));
      return undefined;
    }
    const place = to && names.locate(to);
    for (const { presence: handler } of handlers) {
      const refused = handler?.handle({ stanza, session, to, place });
      if (refused instanceof Promise)
        return settle(
          session,
          stanza,
          refused.then((error) => error && refuse(session, stanza, error)),
        );
      if (refused !== undefined) refuse(session, stanza, refused);
    }
    return undefined;
  }

  function settle(session: Session, stanza: Stanza, work: Promise<unknown>): Promise<void> {
    return work.then(
      () => undefined,
      (error: unknown) => {
        report.handlerFailed({ session: session.address, stanza: stanza.name, id: stanza.id, error });
        refuse(session, stanza, stanzaError("internal-server-error"));
      },
    );
  }

  function iq(session: Session, stanza: Stanza): Promise<void> | undefined {
    const to = stanza.to === undefined ? bare(session.jid) : parseJid(stanza.to);
    if (to === undefined) {
      refuse(session, stanza, stanzaError("jid-malformed", { text: `"${stanza.to}" is not a valid address.` }));
      return undefined;
    }
    const place = names.locate(to);
    if (stanza.type === "result" || stanza.type === "error") {
      answerFromClient(session, stanza, place);
      return undefined;
    }
    // RFC 6120 §8.2.3: a request has an id and exactly one payload.
    if ((stanza.type !== "get" && stanza.type !== "set") || stanza.id === undefined || stanza.children.length !== 1) {
      refuse(
        session,
        stanza,
        stanzaError("bad-request", { text: "An IQ needs type, id and, for get and set, exactly one child." }),
      );
      return undefined;
    }
    if (place.at === "foreign") {
      refuse(session, stanza, stanzaError("remote-server-not-found"));
      return undefined;
    }
    if (place.at === "account" && accounts.get(place.served.id, place.name)?.contact) {
      refuse(session, stanza, stanzaError("service-unavailable"));
      return undefined;
    }
    if (place.at === "account" && place.resource !== "") {
      toClient(session, stanza, place, to);
      return undefined;
    }
    return answerHere(session, stanza, place, to, stanza.type);
  }

  /** RFC 6121 §8.5.3.1: an IQ to a full address goes to that client or nowhere. */
  function toClient(session: Session, stanza: Stanza, place: Place & { at: "account" }, to: Jid): void {
    const account = accounts.get(place.served.id, place.name);
    const target = account && sessions.get(account, place.resource);
    if (target === undefined || stanza.id === undefined || !admitsIq(session, target)) {
      refuse(session, stanza, stanzaError("service-unavailable"));
      return;
    }
    if (stanza.id.length > longestId) {
      refuse(session, stanza, stanzaError("bad-request", { text: `An id has ${longestId} characters at most.` }));
      return;
    }
    session.asks(stanza.id, formatJid(to));
    target.outbound.stanza(rewritten(stanza, session, target, to), 0, {
      is: "request",
      id: stanza.id,
      from: session.address,
    });
  }

  let admitsIq: (session: Session, target: Session) => boolean = () => true;

  function rewritten(stanza: Stanza, from: Session, target: Session, to: Jid): Buffer {
    if (from.view === target.view) return writeStanza(stanza, { from: from.address, to: formatJid(to) });
    return writeStanza(stanza, {
      from: views.address(from.address, target.view),
      to: views.address(formatJid(to), target.view),
      payload: views.payload(stanza.payload(), from.view, target.view),
    });
  }

  /** A result or error: to whom asked, or to the server's own question. Nothing else passes. */
  function answerFromClient(session: Session, stanza: Stanza, place: Place): void {
    if (stanza.id === undefined) return;
    const own = asked.get(`${session.id} ${stanza.id}`);
    const fromServer =
      place.at === "server" || (place.at === "account" && place.resource === "" && place.name === session.account.name);
    if (own !== undefined && fromServer) {
      asked.delete(`${session.id} ${stanza.id}`);
      own.answered(stanza.type === "result", stanza.element().getChildElements()[0]);
      return;
    }
    if (place.at !== "account" || place.resource === "") return;
    const account = accounts.get(place.served.id, place.name);
    const target = account && sessions.get(account, place.resource);
    const answerer = target?.asking.get(stanza.id);
    if (target === undefined || answerer === undefined || !isOwn(session, answerer)) return;
    target.asking.delete(stanza.id);
    target.outbound.stanza(rewritten(stanza, session, target, target.jid), 0);
  }

  function answerHere(
    session: Session,
    stanza: Stanza,
    place: Place,
    to: Jid,
    type: "get" | "set",
  ): Promise<void> | undefined {
    const payload = stanza.children[0];
    const at = place.at === "service" ? `service:${place.label}` : place.at;
    const handler = payload && iqHandlers.get(`${type} ${at} ${payload.ns} ${payload.name}`);
    const element = payload && stanza.child(payload.ns, payload.name);
    if (handler === undefined || element === undefined || place.at === "foreign") {
      refuse(session, stanza, stanzaError("service-unavailable"));
      return undefined;
    }
    const by = handler.by ?? (place.at === "account" ? "self" : "anyone");
    if (!allowed(session, by, place)) {
      refuse(session, stanza, stanzaError(by === "self" ? "service-unavailable" : "forbidden"));
      return undefined;
    }
    const responder = stanza.to === undefined ? session.bareAddress : formatJid(to);
    const request: IqRequest = {
      type,
      element,
      stanza,
      session,
      place,
      served: place.served,
      account: place.at === "account" ? accounts.get(place.served.id, place.name) : undefined,
      responder,
      result: (result, after) => ({ is: "result", payload: result, after }),
      error: (error) => ({ is: "error", error }),
    };
    const reply = (answer: IqAnswer): void => {
      if (answer.is === "error") {
        session.outbound.stanza(errorReply(stanza, answer.error, { from: responder, to: session.address }), 0);
        return;
      }
      const result = x("iq", { type: "result", id: stanza.id, from: responder, to: session.address }, answer.payload);
      if (answer.after === undefined) return session.outbound.stanza(result, 0);
      const notStored = stanzaError("resource-constraint", {
        text: "The server cannot store this at the moment. Please try again later.",
      });
      const instead = (): string => errorReply(stanza, notStored, { from: responder, to: session.address }) ?? "";
      session.outbound.stanza(result, answer.after, { is: "answer", instead });
    };
    let answer: IqAnswer | Promise<IqAnswer>;
    try {
      answer = handler.answer(request);
    } catch (error) {
      return settle(session, stanza, Promise.reject(error));
    }
    if (answer instanceof Promise) return settle(session, stanza, answer.then(reply));
    reply(answer);
    return undefined;
  }

  const self: Router = {
    views,
    receive,
    onUndelivered: () => undefined,
    send: (session, stanza, after = 0, cargo) => session.outbound.stanza(stanza, after, cargo),
    ask(session, type, payload, answered) {
      const id = parts.random(9).toString("base64url");
      asked.set(`${session.id} ${id}`, { session, answered });
      session.outbound.stanza(x("iq", { type, id, from: session.view, to: session.address }, payload), 0);
    },
    message: (stanza, from, to) => send(stanza, undefined, from, to),
    register(all, isAllowed) {
      handlers = all;
      allowed = isAllowed;
      messageHandlers = all.flatMap((each) => each.message ?? []);
      const admits = all.flatMap((each) => each.admitsIq ?? []);
      admitsIq = (session, target) => admits.every((admit) => admit(session, target));
      iqHandlers.clear();
      for (const { iq: declared } of all)
        for (const handler of declared ?? [])
          for (const at of handler.at)
            for (const [type, pair] of [
              ["get", handler.get],
              ["set", handler.set],
            ] as const) {
              if (pair === undefined) continue;
              const key = `${type} ${at} ${pair[0]} ${pair[1]}`;
              if (iqHandlers.has(key)) throw new Error(`two handlers for ${key}`);
              iqHandlers.set(key, handler);
            }
    },
    owed(session, entries) {
      const messages: number[] = [];
      for (const { cargo } of entries) {
        // What a copy was made of reached the one it was meant for.
        if (cargo.is === "message" && cargo.copy !== true) messages.push(cargo.archiveId);
        if (cargo.is === "request") bounceRequest(cargo.id, cargo.from, session);
      }
      for (const [key, question] of asked) {
        if (question.session !== session) continue;
        asked.delete(key);
        question.answered(false, undefined);
      }
      if (messages.length > 0) self.onUndelivered(session, messages);
    },
    answerLost(session) {
      for (const [id, to] of session.asking) {
        const error = errorElement(stanzaError("recipient-unavailable"));
        session.outbound.stanza(x("iq", { type: "error", id, from: to, to: session.address }, error), 0);
      }
      session.asking.clear();
    },
  };

  function bounceRequest(id: string, from: string, silent: Session): void {
    const address = parseJid(from);
    const place = address && names.locate(address);
    const account = place?.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
    const asker = account && place?.at === "account" ? sessions.get(account, place.resource) : undefined;
    if (asker === undefined || !asker.asking.delete(id)) return;
    const error = errorElement(stanzaError("recipient-unavailable"));
    asker.outbound.stanza(
      x("iq", { type: "error", id, from: views.address(silent.address, asker.view), to: asker.address }, error),
      0,
    );
  }

  return self;
}
