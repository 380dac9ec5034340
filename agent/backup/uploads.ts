/** What people uploaded, held for a backup while the service goes on deleting what is too old. docs/backup.md. */
import { randomBytes } from "node:crypto";
import { link, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errno } from "../errors.ts";
import { isUpload, uploadsFolder } from "./manifest.ts";

export interface HeldUploads {
  readonly members: readonly { name: string; path: string }[];
  release(): Promise<void>;
}

/** A second name for each file: none of them ever changes, and one that is deleted meanwhile is still there by it. */
export async function holdUploads(home: string): Promise<HeldUploads> {
  const root = join(home, uploadsFolder);
  const folder = join(root, `backup-${randomBytes(6).toString("hex")}`);
  const release = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const members: { name: string; path: string }[] = [];
  try {
    for (const part of await orNone(readdir(root))) {
      if (!/^[0-9a-f]{2}$/.test(part)) continue;
      await mkdir(join(folder, part), { recursive: true, mode: 0o700 });
      for (const file of await orNone(readdir(join(root, part)))) {
        const name = `${uploadsFolder}/${part}/${file}`;
        const path = join(folder, part, file);
        if (isUpload(name) && (await linked(join(root, part, file), path))) members.push({ name, path });
      }
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { members, release };
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (errno(error) === "ENOENT") return false;
    throw error;
  }
}

async function orNone(names: Promise<string[]>): Promise<string[]> {
  try {
    return await names;
  } catch (error) {
    if (errno(error) === "ENOENT") return [];
    throw error;
  }
}
