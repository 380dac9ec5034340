/** Requests of BOSH by which somebody tries to take, guess or exhaust what is not theirs. XEP-0124 §14, §16 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ask, type BoshAnswer, BoshSession, envelope } from "../support/bosh.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
let watcher: XmppClient;
const opened: BoshSession[] = [];

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["bob"],
    properties: { "httpbind.enabled": "true", "httpbind.port.plain": String(port), "httpbind.port.secure": "-1" },
  });
  watcher = await core.login("bob");
});
afterEach(async () => {
  for (const session of opened.splice(0)) session.close();
  await watcher.ping();
});
afterAll(() => core.close());

const to = () => ({ host: "127.0.0.1", port, plain: true });
async function session(attributes: Record<string, string | number> = {}): Promise<BoshSession> {
  const made = new BoshSession(to());
  opened.push(made);
  await made.create(attributes);
  return made;
}
const reason = ({ body }: BoshAnswer): string | undefined => body.attrs.condition;

test("ids are of 128 bits, and none is like the other", async () => {
  const ids = (await Promise.all(Array.from({ length: 20 }, () => session()))).map(({ sid }) => sid);
  expect(new Set(ids.map((id) => id.slice(0, 6))).size).toBe(20);
  for (const id of ids) expect(Buffer.from(id, "base64url")).toHaveLength(16);
});

test("whoever guesses an id learns nothing and disturbs nobody", async () => {
  const alice = await session({ hold: 0 });
  const near = `${alice.sid.slice(0, -2)}AA`;
  for (const sid of [near, alice.sid.toLowerCase(), ` ${alice.sid}`, `${alice.sid}\0`, "", "__proto__", "constructor"])
    for (const more of [{}, { type: "terminate" }, { "xmpp:restart": "true" }]) {
      const answer = await ask(to(), { body: envelope({ rid: alice.rid + 1, sid, ...more }) });
      expect(["item-not-found", "bad-request"]).toContain(reason(answer));
    }
  expect(reason(await alice.send())).toBeUndefined();
});

test("numbers that are none, and numbers as large as there are", async () => {
  for (const rid of ["-1", "1e3", "0x1", "", " 1", "9007199254740993", "99999999999999999999"])
    expect(reason(await ask(to(), { body: envelope({ rid, to: "localhost" }) }))).toBe("bad-request");
  const last = await session({ rid: Number.MAX_SAFE_INTEGER, hold: 0 });
  expect(reason(await ask(to(), { body: envelope({ rid: "9007199254740992", sid: last.sid }) }))).toBe("bad-request");
});

test("two clients on one session: the second is told the same, or ends it for both, and gets nothing else", async () => {
  const alice = await session({ hold: 0 });
  const answer = await alice.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>");
  const replay = await ask(to(), { body: envelope({ rid: alice.rid, sid: alice.sid }, "<other xmlns='x'/>") });
  expect(replay.text).toBe(answer.text);
  const skip = await ask(to(), { body: envelope({ rid: alice.rid + 9, sid: alice.sid }) });
  expect(reason(skip)).toBe("item-not-found");
  expect(skip.body.children).toEqual([]);
  expect(reason(await alice.send())).toBe("item-not-found");
});

test("what XML forbids, and more of it than a stranger may send", async () => {
  const rejected = async (payload: string): Promise<string> => {
    const { status, body } = await ask(to(), { body: envelope({ rid: 1, to: "localhost" }, payload) });
    return status === 200 ? String(body.attrs.condition) : String(status);
  };
  expect(await rejected("<!-- -->")).toBe("bad-request");
  expect(await rejected("<![CDATA[x]]><?a?>")).toBe("bad-request");
  expect(await rejected("<a>&b;</a>")).toBe("bad-request");
  expect(await rejected("<a/>".repeat(40))).toBe("bad-request");
  expect(await rejected("<a>".repeat(20) + "</a>".repeat(20))).toBe("bad-request");
  expect(await rejected(`<a b='${"x".repeat(20_000)}'/>`)).toBe("413");
  const doctype = "<!DOCTYPE body [<!ENTITY a 'b'>]>";
  expect(reason(await ask(to(), { body: doctype + envelope({ rid: 1 }) }))).toBe("bad-request");
  expect(reason(await ask(to(), { body: Buffer.from([0xff, 0xfe, 0x3c]).toString("latin1") }))).toBe("bad-request");
});

test("what only looks like the id of a session lends nothing of it to a stranger", async () => {
  const alice = await session({ hold: 0 });
  const other = await session({ hold: 0 });
  for (const attributes of [
    { rid: 1, to: "localhost" },
    { rid: other.rid + 1, sid: other.sid },
  ]) {
    const body = envelope(attributes).replace(">", ` x=" sid='${alice.sid}'">`);
    expect(reason(await ask(to(), { body }))).toBe("bad-request");
  }
  expect(reason(await alice.send())).toBeUndefined();
});

test("sessions that nobody logs in on are counted by address", async () => {
  const from = "127.0.0.33";
  await core.set({ "firekeeper.web.connections-per-address": "3" });
  const create = async () => reason(await ask({ ...to(), from }, { body: envelope({ rid: 1, to: "localhost" }) }));
  expect([await create(), await create(), await create()]).toEqual([undefined, undefined, undefined]);
  expect(await create()).toBe("policy-violation");
  await core.set({ "firekeeper.client.trusted-networks": from });
  expect(await create()).toBeUndefined();
  await core.set({ "firekeeper.web.connections-per-address": null, "firekeeper.client.trusted-networks": null });
});
