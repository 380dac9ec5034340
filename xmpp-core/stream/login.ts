import {
  type Attempt,
  type Claim,
  decodeSasl,
  type Exchange,
  encodeSasl,
  type Offer,
  type Step,
} from "../auth/exchange.ts";
import { deriveCredentials, formatCredentials, parseCredentials } from "../auth/keys.ts";
import { offer, start } from "../auth/mechanisms.ts";
import { saslMechanisms, scramIterations } from "../auth/properties.ts";
import { CodedError } from "../errors.ts";
import { ns } from "../formats/namespaces.ts";
import { parseJid, prepareLocal } from "../jid/jid.ts";
import { addressIn } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { TlsFacts } from "../transport/connection.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import type { StreamParts } from "./parts.ts";
import { tlsPolicy, trusted } from "./properties.ts";

/** What a stream offers at this moment; empty without a mechanism that could be used. */
export function offered(parts: StreamParts, view: string, tls: TlsFacts | undefined): Offer {
  const served = parts.names.host(view)?.served.id ?? 0;
  return offer({ tls, allowed: parts.properties.get(saslMechanisms), plain: parts.plainNeed(served) });
}

/** `<mechanisms/>` and, with channel binding, XEP-0440's list. */
export function mechanismFeatures(offered: Offer): Xml[] {
  if (offered.mechanisms.length === 0) return [];
  const features = [
    x(
      "mechanisms",
      { xmlns: ns.sasl },
      offered.mechanisms.map((mechanism) => x("mechanism", {}, text(mechanism))),
    ),
  ];
  if (offered.bindingTypes.length > 0)
    features.push(
      x(
        "sasl-channel-binding",
        { xmlns: ns.channelBinding },
        offered.bindingTypes.map((type) => x("channel-binding", { type })),
      ),
    );
  return features;
}

/** One client's attempts to log in on one stream. RFC 6120 §6. */
export interface Login {
  /** `<auth/>`, `<response/>` or `<abort/>`; the answer to write, and the account once it has proved itself. */
  take(element: {
    name: string;
    mechanism: string | undefined;
    text: string;
  }): Promise<{ answer: Xml; account?: Account; mechanism?: string; spent?: boolean }>;
}

// RFC 6120 §6.4.5 wants two to five attempts on one stream.
const attemptsPerStream = 4;

export function login(
  parts: StreamParts,
  facts: { view: string; tls: TlsFacts | undefined; remote: string; offered: Offer },
): Login {
  let exchange: Exchange<Account> | undefined;
  let mechanism = "";
  let failures = 0;

  const accounts = {
    async credentialsOf(given: string): Promise<Claim<Account> | undefined> {
      const name = localpartOf(parts, facts.view, given);
      if (name === undefined) return undefined;
      const served = parts.names.host(facts.view)?.served;
      const account = served && parts.accounts.get(served.id, name);
      const keys = account && (await parts.accounts.credentials(account));
      const ownAddress = (authzid: string): boolean => {
        const address = parseJid(authzid);
        const own = localpartOf(parts, facts.view, authzid);
        if (address === undefined || address.resource !== "" || own === undefined) return false;
        return own === name || (account !== undefined && parts.accounts.get(account.served, own) === account);
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

  function refused(condition: string, why: string | undefined, name?: string) {
    exchange = undefined;
    failures++;
    parts.report.loginFailed({ name, remote: facts.remote, mechanism, condition });
    return {
      answer: x(
        "failure",
        { xmlns: ns.sasl },
        x(condition),
        why !== undefined && x("text", { "xml:lang": "en" }, text(why)),
      ),
      spent: failures >= attemptsPerStream,
    };
  }

  function judged(step: Step<Account>) {
    if (step.is === "challenge") return { answer: x("challenge", { xmlns: ns.sasl }, text(encodeSasl(step.data))) };
    if (step.is === "failure") return refused(step.condition, step.text, step.name);
    exchange = undefined;
    const data = step.data === undefined ? undefined : text(encodeSasl(step.data));
    return { answer: x("success", { xmlns: ns.sasl }, data), account: step.account, mechanism };
  }

  return {
    async take(element) {
      // The policy may have become strict since the stream was greeted.
      const tlsMissing = facts.offered.mechanisms.length === 0 || parts.properties.get(tlsPolicy) === "required";
      if (facts.tls === undefined && tlsMissing) return refused("encryption-required", undefined);
      if (element.name === "abort") return refused("aborted", undefined);
      if (element.name === "auth") {
        // Whoever begins anew has given up the attempt before.
        if (exchange !== undefined && ++failures >= attemptsPerStream) return refused("aborted", undefined);
        mechanism = element.mechanism ?? "";
        exchange = start(mechanism, {
          offered: facts.offered,
          tls: facts.tls,
          accounts,
          passwords: parts.auth.passwords,
          decoySecret: parts.auth.decoySecret,
          iterations: parts.properties.get(scramIterations),
          random: parts.random,
          admit,
        });
        if (exchange === undefined)
          return refused(
            "invalid-mechanism",
            `Offered here: ${facts.offered.mechanisms.join(", ") || "nothing before TLS"}.`,
          );
      }
      if (exchange === undefined) return refused("malformed-request", "A <response/> without <auth/>.");
      const data = element.name === "auth" && element.text === "" ? undefined : decodeSasl(element.text);
      if (data !== undefined && "is" in data) return refused(data.condition, data.text);
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
