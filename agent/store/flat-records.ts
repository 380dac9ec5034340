/** Keys and values of `.properties`, dotenv and directories as records of a host. docs/stores/files.md. */
import type { Notice } from "../errors.ts";
import { fieldsOf, flatKey, type Part, parts, slipOfPart } from "./flat-key.ts";
import { type Place, type Role, StoreError, type Team } from "./host-store.ts";
import type { HostRecords, UserRecord } from "./record-store.ts";
import { teamRecord, userOf, userRecord } from "./records.ts";

export interface FlatEntry {
  readonly key: string;
  readonly value: string;
  readonly place: Place;
}

/** Fields of one role, user or team; a role's parameters apart, since they may be called anything. */
interface Item {
  readonly name: string;
  readonly place: Place;
  readonly fields: Map<string, FlatEntry>;
  readonly parameters: Map<string, string>;
}

/** All of it, or a `StoreError` with the place; never quotes a value, which may be a password. */
export function flatRecords(entries: readonly FlatEntry[]): HostRecords {
  refuseTwice(entries);
  const settings = new Map<string, string>();
  const items: Record<Part, Map<string, Item>> = { roles: new Map(), users: new Map(), teams: new Map() };
  const warnings: Notice[] = [];
  const foreign: FlatEntry[] = [];
  for (const entry of entries) {
    const { key, value, place } = entry;
    const is = flatKey(key);
    switch (is.of) {
      case "settings":
        settings.set(key, value);
        if (!key.startsWith("sys.")) foreign.push(entry);
        break;
      case "nobody":
        throw new StoreError("store/bad-value", `${key} names nobody.`, {
          place,
          rule: `${is.part}.NAME.FIELD`,
          hint: `Write ${is.part}.NAME${key.slice(is.part.length).replace(/\.+/, ".")}.`,
        });
      case "two-things":
        throw new StoreError("store/bad-value", `${key} can be read in two ways.`, {
          place,
          rule: "a parameter's key does not end like a field of a role, and no role's name contains .parameters",
          hint: `It may be a parameter of the role ${is.role} or a field of a role ${is.other}. Rename one, or use a .json or .yaml file.`,
        });
      case "nothing":
        refuseSlip(entry, is.part, is.meant);
        warnings.push(meaningless(entry, is.part));
        break;
      default: {
        const standing = items[is.of].get(is.name);
        const item = standing ?? { name: is.name, place, fields: new Map(), parameters: new Map() };
        if (!standing) items[is.of].set(is.name, item);
        if (is.parameter === undefined) item.fields.set(is.field, entry);
        else item.parameters.set(is.parameter, value);
      }
    }
  }
  for (const entry of foreign) warnings.push(...slipsOfParts(entry, items));
  return {
    settings,
    roles: [...items.roles.values()].map(roleOfItem),
    users: [...items.users.values()].map(userOfItem),
    teams: [...items.teams.values()].map(teamOfItem),
    warnings,
  };
}

function refuseTwice(entries: readonly FlatEntry[]): void {
  const first = new Map<string, Place>();
  for (const { key, place } of entries) {
    const before = first.get(key);
    if (before !== undefined)
      throw new StoreError("store/twice", `${key} stands twice, first ${whereFirst(before, place)}.`, {
        place,
        rule: "each key stands once",
        hint: "Remove one of the two.",
      });
    first.set(key, place);
  }
}

function whereFirst(before: Place, place: Place): string {
  return before.file === place.file ? `in line ${before.line}` : `in ${before.file}`;
}

/** `roles.Sales.member` for `members` would empty a role: a slip stops the read, a foreign key does not. */
function refuseSlip({ key, place }: FlatEntry, part: Part, meant: string | undefined): void {
  if (meant === undefined) return;
  throw new StoreError("store/unknown-key", `${key} means nothing.`, {
    place,
    rule: `${part}.NAME. and one of ${fieldsOf(part).join(", ")}`,
    hint: `Did you mean ${meant}?`,
  });
}

function meaningless({ key, place }: FlatEntry, part: Part): Notice {
  return {
    code: "store/unknown-key",
    message: `${key} means nothing and is ignored.`,
    hint: `Known after ${part}.NAME. are ${fieldsOf(part).join(", ")}.`,
    where: `${place.file}:${place.line}`,
  };
}

