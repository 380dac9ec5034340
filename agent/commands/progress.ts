/** Shows what is being done, on one line that the next overwrites; on a terminal only. */

type Terminal = Pick<NodeJS.WriteStream, "isTTY" | "write">;

/** Undefined where nobody watches: a pipe, a log, a cron job. */
export function terminalProgress(out: Terminal = process.stdout): ((what: string | undefined) => void) | undefined {
  if (!out.isTTY) return undefined;
  return (what) => void out.write(what === undefined ? "\r\u001b[K" : `\r\u001b[K… ${what}`);
}
