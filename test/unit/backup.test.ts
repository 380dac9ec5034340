import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readBackup } from "../../agent/backup/read-backup.ts";
import { restoreBackup } from "../../agent/backup/restore.ts";
import { writeBackup } from "../../agent/backup/write-backup.ts";

/** Backups as files: what is in them, what a passphrase does, and that nothing wrong is ever believed. */

let place: string;
beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), "firekeeper-backup-"));
});
afterEach(() => rm(place, { recursive: true }));

/** Not all alike: of a long run of one byte, another bit may mean the same. */
const database = randomBytes(300_000);

const facts = { program: "0.1.0", domain: "old.example", aliases: [], revision: 7, journal: "abc", store: "host.yaml" };
const hostFile = "settings:\n  sys.xmpp.domain: old.example\nusers:\n  - name: admin\n...\n";

/** A home with one of everything, staged as the agent does. */
async function home(): Promise<{ home: string; folder: string }> {
  const path = join(place, "home");
  const folder = join(path, "backup-staged");
  await mkdir(join(path, "certificates", "old.example"), { recursive: true });
  await mkdir(join(path, "secrets"));
  await mkdir(folder);
  await writeFile(join(folder, "core.db"), database);
  await writeFile(join(folder, "journal.jsonl"), "one\n");
  await writeFile(join(folder, "host.yaml"), hostFile);
  await writeFile(join(path, "core.db"), "the running one");
  await writeFile(join(path, "core.db-wal"), "the running one's log");
  await writeFile(join(path, "certificates", "old.example", "key.pem"), "key");
  await writeFile(join(path, "secrets", "empty"), "");
  await writeFile(join(path, "instance"), "me\n");
  await writeFile(join(path, "gate.sock.txt"), "no member");
  return { home: path, folder };
}

async function backup(passphrase?: string): Promise<string> {
  const { home: path, folder } = await home();
  const file = join(place, "backup.tar.gz");
  const staged = { folder, files: ["core.db", "journal.jsonl", "host.yaml"], facts };
  await writeBackup({ file, home: path, staged, passphrase });
  return file;
}

test.each([
  ["open", undefined],
  ["sealed", "correct horse"],
])("a %s backup restores every member and nothing else", async (_, passphrase) => {
  const file = await backup(passphrase);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const into = join(place, "restored");
  const about = await restoreBackup({ file, home: into, passphrase, sameInstance: true });
  expect(about).toMatchObject({ ...facts, format: 1 });
  expect((await readdir(into)).sort()).toEqual([
    "certificates",
    "core.db",
    "host.yaml",
    "instance",
    "journal.jsonl",
    "secrets",
  ]);
  expect(await readFile(join(into, "core.db"))).toEqual(database);
  expect(await readFile(join(into, "certificates/old.example/key.pem"), "utf8")).toBe("key");
  expect(await readFile(join(into, "secrets/empty"), "utf8")).toBe("");
  expect((await stat(into)).mode & 0o777).toBe(0o700);
  expect((await stat(join(into, "core.db"))).mode & 0o777).toBe(0o600);
});

test("another host has an identity of its own, and another domain is asked for in its host file", async () => {
  const into = join(place, "restored");
  await restoreBackup({ file: await backup(), home: into, domain: "new.example" });
  expect(await readdir(into)).not.toContain("instance");
  expect(await readFile(join(into, "host.yaml"), "utf8")).toBe(hostFile.replace("old.example", "new.example"));
  expect(JSON.parse(await readFile(join(into, "restored.json"), "utf8"))).toEqual({
    domain: "new.example",
    keepAlias: false,
  });
});

test("nothing is overwritten, neither a backup nor a home", async () => {
  const file = await backup();
  const { folder } = { folder: join(place, "home/backup-staged") };
  const again = writeBackup({ file, home: join(place, "home"), staged: { folder, files: [], facts } });
  await expect(again).rejects.toMatchObject({ code: "backup/exists" });
  await expect(restoreBackup({ file, home: join(place, "home") })).rejects.toMatchObject({ code: "restore/not-empty" });
});

describe("what is wrong is refused, and leaves nothing behind", () => {
  const refused = async (file: string, code: string, passphrase?: string) => {
    const into = join(place, "restored");
    await expect(restoreBackup({ file, home: into, passphrase })).rejects.toMatchObject({ code });
    expect((await readdir(place)).filter((name) => name.startsWith("restored"))).toEqual([]);
  };

  test("no passphrase, or another", async () => {
    const file = await backup("correct horse");
    await refused(file, "backup/sealed");
    await refused(file, "backup/wrong-passphrase", "battery staple");
  });

  test.each([
    ["open", undefined],
    ["sealed", "correct horse"],
  ])("a %s backup that was cut, changed or added to", async (_, passphrase) => {
    const file = await backup(passphrase);
    const whole = await readFile(file);
    const wrong = join(place, "wrong");
    const places = [whole.length - 1, Math.floor(whole.length / 2), passphrase === undefined ? 400 : 60];
    for (const at of places) {
      await writeFile(wrong, whole.subarray(0, at));
      await expect(readBackup(wrong, passphrase), `cut at ${at}`).rejects.toMatchObject({
        code: expect.stringMatching(/^backup\/(damaged|wrong-passphrase)$/),
      });
      const changed = Buffer.from(whole);
      changed.writeUInt8(changed.readUInt8(at - 1) ^ 1, at - 1);
      await writeFile(wrong, changed);
      await expect(readBackup(wrong, passphrase), `changed at ${at}`).rejects.toMatchObject({
        code: expect.stringMatching(/^backup\/(damaged|wrong-passphrase)$/),
      });
    }
    await writeFile(wrong, whole.subarray(0, whole.length - 1));
    await refused(wrong, "backup/damaged", passphrase);
  });

  test.each(["../evil", "/etc/evil", "certificates/../../evil", "host.yaml/../evil", "secrets/", "other"])(
    "a member named %s",
    async (name) => {
      const file = join(place, "evil.tar.gz");
      const tar = pack();
      const about = { format: 1, ...facts, at: "2026-11-21T00:00:00Z", members: [] };
      tar.entry({ name: "manifest.json" }, JSON.stringify(about));
      tar.entry({ name }, "evil");
      tar.finalize();
      await pipeline(tar, createGzip(), createWriteStream(file));
      await refused(file, "backup/damaged");
      expect(await readdir(place)).not.toContain("evil");
    },
  );

  test("a backup of a newer program, and what is no backup at all", async () => {
    const file = join(place, "newer.tar.gz");
    const tar = pack();
    tar.entry({ name: "manifest.json" }, JSON.stringify({ format: 2 }));
    tar.finalize();
    await pipeline(tar, createGzip(), createWriteStream(file));
    await refused(file, "backup/newer");
    await writeFile(file, "hello");
    await refused(file, "backup/damaged");
    await refused(join(place, "absent"), "backup/unreadable");
  });
});
