/** What of a running service has to be copied at one moment: the database by the server, the journal and the host file by us. */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Journal } from "../apply/journal.ts";
import type { HostStore } from "../store/host-store.ts";
import type { Target } from "../target/target.ts";
import { manifest } from "./manifest.ts";

export const staged = z.object({
  /** Holds the copies; the caller removes it. */
  folder: z.string(),
  files: z.array(z.string()),
  facts: manifest.pick({ program: true, domain: true, aliases: true, revision: true, journal: true, store: true }),
});
export type Staged = z.infer<typeof staged>;

export interface StageParts {
  readonly home: string;
  readonly target: Target;
  readonly journal: Journal;
  readonly store: HostStore;
  /** Path of the host file, if the store is one. */
  readonly hostFile: string | undefined;
}

/** Copies into a folder of the home. Nothing may be applied meanwhile. Throws what the server says, or `backup/no-database`. */
export async function stage({ home, target, journal, store, hostFile }: StageParts): Promise<Staged> {
  const name = `backup-${randomBytes(6).toString("hex")}`;
  const folder = join(home, name);
  await mkdir(folder, { mode: 0o700 });
  try {
    const { program } = await target.ready(5000);
    const { domain, aliases, revision } = await target.status();
    await target.backup(name);
    const lines = await readFile(join(home, "journal.jsonl"));
    await writeFile(join(folder, "journal.jsonl"), lines.subarray(0, lines.lastIndexOf(0x0a) + 1), { mode: 0o600 });
    if (hostFile !== undefined) await copyFile(hostFile, join(folder, "host.yaml"));
    return {
      folder,
      files: ["core.db", "journal.jsonl", ...(hostFile === undefined ? [] : ["host.yaml"])],
      facts: {
        program,
        domain,
        aliases: aliases.map((one) => one.name),
        revision,
        journal: journal.head,
        store: store.describe(),
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
