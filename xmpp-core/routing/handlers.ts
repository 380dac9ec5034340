import type { Element } from "ltx";
import type { StanzaError } from "../formats/stanza-error.ts";
import type { Jid } from "../jid/jid.ts";
import type { Write } from "../storage/statement.ts";
import type { Ticket } from "../storage/storage.ts";
import type { Child, Stanza } from "../xml/stanza.ts";
import type { Xml } from "../xml/writer.ts";
import type { Account } from "./accounts.ts";
import type { Place, Served } from "./names.ts";
import type { Session } from "./session.ts";

/**
 * The points where capabilities meet the path of a stanza. Handlers of one phase must commute; the phases run in the
 * order written here, and this is the only place that names it.
 */

// ---------------------------------------------------------------- IQ

/**
 * Where a request is answered: by the server, on behalf of an account's bare JID, or by a service, named by its kind
 * (`service:proxy`). `service:*` is any service whose kind has no handler of its own for this payload.
 */
export type AnswersAt = "server" | "account" | `service:${string}`;

/** Who may ask. `self`: the account addressed is the asker's own; `admin` and `supervisor` as docs/settings.md; admins may what supervisors may. */
export type Asker = "anyone" | "self" | "admin" | "supervisor";

export type IqAnswer =
  /** `after`: the group that must be on disk before the answer goes out. */
  | { readonly is: "result"; readonly payload?: Xml | undefined; readonly after?: Ticket | undefined }
  | { readonly is: "error"; readonly error: StanzaError }
  /** Whoever took the request answers it by `router.sendTo`, so that the asker's other stanzas need not wait. */
  | { readonly is: "later" };

/** A request of anybody: a session of ours, or somebody behind a component. */
export interface OpenRequest {
  readonly type: "get" | "set";
  /** The payload element. */
  readonly element: Element;
  readonly stanza: Stanza;
  /** Who asks, if it is a session of ours. */
  readonly session: Session | undefined;
  /** The asker's address under `view`, full if it is a session. */
  readonly from: Jid;
  /** The name of the domain under which the asker sees the service. */
  readonly view: string;
  readonly place: Place;
  readonly served: Served;
  /** The account addressed: the asker's own if there was no `to`; undefined at server or service. */
  readonly account: Account | undefined;
  /** The asker's address of the responder, as stamped in `from` of the answer. */
  readonly responder: string;
  result(payload?: Xml, after?: Ticket): IqAnswer;
  error(error: StanzaError): IqAnswer;
}

/** A request of a session of ours. */
export interface IqRequest extends OpenRequest {
  readonly session: Session;
}

interface IqDeclaration {
  readonly get?: readonly [ns: string, name: string];
  readonly set?: readonly [ns: string, name: string];
  readonly at: readonly AnswersAt[];
  /** Default: `self` at an account, `anyone` elsewhere. Others get `forbidden` (admin, supervisor) or `service-unavailable` (self). */
  readonly by?: Asker;
}

/** Without `open` only sessions of ours are answered, others get `service-unavailable`. */
export type IqHandler =
  | (IqDeclaration & { readonly open?: false; answer(request: IqRequest): IqAnswer | Promise<IqAnswer> })
  | (IqDeclaration & { readonly open: true; answer(request: OpenRequest): IqAnswer | Promise<IqAnswer> });

/**
 * Asked before the handlers of a request at the server or at an account: undefined leaves it to them. For namespaces
 * that a component answers for. XEP-0355
 */
export type IqDetour = (request: OpenRequest) => IqAnswer | Promise<IqAnswer> | undefined;

// ---------------------------------------------------------------- services

/** A stanza to an address of a service: `room@conference.example.org/nick`. */
export interface ServiceStanza {
  readonly stanza: Stanza;
  /** The sender's full address under `view`. */
  readonly from: Jid;
  readonly to: Jid;
  readonly place: Place & { readonly at: "service" };
  /** The name under which sender, recipient and payload are written. */
  readonly view: string;
  /** The sending session; undefined: somebody behind a component. */
  readonly session: Session | undefined;
}

/**
 * Who answers for a service's addresses, given to `router.serve`. All run in the turn in which the stanza came. A
 * refusal is told to the sender unless its stanza was an error or an answer.
 */
