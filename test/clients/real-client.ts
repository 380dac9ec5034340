import type { Network } from "./network.ts";

/** What a test wants of a client program, whatever drives it: a terminal, a pipe or a library. */
export type RealClient = {
  /** The bare address it is logged in as. */
  readonly address: string;
  /** Sends a chat message, or a message into the room it is in. */
  say(to: string, body: string): Promise<void>;
  /** Waits until a message with this text from this bare address, a contact's or a room's, was shown to the user. */
  heard(from: string, body: string): Promise<void>;
  /** How often such a message was shown so far. */
  timesHeard(from: string, body: string): Promise<number>;
  /** Waits until the archive of the chat with this address gives a message with this text from it; not every client knows archives. */
  readonly finds: ((from: string, body: string) => Promise<void>) | undefined;
  /** Waits until the contact stands in this group of the roster. */
  sees(contact: string, group: string): Promise<void>;
  /** Waits until the contact is shown as not to be disturbed. */
  seesBusy(contact: string): Promise<void>;
  /** Waits until it has the picture with this SHA-1; not every client keeps pictures where they can be seen. */
  readonly hasPicture?: (hash: string) => Promise<void>;
  /** How often it lost its connection since it logged in. */
  losses(): Promise<number>;
  /** All that is known of the conversation, for a failing test. */
  transcript(): string;
  stop(): Promise<void>;
};

export type Account = {
  host: string;
  port: number;
  domain: string;
  user: string;
  password: string;
  /** The room it goes into at login; it also stands among the bookmarks of the account, with autojoin. */
  room?: { readonly address: string; readonly nick: string };
  /** With it, only address and password are given to the program: the rest it finds by DNS. */
  network?: Network;
  /** The port for browsers, over HTTPS. */
  web?: number;
  /** It is of no use to try again: the login has failed when the first connection ends. */
  once?: true;
};

/** A client program that tests can start. */
export type ClientProgram = {
  readonly name: string;
  /** Why it cannot run here; undefined if it can. */
  missing(): Promise<string | undefined>;
  /** Which version is driven. */
  version(): Promise<string>;
  /** Logs in and waits until the server has seen its presence; throws with the transcript. */
  login(account: Account): Promise<RealClient>;
};

/** How long a program with windows may take to start and log in, on a machine that is busy with other things too. */
export const startMs = 75_000;

/** How long a real program may take to show something. */
export const patienceMs = 45_000;
