/** The parts of a host in a database: what their rows may say, and the statement that reads each. docs/stores/postgres.md. */

/** Columns by part; a row without a required one is an error. */
export const columnsOf = {
  settings: { required: ["name", "value"], optional: [] },
  /** One row a role and type, or one a role with a list of types. */
  roles: { required: ["name"], optional: ["type"] },
  roleParameters: { required: ["role", "name", "value"], optional: [] },
  /** `kind`: `user` (also if absent), `team`, or `all`, which needs no member. */
  members: { required: ["role", "member"], optional: ["kind"] },
  users: {
    required: ["name"],
    optional: [
      "id",
      "displayName",
      "email",
      "enabled",
      "password",
      "passwordHash",
      "passwordFrom",
      "scramSha1",
      "scramSha256",
      "scramSha512",
      "aliases",
      "phone",
      "mobile",
      "organisation",
      "department",
      "title",
      "url",
      "photo",
    ],
  },
  teams: { required: ["id", "name"], optional: ["extension", "kind"] },
  teamMembers: { required: ["team", "userName"], optional: ["dynamic"] },
} as const satisfies Record<string, { required: readonly string[]; optional: readonly string[] }>;

export type PartName = keyof typeof columnsOf;
export const partNames = Object.keys(columnsOf) as PartName[];

export function columnNames(part: PartName): readonly string[] {
  return [...columnsOf[part].required, ...columnsOf[part].optional];
}

/** Where a part stands: a table whose columns are named, or any SELECT whose result columns have our names. */
export type PartSource =
  | { readonly table: readonly string[]; readonly columns: Readonly<Record<string, string>> }
  | { readonly query: string };

export type PartSources = Readonly<Partial<Record<PartName, PartSource>>>;

/** What the ready scripts make: docs/stores/postgres.sql and mysql.sql. */
export const ownScheme: PartSources = {
  settings: { query: "SELECT name, value FROM xmpp_setting" },
  roles: { query: "SELECT r.name, t.type FROM xmpp_role r LEFT JOIN xmpp_role_type t ON t.role = r.name" },
  roleParameters: { query: "SELECT role, name, value FROM xmpp_role_parameter" },
  members: { query: "SELECT role, kind, COALESCE(user_name, team_id) AS member FROM xmpp_role_member" },
  users: {
    query:
      "SELECT name, id, display_name, email, enabled, password, password_hash, password_from, scram_sha1, scram_sha256, scram_sha512, aliases FROM xmpp_user",
  },
  teams: { query: "SELECT id, name, extension, kind FROM xmpp_team" },
  teamMembers: { query: "SELECT team_id AS team, user_name, dynamic FROM xmpp_team_member" },
};

/** Grows with every change that is visible: each session counts in one of 64 rows, so that writers seldom wait for each other. */
export const ownChangeQuery = "SELECT COALESCE(SUM(revision), 0) AS revision FROM xmpp_change";
export const ownChannel = "xmpp_change";

/** The statement that reads a part; identifiers are quoted, never trusted. */
export function statementOf(part: PartName, source: PartSource, quote: (identifier: string) => string): string {
  if ("query" in source) return source.query;
  const { required } = columnsOf[part];
  const standing = new Map(required.map((name): [string, string] => [name, name]));
  for (const [name, column] of Object.entries(source.columns)) standing.set(name, column);
  const selected = [...standing].map(([name, column]) => `${quote(column)} AS ${quote(name)}`);
  return `SELECT ${selected.join(", ")} FROM ${source.table.map(quote).join(".")}`;
}

/** For people: `table pbx.users`, `the query of users`. */
export function sourceOf(part: PartName, source: PartSource): string {
  return "table" in source ? `table ${source.table.join(".")}` : `the query of ${part}`;
}

/** `display_name`, `displayname` and `displayName` are one column: databases fold names as they please. */
export function foldColumn(name: string): string {
  return name.toLowerCase().replaceAll("_", "");
}
