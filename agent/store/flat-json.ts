/** A host's settings, roles, users and teams as one JSON document: the content of `host.yaml` in JSON. docs/stores/files.md. */
import type { z } from "zod";
import type { Notice } from "../errors.ts";
import { parseJson } from "./flat-json-text.ts";
import { StoreError } from "./host-store.ts";
import { nearestName } from "./nearest-name.ts";
import type { HostRecords } from "./record-store.ts";
import { type PlaceOf, recordsOf, roleRecord, teamRecord, userRecord } from "./records.ts";

const rootKeys = ["settings", "roles", "users", "teams"];
const lists: Readonly<Record<string, { readonly what: string; readonly shape: z.ZodObject }>> = {
  roles: { what: "role", shape: roleRecord },
  users: { what: "user", shape: userRecord },
  teams: { what: "team", shape: teamRecord },
};

/** All of it, or a `StoreError` with line and column. */
export function jsonRecords(text: string, file: string): HostRecords {
  const { value, placeOf } = parseJson(text, file);
  const warnings: Notice[] = [];
  const known = (data: unknown, what: string, keys: readonly string[], path: readonly PropertyKey[]) =>
    warnings.push(...unknownKeys(data, what, keys, (key) => placeOf([...path, key])));
  known(value, "host file", rootKeys, []);
  if (isRecord(value) && !rootKeys.some((key) => Object.hasOwn(value, key) && value[key] !== null))
    throw new StoreError("store/empty", `${file} says nothing.`, {
      rule: "settings, roles and users",
      hint: "Put it back from a backup. What was read last stays in force.",
    });
  for (const [part, { what, shape }] of Object.entries(lists)) {
    const items = isRecord(value) ? value[part] : undefined;
    for (const [index, item] of (Array.isArray(items) ? items : []).entries()) {
      known(item, what, Object.keys(shape.shape), [part, index]);
      if (!isRecord(item)) continue;
      if (part === "users")
        known(item.credentials, "user's credentials", ["sha1", "sha256", "sha512"], [part, index, "credentials"]);
      if (part === "teams")
        for (const [at, member] of (Array.isArray(item.members) ? item.members : []).entries())
          known(member, "team's member", ["user", "dynamic"], [part, index, "members", at]);
    }
  }
  const records = recordsOf(value, file, placeOf);
  return { ...records, warnings };
}

/** `member` for `members` would empty a role: a slip stops the read, a foreign key does not. */
function unknownKeys(
  data: unknown,
  what: string,
  known: readonly string[],
  place: (key: string) => ReturnType<PlaceOf>,
): Notice[] {
  return Object.keys(isRecord(data) ? data : {})
    .filter((key) => !known.includes(key))
    .map((key) => {
      const meant = nearestName(key, known);
      if (meant)
        throw new StoreError("store/unknown-key", `${key} is no key of a ${what}.`, {
          place: place(key),
          rule: `one of ${known.join(", ")}`,
          hint: `Did you mean ${meant}?`,
        });
      const { file, line } = place(key);
      return {
        code: "store/unknown-key",
        message: `${key} means nothing in a ${what} and is ignored.`,
        hint: `Known are ${known.join(", ")}.`,
        where: `${file}:${line}`,
      };
    });
}

function isRecord(data: unknown): data is Record<string, unknown> {
  return typeof data === "object" && data !== null && !Array.isArray(data);
}
