/** The control socket: a Unix socket in the home, one JSON document a line, one agent at a time. docs/architecture.md "Three processes". */
import { chmod, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../clock.ts";
import { CodedError } from "../errors.ts";
import type { Report } from "../report.ts";
import {
  type Answer,
  type Ask,
  type ControlEvent,
  contractVersion,
  type Failure,
  type RequestName,
  requestLine,
  requests,
} from "./contract.ts";

/** Who answers: one function for each request but `hello`, which the socket checks first. */
export type Answering = {
  readonly [Name in RequestName]: (ask: Ask<Name>) => Answer<Name> | Promise<Answer<Name>>;
};

export interface ControlSocket {
  /** Sends an event to the agent; false if there is none. */
  tell(event: ControlEvent): boolean;
  /** Name of the agent that is connected. */
  readonly agent: string | undefined;
  close(): Promise<void>;
}

/** A snapshot of 100,000 users with keys is about 60 MB; before the greeting nobody has anything long to say. */
const longestLine = 256 * 1024 * 1024;
const longestGreeting = 64 * 1024;
const greetWithinMs = 10_000;
const newline = 0x0a;

interface Parts {
  readonly path: string;
  readonly clock: Clock;
  readonly report: Report;
  readonly answering: Answering;
  /** The agent is gone: what it was asked will not be answered. */
  readonly lost: () => void;
}

/** Opens the socket (0600). What stands at the path is a leftover: the caller holds the home's lock. */
export async function openControlSocket(parts: Parts): Promise<ControlSocket> {
  const { path } = parts;
  const open = new Set<Socket>();
  const state: { held: Held | undefined } = { held: undefined };
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    serve(socket, parts, state);
  });
  await rm(path, { force: true });
  await listening(server, path);
  await chmod(path, 0o600);
  return {
    tell(event) {
      if (state.held === undefined) return false;
      state.held.socket.write(`${JSON.stringify(event)}\n`);
      return true;
    },
    get agent() {
      return state.held?.agent;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // An answer that was just written still goes out: end, not destroy.
      for (const socket of open) socket.end(() => socket.destroy());
      await closed;
    },
  };
}

interface Held {
  readonly socket: Socket;
  readonly agent: string;
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new CodedError("control/socket", `The control socket ${path} cannot be opened: ${cause.message}.`, {
          fields: { path },
          hint: "Choose a FIREKEEPER_HOME that is writable and whose path is short.",
          cause,
        }),
      ),
    );
    server.listen(path, resolve);
  });
}

function serve(socket: Socket, parts: Parts, state: { held: Held | undefined }): void {
  const unanswered = parts.clock.after(greetWithinMs, () => {
    if (state.held?.socket !== socket) refuse(undefined, new CodedError("control/silent", "No greeting came."));
  });
  const mine = (): boolean => state.held?.socket === socket;
  let finished = false;

  function reply(id: number, outcome: { ok: unknown } | { error: Failure }): void {
    if (socket.writable) socket.write(`${JSON.stringify({ id, ...outcome })}\n`);
  }

  /** Tells why and closes: who does not speak the contract gets no second line. */
  function refuse(id: number | undefined, error: unknown): void {
    finished = true;
    if (!socket.writable) return;
    socket.end(`${JSON.stringify({ id: id ?? 0, error: failureOf(error) })}\n`, () => socket.destroy());
  }

  function line(text: string): void {
    const document = parsed(text);
    const request = requestLine.safeParse(document);
    if (!request.success)
      return refuse(undefined, new CodedError("control/malformed", "A line is no request of the control contract."));
    const { id, ask, with: given } = request.data;
    if (!Object.hasOwn(requests, ask))
      return refuse(
        id,
        new CodedError("control/unknown-request", "There is no such request.", { fields: { ask: ask.slice(0, 100) } }),
      );
    const name = ask as RequestName;
    const checked = requests[name].ask.safeParse(given ?? {});
    if (!checked.success) return refuse(id, malformed(name, checked.error));
    if (name === "hello") return greet(id, checked.data as Ask<"hello">);
    if (!mine()) return refuse(id, new CodedError("control/not-greeted", "The first request is hello."));
    void answer(id, name, checked.data);
  }

  function greet(id: number, hello: Ask<"hello">): void {
    if (hello.version.major !== contractVersion.major)
      return refuse(
        id,
        new CodedError(
          "control/version",
          `This server speaks control contract ${contractVersion.major}.${contractVersion.minor}, the agent ${hello.version.major}.${hello.version.minor}.`,
          { hint: "Upgrade both to the same release." },
        ),
      );
    if (state.held !== undefined && !mine())
      return refuse(
        id,
        new CodedError("control/held", `This server is driven by ${state.held.agent}.`, {
          fields: { holder: state.held.agent },
          hint: "A server serves one agent: stop that one first.",
        }),
      );
    state.held = { socket, agent: hello.agent };
    unanswered();
    void answer(id, "hello", hello);
  }

  async function answer(id: number, name: RequestName, ask: unknown): Promise<void> {
    try {
      const handler = parts.answering[name] as (ask: unknown) => unknown;
      reply(id, { ok: (await handler(ask)) ?? {} });
    } catch (error) {
      if (!(error instanceof CodedError)) parts.report.wrong({ what: `control request ${name}`, error });
      reply(id, { error: failureOf(error) });
    }
  }

  let chunks: Buffer[] = [];
  let waiting = 0;
  socket.on("data", (chunk) => {
    let rest = chunk;
    for (let end = rest.indexOf(newline); end >= 0 && !finished; end = rest.indexOf(newline)) {
      const text = Buffer.concat([...chunks, rest.subarray(0, end)]).toString("utf8");
      rest = rest.subarray(end + 1);
      chunks = [];
      waiting = 0;
      if (text.trim() !== "") line(text);
    }
    if (finished) return;
    chunks.push(rest);
    waiting += rest.length;
    const longest = mine() ? longestLine : longestGreeting;
    if (waiting > longest)
      refuse(undefined, new CodedError("control/line-too-long", `A line is longer than ${longest} bytes.`));
  });
  // A reset is an end like any other; "close" follows.
  socket.on("error", () => undefined);
  socket.once("close", () => {
    unanswered();
    if (!mine()) return;
    state.held = undefined;
    parts.lost();
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Names where the request is wrong and never what stood there: it may be a secret. */
function malformed(
  name: RequestName,
  error: { issues: readonly { path: PropertyKey[]; message: string }[] },
): CodedError {
  const first = error.issues[0];
  const where = first?.path.map(String).join(".") ?? "";
  return new CodedError(
    "control/malformed",
    `The request "${name}" is not as the contract has it${where === "" ? "" : `, at ${where}`}.`,
    {
      fields: { where },
      hint: "Agent and server are of different releases: upgrade both.",
    },
  );
}

/** An error as it crosses the socket. What is our own fault says no more than that; the log has it. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof CodedError))
    return {
      code: "control/internal",
      message: "The server failed by its own fault.",
      hint: "Its log says more: logs/server.log in the home directory.",
    };
  const fields = Object.entries(error.fields).filter(
    (entry): entry is [string, string | number | boolean] => entry[1] !== undefined,
  );
  return {
    code: error.code,
    message: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(fields.length === 0 ? {} : { fields: Object.fromEntries(fields) }),
  };
}
