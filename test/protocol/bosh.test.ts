/** Streams in the bodies of HTTP requests. XEP-0124, XEP-0206 */
import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ask, BoshSession, envelope } from "../support/bosh.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
let plainPort: number;
const opened: BoshSession[] = [];

beforeAll(async () => {
  port = await freePort();
  plainPort = await freePort();
  core = await startTestCore({
    users: ["alice", "bob", "carol"],
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.secure": String(port),
      "httpbind.port.plain": String(plainPort),
      "sasl.mechs": "PLAIN,SCRAM-SHA-1,SCRAM-SHA-256",
    },
  });
});
afterEach(() => {
  XmppClient.dropAll();
  for (const session of opened.splice(0)) session.close();
});
afterAll(() => core.close());

const web = () => ({ host: "127.0.0.1", port });
const login = (user: string, more: Partial<Parameters<typeof XmppClient.login>[0]> = {}) =>
  XmppClient.login({ ...web(), domain: "localhost", via: "bosh", user, password: user, ...more });

function session(): BoshSession {
  const made = new BoshSession(web());
  opened.push(made);
  return made;
}

/** A session that is logged in and bound. */
async function bound(user: string, attributes: Record<string, string | number> = {}): Promise<BoshSession> {
  const made = session();
  await made.create(attributes);
  const secret = Buffer.from(`\0${user}\0${user}`).toString("base64");
  const sasl = `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>${secret}</auth>`;
  expect((await made.send(sasl)).body.getChild("success")).toBeDefined();
  expect((await made.send("", { "xmpp:restart": "true", to: "localhost" })).text).toContain(
    "urn:ietf:params:xml:ns:xmpp-bind",
  );
  const bind = "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
  expect((await made.send(bind)).body.getChild("iq")?.attrs.type).toBe("result");
  return made;
}

const ping = (id: string): string =>
  `<iq xmlns='jabber:client' type='get' id='${id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>`;
const idOf = (answer: { body: { getChild(name: string): { attrs: Record<string, string> } | undefined } }) =>
  answer.body.getChild("iq")?.attrs.id;
const condition = (answer: { body: { attrs: Record<string, string> } }): string | undefined =>
  answer.body.attrs.type === "terminate" ? (answer.body.attrs.condition ?? "none") : undefined;

test("people talk over BOSH and over TCP with each other", async () => {
  const alice = await login("alice");
  const bob = await core.login("bob");
  alice.message(bob.jid, "Grüße & mehr");
  expect((await bob.next("message")).getChildText("body")).toBe("Grüße & mehr");
  for (const body of ["one", "two", "å".repeat(40_000)]) bob.message(alice.jid, body);
  expect((await alice.next("message")).getChildText("body")).toBe("one");
  expect((await alice.next("message")).getChildText("body")).toBe("two");
  expect((await alice.next("message")).getChildText("body")).toHaveLength(40_000);
  expect((await alice.close()).streamEnded).toBe(true);
});

