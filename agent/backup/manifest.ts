/** What a backup says of itself, as its first member: `manifest.json`. docs/backup.md. */
import { z } from "zod";

export const backupFormat = 1;

export const manifest = z.object({
  format: z.number(),
  /** Of the program that wrote it. */
  program: z.string(),
  at: z.string(),
  domain: z.string(),
  aliases: z.array(z.string()),
  revision: z.number(),
  /** Hash of the journal's last line. */
  journal: z.string(),
  /** How the host store was: a `host.yaml` is in the backup, of any other the last good copy. */
  store: z.string(),
  /** What people uploaded was left out. */
  withoutUploads: z.boolean().optional(),
  members: z.array(z.object({ name: z.string(), bytes: z.number(), sha256: z.string() })),
});
export type Manifest = z.infer<typeof manifest>;

/** Everything of a home that makes it what it is; what is not named here is made anew. */
export const memberNames = [
  "core.db",
  "core.db-wal",
  "journal.jsonl",
  "host.yaml",
  "host.last-good.yaml",
  "store.last-good.json",
  "store.seen.json",
  "instance",
] as const;

/** Folders of a home that go whole. */
export const memberFolders = ["certificates", "secrets"] as const;

/** Of the home, with what people uploaded; each file by its token. docs/uploads.md */
export const uploadsFolder = "uploads";
const uploadName = /^uploads\/([0-9a-f]{2})\/\1[0-9a-f]{30}$/;
export const isUpload = (name: string): boolean => uploadName.test(name);

/** Whether a member may be written into a home: nothing else ever is. */
export function isMemberName(name: string): boolean {
  if ((memberNames as readonly string[]).includes(name) || isUpload(name)) return true;
  const [folder, ...rest] = name.split("/");
  if (!(memberFolders as readonly string[]).includes(folder ?? "") || rest.length === 0 || rest.length > 3)
    return false;
  return rest.every((part) => /^[^/\\\0]+$/.test(part) && part !== "." && part !== "..");
}
