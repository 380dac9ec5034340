/** When requests of BOSH are answered, by a clock that the test moves. XEP-0124 §8 to §14 */
import { beforeEach, expect, test } from "vitest";
import { parseBody } from "../../xmpp-core/stream/bosh-body.ts";
import { type BoshState, BoshWire } from "../../xmpp-core/stream/bosh-wire.ts";
import type { WireHandler } from "../../xmpp-core/stream/wire.ts";
import { limitsAfterLogin } from "../../xmpp-core/xml/reader.ts";
import type { Stanza } from "../../xmpp-core/xml/stanza.ts";
import { rawXml } from "../../xmpp-core/xml/writer.ts";
import { envelope } from "../support/bosh.ts";

let now = 0;
let told: string[] = [];
let onStanza: (stanza: Stanza) => void = () => undefined;
let over = 0;

beforeEach(() => {
  now = 1_000_000;
  told = [];
  over = 0;
  onStanza = () => undefined;
});

const agreed: BoshState = {
  ...{ sid: "s", rid: 100, requests: 2, hold: 1, waitMs: 60_000, polls: false, acks: false, patienceMs: 30_000 },
  visitor: { address: "192.0.2.1", secure: true, proxied: true },
};

function wire(state: Partial<BoshState> = {}): BoshWire {
  const handler: WireHandler = {
    header: ({ to }) => told.push(`header ${to}`),
    stanza(stanza) {
      told.push(stanza.name);
      onStanza(stanza);
    },
    closed: () => told.push("closed"),
    failed: ({ condition }) => told.push(`failed ${condition}`),
    heard: () => undefined,
    took: (bytes) => told.push(`took ${bytes > 0}`),
    secured: () => undefined,
    injected: () => undefined,
    gone: (reason) => told.push(`gone ${reason}`),
  };
  const rules = {
    inactivityMs: () => 30_000,
    pollingMs: () => 5000,
    maxPauseMs: () => 300_000,
    ignoresLongPauses: () => false,
    ignoresOveractivity: () => false,
  };
  const options = { rules, now: () => now, listener: "web", local: { address: "", port: 0 }, over: () => over++ };
  return new BoshWire({ ...options, state: { ...agreed, ...state } }, handler);
}

