import { formatJid, type Jid } from "../jid/jid.ts";
import type { Account } from "./accounts.ts";
import type { Outbound } from "./outbound.ts";

const mostAsked = 1000;

/** What a session needs of the stream that carries it; the stream layer implements it. */
export interface Carrier {
  readonly remote: { readonly address: string; readonly port: number };
  readonly tls: string | undefined;
  /** Ends the stream with a stream error and the session with it. */
  end(condition: string, text?: string): void;
  /** Another connection took the session over; this one closes, the session lives. */
  displaced(): void;
}

/**
 * A bound resource of an account: it outlives its connection when stream management may resume it, and the core
 * process when that restarts. It sees the whole service under its view, the domain name it logged in with.
 */
export class Session {
  /** Row id, unique for ever. */
  readonly id: number;
  readonly account: Account;
  readonly resource: string;
  readonly view: string;
  /** Full JID under the own view. */
  readonly jid: Jid;
  readonly address: string;
  readonly bareAddress: string;
  readonly since: number;
  readonly outbound: Outbound;
  /** Values of the declared session states, by name. */
  readonly state = new Map<string, unknown>();
  /** Set by a session state; the next commit of this session writes the state. */
  stateChanged = false;
  carrier: Carrier | undefined;
  /** Presence priority; undefined while the session is not available. Kept by the presence module. */
  priority: number | undefined = undefined;
  /** Stanzas received since the stream was managed. XEP-0198 §4. */
  handled = 0;
  /** `handled` as the last write has it. */
  handledWritten = 0;
  /** What the client has acknowledged, as the last write has it. */
  acknowledgedWritten = 0;
  /** Stored messages on their way to the client, in order: where they are remembered. */
  remembered: { readonly place: number; readonly number: number; readonly archiveId: number }[] = [];
  /** Resumption id; undefined: not stream-managed or not resumable. */
  resumeToken: string | undefined = undefined;
  /** How long it waits for its client once the connection is gone. */
  resumeWithinMs = 0;
  /** The group of its last commit. */
  lastTicket = 0;
  /** Since when no connection is attached, ms; undefined: connected. */
  detachedAt: number | undefined = undefined;
  /** Read from disk after an orderly restart, and its connection is to be taken over. */
  expectsConnection = false;
  /** Requests of this session that wait for an answer of another client: id → address. */
  readonly asking = new Map<string, string>();
  ended = false;

  constructor(facts: { id: number; account: Account; jid: Jid; since: number; outbound: Outbound }) {
    this.id = facts.id;
    this.account = facts.account;
    this.jid = facts.jid;
    this.resource = facts.jid.resource;
    this.view = facts.jid.domain;
    this.address = formatJid(facts.jid);
    this.bareAddress = formatJid({ local: facts.jid.local, domain: facts.jid.domain, resource: "" });
    this.since = facts.since;
    this.outbound = facts.outbound;
  }

  /** A request went to another client: whoever asked before a crash is answered after it. */
  asks(id: string, whom: string): void {
    this.asking.set(id, whom);
    this.stateChanged = true;
    // A client that is never answered must not make us remember for ever.
    const [oldest] = this.asking.size > mostAsked ? this.asking.keys() : [];
    if (oldest !== undefined) this.asking.delete(oldest);
  }

  get managed(): boolean {
    return this.outbound.counting;
  }
}
