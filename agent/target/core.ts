/** Target `core`: our own server, over its control socket `<home>/control.sock`. One connection, kept open. docs/architecture.md "Three processes". */
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import {
  type ActualAccount,
  type Answer,
  type Ask,
  contractVersion,
  event as eventSchema,
  type NameAnswer,
  type RequestName,
  replyLine,
  requests,
} from "../../xmpp-core/control/contract.ts";
import { CodedError, explain } from "../errors.ts";
import type { ActualState, Target, TargetEvents } from "./target.ts";

type Pending = { name: RequestName; resolve(value: unknown): void; reject(error: unknown): void };

type Connection =
  | { is: "closed" }
  | { is: "waiting"; timer: NodeJS.Timeout }
  | { is: "connecting"; socket: Socket }
  | { is: "greeted"; socket: Socket; greeting: Answer<"hello"> }
  | { is: "ended" };

export type CoreOptions = {
  /** Path of the control socket. */
  socket: string;
  /** Who holds this core, for the message a second agent gets. */
  agent: string;
  events: TargetEvents;
  /** Why the server ended, if it said so before it could be reached. */
  lastWords?: () => string | undefined;
  /** Between two attempts to connect. */
  retryMs?: number;
};

/** Opens the target; it connects, and connects again, by itself until it is closed. */
export function openCore(options: CoreOptions): Target {
  return new CoreTarget(options);
}

class CoreTarget implements Target {
  readonly capabilities = { transactional: true, origins: true, probes: true } as const;
  readonly #options: CoreOptions;
  #connection: Connection = { is: "closed" };
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #hadConnection = false;
  /** The core that said it is about to be replaced: its greeting no longer counts as "ready". */
  #leaving: string | undefined;
  #refusal: CodedError | undefined;
  #waiters = new Set<{ resolve(greeting: Answer<"hello">): void; reject(error: unknown): void }>();
  #known: { hashes: Record<string, string>; parts: Partial<ActualState> } = { hashes: {}, parts: {} };
  #names = new Map<string, NameAnswer>();

  constructor(options: CoreOptions) {
    this.#options = options;
    this.#connect();
  }

  ready(timeoutMs: number): Promise<Answer<"hello">> {
    if (this.#connection.is === "greeted" && incarnation(this.#connection.greeting) !== this.#leaving) {
      return Promise.resolve(this.#connection.greeting);
    }
    if (this.#connection.is === "ended") return Promise.reject(this.#unreachable("the agent is stopping"));
    if (this.#refusal) return Promise.reject(this.#refusal);
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
      };
      const waiter = {
        resolve: (greeting: Answer<"hello">) => {
          settle();
          resolve(greeting);
        },
        reject: (error: unknown) => {
          settle();
          reject(error);
        },
      };
      const timer = setTimeout(
        () => waiter.reject(this.#unreachable(`no answer within ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
      this.#waiters.add(waiter);
    });
  }

  async revisions() {
    const { revision, proven } = await this.status();
    return { revision, proven };
  }

  /** Of accounts only names are asked, and no name twice of one run of the server: keys stay here, and 50,000 names are 2 MB. */
  async canonical(desired: Ask<"canonical">) {
    const names = this.#names;
    const wanted = desired.accounts.map(({ name }) => name);
    const fresh = desired.accounts.filter(({ name, aliases }) => aliases !== undefined || !names.has(name));
    const answer = await this.#ask("canonical", {
      ...desired,
      accounts: fresh.map(({ name, enabled, aliases }) => ({ name, enabled, ...(aliases ? { aliases } : {}) })),
    });
    for (const one of answer.accounts) names.set(one.given, one);
    const accounts = wanted.map((name) => names.get(name)).filter((one) => one !== undefined);
    // Names of people who left are forgotten once they are many.
    if (names.size > 2 * wanted.length + 1000) this.#names = new Map(accounts.map((one) => [one.given, one]));
    return { ...answer, accounts };
  }

