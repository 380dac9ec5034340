/** The embedded store: `host.yaml` in the home directory. docs/settings.md. */
import { watch as watchDirectory } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import { deriveCredentials } from "../credentials.ts";
import type { Notice } from "../errors.ts";
import { type ClearPassword, clearPasswordsOf, derivePasswords } from "./clear-passwords.ts";
import { type FileText, readQuiet, readText, replaceText, whyReadOnly } from "./file-on-disk.ts";
import { type FreshStart, forgetInitialPassword, freshStart } from "./fresh-start.ts";
import type { FileChange, HostChange } from "./host-change.ts";
import { hostFileMemo, parseHostFile } from "./host-file.ts";
import { editHostFile } from "./host-file-edit.ts";
import { blankPasswords, replacePasswords } from "./host-file-passwords.ts";
import { type HostFile, hasEndMarker } from "./host-file-text.ts";
import { type Clock, type HostStore, type Snapshot, StoreError, systemClock } from "./host-store.ts";
import { type LastGood, readLastGood, writeLastGood } from "./last-good.ts";
import { type HeardPassword, openPasswordKeys, type PasswordKeys } from "./password-keys.ts";
import { snapshotOf } from "./snapshot.ts";
import { withPhotos } from "./user-card.ts";

export interface FileStoreOptions {
  /** Of the host file. */
  readonly path: string;
  readonly home: string;
  /** `FIREKEEPER_INSTANCE`, for a file that is made. */
  readonly instance?: string | undefined;
  /** Make the file if neither it nor a copy of it exists: only where nobody named another place. */
  readonly create: boolean;
  readonly heard?: HeardPassword;
  readonly clock?: Clock;
  /** How long the file must stay as it is. */
  readonly quietMs?: number;
  /** How often its hash is looked at, for file systems that report no changes. */
  readonly pollMs?: number;
  /** Passwords in clear turned into keys in one read; the others follow in the next ones. */
  readonly batch?: number;
  /** Keys derived so far, for a log line now and then. */
  readonly onProgress?: (done: number, of: number) => void;
}

export interface FileStore extends HostStore {
  /** Set when this start made the file. */
  readonly created: FreshStart | undefined;
}

/** What was read last, whole. */
interface Standing {
  readonly snapshot: Snapshot;
  readonly textHash: string;
  readonly marked: boolean;
  /** People whose passwords wait for the next read. */
  readonly waiting: number;
}

/** Opens the store; makes the file at the very first start. Reads nothing else yet. */
export async function openFileStore(options: FileStoreOptions): Promise<FileStore> {
  const { home, instance, clock = systemClock, quietMs = 1000, pollMs = 5000, batch = 200, onProgress } = options;
  const path = resolve(options.path);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const kept = await readLastGood(home, path);
  const created =
    options.create && kept === undefined && (await isMissing(path))
      ? await freshStart(path, home, instance)
      : undefined;
  const keys = await openPasswordKeys(home, options.heard);

  let standing: Standing | undefined;
  let own = created ? (await readText(path)).hash : undefined;
  let seen: string | undefined;
  let writable = true;
  let busy: Promise<unknown> = Promise.resolve();
  const memo = hostFileMemo();
  const watchers = new Set<(cause: string) => void>();

  /** One read or edit at a time. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = busy.then(work, work);
    busy = turn.catch(() => undefined);
    return turn;
  };

  const read = async (): Promise<Snapshot> => {
    try {
      const settled = (hash: string) => [standing?.textHash, own, kept?.hash].includes(hash);
      return await take(await readQuiet(path, { clock, quietMs, settled }));
    } catch (error) {
      seen = await lookAt(path);
      throw error;
    }
  };

  const take = async (file: FileText): Promise<Snapshot> => {
    seen = file.hash;
    if (standing?.textHash === file.hash && standing.waiting === 0) return standing.snapshot;
    const warnings = markerWarnings(file.text);
    const content = parseHostFile(file.text, path, memo);
    const waiting = await derivePasswords(content, keys, batch, onProgress);
    const readOnly = await whyReadOnly(path);
    writable = readOnly === undefined;
    if (readOnly !== undefined) warnings.push(readOnlyNotice(path, readOnly));
    const rewritten = writable ? await writeKeys(file, content, warnings) : undefined;
    const taken = rewritten ?? file;
    const users = await withPhotos(content.users, path, warnings);
    const snapshot = snapshotOf({ ...content, users }, keys, path, warnings);
    const clear = clearPasswordsOf(rewritten ? parseHostFile(rewritten.text, path, memo) : content);
    await keys.keep(clear);
    if (waiting === 0) await keepCopy(taken, clear);
    standing = { snapshot, textHash: taken.hash, marked: hasEndMarker(taken.text), waiting };
    seen = taken.hash;
    await forgetInitialPassword(home, snapshot.users);
    if (waiting > 0) setImmediate(() => tell(`${waiting} passwords are still to be turned into keys`));
    return snapshot;
  };

  const markerWarnings = (text: string): Notice[] => {
    if (hasEndMarker(text)) return [];
    if (standing?.marked ?? (kept && hasEndMarker(kept.text)))
      throw new StoreError("store/half-written", "the end marker is gone, so the file counts as half-written.", {
        place: { file: path, line: text.trimEnd().split("\n").length, column: 1 },
        rule: "a last line of three dots: ...",
        hint: "If the file is complete, add the line.",
      });
    return [
      {
        code: "store/no-end-marker",
        message: `${basename(path)} has no end marker, so a half-written file cannot be told from a whole one.`,
        hint: "Add ... as its last line.",
        where: path,
      },
    ];
  };

  /** Passwords in clear give way to keys in the file itself; undefined when nothing was written. */
  const writeKeys = async (file: FileText, content: HostFile, warnings: Notice[]): Promise<FileText | undefined> => {
    const ready = knownKeys(content, keys);
    if (ready.size === 0) return undefined;
    try {
      const text = replacePasswords(file.text, path, ready, memo);
      own = await replaceText(path, text, file.hash);
      return { text, hash: own };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Whoever changed the file meanwhile makes us look again anyway.
      if (error.code !== "store/changed-meanwhile")
        warnings.push({
          code: error.code,
          message: error.message,
          hint: "The passwords work, but stay in the file in clear.",
          where: path,
        });
      if (error.code === "store/read-only") writable = false;
      return undefined;
    }
  };

  const keepCopy = async (file: FileText, clear: readonly ClearPassword[]): Promise<void> => {
    const ready = knownKeys({ users: clear }, keys);
    const replaced = replacePasswords(file.text, path, ready, memo);
    await writeLastGood(home, path, {
      text: clear.length > ready.size || hasOther(replaced) ? blankPasswords(replaced, path, memo) : replaced,
      hash: file.hash,
    });
  };

  const hasOther = (text: string) => parseHostFile(text, path, memo).users.some((user) => user.otherPassword);

  const tell = (cause: string) => {
    for (const lookAgain of watchers) lookAgain(cause);
  };

  return {
    kind: "file",
    created,
    get writable() {
      return writable;
    },
    describe: () => `${basename(path)} at ${path}`,
    read: () => inTurn(read),
    lastGood: async () => standing?.snapshot ?? (kept && fromCopy(kept, keys, path)),
    watch(lookAgain) {
      watchers.add(lookAgain);
      // In turn, or a write of our own would be taken for another's.
      const look = (cause: string) =>
        inTurn(async () => {
          const now = await lookAt(path);
          if (now === seen) return;
          seen = now;
          tell(cause);
        });
      const stopWatching = watchName(path, () => void look(`${basename(path)} changed`));
      const poll = setInterval(() => void look(`${basename(path)} differs from what was read`), pollMs);
      poll.unref();
      return async () => {
        watchers.delete(lookAgain);
        clearInterval(poll);
        stopWatching();
      };
    },
    edit: (asked) =>
      inTurn(async () => {
        const change = await withoutPassword(asked);
        for (let attempt = 1; ; attempt++) {
          const file = await readText(path);
          markerWarnings(file.text);
          const edited = editHostFile(file.text, path, change, memo);
          const { changed, summary, removes } = edited;
          if (!changed) return { snapshot: await take(file), changed, summary, removes };
          const readOnly = await whyReadOnly(path);
          if (readOnly !== undefined) throw readOnlyError(path, readOnly);
          try {
            own = await replaceText(path, edited.text, file.hash);
          } catch (error) {
            if (error instanceof StoreError && error.code === "store/changed-meanwhile" && attempt < 3) continue;
            throw error;
          }
          return { snapshot: await take({ text: edited.text, hash: own }), changed, summary, removes };
        }
      }),
  };
}

