/** What an HTTP host sends, as JSON Schema for the host's own tests: docs/stores/http-host.schema.json. */
import { z } from "zod";
import { roleRecord, teamRecord, userRecord } from "../records.ts";

const hostDocument = z.object({
  snapshot: z.union([z.string(), z.number()]).optional(),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  roles: z.array(roleRecord).optional(),
  users: z.array(userRecord).optional(),
  teams: z.array(teamRecord).optional(),
});

/** JSON Schema 2020-12 of one document, as text. A host that is read in parts sends each property by itself. */
export function hostSchemaText(): string {
  const schema = z.toJSONSchema(hostDocument, { io: "input", unrepresentable: "any" });
  return `${JSON.stringify({ title: "What a host tells Firekeeper", ...schema }, null, 2)}\n`;
}