  async actual(): Promise<ActualState> {
    const parts = await this.#ask("actual", { known: this.#known.hashes });
    const { accounts } = parts;
    const former = this.#known.parts.accounts;
    if (accounts.changed && former) accounts.value = merged(former, accounts.changed, accounts.gone ?? []);
    const take = <P extends keyof ActualState>(name: P): ActualState[P] => {
      const part = parts[name] as { hash: string; value?: ActualState[P] };
      const value = part.value ?? (this.#known.hashes[name] === part.hash ? this.#known.parts[name] : undefined);
      if (value === undefined) throw new CodedError("target/protocol", `The server did not send its ${name}.`);
      this.#known.hashes[name] = part.hash;
      this.#known.parts[name] = value;
      return value as ActualState[P];
    };
    return {
      ...(parts.contacts ? { contacts: take("contacts") } : {}),
      settings: take("settings"),
      groups: take("groups"),
      supervisors: take("supervisors"),
      accounts: take("accounts"),
    };
  }

  async apply(request: Ask<"apply">) {
    const here = this.#incarnation();
    const answer = await this.#ask("apply", request);
    if (answer.restarting) this.#leaving = here;
    return answer;
  }

  async setPassword(wanted: Ask<"set-password">) {
    await this.#ask("set-password", wanted);
  }

  async checkLogin(asked: Ask<"check-login">) {
    return (await this.#ask("check-login", asked)).checks;
  }

  async prove(revision: number) {
    await this.#ask("prove", { revision });
  }

  async restart(by: string) {
    const here = this.#incarnation();
    await this.#ask("restart", { by });
    this.#leaving = here;
  }

  async stop(by: string) {
    await this.#ask("stop", { by });
  }

  status() {
    return this.#ask("status", {});
  }

  async sessions(limit?: number) {
    return (await this.#ask("sessions", limit === undefined ? {} : { limit })).sessions;
  }

  openProbe() {
    return this.#ask("probe-open", {});
  }

  async closeProbe(name: string) {
    await this.#ask("probe-close", { name });
  }

  groupView(group: string) {
    return this.#ask("group-view", { group });
  }

  async backup(folder: string) {
    await this.#ask("backup", { folder });
  }

  async tell(state: Ask<"agent">) {
    await this.#ask("agent", state);
  }

  async answer(to: number, outcome: Omit<Ask<"answer">, "to">) {
    await this.#ask("answer", { to, ...outcome });
  }

  async close() {
    const connection = this.#connection;
    this.#connection = { is: "ended" };
    if (connection.is === "waiting") clearTimeout(connection.timer);
    if (connection.is === "connecting" || connection.is === "greeted") connection.socket.destroy();
    for (const waiter of this.#waiters) waiter.reject(this.#unreachable("the agent is stopping"));
    this.#failPending("the agent is stopping");
  }

  #unreachable(why: string): CodedError {
    const said = this.#options.lastWords?.();
    const itSaid = said === undefined ? "" : ` It ended with: ${said}`;
    return new CodedError("target/unreachable", `The server cannot be reached: ${why}.${itSaid}`, {
      hint: "Its log is logs/server.log in the home directory.",
    });
  }

  #incarnation(): string | undefined {
    return this.#connection.is === "greeted" ? incarnation(this.#connection.greeting) : undefined;
  }

  #connect() {
    this.#refusal = undefined;
    const socket = connect(this.#options.socket);
    this.#connection = { is: "connecting", socket };
    let reason = "closed by the server";
    socket.on("error", (error) => {
      reason = error.message;
    });
    socket.on("connect", () => this.#greet(socket));
    socket.on("close", () => this.#lost(socket, reason));
    createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })
      .on("line", (line) => this.#line(line))
      .on("error", () => {});
  }

  #greet(socket: Socket) {
    this.#send(socket, "hello", { agent: this.#options.agent, version: contractVersion }).then(
      (greeting) => {
        if (this.#connection.is !== "connecting" || this.#connection.socket !== socket) return;
        if (greeting.version.major !== contractVersion.major) {
          return this.#refuse(
            socket,
            new CodedError(
              "target/version",
              `The server speaks control contract ${greeting.version.major}.${greeting.version.minor}, this agent ${contractVersion.major}.${contractVersion.minor}.`,
              { hint: "Upgrade both to the same release." },
            ),
          );
        }
        this.#connection = { is: "greeted", socket, greeting };
        this.#known = { hashes: {}, parts: {} };
        this.#names = new Map();
        if (incarnation(greeting) !== this.#leaving) for (const waiter of this.#waiters) waiter.resolve(greeting);
        this.#options.events.greeted(greeting, this.#hadConnection);
        this.#hadConnection = true;
      },
      (error) => this.#refuse(socket, error),
    );
  }

  /** The server is there and will not have us (another agent, another version): said at once, tried again later. */
  #refuse(socket: Socket, error: unknown) {
    if (this.#connection.is === "ended" || (error instanceof CodedError && error.code === "target/lost")) return;
    this.#refusal = error instanceof CodedError ? error : new CodedError("target/protocol", explain(error));
    for (const waiter of this.#waiters) waiter.reject(this.#refusal);
    socket.destroy();
  }

  #lost(socket: Socket, reason: string) {
    if (this.#connection.is === "ended" || this.#connection.is === "waiting" || this.#connection.is === "closed")
      return;
    if (this.#connection.socket !== socket) return;
    const greeted = this.#connection.is === "greeted";
    const refused = this.#refusal;
    const timer = setTimeout(() => this.#connect(), this.#options.retryMs ?? 200);
    this.#connection = { is: "waiting", timer };
    this.#failPending(reason);
    if (greeted) this.#options.events.lost(refused ? refused.message : reason);
  }

  #failPending(reason: string) {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const request of pending) {
      request.reject(
        new CodedError("target/lost", `The connection to the server was lost during "${request.name}": ${reason}.`),
      );
    }
  }

  #ask<N extends RequestName>(name: N, params: Ask<N>): Promise<Answer<N>> {
    if (this.#connection.is !== "greeted") {
      return Promise.reject(this.#refusal ?? this.#unreachable("it is not connected"));
    }
    return this.#send(this.#connection.socket, name, params);
  }

  #send<N extends RequestName>(socket: Socket, name: N, params: Ask<N>): Promise<Answer<N>> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { name, resolve: (value) => resolve(value as Answer<N>), reject });
      socket.write(`${JSON.stringify({ id, ask: name, with: params })}\n`);
    });
  }