export interface ServiceHandler {
  /** IQ handlers for `service:<kind>` serve it; default: its own name. */
  readonly kind?: string;
  /** Requests to full addresses go to `iq`, past the handlers: somebody else answers them (occupants of rooms). */
  readonly fullAddresses?: boolean;
  /**
   * The function is called once the message is on its way into the sender's archive and to his other devices, which
   * happens for lasting messages of type chat and normal; `after` is that group, 0 if there is none.
   */
  message(flow: ServiceStanza): StanzaError | undefined | ((after: Ticket) => void);
  presence(flow: ServiceStanza): StanzaError | undefined | Promise<StanzaError | undefined>;
  /** Requests without a handler at `service:<kind>` or `service:*`, and results and errors. */
  iq(flow: ServiceStanza): StanzaError | undefined | Promise<StanzaError | undefined>;
  /** Set by who carries stanzas away: everything to the service goes there, no handler is asked. */
  readonly link?: Link;
  /** Nobody is there at the moment: requests are refused with it, no handler is asked. */
  readonly away?: StanzaError;
}

/** The way to those behind a component. */
export interface Link {
  /** The name of the domain under which it sees the service. */
  readonly view: string;
  /** Not before this group is on disk. */
  send(stanza: Xml | Buffer, after: Ticket): void;
}

/** A stanza that came over a link; the sender's address is proven. */
export interface LinkedStanza {
  readonly stanza: Stanza;
  readonly from: Jid;
  readonly link: Link;
}

/** A request on a stream that nobody has logged in on yet. */
export interface StrangerRequest {
  readonly type: "get" | "set";
  readonly element: Element;
  readonly served: Served;
  /** The name of the domain that the stream was opened to. */
  readonly view: string;
  /** Address of the peer. */
  readonly remote: string;
  /** Whether the stream is encrypted. */
  readonly secured: boolean;
  /** Tells one stream from another, to remember what it has proved. */
  readonly stream: object;
  result(payload?: Xml, after?: Ticket): IqAnswer;
  error(error: StanzaError): IqAnswer;
}

/** The one thing that may be asked before login besides TLS and SASL; nothing else passes. */
export interface BeforeLogin {
  /** Shown in the features of an encrypted stream before login, while it is to be used. */
  readonly feature: () => Xml | undefined;
  /** Payload of the request, get and set. */
  readonly request: readonly [ns: string, name: string];
  answer(request: StrangerRequest): IqAnswer | Promise<IqAnswer>;
}

/** What a client says to its bound stream that is no stanza; stream management does not count it. */
export interface Nonza {
  readonly namespace: string;
  readonly names: readonly string[];
  take(session: Session, stanza: Stanza): void;
}

/** What a client asks for while it binds, in the same request. XEP-0386 §5 */
export interface InlineBind {
  /** Of the element inside `<bind/>`; shown among the inline features. */
  readonly namespace: string;
  /** For the session about to be opened, before its `opened`; what is returned stands inside `<bound/>`. Changes of declared state are committed with it. */
  take(session: Session, element: Element): Xml | undefined;
}

// ---------------------------------------------------------------- message

/**
 * admit: may it pass? amend: what is stripped and added. store: rows that must be on disk before anybody sees it.
 * copy: who else sees it. deliver: who sees it (routing/messages.ts). notify: what follows, changing nothing of it.
 */
export const messagePhases = ["admit", "amend", "store", "copy", "deliver", "notify"] as const;

/** One message on its way from a local session, over a link, or from the server itself. Objects live for one turn. */
export interface MessageFlow {
  readonly stanza: Stanza;
  readonly type: "normal" | "chat" | "groupchat" | "headline" | "error";
  /** The sending session; undefined: the server itself, a service of ours or somebody behind a link. */
  readonly sender: Session | undefined;
  /** Full JID of the sender under `view`. */
  readonly from: Jid;
  readonly to: Jid;
  readonly place: Place;
  /** The name under which sender, recipient and payload are written. */
  readonly view: string;
  /** The local account addressed, if there is one. */
  readonly recipient: Account | undefined;
  /** Sessions that get the message itself (decided before `store`, by RFC 6121 §8.5). */
  targets: readonly Session[];
  /** A session that was among them and gets the message behind what it is being handed at this moment. */
  deferred: Session | undefined;
  /** A message that should outlive the moment (formats/hints.ts): body, receipt, marker …, and no hint against it. */
  readonly lasting: boolean;
  /** Somebody will deliver it later (offline storage): it is not refused although nobody is there. */
  claimed: boolean;
  /** Sortable id of the stored body; 0: not stored. `keep()` assigns it. */
  archiveId: number;
  /** Rows that are committed in one unit with the body and the sender's counter. */
  readonly writes: Write[];
  /** Children of the stanza that are not passed on (forged stanza ids). */
  without: ((child: Child) => boolean) | undefined;
  /** Appended to what the recipient gets, per view of the reader. */
  append: ((view: string) => Xml) | undefined;
  /** Copies to others: rendered by the module, queued with the same commit. */
  readonly copies: { readonly session: Session; readonly render: () => Buffer | string }[];
  /** Accounts in whose archive the body belongs; set in `store`. */
  senderArchive: number | undefined;
  recipientArchive: number | undefined;
  /** Makes sure the body is stored in this commit, and gives its id. */
  keep(): number;
  /** The message as the recipient sees it under `view`. Cached per view. */
  rendered(view: string): Buffer;
  /** The message as somebody else sees it: `append` in place of what the recipient gets appended. */
  renderedWith(view: string, append: Xml | undefined): Buffer;
}

