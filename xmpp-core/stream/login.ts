import type {
  Attempt,
  Claim,
  Exchange,
  ExchangeContext,
  Offer,
  SaslCondition,
  SaslFailure,
  Step,
} from "../auth/exchange.ts";
import { deriveCredentials, formatCredentials, parseCredentials } from "../auth/keys.ts";
import { offer, start } from "../auth/mechanisms.ts";
import { saslMechanisms, scramIterations } from "../auth/properties.ts";
import { CodedError } from "../errors.ts";
import { parseJid, prepareLocal } from "../jid/jid.ts";
import { addressIn } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { TlsFacts } from "../transport/connection.ts";
import type { StreamParts } from "./parts.ts";
import { tlsPolicy, trusted } from "./properties.ts";

/** What a stream offers at this moment; empty without a mechanism that could be used. */
export function offered(parts: StreamParts, view: string, tls: TlsFacts | undefined): Offer {
  const served = parts.names.host(view)?.served.id ?? 0;
  return offer({ tls, allowed: parts.properties.get(saslMechanisms), plain: parts.plainNeed(served) });
}

/** What one step of an attempt comes to, for whichever profile of SASL carries it. */
export type Outcome =
  | { readonly is: "challenge"; readonly data: Buffer }
  | {
      readonly is: "success";
      readonly account: Account;
      readonly mechanism: string;
      /** What the mechanism has to say to the client. */
      readonly data: Buffer | undefined;
    }
  | Refusal;

export interface Refusal {
  readonly is: "refused";
  readonly condition: string;
  readonly text: string | undefined;
  /** This stream had all its attempts. */
  readonly spent: boolean;
}

/** One client's attempts to log in on one stream, in both profiles together. RFC 6120 §6, XEP-0388 */
export interface Login {
  /** Whether the client has to go on with an attempt. */
  readonly underway: boolean;
  begin(mechanism: string, data: Buffer | undefined | SaslFailure, how: Beginning): Promise<Outcome>;
  respond(data: Buffer | SaslFailure): Promise<Outcome>;
  refuse(condition: SaslCondition, text?: string, name?: string): Refusal;
}

export interface Beginning {
  /** Whether SCRAM shows what was offered. XEP-0474 */
  readonly showsOffer: boolean;
  /** `from` of the stream, where it binds an authorization identity. XEP-0388 §2.4 */
  readonly from?: string | undefined;
  /** Starts another exchange than those of the offer. */
  readonly by?: Starter | undefined;
}

export type Starter = (mechanism: string, context: ExchangeContext<Account>) => Exchange<Account> | undefined;

// RFC 6120 §6.4.5 wants two to five attempts on one stream.
const attemptsPerStream = 4;

