/** PLAIN: the password itself, over TLS only. RFC 4616. */
import { CodedError } from "../errors.ts";
import { decodeUtf8, type Exchange, type ExchangeContext, failure, type Step } from "./exchange.ts";
import { decoyKeys, verifyPassword } from "./keys.ts";

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
    const known = claim?.account === undefined ? undefined : claim.credentials;
    // An account that does not exist, or has no keys, costs the same derivation as one that has.
    const credentials =
      known && Object.values(known).some(Boolean) ? known : { sha256: decoyKeys("sha256", name, context) };
    try {
      const right = await verifyPassword(password, credentials, context.pool);
      if (!right || claim?.account === undefined) {
        attempt.failed();
        return failure("not-authorized", undefined, name);
      }
    } catch (error) {
      if (!(error instanceof CodedError && error.code === "auth/busy")) throw error;
      return failure("temporary-auth-failure", "Too many logins at once.", name);
    }
    attempt.succeeded();
    if (authzid !== "" && !claim.ownAddress(authzid)) {
      return failure("invalid-authzid", "Nobody may act under another's name.", name);
    }
    if (claim.disabled) return failure("account-disabled", undefined, name);
    return { is: "success", name: claim.name, account: claim.account };
  }

  return { step };
}