export interface MessageHandlers {
  /** Returns an error to refuse; the sender is told. */
  readonly admit?: (flow: MessageFlow) => StanzaError | undefined;
  readonly amend?: (flow: MessageFlow) => void;
  /** Returns an error when it must be refused after all (offline quota). */
  readonly store?: (flow: MessageFlow) => StanzaError | undefined;
  readonly copy?: (flow: MessageFlow) => void;
  readonly notify?: (flow: MessageFlow) => void;
}

// ---------------------------------------------------------------- presence

export interface PresenceFlow {
  readonly stanza: Stanza;
  readonly session: Session;
  /** Undefined: broadcast presence. */
  readonly to: Jid | undefined;
  readonly place: Place | undefined;
}

/** Presence has one owner, the presence module; it answers for everything that clients send. */
export interface PresenceHandler {
  handle(flow: PresenceFlow): StanzaError | undefined | Promise<StanzaError | undefined>;
  /** Presence to an account from a service of ours or from behind a link. */
  fromOutside(flow: OutsidePresence): StanzaError | undefined | Promise<StanzaError | undefined>;
}

export interface OutsidePresence {
  readonly stanza: Stanza;
  /** Under `view`. */
  readonly from: Jid;
  readonly view: string;
  readonly to: Jid;
  readonly place: Place & { readonly at: "account" };
}

// ---------------------------------------------------------------- session

export type EndReason =
  /** `</stream:stream>`, or the connection is gone and cannot be resumed (any more). */
  | "closed"
  | "resumption-expired"
  /** Another session took the resource. */
  | "replaced"
  /** An admin or supervisor ended it, or the account is gone. */
  | "ended";

export interface SessionHandlers {
  /** Bound and ready. `archive`: its client catches up from the archive by itself. XEP-0386 §3.2 */
  readonly opened?: (session: Session, catchesUp?: "archive") => void;
  /** Read from disk after a restart; state is in place; it may be connected or waiting for its client. */
  readonly restored?: (session: Session, after: "restart" | "crash") => void;
  /** A client came back to it. After a crash presence must be sent afresh. */
  readonly resumed?: (session: Session, after: "detach" | "crash") => void;
  /** No connection, may be resumed. */
  readonly detached?: (session: Session) => void;
  /** It is no more. Messages it never took were already handed on. */
  readonly closed?: (session: Session, why: EndReason) => void;
}

// ---------------------------------------------------------------- accounts

export interface AccountHandlers {
  readonly created?: (account: Account) => void;
  /** Display name, mail address or enabled changed. */
  readonly changed?: (account: Account) => void;
  readonly renamed?: (account: Account, before: string) => void;
  /** The name is free for another person, the data is kept apart (`Accounts.setAside`): writes are part of that commit. */
  readonly setAside?: (account: Account) => Write[];
  /** Its data goes: writes are part of the commit that removes it. */
  readonly removed?: (account: Account) => Write[];
}

export interface Handlers {
  readonly iq?: readonly IqHandler[];
  readonly iqDetour?: IqDetour;
  readonly beforeLogin?: BeforeLogin;
  /** Stream features of an encrypted stream before login. */
  readonly featuresBeforeLogin?: () => readonly Xml[];
  readonly message?: MessageHandlers;
  readonly presence?: PresenceHandler;
  /** Whether a request of `session` may reach another client; false is answered as if it were not there. */
  readonly admitsIq?: (session: Session, target: Session) => boolean;
  /** Stream features after login that depend on properties; the lasting ones are in the declaration. */
  readonly streamFeatures?: () => readonly Xml[];
  readonly session?: SessionHandlers;
  readonly nonzas?: readonly Nonza[];
  readonly inlineBind?: readonly InlineBind[];
  /** What else a client is told when it binds in one step, just before. XEP-0386 §3.2 */
  readonly bound?: (account: Account) => Promise<Xml | undefined>;
  readonly account?: AccountHandlers;
  /** What must have happened before the first client is let in (tables read into memory). */
  readonly ready?: Promise<unknown>;
  /** Undoes what `start` did: timers, watchers. */
  readonly stop?: () => void | Promise<void>;
}
