import type { CodedError } from "../errors.ts";
import { malformedAddress } from "../formats/malformed-address.ts";
import { ns } from "../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { bare, formatJid, type Jid, parseJid } from "../jid/jid.ts";
import type { Write } from "../storage/statement.ts";
import type { Ticket } from "../storage/storage.ts";
import type { Child, Stanza } from "../xml/stanza.ts";
import { writeStanza, type Xml } from "../xml/writer.ts";
import type { Account, Accounts } from "./accounts.ts";
import type { Link, MessageFlow, MessageHandlers, ServiceHandler } from "./handlers.ts";
import { isLasting } from "./lasting.ts";
import type { Names, Place } from "./names.ts";
import { serviceStanza } from "./sender.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import { stanzaRow } from "./stored-stanzas.ts";
import type { Views } from "./views.ts";

export interface MessageParts {
  readonly report: { messageSent(): void };
  readonly names: Names;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly views: Views;
  readonly archiveIds: () => number;
  readonly service: (name: string) => ServiceHandler | undefined;
  readonly handlers: () => readonly MessageHandlers[];
  /** Tells the sender; never for an error message. */
  readonly refuse: (flow: MessageFlow & { readonly link: Link | undefined }, error: StanzaError) => void;
}

/** What is to be sent. Without `sender` and `link` the server itself or a service of ours speaks. */
interface Outgoing {
  readonly stanza: Stanza;
  readonly sender: Session | undefined;
  /** Full address of the sender under `view`. */
  readonly from: Jid;
  readonly view: string;
  /** Default: as the stanza says, else the sender's own account. */
  readonly to?: Jid;
  /** Over which it came. */
  readonly link?: Link;
}

const types = new Set(["normal", "chat", "groupchat", "headline", "error"]);

/** The message of a turn: what the handlers see, and what they leave behind. */
class Flow implements MessageFlow {
  readonly stanza: Stanza;
  readonly type: MessageFlow["type"];
  readonly sender: Session | undefined;
  readonly link: Link | undefined;
  readonly from: Jid;
  readonly to: Jid;
  readonly place: Place;
  readonly view: string;
  readonly recipient: Account | undefined;
  readonly lasting: boolean;
  targets: readonly Session[] = [];
  deferred: Session | undefined = undefined;
  claimed = false;
  archiveId = 0;
  senderArchive: number | undefined = undefined;
  recipientArchive: number | undefined = undefined;
  readonly writes: Write[] = [];
  without: ((child: Child) => boolean) | undefined = undefined;
  append: ((view: string) => Xml) | undefined = undefined;
  readonly copies: { readonly session: Session; readonly render: () => Buffer | string }[] = [];
  readonly #parts: MessageParts;
  #seen: { view: string; bytes: Buffer } | undefined;

  constructor(parts: MessageParts, { stanza, sender, from, view, link }: Outgoing, to: Jid) {
    this.#parts = parts;
    this.stanza = stanza;
    this.link = link;
    this.type = (types.has(stanza.type ?? "") ? stanza.type : "normal") as MessageFlow["type"];
    this.sender = sender;
    this.from = from;
    this.place = parts.names.locate(to);
    this.view = view;
    const found = this.place.at === "account" ? parts.accounts.get(this.place.served.id, this.place.name) : undefined;
    // Nobody reads what is written to a team.
    this.recipient = found?.contact ? undefined : found;
    this.to = this.recipient === undefined ? to : visible(parts.names, to, this.recipient, this.view);
    // What a probe of verification says leaves no trace.
    const probing = sender?.account.probe === true || this.recipient?.probe === true;
    this.lasting = !probing && (this.type === "chat" || this.type === "normal") && isLasting(stanza);
  }

  keep(): number {
    if (this.archiveId === 0) this.archiveId = this.#parts.archiveIds();
    return this.archiveId;
  }