/** Sends a request; the answer, once there is one. */
function send(to: BoshWire, rid: number, payload = "", more: Record<string, string | number> = {}): { text?: string } {
  const body = parseBody(Buffer.from(envelope({ rid, sid: "s", ...more }, payload)), limitsAfterLogin);
  if (body === undefined) throw new Error("no body");
  const answer: { text?: string } = {};
  void to.take(body).then((text) => {
    answer.text = text;
  });
  return answer;
}
/** Everything that was begun is done. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const empty = '<body xmlns="http://jabber.org/protocol/httpbind"/>';
const terminated = (condition: string): string =>
  `<body xmlns="http://jabber.org/protocol/httpbind" type="terminate" condition="${condition}"/>`;

function pass(to: BoshWire, ms: number): Promise<void> {
  now += ms;
  to.sweep(now);
  return settled();
}

test("a request waits until there is something to say, and takes all that one turn says", async () => {
  const bosh = wire();
  const held = send(bosh, 101);
  await settled();
  expect(held.text).toBeUndefined();
  bosh.write("<message><body>å</body></message>");
  bosh.write(Buffer.from("<presence/>"));
  bosh.write("<r xmlns='urn:xmpp:sm:3'/>");
  await settled();
  expect(held.text).toBe(
    `<body xmlns="http://jabber.org/protocol/httpbind"><message xmlns="jabber:client"><body>å</body></message>` +
      `<presence xmlns="jabber:client"/><r xmlns='urn:xmpp:sm:3'/></body>`,
  );
  bosh.write("<iq/>");
  const next = send(bosh, 102);
  await settled();
  expect(next.text).toContain('<iq xmlns="jabber:client"/>');
});

test("it waits no longer than was agreed, and gives way to the next one", async () => {
  const bosh = wire();
  const first = send(bosh, 101);
  await pass(bosh, 59_000);
  expect(first.text).toBeUndefined();
  await pass(bosh, 1000);
  expect(first.text).toBe(empty);
  const second = send(bosh, 102);
  const third = send(bosh, 103);
  await settled();
  expect([second.text, third.text]).toEqual([empty, undefined]);
});

test("a client that stays away is given up, and then hears so", async () => {
  const bosh = wire();
  await pass(bosh, 29_000);
  const held = send(bosh, 101);
  await pass(bosh, 59_000);
  bosh.write("<message/>");
  await settled();
  expect(held.text).toContain("<message");
  await pass(bosh, 29_000);
  expect(told).toEqual(["took true"]);
  await pass(bosh, 1000);
  expect(told.at(-1)).toBe("gone inactive");
  expect(over).toBe(1);
  const late = send(bosh, 102);
  await settled();
  expect(late.text).toBe(terminated("item-not-found"));
});

test("a pause answers all that is open and is as long as it says, until the next request", async () => {
  const bosh = wire();
  const held = send(bosh, 101);
  const pausing = send(bosh, 102, "", { pause: 120 });
  await settled();
  expect([held.text, pausing.text]).toEqual([empty, empty]);
  await pass(bosh, 119_000);
  const back = send(bosh, 103);
  bosh.write("<message/>");
  await settled();
  expect(back.text).toContain("<message");
  await pass(bosh, 30_000);
  expect(told.at(-1)).toBe("gone inactive");
});

test("who polls may not do so too often while nothing comes of it", async () => {
  const polling = { polls: true, hold: 0, requests: 1 };
  const bosh = wire(polling);
  expect(send(bosh, 101).text).toBeUndefined();
  await pass(bosh, 5000);
  bosh.write("<message/>");
  const fruitful = send(bosh, 102);
  const soon = send(bosh, 103);
  await settled();
  expect(fruitful.text).toContain("<message");
  expect(soon.text).toBe(empty);
  const tooSoon = send(bosh, 104);
  await settled();
  expect(tooSoon.text).toBe(terminated("policy-violation"));
});

test("a client that polls gets the answer to what it asks, if that takes no longer than it waits", async () => {
  const bosh = wire({ polls: true, hold: 0, requests: 1 });
  onStanza = () => bosh.hold();
  const asked = send(bosh, 101, "<iq xmlns='jabber:client'/>");
  await settled();
  expect(asked.text).toBeUndefined();
  bosh.write("<iq type='result'/>");
  bosh.release();
  await settled();
  expect(asked.text).toContain("result");
});

test("what comes while a stanza is under way waits its turn", async () => {
  const bosh = wire();
  onStanza = ({ name }) => name === "iq" && bosh.hold();
  send(bosh, 101, "<iq xmlns='jabber:client'/><message xmlns='jabber:client'/>");
  send(bosh, 102, "<presence xmlns='jabber:client'/>", { type: "terminate" });
  expect(told).toEqual(["iq"]);
  bosh.release();
  expect(told).toEqual(["iq", "message", "presence", "closed"]);
});

test("a stream begins anew when it is time for it, and only then", () => {
  const bosh = wire();
  send(bosh, 101, "", { to: "localhost", "xmpp:restart": "true" });
  expect(told).not.toContain("header localhost");
  bosh.restart();
  send(bosh, 102, "", { to: "localhost", "xmpp:restart": "true" });
  expect(told).toContain("header localhost");
});

test("whoever asked for it is told which requests have come", async () => {
  const bosh = wire({ acks: true });
  const first = send(bosh, 101);
  const second = send(bosh, 102);
  await settled();
  expect(first.text).toBe(empty.replace("/>", ' ack="102"/>'));
  bosh.write("<message/>");
  await settled();
  expect(second.text).not.toContain("ack");
});

test("the end of a stream is told to whoever is there, or comes", async () => {
  const bosh = wire();
  bosh.write("<message/>");
  bosh.close(rawXml("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"));
  const late = send(bosh, 101);
  await settled();
  expect(late.text).toContain(
    'type="terminate" condition="remote-stream-error"><message xmlns="jabber:client"/><stream:error xmlns:stream=',
  );
  expect(bosh.open).toBe(false);
  await pass(bosh, 30_000);
  expect(over).toBe(1);
});

test("a client that fetches nothing is given up before it fills the memory", () => {
  const bosh = wire();
  for (let i = 0; i < 17; i++) bosh.write(Buffer.alloc(1024 * 1024, 0x20));
  expect(told).toEqual(["gone slow-reader"]);
});

test("what an orderly restart carries over is where the next one goes on", async () => {
  const before = wire();
  const held = send(before, 101);
  before.answerAll();
  await settled();
  before.write("<message/>");
  const { connection, state } = before.freeze();
  expect([held.text, connection]).toEqual([empty, 0]);
  const stored = JSON.parse(JSON.stringify(state)) as {
    agreed: BoshState;
    pending: string[];
    answers: [number, string][];
  };
  const after = wire(stored.agreed);
  after.thaw(stored);
  const repeated = send(after, 101);
  const next = send(after, 102);
  await settled();
  expect(repeated.text).toBe(held.text);
  expect(next.text).toContain("<message");
});
