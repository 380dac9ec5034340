/** Messages in the name of the service and no one else's. */
import { ns } from "../formats/namespaces.ts";
import { bare, parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import { parseStanza } from "../xml/document.ts";
import { limitsAfterLogin } from "../xml/limits.ts";
import { text, x } from "../xml/writer.ts";
import type { Core } from "./module.ts";

/** Sends a text to somebody who is online; false: he is not, or it did not pass. */
export function tell(core: Core, account: Account, body: string): boolean {
  const online = account.sessions.find((one) => one.priority !== undefined);
  const from = parseJid(online?.view ?? "");
  if (online === undefined || from === undefined) return false;
  const id = core.random(9).toString("base64url");
  const xml = x("message", { xmlns: ns.client, type: "normal", id }, x("body", {}, text(body)));
  return core.router.message(parseStanza(xml, ns.client, limitsAfterLogin), from, bare(online.jid)) === undefined;
}

/** Everybody of a domain who is online. */
export function online(core: Core, served: number): Set<Account> {
  const found = new Set<Account>();
  for (const { account, priority } of core.sessions.all())
    if (account.served === served && !account.probe && priority !== undefined) found.add(account);
  return found;
}
