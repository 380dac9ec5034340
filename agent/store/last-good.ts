/** A copy of the last host file that was whole, so that a broken one costs nothing, not even over a restart of the agent. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errno } from "../errors.ts";
import { writeWhole } from "./file-on-disk.ts";

export interface LastGood {
  /** Without clear passwords. */
  readonly text: string;
  /** Hash of the host file it was made from. */
  readonly hash: string;
}

/** The copy of this host file; of another one it is no use. */
export async function readLastGood(home: string, path: string): Promise<LastGood | undefined> {
  try {
    const content = await readFile(pathIn(home), "utf8");
    const end = content.indexOf("\n");
    const hash = /sha256 ([0-9a-f]{64})/.exec(content.slice(0, end))?.[1];
    if (hash === undefined || content.slice(0, end) !== header(path, hash)) return undefined;
    return { text: content.slice(end + 1), hash };
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw error;
  }
}

export async function writeLastGood(home: string, path: string, copy: LastGood): Promise<void> {
  await writeWhole(pathIn(home), `${header(path, copy.hash)}\n${copy.text}`);
}

function pathIn(home: string): string {
  return join(home, "host.last-good.yaml");
}

function header(path: string, hash: string): string {
  return `# Last good copy of ${path}, sha256 ${hash}. Written by the agent; edits here are ignored.`;
}
