/** What a branch tells headquarters: counts and states, never names of people, never a secret. */
import { z } from "zod";
import type { StatusDocument } from "../agent.ts";

const name = z.string().max(255);
const count = z.number().int().min(0);

export const branchName = /^[a-z0-9][a-z0-9.-]{0,62}$/;

export const branchReport = z.strictObject({
  branch: z.string().regex(branchName),
  /** Grows with each report of a branch: milliseconds since the epoch, or one more than the last. */
  counter: count,
  domain: name.nullable(),
  aliases: z.array(name).max(100),
  revision: count,
  proven: count,
  pending: count,
  rejected: count,
  held: z.boolean(),
  /** False also from a branch of an earlier version, which does not say. */
  frozen: z.boolean().default(false),
  /** Stable code of the last failure; its sentence could name people. */
  error: z.string().max(100).nullable(),
  /** Of the certificate that ends first. */
  certificateDays: z.number().nullable(),
  sessions: count.nullable(),
  accounts: count.nullable(),
  /** Version of the server. */
  program: z.string().max(40).nullable().default(null),
  serverSince: z.string().max(40).nullable(),
  agentSince: z.string().max(40),
});
export type BranchReport = z.infer<typeof branchReport>;

export function reportOf(
  status: StatusDocument,
  { branch, counter, agentSince }: Pick<BranchReport, "branch" | "counter" | "agentSince">,
): BranchReport {
  const server = "unreachable" in status.server ? undefined : status.server;
  const days = (server?.certificates ?? []).flatMap((one) => (one.daysLeft === undefined ? [] : [one.daysLeft]));
  return {
    branch,
    counter,
    agentSince,
    domain: server?.domain ?? null,
    aliases: (server?.aliases ?? []).slice(0, 100).map((one) => one.name),
    revision: status.journal.revision,
    proven: status.journal.proven,
    pending: status.pending.length,
    rejected: status.rejected.length,
    held: Boolean(status.held),
    frozen: status.frozen !== null,
    error: server === undefined ? "unreachable" : (status.lastError?.code ?? null),
    certificateDays: days.length === 0 ? null : Math.min(...days),
    sessions: server?.sessions ?? null,
    accounts: server?.accounts ?? null,
    program: server?.version.slice(0, 40) ?? null,
    serverSince: server?.startedAt ?? null,
  };
}
