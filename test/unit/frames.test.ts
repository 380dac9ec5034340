import { duplexPair } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BrokenLink, FrameLink, FrameReader, FrameWriter, frame } from "../../xmpp-core/frames.ts";
import { connectGate } from "../../xmpp-core/transport/core-link.ts";
import { recorder } from "../protocol/gate-fixture.ts";

type Seen = [type: number, number: number, payload: string];

function readAll(pieces: readonly Buffer[], cut = Number.POSITIVE_INFINITY): Seen[] {
  const seen: Seen[] = [];
  const reader = new FrameReader((type, number, payload) => seen.push([type, number, payload.toString("latin1")]));
  const bytes = Buffer.concat(pieces);
  for (let at = 0; at < bytes.length; at += cut) reader.read(bytes.subarray(at, at + cut));
  return seen;
}

describe("frames", () => {
  test("come out as they went in, however the stream is cut", () => {
    let large = 0;
    const written = fc.array(
      fc.record({
        type: fc.integer({ min: 4, max: 255 }),
        number: fc.integer({ min: 0, max: 0xffff_ffff }),
        length: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 4000, max: 70_000 })),
        take: fc.boolean(),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(written, fc.integer({ min: 1, max: 100_000 }), (frames, cut) => {
        const writer = new FrameWriter();
        const pieces: Buffer[] = [];
        const expected: Seen[] = [];
        for (const { type, number, length, take } of frames) {
          if (length > 4096) large += 1;
          const payload = Buffer.alloc(length, expected.length);
          writer.frame(type, number, payload);
          expected.push([type, number, payload.toString("latin1")]);
          if (take) pieces.push(...writer.take());
        }
        pieces.push(...writer.take());
        expect(writer.empty).toBe(true);
        expect(readAll(pieces, frames.length > 20 ? cut : Math.min(cut, 64))).toEqual(expected);
      }),
      { numRuns: 60 },
    );
    expect(large).toBeGreaterThan(10);
  });

  test("of bytes grow while they follow each other on one connection and epoch, and only then", () => {
    const writer = new FrameWriter();
    for (const [number, epoch, text] of [
      [7, 0, "a"],
      [7, 0, "b"],
      [8, 0, "c"],
      [7, 0, "d"],
      [7, 1, "e"],
    ] as const) {
      writer.bytes(number, epoch, Buffer.from(text));
    }
    writer.frame(frame.ended, 7);
    writer.bytes(7, 1, Buffer.from("f"));
    const first = writer.take();
    writer.bytes(7, 1, Buffer.from("g"));
    expect(readAll([...first, ...writer.take()])).toEqual([
      [frame.bytes, 7, "\0ab"],
      [frame.bytes, 8, "\0c"],
      [frame.bytes, 7, "\0d"],
      [frame.bytes, 7, "\u0001e"],
      [frame.ended, 7, ""],
      [frame.bytes, 7, "\u0001f"],
      [frame.bytes, 7, "\u0001g"],
    ]);
  });

  test("of bytes keep every byte at any size", () => {
    const writer = new FrameWriter();
    const sizes = Array.from({ length: 400 }, (_, index) => (index * 7919) % 9000);
    for (const [index, size] of sizes.entries()) writer.bytes(1, 0, Buffer.alloc(size, index));
    const whole = readAll(writer.take())
      .map(([, , payload]) => payload.slice(1))
      .join("");
    expect(whole).toBe(sizes.map((size, index) => Buffer.alloc(size, index).toString("latin1")).join(""));
  });

  test("behind one whose receiver fails are kept", () => {
    const writer = new FrameWriter();
    for (const number of [1, 2, 3, 4]) writer.frame(frame.ended, number);
    const bytes = Buffer.concat(writer.take());
    const seen: number[] = [];
    const reader = new FrameReader((_type, number) => {
      seen.push(number);
      if (number === 2) throw new Error("the receiver's");
    });
    expect(() => reader.read(bytes.subarray(0, -3))).toThrow("the receiver's");
    reader.read(bytes.subarray(-3));
    expect(seen).toEqual([1, 2, 3, 4]);
  });

  test("of an impossible length end the link", () => {
    for (const length of [0, 4, 0xffff_ffff]) {
      const header = Buffer.alloc(9);
      header.writeUInt32BE(length);
      expect(() => readAll([header])).toThrow(BrokenLink);
    }
  });
});

