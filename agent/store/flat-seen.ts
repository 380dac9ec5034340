/** What is remembered of a host store in files over a restart of the agent, beside the last good copy of what it said. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errno } from "../errors.ts";
import { writeWhole } from "./file-on-disk.ts";

const seen = z.object({
  path: z.string(),
  form: z.enum(["json", "properties", "dotenv", "directory"]),
  /** The file had its end marker, so that its loss means a cut. */
  marked: z.boolean(),
});
export type SeenPlace = z.infer<typeof seen>;

/** Undefined: this path was never read whole. */
export async function readSeen(home: string, path: string): Promise<SeenPlace | undefined> {
  try {
    const { data } = seen.safeParse(JSON.parse(await readFile(pathIn(home), "utf8")));
    return data?.path === path ? data : undefined;
  } catch (error) {
    if (errno(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export async function writeSeen(home: string, place: SeenPlace): Promise<void> {
  await writeWhole(pathIn(home), `${JSON.stringify(place)}\n`);
}

function pathIn(home: string): string {
  return join(home, "store.seen.json");
}
