import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../xmpp-core/clock.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0092, XEP-0199, XEP-0202, RFC 3921 §3
const ping = "<ping xmlns='urn:xmpp:ping'/>";
const time = "<time xmlns='urn:xmpp:time'/>";
const version = "<query xmlns='jabber:iq:version'/>";
const session = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>";
const noon = Date.parse("2031-05-04T12:00:00Z");
let core: TestCore;
let alice: XmppClient;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"], clock: { ...systemClock, now: () => noon } });
  alice = await core.login("alice", { resource: "desk" });
});
afterEach(() => core.close());

test("a ping is answered by the server and by one's own account, under the address that was asked", async () => {
  for (const [to, from] of [
    ["localhost", "localhost"],
    ["", "alice@localhost"],
    ["alice@localhost", "alice@localhost"],
  ] as const) {
    const answer = await alice.get(ping, to);
    expect([answer.attrs.type, answer.attrs.from, answer.attrs.to]).toEqual(["result", from, "alice@localhost/desk"]);
    expect(answer.getChildElements()).toEqual([]);
  }
});

test("nobody learns from pings whether another account exists or is online", async () => {
  await core.login("bob");
  const answers = [];
  for (const to of ["bob@localhost", "nobody@localhost", "bob@localhost/none"])
    answers.push(errorCondition(await alice.get(ping, to)));
  expect(answers).toEqual(Array(3).fill("service-unavailable"));
});

test("the version is that of the program, and nothing is said of the system it runs on", async () => {
  const query = (await alice.get(version, "localhost")).getChild("query", "jabber:iq:version");
  const { version: own } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
  expect(query?.getChildElements().map(String)).toEqual(["<name>Firekeeper</name>", `<version>${own}</version>`]);
});

test("the time is the server's, in UTC", async () => {
  const answer = (await alice.get(time, "localhost")).getChild("time", "urn:xmpp:time");
  expect(answer?.getChildText("tzo")).toBe("Z");
  expect(Date.parse(answer?.getChildText("utc") ?? "")).toBe(noon);
  expect(answer?.getChildText("utc")).toMatch(/^2031-05-04T12:00:00(\.000)?Z$/);
});

test("the session request of old clients is answered, before and after presence", async () => {
  expect(
    alice.features?.getChild("session", "urn:ietf:params:xml:ns:xmpp-session")?.getChild("optional"),
  ).toBeDefined();
  for (const to of ["", "localhost"]) expect((await alice.set(session, to)).attrs.type).toBe("result");
  alice.presence();
  expect((await alice.set(session)).attrs.type).toBe("result");
});

test("what nobody answers is refused, and an unasked answer is answered by nobody", async () => {
  for (const to of ["localhost", "", "proxy.localhost"])
    expect(errorCondition(await alice.get("<query xmlns='urn:unknown'/>", to))).toBe("service-unavailable");
  expect(errorCondition(await alice.set(ping, "localhost"))).toBe("service-unavailable");
  alice.send("<iq type='result' id='never-asked' to='localhost'/>");
  alice.send("<iq type='error' id='never-asked' to='localhost'/>");
  await alice.none("iq", (iq) => iq.attrs.id === "never-asked");
  for (const malformed of [
    `<iq type='get' id='1'/>`,
    `<iq type='get' id='1'>${ping}${ping}</iq>`,
    `<iq type='other' id='1'>${ping}</iq>`,
  ])
    expect(errorCondition(await alice.iq(malformed)), malformed).toBe("bad-request");
});
