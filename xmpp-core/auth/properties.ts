/** The properties that the SASL server honours; the stream reads them for `offer` and the exchanges. */
import { property } from "../properties/property.ts";
import { enumeration, integer, listOf } from "../properties/text-schema.ts";
import { mostIterations } from "./keys.ts";
import { knownMechanisms } from "./mechanisms.ts";

const known: readonly string[] = knownMechanisms;

/** Names without effect, and why. */
const unavailable = new Map([
  ["DIGEST-MD5", "it binds the password to a realm and needs it in clear"],
  ["CRAM-MD5", "it needs the password in clear"],
  ["JIVE-SHAREDSECRET", "it is one secret for all accounts"],
]);

const names = listOf("list", {
  canonical: (name) => (/^[A-Za-z0-9_-]{1,20}$/.test(name) ? name.toUpperCase() : undefined),
  rule: "names of SASL mechanisms",
  hint: (refused) => `"${refused}" is no name of a mechanism.`,
});

/** Names in upper case, also of mechanisms that are never offered; `offer` takes the list as it is. */
export const saslMechanisms = property("sasl.mechs", {
  schema: {
    ...names,
    zod: names.zod.refine((chosen) => chosen.some((name) => known.includes(name))),
    rule: `a list, separated by commas, with at least one of ${known.join(", ")}`,
    hint: (refused) =>
      names.zod.safeParse(refused).success
        ? "With this list nobody could log in: add SCRAM-SHA-1, SCRAM-SHA-256 or SCRAM-SHA-512."
        : names.hint(refused),
  },
  default: known.filter((name) => name !== "PLAIN"),
  impact: "live",
  doc: "The SASL mechanisms that clients may log in with, as far as TLS and the stored keys allow them.",
  weakens(chosen) {
    if (chosen.includes("PLAIN")) return "PLAIN lets clients send the password itself (over TLS only).";
    if (!chosen.some((name) => name.endsWith("-PLUS")))
      return "Without a -PLUS mechanism a login is not bound to its TLS connection.";
    return undefined;
  },
  notes: (chosen) =>
    chosen
      .filter((name) => !known.includes(name))
      .map((name) => `${name} has no effect: ${unavailable.get(name) ?? "it is not offered here"}.`),
});

/** docs/passwords.md: offering SCRAM again is for a person to decide. */
export const plainAlone = property("firekeeper.sasl.plain-alone", {
  schema: enumeration("auto", "never"),
  default: "auto",
  impact: "live",
  doc: "auto: PLAIN alone (over TLS) is offered while the host gives a password as a hash or leaves it to a directory. never: SCRAM is offered, and PLAIN beside it to those without keys.",
  notes: (value) =>
    value === "never"
      ? ["Accounts without SCRAM keys can log in only with clients that try PLAIN beside SCRAM; few do."]
      : [],
});

/** Iterations of keys that are made from now on; keys that exist keep theirs. */
export const scramIterations = property("sasl.scram-sha-1.iteration-count", {
  schema: integer(1, mostIterations),
  default: 4096,
  impact: "live",
  doc: "PBKDF2 iterations of SCRAM keys (all hashes) made from now on; keys that exist keep theirs until the password is set again.",
  weakens: (count) =>
    count < 4096 ? `${count} iterations are fewer than the 4096 that RFC 7677 asks for.` : undefined,
});

/** XEP-0474: parsers of some clients without SASL2 fail on one more attribute. */
export const downgradeProtection = property("firekeeper.sasl.downgrade-protection", {
  schema: enumeration("sasl2", "always", "never"),
  default: "sasl2",
  impact: "live",
  doc: "To whom SCRAM shows a signed hash of what was offered, so that nobody on the way can hide mechanisms: to clients that log in by SASL2, to all (older web clients fail on it), or to nobody.",
  weakens: (to) =>
    to === "never" ? "Somebody who has the certificate's key can hide strong mechanisms from clients." : undefined,
});

/** XEP-0484. */
export const tokenDays = property("firekeeper.login-tokens.days", {
  schema: integer(0, 366),
  default: 21,
  impact: "live",
  unit: "days",
  doc: "How long a device may log in with a token instead of the password after it was last there; 0: no tokens are given or taken.",
});
