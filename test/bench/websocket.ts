/** The same chat and the same idle people over TCP and over WebSocket: what the wire of browsers costs. RFC 7395 */
import { type LoadGenerator, startLoad } from "./load-driver.ts";
import { type ChatRow, chatScenario, type IdleRow, idleScenario, loginScenario } from "./scenarios.ts";
import { type Subject, startSubject } from "./subject.ts";

const wires = ["TCP", "WebSocket"] as const;
interface Row {
  readonly chats: readonly ChatRow[];
  readonly idle: IdleRow;
}

/** On a server of its own: memory that sessions add depends on what others have left. */
async function fresh<T>(
  wire: (typeof wires)[number],
  users: number,
  measure: (subject: Subject, load: LoadGenerator) => Promise<T>,
): Promise<T> {
  const subject = await startSubject("firekeeper", { archive: true, users });
  if (subject?.webPort === undefined) throw new Error("no port for browsers");
  const { target, webPort } = subject;
  const load = startLoad();
  try {
    const over = wire === "TCP" ? target : { ...target, port: webPort, kind: "websocket" as const };
    return await measure({ ...subject, target: over }, load);
  } finally {
    load.stop();
    await subject.stop();
  }
}

/** The table, as Markdown. */
export async function webTable(sessions: number, seconds: number, machine: string): Promise<string> {
  const rows = new Map<string, Row>();
  for (const wire of wires) {
    const chats = await fresh(wire, 200, async (subject, load) => {
      const streamManagement = false;
      const many = { name: wire, clients: 200, inFlight: 4, streamManagement };
      const few = { name: wire, clients: 20, inFlight: 1, streamManagement };
      return [await chatScenario(subject, load, many, seconds), await chatScenario(subject, load, few, seconds)];
    });
    const idle = await fresh(wire, sessions, async (subject, load) => {
      await loginScenario(subject, load, 200);
      return idleScenario(subject, load, sessions);
    });
    rows.set(wire, { chats, idle });
  }
  const micro = (row: ChatRow | undefined): string => `${(row?.cpuPerMessage ?? Number.NaN).toFixed(1)} µs`;
  const faults = (chats: readonly ChatRow[]): number =>
    chats.reduce((sum, { lost, doubled, disordered }) => sum + lost + doubled + disordered, 0);
  return [
    `TCP beside WebSocket, ${sessions} idle sessions: ${machine}`,
    "",
    "| wire | 200 clients, 4 in flight | 20 clients, 1 in flight | memory per idle session | lost, doubled, disordered |",
    "| --- | ---: | ---: | ---: | ---: |",
    ...[...rows].map(([wire, { chats, idle }]) => {
      const kib = `${(idle.bytesPerSession / 1024).toFixed(1)} KiB`;
      return `| ${[wire, micro(chats[0]), micro(chats[1]), kib, faults(chats)].join(" | ")} |`;
    }),
  ].join("\n");
}
