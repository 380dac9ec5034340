/** Streams in WebSocket messages on the ports for browsers. RFC 7395, RFC 6455 */
import type { Socket } from "node:net";
import { parse } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { acceptance, type Frame, frame, frameReader, handshake, openWebSocket, shake } from "../support/websocket.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
let plainPort: number;

beforeAll(async () => {
  port = await freePort();
  plainPort = await freePort();
  core = await startTestCore({
    users: ["alice", "bob", "carol"],
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.secure": String(port),
      "httpbind.port.plain": String(plainPort),
      fqdn: "xmpp.example",
    },
  });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const web = () => ({ host: "127.0.0.1", port, domain: "localhost", via: "websocket" as const });
const login = (user: string, more: Partial<Parameters<typeof XmppClient.login>[0]> = {}) =>
  XmppClient.login({ ...web(), user, password: user, ...more });
const open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

/** A WebSocket whose frames are seen one by one. */
async function raw(secure = true): Promise<{ socket: Socket; next(): Promise<Frame>; closed: Promise<void> }> {
  const socket = await openWebSocket({ host: "127.0.0.1", port: secure ? port : plainPort, plain: !secure });
  const { status, rest } = await shake(socket, handshake());
  expect(status).toBe(101);
  const frames: Frame[] = [];
  const waiting: ((frame: Frame) => void)[] = [];
  const read = frameReader((each) => {
    const first = waiting.shift();
    if (first === undefined) frames.push(each);
    else first(each);
  });
  read(rest);
  socket.on("data", read);
  socket.resume();
  return {
    socket,
    next: async () => frames.shift() ?? new Promise((resolve) => waiting.push(resolve)),
    closed: new Promise((resolve) => socket.once("close", () => resolve())),
  };
}

test("people talk over WebSocket and over TCP with each other, byte for byte the same", async () => {
  const alice = await login("alice");
  const bob = await core.login("bob");
  const payload = `<body>Grüße, 今日は &amp; <![CDATA[<b>]]></body><x xmlns='urn:x' a="1"><b/></x>`;
  alice.send(`<message to='${bob.jid}' type='chat' id='1'>${payload}</message>`);
  const atBob = await bob.next("message");
  expect(atBob.getChildText("body")).toBe("Grüße, 今日は & <b>");
  expect(atBob.getChild("x", "urn:x")?.getChild("b")).toBeDefined();
  expect(atBob.attrs.from).toBe(alice.jid);
  bob.send(`<message to='${alice.jid}' type='chat' id='2'><body>${"å".repeat(40_000)}</body></message>`);
  expect((await alice.next("message")).getChildText("body")).toBe("å".repeat(40_000));
  bob.send(`<message to='${alice.jid}' type='chat' id='3'><body>${"b".repeat(300)}</body></message>`);
  expect((await alice.next("message")).getChildText("body")).toHaveLength(300);
  alice.presence();
  expect((await alice.next("presence")).attrs.from).toBe(alice.jid);
  alice.send(frame(9, "in between"));
  await alice.ping();
  expect((await alice.close()).streamEnded).toBe(true);
});

test("nothing but mechanisms without channel binding is offered, until a property says so", async () => {
  const names = async (): Promise<string[]> => {
    const client = await XmppClient.connect(web());
    const offered = client.features?.getChild("mechanisms")?.getChildren("mechanism") ?? [];
    expect(client.features?.getChild("starttls")).toBeUndefined();
    return offered.map((each) => each.getText());
  };
  expect(await names()).toEqual(["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]);
  await core.set({ "firekeeper.web.channel-binding": "true" });
  expect(await names()).toContain("SCRAM-SHA-256-PLUS");
  await core.set({ "firekeeper.web.channel-binding": null });
});

test("on the port without TLS nothing is offered, and what is tried all the same is refused", async () => {
  const client = await XmppClient.connect({ ...web(), port: plainPort, tls: "none" });
  expect(client.features?.getChildElements()).toEqual([]);
  client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAGFsaWNl</auth>");
  expect((await client.next("failure")).getChild("encryption-required")).toBeDefined();
  client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
  expect((await client.next("failure")).getNS()).toBe("urn:ietf:params:xml:ns:xmpp-tls");
  await client.ended;
});

test("sessions outlive an orderly restart on their connections", async () => {
  const alice = await login("alice", { sm: true });
  const carol = await login("carol");
  const bob = await core.login("bob");
  await Promise.all([alice.ping(), carol.ping()]);
  await core.restart();
  bob.message(alice.jid, "after");
  bob.message(carol.jid, "after");
  expect((await alice.next("message")).getChildText("body")).toBe("after");
  expect((await carol.next("message")).getChildText("body")).toBe("after");
  await carol.ping();
  expect(await alice.requestAck()).toBe(1);
  expect(core.server.clients.size).toBe(3);
});

test("a message that is cut into pieces and frames goes on over a restart where it was", async () => {
  const alice = await login("alice");
  const bob = await core.login("bob");
  const text = `<message xmlns='jabber:client' to='${bob.jid}' type='chat'><body>${"å".repeat(3000)}</body></message>`;
  const bytes = Buffer.from(text);
  const second = frame(0, bytes.subarray(2001, 4000), { last: false });
  // The first cut goes through a character.
  alice.send(Buffer.concat([frame(1, bytes.subarray(0, 2001), { last: false }), second.subarray(0, 1000)]));
  await core.restart();
  alice.send(Buffer.concat([second.subarray(1000), frame(0, bytes.subarray(4000))]));
  expect((await bob.next("message")).getChildText("body")).toBe("å".repeat(3000));
});

test("a session is resumed after a crash, and no place to resume by TCP is named", async () => {
  const alice = await login("alice", { sm: true });
  const bob = await core.login("bob", { sm: true });
  alice.presence();
  await alice.requestAck();
  alice.acks = "withheld";
  bob.message(alice.bare, "kept");
  await bob.requestAck();
  await alice.next("message");
  await core.crash();
  await alice.ended;
  expect((await alice.resume(0)).attrs.location).toBeUndefined();
  expect((await alice.next("message")).getChildText("body")).toBe("kept");
});

test("who closes the WebSocket without ending the stream may resume; who ends the stream may not", async () => {
  const alice = await login("alice", { sm: true });
  alice.connection.end();
  await alice.ended;
  await alice.resume();
  await alice.ping();
  await alice.close();
  expect((await alice.attemptResume()).getName()).toBe("failed");
});

test("the opening handshake is refused where it asks for something else", async () => {
  const asks = async (changes: Record<string, string | undefined>, line?: string) => {
    const socket = await openWebSocket({ host: "127.0.0.1", port });
    const answer = await shake(socket, handshake(changes, line));
    socket.destroy();
    return answer;
  };
  const right = await asks({});
  expect([right.status, right.headers.get("sec-websocket-accept")]).toEqual([101, acceptance]);
  expect([...right.headers.keys()]).toEqual([
    "upgrade",
    "connection",
    "sec-websocket-accept",
    "sec-websocket-protocol",
  ]);
  expect(
    (await asks({ "Sec-WebSocket-Extensions": "permessage-deflate" })).headers.has("sec-websocket-extensions"),
  ).toBe(false);
  expect((await asks({ "Sec-WebSocket-Protocol": "chat, XMPP" })).status).toBe(101);
  expect((await asks({}, "GET /ws HTTP/1.1")).status).toBe(101);
  for (const protocol of [undefined, "chat", ""])
    expect((await asks({ "Sec-WebSocket-Protocol": protocol })).status).toBe(400);
  const old = await asks({ "Sec-WebSocket-Version": "8" });
  expect([old.status, old.headers.get("sec-websocket-version")]).toEqual([426, "13"]);
  expect((await asks({ "Sec-WebSocket-Key": "short" })).status).toBe(400);
  expect((await asks({ "Sec-WebSocket-Key": undefined })).status).toBe(400);
  expect((await asks({ Upgrade: "h2c" })).status).toBe(426);
  expect((await asks({}, "POST /ws/ HTTP/1.1")).status).toBe(405);
  for (const path of ["/", "/http-bind/", "/ws/ws", "/ws/..", "/%2e%2e/ws", "/ws%2f"])
    expect((await asks({}, `GET ${path} HTTP/1.1`)).status).toBe(404);
});

test("what a stream must not do ends it with the error of RFC 6120, and the WebSocket with it", async () => {
  const rejected = async (...messages: string[]): Promise<string> => {
    const { socket, next, closed } = await raw();
    for (const message of messages) socket.write(frame(1, message));
    const error = await (async () => {
      for (;;) {
        const element = parse((await next()).payload.toString());
        if (element.is("error")) return element;
      }
    })();
    expect(error.getNS()).toBe("http://etherx.jabber.org/streams");
    expect((await next()).payload.toString()).toContain("<close");
    expect((await next()).opcode).toBe(8);
    socket.end();
    await closed;
    return error.getChildElements()[0]?.getName() ?? "";
  };
  expect(await rejected("<iq xmlns='jabber:client' type='get' id='1'/>")).toBe("bad-format");
  expect(await rejected(open, open)).toBe("bad-format");
  expect(await rejected(`${open}${open}`)).toBe("not-well-formed");
  expect(await rejected("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost'")).toBe("not-well-formed");
  expect(await rejected("<?xml version='1.0'?>")).toBe("not-well-formed");
  expect(await rejected("<!DOCTYPE a>")).toBe("restricted-xml");
  expect(await rejected(open.replace("localhost", "elsewhere.example"))).toBe("host-unknown");
  expect(await rejected(open.replace(" version='1.0'", ""))).toBe("unsupported-version");
  expect(await rejected("<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>")).toBe("not-well-formed");
  expect(await rejected(open, "<message xmlns='jabber:client'/>")).toBe("not-authorized");
  expect(await rejected(`<open a='${"x".repeat(9000)}'/>`)).toBe("policy-violation");
});

test("after a login nothing is taken until the stream has begun anew", async () => {
  await core.set({ "sasl.mechs": "PLAIN" });
  const { socket, next, closed } = await raw();
  const said = async (text: string) => {
    socket.write(frame(1, text));
    return (await next()).payload.toString();
  };
  expect(await said(open)).toContain("<open");
  expect((await next()).payload.toString()).toContain("PLAIN");
  const secret = Buffer.from("\0alice\0alice").toString("base64");
  const auth = `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${secret}</auth>`;
  expect(await said(auth)).toContain("<success");
  const bind = "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
  expect(await said(bind)).toContain("bad-format");
  await closed;
  await core.set({ "sasl.mechs": null });
});

test("a message that is too large is refused when its length is known, not when it has come", async () => {
  const alice = await login("alice");
  alice.message(alice.bare, "x".repeat(100_000));
  alice.send(frame(1, "<message><body>", { length: 1_048_577n }));
  expect(await alice.streamError()).toBe("policy-violation");
});
