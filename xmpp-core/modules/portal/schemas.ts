import { z } from "zod";
import { certificatesDocument } from "./certificate-facts.ts";
import { portalDocument } from "./facts.ts";

/** The JSON Schema of /portal.json and /certificates.json, by their names in docs/. */
export function portalSchemas(): readonly (readonly [file: string, text: string])[] {
  return [
    ["portal.schema.json", schemaText("portal.schema.json", "/portal.json", portalDocument)],
    ["certificates.schema.json", schemaText("certificates.schema.json", "/certificates.json", certificatesDocument)],
  ];
}

function schemaText(file: string, title: string, document: z.ZodType): string {
  const { $schema, ...rest } = z.toJSONSchema(document, { target: "draft-2020-12" });
  return `${JSON.stringify({ $schema, $id: `firekeeper/${file}`, title, ...rest }, undefined, 2)}\n`;
}
