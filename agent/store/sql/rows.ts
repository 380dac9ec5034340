/** Rows of a database as the host's records. A bad row is an error that names table, row and column, never the value. */
import type { z } from "zod";
import { hostCardFields } from "../../../xmpp-core/control/contract.ts";
import type { Notice } from "../../errors.ts";
import { type Role, StoreError, type Team } from "../host-store.ts";
import { nearestName } from "../nearest-name.ts";
import type { HostRecords, UserRecord } from "../record-store.ts";
import { roleOf, teamOf, teamRecord, userOf, userRecord } from "../records.ts";
import { readFlag, readList, readText } from "./cells.ts";
import type { Table } from "./connection.ts";
import { columnNames, columnsOf, foldColumn, type PartName, type PartSources, sourceOf } from "./parts.ts";

export type Tables = Readonly<Partial<Record<PartName, Table>>>;

/** Users by name as they were read last, each with its row: 10,000 rows are checked in 0.4 s, and compared in 10 ms. */
export interface UserMemo {
  columns: string;
  rows: Map<string, { readonly cells: readonly unknown[]; readonly user: UserRecord }>;
}

export const newMemo = (): UserMemo => ({ columns: "", rows: new Map() });

/**
 * The whole host from whole results. `place` is what messages begin with; rows that `memo` knows are not checked again.
 * Throws `store/bad-value`, `store/bad-columns`, `store/twice`.
 */
export function recordsOfTables(
  tables: Tables,
  sources: PartSources,
  place: string,
  memo: UserMemo = newMemo(),
): HostRecords {
  const warnings: Notice[] = [];
  const part = (name: PartName) => readPart(name, tables[name], sources, place);

  const settings = new Map<string, string>();
  for (const row of part("settings")) {
    const key = row.named("name");
    if (settings.has(key)) throw row.twice(key);
    settings.set(key, row.text("value") ?? "");
  }

  const columns = (tables.users?.columns ?? []).join();
  const known: UserMemo["rows"] = columns === memo.columns ? memo.rows : new Map();
  const read = readUsers(part("users"), known);
  memo.columns = columns;
  memo.rows = read;
  const users = Array.from(read.values(), ({ user }) => user);
  const roles = readRoles(part("roles"), part("roleParameters"), part("members"), warnings, place);
  const teams = readTeams(part("teams"), part("teamMembers"), warnings, place);
  return { settings, roles, users, teams, warnings };
}

function readUsers(rows: Iterable<Row>, known: UserMemo["rows"]): UserMemo["rows"] {
  const read: UserMemo["rows"] = new Map();
  for (const row of rows) {
    const name = row.named("name");
    if (read.has(name)) throw row.twice(name);
    const former = known.get(name);
    const same = former !== undefined && sameCells(former.cells, row.cells);
    read.set(name, same ? former : { cells: row.cells, user: userOfRow(row, name) });
  }
  return read;
}

function sameCells(former: readonly unknown[], now: readonly unknown[]): boolean {
  return former.length === now.length && former.every((cell, index) => sameCell(cell, now[index]));
}

function sameCell(former: unknown, now: unknown): boolean {
  if (former === now) return true;
  if (Array.isArray(former) && Array.isArray(now)) return sameCells(former, now);
  return former instanceof Uint8Array && now instanceof Uint8Array && Buffer.compare(former, now) === 0;
}

function userOfRow(row: Row, name: string): UserRecord {
  const keys = { sha1: row.text("scramSha1"), sha256: row.text("scramSha256"), sha512: row.text("scramSha512") };
  const given = {
    name,
    id: row.text("id") || undefined,
    displayName: row.text("displayName"),
    email: row.text("email"),
    enabled: row.has("enabled") ? row.flag("enabled") : undefined,
    password: row.text("password"),
    passwordHash: row.text("passwordHash"),
    passwordFrom: row.text("passwordFrom") || undefined,
    credentials: Object.fromEntries(Object.entries(keys).filter(([, text]) => text)),
    aliases: row.list("aliases", "several"),
    card: Object.fromEntries(hostCardFields.map((field) => [field, row.text(field)])),
  };
  const user = userOf(row.checked(userRecord, given));
  return user.aliases?.length === 0 ? withoutAliases(user) : user;
}

