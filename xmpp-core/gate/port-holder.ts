import { readdir, readFile, readlink } from "node:fs/promises";

/** Which process listens on a port, as far as /proc shows it to us: "nginx (pid 812)". */
export async function portHolder(port: number): Promise<string | undefined> {
  const inodes = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await readFile(table, "utf8").catch(() => "");
    for (const line of text.split("\n").slice(1)) {
      const columns = line.trim().split(/\s+/);
      const local = columns[1]?.split(":")[1];
      // 0A is TCP_LISTEN.
      if (columns[3] === "0A" && local !== undefined && Number.parseInt(local, 16) === port)
        inodes.add(columns[9] ?? "");
    }
  }
  if (inodes.size === 0) return undefined;
  for (const pid of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/.test(pid)) continue;
    // Processes of other users hide their descriptors; they end while we look.
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
      return `${name.trim() || "a process"} (pid ${pid})`;
    }
  }
  return undefined;
}
