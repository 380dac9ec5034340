/** PLAIN: the password itself, over TLS only. RFC 4616. */
import { decodeUtf8, disabled, type Exchange, type ExchangeContext, failure, type Step } from "./exchange.ts";
import type { Verdict } from "./passwords.ts";

const untold: Partial<Record<Verdict, string>> = {
  busy: "Too many logins at once.",
  throttled: "Too many failed logins.",
  unavailable: "The directory that knows the passwords does not answer.",
};

export function plain<Account>(context: ExchangeContext<Account>): Exchange<Account> {
  let over = false;

  async function step(input: Buffer | undefined): Promise<Step<Account>> {
    if (over) return failure("malformed-request", "This exchange is over.");
    if (input === undefined) return { is: "challenge", data: Buffer.alloc(0) };
    over = true;
    // message = [authzid] NUL authcid NUL passwd
    const parts = decodeUtf8(input)?.split("\0");
    const [authzid, sent, password] = parts ?? [];
    if (parts?.length !== 3 || authzid === undefined || !sent || !password) return failure("malformed-request");

    const claim = await context.accounts.credentialsOf(sent);
    const name = claim?.name ?? sent;
    const attempt = await context.admit(name);
    if (attempt === "refused") return failure("temporary-auth-failure", "Too many failed logins.", name);
    const verdict = await context.passwords.judge(name, claim?.account === undefined ? undefined : claim, password);
    const text = untold[verdict];
    if (text !== undefined) {
      // Guesses that are not passed on count as guesses; a directory that is away is nobody's fault.
      if (verdict === "throttled") attempt.failed();
      return failure("temporary-auth-failure", text, name);
    }
    if (verdict !== "right" || claim?.account === undefined) {
      attempt.failed();
      return failure("not-authorized", undefined, name);
    }
    attempt.succeeded();
    if (authzid !== "" && !claim.ownAddress(authzid)) {
      return failure("invalid-authzid", "Nobody may act under another's name.", name);
    }
    if (claim.disabled) return disabled(claim.disabled, name);
    await claim.proved?.(password);
    return { is: "success", name: claim.name, account: claim.account };
  }

  return { step };
}
