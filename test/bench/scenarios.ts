import type { ChatResult } from "./chat-load.ts";
import type { LoadGenerator } from "./load-driver.ts";
import { cpuMicroseconds, memoryBytes } from "./proc.ts";
import type { Subject } from "./subject.ts";

/** One scenario of chatting; CPU in microseconds per delivered message, all of the subject's processes summed. */
export type ChatRow = ChatResult & {
  cpuPerMessage: number;
  messagesPerSecond: number;
  /** The load generator's own use of one CPU core, 0 to 1: near 1 it is the bottleneck. */
  loadCpuShare: number;
  serverCpuShare: number;
};
export type LoginRow = { logins: number; cpuPerLogin: number; loginsPerSecond: number };
export type IdleRow = { sessions: number; bytesPerSession: number };
export type RestartRow = {
  sessions: number;
  silenceMs: number;
  tookMs: number;
  closed: number;
  lost: number;
  doubled: number;
};

export type ChatScenario = { name: string; clients: number; inFlight: number; streamManagement: boolean };

/** Logs clients in, lets them chat, and measures the middle of it. */
export async function chatScenario(
  subject: Subject,
  load: LoadGenerator,
  scenario: ChatScenario,
  seconds: number,
): Promise<ChatRow> {
  const { clients, inFlight, streamManagement } = scenario;
  const { target } = subject;
  await load.order({ do: "login", target, from: 0, count: clients, atOnce: 8, streamManagement, presence: true });
  await load.order({ do: "chat", clients, inFlight, warmUpMs: 3000 });
  const pids = subject.pids();
  const before = { server: cpuMicroseconds(pids), load: cpuMicroseconds([load.pid]) };
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const middle = await load.order({ do: "measured" });
  const server = cpuMicroseconds(pids) - before.server;
  const own = cpuMicroseconds([load.pid]) - before.load;
  const counted = await load.order({ do: "finish" });
  await load.order({ do: "drop" });
  return {
    ...middle,
    ...counted,
    cpuPerMessage: server / middle.delivered,
    messagesPerSecond: middle.delivered / middle.seconds,
    loadCpuShare: own / 1e6 / middle.seconds,
    serverCpuShare: server / 1e6 / middle.seconds,
  };
}

/** CPU of a login: TCP, STARTTLS, SCRAM-SHA-1, bind, presence, one ping; eight at a time. */
export async function loginScenario(subject: Subject, load: LoadGenerator, logins: number): Promise<LoginRow> {
  const { target } = subject;
  const one = { do: "login", target, atOnce: 8, streamManagement: false, presence: true } as const;
  // The first round also derives the client's keys and warms the server.
  await load.order({ ...one, from: 0, count: logins });
  await load.order({ do: "drop" });
  await settled(subject);
  const before = cpuMicroseconds(subject.pids());
  const { seconds } = await load.order({ ...one, from: 0, count: logins });
  const cpu = cpuMicroseconds(subject.pids()) - before;
  await load.order({ do: "drop" });
  return { logins, cpuPerLogin: cpu / logins, loginsPerSecond: logins / seconds };
}

/** Memory that idle sessions add, with stream management, carbons and presence on, beyond a server that has seen logins. */
export async function idleScenario(subject: Subject, load: LoadGenerator, sessions: number): Promise<IdleRow> {
  const { target } = subject;
  const one = { do: "login", target, atOnce: 8, streamManagement: true, presence: true } as const;
  await settled(subject);
  const before = memoryBytes(subject.pids());
  await load.order({ ...one, from: 0, count: sessions });
  await settled(subject);
  const after = memoryBytes(subject.pids());
  return { sessions, bytesPerSession: (after - before) / sessions };
}

/** An orderly restart under `idleScenario`'s sessions while twenty of them chat; the sessions must be logged in. */
export async function restartScenario(
  subject: Subject,
  load: LoadGenerator,
  sessions: number,
): Promise<RestartRow | undefined> {
  if (subject.restart === undefined) return undefined;
  await load.order({ do: "chat", clients: 20, inFlight: 1, warmUpMs: 2000 });
  const begun = performance.now();
  await subject.restart();
  const tookMs = performance.now() - begun;
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const { longestSilence, closed } = await load.order({ do: "measured" });
  const { lost, doubled } = await load.order({ do: "finish" });
  return { sessions, silenceMs: longestSilence, tookMs, closed, lost, doubled };
}

/** Waits until the subject has been idle for a second, at most thirty. */
async function settled(subject: Subject): Promise<void> {
  let before = cpuMicroseconds(subject.pids());
  for (let second = 0; second < 30; second++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const now = cpuMicroseconds(subject.pids());
    if (now - before < 30_000) return;
    before = now;
  }
}
