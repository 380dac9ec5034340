import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStorage, read, type StorageHealth, write } from "../../xmpp-core/storage/storage.ts";

const put = write<[id: number, body: Uint8Array]>("INSERT INTO item (id, body) VALUES (?, ?)");
const ids = read<[], { id: number }>("SELECT id FROM item ORDER BY id");
const migrations = [{ name: "0001_item", sql: "CREATE TABLE item (id INTEGER PRIMARY KEY, body BLOB)" }];

/** A disk of 2 MiB, which only root may mount; elsewhere the page limit of the unit tests stands for it. */
function smallDisk(): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), "storage-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", directory], { stdio: "pipe" });
    return directory;
  } catch {
    rmdirSync(directory);
    return undefined;
  }
}

describe.skipIf(process.getuid?.() !== 0)("a full disk", () => {
  let disk: string | undefined;
  beforeAll(() => {
    disk = smallDisk();
  });
  afterAll(() => {
    if (disk === undefined) return;
    execFileSync("umount", [disk]);
    rmdirSync(disk);
  });

  test("nothing reported is lost, reads go on, and writing resumes by itself when there is space", async ({ skip }) => {
    if (disk === undefined) return skip("cannot mount");
    let probe = () => {};
    const clock = {
      now: () => 5,
      after: (_ms: number, run: () => void) => {
        probe = run;
        return () => {};
      },
    };
    const options = { path: join(disk, "core.db"), migrations, programVersion: "1.0.0", clock };
    const storage = await openStorage(options);
    const nextHealth = () =>
      new Promise<StorageHealth>((resolve) => {
        const stop = storage.onHealth((health) => {
          stop();
          resolve(health);
        });
      });
    const filler = join(disk, "filler");
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(filler, Buffer.alloc(bavail * bsize - 600_000));

    const onDisk: number[] = [];
    let failure: unknown;
    for (let id = 1; failure === undefined && id < 200; id++) {
      await storage.write([put.with(id, Buffer.alloc(10_000, id))]).then(
        () => onDisk.push(id),
        (error: unknown) => {
          failure = error;
        },
      );
    }
    expect(onDisk.length).toBeGreaterThan(3);
    expect(failure).toMatchObject({ code: "storage/failing", fields: { sqlite: "FULL" } });
    expect(storage.health).toMatchObject({ failing: { code: "storage/failing" }, since: 5 });
    expect((await storage.read(ids)).map(({ id }) => id)).toEqual(onDisk);

    rmSync(filler);
    const recovered = nextHealth();
    probe();
    expect(await recovered).toBe("ok");
    await storage.write([put.with(1_000, Buffer.alloc(10_000))]);
    await storage.close();

    const again = await openStorage(options);
    expect((await again.read(ids)).map(({ id }) => id)).toEqual([...onDisk, 1_000]);
    await again.close();
  });
});
