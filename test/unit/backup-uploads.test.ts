import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isMemberName } from "../../agent/backup/manifest.ts";
import { readBackup } from "../../agent/backup/read-backup.ts";
import { restoreBackup } from "../../agent/backup/restore.ts";
import { writeBackup } from "../../agent/backup/write-backup.ts";
import { described } from "../../agent/commands/backup.ts";

// What people uploaded, in backups. docs/backup.md
let place: string;
let home: string;
beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), "firekeeper-backup-"));
  home = join(place, "home");
  await mkdir(join(home, "staged"), { recursive: true });
  await writeFile(join(home, "staged", "core.db"), "database");
  await mkdir(join(home, "uploads", "incoming"), { recursive: true });
  await writeFile(join(home, "uploads", "incoming", "c".repeat(32)), "half");
  for (const digit of ["a", "b"]) {
    await mkdir(join(home, "uploads", digit.repeat(2)));
    await writeFile(join(home, "uploads", digit.repeat(2), digit.repeat(32)), `file ${digit}`);
  }
});
afterEach(() => rm(place, { recursive: true }));

const facts = { program: "0.1.0", domain: "old.example", aliases: [], revision: 7, journal: "abc", store: "host.yaml" };
const write = (more: { withoutUploads?: boolean; onProgress?: () => void } = {}) =>
  writeBackup({
    ...{ file: join(place, "backup"), home, ...more },
    staged: { folder: join(home, "staged"), files: ["core.db"], facts },
  });

test("files are in it as they were when it began, even those that are deleted meanwhile", async () => {
  const original = join(home, "uploads", "bb", "b".repeat(32));
  let deleted: Promise<void> | undefined;
  const about = await write({
    onProgress: () => {
      deleted ??= rm(original);
    },
  });
  await deleted;
  await expect(stat(original)).rejects.toThrow("ENOENT");
  expect(described(about)).toContain("2 of them of 0.0 MiB uploaded by people");
  expect((await readdir(join(home, "uploads"))).sort()).toEqual(["aa", "bb", "incoming"]);
  const into = join(place, "restored");
  await restoreBackup({ file: join(place, "backup"), home: into });
  for (const digit of ["a", "b"]) {
    const path = join(into, "uploads", digit.repeat(2), digit.repeat(32));
    expect(await readFile(path, "utf8")).toBe(`file ${digit}`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  }
  expect((await readdir(join(into, "uploads"))).sort()).toEqual(["aa", "bb"]);
});

test("they are left out on demand, and it says so", async () => {
  const about = await write({ withoutUploads: true });
  expect(about.members.map(({ name }) => name)).toEqual(["core.db"]);
  expect(described(await readBackup(join(place, "backup"), undefined))).toContain("without what people uploaded");
});

test("nothing but files called by their tokens is ever written among them", () => {
  const good = `uploads/ab/ab${"0".repeat(30)}`;
  expect(isMemberName(good)).toBe(true);
  for (const name of [
    ...["uploads", "uploads/x", "uploads/ab", "uploads/incoming/x", `${good}/x`, `x/${good}`, `${good}0`],
    ...[`uploads/ac/ab${"0".repeat(30)}`, `uploads/../${"0".repeat(32)}`, `uploads/AB/AB${"0".repeat(30)}`],
  ])
    expect(isMemberName(name), name).toBe(false);
});