async function withoutPassword(change: HostChange): Promise<FileChange> {
  if (change.kind !== "user-password") return change;
  return { kind: "user-credentials", name: change.name, credentials: await deriveCredentials(change.password) };
}

function knownKeys(
  file: { readonly users: readonly { readonly name: string; readonly password?: string }[] },
  keys: PasswordKeys,
): Map<string, CredentialsText> {
  const ready = new Map<string, CredentialsText>();
  for (const { name, password } of file.users) {
    const known = password === undefined ? undefined : keys.known(name, password);
    if (known) ready.set(name, known);
  }
  return ready;
}

async function fromCopy(copy: LastGood, keys: PasswordKeys, path: string): Promise<Snapshot> {
  const notice: Notice = {
    code: "store/last-good",
    message: `This is the last good copy of ${path}.`,
    where: path,
  };
  const content = parseHostFile(copy.text, path);
  const warnings = [notice];
  const users = await withPhotos(content.users, path, warnings);
  return snapshotOf({ ...content, users }, keys, path, warnings);
}

/** What stands there now, without judging it. */
async function lookAt(path: string): Promise<string> {
  try {
    return (await readText(path)).hash;
  } catch (error) {
    if (error instanceof StoreError) return error.message;
    throw error;
  }
}

async function isMissing(path: string): Promise<boolean> {
  try {
    await readText(path);
    return false;
  } catch (error) {
    return error instanceof StoreError && error.code === "store/missing";
  }
}

function readOnlyNotice(path: string, why: string): Notice {
  return {
    code: "store/read-only",
    message: `${path} is used as it is: ${why}.`,
    hint: "Users cannot change their passwords here, and passwords in clear stay in the file.",
    where: path,
  };
}

function readOnlyError(path: string, why: string): StoreError {
  return new StoreError("store/read-only", `${path} cannot be changed: ${why}.`, {
    hint: "Change it where it is managed.",
  });
}

/**
 * Calls when something happens to the name in its directory: editors and deployments replace the file itself. The
 * kernel's events alone, without looking at anything: the server's database lies in the same directory and changes
 * with every message. A watch that cannot be had (no descriptors left) leaves the poll.
 */
function watchName(path: string, changed: () => void): () => void {
  try {
    const watcher = watchDirectory(dirname(path), (_event, name) => {
      if (name === null || name === basename(path)) changed();
    });
    watcher.on("error", () => watcher.close());
    return () => watcher.close();
  } catch {
    return () => undefined;
  }
}
