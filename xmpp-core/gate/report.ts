import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

export type Level = "info" | "warn" | "error";
export type Report = (level: Level, event: string, fields?: Record<string, unknown>) => void;

const rotateBytes = 10 * 1024 * 1024;
const keptFiles = 10;

/** Where the gate's lines, and the core's output, go. */
export interface Log {
  readonly report: Report;
  write(chunk: Buffer | string): void;
  /** Opens the file again, for who has moved it away. */
  reopen(): void;
}

/**
 * One JSON object a line, on standard error; with a path, appended to that file, which is rotated at 10 MB, ten kept
 * (path.1 is the youngest). A detached gate has nobody else to do it.
 */
export function openLog(path: string | undefined): Log {
  let fd = path === undefined ? 2 : openSync(path, "a", 0o600);
  let size = path === undefined ? 0 : fstatSync(fd).size;
  const reopen = () => {
    if (path === undefined) return;
    closeSync(fd);
    fd = openSync(path, "a", 0o600);
    size = fstatSync(fd).size;
  };
  const write = (chunk: Buffer | string) => {
    try {
      size += writeSync(fd, chunk as string);
      if (path === undefined || size < rotateBytes) return;
      for (let age = keptFiles - 1; age >= 0; age -= 1) {
        try {
          renameSync(age === 0 ? path : `${path}.${age}`, `${path}.${age + 1}`);
        } catch {
          // There are not that many yet.
        }
      }
      reopen();
    } catch {
      // A full disk or a closed pipe must not end the service; there is nowhere left to say so.
    }
  };
  const report: Report = (level, event, fields) => {
    write(`${JSON.stringify({ time: new Date().toISOString(), level, from: "gate", event, ...fields })}\n`);
  };
  return { report, write, reopen };
}
