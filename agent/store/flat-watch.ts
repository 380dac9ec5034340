/** "Look again" for what lies in files: the kernel's events, and a poll for file systems that report none. */
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";

export interface Watched {
  /** For the log: `host.properties`. */
  readonly name: string;
  /** Directories in which something may happen now. */
  directories(): readonly string[];
  /** Whether a name in such a directory is of interest. */
  concerns(name: string): boolean;
  /** What stands there now, as a short text that differs when anything does. Never rejects. */
  look(): Promise<string>;
  /** What `look` gave when the store was last read. */
  read(): string | undefined;
  readonly pollMs: number;
}

/** Calls back when what stands there is not what was read; once for each state. A watch that cannot be had leaves the poll. */
export function watchFiles(watched: Watched, lookAgain: (cause: string) => void): () => Promise<void> {
  const { name, pollMs } = watched;
  const watchers = new Map<string, FSWatcher>();
  let told: string | undefined;
  let stopped = false;
  let looking: Promise<void> | undefined;
  let again = false;

  const look = (cause: string): void => {
    if (stopped) return;
    if (looking) {
      again = true;
      return;
    }
    looking = once(cause).finally(() => {
      looking = undefined;
      if (!again) return;
      again = false;
      look(cause);
    });
  };
  const once = async (cause: string): Promise<void> => {
    await arm();
    const now = await watched.look();
    if (now === watched.read()) told = undefined;
    else if (now !== told && !stopped) {
      told = now;
      lookAgain(cause);
    }
  };
  /** A directory that was replaced under its name is another one to the kernel. */
  const arm = async (): Promise<void> => {
    const wanted = new Map<string, string>();
    for (const directory of new Set(watched.directories())) {
      const facts = await stat(directory).catch(() => undefined);
      if (facts?.isDirectory()) wanted.set(`${facts.dev}:${facts.ino}`, directory);
    }
    for (const [id, watcher] of watchers) if (stopped || !wanted.has(id)) close(id, watcher);
    for (const [id, directory] of wanted) if (!stopped && !watchers.has(id)) open(id, directory);
  };
  const open = (id: string, directory: string): void => {
    try {
      const watcher = watch(directory, { persistent: false }, (_event, changed) => {
        if (changed === null || watched.concerns(changed)) look(`${name} changed`);
      });
      watcher.on("error", () => close(id, watcher));
      watchers.set(id, watcher);
    } catch {
      // The poll sees it, later.
    }
  };
  const close = (id: string, watcher: FSWatcher): void => {
    watcher.close();
    watchers.delete(id);
  };

  const poll = setInterval(() => look(`${name} differs from what was read`), pollMs);
  poll.unref();
  look(`${name} differs from what was read`);
  return async () => {
    stopped = true;
    clearInterval(poll);
    await looking;
    for (const [id, watcher] of watchers) close(id, watcher);
  };
}
