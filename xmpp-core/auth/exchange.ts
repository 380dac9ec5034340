/**
 * The words of the SASL server: one `Exchange` is one attempt of one client to log in.
 * The stream carries the bytes (RFC 6120 §6), an exchange judges them and knows nothing of XML.
 */
import type { Credentials } from "./keys.ts";
import type { KnownPassword, PasswordJudge } from "./passwords.ts";

/** SASL failure conditions. RFC 6120 §6.5 */
export type SaslCondition =
  | "aborted"
  | "account-disabled"
  | "credentials-expired"
  | "encryption-required"
  | "incorrect-encoding"
  | "invalid-authzid"
  | "invalid-mechanism"
  | "malformed-request"
  | "mechanism-too-weak"
  | "not-authorized"
  | "temporary-auth-failure";

export interface SaslFailure {
  readonly is: "failure";
  readonly condition: SaslCondition;
  /** For the log and for `<text/>`; never says more than the condition about whether an account exists. */
  readonly text?: string;
  /** The name that was tried, once it is known; for the log. */
  readonly name?: string;
}

export type Step<Account = unknown> =
  | { readonly is: "challenge"; readonly data: Buffer }
  | {
      readonly is: "success";
      /** The account's prepared name, as `Accounts` gave it. */
      readonly name: string;
      readonly account: Account;
      /** Goes into `<success/>`. */
      readonly data?: Buffer;
    }
  | SaslFailure;

export interface Exchange<Account = unknown> {
  /**
   * Takes what the client sent, decoded by `decodeSasl`; `undefined` when `<auth/>` was empty (no initial response),
   * which is answered with an empty challenge. After a success or failure every further step fails.
   */
  step(input: Buffer | undefined): Promise<Step<Account>>;
}

/** What an account provider knows of a name that a client sent. */
export interface Claim<Account = unknown> extends KnownPassword {
  /** Handed back in the success, untouched. Absent: there is no such account, or it has no password. */
  readonly account?: Account;
  /** The prepared name. Give it for unknown names too: false salts are derived from it and must not depend on spelling. */
  readonly name: string;
  readonly credentials?: Credentials | undefined;
  /** Told to the client only after it proved to know the password; a text says why. */
  readonly disabled?: boolean | string;
  /** Called with a password that was right, before the success goes out: its account may have no keys yet. Never rejects. */
  proved?(password: string): Promise<void>;
  /** Whether this authorization identity is the account's own bare JID under one of the live names of the domain. */
  ownAddress(authzid: string): boolean;
}

export interface Accounts<Account = unknown> {
  /** `name` is as the client sent it: `alice` or `alice@domain`, unprepared. Undefined: no account can have such a name. */
  credentialsOf(name: string): Promise<Claim<Account> | undefined>;
}

/** An attempt that was admitted; exactly one of the two is called, none when the client gave up. */
export interface Attempt {
  succeeded(): void;
  failed(): void;
}

/**
 * What of a connection's TLS can be bound to. `exporter`: RFC 9266, `endPoint`: hash of our certificate, RFC 5929 §4.
 * `unique`: the first Finished message, RFC 5929 §3; never offered (XEP-0440 §3), but slixmpp knows no other.
 */
export interface BindingFacts {
  readonly exporter?: Buffer | undefined;
  readonly endPoint?: Buffer | undefined;
  readonly unique?: Buffer | undefined;
}

export interface ExchangeContext<Account = unknown> {
  /** What was offered on this very stream; nothing else starts. */
  readonly offered: Offer;
  /** Whether SCRAM tells the client what was offered. XEP-0474 */
  readonly showsOffer?: boolean;
  /** Undefined before TLS. */
  readonly tls: BindingFacts | undefined;
  readonly accounts: Accounts<Account>;
  /** Judges passwords that come in clear. */
  readonly passwords: PasswordJudge;
  /** Makes the salts of accounts that do not exist; at least 32 bytes, kept in secrets/. */
  readonly decoySecret: Buffer;
  /** Iteration count of new keys, shown for accounts that do not exist. */
  readonly iterations: number;
  readonly random: (bytes: number) => Buffer;
  /** Called with the prepared name before a password is judged; may take its time. See slow-down.ts. */
  readonly admit: (name: string) => Promise<Attempt | "refused">;
}

export interface Offer {
  /** Strongest first. */
  readonly mechanisms: readonly string[];
  /** Channel-binding types for XEP-0440; empty exactly when no -PLUS mechanism is offered. */
  readonly bindingTypes: readonly BindingType[];
}

export type BindingType = "tls-exporter" | "tls-server-end-point";

export function failure(condition: SaslCondition, text?: string, name?: string): SaslFailure {
  return {
    is: "failure",
    condition,
    ...(text === undefined ? {} : { text }),
    ...(name === undefined ? {} : { name }),
  };
}

/** The answer to who proved the password of an account that may not be used. */
export function disabled(why: true | string, name: string): SaslFailure {
  return failure("account-disabled", why === true ? undefined : why, name);
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Strict base64 of RFC 4648 §4: padded, canonical, no white space. Undefined when it is not that. */
export function decodeBase64(text: string): Buffer | undefined {
  if (!base64.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64");
  // Two texts for one value would let a client-final message differ from what both sides hash.
  return bytes.toString("base64") === text ? bytes : undefined;
}

/** Character data of `<auth/>` or `<response/>`: `=` is an empty message, bad base64 is `incorrect-encoding`. RFC 6120 §6.4.2, §6.5.5 */
export function decodeSasl(text: string): Buffer | SaslFailure {
  if (text === "=") return Buffer.alloc(0);
  return decodeBase64(text) ?? failure("incorrect-encoding");
}

/** Character data for `<challenge/>` and `<success/>`; an empty message is `=`. RFC 6120 §6.4.3 */
export function encodeSasl(data: Buffer): string {
  return data.length === 0 ? "=" : data.toString("base64");
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Strict UTF-8; undefined when it is not that. */
export function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}
