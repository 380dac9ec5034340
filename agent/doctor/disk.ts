/** The home's disk, who may read it, and what the process is allowed. */
import { constants, type StatsFs } from "node:fs";
import { access, readdir, readFile, stat, statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { errno, explain } from "../errors.ts";
import type { Facts } from "./facts.ts";
import { type Verdict, verdict } from "./verdict.ts";

const megabyte = 1024 ** 2;
/** Magic numbers of statfs(2): file systems over a network, whose locks are only as good as the other side. */
const remote = new Map([
  [0x6969, "NFS"],
  [0x517b, "SMB"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB2"],
]);

export async function checkDisk(
  { place: { home }, server, settings }: Facts,
  file: (path: string) => Promise<StatsFs> = statfs,
): Promise<Verdict[]> {
  const facts = await stat(home).catch((error: unknown) => explain(error));
  const limits = [await descriptors(server?.pid), memory(settings)];
  if (typeof facts === "string") {
    const found = `There is no home yet: ${facts}.`;
    return [verdict("disk.writable", "skipped", home, found, "the first start makes it"), ...limits];
  }
  return [await writable(home), ...space(home, await file(home)), ...(await permissions(home, facts.mode)), ...limits];
}

async function writable(home: string): Promise<Verdict> {
  try {
    await access(home, constants.R_OK | constants.W_OK | constants.X_OK);
    return verdict("disk.writable", "ok", home, "Can be read and written.");
  } catch (error) {
    if (errno(error) === "EROFS")
      return verdict(
        "disk.writable",
        "fail",
        home,
        "The file system is mounted read-only.",
        `mount -o remount,rw ${home}`,
      );
    return verdict("disk.writable", "fail", home, `Cannot be used: ${explain(error)}.`, `chown -R "$(id -un)" ${home}`);
  }
}

function space(home: string, { bavail, bsize, ffree, files, type }: StatsFs): Verdict[] {
  const free = Math.floor((bavail * bsize) / megabyte);
  const more = "make room, or move the home to a larger disk";
  const kind = remote.get(type);
  return [
    verdict(
      "disk.space",
      free < 100 ? "fail" : free < 1000 ? "warn" : "ok",
      home,
      `${free} MB are free.`,
      free < 1000 ? more : undefined,
    ),
    // File systems without a table of files report none at all.
    files === 0
      ? verdict("disk.inodes", "skipped", home, "The file system counts no files.")
      : verdict(
          "disk.inodes",
          ffree < 1000 ? "fail" : "ok",
          home,
          `${ffree} more files fit.`,
          ffree < 1000 ? more : undefined,
        ),
    kind === undefined
      ? verdict("disk.kind", "ok", home, "A local file system.")
      : verdict(
          "disk.kind",
          "warn",
          home,
          `It is on ${kind}, where locks may not hold.`,
          "move the home to a local disk",
        ),
  ];
}

async function permissions(home: string, mode: number): Promise<Verdict[]> {
  const open: Verdict[] = [];
  if ((mode & 0o077) !== 0)
    open.push(
      verdict("disk.permissions", "fail", home, `Its mode is ${octal(mode)}: others get in.`, `chmod 700 ${home}`),
    );
  for (const name of (await readdir(home, { recursive: true }).catch(() => [])).slice(0, 10_000)) {
    const path = join(home, name);
    const found = await stat(path).catch(() => undefined);
    if (!found || found.isDirectory() || (found.mode & 0o077) === 0) continue;
    open.push(verdict("disk.permissions", "warn", path, `Its mode is ${octal(found.mode)}.`, `chmod 600 ${path}`));
  }
  return open.length > 0 ? open : [verdict("disk.permissions", "ok", home, "Nobody else may read home and files.")];
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, "0");
}

async function descriptors(pid: number | undefined): Promise<Verdict> {
  const of = pid === undefined ? "this shell" : `server, pid ${pid}`;
  const text = await readFile(`/proc/${pid ?? "self"}/limits`, "utf8").catch(() => "");
  const [, soft] = /^Max open files\s+(\d+)/m.exec(text) ?? [];
  if (soft === undefined) return verdict("disk.descriptors", "skipped", of, "This system does not tell.");
  const few = Number(soft) < 4096;
  return verdict(
    "disk.descriptors",
    few ? "warn" : "ok",
    of,
    `${soft} files and connections.`,
    few ? "LimitNOFILE=65536 in the systemd unit, or ulimit -n 65536" : undefined,
  );
}

function memory(settings: ReadonlyMap<string, string>): Verdict {
  const key = "sys.xmpp.java_options";
  const [, number, unit = ""] = /-Xmx(\d+)([kmg]?)/i.exec(settings.get(key) ?? "") ?? [];
  const total = Math.floor(totalmem() / megabyte);
  if (number === undefined)
    return verdict("disk.memory", "ok", key, `No heap is asked for; the machine has ${total} MB.`);
  const wanted = Math.floor(
    (Number(number) * ({ k: 1024, m: megabyte, g: 1024 ** 3 }[unit.toLowerCase()] ?? 1)) / megabyte,
  );
  const found = `A heap of ${wanted} MB is asked for; the machine has ${total} MB.`;
  if (wanted > total * 0.8)
    return verdict("disk.memory", "fail", key, found, `${key}: -Xmx${Math.max(256, Math.floor(total / 2))}m`);
  if (wanted < 128) return verdict("disk.memory", "warn", key, found, `${key}: -Xmx512m`);
  return verdict("disk.memory", "ok", key, found);
}
