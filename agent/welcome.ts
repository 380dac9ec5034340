/** What a person sees when the service is up: where it is, how to get in, what to type next. */

import { existsSync } from "node:fs";
import type { StatusDocument } from "./agent.ts";
import type { Environment } from "./environment.ts";
import type { FreshStart } from "./store/fresh-start.ts";
import { initialPasswordFile } from "./store/fresh-start.ts";

/** `created`: this start made the store; its password is shown once, and only at a terminal. */
export function welcome(
  status: StatusDocument,
  environment: Pick<Environment, "home">,
  created: FreshStart | undefined,
  terminal: boolean = process.stdout.isTTY === true,
): string {
  const { server } = status;
  if ("unreachable" in server)
    return `Not ready: ${server.unreachable}\nThe agent goes on trying. Next: npx firekeeper status`;
  const port = (name: string) => server.listeners.find((one) => one.name === name && one.state === "open")?.port;
  const failed = server.listeners.filter((one) => one.state === "failed");
  const clients = [
    port("c2s") !== undefined ? `${port("c2s")} (STARTTLS)` : undefined,
    port("c2s-tls") !== undefined ? `${port("c2s-tls")} (TLS)` : undefined,
  ].filter((one) => one !== undefined);
  const passwordFile = initialPasswordFile(environment.home);
  const lines = [
    `Firekeeper serves ${server.domain}`,
    `  clients   ${clients.length > 0 ? `ports ${clients.join(" and ")}` : "no port is open"}`,
    ...(port("admin-tls") !== undefined ? [`  console   https://${server.domain}:${port("admin-tls")}`] : []),
    ...failed.map((one) => `  problem   ${one.name}, port ${one.port}: ${one.error ?? "not open"}`),
    ...(existsSync(passwordFile) ? [`  admin     the first password lies in ${passwordFile}`] : []),
    ...(created && terminal ? [`            user ${created.user}, password ${created.password} (shown once)`] : []),
    ...(status.held ? [`  holds     ${status.held} Next: npx firekeeper resume`] : []),
    ...(status.lastError ? [`  problem   ${status.lastError.message}`] : []),
    ...(status.pending.length > 0 ? [`  waiting   ${status.pending.length} changes`] : []),
    `  next      npx firekeeper ${status.pending.length > 0 || status.lastError ? "plan" : created ? "users add alice --generate" : "status"}`,
  ];
  return lines.join("\n");
}
