/** `FIREKEEPER_STORE_CONFIG` of a database: tables, queries, TLS, time limits, secrets. docs/stores/postgres.md. */
import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parse, YAMLParseError } from "yaml";
import { z } from "zod";
import { errno, type Notice } from "../../errors.ts";
import { StoreError } from "../host-store.ts";
import { nearestName } from "../nearest-name.ts";
import type { StorePlace } from "../place.ts";
import type { TlsMode } from "./connection.ts";
import {
  columnNames,
  ownChangeQuery,
  ownChannel,
  ownScheme,
  type PartName,
  type PartSources,
  partNames,
} from "./parts.ts";
import { describePlace, type SqlPlace, sqlPlace, staysHere } from "./place.ts";
import { type PasswordForm, passwordForms } from "./write-password.ts";

const named = z.string("text").min(1, "text that is not empty");
const milliseconds = (least: number) =>
  z
    .number("a number of milliseconds")
    .int("whole milliseconds")
    .min(least, `${least} ms or more`)
    .max(86_400_000, "a day or less");

/** `pbx.users`; a name with a dot in it is written as a list, `[pbx, odd.name]`. */
const table = z.union([named.transform((text) => text.split(".")), z.array(named).min(1).max(3)], "a table's name");

const part = z
  .strictObject(
    { table: table.optional(), columns: z.record(z.string(), named).optional(), query: named.optional() },
    "table and columns, or query",
  )
  .refine(
    (given) => (given.table === undefined) !== (given.query === undefined),
    "either table (with columns) or query",
  )
  .refine(
    (given) => given.query === undefined || given.columns === undefined,
    "query without columns: it names them itself",
  );

const tlsModes = ["verify", "encrypt", "off"] as const;
const tlsMode = z.enum(tlsModes, "verify, encrypt or off");
const tls = z.union(
  [
    tlsMode.transform((mode) => ({ mode, ca: undefined })),
    z.strictObject({ mode: tlsMode.default("verify"), ca: named.optional() }),
  ],
  {
    error: "verify, encrypt or off, or a mode and a ca file",
  },
);

const writePassword = z.strictObject(
  { query: named, hash: z.enum(passwordForms, `one of ${passwordForms.join(", ")}`) },
  "a query and a hash",
);

const document = z.strictObject({
  ...(Object.fromEntries(partNames.map((name) => [name, part.optional()])) as Record<
    PartName,
    z.ZodOptional<typeof part>
  >),
  password: named.optional(),
  passwordFile: named.optional(),
  tls: tls.optional(),
  channel: named.max(63, "at most 63 characters").optional(),
  changeQuery: named.optional(),
  pollMs: milliseconds(100).optional(),
  wholeReadMs: milliseconds(1000).optional(),
  statementTimeoutMs: milliseconds(100).optional(),
  connectTimeoutMs: milliseconds(100).optional(),
  writePassword: writePassword.optional(),
});
type Document = z.output<typeof document>;

export interface SqlConfig {
  readonly place: SqlPlace;
  readonly parts: PartSources;
  readonly tls: TlsMode;
  readonly password: () => Promise<string | undefined>;
  /** Of NOTIFY; undefined: polling alone. */
  readonly channel: string | undefined;
  /** Undefined: every look reads everything. */
  readonly changeQuery: string | undefined;
  readonly pollMs: number;
  /** However unchanged the change query looks, everything is read after this long. */
  readonly wholeReadMs: number;
  readonly statementTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly writePassword: { readonly query: string; readonly hash: PasswordForm } | undefined;
  readonly warnings: readonly Notice[];
}