/** `role.Sales.members` beside `roles.Sales.types` is a slip; where nobody has that name it is a setting of the host's own. */
function slipsOfParts({ key, place }: FlatEntry, items: Record<Part, Map<string, Item>>): Notice[] {
  const meant = slipOfPart(key);
  const is = meant === undefined ? undefined : flatKey(meant);
  const part = parts.find((one) => one === is?.of);
  if (meant === undefined || part === undefined || !is || !("name" in is)) return [];
  if (items[part].has(is.name))
    throw new StoreError("store/unknown-key", `${key} means nothing.`, {
      place,
      rule: `${part}.NAME. and one of ${fieldsOf(part).join(", ")}`,
      hint: `Did you mean ${meant}?`,
    });
  return [
    {
      code: "store/unknown-key",
      message: `${key} is taken for a setting of the host.`,
      hint: `Did you mean ${meant}?`,
      where: `${place.file}:${place.line}`,
    },
  ];
}

function roleOfItem({ name, fields, parameters }: Item): Role {
  const members = namesIn(fields.get("members"));
  const all = members.includes("all");
  if (all && members.length > 1)
    throw badValue(fields.get("members"), "all alone, or names separated by commas without all");
  const teams = namesIn(fields.get("teams"));
  return {
    name,
    types: [...new Set(namesIn(fields.get("types")))],
    members: all ? "all" : members,
    ...(teams.length > 0 ? { teams } : {}),
    parameters,
  };
}

function userOfItem({ name, fields }: Item): UserRecord {
  const given: Record<string, unknown> = { name };
  for (const [field, entry] of fields) {
    const text = textIn(field, entry);
    if (text === "") continue;
    const [outer = "", inner] = field.split(".");
    if (inner !== undefined) given[outer] = Object.assign(given[outer] ?? {}, { [inner]: text });
    else if (field === "aliases") given[field] = namesIn(entry);
    else given[field] = field === "enabled" ? truth(entry) : text;
  }
  const parsed = userRecord.safeParse(given);
  if (parsed.success) return userOf(parsed.data);
  const [issue] = parsed.error.issues;
  const path = (issue?.path ?? []).map(String).join(".");
  const entry = [...fields].find(([field]) => field === path || field.startsWith(`${path}.`))?.[1];
  throw badValue(entry, issue?.message ?? "readable");
}

function teamOfItem({ name: id, place, fields }: Item): Team {
  const [name = "", kind = "", extension = ""] = ["name", "kind", "extension"].map((field) =>
    textIn(field, fields.get(field)),
  );
  if (name === "")
    throw new StoreError("store/bad-value", `the team ${id} has no name.`, {
      place,
      rule: "a team has a name",
      hint: `Add teams.${id}.name.`,
    });
  const kinds = teamRecord.shape.kind.safeParse(kind || undefined);
  if (!kinds.success) throw badValue(fields.get("kind"), "queue or callgroup");
  const members = namesIn(fields.get("members")).map((user) => ({ user, dynamic: false }));
  const dynamic = namesIn(fields.get("dynamicMembers")).map((user) => ({ user, dynamic: true }));
  const both = members.find(({ user }) => dynamic.some((other) => other.user === user));
  if (both) throw badValue(fields.get("dynamicMembers"), "names that are not in members too");
  return {
    id,
    name,
    ...(extension === "" ? {} : { extension }),
    kind: kinds.data ?? "queue",
    members: [...members, ...dynamic],
  };
}

/** A password is taken as it stands; the blanks around anything else mean nothing. */
function textIn(field: string, entry: FlatEntry | undefined): string {
  const text = entry?.value ?? "";
  return field === "password" || field === "chatPassword" ? text : text.trim();
}

/** Names separated by commas; in files of one key each also by line ends. */
function namesIn(entry: FlatEntry | undefined): string[] {
  const text = entry?.value.trim() ?? "";
  if (text === "") return [];
  const names = text.split(/\s*(?:,|\r?\n)\s*/);
  if (names.includes("")) throw badValue(entry, "names separated by single commas");
  return [...new Set(names)];
}

function truth(entry: FlatEntry | undefined): boolean {
  const text = entry?.value.trim();
  if (text !== "true" && text !== "false") throw badValue(entry, "true or false");
  return text === "true";
}

function badValue(entry: FlatEntry | undefined, rule: string): StoreError {
  return new StoreError("store/bad-value", `${entry?.key ?? "a value"} must be ${rule}.`, {
    ...(entry ? { place: entry.place } : {}),
    rule,
  });
}
