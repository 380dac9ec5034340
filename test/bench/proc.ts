import { readdirSync, readFileSync } from "node:fs";

/** A process and all that descend from it, as far as they live. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statFields(Number(name));
    if (fields !== undefined) parents.set(Number(name), Number(fields[1]));
  }
  const tree = [root];
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child);
  return tree.filter((pid) => parents.has(pid));
}

/** CPU time, user and system, of these processes and of their children that have ended, in microseconds. */
export function cpuMicroseconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) for (const field of statFields(pid)?.slice(11, 15) ?? []) ticks += Number(field);
  return ticks * 10_000;
}

/** Proportional set size of these processes in bytes: private memory plus each one's share of what is shared. */
export function memoryBytes(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) kilobytes += Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  return kilobytes * 1024;
}

/** Fields of /proc/pid/stat behind the command's name: state, ppid, … utime is number 11, stime 12, cutime 13, cstime 14. */
function statFields(pid: number): string[] | undefined {
  const line = read(`/proc/${pid}/stat`);
  return line === "" ? undefined : line.slice(line.lastIndexOf(")") + 2).split(" ");
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
