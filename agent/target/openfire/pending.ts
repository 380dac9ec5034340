/**
 * Settings that Openfire takes only at its next start, with the value it still goes by: `<home>/openfire.json`, beside
 * the id by which Openfire knows this home.
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errno } from "../../errors.ts";
import { writeWhole } from "../../store/file-on-disk.ts";
import { factOf, isSecret } from "./catalogue.ts";

const pending = z.record(z.string(), z.object({ was: z.string().nullable(), since: z.string() }));
const memory = z.object({ id: z.string(), pending });

export interface Pending {
  /** Of this home. */
  readonly id: string;
  readonly entries: ReadonlyMap<string, { was: string | null; since: string }>;
  /** `was` is what Openfire goes by until it restarts; a key that waits already keeps its first. */
  add(key: string, was: string | null, is: string | null, at: Date): Promise<void>;
  /** Openfire has been away, or says that nothing of what it watches (`declared`) waits, or those keys are seen to hold. */
  restarted(which: "all" | "declared" | readonly string[]): Promise<void>;
  /** A sentence each. */
  words(): string[];
}

export async function openPending(home: string): Promise<Pending> {
  const path = join(home, "openfire.json");
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errno(error) === "ENOENT") return "{}";
    throw error;
  });
  const read = memory.safeParse(jsonOf(text));
  const id = read.success ? read.data.id : randomUUID();
  const entries = new Map(Object.entries(read.success ? read.data.pending : {}));
  const save = () => writeWhole(path, `${JSON.stringify({ id, pending: Object.fromEntries(entries) })}\n`);
  if (!read.success) await save();
  return {
    id,
    entries,
    async add(key, was, is, at) {
      const first = entries.get(key);
      // Back at what it goes by: nothing waits any more. A secret is not remembered.
      if (first && first.was === is && !isSecret(key)) entries.delete(key);
      else if (!first) entries.set(key, { was: isSecret(key) ? null : was, since: at.toISOString() });
      await save();
    },
    async restarted(which) {
      const is = (key: string) =>
        which === "all" || (which === "declared" ? factOf(key)?.declared === true : which.includes(key));
      const gone = [...entries.keys()].filter(is);
      if (gone.length === 0) return;
      for (const key of gone) entries.delete(key);
      await save();
    },
    words: () =>
      [...entries].map(
        ([key, { was, since }]) =>
          `${key} waits for a restart of Openfire since ${since}; until then ${isSecret(key) ? "its former value" : (was ?? "its default")} holds. Restart Openfire yourself, or the listener in its console.`,
      ),
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
