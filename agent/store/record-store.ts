/**
 * A host store of which only the reading differs: flat files, directories, databases and HTTP give records, and this makes
 * them a store. Clear passwords become SCRAM keys and are never written; the last good state outlives the agent's process.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import { errno, type Notice } from "../errors.ts";
import { clearPasswordsOf, derivePasswords } from "./clear-passwords.ts";
import { writeWhole } from "./file-on-disk.ts";
import type { HostChange } from "./host-change.ts";
import {
  type HostStore,
  type Role,
  type Snapshot,
  StoreError,
  type StoreKind,
  type Team,
  type User,
} from "./host-store.ts";
import { type HeardPassword, openPasswordKeys, type PasswordKeys } from "./password-keys.ts";
import { keptRecords, recordsText } from "./records.ts";
import { contentHash } from "./snapshot.ts";

/** A user as the host has it; a clear password never leaves this process. */
export type UserRecord = Omit<User, "deriving"> & { readonly password?: string };

/** One consistent read of the host. */
export interface HostRecords {
  readonly settings: ReadonlyMap<string, string>;
  readonly roles: readonly Role[];
  readonly users: readonly UserRecord[];
  readonly teams: readonly Team[];
  readonly warnings: readonly Notice[];
}

export interface RecordSource {
  readonly kind: Exclude<StoreKind, "file">;
  /** For people: `PostgreSQL at db.example.org/pbx`. Never a password. */
  describe(): string;
  /**
   * Everything or a `StoreError`. `known` is the `tag` of the last read that was taken: a source that can tell cheaply that
   * nothing changed since answers "unchanged".
   */
  read(known: string | undefined): Promise<"unchanged" | { readonly tag?: string; readonly records: HostRecords }>;
  /** Calls back whenever the host may have changed; the cause is a sentence for the log. */
  watch(lookAgain: (cause: string) => void): () => Promise<void>;
  /**
   * Writes a change back to the host and gives one sentence for person and journal; rejects with a `StoreError` when the
   * host refuses. Absent: the host takes nothing back.
   */
  write?(change: HostChange): Promise<string>;
  /** What of `write` the host takes; `user-password` is the only thing most hosts do. */
  takes?(change: HostChange): boolean;
}

export interface RecordStoreOptions {
  readonly home: string;
  readonly heard?: HeardPassword;
  /** Passwords in clear turned into keys in one read; the others follow in the next ones. */
  readonly batch?: number;
  readonly onProgress?: (done: number, of: number) => void;
}

export interface RecordStore extends HostStore {
  /** Resolves when the copy of what was read last is on disk, or could not be written. */
  kept(): Promise<void>;
}