test("the first answer says what was agreed, and nothing is offered that a browser cannot use", async () => {
  const made = session();
  const { attrs } = await made.create({ hold: 5, wait: 7 });
  expect(attrs).toMatchObject({
    wait: "7",
    hold: "1",
    requests: "2",
    inactivity: "30",
    maxpause: "300",
    from: "localhost",
  });
  expect(attrs).toMatchObject({ ver: "1.6", "xmpp:version": "1.0", "xmpp:restartlogic": "true" });
  expect(attrs).toMatchObject({ ack: String(made.rid), "xmlns:stream": "http://etherx.jabber.org/streams" });
  expect(attrs.sid).toMatch(/^[\w-]{22}$/);
  expect(attrs.polling).toBeUndefined();
  const offered = made.created?.getChild("features")?.getChild("mechanisms")?.getChildren("mechanism");
  expect(offered?.map((each) => each.getText())).toEqual(["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
  expect((await session().create({ ver: "1.12" })).attrs.ver).toBe("1.11");
  expect((await session().create({ ver: "2.0" })).attrs.ver).toBe("1.11");
});

test("a client may say which type of content it can read, as long as browsers do not show it as a page", async () => {
  const typeFor = async (content: string) => {
    const made = session();
    await made.create({ content });
    return (await made.send("<x xmlns='y'/>")).headers["content-type"];
  };
  expect(await typeFor("text/plain")).toBe("text/plain");
  expect(await typeFor('application/xml; charset="UTF-8"')).toBe('application/xml; charset="UTF-8"');
  for (const content of ["text/html", "text/plain; charset=utf-7", "text/plain\r\nset-cookie: a=b", ""])
    expect(await typeFor(content)).toBe("text/xml; charset=utf-8");
});

test("an envelope may have a prefix, and declare those of what is in it", async () => {
  const alice = await bound("alice");
  const spaces = "xmlns:b='http://jabber.org/protocol/httpbind' xmlns='jabber:client' xmlns:p='urn:xmpp:ping'";
  const inside = "<iq type='get' id='p' to='localhost'><p:ping/></iq>";
  const answer = await alice.raw(`<b:body ${spaces} rid='${++alice.rid}' sid='${alice.sid}'>${inside}</b:body>`);
  expect([idOf(answer), answer.body.getChild("iq")?.attrs.type]).toEqual(["p", "result"]);
  const own = `<body xmlns='http://jabber.org/protocol/httpbind' xmlns:c='jabber:client' rid='${++alice.rid}' sid='${alice.sid}'>`;
  const prefixed = "<c:iq type='get' id='q' to='localhost'><ping xmlns='urn:xmpp:ping'/></c:iq>";
  expect(idOf(await alice.raw(`${own}${prefixed}</body>`))).toBe("q");
  const unknown = await alice.raw(own.replace(/rid='\d+'/, `rid='${alice.rid + 1}'`).concat("<d:x/></body>"));
  expect(condition(unknown)).toBe("bad-request");
});

test("a client from before there were conditions is told by the status of HTTP what is wrong", async () => {
  const made = session();
  expect((await made.create({ ver: undefined })).attrs.ver).toBe("1.11");
  expect((await made.send("", { rid: made.rid + 9 })).status).toBe(404);
});

test("without TLS nothing is offered", async () => {
  const made = new BoshSession({ host: "127.0.0.1", port: plainPort, plain: true });
  opened.push(made);
  expect((await made.create()).getChild("features")?.getChildElements()).toEqual([]);
});

test("a session outlives an orderly restart, and its open request is answered before", async () => {
  const alice = await login("alice");
  const carol = await login("carol", { sm: true });
  const bob = await core.login("bob");
  await alice.ping();
  await core.restart();
  bob.message(alice.jid, "after");
  bob.message(carol.jid, "after");
  expect((await alice.next("message")).getChildText("body")).toBe("after");
  expect((await carol.next("message")).getChildText("body")).toBe("after");
  await alice.ping();
  expect(await carol.requestAck()).toBe(0);
});

test("what is said to a session while the server restarts reaches it, each once and in order", async () => {
  const [alice, carol] = [await login("alice"), await login("carol", { sm: true })];
  const bob = await core.login("bob");
  const said = [];
  for (const round of [1, 2]) {
    const bodies = ["before", "meanwhile", "after"].map((when) => `${when} ${round}`);
    const [before = "", meanwhile = "", after = ""] = bodies;
    const tell = (body: string) => [alice, carol].map(({ jid }) => bob.message(jid, body));
    tell(before);
    const restarted = core.restart();
    tell(meanwhile);
    await restarted;
    tell(after);
    said.push(...bodies);
  }
  for (const client of [alice, carol]) {
    const heard = [];
    for (const _ of said) heard.push((await client.next("message")).getChildText("body"));
    expect(heard).toEqual(said);
    await client.none("message", undefined, bob);
  }
});

test("answers are kept over a restart, for clients that lost them", async () => {
  const alice = await bound("alice");
  const before = await alice.send(ping("1"));
  const { rid } = alice;
  await core.restart();
  expect((await alice.send("", { rid })).text).toBe(before.text);
  expect(idOf(await alice.send(ping("2")))).toBe("2");
});

test("a session is resumed on another after a crash", async () => {
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
  await alice.resume(0);
  expect((await alice.next("message")).getChildText("body")).toBe("kept");
});

test("requests are taken in the order of their numbers, and a repeated one gets the same answer", async () => {
  const alice = await bound("alice");
  const { rid } = alice;
  const second = alice.send(ping("2"), { rid: rid + 2 });
  const first = alice.send(ping("1"), { rid: rid + 1 });
  const third = alice.send("", { rid: rid + 3 });
  const answers = [await first, await second];
  // Which of the two answers carries both depends on which request came first.
  const ids = answers.flatMap(({ body }) => body.getChildren("iq").map(({ attrs }) => attrs.id));
  expect(ids).toEqual(["1", "2"]);
  expect((await alice.send("", { rid: rid + 1 })).text).toBe(answers[0]?.text);
  expect((await alice.send("", { rid: rid + 2 })).text).toBe(answers[1]?.text);
  const again = alice.send("", { rid: rid + 3 });
  const last = alice.send(ping("4"), { rid: rid + 4 });
  // Who asks again is answered there.
  expect([(await third).body.attrs.type, idOf(await again)]).toEqual(["error", "4"]);
  const ended = await alice.send("", { type: "terminate", rid: rid + 5 });
  expect([condition(await last), condition(ended)]).toEqual(["none", undefined]);
});

test("a number outside of the window ends the session, and so does one that is forgotten", async () => {
  for (const change of [4, 1000, -5]) {
    const alice = await bound("alice");
    const held = alice.send();
    expect(condition(await alice.send("", { rid: alice.rid + change }))).toBe("item-not-found");
    expect(condition(await held)).toBe("item-not-found");
    expect(condition(await alice.send())).toBe("item-not-found");
  }
});

test("what is asked of no session is answered with its reason", async () => {
  const reason = async (body: string) => condition(await ask(web(), { body }));
  expect(await reason(envelope({ rid: 1, sid: "A".repeat(22) }))).toBe("item-not-found");
  expect(await reason(envelope({ sid: "x" }))).toBe("bad-request");
  expect(await reason(envelope({ rid: "x" }))).toBe("bad-request");
  expect(await reason("<body rid='1'/>")).toBe("bad-request");
  expect(await reason("<body")).toBe("bad-request");
  expect(await reason("<!DOCTYPE body>")).toBe("bad-request");
  expect(await reason("")).toBe("bad-request");
  expect(await reason(envelope({ rid: 1, to: "elsewhere.example", ver: "1.6" }))).toBe("host-unknown");
  const created = await ask(web(), { body: `<?xml version="1.0"?>\n${envelope({ rid: 1, to: "localhost" })}` });
  expect(created.body.attrs.sid).toBeDefined();
  expect(created.headers["content-type"]).toBe("text/xml; charset=utf-8");
});

test("other methods are refused with a reason, also the scripts of JSONP", async () => {
  const jsonp = await ask(web(), { method: "GET", path: "/http-bind/?%3Cbody%3E" });
  expect([jsonp.status, jsonp.headers.allow]).toEqual([405, "POST, OPTIONS"]);
  expect(jsonp.text).toContain("JSONP");
  expect((await ask(web(), { method: "PUT" })).status).toBe(405);
  expect((await ask(web(), { path: "/http-bind/more" })).status).toBe(404);
  expect((await ask(web(), { path: "/http-bind", body: envelope({ rid: 1, to: "localhost" }) })).status).toBe(200);
});

test("a stream of several on one session is refused", async () => {
  const alice = await bound("alice");
  expect(alice.created?.attrs.stream).toBeUndefined();
  expect(condition(await alice.send("", { stream: "another" }))).toBe("item-not-found");
});

test("a sequence of keys is kept, and who breaks it has no session", async () => {
  const sha = (text: string): string => createHash("sha1").update(text).digest("hex");
  const keys = ["seed"];
  while (keys.length < 6) keys.unshift(sha(keys[0] as string));
  const made = session();
  await made.create({ newkey: keys[0] as string });
  const iq = (id: string, key: string) => made.send(ping(id), { key });
  expect((await iq("1", keys[1] as string)).body.getChild("error")?.getChild("not-authorized")).toBeDefined();
  const kept = await bound("bob", {});
  expect(idOf(await kept.send(ping("1")))).toBe("1");
  const other = session();
  await other.create({ newkey: keys[0] as string });
  expect(condition(await other.send("", { key: keys[2] as string }))).toBe("item-not-found");
  const none = session();
  await none.create({ newkey: keys[0] as string });
  expect(condition(await none.send(""))).toBe("item-not-found");
});

test("a client that ends its session says its last word with it", async () => {
  const bob = await core.login("bob");
  const alice = await bound("alice");
  const held = alice.send();
  const last = "<message xmlns='jabber:client' to='bob@localhost' type='chat'><body>bye</body></message>";
  bob.presence();
  await bob.next("presence");
  const ended = await alice.send(last, { type: "terminate" });
  expect([condition(await held), condition(ended)]).toEqual(["none", undefined]);
  expect((await bob.next("message")).getChildText("body")).toBe("bye");
  expect(condition(await alice.send())).toBe("none");
});

test("what the stream refuses ends the session with its error", async () => {
  const made = session();
  await made.create();
  const answer = await made.send("<message xmlns='jabber:client' to='bob@localhost'/>");
  expect(condition(answer)).toBe("remote-stream-error");
  expect(answer.body.getChild("error")?.getChild("not-authorized")).toBeDefined();
  expect(answer.text).toContain("xmlns:stream=");
});

test("a body may be small before login, and as large as a stanza after it", async () => {
  const large = "x".repeat(100_000);
  const made = session();
  await made.create();
  expect((await made.send(`<a xmlns='b'>${large}</a>`)).status).toBe(413);
  const alice = await bound("alice");
  const bob = await core.login("bob");
  alice
    .send(`<message xmlns='jabber:client' to='${bob.jid}' type='chat'><body>${large}</body></message>`)
    .catch(() => undefined);
  expect((await bob.next("message")).getChildText("body")).toBe(large);
  expect(
    (await alice.send(`<message xmlns='jabber:client'><body>${"x".repeat(1_100_000)}</body></message>`)).status,
  ).toBe(413);
});

test("what began in TLS does not go on without", async () => {
  const alice = await bound("alice");
  const body = envelope({ rid: alice.rid + 1, sid: alice.sid }, ping("1"));
  expect(condition(await ask({ host: "127.0.0.1", port: plainPort, plain: true }, { body }))).toBe("item-not-found");
  expect(idOf(await alice.send(ping("1")))).toBe("1");
});

test("pages of other sites may ask as the properties say", async () => {
  const origin = "https://example.org";
  const preflight = () =>
    ask(web(), { method: "OPTIONS", headers: { origin, "access-control-request-method": "POST" } });
  const seen = async () => {
    const { headers } = await preflight();
    return [headers["access-control-allow-origin"], headers["access-control-max-age"]];
  };
  expect(await seen()).toEqual(["*", "86400"]);
  expect((await preflight()).headers["access-control-allow-headers"]).toContain("Content-Type");
  const asked = await ask(web(), { body: envelope({ rid: 1, to: "localhost" }), headers: { origin } });
  expect([asked.status, asked.headers["access-control-allow-origin"]]).toEqual([200, "*"]);
  expect(asked.headers["access-control-allow-credentials"]).toBeUndefined();
  await core.set({ "httpbind.CORS.domains": "https://example.com,https://example.org", "httpbind.CORS.max_age": "9" });
  expect(await seen()).toEqual([origin, "9"]);
  await core.set({ "httpbind.CORS.domains": "https://example.com" });
  expect(await seen()).toEqual([undefined, undefined]);
  await core.set({ "httpbind.CORS.domains": null, "httpbind.CORS.enabled": "false" });
  expect(await seen()).toEqual([undefined, undefined]);
  await core.set({ "httpbind.CORS.enabled": null, "httpbind.CORS.max_age": null });
});
