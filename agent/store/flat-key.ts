/** What a key of the flat form means: `roles.Sales.members`, `users.alice.password`, else a setting. docs/stores/files.md. */
import { nearestName } from "./nearest-name.ts";

const fields = {
  roles: ["types", "members", "teams"],
  users: [
    "id",
    "displayName",
    "email",
    "enabled",
    "password",
    "passwordHash",
    "passwordFrom",
    "aliases",
    "card.phone",
    "card.mobile",
    "card.organisation",
    "card.department",
    "card.title",
    "card.url",
    "card.photo",
    "credentials.sha1",
    "credentials.sha256",
    "credentials.sha512",
    "chatPassword",
    "chatPasswordHash",
    "chatCredentials.sha1",
    "chatCredentials.sha256",
    "chatCredentials.sha512",
  ],
  teams: ["name", "kind", "extension", "members", "dynamicMembers"],
} as const;

export type Part = keyof typeof fields;
export const parts = Object.keys(fields) as Part[];

export type FlatKey =
  | { readonly of: "settings" }
  /** `parameter` with the field `parameters` alone. */
  | { readonly of: Part; readonly name: string; readonly field: string; readonly parameter?: string }
  | { readonly of: "nobody"; readonly part: Part }
  | { readonly of: "two-things"; readonly role: string; readonly parameter: string; readonly other: string }
  /** `meant` is the whole key that a person probably wanted. */
  | { readonly of: "nothing"; readonly part: Part; readonly meant: string | undefined };

/**
 * Names may contain dots, so the last known field decides: `users.a.martin.password` is the password of `a.martin`.
 * A role's parameter whose key ends like a field could be either; that is refused instead of guessed.
 */
export function flatKey(key: string): FlatKey {
  const [first = "", ...rest] = key.split(".");
  if (!isPart(first) || rest.length === 0) return { of: "settings" };
  const known: readonly string[] = fields[first];
  for (const width of [2, 1]) {
    if (!known.includes(rest.slice(-width).join("."))) continue;
    const name = rest.slice(0, -width).join(".");
    const field = rest.slice(-width).join(".");
    if (name === "") {
      if (width === 1) return { of: "nobody", part: first };
      continue;
    }
    return (first === "roles" ? asParameter(rest) : undefined) ?? { of: first, name, field };
  }
  if (first === "roles") {
    const at = rest.lastIndexOf("parameters");
    const parameter = rest.slice(at + 1).join(".");
    if (at === 0 && parameter !== "") return { of: "nobody", part: first };
    if (at > 0 && parameter !== "") {
      const name = rest.slice(0, at).join(".");
      return asParameter(rest.slice(0, at)) ?? { of: first, name, field: "parameters", parameter };
    }
  }
  return { of: "nothing", part: first, meant: meantKey(first, rest) };
}

/** The fields of a part, for people. */
export function fieldsOf(part: Part): readonly string[] {
  return part === "roles" ? [...fields.roles, "parameters.KEY"] : fields[part];
}

/** The key as it would read with `roles`, `users` or `teams` spelt right; undefined if it is no slip of these. */
export function slipOfPart(key: string): string | undefined {
  const dot = key.indexOf(".");
  if (dot < 1) return undefined;
  const first = key.slice(0, dot);
  const meant = isPart(first) ? undefined : nearestName(first, parts);
  return meant && `${meant}${key.slice(dot)}`;
}

function isPart(text: string): text is Part {
  return Object.hasOwn(fields, text);
}

/** `Sales.parameters.types` is the parameter `types` of Sales, or the types of a role `Sales.parameters`. */
function asParameter(segments: readonly string[]): FlatKey | undefined {
  const at = segments.indexOf("parameters", 1);
  if (at < 0) return undefined;
  const name = (until: number) => segments.slice(0, until).join(".");
  return {
    of: "two-things",
    role: name(at),
    parameter: segments.slice(at + 1).join(".") || "…",
    other: name(segments.length - 1),
  };
}

function meantKey(part: Part, segments: readonly string[]): string | undefined {
  const known: readonly string[] = fields[part];
  const before = (width: number) => [part, ...segments.slice(0, -width)].join(".");
  const last = segments.at(-1) ?? "";
  if (segments.length > 2) {
    const two = nearestName(
      segments.slice(-2).join("."),
      known.filter((field) => field.includes(".")),
    );
    if (two) return `${before(2)}.${two}`;
  }
  if (segments.length > 1) {
    const one = nearestName(
      last,
      known.filter((field) => !field.includes(".")),
    );
    if (one) return `${before(1)}.${one}`;
    // A phone of a user may be the host's own matter.
    const inner = known.find((field) => field.endsWith(`.${last}`) && !field.startsWith("card."));
    if (inner) return `${before(1)}.${inner}`;
  }
  if (part !== "roles") return undefined;
  const at = segments.findIndex(
    (segment, index) => index > 0 && index < segments.length - 1 && nearestName(segment, ["parameters"]) !== undefined,
  );
  return at < 0 ? undefined : [part, ...segments.with(at, "parameters")].join(".");
}
