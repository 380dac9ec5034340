/**
 * The text of `host.yaml` to what it says, pure. Every scalar is text as it stands (`0777`, `yes`, `1e3`), since settings are
 * text; errors name line, column and rule, and never quote a value, which may be a password. docs/settings.md.
 */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from "yaml";
import { type ZodError, z } from "zod";
import { hostCardFields } from "../../xmpp-core/control/contract.ts";
import { isKeysText } from "../credentials.ts";
import type { Notice } from "../errors.ts";
import { withOnePassword } from "./chat-password.ts";
import { keyTwice, yamlRule } from "./host-file-rules.ts";
import { type Place, passwordSources, type Role, StoreError, type Team, type User } from "./host-store.ts";
import { nearestName } from "./nearest-name.ts";
import { cardShape, givenCard } from "./user-card.ts";

/** 10,000 users with keys are 5 MB. */
export const mostBytes = 32 * 1024 * 1024;
/** Aliases a person writes by hand; a file that multiplies itself by aliases stops here. */
const mostAliases = 100;

export interface HostFileUser extends Omit<User, "deriving"> {
  /** In clear, written by hand. */
  readonly password?: string;
  /** Beside one for chat there is another in clear, which is not for us. */
  readonly otherPassword?: true;
  readonly line: number;
}

/** What a host file says. */
export interface HostFile {
  readonly settings: ReadonlyMap<string, string>;
  readonly roles: readonly Role[];
  readonly users: readonly HostFileUser[];
  readonly teams: readonly Team[];
  readonly warnings: readonly Notice[];
}

const text = z.string("text");
const named = text.min(1, "a name that is not empty");
const keys = (hash: "sha1" | "sha256" | "sha512") =>
  text.refine((value) => isKeysText(hash, value), "SCRAM keys as firekeeper wrote them").optional();
const truth = z.enum(["true", "false"], { error: "true or false" }).transform((value) => value === "true");

const scramKeys = z.object({ sha1: keys("sha1"), sha256: keys("sha256"), sha512: keys("sha512") });

const shapes = {
  credentials: scramKeys,
  root: z.object({
    settings: z.map(text, text, "keys with one text each").optional(),
    roles: z.array(z.unknown(), "a list of roles").optional(),
    users: z.array(z.unknown(), "a list of users").optional(),
    teams: z.array(z.unknown(), "a list of teams").optional(),
  }),
  role: z.object({
    name: named,
    types: z
      .union([z.array(named), text.transform((one) => [one])], "a list of types, such as [xmpp.group]")
      .optional(),
    members: z.union([z.literal("all"), z.array(named)], "a list of users, such as [alice, bob], or all").optional(),
    teams: z.array(named, "a list of team ids, such as [1, 2]").optional(),
    parameters: z.map(text, text, "keys with one text each").optional(),
  }),
  team: z.object({
    id: named,
    name: named,
    extension: text.optional(),
    kind: z.enum(["queue", "callgroup"], "queue or callgroup").optional(),
    members: z
      .array(
        z.union([
          named.transform((user) => ({ user, dynamic: false })),
          z.object({ user: named, dynamic: truth.default(false) }),
        ]),
        "a list of users, such as [alice, bob]",
      )
      .optional(),
  }),
  user: z.object({
    id: named.optional(),
    name: named,
    displayName: text.optional(),
    email: text.optional(),
    enabled: truth.optional(),
    password: text.optional(),
    passwordHash: text.optional(),
    chatPassword: text.optional(),
    chatPasswordHash: text.optional(),
    passwordFrom: z.enum(passwordSources, `one of ${passwordSources.join(", ")}`).optional(),
    aliases: z.array(named, "a list of addresses, such as [a.martin]").optional(),
    card: cardShape.optional(),
    credentials: scramKeys.optional(),
    chatCredentials: scramKeys.optional(),
  }),
};

/** Whether the last line is the end marker, without which the file may be cut anywhere. */
export function hasEndMarker(content: string): boolean {
  return /(^|\n)\.\.\.\s*$/.test(content);
}

