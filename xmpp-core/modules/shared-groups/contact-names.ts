import { z } from "zod";
import { property } from "../../properties/property.ts";
import type { TextSchema } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";

const fields = ["name", "phone", "mobile", "organisation", "department", "title"] as const;
type Field = (typeof fields)[number];
const isField = (text: string): text is Field => fields.some((field) => field === text);

/** Text as it stands, a field in braces, or a part in brackets that is left out where one of its fields is empty. */
const pieceShape = /\[((?:[^[\]{}]|\{[a-z]+\})*)\]|\{([a-z]+)\}|[^[\]{}]+/y;

type Part = { readonly text: string } | { readonly field: Field } | { readonly whole: readonly Part[] };

/** The parts of `{name}[ ({phone})]`; undefined if it cannot be read. */
function parse(pattern: string): readonly Part[] | undefined {
  const parts: Part[] = [];
  const piece = new RegExp(pieceShape);
  while (piece.lastIndex < pattern.length) {
    const [found, inside, field] = piece.exec(pattern) ?? [];
    if (found === undefined) return undefined;
    if (field !== undefined) {
      if (!isField(field)) return undefined;
      parts.push({ field });
    } else if (inside !== undefined) {
      const whole = parse(inside);
      if (whole === undefined) return undefined;
      parts.push({ whole });
    } else parts.push({ text: found });
  }
  return parts;
}

const hasName = (parts: readonly Part[]): boolean => parts.some((part) => "field" in part && part.field === "name");

const patternSchema: TextSchema<string> = {
  type: "text",
  zod: z
    .string()
    .max(200)
    .refine((given) => {
      const parts = parse(given);
      return parts !== undefined && hasName(parts);
    }),
  write: (pattern) => pattern,
  rule: `text with {name} in it, and if wanted {${fields.slice(1).join("}, {")}}; a part in brackets is left out where its field is empty`,
  hint: () => "For example {name}[ ({phone})].",
};

/** How colleagues are called in contact lists. seeds: "Name (Extension)" */
export const contactNames = property("firekeeper.roster.contact-name", {
  schema: patternSchema,
  default: "{name}",
  impact: "live",
  doc: "How the members of shared groups are called in contact lists, from what the host says of them: {name}[ ({phone})] shows the telephone number of those who have one. A name that a user gave a contact himself stays. With more than 1,000 people a change shows when clients ask for their lists again.",
});

/** What contact lists show of an account under a pattern. */
export function contactName(pattern: string, { name, displayName, card }: Account): string {
  const value = (field: Field): string => (field === "name" ? (displayName ?? name) : (card?.fields[field] ?? ""));
  const written = (part: Part): string => {
    if ("text" in part) return part.text;
    if ("field" in part) return value(part.field);
    const empty = part.whole.some((each) => "field" in each && value(each.field) === "");
    return empty ? "" : part.whole.map(written).join("");
  };
  return (parse(pattern) ?? []).map(written).join("").trim();
}
