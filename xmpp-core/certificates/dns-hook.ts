/** Publishes dns-01 proofs (RFC 8555 §8.4) by a program of the host's. */
import { execFile } from "node:child_process";
import { isAbsolute } from "node:path";
import { CodedError } from "../errors.ts";

/** A program may wait until its record has reached all servers of the zone. */
const hookMs = 5 * 60_000;
const mostOutput = 64 * 1024;

/**
 * Runs `PROGRAM present|cleanup _acme-challenge.NAME VALUE`, without a shell. The path comes from the environment of
 * the process and never from a property: whoever may set properties must not run programs.
 *
 * @returns what takes the record away
 * @throws CodedError certificate/acme-hook
 */
export async function presentRecord(
  program: string | undefined,
  name: string,
  value: string,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  if (program === undefined || !isAbsolute(program))
    throw new CodedError(
      "certificate/acme-hook",
      program === undefined ? "FIREKEEPER_ACME_HOOK is not set." : "FIREKEEPER_ACME_HOOK is no absolute path.",
      { hint: "Set it in the environment of the server to the program that publishes DNS records." },
    );
  const record = `_acme-challenge.${name.replace(/^\*\./, "")}`;
  const takeAway = () => run(program, ["cleanup", record, value], undefined);
  try {
    await run(program, ["present", record, value], signal);
  } catch (error) {
    // It may have got half way.
    await takeAway().catch(() => undefined);
    throw error;
  }
  return takeAway;
}

function run(program: string, args: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const options = {
    timeout: hookMs,
    killSignal: "SIGKILL",
    maxBuffer: mostOutput,
    shell: false,
    windowsHide: true,
  } as const;
  return new Promise((resolve, reject) => {
    execFile(program, args, { ...options, ...(signal === undefined ? {} : { signal }) }, (error, _output, errors) => {
      if (error === null) return resolve();
      const said = errors
        .trim()
        .split("\n")
        .at(-1)
        ?.replace(/[^\x20-\x7e]+/g, " ")
        .slice(0, 200);
      const how = error.killed ? `was killed after ${hookMs / 1000} seconds` : `failed (${error.code ?? error.signal})`;
      reject(
        new CodedError("certificate/acme-hook", `${program} ${args[0]} ${how}${said ? `: ${said}` : "."}`, {
          fields: { program, what: args[0] },
          hint: `Try it by hand: ${program} present ${args[1]} test`,
          cause: error,
        }),
      );
    });
  });
}