/** The document of a host file, for edits that keep comments. `lines` counts where each node stands. Throws `StoreError`. */
export function hostDocument(content: string, file: string): { document: Document; lines: LineCounter } {
  const lines = new LineCounter();
  // The library compares each key with all before it; 5,000 settings would cost seconds.
  const options = { schema: "failsafe", lineCounter: lines, prettyErrors: false, uniqueKeys: false } as const;
  const document = parseDocument(content, options);
  const [error] = document.errors;
  const wrong = error ? { code: error.code, at: error.pos[0] } : keyTwice(document);
  if (wrong) {
    const { line, col } = lines.linePos(openedAt(document, wrong.at) ?? wrong.at);
    const { rule, hint } = yamlRule(wrong.code);
    throw new StoreError("store/not-yaml", `this cannot be read: ${rule}.`, {
      place: { file, line, column: col },
      rule,
      hint,
    });
  }
  return { document, lines };
}

/** An edited document as text, with the line ends of the text it was read from. */
export function documentText(document: Document, before: string): string {
  // What an edit made, not what was read: unquoted, these mean "not given".
  visit(document, {
    Scalar: (_key, node) => {
      if (node.type === undefined && ["", "~", "null"].includes(String(node.value))) node.type = "QUOTE_DOUBLE";
    },
  });
  // The library writes closing comments behind the end marker, which then is not the last line any more.
  const closing = document.comment;
  document.comment = null;
  const body = document.toString({ lineWidth: 0 });
  const comment = closing ? closing.replace(/^/gm, "#").concat("\n") : "";
  const text = body.endsWith("\n...\n") ? `${body.slice(0, -4)}${comment}...\n` : body + comment;
  return before.includes("\r\n") ? text.replaceAll("\n", "\r\n") : text;
}

/** Where the innermost quote or bracket begins that swallowed the text up to here: that is the line to mend. */
function openedAt(document: Document, offset: number): number | undefined {
  let start: number | undefined;
  const consider = (_key: unknown, node: Node) => {
    const [from, , to] = node.range ?? [0, 0, -1];
    if (from <= offset && offset <= to) start = from;
  };
  visit(document, {
    Scalar: (key, node) => (String(node.type).startsWith("QUOTE") ? consider(key, node) : undefined),
    Collection: (key, node) => (node.flow ? consider(key, node) : undefined),
  });
  return start;
}

/**
 * Reads a host file as one YAML document. Throws `StoreError` with line, column and rule: all of it, or nothing.
 * The document is for an edit: parsing 10,000 users twice would take seconds more.
 */
export function readHostFile(content: string, file: string): { host: HostFile; document: Document } {
  const reading = read(content, file);
  const root = reading.check(shapes.root, "root", [], reading.plain);
  const roles = (root.roles ?? []).map((item, index) =>
    roleOf(reading.check(shapes.role, "role", ["roles", index], item)),
  );
  const users = (root.users ?? []).map((item, index) => {
    const user = reading.check(shapes.user, "user", ["users", index], item);
    for (const keys of ["credentials", "chatCredentials"] as const)
      if (user[keys]) reading.checkKeys(keys, ["users", index, keys], item);
    if (user.card) reading.checkKeys("card", ["users", index, "card"], item, hostCardFields);
    return { ...defined(user), line: reading.place(["users", index]).line };
  });
  const teams = (root.teams ?? []).map((item, index) =>
    teamOf(reading.check(shapes.team, "team", ["teams", index], item)),
  );
  for (const [part, items] of Object.entries({ roles, users })) reading.refuseTwice(part, items);
  reading.refuseTwice(
    "teams",
    teams.map(({ id }) => ({ name: id })),
  );
  const host = { settings: root.settings ?? new Map(), roles, users, teams, warnings: reading.warnings };
  return { host, document: reading.document };
}

/** A role as it was read without a document; undefined if only a document can tell what is wrong or unknown. */
export function plainRole(data: unknown): Role | undefined {
  const role = knows(shapes.role, data) ? shapes.role.safeParse(data).data : undefined;
  return role && roleOf(role);
}

