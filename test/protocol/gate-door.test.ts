import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { openDoor } from "../../xmpp-core/transport/http-door.ts";
import { inProcessGate } from "../../xmpp-core/transport/in-process.ts";
import type { ConnectionStream } from "../../xmpp-core/transport/stream.ts";
import { manualClock } from "../support/manual-clock.ts";

// How long HTTP on the gate's connections waits for whom.
const patienceMs = 30_000;

async function serve(answer: (response: ServerResponse) => Promise<void>) {
  const clock = manualClock();
  const { gate, close } = await inProcessGate();
  const door = openDoor(clock, {}, (_, response) => void answer(response));
  onTestFinished(() => {
    door.close();
    close();
  });
  gate.onConnection("web", (connection) => door.take(connection));
  const { port } = await gate.listen({ name: "web", port: 0, tls: "never" });
  gate.ready();
  return { clock, port };
}

test("who takes the end of an answer slowly gets all of it, and is waited for no longer than others after that", async () => {
  const piece = Buffer.alloc(64 * 1024, "x");
  let pieces = 0;
  let answered: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => {
    answered = resolve;
  });
  const { clock, port } = await serve(async (response) => {
    const stream = response.socket as unknown as ConnectionStream;
    response.once("close", answered);
    // More than the system's buffers hold, so that an end is written that nobody has taken.
    while (stream.unsent < 128 * 1024) {
      await new Promise((resolve) => response.write(piece, resolve));
      await new Promise(setImmediate);
      pieces++;
    }
    response.end();
  });
  const reader = connect(port, "127.0.0.1");
  await once(reader, "connect");
  reader.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await closed;
  clock.pass(patienceMs);
  clock.pass(patienceMs);
  let taken = 0;
  let last = "";
  const over = once(reader, "close");
  const whole = new Promise<void>((resolve) => {
    reader.on("data", (chunk: Buffer) => {
      for (const byte of chunk) if (byte === 0x78) taken++;
      last = (last + chunk.subarray(-5).toString()).slice(-5);
      if (last === "0\r\n\r\n") resolve();
    });
  });
  await Promise.race([whole, over]);
  expect(taken).toBe(pieces * piece.length);
  await expect
    .poll(
      () => {
        clock.pass(patienceMs);
        return reader.closed;
      },
      { timeout: 20_000 },
    )
    .toBe(true);
});

test("who takes nothing of an answer is cut off, and not as long as something is taken", async () => {
  const piece = Buffer.alloc(64 * 1024, "x");
  let stuck: ConnectionStream | undefined;
  const { clock, port } = await serve(async (response) => {
    stuck = response.socket as unknown as ConnectionStream;
    while (!response.closed) await new Promise((resolve) => response.write(piece, resolve));
  });
  const reader = connect(port, "127.0.0.1");
  reader.on("error", () => undefined);
  await once(reader, "connect");
  reader.pause();
  reader.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const stands = () => expect.poll(() => (stuck?.unsent ?? 0) > 128 * 1024, { timeout: 20_000 }).toBe(true);
  await stands();
  for (let look = 0; look < 5; look++) clock.pass(60_000);
  const before = stuck?.taken ?? 0;
  reader.resume();
  await expect.poll(() => (stuck?.taken ?? 0) > before, { timeout: 20_000 }).toBe(true);
  reader.pause();
  await stands();
  for (let look = 0; look < 5; look++) clock.pass(60_000);
  expect(stuck?.destroyed).toBe(false);
  await expect
    .poll(
      () => {
        clock.pass(60_000);
        return stuck?.destroyed;
      },
      { timeout: 20_000 },
    )
    .toBe(true);
  reader.destroy();
});
