/** Which mechanisms a stream offers, and the start of one of them. RFC 6120 §6, XEP-0440. */
import type { BindingFacts, BindingType, Exchange, ExchangeContext, Offer } from "./exchange.ts";
import { type HashName, hashes, hashNames } from "./keys.ts";
import { plain } from "./plain.ts";
import { scram } from "./scram.ts";

/** Every mechanism we have, strongest first. DIGEST-MD5, CRAM-MD5 and JIVE-SHAREDSECRET are left out on purpose: docs/architecture.md. */
export const knownMechanisms = [
  "SCRAM-SHA-512-PLUS",
  "SCRAM-SHA-256-PLUS",
  "SCRAM-SHA-1-PLUS",
  "SCRAM-SHA-512",
  "SCRAM-SHA-256",
  "SCRAM-SHA-1",
  "PLAIN",
] as const;

/** Whether PLAIN is needed for accounts that have no keys. */
export type PlainNeed = "alone" | "too" | "as allowed";

/**
 * What this stream may offer now.
 * @param tls undefined before TLS: then nothing is bound and PLAIN is never offered
 * @param allowed names from `sasl.mechs`, upper case
 * @param plain `alone`: the served domain has accounts without SCRAM keys, whose clients would never try PLAIN beside
 *   SCRAM; `too`: a person has decided to offer SCRAM to those who have keys, and PLAIN over TLS beside it
 */
export function offer({
  tls,
  allowed,
  plain: plainNeeded = "as allowed",
}: {
  tls: BindingFacts | undefined;
  allowed: readonly string[];
  plain?: PlainNeed;
}): Offer {
  if (plainNeeded === "alone") return { mechanisms: tls ? ["PLAIN"] : [], bindingTypes: [] };
  const types: BindingType[] = [];
  if (tls?.exporter) types.push("tls-exporter");
  if (tls?.endPoint) types.push("tls-server-end-point");
  const mechanisms = knownMechanisms.filter((name) => {
    if (name === "PLAIN") return tls !== undefined && (plainNeeded === "too" || allowed.includes(name));
    if (!allowed.includes(name)) return false;
    return types.length > 0 || !name.endsWith("-PLUS");
  });
  // XEP-0440 §3: a list of types without -PLUS, or -PLUS without a list, makes clients give up.
  return { mechanisms, bindingTypes: mechanisms.some((name) => name.endsWith("-PLUS")) ? types : [] };
}

/** Starts what the client chose; undefined when this stream did not offer it (`invalid-mechanism`). */
export function start<Account>(mechanism: string, context: ExchangeContext<Account>): Exchange<Account> | undefined {
  if (!context.offered.mechanisms.includes(mechanism)) return undefined;
  if (mechanism === "PLAIN") return context.tls ? plain(context) : undefined;
  const bound = mechanism.endsWith("-PLUS");
  const hash = hashOf(bound ? mechanism.slice(0, -"-PLUS".length) : mechanism);
  return hash && scram(hash, bound, context);
}

function hashOf(mechanism: string): HashName | undefined {
  return hashNames.find((name) => hashes[name].mechanism === mechanism);
}
