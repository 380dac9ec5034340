/** HT mechanisms: one message proves a token that the server gave out. draft-schmaus-kitten-sasl-ht, XEP-0484 */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { BindingFacts, Exchange, ExchangeContext, Step } from "./exchange.ts";
import { decodeUtf8, disabled, failure } from "./exchange.ts";

/** Bound most tightly first. Never -UNIQ: tls-unique does not exist in TLS 1.3. */
export const tokenMechanisms = ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"] as const;
export type TokenMechanism = (typeof tokenMechanisms)[number];

/** What this connection can do. Without TLS none: whoever saw such a message could repeat it. XEP-0484 §6 */
export function offeredTokens(tls: BindingFacts | undefined): readonly TokenMechanism[] {
  return tls === undefined ? [] : tokenMechanisms.filter((name) => bindingOf(name, tls) !== undefined);
}

/** How a token that is known stands against the one that was shown. */
export interface KnownToken {
  /** The secret text that the client has. */
  readonly secret: string;
  /** Whether it may still be used, for this and as this request says. */
  readonly valid: boolean;
}

/** Knows the tokens of accounts. */
export interface TokenShelf<Account> {
  /** Those that this device of the account was given, newest first; none for an account that does not exist. */
  of(account: Account | undefined, mechanism: TokenMechanism): Promise<readonly KnownToken[]>;
  /** The one that was shown is the one at this place. */
  proved(place: number): void;
}

/** Starts one exchange; `undefined` where this connection cannot do the mechanism. */
export function hashedToken<Account>(
  mechanism: string,
  { accounts, admit, tls, random }: Pick<ExchangeContext<Account>, "accounts" | "admit" | "tls" | "random">,
  shelf: TokenShelf<Account>,
): Exchange<Account> | undefined {
  const offered = offeredTokens(tls).find((name) => name === mechanism);
  const binding = offered && tls && bindingOf(offered, tls);
  if (offered === undefined || binding === undefined) return undefined;
  let over = false;

  async function step(input: Buffer | undefined): Promise<Step<Account>> {
    if (over) return failure("malformed-request", "This exchange is over.");
    if (input === undefined) return { is: "challenge", data: Buffer.alloc(0) };
    over = true;
    // message = authcid NUL HMAC(token, "Initiator" binding)
    const end = input.indexOf(0);
    const given = end < 1 ? undefined : decodeUtf8(input.subarray(0, end));
    const shown = input.subarray(end + 1);
    if (given === undefined || shown.length !== hashBytes) return failure("malformed-request");
    const claim = await accounts.credentialsOf(given);
    const name = claim?.name ?? given;
    const attempt = await admit(name);
    if (attempt === "refused") return failure("temporary-auth-failure", "Too many failed logins.", name);
    const known = await shelf.of(claim?.account, offered as TokenMechanism);
    // As many computations whether there are tokens or not.
    const secrets = [known[0]?.secret, known[1]?.secret].map((secret) => secret ?? random(hashBytes).toString("hex"));
    const place = secrets
      .map((secret) => timingSafeEqual(proofOf(secret, "Initiator", binding as Buffer), shown))
      .indexOf(true);
    const found = known[place];
    if (found === undefined || claim?.account === undefined) {
      attempt.failed();
      return failure("not-authorized", undefined, name);
    }
    attempt.succeeded();
    if (!found.valid) return failure("credentials-expired", "Log in with the password.", name);
    if (claim.disabled) return disabled(claim.disabled, name);
    shelf.proved(place);
    return { is: "success", name, account: claim.account, data: proofOf(found.secret, "Responder", binding as Buffer) };
  }

  return { step };
}

const hashBytes = 32;

function proofOf(secret: string, who: "Initiator" | "Responder", binding: Buffer): Buffer {
  return createHmac("sha256", secret).update(who).update(binding).digest();
}

function bindingOf(mechanism: TokenMechanism, { exporter, endPoint }: BindingFacts): Buffer | undefined {
  if (mechanism === "HT-SHA-256-EXPR") return exporter;
  return mechanism === "HT-SHA-256-ENDP" ? endPoint : Buffer.alloc(0);
}
