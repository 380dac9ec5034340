import type { Element } from "ltx";
import type { DataForm } from "../formats/data-form.ts";
import type { StanzaError } from "../formats/stanza-error.ts";
import type { Jid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { OpenRequest, OutsidePresence, PresenceFlow } from "../routing/handlers.ts";
import type { Served } from "../routing/names.ts";
import type { Session } from "../routing/session.ts";
import type { Write } from "../storage/statement.ts";
import type { Ticket } from "../storage/storage.ts";
import type { Xml } from "../xml/writer.ts";
import type { Identity, Point } from "./module.ts";

/** The typed points where modules meet. A module offers a value, others ask for all that is offered. */
function point<T>(name: string): Point<T> {
  return { name };
}

/** Who is blocked by whom. XEP-0191. */
export interface Blocking {
  /** Whether `account` blocks this address (full, bare, domain/resource or domain). */
  blocks(account: Account, other: Jid): boolean;
  /** Whether a session takes (`in`) or sends (`out`) presence of or to this address; asked beside `blocks` where a session is known. XEP-0016 */
  hidesPresence?(session: Session, way: "in" | "out", other: Jid): boolean;
  /** Whether a session that is no target of a message may not have a copy of it either. XEP-0016 */
  hidesMessage?(session: Session, other: Jid): boolean;
}
export const blocking = point<Blocking>("blocking");

/** The block list, for the other way to change it. XEP-0191 §5 */
export interface BlockLists {
  /** Stored addresses. */
  of(account: Account): readonly string[];
  /** Blocks and unblocks as if the session had asked for it, with pushes; the group to wait for. */
  change(session: Session, block: readonly string[], unblock: readonly string[]): Ticket;
  /** How many addresses more a list may hold. */
  room(account: Account): number;
}
export const blockLists = point<BlockLists>("block lists");

/** Told what a client reports with a block; the rows belong into the same commit. XEP-0377 */
export interface BlockReports {
  /** Checks and prepares a report on this address; a string says what is wrong. */
  report(session: Session, on: string, element: Element): readonly Write[] | string;
}
export const blockReports = point<BlockReports>("block reports");

/** Contacts that an account has without a roster item of its own: shared groups. Openfire's semantics. */
export interface SharedContacts {
  /** Contacts in no particular order; `groups` are display names. Contacts known only from the other side have subscription `from` and are never shown. */
  contactsOf(account: Account): Iterable<SharedContact>;
  /** Of those the ones with sessions, at a cost that does not grow with who is offline. */
  onlineContactsOf(account: Account): Iterable<SharedContact>;
  contact(account: Account, other: Account): SharedContact | undefined;
  /** Display names of groups that `account` may see (XEP-less Spark namespace, and refusal of personal items in them). */
  groupNames(account: Account): readonly string[];
  /** A text that is another one whenever any shared contact of `account` is another: part of the roster version. */
  version(account: Account): string;
}
export interface SharedContact {
  readonly account: Account;
  /** The name that contact lists show. */
  readonly label: string;
  readonly subscription: "both" | "to" | "from";
  readonly groups: readonly string[];
}
export interface SharedContactChange {
  /** Whose roster. */
  readonly account: Account;
  readonly contact: Account;
  /** Undefined: no shared contact any more. */
  readonly now: SharedContact | undefined;
  readonly before: SharedContact | undefined;
  /** The contact's name until now, if it was renamed. */
  readonly formerName: string | undefined;
}
export const sharedContacts = point<SharedContacts>("shared contacts");

/** Told when shared groups changed at run time: each affected pair once, for accounts with sessions only. */
export interface SharedContactsChanged {
  sharedContactsChanged(changes: readonly SharedContactChange[]): void;
}
export const sharedContactsChanged = point<SharedContactsChanged>("shared contacts changed");

/** What the roster and presence modules tell others. */
export interface Presences {
  /** Whether `account` shows its presence to this address (subscription from or both, or own). */
  showsTo(account: Account, other: Jid): Promise<boolean>;
  /** Available sessions' last presence stanza, rendered for a view, addressed to `to`. */
  current(account: Account, view: string, to: string): readonly Xml[];
  /** Tells the account's own available sessions and all who see it what `render` makes. */
  tell(from: Account, resource: string, render: (view: string, to: string) => Xml): void;
  /** Says anew what available sessions said last, where it is amended otherwise than it was. */
  again(account: Account): void;
  /** Begins or ends the presence of `from` for `to` after their subscription changed; the caller says what holds now. */
  flow(from: Account, to: Account, shown: boolean): void;
  /** Begins or ends the presence of `from` for somebody behind a service. */
  flowOutside(from: Account, contact: string, shown: boolean): void;
  /** Ends or brings back the presence between two who block each other or no more, as far as they share it. XEP-0191 §3.2, §3.4 */
  blockingChanged(account: Account, other: Account, blocked: boolean): void;
}
export const presences = point<Presences>("presences");

/** Adds to what a session says in available presence before anybody hears it: the hash of a person's picture. XEP-0398 §5 */
export interface PresenceAmend {
  /** The payload as it goes out, canonical; the same text if there is nothing to add. */
  amend(session: Session, payload: string, occasion: PresenceOccasion): string;
}
/** `again`: the payload is that of the last broadcast, as it was amended then. */
export type PresenceOccasion = "broadcast" | "directed" | "again";
export const presenceAmend = point<PresenceAmend>("presence amend");

/** Told of every presence broadcast of a local session, its end included. */
export interface PresenceBroadcast {
  broadcast(session: Session, render: (view: string, to: string) => Xml): void;
}
export const presenceBroadcast = point<PresenceBroadcast>("presence broadcast");

/** Told when presence begins or ends to flow between two accounts although neither came or went: a subscription, a shared group, an unblocking. */
export interface PresenceFlows {
  flowed(from: Account, to: Account, shown: boolean): void;
}
export const presenceFlows = point<PresenceFlows>("presence flows");

/**
 * Who sees whose presence among local accounts: personal subscriptions and shared groups together. Offered by the
 * roster. The other functions may be called only while `load` answers undefined, so in the same turn.
 */
export interface Visibility {
  /** Brings the account's roster into memory; undefined: it is there. */
  load(account: Account): Promise<void> | undefined;
  /** Accounts that see the presence of `account`, each once; shared contacts only if they have sessions. */
  watchers(account: Account): Iterable<Account>;
  /** Accounts whose presence `account` sees, each once; shared contacts only if they have sessions, or `all`. */
  watched(account: Account, who?: "all"): Iterable<Account>;
  /** Contacts behind services that see the presence of `account`, as stored addresses. */
  outsideWatchers(account: Account): Iterable<string>;
  /** Contacts behind services whose presence `account` sees. */
  outsideWatched(account: Account): Iterable<string>;
  /** Whether `other` sees the presence of `account`. */
  shows(account: Account, other: Account): boolean;
  /** Whether `account` sees the presence of `other`. */
  sees(account: Account, other: Account): boolean;
  /** Groups of `account` that hold `other`, its own and shared ones. */
  groups(account: Account, other: Account): readonly string[];
}
export const visibility = point<Visibility>("visibility");

/** What a person's contact list says of an address. Offered by the roster. */
export interface RosterFacts {
  /** Keeps the account's contacts in memory from now on, also while nobody is logged in, for questions on the way of a stanza. */
  hold(account: Account): void;
  /** The contact at this address, own and shared in one; undefined: none, or the contacts of `account` are not in memory yet. */
  contact(account: Account, other: Jid): RosterFact | undefined;
}
export interface RosterFact {
  readonly subscription: "none" | "to" | "from" | "both";
  readonly groups: readonly string[];
}
export const rosterFacts = point<RosterFacts>("roster facts");

/** Presence of type subscribe, subscribed, unsubscribe, unsubscribed. RFC 6121 §3. Offered by the roster. */
export interface Subscriptions {
  handle(flow: PresenceFlow): StanzaError | undefined | Promise<StanzaError | undefined>;
  /** The same from somebody behind a service. */
  fromOutside(flow: OutsidePresence): Promise<StanzaError | undefined> | StanzaError | undefined;
  /** Requests that still wait for the user's answer, as this session sees them. After `visibility.load`. */
  waiting(session: Session): readonly Xml[];
}
export const subscriptions = point<Subscriptions>("subscriptions");

/** A shared group as it is now. Openfire's semantics. */
export interface SharedGroup {
  readonly name: string;
  readonly displayName: string;
  readonly showInRoster: "nobody" | "onlyGroup" | "everybody";
  readonly groupList: readonly string[];
  /** Names of accounts, sorted, disabled ones too; `all`: every account. */
  readonly members: "all" | readonly string[];
  /** Names of teams: contacts of the group that are no accounts, sorted; absent: none. */
  readonly contacts?: readonly string[];
  readonly origin: "host" | "local";
}

export type SharedGroupChange =
  /** Creates the group without members, or sets its texts and origin. */
  | {
      readonly kind: "set";
      readonly group: Omit<SharedGroup, "members" | "contacts" | "origin">;
      readonly origin: "host" | "local";
    }
  /** `all`: true makes everybody a member, false returns to the list, which then starts empty; absent keeps which it is. Teams are added and removed either way. */
  | {
      readonly kind: "members";
      readonly group: string;
      readonly all?: boolean | undefined;
      readonly add: readonly Account[];
      readonly remove: readonly Account[];
    }
  | { readonly kind: "remove"; readonly name: string };

/** The shared groups of the instance's domain, for control and admin. */
export interface Groups {
  /** The same array as long as nothing changed. */
  list(): readonly SharedGroup[];
  get(name: string): SharedGroup | undefined;
  /** Accounts that are members now, disabled ones left out. */
  members(name: string): Iterable<Account>;
  /**
   * Rows for the caller's transaction (behind those of new accounts), and what to call once they are on disk. `done`
   * switches memory; pushes follow in the next turn together with those of AccountHandlers called in this one, so that
   * no roster gets two pushes for one contact. A change that names an unknown group throws `groups/unknown`.
   */
  prepare(changes: readonly SharedGroupChange[]): { readonly writes: readonly Write[]; readonly done: () => void };
}
export const groups = point<Groups>("groups");

/** Told by control when rights may have changed: another admin, other supervisors. */
export interface RightsChanged {
  rightsChanged(): void;
}
export const rightsChanged = point<RightsChanged>("rights changed");

/** Told by control when `sys.xmpp.externalip` is another; asked by `core.externalAddresses`. */
export interface ExternalAddressChanged {
  externalAddressChanged(): void;
}
export const externalAddressChanged = point<ExternalAddressChanged>("external address changed");

/** Sent when a session becomes available for the first time with a priority that is not negative: offline messages. */
export interface BecameAvailable {
  becameAvailable(session: Session): void;
}
export const becameAvailable = point<BecameAvailable>("became available");

/** More disco#items or disco#info than the declarations give. */
export interface DiscoExtra {
  /** Features of the server that come and go with properties, or are there for the session that asks; without one, for strangers. */
  features?(session?: Session): readonly string[];
  /** Features of an account's bare address that come and go with properties. */
  accountFeatures?(): readonly string[];
  /** Identities likewise. */
  identities?(): readonly Identity[];
  accountIdentities?(): readonly Identity[];
  /** Forms of the server, as they are now. XEP-0128 */
  forms?(): readonly DataForm[];
  items?(
    at: "server" | "account",
    session: Session,
    node: string | undefined,
  ): readonly { jid: string; node?: string; name?: string }[];
  info?(at: "server" | "account", session: Session, node: string): DiscoInfo | undefined;
}
export const discoExtra = point<DiscoExtra>("disco extra");

/** What disco#info tells of a place. XEP-0030, XEP-0128 */
export interface DiscoInfo {
  readonly identities: readonly Identity[];
  /** All of them, in any order. */
  readonly features: readonly string[];
  readonly forms?: readonly DataForm[];
}
export interface DiscoItems {
  readonly items: readonly {
    readonly jid: string;
    readonly node?: string | undefined;
    readonly name?: string | undefined;
  }[];
  /** The `<set/>` of a page. XEP-0059 */
  readonly page?: Xml;
}

/** Discovery of services that come and go, or whose addresses differ from each other: rooms, nodes. */
export interface ServiceDisco {
  /** Those it answers for, by their names in `names`. Listed: among the items of the server. */
  services(): readonly { readonly service: string; readonly name: string; readonly listed: boolean }[];
  info(request: OpenRequest, node: string | undefined): DiscoInfo | StanzaError | Promise<DiscoInfo | StanzaError>;
  items(request: OpenRequest, node: string | undefined): DiscoItems | StanzaError | Promise<DiscoItems | StanzaError>;
}
export const serviceDisco = point<ServiceDisco>("service disco");

/** Discovery of nodes at an account's bare address, asked after it is known that the asker may. XEP-0163 */
export interface AccountNodes {
  /** Undefined: the node is none of its own. */
  items(request: OpenRequest, node: string | undefined): Promise<DiscoItems | StanzaError | undefined>;
  info(request: OpenRequest, node: string): Promise<DiscoInfo | StanzaError | undefined>;
}
export const accountNodes = point<AccountNodes>("account nodes");

/** An ad-hoc command. XEP-0050; nodes of XEP-0133 where it defines one. */
export interface Command {
  readonly node: string;
  readonly name: string;
  readonly by: "anyone" | "supervisor" | "admin";
  /** Absent: to all who may. To others it is not listed; what they send is answered by `run`. */
  shownTo?(session: Session): boolean;
  /** One stage: no form yet → a form, or done; form → done or an error. */
  run(ask: CommandAsk): CommandStep | Promise<CommandStep>;
}
export interface CommandAsk {
  readonly session: Session;
  readonly served: Served;
  readonly action: "execute" | "next" | "complete" | "prev";
  /** The submitted jabber:x:data form, if any. */
  readonly form: Element | undefined;
  /** State the command kept in its last step. */
  readonly kept: unknown;
}
export type CommandStep =
  | { readonly is: "form"; readonly form: Xml; readonly keep?: unknown; readonly final?: boolean }
  | { readonly is: "completed"; readonly form?: Xml; readonly note?: string }
  | { readonly is: "error"; readonly error: StanzaError };
export const commands = point<Command>("commands");

/** Data of an account that other parts count or erase (plan of a domain change). */
export interface Countable {
  readonly what: "rosterItems" | "archivedMessages";
  count(): Promise<number>;
  /** Stored foreign addresses whose domain is `domain`, which would become local ones. */
  foreignUnder?(domain: string): Promise<readonly string[]>;
  /** Rewrites them as local; part of the migrating commit. */
  localise?(domain: string): readonly Write[];
}
export const countable = point<Countable>("countable");

/** What is appended to a message that is delivered from storage (stanza ids). */
export interface StoredExtras {
  append(account: Account, archiveId: number, view: string): Xml;
}
export const storedExtras = point<StoredExtras>("stored extras");

/** Wraps a message as the copy of a sent or received one. XEP-0280 */
export interface CarbonCopies {
  wrap(session: Session, direction: "sent" | "received", message: Xml): Xml;
}
export const carbonCopies = point<CarbonCopies>("carbon copies");

/** Contact lists as a whole, shared contacts included, for who administers or exports them. Offered by the roster. */
export interface RosterLists {
  /** The `<item/>` elements as somebody under `view` sees them. */
  items(account: Account, view: string): Promise<readonly Xml[]>;
  /** As if the owner had sent this `<query/>`, written under `view`. RFC 6121 §2.3 to §2.5 */
  change(account: Account, query: Element, view: string): Promise<StanzaError | undefined>;
}
/** Told of every push of a contact list, whoever is there to get it. */
export interface RosterPushed {
  /** Whether anybody wants to know now. */
  readonly wanted: boolean;
  /** `items`: the `<item/>` elements, one push each. */
  pushed(account: Account, items: (view: string) => readonly Xml[]): void;
}
export const rosterPushed = point<RosterPushed>("roster pushed");

export const rosterLists = point<RosterLists>("roster lists");

/** When somebody was last there. Times in ms since 1970, as coarse as the admin wants them kept. */
export interface Activity {
  lastLogin(account: Account): Promise<number | undefined>;
}
export const activity = point<Activity>("activity");

/** A time in which the service is not to be had, announced before it comes. XEP-0455 */
export interface Downtime {
  readonly beginning: number;
  readonly expectedEnd: number | undefined;
  readonly message: string | undefined;
}
export interface Downtimes {
  /** Undefined: called off, or over. */
  plan(downtime: Downtime | undefined): void;
}
export const downtimes = point<Downtimes>("downtimes");