  /** The row of the body, once every handler has said what it wants of it. */
  bodyRow(): Write {
    return stanzaRow(this.#parts.names, {
      id: this.archiveId,
      view: this.view,
      from: this.from,
      to: this.to,
      type: this.type,
      stanzaId: this.stanza.id,
      lang: this.stanza.lang,
      senderArchive: this.senderArchive,
      recipientArchive: this.recipientArchive,
      payload: this.payload(),
    });
  }

  private payload(): Buffer {
    return this.stanza.payload(this.without);
  }

  rendered(view: string): Buffer {
    if (this.#seen?.view === view) return this.#seen.bytes;
    const bytes = this.renderedWith(view, this.append?.(view));
    this.#seen = { view, bytes };
    return bytes;
  }

  renderedWith(view: string, append: Xml | undefined): Buffer {
    const { views } = this.#parts;
    const from = formatJid(this.from);
    const to = formatJid(this.to);
    if (view === this.view) return writeStanza(this.stanza, { from, to, without: this.without, append });
    const payload = views.payload(this.payload(), this.view, view);
    return writeStanza(this.stanza, { from: views.address(from, view), to: views.address(to, view), payload, append });
  }
}

/** The one address that is seen of a person, whichever was written. */
function visible(names: Names, to: Jid, { name }: Account, view: string): Jid {
  const domain = names.aliasDomains.includes(to.domain) ? view : to.domain;
  return to.local === name && to.domain === domain ? to : { ...to, local: name, domain };
}

/** Sessions that take messages to the bare address: available with a priority that is not negative. RFC 6121 §8.5.2. */
export function ready(account: Account): readonly Session[] {
  return account.sessions.filter((session) => session.priority !== undefined && session.priority >= 0);
}

/**
 * Who gets the message itself. RFC 6121 §8.5:
 *
 *  to                 | chat, normal            | headline    | groupchat           | error
 *  -------------------|-------------------------|-------------|---------------------|--------
 *  bare, some ready   | all that are ready      | all ready   | service-unavailable | nobody
 *  bare, none ready   | claimed (offline) or SU | nobody      | service-unavailable | nobody
 *  full, resource on  | it                      | it          | it                  | it
 *  full, resource off | as to the bare address  | nobody      | service-unavailable | nobody
 */
function decide(flow: Flow, resource: string): "send" | "refuse" | "ignore" {
  const account = flow.recipient;
  if (account === undefined) return flow.type === "error" ? "ignore" : "refuse";
  if (resource !== "") {
    const exact = account.sessions.find((session) => session.resource === resource);
    if (exact !== undefined) {
      flow.targets = [exact];
      return "send";
    }
    if (flow.type === "headline") return "ignore";
  }
  if (flow.type === "error") return "ignore";
  if (flow.type === "groupchat") return "refuse";
  flow.targets = ready(account);
  return "send";
}

