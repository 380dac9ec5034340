/** Bad bytes, wrong secrets and forged stanzas on the port of components. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { rawConnection } from "./doors.ts";

let core: TestCore;
let port: number;
const clock = manualClock();

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    clock,
    properties: {
      ...takesComponents(port, "secret"),
    },
  });
});
afterAll(() => core.close());

const open =
  "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='irc.localhost'>";
/** Everything the server says to these bytes until it closes the connection. */
async function told(bytes: string | Uint8Array): Promise<string> {
  const connection = await rawConnection(port, "clear");
  connection.write(bytes);
  return connection.everything;
}
const deep = (times: number): string => `${"<a>".repeat(times)}${"</a>".repeat(times)}`;

test.each([
  ["not XML", "GET / HTTP/1.1\r\n\r\n", "not-well-formed|bad-format"],
  ["a doctype", "<!DOCTYPE x [<!ENTITY a 'b'>]><stream:stream>", "restricted-xml"],
  ["a processing instruction", `${open}<?php?>`, "restricted-xml"],
  ["a comment", `${open}<!-- -->`, "restricted-xml"],
  ["an entity", `${open}<handshake>&bomb;</handshake>`, "restricted-xml|not-well-formed"],
  ["the namespace of clients", open.replace("jabber:component:accept", "jabber:client"), "invalid-namespace"],
  ["another root", "<stream xmlns='jabber:component:accept' to='irc.localhost'>", "invalid-namespace"],
  ["no name", open.replace(" to='irc.localhost'", ""), "host-unknown"],
  ["a name like a prototype's", open.replace("irc.localhost", "__proto__.localhost"), "host-unknown"],
  ["a name that is too long", open.replace("irc", "i".repeat(300)), "host-unknown"],
  ["a stanza before the handshake", `${open}<message from='irc.localhost' to='bob@localhost'/>`, "not-authorized"],
  ["an empty handshake", `${open}<handshake/>`, "not-authorized"],
  ["a handshake of another length", `${open}<handshake>ab</handshake>`, "not-authorized"],
  ["a handshake of another namespace", `${open}<handshake xmlns='urn:x'>ab</handshake>`, "not-authorized"],
  ["a handshake that is too large", `${open}<handshake>${"a".repeat(9000)}`, "policy-violation"],
  ["a handshake that is too deep", `${open}<handshake>${deep(20)}</handshake>`, "policy-violation"],
  [
    "bytes that are no UTF-8",
    Buffer.concat([Buffer.from(`${open}<handshake>`), Buffer.from([0xff, 0xfe]), Buffer.from("</handshake>")]),
    "encoding|not-well-formed",
  ],
])("%s", async (_what, bytes, condition) => {
  const answer = await told(bytes);
  expect(answer).toMatch(new RegExp(condition));
  expect(answer.endsWith("</stream:stream>")).toBe(true);
});

test("joined, a component's bytes are read by the same rules", async () => {
  for (const [bytes, condition] of [
    ["<!-- -->", "restricted-xml"],
    ["</nothing>", "not-well-formed"],
    ["text", "bad-format"],
    ["<foo xmlns='urn:x'/>", "unsupported-stanza-type"],
    ["<message from='irc.localhost' to='bob@localhost'/><iq/>", "improper-addressing"],
    [`<message from='irc.localhost' to='bob@localhost'>${deep(100)}</message>`, "policy-violation"],
    [`<message from='irc.localhost' to='bob@localhost'><body>${"x".repeat(2_000_000)}`, "policy-violation"],
    ["<message from='a@b@irc.localhost' to='bob@localhost'/>", "invalid-from"],
    ["<message from='irc.localhost.' to='bob@localhost'/>", "invalid-from|closed"],
  ] as const) {
    const irc = await TestComponent.join(port, "irc", "secret");
    irc.send(bytes);
    if (condition.includes("closed")) irc.send("</stream:stream>");
    else expect(await irc.streamError(), bytes.slice(0, 80)).toBe(condition);
    await irc.connection.ended;
  }
});

test("addresses that are none, and names of prototypes, are refused one by one", async () => {
  const irc = await TestComponent.join(port, "irc", "secret");
  for (const to of ["@", "a@", "__proto__@localhost", "constructor@localhost/x", "x@localhost/", "a b@localhost"]) {
    irc.send(`<iq type='get' id='__proto__' from='irc.localhost' to='${to}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    expect((await irc.next("iq")).attrs, to).toMatchObject({ type: "error", id: "__proto__" });
  }
  for (const type of ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "nonsense", "__proto__"])
    irc.send(`<presence type='${type}' from='toString@irc.localhost/__proto__' to='alice@localhost'/>`);
  await irc.ping();
  irc.connection.end();
  await irc.connection.ended;
});

test("answers that nobody asked for change nothing", async () => {
  const irc = await TestComponent.join(port, "irc", "secret");
  const alice = await core.login("alice");
  for (const to of ["localhost", "alice@localhost", alice.jid, "nobody@localhost"])
    for (const id of ["fk-1", "__proto__", "1"])
      irc.send(`<iq type='result' id='${id}' from='irc.localhost' to='${to}'><x xmlns='urn:x'/></iq>`);
  await irc.ping();
  await alice.none("iq");
  irc.connection.end();
  await irc.connection.ended;
});

test("whoever is silent before the handshake is let go", async () => {
  const connection = await rawConnection(port, "clear");
  connection.write(open);
  await new Promise<void>((resolve) => connection.socket.once("data", () => resolve()));
  clock.pass(31_000);
  expect(await connection.everything).toContain("connection-timeout");
});

test("guessing is slowed down and then refused, whatever the secret is", async () => {
  const guess = async (secret: string): Promise<string> => {
    const component = await TestComponent.open(port, "guessed");
    component.handshake(secret);
    return component.streamError();
  };
  const conditions: string[] = [];
  for (let i = 0; i < 5; i++) conditions.push(await guess(`${i}`));
  expect(conditions).toEqual(Array(5).fill("not-authorized"));
  // From here on each try waits for its turn, and who would wait too long is refused; many at once do not help.
  const outcome: string[] = [];
  const many = Array.from({ length: 8 }, (_, i) => guess(`many ${i}`).then((each) => outcome.push(each)));
  await expect.poll(() => outcome.length).toBeGreaterThan(4);
  expect(new Set(outcome)).toEqual(new Set(["policy-violation"]));
  expect(outcome.length).toBeLessThan(8);
  clock.pass(60_000);
  await Promise.all(many);
});

test("a flood of one component keeps nobody else from being served", async () => {
  const irc = await TestComponent.join(port, "irc", "secret");
  const alice = await core.login("alice");
  const one = "<message from='x@irc.localhost' to='nobody@localhost' type='chat'><body>x</body></message>";
  irc.send(one.repeat(2000));
  await alice.ping();
  await expect.poll(() => irc.connection.inbox.length).toBe(2000);
  expect(irc.connection.inbox.every((stanza) => stanza.attrs.type === "error")).toBe(true);
  irc.connection.end();
  await irc.connection.ended;
});
