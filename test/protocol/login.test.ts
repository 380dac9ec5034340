import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { errorCondition, ns } from "../support/stanzas.ts";
import { type Login, LoginRefused, type Where, XmppClient } from "../support/xmpp-client.ts";

/** From the first byte to the bound session, and how it ends by silence. RFC 6120 §4, §6, §7 */

let core: TestCore;
let clock: ManualClock;
const touched = [
  "fqdn",
  "sasl.mechs",
  "xmpp.client.idle",
  "xmpp.client.idle.ping",
  "xmpp.client.login.allowed",
  "xmpp.client.login.blocked",
  "xmpp.client.preauth.timeout",
  "xmpp.client.validate.host",
  "xmpp.session.conflict-limit",
  "xmpp.session.detach.timeout",
];
beforeAll(async () => {
  clock = manualClock();
  core = await startTestCore({ domain: "chat.example", users: ["alice", "olsen", "müller"], clock });
});
afterEach(async () => {
  XmppClient.dropAll();
  await core.set(Object.fromEntries(touched.map((key) => [key, null])));
  // Forgets failed logins and sessions that might be resumed.
  clock.pass(3_600_000);
  await expect.poll(() => core.server.clients.size, { timeout: 10_000 }).toBe(0);
});
afterAll(() => core.close());

const connect = (more: Partial<Where> = {}) =>
  XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "chat.example", ...more });
const mechanisms = (client: XmppClient): string[] =>
  (client.features?.getChild("mechanisms", ns.sasl)?.getChildren("mechanism") ?? []).map((one) => one.getText());

describe("names", () => {
  test.each([
    ["alice", "alice"],
    ["alice@chat.example", "alice"],
    ["Alice@CHAT.Example", "alice"],
    ["OLSEN", "olsen"],
    ["Olsen@chat.example", "olsen"],
    ["MÜLLER", "müller"],
    ["mu\u0308ller", "müller"],
  ])("%s logs in as %s", async (user, name) => {
    for (const mechanism of ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"]) {
      const client = await core.login(user, { password: name, mechanism, resource: "desk" });
      expect(client.jid).toBe(`${name}@chat.example/desk`);
      await client.close();
    }
    await core.set({ "sasl.mechs": "PLAIN" });
    expect((await core.login(user, { password: name, mechanism: "PLAIN" })).bare).toBe(`${name}@chat.example`);
  });

  test.each([
    "alice@elsewhere.example",
    "alice@chat.example/desk",
    "alice@proxy.chat.example",
    "@chat.example",
    "al ice",
  ])("%s is nobody", async (user) => {
    await expect(core.login(user, { password: "alice" })).rejects.toThrow("not-authorized");
  });

  test("a password is taken as it was set: capitals and spaces count", async () => {
    for (const password of ["ALICE", " alice", "alice "])
      await expect(core.login("alice", { password })).rejects.toThrow("not-authorized");
  });
});

describe("mechanisms", () => {
  const scrams = ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"];

  test("are offered strongest first, with the types that can be bound", async () => {
    const client = await connect();
    expect(mechanisms(client)).toEqual([
      ...["SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"],
      ...["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"],
    ]);
    const bindings = client.features?.getChild("sasl-channel-binding", ns.cb)?.getChildren("channel-binding");
    expect(bindings?.map((one) => one.attrs.type)).toEqual(["tls-exporter", "tls-server-end-point"]);
  });

  test.each(scrams)("%s", async (mechanism) => {
    await (await core.login("alice", { mechanism })).ping();
    await expect(core.login("alice", { mechanism, password: "wrong" })).rejects.toBeInstanceOf(LoginRefused);
  });

  test.each(
    scrams.flatMap((name) => [
      { mechanism: `${name}-PLUS`, binding: "tls-exporter" as const, tls: "starttls" as const },
      { mechanism: `${name}-PLUS`, binding: "tls-server-end-point" as const, tls: "starttls" as const },
      { mechanism: `${name}-PLUS`, binding: "tls-exporter" as const, tls: "direct" as const },
      { mechanism: `${name}-PLUS`, binding: "tls-server-end-point" as const, tls: "direct" as const },
    ]),
  )("$mechanism by $binding over $tls", async (how) => {
    const port = how.tls === "direct" ? core.directPort : core.port;
    await (await core.login("alice", { ...how, port })).ping();
  });

  test("over TLS 1.2 the end point is bound", async () => {
    const how = { mechanism: "SCRAM-SHA-256-PLUS", maxVersion: "TLSv1.2" as const };
    const client = await core.login("alice", { ...how, binding: "tls-server-end-point" });
    expect(client.transcript()).not.toContain("tls-exporter");
  });

  test("PLAIN if sasl.mechs names it, over TLS", async () => {
    await expect(core.login("alice", { mechanism: "PLAIN" })).rejects.toThrow("invalid-mechanism");
    await core.set({ "sasl.mechs": "SCRAM-SHA-1,PLAIN" });
    expect(mechanisms(await connect())).toEqual(["SCRAM-SHA-1", "PLAIN"]);
    await (await core.login("alice", { mechanism: "PLAIN" })).ping();
    await expect(core.login("alice", { mechanism: "PLAIN", password: "wrong" })).rejects.toThrow("not-authorized");
  });

  test("behind a refusal another attempt may follow on the same stream", async () => {
    const client = await connect();
    const login: Login = { ...client.where, user: "alice", password: "alice" };
    await expect(client.authenticate({ ...login, password: "wrong" })).rejects.toThrow("not-authorized");
    await client.authenticate(login);
    expect(await client.bind("desk")).toBe("alice@chat.example/desk");
  });
});

