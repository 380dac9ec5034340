/** Says which check of a login fails, for whoever helps a person who cannot log in. Never a password, a hash or a key. */
import { parseCredentials } from "../auth/keys.ts";
import { plainAlone } from "../auth/properties.ts";
import { plainNeed } from "../routing/credentials.ts";
import { localpartOf } from "../stream/login.ts";
import { held } from "./apply-accounts.ts";
import type { Answer, Ask, LoginCheck } from "./contract.ts";
import type { ControlParts } from "./parts.ts";

const sources = { ldap: "the LDAP directory", sql: "the host's database", http: "the host over HTTP" } as const;

export async function checkLogin(
  parts: ControlParts,
  { name: given, password }: Ask<"check-login">,
): Promise<Answer<"check-login">> {
  const checks: LoginCheck[] = [];
  const say = (check: string, ok: boolean, detail: string): boolean => {
    checks.push({ check, ok, detail });
    return ok;
  };
  const { names, accounts } = parts;
  const name = localpartOf(parts, names.primary.name, given.trim());
  if (name === undefined) {
    say("name", false, `${given} can be no login name of ${names.primary.name}.`);
    return { checks };
  }
  const found = accounts.get(names.primary.id, name);
  const account = found?.probe ? undefined : found;
  const isFormer = account !== undefined && held(parts, name) === undefined;
  const origin = account?.origin === "local" ? "the server's own" : "the host's";
  if (
    !say(
      "account",
      account !== undefined,
      account
        ? `${account.name} is ${origin}${isFormer ? `; ${name} is a former name` : ""}.`
        : `There is no account ${name} on the server.`,
    ) ||
    account === undefined
  )
    return { checks };
  if (account.keptUntil !== undefined)
    say("kept", false, "The host no longer has this user; the data is kept for a while.");
  if (account.barred) say("allowed", false, "The user has none of the roles in sys.xmpp.allowedroles.");
  else say("enabled", account.enabled, account.enabled ? "The account is enabled." : "The account is disabled.");
  const stored = await accounts.credentials(account);
  const standing = account.password;
  const source = standing?.from;
  const described =
    standing === undefined
      ? "There is no password: neither keys nor a hash nor a directory."
      : source !== undefined
        ? `The password is judged by ${sources[source]}.`
        : standing.cost === undefined
          ? "The server has SCRAM keys."
          : `The server has a hash (${standing.cost.split(":")[0]})${standing.hasKeys ? ", and SCRAM keys derived from it at a login" : " and no SCRAM keys: only PLAIN works"}.`;
  say("password source", standing !== undefined, described);
  const need = plainNeed(accounts.passwords(names.primary.id), parts.properties.get(plainAlone));
  if (standing !== undefined && !standing.hasKeys)
    say(
      "offered",
      need !== "as allowed",
      need === "alone" ? "PLAIN alone is offered, over TLS." : "PLAIN is offered beside SCRAM: the client must try it.",
    );
  if (password === undefined || standing === undefined) return { checks };
  const attempt = parts.auth.slowDown.attempt({ account: name, address: "control" });
  if (attempt.is === "refused") {
    say("password", false, "Too many failed logins: logins of this account are refused for the moment.");
    return { checks };
  }
  const verdict = await parts.auth.passwords.judge(
    account.name,
    stored && { ...stored, credentials: parseCredentials(stored) },
    password,
  );
  if (source !== undefined) {
    const why = parts.auth.live.lastFailure(source);
    say(
      "directory",
      verdict !== "unavailable",
      verdict === "unavailable"
        ? `${sources[source]} gives no answer: ${why ?? "unknown"}.`
        : `${sources[source]} answers.`,
    );
  }
  if (verdict === "wrong") attempt.failed();
  if (verdict === "right") attempt.succeeded();
  const said = {
    right: "The password is right.",
    wrong: "The password is wrong.",
    busy: "Too many passwords wait to be checked.",
    unavailable: "Nobody could say whether the password is right.",
    throttled: "Too many wrong passwords in the last minute: the directory is not asked.",
  } as const;
  say("password", verdict === "right", said[verdict]);
  return { checks };
}
