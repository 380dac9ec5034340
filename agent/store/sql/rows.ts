/** Rows of a database as the host's records. A bad row is an error that names table, row and column, never the value. */
import type { z } from "zod";
import type { Notice } from "../../errors.ts";
import { type Role, StoreError, type Team } from "../host-store.ts";
import { nearestName } from "../nearest-name.ts";
import type { HostRecords, UserRecord } from "../record-store.ts";
import { roleOf, teamOf, teamRecord, userOf, userRecord } from "../records.ts";
import { readFlag, readList, readText } from "./cells.ts";
import type { Table } from "./connection.ts";
import { columnNames, columnsOf, foldColumn, type PartName, type PartSources, sourceOf } from "./parts.ts";

export type Tables = Readonly<Partial<Record<PartName, Table>>>;

/** The whole host from whole results. `place` is what messages begin with. Throws `store/bad-value`, `store/bad-columns`, `store/twice`. */
export function recordsOfTables(tables: Tables, sources: PartSources, place: string): HostRecords {
  const warnings: Notice[] = [];
  const part = (name: PartName) => readPart(name, tables[name], sources, place);

  const settings = new Map<string, string>();
  for (const row of part("settings")) {
    const key = row.named("name");
    if (settings.has(key)) throw row.twice(key);
    settings.set(key, row.text("value") ?? "");
  }

  const users: UserRecord[] = [];
  const seen = new Set<string>();
  for (const row of part("users")) {
    const name = row.named("name");
    if (seen.has(name)) throw row.twice(name);
    seen.add(name);
    users.push(userOfRow(row, name));
  }

  const roles = readRoles(part("roles"), part("roleParameters"), part("members"), warnings, place);
  const teams = readTeams(part("teams"), part("teamMembers"), warnings, place);
  return { settings, roles, users, teams, warnings };
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
  };
  const user = userOf(row.checked(userRecord, given));
  return user.aliases?.length === 0 ? withoutAliases(user) : user;
}

function withoutAliases({ aliases: _, ...user }: UserRecord): UserRecord {
  return user;
}

function readRoles(rows: Row[], parameters: Row[], members: Row[], warnings: Notice[], place: string): Role[] {
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

function readTeams(rows: Row[], members: Row[], warnings: Notice[], place: string): Team[] {
  const of = new Map<string, { user: string; dynamic: boolean }[]>();
  const drafts = rows.map((row) => {
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

/** One row, read by our names for its columns. */
interface Row {
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

function readPart(part: PartName, table: Table | undefined, sources: PartSources, place: string): Row[] {
  const source = sources[part];
  if (!table || !source) return [];
  const from = sourceOf(part, source);
  const at = columnPlaces(part, table.columns, `${place}: ${from}`);
  const [nameColumn] = columnsOf[part].required;
  return table.rows.map((cells, index): Row => {
    const cell = (column: string): unknown => {
      const found = at.get(column);
      return found === undefined ? undefined : cells[found];
    };
    const label = () => {
      const name = readText(cell(nameColumn));
      return typeof name === "string" && name !== "" ? `the row of ${name}` : `row ${index + 1}`;
    };
    const bad = (column: string, rule: string) =>
      new StoreError("store/bad-value", `${place}: in ${from}, ${label()}, the column ${column} must be ${rule}.`, {
        rule,
        hint: "Correct it in the host.",
      });
    const text = (column: string): string | undefined => {
      const value = readText(cell(column));
      if (value === null) throw bad(column, "text, a number, true or false");
      return value;
    };
    return {
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
  });
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
