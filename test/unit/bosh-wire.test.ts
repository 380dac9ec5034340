/** When requests of BOSH are answered, by a clock that the test moves. XEP-0124 §8 to §14 */
import { beforeEach, expect, test } from "vitest";
import { parseBody } from "../../xmpp-core/stream/bosh-body.ts";
import { type BoshState, frozenBosh } from "../../xmpp-core/stream/bosh-state.ts";
import { BoshWire } from "../../xmpp-core/stream/bosh-wire.ts";
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
  ...{ content: "text/xml; charset=utf-8", legacy: false },
};

function wire(state: Partial<BoshState> = {}): BoshWire {
  const handler: WireHandler = {
    header: ({ to, from, lang }) => told.push(["header", to, from, lang].filter(Boolean).join(" ")),
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
function send(
  to: BoshWire,
  rid: number,
  payload = "",
  more: Record<string, string | number> = {},
): { text?: string; status?: number } {
  const body = parseBody(Buffer.from(envelope({ rid, sid: "s", ...more }, payload)), limitsAfterLogin);
  if (body === undefined) throw new Error("no body");
  const answer: { text?: string; status?: number } = {};
  void to.take(body).then(({ body: text, status }) => Object.assign(answer, { text, status }));
  return answer;
}
/** Everything that was begun is done. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const empty = '<body xmlns="http://jabber.org/protocol/httpbind"/>';
const acknowledging = (rid: number): string => empty.replace("/>", ` ack="${rid}"/>`);
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
  expect([second.text, third.text]).toEqual([acknowledging(103), undefined]);
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
  expect([held.text, pausing.text]).toEqual([acknowledging(102), empty]);
  await pass(bosh, 119_000);
  const back = send(bosh, 103);
  bosh.write("<message/>");
  await settled();
  expect(back.text).toContain("<message");
  await pass(bosh, 30_000);
  expect(told.at(-1)).toBe("gone inactive");
});

test("the answer to a pause carries nothing, and a pause may be shorter than the usual silence", async () => {
  const bosh = wire();
  bosh.write("<message/>");
  const pausing = send(bosh, 101, "", { pause: 10 });
  await settled();
  expect(pausing.text).toBe(empty);
  await pass(bosh, 9000);
  const back = send(bosh, 102);
  await settled();
  expect(back.text).toContain("<message");
  send(bosh, 103, "", { pause: 10 });
  await pass(bosh, 10_000);
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

test("requests are taken and answered in the order of their numbers, whichever comes first", async () => {
  const bosh = wire();
  const second = send(bosh, 102, "<presence xmlns='jabber:client'/>");
  expect(told).toEqual([]);
  bosh.write("<message/>");
  const first = send(bosh, 101, "<iq xmlns='jabber:client'/>");
  expect(told.filter((what) => !what.startsWith("took"))).toEqual(["iq", "presence"]);
  await settled();
  expect([first.text, second.text]).toEqual([expect.stringContaining("<message"), undefined]);
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

test("a stream begins anew when it is time for it, and only then; what stands beside that is not looked at", () => {
  const bosh = wire();
  const anew = { "xmpp:restart": "true", to: "localhost", from: "a@localhost", "xml:lang": "de" };
  send(bosh, 101, "", anew);
  expect(told).not.toContain("header localhost a@localhost de");
  bosh.restart();
  send(bosh, 102, "<message xmlns='jabber:client'/>", anew);
  expect(told).toContain("header localhost a@localhost de");
  expect(told).not.toContain("message");
});

test("a client is told which requests have come", async () => {
  const bosh = wire();
  const first = send(bosh, 101);
  const second = send(bosh, 102);
  await settled();
  expect(first.text).toBe(acknowledging(102));
  bosh.write("<message/>");
  await settled();
  expect(second.text).not.toContain("ack");
});

test("a client that says which answers it has is told at once of one that did not arrive", async () => {
  const bosh = wire({ acks: true });
  send(bosh, 101);
  bosh.write("<message/>");
  await settled();
  now += 1500;
  // Without `ack`: it has all answers to its earlier requests.
  const content = send(bosh, 102);
  await settled();
  expect(content.text).toBeUndefined();
  bosh.write("<message/>");
  await settled();
  now += 999;
  const soon = send(bosh, 103, "", { ack: 101 });
  await settled();
  expect(soon.text).toBeUndefined();
  now += 1;
  const late = send(bosh, 104, "", { ack: 101 });
  await settled();
  expect(soon.text).toBe(empty.replace("/>", ' ack="104" report="102" time="1000"/>'));
  expect(late.text).toBeUndefined();
  const again = send(bosh, 102);
  await settled();
  expect(again.text).toBe(content.text);
});

test("a client that does not speak of answers is told of none", async () => {
  const bosh = wire();
  send(bosh, 101);
  bosh.write("<message/>");
  await settled();
  now += 5000;
  const next = send(bosh, 102, "", { ack: 100 });
  await settled();
  expect(next.text).toBeUndefined();
});

test("a request that is repeated while it waits is answered where it was made last", async () => {
  const bosh = wire();
  const broken = send(bosh, 101);
  const again = send(bosh, 101);
  await settled();
  expect([broken.text, again.text]).toEqual([empty.replace("/>", ' type="error"/>'), undefined]);
  bosh.write("<message/>");
  await settled();
  expect(again.text).toContain("<message");
});

test("only an exact copy of a request gets its answer again", async () => {
  for (const waits of [true, false]) {
    const key = "k";
    const bosh = wire({ key: "13fbd79c3d390e5d6585a21e11ff5ec1970cff0c" });
    const held = send(bosh, 101, "", { key });
    if (!waits) bosh.write("<message/>");
    await settled();
    const guessed = send(bosh, 101);
    await settled();
    expect(guessed.text).toBe(terminated("item-not-found"));
    if (waits) expect(held.text).toBe(terminated("item-not-found"));
    const copy = send(bosh, 101, "", { key });
    await settled();
    expect(copy.text).toBe(held.text);
  }
});

test("a session that its client ends is over on the oldest request, and the others are empty", async () => {
  const bosh = wire();
  onStanza = () => bosh.close();
  const held = send(bosh, 101);
  const last = send(bosh, 102, "<presence xmlns='jabber:client'/>", { type: "terminate" });
  await settled();
  expect([held.text, last.text]).toEqual([empty.replace("/>", ' type="terminate"/>'), empty]);
});

test("what ended a session is told again to whoever did not hear it", async () => {
  const bosh = wire();
  const held = send(bosh, 101);
  bosh.write("<message/>");
  bosh.close(rawXml("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"));
  const again = send(bosh, 101);
  await settled();
  expect(again.text).toBe(held.text);
  expect(again.text).toContain("<message");
});

test("a client from before there were conditions is told by the status of HTTP", async () => {
  const bosh = wire({ legacy: true });
  const fine = send(bosh, 101, "", { pause: 1 });
  const wrong = send(bosh, 999);
  await settled();
  expect([fine.status, wrong.status]).toEqual([200, 404]);
  const other = wire({ legacy: true });
  const pause = send(other, 101, "", { pause: 301 });
  await settled();
  expect(pause.status).toBe(403);
});

test("the end of a stream is told to whoever is there, or comes", async () => {
  const bosh = wire();
  bosh.write("<message/>");
  bosh.close(rawXml("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"));
  const late = send(bosh, 101);
  await settled();
  expect(late.text).toContain(
    'xmlns:stream="http://etherx.jabber.org/streams" type="terminate" condition="remote-stream-error"><message xmlns="jabber:client"/><stream:error>',
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
  const stored = frozenBosh.parse(JSON.parse(JSON.stringify(state)));
  const after = wire(stored.agreed);
  after.thaw(stored);
  const repeated = send(after, 101);
  const next = send(after, 102);
  await settled();
  expect(repeated.text).toBe(held.text);
  expect(next.text).toContain("<message");
});
