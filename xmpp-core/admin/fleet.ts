/** What headquarters knows of its branches, as the agent tells it to an admin in the console. */
import { z } from "zod";
import type { Control } from "../control/control.ts";
import { misunderstood } from "./plans.ts";

const fleet = z.object({
  branches: z.array(
    z.object({
      branch: z.string(),
      /** ISO time; null: never. */
      heard: z.string().nullable(),
      stale: z.boolean(),
      report: z
        .object({
          domain: z.string().nullable(),
          aliases: z.array(z.string()),
          revision: z.number(),
          proven: z.number(),
          pending: z.number(),
          rejected: z.number(),
          held: z.boolean(),
          frozen: z.boolean(),
          error: z.string().nullable(),
          certificateDays: z.number().nullable(),
          sessions: z.number().nullable(),
          accounts: z.number().nullable(),
          program: z.string().nullable(),
        })
        .nullable(),
    }),
  ),
  /** A sentence each, with its fix. */
  conflicts: z.array(z.string()),
  warnings: z.array(z.string()),
});
export type FleetSeen = z.infer<typeof fleet>;

/** Null where the agent is no headquarters. Throws `admin/agent-answer` and `control/no-agent`. */
export async function fleetSeen(control: Control, admin: string): Promise<FleetSeen | null> {
  const read = fleet.nullable().safeParse(await control.askAgent(admin, "fleet", {}));
  if (!read.success) throw misunderstood();
  return read.data;
}