/** As `plainRole`, for a user; the line is where the item begins. */
export function plainUser(data: unknown, line: number): HostFileUser | undefined {
  const user = knows(shapes.user, data) ? shapes.user.safeParse(data).data : undefined;
  const given = data as Record<string, unknown>;
  const strange = (["credentials", "chatCredentials"] as const).some(
    (keys) => user?.[keys] && !knows(shapes.credentials, given[keys]),
  );
  if (!user || strange || (user.card && !knows(cardShape, given.card))) return undefined;
  return { ...defined(user), line };
}

/** As `plainRole`, for a team. */
export function plainTeam(data: unknown): Team | undefined {
  const team = knows(shapes.team, data) ? shapes.team.safeParse(data).data : undefined;
  return team && teamOf(team);
}

function teamOf({ id, name, extension, kind = "queue", members = [] }: z.output<typeof shapes.team>): Team {
  return { id, name, ...(extension ? { extension } : {}), kind, members };
}

function knows(shape: z.ZodObject, data: unknown): boolean {
  return isRecord(data) && Object.keys(data).every((key) => Object.hasOwn(shape.shape, key));
}

function roleOf(role: z.output<typeof shapes.role>): Role {
  const { name, types = [], members = [], teams = [], parameters = new Map<string, string>() } = role;
  return { name, types: [...new Set(types)], members, ...(teams.length > 0 ? { teams } : {}), parameters };
}

type Path = readonly (string | number)[];

function read(content: string, file: string) {
  const { document, lines } = hostDocument(content, file);
  const warnings: Notice[] = [];
  let aliases = 0;

  const place = (path: Path): Place => {
    const node = nodeAt(document, path);
    const { line, col } = lines.linePos(node?.range?.[0] ?? 0);
    return { file, line, column: col };
  };
  const fail = (code: string, message: string, path: Path, rule: string, hint?: string) =>
    new StoreError(code, message, { place: place(path), rule, ...(hint ? { hint } : {}) });

  /** Nodes to data: text, lists, objects, and Maps where any key may stand. YAML's null is undefined: not given. */
  const plainOf = (node: unknown, path: Path): unknown => {
    if (isAlias(node)) {
      if (++aliases > mostAliases)
        throw fail("store/too-many-aliases", "too many aliases.", path, `at most ${mostAliases} aliases`);
      const meant = node.resolve(document);
      // "Not given" would empty a role whose members it stands for.
      if (meant === undefined) {
        const { rule, hint } = yamlRule("BAD_ALIAS");
        throw fail("store/not-yaml", `this cannot be read: ${rule}.`, path, rule, hint);
      }
      return plainOf(meant, path);
    }
    if (isSeq(node)) return node.items.map((item, index) => plainOf(item, [...path, index]));
    if (isMap(node)) return mapOf(node.items, path);
    if (!isScalar(node)) return undefined;
    const empty = node.type === "PLAIN" && ["", "~", "null"].includes(String(node.value));
    return empty ? undefined : String(node.value);
  };
  const mapOf = (pairs: readonly { key: unknown; value: unknown }[], path: Path): unknown => {
    const data = new Map<string, unknown>();
    for (const { key, value } of pairs) {
      const name = isScalar(key) ? String(key.value) : undefined;
      if (name === undefined) throw fail("store/bad-value", "a key must be text.", path, "a key must be text");
      const plain = plainOf(value, [...path, name]);
      if (plain !== undefined) data.set(name, plain);
    }
    const anyKey = (path.length === 1 && path[0] === "settings") || (path.length === 3 && path[2] === "parameters");
    return anyKey ? data : Object.assign(Object.create(null), Object.fromEntries(data));
  };

  const root = document.contents;
  if (root === null || (isScalar(root) && plainOf(root, []) === undefined))
    throw new StoreError("store/empty", `${file} is empty.`, {
      rule: "settings, roles and users",
      hint: "Put it back from a backup or from host.last-good.yaml.",
    });
  if (!isMap(root))
    throw fail("store/bad-value", "the file must have settings:, roles: and users:.", [], "settings, roles and users");

  const checkKeys = (what: string, known: readonly string[], path: Path, data: unknown) => {
    for (const key of Object.keys(isRecord(data) ? data : {})) {
      if (known.includes(key)) continue;
      const meant = nearestName(key, known);
      // `member:` for `members:` would empty a role: a slip stops the read, a foreign key does not.
      if (meant)
        throw fail(
          "store/unknown-key",
          `${key} is no key of a ${what}.`,
          [...path, key],
          `one of ${known.join(", ")}`,
          `Did you mean ${meant}?`,
        );
      warnings.push({
        code: "store/unknown-key",
        message: `${key} means nothing in a ${what} and is ignored.`,
        hint: `Known are ${known.join(", ")}.`,
        where: `${file}:${place([...path, key]).line}`,
      });
    }
  };

  return {
    document,
    plain: plainOf(root, []),
    warnings,
    place,
    check<T extends z.ZodObject>(shape: T, what: string, path: Path, data: unknown): z.output<T> {
      checkKeys(what === "root" ? "host file" : what, Object.keys(shape.shape), path, data);
      const parsed = shape.safeParse(data);
      if (parsed.success) return parsed.data;
      throw broken(parsed.error, data, what, path, fail);
    },
    checkKeys: (what: string, path: Path, item: unknown, known: readonly string[] = ["sha1", "sha256", "sha512"]) => {
      const inner = isRecord(item) ? item[what] : undefined;
      checkKeys(what, known, path, inner);
    },
    refuseTwice(part: string, items: readonly { name: string }[]) {
      const first = new Map<string, number>();
      for (const [index, { name }] of items.entries()) {
        const before = first.get(name);
        if (before !== undefined)
          throw fail(
            "store/twice",
            `${name} stands twice under ${part}, first in line ${place([part, before]).line}.`,
            [part, index],
            "each name stands once",
            "Remove or rename one of the two.",
          );
        first.set(name, index);
      }
    },
  };
}

