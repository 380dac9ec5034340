/** The plan as `firekeeper plan --json` prints it; docs/plan.schema.json is written from this. Secrets are masked already. */
import { z } from "zod";
import { impact } from "../../xmpp-core/control/contract.ts";

/** Somebody gains or loses something by a change. */
export const effect = z.object({
  gains: z.boolean().describe("true: they gain it; false: they lose it."),
  who: z.array(z.string()).readonly().describe("Names, at most 20; `everybody` stands alone."),
  count: z.number().int().describe("How many they are."),
  what: z.string().describe("What they gain or lose: `the group Sales, 4 members`."),
});
export type Effect = z.infer<typeof effect>;

export const changeDocument = z.object({
  subject: z
    .string()
    .describe("`domain`, `property xmpp.client.idle`, `account alice`, `group Sales`, `supervisor carol`."),
  action: z.string().describe("What happens: set, unset, own, add, change, members, remove, grant, revoke …"),
  from: z.string().nullable().describe("Canonical text now, or null for nothing. For members: who leaves."),
  to: z.string().nullable().describe("Canonical text afterwards, or null for nothing. For members: who joins."),
  impact: impact.describe(
    "live: nobody notices; listener: a port is rebound; restart: a pause; migrate: the domain changes.",
  ),
  source: z.string().describe("Where in the host this comes from: a settings key, `users: alice`, `roles: Sales`."),
  effects: z.array(effect).optional().describe("Who gains and who loses what."),
});

export const noticeDocument = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  where: z.string().optional(),
});

export const planDocumentSchema = z
  .object({
    revision: z
      .number()
      .int()
      .describe("Revision that applying this makes; the one in force when there is nothing to do."),
    snapshot: z.string().describe("Hash of what the host says."),
    impact: z.union([impact, z.literal("none")]).describe("The heaviest of all changes."),
    changes: z.array(changeDocument).describe("In the order of execution."),
    rejected: z
      .array(z.object({ key: z.string(), value: z.string(), rule: z.string(), hint: z.string() }))
      .describe("What is not done, and why; the last good value stays in force."),
    notices: z.array(noticeDocument).describe("What else there is to know; what weakens comes first."),
    waits: z.array(z.string()).optional().describe("Why what is planned is not applied by itself, and what to type."),
  })
  .describe("What `firekeeper plan --json` prints. Exit code 0: no changes, 2: changes; 1: an error, as `{ error }`.");

/** The schema's page. */
export function planSchemaPage(): string {
  const schema = z.toJSONSchema(planDocumentSchema, { target: "draft-2020-12" });
  const { $schema, ...rest } = schema;
  return `${JSON.stringify({ $schema, $id: "firekeeper/plan.schema.json", title: "firekeeper plan --json", ...rest }, null, 2)}\n`;
}
