/** How the command line asks the running agent: one JSON document a line on `<home>/agent.sock`. */
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { z } from "zod";
import { CodedError, errno } from "./errors.ts";

/** `by` is a claim: whoever may open the socket may write any name. The journal says "local user NAME (claimed)". */
export const agentRequest = z.object({
  id: z.number(),
  ask: z.string(),
  with: z.record(z.string(), z.unknown()),
  by: z.string(),
  /** The asker takes lines with `progress` before the one with the answer. */
  progress: z.boolean().optional(),
});

export const agentReply = z.object({
  id: z.number(),
  /** What is being done; the answer follows. */
  progress: z.string().optional(),
  ok: z.unknown().optional(),
  error: z
    .object({
      code: z.string(),
      message: z.string(),
      hint: z.string().optional(),
      fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
    })
    .optional(),
});

export function agentSocketPath(home: string): string {
  return join(home, "agent.sock");
}

/**
 * Asks the agent of this home once and hangs up. What is asked: `plan`, `apply`, `status`, `history`, `show`,
 * `rollback`, `resume`, `restart`, and `edit` with a `HostChange` as `{ change }` (answered by `{ summary, changed, outcome }`).
 * Rejects with `agent/not-running`, or with what the agent answered.
 */
export function askAgent(
  home: string,
  ask: string,
  params: Record<string, unknown> = {},
  progress?: (what: string) => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(agentSocketPath(home));
    socket.on("error", (error) => reject(notRunning(home, error)));
    socket.on("connect", () =>
      socket.write(
        `${JSON.stringify({ id: 1, ask, with: params, by: userInfo().username, ...(progress ? { progress: true } : {}) })}\n`,
      ),
    );
    socket.on("close", () =>
      reject(
        new CodedError("agent/lost", "The agent hung up before it answered.", {
          hint: "firekeeper status tells what it did.",
        }),
      ),
    );
    const lines = createInterface({ input: socket });
    // What happens to the socket happens to its reader too; it is dealt with above.
    lines.on("error", () => {});
    lines.on("line", (line) => {
      const reply = agentReply.parse(JSON.parse(line));
      if (reply.progress !== undefined) return progress?.(reply.progress);
      socket.end();
      if (reply.error) {
        const { code, message, hint, fields } = reply.error;
        reject(
          new CodedError(code, message, { ...(hint === undefined ? {} : { hint }), ...(fields ? { fields } : {}) }),
        );
      } else resolve(reply.ok);
    });
  });
}

function notRunning(home: string, error: Error): CodedError {
  const gone = errno(error) === "ENOENT" || errno(error) === "ECONNREFUSED";
  return new CodedError(
    "agent/not-running",
    gone ? `No agent is running in ${home}.` : `The agent in ${home} cannot be asked: ${error.message}.`,
    { hint: "Start it with npm start, or set FIREKEEPER_HOME to the home it runs in.", fields: { home }, cause: error },
  );
}
