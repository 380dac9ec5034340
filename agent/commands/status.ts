/** `firekeeper status`: what is in force, what waits, what is wrong. Exit code 1 while the server does not answer. */

import type { Command } from "commander";
import type { StatusDocument } from "../agent.ts";
import { isWeakness } from "../errors.ts";
import type { FleetDocument } from "../fleet/fleet-state.ts";
import { changeLine, noticeLine } from "../plan/render.ts";
import { frozenSentence, windowSentence } from "../standing.ts";
import { type AskingParts, askingCommand } from "./command.ts";
import { renderFleet } from "./fleet.ts";

export function statusCommand(parts: AskingParts): Command {
  return askingCommand("status", "show what is in force, what waits and what is wrong")
    .option("--fleet", "show the branches that report here")
    .action(async ({ json, fleet }: { json?: boolean; fleet?: boolean }) => {
      if (fleet) {
        const document = (await parts.ask("fleet")) as FleetDocument;
        return parts.print(json ? JSON.stringify(document) : renderFleet(document));
      }
      const status = (await parts.ask("status")) as StatusDocument;
      parts.print(json ? JSON.stringify(status) : renderStatus(status));
      if ("unreachable" in status.server) parts.exitCode(1);
    });
}

export function renderStatus(status: StatusDocument): string {
  const { server, journal } = status;
  const weakens = status.notices.filter(isWeakness);
  const others = status.notices.filter((one) => !isWeakness(one));
  return [
    ...weakens.map((one) => `weakens: ${one.message}`),
    ...("unreachable" in server ? [`server: ${server.unreachable}`] : serverLines(server)),
    `revision ${journal.revision}, proven ${journal.proven}; journal ${journal.head.slice(0, 12)}`,
    `store ${status.store}, mode ${status.mode}`,
    ...(status.held ? [`holds: ${status.held} firekeeper resume ends it.`] : []),
    ...(status.frozen ? [`${frozenSentence(status.frozen)} firekeeper unfreeze ends it.`] : []),
    ...(status.confirmation
      ? [
          `revision ${status.confirmation.revision} goes back to ${status.confirmation.to} at ${status.confirmation.until} unless you say: firekeeper confirm`,
        ]
      : []),
    ...(status.window ? [windowSentence(status.window)] : []),
    ...(status.lastError ? [`error: ${status.lastError.message}`] : []),
    ...(status.pending.length > 0
      ? [`${status.pending.length} ${status.pending.length === 1 ? "change waits" : "changes wait"}:`]
      : []),
    ...status.pending.map((change) => `  ${change.impact.padEnd(8)} ${changeLine(change)}`),
    ...status.why,
    ...(status.rejected.length > 0 ? [`${status.rejected.length} rejected, what was in force stays:`] : []),
    ...status.rejected.map((one) => `  ${one.key} = ${one.value}: must be ${one.rule}. ${one.hint}`),
    ...others.map(noticeLine),
  ].join("\n");
}

function serverLines(server: Exclude<StatusDocument["server"], { unreachable: string }>): string[] {
  return [
    `serves ${server.domain} since ${server.startedAt}; ${server.sessions} sessions, ${server.accounts} accounts, storage ${server.storage}`,
    ...server.aliases.map(
      (one) =>
        `  also ${one.name}, ${one.until === null ? "for ever" : `until ${one.until}`}; ${one.sessions} sessions use it`,
    ),
    ...server.listeners
      .filter((one) => one.state !== "closed")
      .map(
        (one) => `  ${one.name} on ${one.address} port ${one.port}: ${one.state}${one.error ? `, ${one.error}` : ""}`,
      ),
    ...server.certificates.map(
      (one) =>
        `  certificate for ${one.names.join(", ")}${one.source ? ` (${one.source})` : ""} until ${one.until}${one.daysLeft === undefined ? "" : `, ${one.daysLeft} days`}${one.renewal ? `, ordered again ${one.renewal}` : ""}${one.problem ? `: ${one.problem}` : ""}`,
    ),
    ...(server.fellBackFrom === undefined
      ? []
      : [`  revision ${server.fellBackFrom} did not start; the last proven one is in force`]),
    ...server.weakens.map((one) => `  weakens: ${one}`),
    ...server.notices.map((one) => `  ${one}`),
  ];
}