export function login(
  parts: StreamParts,
  facts: { view: string; tls: TlsFacts | undefined; remote: string; offered: Offer },
): Login {
  let exchange: Exchange<Account> | undefined;
  let mechanism = "";
  let failures = 0;
  let streamFrom: string | undefined;

  const accounts = {
    async credentialsOf(given: string): Promise<Claim<Account> | undefined> {
      const name = localpartOf(parts, facts.view, given);
      if (name === undefined) return undefined;
      const served = parts.names.host(facts.view)?.served;
      const account = served && parts.accounts.get(served.id, name);
      const keys = account && (await parts.accounts.credentials(account));
      const isOwn = (given: string): boolean => {
        const own = localpartOf(parts, facts.view, given);
        if (own === undefined) return false;
        return own === name || (account !== undefined && parts.accounts.get(account.served, own) === account);
      };
      const ownAddress = (authzid: string): boolean => {
        if (parseJid(authzid)?.resource !== "" || !isOwn(authzid)) return false;
        return streamFrom === undefined || isOwn(streamFrom);
      };
      if (account === undefined || keys === undefined) return { name, ownAddress };
      return {
        account,
        name: account.name,
        credentials: parseCredentials(keys),
        passwordHash: keys.passwordHash,
        passwordFrom: keys.passwordFrom,
        disabled: !account.enabled && whyDisabled(account),
        proved: (password) => learn(parts, account, keys.passwordHash, password),
        ownAddress,
      };
    },
  };

  async function admit(name: string): Promise<Attempt | "refused"> {
    const admission = parts.auth.slowDown.attempt({ account: name, address: facts.remote });
    if (admission.is === "refused") return "refused";
    if (admission.waitMs > 0) await new Promise<void>((resolve) => parts.clock.after(admission.waitMs, resolve));
    return admission;
  }

  function refuse(condition: string, why?: string, name?: string): Refusal {
    exchange = undefined;
    failures++;
    parts.report.loginFailed({ name, remote: facts.remote, mechanism, condition });
    return { is: "refused", condition, text: why, spent: failures >= attemptsPerStream };
  }

  function judged(step: Step<Account>): Outcome {
    if (step.is === "challenge") return step;
    if (step.is === "failure") return refuse(step.condition, step.text, step.name);
    exchange = undefined;
    return { is: "success", account: step.account, mechanism, data: step.data };
  }

  /** The policy may have become strict since the stream was greeted. */
  function unencrypted(): boolean {
    const tlsMissing = facts.offered.mechanisms.length === 0 || parts.properties.get(tlsPolicy) === "required";
    return facts.tls === undefined && tlsMissing;
  }

  return {
    refuse,
    get underway() {
      return exchange !== undefined;
    },
    async begin(asked, data, { showsOffer, from, by = start }) {
      if (unencrypted()) return refuse("encryption-required");
      // Whoever begins anew has given up the attempt before.
      if (exchange !== undefined && ++failures >= attemptsPerStream) return refuse("aborted");
      mechanism = asked;
      streamFrom = from;
      exchange = by(mechanism, {
        offered: facts.offered,
        showsOffer,
        tls: facts.tls,
        accounts,
        passwords: parts.auth.passwords,
        decoySecret: parts.auth.decoySecret,
        iterations: parts.properties.get(scramIterations),
        random: parts.random,
        admit,
      });
      if (exchange === undefined)
        return refuse(
          "invalid-mechanism",
          `Offered here: ${facts.offered.mechanisms.join(", ") || "nothing before TLS"}.`,
        );
      if (data !== undefined && "is" in data) return refuse(data.condition, data.text);
      return judged(await exchange.step(data));
    },
    async respond(data) {
      if (unencrypted()) return refuse("encryption-required");
      if (exchange === undefined) return refuse("malformed-request", "A <response/> to nothing.");
      if ("is" in data) return refuse(data.condition, data.text);
      return judged(await exchange.step(data));
    },
  };
}

function whyDisabled({ barred }: Account): string {
  return barred ? "Chat is not enabled for you." : "This account is disabled.";
}

/** Keys from a password that was right for the host's hash, so that one day SCRAM may be offered. A failure costs nothing but that. */
async function learn(
  parts: Pick<StreamParts, "accounts" | "auth" | "properties" | "random" | "report" | "storage">,
  account: Account,
  from: string | undefined,
  password: string,
): Promise<void> {
  if (from === undefined || account.password?.hasKeys !== false || account.password.from !== undefined) return;
  try {
    const by = { iterations: parts.properties.get(scramIterations), random: parts.random, pool: parts.auth.pool };
    const { writes, enter } = parts.accounts.learn(
      account,
      formatCredentials(await deriveCredentials(password, by)),
      from,
    );
    await parts.storage.write(writes);
    enter();
  } catch (error) {
    const code = error instanceof CodedError ? error.code : "internal";
    parts.report.keysNotLearned({ name: account.name, code });
  }
}

/** `alice` or `alice@domain` under any live name of the view's domain, prepared. Undefined: no account can be meant. */
export function localpartOf(parts: Pick<StreamParts, "names">, view: string, given: string): string | undefined {
  if (!given.includes("@")) return prepareLocal(given);
  const address = parseJid(given);
  const host = address && parts.names.host(address.domain);
  if (address === undefined || host === undefined || host.service !== "" || address.resource !== "") return undefined;
  if (host.served.id !== parts.names.host(view)?.served.id) return undefined;
  const place = parts.names.locate(address);
  return place.at === "account" ? place.name : undefined;
}

/** Exempt from limits on logins. */
export function isTrusted(parts: Pick<StreamParts, "properties">, address: string): boolean {
  return addressIn(parts.properties.get(trusted), address);
}