function withoutAliases({ aliases: _, ...user }: UserRecord): UserRecord {
  return user;
}

function readRoles(
  rows: Iterable<Row>,
  parameters: Iterable<Row>,
  members: Iterable<Row>,
  warnings: Notice[],
  place: string,
): Role[] {
  type Draft = {
    name: string;
    types: string[];
    members: string[] | "all";
    teams: string[];
    parameters: Map<string, string>;
  };
  const roles = new Map<string, Draft>();
  for (const row of rows) {
    const name = row.named("name");
    const role: Draft = roles.get(name) ?? { name, types: [], members: [], teams: [], parameters: new Map() };
    roles.set(name, role);
    role.types.push(...(row.list("type", "one") ?? []));
  }
  const strays = strayCount("role", warnings, place);
  for (const row of parameters) {
    const role = roles.get(row.named("role"));
    const name = row.named("name");
    if (role?.parameters.has(name)) throw row.twice(name);
    if (role) role.parameters.set(name, row.text("value") ?? "");
    else strays.saw(row.named("role"));
  }
  for (const row of members) {
    const role = roles.get(row.named("role"));
    const kind = row.text("kind") || "user";
    if (kind !== "user" && kind !== "team" && kind !== "all") throw row.bad("kind", "user, team or all");
    if (!role) strays.saw(row.named("role"));
    else if (kind === "all") role.members = "all";
    else if (kind === "team") role.teams.push(row.named("member"));
    else {
      const member = row.named("member");
      if (role.members !== "all") role.members.push(member);
    }
  }
  strays.tell();
  return [...roles.values()].map(({ parameters: all, ...role }) =>
    roleOf({
      ...role,
      members: role.members === "all" ? "all" : [...new Set(role.members)],
      teams: [...new Set(role.teams)],
      parameters: Object.fromEntries(all),
    }),
  );
}

function readTeams(rows: Iterable<Row>, members: Iterable<Row>, warnings: Notice[], place: string): Team[] {
  const of = new Map<string, { user: string; dynamic: boolean }[]>();
  const drafts = Array.from(rows, (row) => {
    const id = row.named("id");
    if (of.has(id)) throw row.twice(id);
    of.set(id, []);
    const given = {
      id,
      name: row.named("name"),
      extension: row.text("extension"),
      kind: row.text("kind") || undefined,
    };
    return row.checked(teamRecord, given);
  });
  const strays = strayCount("team", warnings, place);
  for (const row of members) {
    const team = of.get(row.named("team"));
    if (!team) strays.saw(row.named("team"));
    else team.push({ user: row.named("userName"), dynamic: row.has("dynamic") && row.flag("dynamic") });
  }
  strays.tell();
  const byUser = (a: { user: string }, b: { user: string }) => (a.user < b.user ? -1 : 1);
  return drafts.map((draft) => teamOf({ ...draft, members: (of.get(draft.id) ?? []).sort(byUser) }));
}

/** Rows that belong to what is not read, such as roles that a query leaves out: said, not dropped in silence. */
function strayCount(what: string, warnings: Notice[], place: string) {
  let count = 0;
  let first = "";
  return {
    saw(name: string) {
      if (count++ === 0) first = name;
    },
    tell() {
      if (count === 0) return;
      warnings.push({
        code: "store/stray-rows",
        message: `${place}: ${count} rows name a ${what} that is not read, the first ${first}; they are left out.`,
        hint: `Read that ${what} too, or leave its rows out of the query.`,
      });
    },
  };
}