/** The way of a message: admit, amend, store, copy, deliver, notify (routing/handlers.ts). */
export function messageRoad(parts: MessageParts) {
  return function send(outgoing: Outgoing): StanzaError | undefined {
    const { stanza, from } = outgoing;
    const to = outgoing.to ?? (stanza.to === undefined ? bare(from) : parseJid(stanza.to));
    if (to === undefined) return malformedAddress(stanza.to ?? "");
    const flow = new Flow(parts, outgoing, to);
    const handlers = parts.handlers();
    for (const handler of handlers) {
      const refused = handler.admit?.(flow);
      if (refused !== undefined) return refused;
    }
    const { place } = flow;
    if (place.at === "foreign")
      return stanzaError("remote-server-not-found", {
        text: `${place.jid.domain} is not served here, and links to other servers are not open.`,
      });
    if (place.at === "service") return toService(flow, place);
    if (place.at !== "account") return flow.type === "error" ? undefined : stanzaError("service-unavailable");
    const decided = decide(flow, place.resource);
    if (decided === "ignore") return undefined;
    if (decided === "refuse") return stanzaError("service-unavailable");
    takeForgedDelays(flow);
    for (const handler of handlers) handler.amend?.(flow);
    for (const handler of handlers) {
      const refused = handler.store?.(flow);
      if (refused !== undefined) return refused;
    }
    if (flow.targets.length === 0 && !flow.claimed && flow.type !== "headline")
      return stanzaError("service-unavailable");
    for (const handler of handlers) handler.copy?.(flow);
    deliver(flow);
    parts.report.messageSent();
    for (const handler of handlers) handler.notify?.(flow);
    return undefined;
  };

  /** The service says what becomes of it; the sender's archive and other devices have it as any other message of his. */
  function toService(flow: Flow, place: Place & { at: "service" }): StanzaError | undefined {
    const service = parts.service(place.label);
    if (service === undefined) return flow.type === "error" ? undefined : stanzaError("service-unavailable");
    takeForgedDelays(flow);
    const { link } = service;
    const pass =
      link === undefined
        ? service.message(
            serviceStanza({ session: flow.sender, from: flow.from, view: flow.view }, flow.stanza, place, flow.to),
          )
        : (after: Ticket) => link.send(flow.renderedWith(link.view, undefined), after);
    if (typeof pass !== "function") return pass;
    const handlers = parts.handlers();
    for (const handler of handlers) handler.amend?.(flow);
    if (flow.lasting)
      for (const handler of handlers) {
        const refused = handler.store?.(flow);
        if (refused !== undefined) return refused;
      }
    for (const handler of handlers) handler.copy?.(flow);
    pass(deliver(flow));
    parts.report.messageSent();
    for (const handler of handlers) handler.notify?.(flow);
    return undefined;
  }

  /** A client may say that it was slow itself, not that its server or somebody else here was. XEP-0203 §5 */
  function takeForgedDelays(flow: Flow): void {
    const { sender, stanza } = flow;
    if (sender === undefined || !stanza.has(ns.delay, "delay")) return;
    const elements = stanza.element().getChildElements();
    const forged = new Set(
      stanza.children.filter(
        (child, i) =>
          child.ns === ns.delay && child.name === "delay" && isOurs(elements[i]?.attrs.from, sender.account),
      ),
    );
    flow.without = (child) => forged.has(child);
  }

  /** Whether it is an address here, of anybody but this account. */
  function isOurs(given: unknown, account: Account): boolean {
    const address = typeof given === "string" ? parseJid(given) : undefined;
    const place = address && parts.names.locate(address);
    if (place === undefined || place.at === "foreign") return false;
    return place.at !== "account" || parts.accounts.get(place.served.id, place.name) !== account;
  }

  function deliver(flow: Flow): Ticket {
    // What a managed recipient has not acknowledged must outlive a crash with the sender's count (docs/architecture.md "What is on disk when", rules 2 and 3.
    if (flow.lasting && flow.archiveId === 0 && flow.targets.some((session) => session.resumeToken !== undefined))
      flow.keep();
    if (flow.archiveId !== 0) {
      flow.writes.push(flow.bodyRow());
      for (const session of flow.targets) remember(flow, session, () => flow.rendered(session.view));
      for (const { session, render } of flow.copies) remember(flow, session, render);
    }
    let ticket = 0;
    if (flow.writes.length > 0)
      ticket = parts.sessions.commit(flow.sender, flow.writes, (error) => failed(flow, error));
    const cargo = flow.archiveId === 0 ? undefined : ({ is: "message", archiveId: flow.archiveId } as const);
    for (const session of flow.targets) session.outbound.stanza(flow.rendered(session.view), ticket, cargo);
    if (flow.copies.length === 0) return ticket;
    const copied = cargo && { ...cargo, copy: true };
    for (const { session, render } of flow.copies) session.outbound.stanza(render(), ticket, copied);
    return ticket;
  }

  function remember(flow: Flow, session: Session, write: () => Buffer | string): void {
    const row = parts.sessions.outboundRow(session, flow.archiveId, write);
    if (row !== undefined) flow.writes.push(row);
  }

  /** The commit failed: nobody has seen the message, the sender is told. */
  function failed(flow: Flow, _error: CodedError): void {
    if (flow.archiveId !== 0) {
      for (const session of flow.targets) session.outbound.withdraw(flow.archiveId);
      for (const { session } of flow.copies) session.outbound.withdraw(flow.archiveId);
    }
    parts.refuse(
      flow,
      stanzaError("resource-constraint", {
        text: "The server cannot store messages at the moment. Please send it again later.",
      }),
    );
  }
}