/** Reads URL and file. Throws `store/config`, which names key and rule, never a secret. */
export async function readSqlConfig(at: StorePlace): Promise<SqlConfig> {
  const place = sqlPlace(at.at);
  const given = at.config === undefined ? {} : parseSqlConfig(await readText(at.config), at.config);
  const warnings: Notice[] = [];
  const beside = (path: string) => resolve(dirname(at.config ?? "."), path);
  const ownParts = partNames.every((name) => given[name] === undefined);
  if ([place.password, given.password, given.passwordFile].filter((one) => one !== undefined).length > 1)
    throw refused("The password of the database is given twice.", "Keep one of URL, password and passwordFile.");
  if (at.config !== undefined && given.password !== undefined && ((await stat(at.config)).mode & 0o004) !== 0)
    warnings.push({
      code: "store/readable-secret",
      message: `${at.config} holds a password and every user of this machine may read it.`,
      hint: `chmod 640 ${at.config}`,
    });
  const tlsGiven = given.tls ?? { mode: staysHere(place) ? ("off" as const) : ("verify" as const), ca: undefined };
  if (tlsGiven.mode !== "verify" && !staysHere(place)) warnings.push(weakTls(place, tlsGiven.mode));
  const { passwordFile } = given;
  return {
    place,
    parts: ownParts ? ownScheme : partsOf(given),
    tls:
      tlsGiven.mode === "off"
        ? { mode: "off" }
        : { mode: tlsGiven.mode, ca: tlsGiven.ca === undefined ? undefined : await readText(beside(tlsGiven.ca)) },
    password: async () =>
      passwordFile === undefined
        ? (given.password ?? place.password)
        : (await readText(beside(passwordFile))).replace(/\r?\n$/, ""),
    channel: given.channel ?? (ownParts && place.kind === "postgres" ? ownChannel : undefined),
    changeQuery: given.changeQuery ?? (ownParts ? ownChangeQuery : undefined),
    pollMs: given.pollMs ?? (place.kind === "postgres" ? 10_000 : 2_000),
    wholeReadMs: given.wholeReadMs ?? 3_600_000,
    statementTimeoutMs: given.statementTimeoutMs ?? 30_000,
    connectTimeoutMs: given.connectTimeoutMs ?? 5_000,
    writePassword: given.writePassword,
    warnings,
  };
}

/** The file's text, checked. Throws `store/config`. */
export function parseSqlConfig(text: string, path: string): Document {
  let data: unknown;
  try {
    data = parse(text) ?? {};
  } catch (error) {
    // The parser's message would quote the line.
    const at = error instanceof YAMLParseError && error.linePos ? ` at line ${error.linePos[0].line}` : "";
    throw refused(`${path} is neither YAML nor JSON${at}.`, "Correct it.");
  }
  const parsed = document.safeParse(data);
  if (!parsed.success) {
    const issue = deepest(parsed.error.issues);
    const at = issue.path.map(String).join(".") || "the file";
    if (issue.code === "unrecognized_keys") throw unknownKey(path, issue.path.map(String), issue.keys[0] ?? "");
    throw refused(`${path}: ${at} must be ${issue.message}.`, "Correct it.");
  }
  for (const name of partNames) {
    const columns = parsed.data[name]?.columns ?? {};
    const strange = Object.keys(columns).find((column) => !columnNames(name).includes(column));
    if (strange !== undefined) throw unknownKey(path, [name, "columns"], strange);
  }
  if (parsed.data.users === undefined && partNames.some((name) => parsed.data[name] !== undefined))
    throw refused(
      `${path}: users must be there.`,
      "Parts that are not named are empty: name users, or no part at all.",
    );
  return parsed.data;
}

function partsOf(given: Document): PartSources {
  return Object.fromEntries(
    partNames.flatMap((name) => {
      const source = given[name];
      if (source === undefined) return [];
      const { query, table: names = [], columns = {} } = source;
      return [[name, query === undefined ? { table: names, columns } : { query }]];
    }),
  );
}

/** A union says only that nothing fits: the strict branch inside knows which key it was. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const [issue] = issues;
  if (issue === undefined) throw new Error("a refusal without a reason");
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors.flat().find((one) => one.code === "unrecognized_keys" || one.path.length > 0);
  return inner === undefined ? issue : ({ ...inner, path: [...issue.path, ...inner.path] } as z.core.$ZodIssue);
}

function unknownKey(path: string, at: readonly string[], key: string): StoreError {
  const [first, second] = at;
  const isPart = partNames.find((name) => name === first);
  const known =
    first === undefined
      ? Object.keys(document.shape)
      : second === "columns" && isPart
        ? columnNames(isPart)
        : isPart
          ? ["table", "columns", "query"]
          : first === "tls"
            ? ["mode", "ca"]
            : Object.keys(writePassword.shape);
  const meant = nearestName(key, known);
  return refused(
    `${path}: ${[...at, key].join(".")} means nothing.`,
    meant ? `Did you mean ${meant}?` : `Known here: ${known.join(", ")}.`,
  );
}

function weakTls(place: SqlPlace, mode: "off" | "encrypt"): Notice {
  return {
    code: "store/weak-tls",
    message:
      mode === "off"
        ? `What is read from ${describePlace(place)} crosses the network in clear.`
        : `What answers for ${describePlace(place)} need not prove who it is.`,
    hint: "Set tls to verify, with the ca file if the certificate is your own.",
  };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw refused(
      `${path} cannot be read (${errno(error) ?? "no text"}).`,
      "Give the agent's user the right to read it.",
    );
  }
}

function refused(message: string, hint: string): StoreError {
  return new StoreError("store/config", message, { hint });
}