  #line(line: string) {
    let document: unknown;
    try {
      document = JSON.parse(line);
    } catch {
      return this.#options.events.lost("the server sent a line that is no JSON");
    }
    const told = eventSchema.safeParse(document);
    if (told.success) return this.#options.events.event(told.data);
    const reply = replyLine.safeParse(document);
    if (!reply.success) return; // An event of a newer minor version: not ours to understand.
    const request = this.#pending.get(reply.data.id);
    if (!request) return;
    this.#pending.delete(reply.data.id);
    if (reply.data.error) {
      const { code, message, hint, fields } = reply.data.error;
      request.reject(
        new CodedError(code, message, { ...(hint === undefined ? {} : { hint }), ...(fields ? { fields } : {}) }),
      );
      return;
    }
    const answer = requests[request.name].answer.safeParse(reply.data.ok ?? {});
    if (answer.success) request.resolve(answer.data);
    else
      request.reject(
        new CodedError("target/protocol", `The server's answer to "${request.name}" is not understood.`, {
          cause: answer.error,
        }),
      );
  }
}

/** Accounts as they are after some changed; a new list, since whoever holds the former one compares by it. */
function merged(former: readonly ActualAccount[], changed: readonly ActualAccount[], gone: readonly string[]) {
  const byName = new Map(former.map((one) => [one.name, one]));
  for (const name of gone) byName.delete(name);
  for (const one of changed) byName.set(one.name, one);
  return [...byName.values()];
}

/** Tells one run of the core from the next; a pid alone may come again. */
function incarnation(greeting: Answer<"hello">): string {
  return `${greeting.pid} ${greeting.startedAt}`;
}
