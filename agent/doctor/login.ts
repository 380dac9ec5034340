/** `doctor --login NAME`: which step of a login fails for this person. Never says a password, a key or a hash. */
import type { LoginCheck } from "../../xmpp-core/control/contract.ts";
import { probeLogin } from "../apply/probe-client.ts";
import { foldName } from "../desired/accounts.ts";
import { explain } from "../errors.ts";
import { nearestName } from "../store/nearest-name.ts";
import type { AskAgent, Facts } from "./facts.ts";
import { hostsOf } from "./ports.ts";
import { type Verdict, verdict } from "./verdict.ts";

const fixes: Readonly<Record<string, string>> = {
  store: "firekeeper users add NAME --password-stdin, or enable the user in the host",
  "store password": "give the user a password: firekeeper users passwd NAME --password-stdin",
  plan: "correct it in the host; firekeeper plan tells the rest",
  account: "firekeeper plan, then firekeeper apply",
  kept: "add the user to the host again, and the data is the person's again",
  enabled: "enable the user in the host",
  allowed: "give the user a role that sys.xmpp.allowedroles names",
  "password source": "give the user a password in the host",
  offered: "docs/passwords.md: what PLAIN needs",
  directory: "check that the directory answers, and what it is asked: docs/passwords.md",
  password: "type it again, or give the user another; after too many failures wait a minute",
  server: "firekeeper status",
};

export async function checkOneLogin(
  facts: Facts,
  ask: AskAgent,
  { name: given, password }: { readonly name: string; readonly password?: string | undefined },
): Promise<Verdict[]> {
  const verdicts = nameVerdicts(facts, given);
  const name = given.replace(/@.*$/, "");
  if (facts.status === undefined) return [...verdicts, ...inStoreAlone(facts, name)];
  const waits = facts.status.pending.filter((one) => foldName(one.subject) === foldName(`account ${name}`));
  for (const one of waits)
    verdicts.push(verdict("login.pending", "warn", name, `A change waits: ${one.action}.`, "firekeeper apply"));
  const answer = (await ask("check-login", { name, ...(password === undefined ? {} : { password }) })) as LoginCheck[];
  verdicts.push(...answer.map((one) => step(facts, name, one)));
  if (password !== undefined) verdicts.push(await real(facts, name, password));
  else {
    const found = "Without a password no login is tried.";
    verdicts.push(verdict("login.real", "skipped", name, found, `firekeeper doctor --login ${name} --password-stdin`));
  }
  return verdicts;
}

/** libpurple takes one `@` only, and the field for the user's name wants what stands before it. */
function nameVerdicts({ domain }: Facts, given: string): Verdict[] {
  const parts = given.split("@");
  const [local = ""] = parts;
  const fields = `in Pidgin: Username ${local}, Domain ${domain}`;
  if (parts.length > 2) {
    const found =
      "It has two @. Pidgin and other clients with libpurple add @Domain to the Username themselves and refuse a second @: a full address in Username never works.";
    return [verdict("login.name", "fail", given, found, fields)];
  }
  if (parts.length === 2 && foldName(parts[1] ?? "") !== foldName(domain))
    return [verdict("login.name", "warn", given, `${parts[1]} is not the domain ${domain}.`, fields)];
  return [verdict("login.name", "ok", given, `The login name is ${local}.`)];
}

function step(facts: Facts, name: string, { check, ok, detail }: LoginCheck): Verdict {
  if (ok) return verdict("login.step", "ok", check, detail);
  const known = "unreadable" in facts.store ? [] : facts.store.users.map((one) => one.name);
  const absent = check === "store" && !known.some((one) => foldName(one) === foldName(name));
  const meant = absent ? nearestName(name, known) : undefined;
  const fix = meant === undefined ? fixes[check] : `did you mean ${meant}?`;
  return verdict("login.step", "fail", check, detail, fix?.replace("NAME", name));
}

function inStoreAlone({ store, absent }: Facts, name: string): Verdict[] {
  const verdicts = [
    verdict("login.step", "fail", "server", absent ?? "No agent runs.", "npm start, or systemctl start firekeeper"),
  ];
  if ("unreadable" in store) return [verdict("login.step", "fail", "store", store.unreadable), ...verdicts];
  const user = store.users.find((one) => foldName(one.name) === foldName(name));
  const says = (check: string, ok: boolean, detail: string) => step({ store } as Facts, name, { check, ok, detail });
  if (user === undefined) return [says("store", false, `${store.source} has no user ${name}.`), ...verdicts];
  return [
    says("store", user.enabled, `${user.name} is ${user.enabled ? "enabled" : "disabled"} in ${store.source}.`),
    says(
      "store password",
      user.hasPassword,
      user.hasPassword ? "The host has a password." : "The host gives no password.",
    ),
    ...verdicts,
  ];
}

/** As a client does: TLS, SASL, a message to itself. Counts as a login of the account does. */
async function real({ server, place }: Facts, name: string, password: string): Promise<Verdict> {
  const listener = server?.listeners.find(
    (one) => one.state === "open" && (one.name === "c2s" || one.name === "c2s-tls"),
  );
  if (server === undefined || listener === undefined)
    return verdict("login.real", "fail", name, "No port for clients is open.", "firekeeper doctor --only ports");
  const [host = "127.0.0.1"] = hostsOf(listener, place.probeHost);
  const { port, proxies = [] } = listener;
  const of = `${name} on port ${port}`;
  try {
    const direct = listener.name === "c2s-tls";
    await probeLogin({ host, port, direct, timeoutMs: 10_000, proxies, domain: server.domain, name, password });
    return verdict("login.real", "ok", of, "Logged in over TLS, and heard itself.");
  } catch (error) {
    return verdict("login.real", "fail", of, `Refused: ${explain(error)}.`, "the first step above that fails says why");
  }
}