describe("binding", () => {
  const bound = async (resource?: string) => {
    const client = await connect();
    await client.authenticate({ ...client.where, user: "alice", password: "alice" });
    return resource === undefined ? client : Object.assign(client, { jid: await client.bind(resource) });
  };
  const asks = (client: XmppClient, content: string) => client.set(`<bind xmlns='${ns.bind}'>${content}</bind>`);

  test.each(["", "<resource/>", "<resource>  </resource>"])("without a resource one is made: %j", async (content) => {
    const made = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const answer = await asks(await bound(), content);
      made.add(answer.getChild("bind", ns.bind)?.getChildText("jid") ?? "");
    }
    expect(made.size).toBe(3);
    for (const jid of made) expect(jid).toMatch(/^alice@chat\.example\/[\w-]{8,}$/);
  });

  test.each([
    ["a control character", "a&#x85;b"],
    ["a resource of 1024 bytes", "x".repeat(1024)],
  ])("%s is a bad request, and the client may ask again", async (_name, resource) => {
    const client = await bound();
    expect(errorCondition(await asks(client, `<resource>${resource}</resource>`))).toBe("bad-request");
    expect(await client.bind("desk")).toBe("alice@chat.example/desk");
  });

  test.each([
    "<message to='alice@chat.example'/>",
    "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
  ])("comes before anything else: %s", async (stanza) => {
    const client = await bound();
    client.send(stanza);
    expect(await client.streamError()).toBe("not-authorized");
  });

  test("conflict policy 0: the older session ends", async () => {
    const older = await bound("desk");
    const newer = await bound("desk");
    expect(await older.streamError()).toBe("conflict");
    expect((await older.ended).streamEnded).toBe(true);
    await newer.ping();
  });

  test("conflict policy -1: the newer client is refused, and may take another resource", async () => {
    await core.set({ "xmpp.session.conflict-limit": "-1" });
    const older = await bound("desk");
    const newer = await bound();
    for (let i = 0; i < 3; i++) expect(errorCondition(await asks(newer, "<resource>desk</resource>"))).toBe("conflict");
    expect(await newer.bind("other")).toBe("alice@chat.example/other");
    await older.ping();
  });

  test("conflict policy 2: refused twice, then the older session ends", async () => {
    await core.set({ "xmpp.session.conflict-limit": "2" });
    const older = await bound("desk");
    const newer = await bound();
    for (let i = 0; i < 2; i++) expect(errorCondition(await asks(newer, "<resource>desk</resource>"))).toBe("conflict");
    await older.ping();
    expect(await newer.bind("desk")).toBe("alice@chat.example/desk");
    expect(await older.streamError()).toBe("conflict");
  });

  test("a session without connection gives way whatever the policy", async () => {
    await core.set({ "xmpp.session.conflict-limit": "-1" });
    const older = await core.login("alice", { resource: "desk", sm: true });
    older.drop();
    await expect.poll(() => core.server.clients.size).toBe(0);
    await (await bound("desk")).ping();
    expect((await older.attemptResume()).getName()).toBe("failed");
  });
});