function broken(
  error: ZodError,
  data: unknown,
  what: string,
  path: Path,
  fail: (...given: FailGiven) => StoreError,
): StoreError {
  const [issue] = error.issues;
  const inner = (issue?.path ?? []).filter((part) => typeof part !== "symbol");
  const rule = issue?.message ?? "readable";
  const [key] = inner;
  if (key === undefined) return fail("store/bad-value", `a ${what} must be keys and values.`, path, "keys and values");
  // What zod says of a missing key speaks of types.
  if (inner.length === 1 && !(isRecord(data) && key in data))
    return fail("store/bad-value", `this ${what} has no ${key}.`, path, `a ${what} has a ${key}`);
  return fail("store/bad-value", `${inner.join(".")} must be ${rule}.`, [...path, ...inner], rule);
}
type FailGiven = [code: string, message: string, path: Path, rule: string, hint?: string];

/** The deepest node on the path that exists; a key's place is that of the key. */
function nodeAt(document: Document, path: Path): Node | undefined {
  let node: unknown = document.contents;
  let best = isNode(node) ? node : undefined;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === step);
      if (!pair) break;
      if (isNode(pair.key)) best = pair.key;
      node = pair.value;
    } else if (isSeq(node) && typeof step === "number") {
      node = node.items[step];
      if (isNode(node)) best = node;
    } else break;
  }
  return best;
}

/** A user without the keys the file does not give; enabled unless it says otherwise. */
function defined(user: z.output<typeof shapes.user>): Omit<HostFileUser, "line"> {
  const { enabled = true, credentials, card: cardGiven, ...rest } = withOnePassword(user);
  const card = givenCard(cardGiven);
  const { sha1, sha256, sha512 } = credentials ?? {};
  const given = Object.entries({ sha1, sha256, sha512 }).filter(([, value]) => value !== undefined);
  const kept = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined && value !== ""));
  return {
    ...kept,
    name: user.name,
    enabled,
    ...(given.length > 0 ? { credentials: Object.fromEntries(given) } : {}),
    ...(card === undefined ? {} : { card }),
    ...(user.password && rest.password !== user.password ? { otherPassword: true } : {}),
  };
}

/** Data of a YAML mapping: made without a prototype, so `instanceof` does not see it. */
function isRecord(data: unknown): data is Record<string, unknown> {
  return typeof data === "object" && data !== null && !Array.isArray(data) && !(data instanceof Map);
}