describe("the core's side of the link", () => {
  /** A gate of nothing but frames, for what a real one does only by chance. */
  async function frames() {
    const [near, far] = duplexPair();
    const heard: Seen[] = [];
    let waiting: (() => void)[] = [];
    const link: FrameLink = new FrameLink(near, {
      frame: (type, number, payload) => {
        if (type === frame.hello) link.writer.frame(frame.welcomed, 0);
        else heard.push([type, number, payload.toString("latin1")]);
        for (const each of waiting.splice(0)) each();
        link.schedule();
      },
      ended: () => undefined,
    });
    const gate = await connectGate(far);
    waiting = [];
    const until = async (type: number) => {
      while (!heard.some(([each]) => each === type)) await new Promise<void>((resolve) => waiting.push(resolve));
    };
    const opened = { listener: "c2s", remote: at, local: at, epoch: 0, adopted: false, unsent: 0 };
    return { gate, link, heard, until, opened };
  }
  const at = { address: "192.0.2.1", port: 1 };

  test("throws away what arrives under an old TLS epoch, and says so", async () => {
    const { gate, link, heard, until, opened } = await frames();
    const { accept, seen, until: seenUntil } = recorder({ echo: false, certificate: "example.org" });
    gate.onConnection("c2s", accept);
    gate.ready();
    await until(frame.ready);
    link.writer.json(frame.opened, 5, opened);
    link.writer.frame(frame.bytes, 5, "\0<starttls/>");
    link.writer.frame(frame.bytes, 5, "\0<message>injected</message>");
    link.writer.json(frame.secured, 5, { version: "TLSv1.3", cipher: "c", certificate: "example.org" });
    link.writer.frame(frame.bytes, 5, "\u0001<auth/>");
    link.flush();
    await until(frame.startTls);
    await seenUntil(() => seen[0]?.chunks.length === 2);
    expect(heard.filter(([type]) => type === frame.write || type === frame.startTls)).toEqual([
      [frame.write, 5, "<proceed/>"],
      [frame.startTls, 5, "example.org"],
    ]);
    expect(seen[0]?.chunks.map(String)).toEqual(["<starttls/>", "<auth/>"]);
    expect(seen[0]?.log).toEqual(["injected", "secured"]);
  });

  test("gathers a turn's writes into one frame for each connection", async () => {
    const { gate, link, heard, until, opened } = await frames();
    const { accept, seen, until: seenUntil } = recorder();
    gate.onConnection("c2s", accept);
    gate.ready();
    await until(frame.ready);
    for (const number of [1, 2]) link.writer.json(frame.opened, number, opened);
    link.flush();
    await seenUntil(() => seen.length === 2);
    for (let count = 0; count < 3; count += 1) for (const { connection } of seen) connection.write(`é${count}`);
    await until(frame.write);
    expect(heard.filter(([type]) => type === frame.write)).toEqual([
      [frame.write, 1, "Ã©0Ã©1Ã©2"],
      [frame.write, 2, "Ã©0Ã©1Ã©2"],
    ]);
  });

  test("delivers nothing between pause and resume, and all of it afterwards", async () => {
    const { gate, link, until, opened } = await frames();
    const log: string[] = [];
    gate.onConnection("c2s", (connection) => {
      connection.receive({
        bytes: (chunk) => {
          log.push(String(chunk));
          if (String(chunk) === "pause") connection.pause();
          if (String(chunk) === "end") connection.close();
        },
        secured: () => undefined,
        drained: () => undefined,
        closed: () => undefined,
      });
    });
    gate.ready();
    await until(frame.ready);
    link.writer.json(frame.opened, 1, opened);
    for (const text of ["one", "pause", "two", "pause", "three"]) link.writer.frame(frame.bytes, 1, `\0${text}`);
    link.flush();
    await until(frame.pause);
    expect(log).toEqual(["one", "pause"]);
  });

  test("speaks to no gate of another version", async () => {
    const [near, far] = duplexPair();
    const link: FrameLink = new FrameLink(near, {
      frame: () => {
        const failure = {
          code: "gate/version",
          message: "The running gate speaks frames 2, this core 1.",
          fields: {},
          hint: "Restart it.",
        };
        link.writer.json(frame.hello, 0, { version: 2, pid: 1, failure });
        link.end();
      },
      ended: () => undefined,
    });
    await expect(connectGate(far)).rejects.toMatchObject({ code: "gate/version", hint: "Restart it." });
    await expect(connectGate("/nowhere/gate.sock")).rejects.toMatchObject({ code: "gate/unreachable" });
  });
});
