/**
 * What the agent drives. `core` is our own server over the control socket; others may follow. Nothing outside
 * target/ asks which one it is: it asks for a capability, and each says what the caller does without it.
 */
import type {
  ActualAccount,
  ActualGroup,
  ActualSettings,
  Answer,
  ApplyAnswer,
  ApplyRequest,
  Ask,
  CanonicalAnswer,
  ContactWanted,
  ControlEvent,
  CoreStatus,
  DesiredState,
  Failure,
  LoginCheck,
  SessionStatus,
} from "../../xmpp-core/control/contract.ts";
import type { Desired } from "../desired/desired.ts";

export interface Capabilities {
  /** All changes of one apply succeed or none does. If false, the agent journals each step and undoes in reverse. */
  readonly transactional: boolean;
  /** Origins (host or local) are kept by the server. If false, the journal remembers what the agent set. */
  readonly origins: boolean;
  /** A probe account can be made for one verify. If false, ports and certificates are all that is probed. */
  readonly probes: boolean;
}

/** What the server reports. */
export type ActualState = {
  settings: ActualSettings;
  groups: ActualGroup[];
  supervisors: string[];
  accounts: ActualAccount[];
  /** Absent: the server has no contacts that are no accounts. */
  contacts?: ContactWanted[];
};

/** The revision in force and the newest one that verify has proven. */
export type Revisions = { revision: number; proven: number };

export interface Target {
  readonly capabilities: Capabilities;
  /** Waits until the server answers, also through a restart. Rejects with `target/unreachable` after `timeoutMs`. */
  ready(timeoutMs: number): Promise<Answer<"hello">>;
  /** Revisions as the server has them now. */
  revisions(): Promise<Revisions>;
  /** A server without transactions: ends an apply that was cut short, at the revision before or at the one asked for. */
  recover?(): Promise<void>;
  /** A server that cannot take all that may be wanted: what it can, the rest as rejections and notices. */
  adapt?(wish: Desired): Promise<Desired>;
  /** The server's own form of what is wanted, with impact or rejection for each. */
  canonical(desired: DesiredState): Promise<CanonicalAnswer>;
  /** Parts that have not changed since the last call come from memory. */
  actual(): Promise<ActualState>;
  /** Rejects with a `CodedError` carrying the server's code; the connection's loss is `target/lost`: the outcome is then unknown. */
  apply(request: ApplyRequest): Promise<ApplyAnswer>;
  prove(revision: number): Promise<void>;
  /** Gives one account another password, outside of any revision. Absent: no password comes back from this target's clients. */
  setPassword?(wanted: Ask<"set-password">): Promise<void>;
  /** Which check of a login fails. Absent: the target does not say. */
  checkLogin?(asked: Ask<"check-login">): Promise<readonly LoginCheck[]>;
  restart(by: string): Promise<void>;
  stop(by: string): Promise<void>;
  status(): Promise<CoreStatus>;
  sessions(limit?: number): Promise<SessionStatus[]>;
  openProbe(): Promise<Answer<"probe-open">>;
  closeProbe(name: string): Promise<void>;
  groupView(group: string): Promise<Answer<"group-view">>;
  /** Writes a consistent copy of the server's database as `core.db` into this folder of the home, which exists. */
  backup(folder: string): Promise<void>;
  /** Tells the server what its console shows about the agent. */
  tell(state: AgentState): Promise<void>;
  /** The reply to a `console` event of that number. */
  answer(to: number, outcome: { ok: unknown } | { error: Failure }): Promise<void>;
  close(): Promise<void>;
}

/** What the console shows about the agent. */
export type AgentState = {
  mode: string;
  held: string | null;
  /** Who froze, what waits to be confirmed, when changes that are noticed go live: a sentence each. */
  frozen?: string | null;
  awaits?: string | null;
  window?: string | null;
  pending: number;
  store: string;
  lastError: string | null;
  /** Whether a password that its user changes goes back to the host store. */
  takesPasswords?: boolean;
  /** Whether a user who gives up the own account is removed from the host store. */
  takesRemovals?: boolean;
};

/** What a target tells unasked. */
export type TargetEvents = {
  event(event: ControlEvent): void;
  /** Connected and greeted; `again` is true when a connection had been lost before. */
  greeted(greeting: Answer<"hello">, again: boolean): void;
  lost(reason: string): void;
};
