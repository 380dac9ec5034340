import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ListenSpec } from "../../xmpp-core/frames.ts";
import type { Connection } from "../../xmpp-core/transport/connection.ts";
import { connectGate } from "../../xmpp-core/transport/core-link.ts";

/**
 * The smallest core that can be restarted: an echo, line by line, with the number of the line. What it knows of a
 * connection is a count and half a line; the count goes into a file at a handover, the half line back to the gate.
 * A line "restart" hands over. Listeners, certificate and faults are ordered by files in the home.
 */
const home = process.env.FIREKEEPER_HOME ?? "";
const file = (name: string) => join(home, name);
const read = <Value>(name: string): Value | undefined =>
  existsSync(file(name)) ? (JSON.parse(readFileSync(file(name), "utf8")) as Value) : undefined;

const heap = process.execArgv.find((arg) => arg.includes("old-space"));
say("test-boot", { boot: process.env.FIREKEEPER_BOOT ?? "newest", heap });
if (existsSync(file("broken")) && process.env.FIREKEEPER_BOOT !== "proven") process.exit(7);

const gate = await connectGate(file("gate.sock"));
const counts = new Map(read<[number, number][]>("sessions.json") ?? []);
const partial = new Map<Connection, string>();
gate.onConnection("c2s", serve);
gate.onStop((cause) => {
  say("test-stop", { cause });
  if (!existsSync(file("stubborn"))) process.exit(0);
});
gate.onReload(() => void certify().then(() => say("test-reloaded")));

await certify();
const ports: number[] = [];
for (const spec of read<ListenSpec[]>("listen.json") ?? []) ports.push((await gate.listen(spec)).port);
gate.ready();
say("test-ready", { pid: process.pid, port: ports[0] });

function serve(connection: Connection): void {
  if (connection.adopted && !counts.has(connection.number)) {
    connection.drop();
    return;
  }
  partial.set(connection, "");
  connection.receive({
    bytes(chunk) {
      const lines = (partial.get(connection) + chunk.toString("latin1")).split("\n");
      partial.set(connection, lines.pop() ?? "");
      for (const line of lines) {
        const count = (counts.get(connection.number) ?? 0) + 1;
        counts.set(connection.number, count);
        if (line === "restart") void handOver();
        connection.write(`${count} ${line}\n`);
      }
    },
    secured: () => undefined,
    drained: () => undefined,
    closed() {
      partial.delete(connection);
      counts.delete(connection.number);
    },
  });
}

async function handOver(): Promise<void> {
  await gate.handover();
  for (const [connection, half] of partial) connection.giveBack(Buffer.from(half, "latin1"));
  writeFileSync(file("sessions.json"), JSON.stringify([...counts]));
  await gate.handed();
  process.exit(0);
}

async function certify(): Promise<void> {
  const certificate = read<{ name: string; chain: string; key: string }>("certificate.json");
  if (certificate !== undefined) await gate.certificates({ certificates: [certificate], default: certificate.name });
}

/** One line among the gate's own, on the output that the gate passes on. */
function say(event: string, fields: Record<string, unknown> = {}): void {
  console.error(JSON.stringify({ event, ...fields }));
}
