/** Frames and messages that no honest client sends. RFC 6455 §5, §7 */
import type { Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type Frame, frame, frameReader, handshake, openWebSocket, shake } from "../support/websocket.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
let watcher: XmppClient;
const sockets: Socket[] = [];

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: { "httpbind.enabled": "true", "httpbind.port.plain": String(port), "httpbind.port.secure": "-1" },
  });
  watcher = await core.login("bob");
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  // Whatever was sent, others are served.
  await watcher.ping();
});
afterAll(() => core.close());

const open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

interface Talk {
  readonly socket: Socket;
  /** All that comes until the server closes. */
  readonly end: Promise<Frame[]>;
  /** Until so many frames have come. */
  until(count: number): Promise<Frame[]>;
}

async function talk(): Promise<Talk> {
  const socket = await openWebSocket({ host: "127.0.0.1", port, plain: true });
  sockets.push(socket);
  const { status, rest } = await shake(socket, handshake());
  expect(status).toBe(101);
  const frames: Frame[] = [];
  let waiting: (() => void)[] = [];
  const read = frameReader((each) => {
    frames.push(each);
    for (const wake of waiting.splice(0)) wake();
  });
  read(rest);
  socket.on("data", read);
  socket.on("error", () => undefined);
  const end = new Promise<Frame[]>((resolve) => socket.once("close", () => resolve(frames)));
  socket.on("end", () => socket.end());
  socket.resume();
  return {
    socket,
    end,
    async until(count) {
      while (frames.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
      waiting = [];
      return frames;
    },
  };
}

/** The code with which the server ends the WebSocket after these bytes, and the error of the stream before it. */
async function ended(...bytes: Buffer[]): Promise<{ code: number | undefined; error: string | undefined }> {
  const { socket, end } = await talk();
  for (const each of bytes) socket.write(each);
  const frames = await end;
  const last = frames.find(({ opcode }) => opcode === 8);
  const error = frames.map(({ payload }) => /<stream:error[^>]*><([\w-]+)/.exec(payload.toString())?.[1]).find(Boolean);
  return { code: last?.payload.readUInt16BE(0), error };
}

const protocol = { code: 1002, error: "bad-format" };
const tooLarge = { code: 1009, error: "policy-violation" };

test("frames that are not masked, of unknown kinds or with reserved bits", async () => {
  expect(await ended(frame(1, open, { mask: false }))).toEqual(protocol);
  for (const reserved of [0x10, 0x20, 0x40, 0x70]) expect(await ended(frame(1, open, { reserved }))).toEqual(protocol);
  for (const kind of [3, 7, 11, 15]) expect(await ended(frame(kind, ""))).toEqual(protocol);
  expect(await ended(frame(2, open))).toEqual({ code: 1003, error: "policy-violation" });
});

test("lengths that lie, and lengths in more bytes than they need", async () => {
  for (const length of [2n ** 63n, 2n ** 64n - 1n, 2n ** 32n, 2n ** 31n, 8193n])
    expect(await ended(frame(1, "", { length }))).toEqual(tooLarge);
  const long = (size: number, bytes: number): Buffer => {
    const head = Buffer.alloc(2 + bytes + 4);
    head[0] = 0x81;
    head[1] = 0x80 | (bytes === 2 ? 126 : 127);
    head.writeUIntBE(size, bytes === 2 ? 2 : 4, bytes === 2 ? 2 : 6);
    return head;
  };
  expect(await ended(long(125, 2))).toEqual(protocol);
  expect(await ended(long(300, 8))).toEqual(protocol);
});

test("control frames that are cut or too long, and ends that say nonsense", async () => {
  expect(await ended(frame(9, "x".repeat(126)))).toEqual(protocol);
  for (const kind of [8, 9, 10]) expect(await ended(frame(kind, "", { last: false }))).toEqual(protocol);
  for (const payload of [[3], [0, 0], [3, 237], [3, 238], [39, 15], [3, 232, 0xc3]])
    expect(await ended(frame(8, Buffer.from(payload)))).toEqual(protocol);
  expect(await ended(frame(8, ""))).toEqual({ code: 1000, error: undefined });
  expect(await ended(frame(8, Buffer.from([15, 160])))).toEqual({ code: 1000, error: undefined });
});

test("pieces out of their order, and pieces without end", async () => {
  expect(await ended(frame(0, open))).toEqual(protocol);
  expect(await ended(frame(1, "<open", { last: false }), frame(1, open))).toEqual(protocol);
  const endless = Array.from({ length: 1100 }, () => frame(0, "", { last: false }));
  expect(await ended(frame(1, "<open", { last: false }), ...endless)).toEqual(tooLarge);
  const large = Array.from({ length: 9 }, () => frame(0, "x".repeat(1000), { last: false }));
  expect(await ended(frame(1, "<", { last: false }), ...large)).toEqual(tooLarge);
});

test("bytes that are no UTF-8, also where a piece ends within a character", async () => {
  const wrong = { code: 1007, error: "unsupported-encoding" };
  expect(await ended(frame(1, Buffer.from([0x3c, 0xff])))).toEqual(wrong);
  expect(await ended(frame(1, Buffer.from([0xed, 0xa0, 0x80])))).toEqual(wrong);
  const cut = Buffer.from(open.replace("localhost", "å"));
  const at = cut.indexOf(0xc3) + 1;
  expect(await ended(frame(1, cut.subarray(0, at), { last: false }), frame(0, "x"))).toEqual(wrong);
  const { error } = await ended(frame(1, cut.subarray(0, at), { last: false }), frame(0, cut.subarray(at)));
  expect(error).toBe("host-unknown");
});

test("an element cut over two messages, two in one, and what XML forbids", async () => {
  const xml = async (...messages: string[]) => (await ended(...messages.map((each) => frame(1, each)))).error;
  expect(await xml(open.slice(0, 20), open.slice(20))).toBe("not-well-formed");
  expect(await xml(open + open)).toBe("not-well-formed");
  expect(await xml("")).toBe("not-well-formed");
  expect(await xml("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")).toBe("restricted-xml");
  expect(await xml("<!-- -->")).toBe("restricted-xml");
  expect(await xml(open, "<a><!-- --></a>")).toBe("restricted-xml");
  expect(await xml(open, "<?a?>")).toBe("restricted-xml");
  expect(await xml(open, `<a>${"<b/>".repeat(40)}</a>`)).toBe("policy-violation");
  expect(await xml(open, "<a>".repeat(9))).toBe("policy-violation");
});

test("every byte on its own, with pings between the pieces, is understood all the same", async () => {
  const { socket, until } = await talk();
  const bytes = Buffer.concat([
    frame(1, open.slice(0, 7), { last: false }),
    frame(9, "still here"),
    frame(0, open.slice(7, 7), { last: false }),
    frame(0, open.slice(7)),
  ]);
  for (const byte of bytes) socket.write(Buffer.of(byte));
  const frames = await until(3);
  expect(frames[0]).toEqual({ opcode: 10, payload: Buffer.from("still here") });
  expect(frames[1]?.payload.toString()).toContain("<open");
  expect(frames[2]?.payload.toString()).toContain("<stream:features");
});

test("nothing that follows the end of a WebSocket is read", async () => {
  const { socket, end } = await talk();
  socket.write(Buffer.concat([frame(8, Buffer.from([3, 232])), frame(1, open), frame(9, "x")]));
  expect((await end).map(({ opcode }) => opcode)).toEqual([8]);
});
