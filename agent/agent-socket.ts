/** The agent's side of `<home>/agent.sock` (0600): it answers the command line. */
import { chmod, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { agentRequest, agentSocketPath } from "./agent-socket-client.ts";
import { CodedError } from "./errors.ts";

/** `by` is ready for the journal; `progress` tells the asker what is being done, if he wants to hear it. What it throws goes to the asker with its code. */
export type Handler = (
  params: Record<string, unknown>,
  by: string,
  progress: ((what: string) => void) | undefined,
) => Promise<unknown>;

/**
 * Serves until closed. Call it only while holding the home's lock: a socket file that is left over from a killed
 * agent is replaced.
 */
export async function serveAgentSocket(
  home: string,
  handlers: ReadonlyMap<string, Handler>,
): Promise<{ close(): Promise<void> }> {
  const path = agentSocketPath(home);
  await rm(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    createInterface({ input: socket })
      .on("line", (line) => void answer(socket, line, handlers))
      .on("error", () => {});
  });
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(umask);
  }
  await chmod(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.end();
        setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, 1000).unref();
      }),
  };
}

async function answer(socket: Socket, line: string, handlers: ReadonlyMap<string, Handler>): Promise<void> {
  let id = 0;
  try {
    const request = agentRequest.parse(JSON.parse(line));
    id = request.id;
    const handler = handlers.get(request.ask);
    if (!handler) {
      throw new CodedError("agent/unknown-request", `The agent does not know "${request.ask}".`, {
        hint: "Agent and command line are of different releases: restart the agent.",
      });
    }
    const progress = request.progress
      ? (what: string) => void socket.write(`${JSON.stringify({ id, progress: what })}\n`)
      : undefined;
    const ok = await handler(request.with, `local user ${request.by} (claimed)`, progress);
    socket.write(`${JSON.stringify({ id, ok: ok ?? null })}\n`);
  } catch (error) {
    socket.write(`${JSON.stringify({ id, error: failureOf(error) })}\n`);
  }
}

/** An error as it goes over a socket: code, sentence, hint, facts; never a stack. */
export function failureOf(error: unknown): {
  code: string;
  message: string;
  hint?: string;
  fields?: Record<string, string | number | boolean>;
} {
  if (!(error instanceof CodedError)) {
    return { code: "agent/failed", message: error instanceof Error ? error.message : String(error) };
  }
  const fields: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(error.fields)) if (value !== undefined) fields[key] = value;
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    fields,
  };
}
