import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Power loss without a virtual machine. After `kill -9` everything a process wrote is still in the kernel's cache; after
 * power loss only what it synced is sure, and of the rest any part may have reached the disk, also torn. So a preloaded
 * library (power-loss.c, for programs that write through libc, which Node and SQLite do) keeps beside each file the old
 * bytes of what was written since the file's last completed fsync, and after the kill `losePower` takes unsynced writes
 * back: each is dropped, kept or torn at a sector, as `random` decides.
 *
 *     const child = spawn(process.execPath, args, { env: { ...process.env, ...powerLossEnvironment(home) } });
 *     …                          // child.kill("SIGKILL"), wait for its exit
 *     losePower(home, random);   // then start it again
 *
 * Not simulated: names (creating, renaming and deleting files count as durable at once), and shared memory (SQLite's
 * `-shm` is removed, as it is rebuilt after a crash). Linux only, needs a C compiler.
 */
export function powerLossEnvironment(home: string): { LD_PRELOAD: string; POWER_LOSS_HOME: string } {
  return { LD_PRELOAD: preloadLibrary(), POWER_LOSS_HOME: realpathSync(home) };
}

/** Why power loss cannot be simulated on this machine, for `test.skipIf`; undefined if it can. */
export function powerLossUnavailable(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  try {
    preloadLibrary();
    return undefined;
  } catch (error) {
    return `needs a C compiler: ${error}`;
  }
}

function preloadLibrary(): string {
  const source = fileURLToPath(new URL("./power-loss.c", import.meta.url));
  const version = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const library = join(tmpdir(), `power-loss-${version}.so`);
  if (existsSync(library)) return library;
  const partial = `${library}.${process.pid}`;
  execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", partial, source, "-ldl", "-lpthread"], { stdio: "pipe" });
  renameSync(partial, library);
  return library;
}

interface UnsyncedWrite {
  readonly offset: number;
  readonly sizeBefore: number;
  readonly length: number;
  readonly old: Buffer;
}

const sector = 512;

/**
 * Takes back unsynced writes below `home`, whose processes must be dead. `random` yields numbers in [0, 1): a third of
 * the writes is dropped, a third kept, a third torn; `() => 0` drops all. Returns how many writes were unsynced.
 */
export function losePower(home: string, random: () => number): number {
  let count = 0;
  for (const name of readdirSync(home, { recursive: true }) as string[]) {
    const path = join(home, name);
    if (name.endsWith("-shm")) rmSync(path);
    if (!name.endsWith(".unsynced")) continue;
    const file = path.slice(0, -".unsynced".length);
    const writes = recordsOf(readFileSync(path));
    if (existsSync(file)) takeBack(file, writes, random);
    rmSync(path);
    count += writes.length;
  }
  return count;
}

function recordsOf(log: Buffer): UnsyncedWrite[] {
  const records: UnsyncedWrite[] = [];
  const number = (at: number) => Number(log.readBigUInt64LE(at));
  // A record that the kill cut short belongs to a write that did not happen.
  for (let at = 0; at + 32 <= log.length && at + 32 + number(at + 24) <= log.length; at += 32 + number(at + 24)) {
    const old = log.subarray(at + 32, at + 32 + number(at + 24));
    records.push({ offset: number(at), sizeBefore: number(at + 8), length: number(at + 16), old });
  }
  return records;
}

function takeBack(file: string, writes: readonly UnsyncedWrite[], random: () => number): void {
  const descriptor = openSync(file, "r+");
  const written: Buffer[] = [];
  // Backwards to the synced state, noting on the way what each write had put there …
  for (const write of [...writes].reverse()) {
    const bytes = Buffer.alloc(write.length);
    written.unshift(bytes.subarray(0, readSync(descriptor, bytes, 0, write.length, write.offset)));
    writeSync(descriptor, write.old, 0, write.old.length, write.offset);
    ftruncateSync(descriptor, write.sizeBefore);
  }
  // … and forwards again with what reached the disk.
  writes.forEach((write, index) => {
    const bytes = written[index] as Buffer;
    const fate = random() * 3;
    const kept = fate < 1 ? 0 : fate < 2 ? bytes.length : sector * Math.floor((bytes.length / sector) * (fate - 2));
    writeSync(descriptor, bytes, 0, kept, write.offset);
  });
  closeSync(descriptor);
}
