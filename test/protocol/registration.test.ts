import { afterEach, beforeEach, expect, test } from "vitest";
import { connectAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition, ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0077
const register = "jabber:iq:register";
let core: TestCore;
beforeEach(async () => {
  core = await startTestCore({
    users: ["alice"],
    properties: {
      ...{ "register.inband": "true", "firekeeper.register.captcha": "false" },
      ...{ "firekeeper.password.least-length": "1", "firekeeper.register.quarantine-days": "0" },
    },
  });
});
afterEach(() => core.close());

const stranger = (more: { tls?: "none" | "direct"; port?: number } = {}) =>
  XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain, ...more });
const offered = (client: XmppClient) =>
  client.features?.getChild("register", "http://jabber.org/features/iq-register") !== undefined;
const account = (name: string, password = name) =>
  `<query xmlns='${register}'><username>${name}</username><password>${password}</password></query>`;
const removal = `<query xmlns='${register}'><remove/></query>`;
const explained = (stanza: {
  getChild(name: string): { getChildText(name: string, ns: string): string | null } | undefined;
}) => stanza.getChild("error")?.getChildText("text", ns.stanzas) ?? "";

async function registered(name: string): Promise<XmppClient> {
  const client = await stranger();
  expect((await client.set(account(name))).attrs).toMatchObject({ type: "result", from: "localhost" });
  return client;
}

test("a stranger sees the form, makes an account and logs in on the same stream; the host sees it as local", async () => {
  const client = await stranger();
  expect(offered(client)).toBe(true);
  const form = (await client.get(`<query xmlns='${register}'/>`, core.domain)).getChild("query", register);
  expect(form?.getChildElements().map((child) => child.getName())).toEqual(["instructions", "username", "password"]);
  expect((await client.set(account("newcomer", "pässwörd"))).attrs.type).toBe("result");
  await client.authenticate({ ...client.where, user: "newcomer", password: "pässwörd" });
  expect(await client.bind("desk")).toBe("newcomer@localhost/desk");
  const agent = await connectAgent(core);
  const accounts = (await agent.target.actual()).accounts;
  expect(accounts.map(({ name, origin }) => [name, origin])).toEqual([
    ["alice", "host"],
    ["newcomer", "local"],
  ]);
  await agent.target.close();
});

test("the account and its password outlive a crash", async () => {
  await registered("newcomer");
  await core.crash();
  await core.login("newcomer");
});

test("names are prepared, and what is no name or no password is refused", async () => {
  const client = await stranger();
  await client.set(account("NewComer"));
  await core.login("newcomer", { password: "NewComer" });
  for (const bad of [
    account("a@b"),
    account(""),
    account("x y"),
    account("fine", ""),
    account("fine", "\u202e"),
    removal,
  ])
    expect(errorCondition(await client.set(bad)), bad).toBe("not-acceptable");
  await expect(core.login("fine")).rejects.toThrow("not-authorized");
});

test("a name of the host's people is never given away, neither is a former one, a disabled one or the free admin's", async () => {
  const taken = async (name: string) => errorCondition(await (await stranger()).set(account(name, "stolen")));
  expect(await taken("ALICE")).toBe("conflict");
  await core.login("alice");
  const { accounts, names, storage } = core.server;
  const alice = accounts.get(names.primary.id, "alice");
  if (alice === undefined) throw new Error("no alice");
  await storage.write(accounts.rename(alice, "alicia"));
  alice.enabled = false;
  expect([await taken("alice"), await taken("alicia"), await taken("admin")]).toEqual(Array(3).fill("conflict"));
  await core.crash();
  await expect(core.login("admin", { password: "stolen" })).rejects.toThrow("not-authorized");
  expect((await (await stranger()).set(account("someone"))).attrs.type).toBe("result");
});

test("two who want the same name at once: one gets it", async () => {
  const [one, other] = [await stranger(), await stranger()];
  const answers = await Promise.all([one.set(account("wanted", "one")), other.set(account("wanted", "other"))]);
  const results = answers.map((answer) => answer.attrs.type).sort();
  expect(results).toEqual(["error", "result"]);
  const winner = answers[0]?.attrs.type === "result" ? "one" : "other";
  await core.login("wanted", { password: winner });
});

test("without TLS nothing is offered or made", async () => {
  const clear = await stranger({ tls: "none" });
  expect(offered(clear)).toBe(false);
  const answer = await clear.set(account("clear"));
  expect([errorCondition(answer), explained(answer)]).toEqual(["not-allowed", "Encrypt the connection first."]);
  await expect(core.login("clear")).rejects.toThrow("not-authorized");
});

test.each([
  ["a ping", "<iq type='get' id='1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"],
  ["two payloads", `<iq type='set' id='1'>${account("x")}${account("y")}</iq>`],
  ["a result", `<iq type='result' id='1'>${account("x")}</iq>`],
  ["no id", `<iq type='set'>${account("x")}</iq>`],
  ["a request to somebody", `<iq type='set' id='1' to='alice.example'>${account("x")}</iq>`],
  ["a message", "<message to='alice@localhost'><body>hi</body></message>"],
])("%s before login ends the stream, as it does without registration", async (_name, xml) => {
  const client = await stranger();
  client.send(xml);
  expect(await client.streamError()).toBe("not-authorized");
});