/** One row, read by our names for its columns; the same object stands for the next row afterwards. */
interface Row {
  readonly cells: readonly unknown[];
  has(column: string): boolean;
  text(column: string): string | undefined;
  /** Text that must be there. */
  named(column: string): string;
  flag(column: string): boolean;
  list(column: string, plain: "one" | "several"): string[] | undefined;
  bad(column: string, rule: string): StoreError;
  twice(name: string): StoreError;
  checked<T extends z.ZodType>(schema: T, given: unknown): z.output<T>;
}

function* readPart(part: PartName, table: Table | undefined, sources: PartSources, place: string): Generator<Row> {
  const source = sources[part];
  if (!table || !source) return;
  const from = sourceOf(part, source);
  const at = columnPlaces(part, table.columns, `${place}: ${from}`);
  const [nameColumn] = columnsOf[part].required;
  let index = -1;
  let cells: readonly unknown[] = [];
  const cell = (column: string): unknown => {
    const found = at.get(column);
    return found === undefined ? undefined : cells[found];
  };
  const bad = (column: string, rule: string) => {
    const name = readText(cell(nameColumn));
    const label = typeof name === "string" && name !== "" ? `the row of ${name}` : `row ${index + 1}`;
    return new StoreError("store/bad-value", `${place}: in ${from}, ${label}, the column ${column} must be ${rule}.`, {
      rule,
      hint: "Correct it in the host.",
    });
  };
  const text = (column: string): string | undefined => {
    const value = readText(cell(column));
    if (value === null) throw bad(column, "text, a number, true or false");
    return value;
  };
  const row: Row = {
    get cells() {
      return cells;
    },
    has: (column) => at.has(column),
    text,
    named(column) {
      const value = text(column);
      if (value === undefined || value === "") throw bad(column, "text that is not empty");
      return value;
    },
    flag(column) {
      const value = readFlag(cell(column));
      if (value === undefined) throw bad(column, "true or false (t, f, yes, no, 1, 0), not NULL");
      return value;
    },
    list(column, plain) {
      const value = readList(cell(column), plain);
      if (value === null)
        throw bad(column, `an array, a JSON list, or ${plain === "one" ? "text" : "texts between spaces or commas"}`);
      return value;
    },
    bad,
    twice: (name) =>
      new StoreError("store/twice", `${place}: ${name} stands twice in ${from}.`, {
        rule: "each name stands once",
        hint: "Remove or rename one of the two in the host.",
      }),
    checked(schema, given) {
      const parsed = schema.safeParse(given);
      if (parsed.success) return parsed.data;
      const [issue] = parsed.error.issues;
      throw bad(String(issue?.path.at(0) ?? nameColumn), issue?.message ?? "as documented");
    },
  };
  for (cells of table.rows) {
    index++;
    yield row;
  }
}

/** Where each of our columns stands in the result. Refuses what is missing, unknown or there twice: a slip must not empty a column. */
function columnPlaces(part: PartName, given: readonly string[], from: string): Map<string, number> {
  const known = columnNames(part);
  const folded = new Map(known.map((name) => [foldColumn(name), name]));
  const at = new Map<string, number>();
  for (const [index, name] of given.entries()) {
    const meant = folded.get(foldColumn(name));
    if (meant === undefined || at.has(meant)) {
      const nearest = nearestName(name, known);
      throw new StoreError(
        "store/bad-columns",
        `${from} has a column ${name} ${meant ? "twice" : "that means nothing"}.`,
        {
          hint: !meant && nearest ? `Did you mean ${nearest}?` : `Known: ${known.join(", ")}.`,
        },
      );
    }
    at.set(meant, index);
  }
  const missing = columnsOf[part].required.find((name) => !at.has(name));
  if (missing !== undefined)
    throw new StoreError("store/bad-columns", `${from} has no column ${missing}.`, {
      hint: `Give it: SELECT … AS ${missing}. Columns: ${known.join(", ")}.`,
    });
  return at;
}
