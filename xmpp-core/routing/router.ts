import type { Element } from "ltx";
import { CodedError } from "../errors.ts";
import { malformedAddress } from "../formats/malformed-address.ts";
import { errorElement, errorReply, notStored, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { formatJid, type Jid, parseJid } from "../jid/jid.ts";
import type { Report } from "../report.ts";
import type { Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import type { Accounts } from "./accounts.ts";
import type { Handlers, LinkedStanza, PresenceHandler, ServiceHandler, ServiceStanza } from "./handlers.ts";
import { type Allowed, iqRoad } from "./iq-road.ts";
import { messageRoad } from "./messages.ts";
import type { Names } from "./names.ts";
import type { Cargo, Entry } from "./outbound.ts";
import { isOwn, linkedSender, rewritten, type Sender, serviceStanza, sessionSender } from "./sender.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { Views } from "./views.ts";

/** Brings stanzas from sessions to whoever answers or gets them. The seam for several nodes: modules cannot tell. */
export interface Router {
  readonly views: Views;
  /** A stanza from a bound session. A promise means: take nothing more from this session until it is settled. */
  receive(session: Session, stanza: Stanza): Promise<void> | undefined;
  /** A stanza that came over a link. */
  receiveLinked(arrived: LinkedStanza): Promise<void> | undefined;
  /** From now on `handler` answers for the service of this name; returns the way to stop. */
  serve(service: string, handler: ServiceHandler): () => void;
  /** Who answers for a service now. */
  service(name: string): ServiceHandler | undefined;
  /** Directed presence of a session or of somebody behind a link, on its way to a service. */
  presenceToService(flow: ServiceStanza): StanzaError | undefined | Promise<StanzaError | undefined>;
  /** Sends a stanza made by the server to a session; `after`: not before this group is on disk. */
  send(session: Session, stanza: Xml | Buffer, after?: number, cargo?: Cargo): void;
  /**
   * Sends a stanza of a service to the one who has this full address: a session, or somebody behind a link. `write`
   * makes it under the receiver's view. False: nobody is there.
   */
  sendTo(to: Jid, write: (view: string, to: string) => Xml | Buffer, after?: number, cargo?: Cargo): boolean;
  /** A request from the server to a client; `answered` gets the payload of the result, or undefined for an error or none. */
  ask(
    session: Session,
    type: "get" | "set",
    payload: Xml,
    answered: (ok: boolean, payload: Element | undefined) => void,
  ): void;
  /**
   * A request in the name of an account's bare address or of the server, for who may act for it; its id must be nobody else's.
   * `answered` gets the result or error; the function forgets the question. Where only sessions are answered, it is not.
   */
  act(from: Jid, request: Stanza, answered: (answer: Stanza) => void): () => void;
  /** A message from the server or a service of ours, under `from`, through all phases. */
  message(stanza: Stanza, from: Jid, to: Jid): StanzaError | undefined;
  /** Handlers of all modules, set once by the server. */
  register(all: readonly Handlers[], isAllowed: Allowed): void;
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

export function router(parts: RouterParts): Router {
  const { names, accounts, sessions, views, report } = parts;
  let presenceHandlers: readonly PresenceHandler[] = [];
  let messageHandlers: readonly NonNullable<Handlers["message"]>[] = [];
  const services = new Map<string, ServiceHandler>();

  const send = messageRoad({
    ...{ report, names, accounts, sessions, views, archiveIds: parts.archiveIds },
    service: (name) => services.get(name),
    handlers: () => messageHandlers,
    refuse(flow, error) {
      if (flow.sender !== undefined) refuse(senderOf(flow.sender), flow.stanza, error);
      else if (flow.link !== undefined) refuse(linkedSender(names, flow.from, flow.link), flow.stanza, error);
    },
  });

  const iqs = iqRoad({
    ...{ names, accounts, sessions, views, random: parts.random, report, refuse, settle },
    service: (name) => services.get(name),
  });

  const senderOf = (session: Session): Sender => sessionSender(names, accounts, session);

  /** Tells the sender, unless what it sent is itself an error or an answer. RFC 6120 §8.3.1. */
  function refuse(sender: Sender, stanza: Stanza, error: StanzaError): void {
    const from = stanza.to ?? sender.session?.bareAddress ?? sender.view;
    const reply = errorReply(stanza, error, { from, to: sender.address });
    if (reply !== undefined) sender.send(reply, 0);
  }

  function receive(session: Session, stanza: Stanza): Promise<void> | undefined {
    // RFC 6120 §8.1.2.1: another `from` than one's own is refused; we stamp our own in any case.
    if (stanza.from !== undefined && !isOwn(names, accounts, session, stanza.from)) {
      session.carrier?.end("invalid-from", `"${stanza.from}" is not the address of this session.`);
      return undefined;
    }
    if (stanza.name === "message") {
      const refused = send({ stanza, sender: session, from: session.jid, view: session.view });
      if (refused !== undefined) refuse(senderOf(session), stanza, refused);
      return undefined;
    }
    if (stanza.name === "presence") return presence(session, stanza);
    return iqs.receive(senderOf(session), stanza);
  }

  function presence(session: Session, stanza: Stanza): Promise<void> | undefined {
    const to = stanza.to === undefined ? undefined : parseJid(stanza.to);
    if (stanza.to !== undefined && to === undefined) {
      refuse(senderOf(session), stanza, malformedAddress(stanza.to));
      return undefined;
    }
    const place = to && names.locate(to);
    for (const handler of presenceHandlers) {
      const waiting = told(senderOf(session), stanza, handler.handle({ stanza, session, to, place }));
      if (waiting !== undefined) return waiting;
    }
    return undefined;
  }

  /** Tells the sender of a refusal, now or when it is known. */
  function told(
    sender: Sender,
    stanza: Stanza,
    refused: StanzaError | undefined | Promise<StanzaError | undefined>,
  ): Promise<void> | undefined {
    if (refused instanceof Promise)
      return settle(
        sender,
        stanza,
        refused.then((error) => error && refuse(sender, stanza, error)),
      );
    if (refused !== undefined) refuse(sender, stanza, refused);
    return undefined;
  }

  function settle(sender: Sender, stanza: Stanza, work: Promise<unknown>): Promise<void> {
    return work.then(
      () => undefined,
      (error: unknown) => {
        // A handler that waited for the disk in vain did nothing wrong, and has done nothing.
        if (error instanceof CodedError && error.code.startsWith("storage/")) {
          refuse(sender, stanza, notStored);
          return;
        }
        report.handlerFailed({ session: sender.address, stanza: stanza.name, id: stanza.id, error });
        refuse(sender, stanza, stanzaError("internal-server-error"));
      },
    );
  }

  function receiveLinked({ stanza, from, link }: LinkedStanza): Promise<void> | undefined {
    const sender = linkedSender(names, from, link);
    if (stanza.name === "iq") return iqs.receive(sender, stanza);
    const to = stanza.to === undefined ? undefined : parseJid(stanza.to);
    if (to === undefined) {
      refuse(sender, stanza, malformedAddress(stanza.to ?? ""));
      return undefined;
    }
    if (stanza.name === "message") {
      const refused = send({ stanza, sender: undefined, from, to, view: link.view, link });
      return told(sender, stanza, refused);
    }
    const place = names.locate(to);
    if (place.at === "service")
      return told(sender, stanza, presenceToService(serviceStanza(sender, stanza, place, to)));
    if (place.at !== "account") return undefined;
    for (const handler of presenceHandlers) {
      const waiting = told(sender, stanza, handler.fromOutside({ stanza, from, to, place, view: link.view }));
      if (waiting !== undefined) return waiting;
    }
    return undefined;
  }

  function presenceToService(flow: ServiceStanza): StanzaError | undefined | Promise<StanzaError | undefined> {
    const service = services.get(flow.place.label);
    if (service === undefined) return undefined;
    if (service.link === undefined) return service.presence(flow);
    const sender = { from: flow.from, view: flow.view, address: formatJid(flow.from) };
    service.link.send(rewritten(views, flow.stanza, sender, service.link.view, flow.to), 0);
    return undefined;
  }

  const self: Router = {
    views,
    receive,
    receiveLinked,
    presenceToService,
    serve(name, handler) {
      services.set(name, handler);
      return () => {
        if (services.get(name) === handler) services.delete(name);
      };
    },
    service: (name) => services.get(name),
    onUndelivered: () => undefined,
    send: (session, stanza, after = 0, cargo) => session.outbound.stanza(stanza, after, cargo),
    sendTo(to, write, after = 0, cargo) {
      const place = names.locate(to);
      if (place.at === "account") {
        const account = accounts.get(place.served.id, place.name);
        const session = account && sessions.get(account, place.resource);
        session?.outbound.stanza(write(session.view, session.address), after, cargo);
        return session !== undefined;
      }
      const link = place.at === "service" ? services.get(place.label)?.link : undefined;
      link?.send(write(link.view, views.address(formatJid(to), link.view)), after);
      return link !== undefined;
    },
    ask: iqs.ask,
    act: iqs.act,
    message: (stanza, from, to) => {
      const view = names.host(from.domain)?.view ?? names.primary.name;
      return send({ stanza, sender: undefined, from, to, view });
    },
    register(all, isAllowed) {
      presenceHandlers = all.flatMap((each) => each.presence ?? []);
      messageHandlers = all.flatMap((each) => each.message ?? []);
      iqs.register(all, isAllowed);
    },
    owed(session, entries) {
      const messages: number[] = [];
      for (const { cargo } of entries) {
        // What a copy was made of reached the one it was meant for.
        if (cargo.is === "message" && cargo.copy !== true) messages.push(cargo.archiveId);
        if (cargo.is === "request") iqs.bounce(cargo.id, cargo.from, session);
      }
      iqs.forget(session);
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
  return self;
}
