/** Records of a host as JSON, checked: what HTTP hosts send, and the last good copy of every store but `host.yaml`. docs/stores. */
import { z } from "zod";
import { credentials, hostCardFields } from "../../xmpp-core/control/contract.ts";
import { isKeysText } from "../credentials.ts";
import { withOnePassword } from "./chat-password.ts";
import { type Place, passwordSources, type Role, type Snapshot, StoreError, type StoreKind } from "./host-store.ts";
import type { HostRecords, UserRecord } from "./record-store.ts";
import { givenCard } from "./user-card.ts";

const text = z.string("text");
const named = text.min(1, "a name that is not empty");
/** Hosts write settings as they are: numbers and truth values are texts to us. */
const scalar = z.union([text, z.number(), z.boolean()], "text, a number, true or false").transform(String);
const absent = <T extends z.ZodType>(shape: T) => shape.nullish().transform((value) => value ?? undefined);

const keys = credentials.refine(
  (given) => (["sha1", "sha256", "sha512"] as const).every((hash) => !given[hash] || isKeysText(hash, given[hash])),
  "SCRAM keys, such as SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>",
);

const cardRecord = z.object(
  Object.fromEntries(hostCardFields.map((field) => [field, absent(scalar)])),
  "a card: phone, mobile, organisation, department, title, url, photo",
);

export const userRecord = z.object({
  id: absent(z.union([named, z.number()]).transform(String)),
  name: named,
  displayName: absent(text),
  email: absent(text),
  enabled: absent(z.boolean("true or false")),
  password: absent(text),
  credentials: absent(keys),
  passwordHash: absent(text),
  chatPassword: absent(text),
  chatCredentials: absent(keys),
  chatPasswordHash: absent(text),
  passwordFrom: absent(z.enum(passwordSources, `one of ${passwordSources.join(", ")}`)),
  aliases: absent(z.array(named, "a list of addresses")),
  card: absent(cardRecord),
});

export const roleRecord = z.object({
  name: named,
  types: absent(z.union([z.array(named), named.transform((one) => [one])], "a list of types")),
  members: absent(z.union([z.literal("all"), z.array(named)], "a list of users, or all")),
  teams: absent(z.array(z.union([named, z.number()]).transform(String), "a list of team ids")),
  parameters: absent(z.record(z.string(), scalar)),
});

export const teamRecord = z.object({
  id: z.union([named, z.number()], "an id").transform(String),
  name: named,
  extension: absent(scalar),
  kind: absent(z.enum(["queue", "callgroup"], "queue or callgroup")),
  members: absent(
    z.array(
      z.union([
        named.transform((user) => ({ user, dynamic: false })),
        z.object({ user: named, dynamic: z.boolean().default(false) }),
      ]),
      "a list of users",
    ),
  ),
});

const document = z.object({
  settings: absent(z.record(z.string(), scalar)),
  roles: absent(z.array(roleRecord, "a list of roles")),
  users: absent(z.array(userRecord, "a list of users")),
  teams: absent(z.array(teamRecord, "a list of teams")),
});

/** Where in its text a part of a document stands, for sources that have a text. */
export type PlaceOf = (path: readonly PropertyKey[]) => Place;

/** Checks a host's JSON, already parsed. Throws `store/bad-value` with the path of the value, never the value itself. */
export function recordsOf(data: unknown, source: string, placeOf?: PlaceOf): HostRecords {
  const parsed = document.safeParse(data);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const at = (issue?.path ?? []).map(String).join(".") || "the document";
    const rule = issue?.message ?? "settings, roles and users";
    throw new StoreError("store/bad-value", `${placeOf ? "" : `${source}: `}${at} must be ${rule}.`, {
      ...(placeOf ? { place: placeOf(issue?.path ?? []) } : {}),
      rule,
      hint: "Correct it in the host.",
    });
  }
  const { settings = {}, roles = [], users = [], teams = [] } = parsed.data;
  const records = {
    settings: new Map(Object.entries(settings)),
    roles: roles.map(roleOf),
    users: users.map(userOf),
    teams: teams.map(teamOf),
    warnings: [],
  };
  refuseTwice("users", "name", records.users, source, placeOf);
  refuseTwice("roles", "name", records.roles, source, placeOf);
  refuseTwice("teams", "id", records.teams, source, placeOf);
  return records;
}

/** One user record as a store has it: what is empty is not given. */
export function userOf(given: z.output<typeof userRecord>): UserRecord {
  const { enabled = true, credentials: keysGiven, card: cardGiven, ...rest } = withOnePassword(given);
  const card = givenCard(cardGiven);
  const present = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined && value !== ""));
  const set = Object.entries(keysGiven ?? {}).filter(([, value]) => value !== undefined);
  return {
    ...present,
    name: given.name,
    enabled,
    ...(set.length > 0 ? { credentials: Object.fromEntries(set) } : {}),
    ...(card === undefined ? {} : { card }),
  };
}

export function roleOf(given: z.output<typeof roleRecord>): Role {
  const { name, types = [], members = [], teams, parameters = {} } = given;
  return {
    name,
    types: [...new Set(types)],
    members,
    ...(teams && teams.length > 0 ? { teams } : {}),
    parameters: new Map(Object.entries(parameters)),
  };
}

export function teamOf({ id, name, extension, kind = "queue", members = [] }: z.output<typeof teamRecord>) {
  return { id, name, ...(extension ? { extension } : {}), kind, members };
}

function refuseTwice<Key extends string>(
  part: string,
  key: Key,
  items: readonly Readonly<Record<Key, string>>[],
  source: string,
  placeOf: PlaceOf | undefined,
): void {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const name = item[key];
    if (seen.has(name))
      throw new StoreError("store/twice", `${placeOf ? "" : `${source}: `}${name} stands twice among the ${part}.`, {
        ...(placeOf ? { place: placeOf([part, index, key]) } : {}),
        rule: `each ${key} stands once`,
        hint: "Remove or rename one of the two in the host.",
      });
    seen.add(name);
  }
}

/** The last good copy as text: keys and hashes, never a clear password. */
export function recordsText(kind: StoreKind, { settings, roles, users, teams = [], source }: Snapshot): string {
  const plainRoles = roles.map((role) => ({ ...role, parameters: Object.fromEntries(role.parameters) }));
  const plainUsers = users.map(({ deriving: _, ...user }) => user);
  const body = { settings: Object.fromEntries(settings), roles: plainRoles, users: plainUsers, teams };
  return `${JSON.stringify({ store: kind, source, ...body })}\n`;
}

/** Undefined: the copy is of another store, or no copy at all. */
export function keptRecords(kind: StoreKind, described: string, copy: string): HostRecords | undefined {
  try {
    const { store, source, ...data } = JSON.parse(copy) as { store?: unknown; source?: unknown };
    return store === kind && source === described ? recordsOf(data, "the last good copy") : undefined;
  } catch {
    return undefined;
  }
}