/** Makes a store of a source. Reads nothing of the host yet. */
export async function openRecordStore(source: RecordSource, options: RecordStoreOptions): Promise<RecordStore> {
  const { home, batch = 200, onProgress } = options;
  await mkdir(home, { recursive: true, mode: 0o700 });
  const keys = await openPasswordKeys(home, options.heard);
  let standing: { snapshot: Snapshot; records: HostRecords; tag: string | undefined; waiting: number } | undefined;
  let kept: Snapshot | undefined;
  let keptRead = false;
  let keptHash: string | undefined;
  let keeping: Promise<unknown> = Promise.resolve();
  let busy: Promise<unknown> = Promise.resolve();
  const watchers = new Set<(cause: string) => void>();

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = busy.then(work, work);
    busy = turn.catch(() => undefined);
    return turn;
  };

  const read = async (): Promise<Snapshot> => {
    const answer = await source.read(standing?.tag);
    if (answer === "unchanged" && !standing)
      throw new StoreError("store/unreadable", `${source.describe()} says nothing changed, but was never read.`);
    if (answer === "unchanged" && standing?.waiting === 0) {
      if (keptHash !== standing.snapshot.hash) keepLater(standing.snapshot);
      return standing.snapshot;
    }
    const records = answer === "unchanged" ? standing?.records : answer.records;
    if (!records) throw new StoreError("store/unreadable", `${source.describe()} gave nothing.`);
    const waiting = await derivePasswords(records, keys, batch, onProgress);
    const snapshot = snapshotOfRecords(records, keys, source.describe());
    await keys.keep(clearPasswordsOf(records));
    // The first one before anybody acts on it; later ones behind the change that people wait for.
    if (waiting === 0 && keptHash === undefined) await keepCopy(snapshot);
    else if (waiting === 0) keepLater(snapshot);
    standing = { snapshot, records, tag: answer === "unchanged" ? standing?.tag : answer.tag, waiting };
    if (waiting > 0) setImmediate(() => tell(`${waiting} passwords are still to be turned into keys`));
    return snapshot;
  };

  const keepCopy = async (snapshot: Snapshot): Promise<void> => {
    if (keptHash === snapshot.hash) return;
    await writeWhole(copyPath(home), recordsText(source.kind, snapshot));
    keptHash = snapshot.hash;
  };

  /** A disk that is full keeps the former copy; the next read tries again. */
  const keepLater = (snapshot: Snapshot): void => {
    const next = new Promise((resolve) => setImmediate(resolve));
    keeping = next.then(() => inTurn(() => keepCopy(snapshot))).catch(() => undefined);
  };

  const tell = (cause: string): void => {
    for (const lookAgain of watchers) lookAgain(cause);
  };

  return {
    kind: source.kind,
    get writable() {
      return source.write !== undefined;
    },
    describe: source.describe,
    read: () => inTurn(read),
    async kept() {
      await keeping;
    },
    async lastGood() {
      if (standing) return standing.snapshot;
      if (!keptRead) {
        kept = await readCopy(home, source);
        keptRead = true;
      }
      return kept;
    },
    watch(lookAgain) {
      watchers.add(lookAgain);
      const stop = source.watch(lookAgain);
      return async () => {
        watchers.delete(lookAgain);
        await stop();
      };
    },
    edit: (change) =>
      inTurn(async () => {
        if (!source.write || source.takes?.(change) === false)
          throw new StoreError("store/read-only", `${source.describe()} does not take this change from here.`, {
            hint: "Change it where it is managed.",
          });
        const summary = await source.write(change);
        // The host has it now, also if it cannot be read just then: it says so, or the next look finds it.
        const snapshot = await read().catch((error: unknown) => {
          if (!standing) throw error;
          setImmediate(() => tell("the host was changed and could not be read at once"));
          return standing.snapshot;
        });
        return { snapshot, changed: true, summary, removes: { users: [], roles: [], memberships: [] } };
      }),
  };
}

function snapshotOfRecords(records: HostRecords, keys: PasswordKeys, source: string): Snapshot {
  const warnings: Notice[] = [...records.warnings];
  const users = records.users.map(({ password, ...user }): User => {
    if (password === undefined) return user;
    const known: CredentialsText | undefined = keys.known(user.name, password);
    if (known) return { ...user, credentials: known };
    const refused = keys.unusable(user.name, password);
    if (refused === undefined) return { ...user, deriving: true };
    warnings.push({
      code: "store/unusable-password",
      message: `The password of ${user.name} is not taken: ${refused}`,
      hint: "Set another one in the host.",
    });
    return user;
  });
  const { settings, roles, teams } = records;
  return { hash: contentHash({ settings, roles, users, teams }), settings, roles, users, teams, source, warnings };
}

function copyPath(home: string): string {
  return join(home, "store.last-good.json");
}

async function readCopy(home: string, source: RecordSource): Promise<Snapshot | undefined> {
  try {
    const text = await readFile(copyPath(home), "utf8");
    const records = keptRecords(source.kind, source.describe(), text);
    if (!records) return undefined;
    const notice: Notice = { code: "store/last-good", message: `This is the last good copy of ${source.describe()}.` };
    const { settings, roles, users, teams } = records;
    const hash = contentHash({ settings, roles, users, teams });
    return { hash, settings, roles, users, teams, source: source.describe(), warnings: [notice] };
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** A tag for sources that have none of their own: the hash of what they read. */
export function tagOf(...texts: readonly (string | Buffer)[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(text).update("\0");
  return hash.digest("hex");
}