describe("the name that the stream is opened to", () => {
  const opens = async (domain: string) =>
    connect({ domain, tls: "none" }).then(({ connection }) => connection.header?.attrs.from);

  test.each(["chat.example", "CHAT.Example", "127.0.0.1", "localhost"])("%s is served", async (domain) => {
    expect(await opens(domain)).toBe("chat.example");
  });

  test.each([
    "elsewhere.example",
    "chat.example.org",
    "proxy.chat.example",
    "machine.example",
    "a b",
    "x@chat.example",
  ])("%s is unknown", async (domain) => {
    await expect(opens(domain)).rejects.toThrow("host-unknown");
  });

  test("the machine's own name is, once fqdn says it, and the login is to the domain", async () => {
    await core.set({ fqdn: "machine.example" });
    expect(await opens("machine.example")).toBe("chat.example");
    const client = await core.login("alice@chat.example", { password: "alice", domain: "machine.example" });
    expect(client.bare).toBe("alice@chat.example");
  });

  test("with xmpp.client.validate.host only the domain is", async () => {
    await core.set({ fqdn: "machine.example", "xmpp.client.validate.host": "true" });
    for (const domain of ["127.0.0.1", "localhost", "machine.example"])
      await expect(opens(domain)).rejects.toThrow("host-unknown");
    expect(await opens("chat.example")).toBe("chat.example");
  });
});

describe("where logins come from", () => {
  test("a blocked network is told so, others log in, and what is blocked wins", async () => {
    await core.set({ "xmpp.client.login.blocked": "127.0.9.0/24, 127.0.8.8" });
    for (const from of ["127.0.9.1", "127.0.8.8"])
      await expect(connect({ from, tls: "none" })).rejects.toThrow("not-authorized");
    await (await core.login("alice", { from: "127.0.8.9" })).ping();
    await core.set({ "xmpp.client.login.allowed": "127.0.9.0/24, 127.0.7.7" });
    await expect(connect({ from: "127.0.9.1" })).rejects.toThrow("not-authorized");
    await expect(connect({ from: "127.0.8.9" })).rejects.toThrow("not-authorized");
    await (await core.login("alice", { from: "127.0.7.7" })).ping();
  });
});

describe("silence", () => {
  const isPing = (stanza: { getChild(name: string, ns: string): unknown }) =>
    stanza.getChild("ping", ns.ping) !== undefined;

  test("is asked about half-way and ended, as if the connection had broken", async () => {
    const alice = await core.login("alice");
    alice.answers = false;
    clock.pass(179_000);
    await alice.none(isPing);
    clock.pass(181_000);
    expect((await alice.next("iq", isPing)).attrs).toMatchObject({ from: "chat.example", to: alice.jid, type: "get" });
    clock.pass(170_000);
    expect(core.server.clients.size).toBe(1);
    clock.pass(10_000);
    expect((await alice.ended).streamEnded).toBe(false);
  });

  test("who answers stays, and whitespace is an answer", async () => {
    const alice = await core.login("alice");
    const quiet = await core.login("olsen");
    quiet.answers = false;
    for (let i = 0; i < 4; i++) {
      clock.pass(200_000);
      await alice.next("iq", isPing);
      await quiet.next("iq", isPing);
      quiet.send(" ");
      await alice.ping();
      const session = [...core.server.sessions.all()].find(({ account }) => account.name === "olsen");
      await expect.poll(() => (session?.carrier as { pinged?: boolean } | undefined)?.pinged).toBe(false);
    }
    await Promise.all([alice.ping(), quiet.ping()]);
  });

  test("is not asked about with xmpp.client.idle.ping off, and never ended with xmpp.client.idle -1", async () => {
    await core.set({ "xmpp.client.idle.ping": "false" });
    const alice = await core.login("alice");
    clock.pass(200_000);
    await alice.none(isPing);
    await core.set({ "xmpp.client.idle": "-1" });
    clock.pass(86_400_000);
    await alice.ping();
    await core.set({ "xmpp.client.idle": "10000" });
    clock.pass(10_000);
    await alice.ended;
  });

  test("of a managed session leaves it to be resumed, until xmpp.session.detach.timeout", async () => {
    const alice = await core.login("alice", { sm: true });
    clock.pass(360_000);
    await alice.ended;
    clock.pass(599_000);
    expect((await alice.attemptResume()).getName()).toBe("resumed");
    await core.set({ "xmpp.session.detach.timeout": "60000" });
    const olsen = await core.login("olsen", { sm: true });
    expect(olsen.resumption?.max).toBe(60);
    olsen.drop();
    await expect.poll(() => core.server.clients.size).toBe(1);
    clock.pass(60_000);
    expect((await olsen.attemptResume()).getName()).toBe("failed");
  });

  test("before login is ended by xmpp.client.preauth.timeout, however much is said meanwhile", async () => {
    await core.set({ "xmpp.client.preauth.timeout": "20000" });
    const client = await connect();
    clock.pass(19_000);
    client.send("   ");
    await expect(client.authenticate({ ...client.where, user: "alice", password: "wrong" })).rejects.toThrow();
    clock.pass(2_000);
    expect(await client.streamError()).toBe("connection-timeout");
    const bound = await core.login("alice");
    clock.pass(30_000);
    await bound.ping();
  });
});