test("one stream may not ask for ever, and one address may not make accounts without end", async () => {
  const curious = await stranger();
  for (let asked = 0; asked < 10; asked++)
    expect((await curious.get(`<query xmlns='${register}'/>`)).attrs.type).toBe("result");
  curious.send(`<iq type='get' id='more'><query xmlns='${register}'/></iq>`);
  expect(await curious.streamError()).toBe("not-authorized");
  for (let made = 0; made < 10; made++) await registered(`many${made}`);
  expect(errorCondition(await (await stranger()).set(account("toomany")))).toBe("resource-constraint");
  await expect(core.login("toomany")).rejects.toThrow("not-authorized");
  await core.set({ "firekeeper.client.trusted-networks": "127.0.0.0/8" });
  await registered("trusted");
  const busy = await stranger();
  for (let asked = 0; asked < 20; asked++)
    expect((await busy.get(`<query xmlns='${register}'/>`)).attrs.type).toBe("result");
});

test("one's own password can be changed: who asks stays, other sessions end, the old password is void", async () => {
  await (await registered("bob")).close();
  const desk = await core.login("bob", { resource: "desk" });
  const phone = await core.login("bob", { resource: "phone" });
  const shown = (await phone.get(`<query xmlns='${register}'/>`, "localhost")).getChild("query", register);
  expect(shown?.getChildElements().map((child) => child.getName())).toEqual(["registered", "username", "password"]);
  expect(errorCondition(await phone.set(account("alice", "new"), "localhost"))).toBe("bad-request");
  expect(errorCondition(await phone.set(account("bob", "\u202e"), "localhost"))).toBe("not-acceptable");
  expect((await phone.set(account("bob", "new"), "localhost")).attrs.type).toBe("result");
  expect(await desk.streamError()).toBe("not-authorized");
  await phone.ping();
  await expect(core.login("bob")).rejects.toThrow("not-authorized");
  await core.crash();
  await core.login("bob", { password: "new" });
});

test("password and account of the host's people are the host's: refused, and the host is named", async () => {
  const alice = await core.login("alice");
  for (const xml of [account("alice", "new"), removal]) {
    const answer = await alice.set(xml, "localhost");
    expect(errorCondition(answer)).toBe("not-allowed");
    expect(explained(answer)).toContain("host application");
  }
  const shown = (await alice.get(`<query xmlns='${register}'/>`)).getChild("query", register);
  expect(shown?.getChild("password")).toBeUndefined();
  await core.login("alice");
});

test("who gives the account up is answered, every session ends, and nothing is left for the next of that name", async () => {
  await (await registered("bob")).close();
  const alice = await core.login("alice");
  const bob = await core.login("bob", { resource: "desk" });
  const phone = await core.login("bob", { resource: "phone", sm: true });
  alice.presence();
  bob.presence();
  await bob.set("<vCard xmlns='vcard-temp'><FN>The first Bob</FN></vCard>");
  alice.message("bob@localhost", "to the first bob");
  await bob.next("message");
  await alice.ping();
  expect((await bob.set(removal, "localhost")).attrs.type).toBe("result");
  expect([await bob.streamError(), await phone.streamError()]).toEqual(["not-authorized", "not-authorized"]);
  await expect(core.login("bob")).rejects.toThrow("not-authorized");
  alice.message("bob@localhost", "to nobody");
  expect(errorCondition(await alice.next("message", (m) => m.attrs.type === "error"))).toBe("service-unavailable");
  await core.crash();
  await (await registered("bob")).close();
  const next = await core.login("bob");
  next.presence();
  const archive = await next.set("<query xmlns='urn:xmpp:mam:2'/>");
  expect(archive.getChild("fin", "urn:xmpp:mam:2")?.getChild("set")?.getChildText("count")).toBe("0");
  expect((await next.get("<vCard xmlns='vcard-temp'/>")).getChild("vCard")?.getChildElements()).toEqual([]);
  await next.none("message");
});

test("a disk that takes nothing: no account, and the name is free again", async () => {
  const { storage } = core.server;
  const write = storage.write;
  storage.write = () => Promise.reject(new Error("full"));
  const client = await stranger();
  expect(errorCondition(await client.set(account("carol")))).toBe("resource-constraint");
  storage.write = write;
  expect((await client.set(account("carol"))).attrs.type).toBe("result");
});

test("turned off: not offered, refused with a word, and disco tells", async () => {
  const features = async () => {
    const alice = await core.login("alice");
    const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost");
    await alice.close();
    return (
      info
        .getChild("query")
        ?.getChildren("feature")
        .map((feature) => feature.attrs.var) ?? []
    );
  };
  expect(await features()).toContain(register);
  await (await registered("bob")).close();
  const bob = await core.login("bob");
  await core.set({ "register.inband": "false" });
  expect(await features()).not.toContain(register);
  const client = await stranger();
  expect(offered(client)).toBe(false);
  for (const answer of [await client.get(`<query xmlns='${register}'/>`), await client.set(account("late"))]) {
    expect(errorCondition(answer)).toBe("not-allowed");
    expect(explained(answer)).toContain("administrator");
  }
  expect((await bob.set(account("bob", "still"))).attrs.type).toBe("result");
  await core.set({ "register.password": "false" });
  expect(errorCondition(await bob.set(account("bob", "no more")))).toBe("not-allowed");
  await core.set({ "firekeeper.register.removal": "none" });
  expect(errorCondition(await bob.set(removal))).toBe("not-allowed");
  expect(errorCondition(await bob.get(`<query xmlns='${register}'/>`))).toBe("not-allowed");
});
