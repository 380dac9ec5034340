import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { connectAgent } from "../support/agent.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition, ns } from "../support/stanzas.ts";
import { type Where, XmppClient } from "../support/xmpp-client.ts";

// XEP-0077
const register = "jabber:iq:register";
let core: TestCore;
let webPort: number;
/** Strangers of each test come from an address of their own: attempts are counted by it. */
let address = 1;
const properties = {
  ...{ "register.inband": "true", "firekeeper.register.captcha": "false", "register.password": "true" },
  ...{ "firekeeper.password.least-length": "1", "firekeeper.register.quarantine-days": "0" },
  ...{ "firekeeper.register.removal": "local", "firekeeper.client.trusted-networks": "" },
};

beforeAll(async () => {
  webPort = await freePort();
  core = await startTestCore({
    users: ["alice", "walter"],
    properties: {
      ...{ ...properties, "httpbind.enabled": "true", "httpbind.port.plain": "-1" },
      "httpbind.port.secure": String(webPort),
    },
  });
});
afterAll(() => core.close());
beforeEach(() => void address++);
afterEach(async () => {
  XmppClient.dropAll();
  await core.set(properties);
});

const stranger = (more: Partial<Where> = {}) =>
  XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain, from: `127.0.0.${address}`, ...more });
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

test("a stranger sees the form, makes an account and logs in on the same stream; the host sees it as local; a crash leaves it", async () => {
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
    ["walter", "host"],
  ]);
  await agent.target.close();
  await core.crash();
  await core.login("newcomer", { password: "pässwörd" });
});

test.each(["websocket", "bosh"] as const)(
  "over %s too: an account is made, its password changed, and it is given up",
  async (via) => {
    const name = `by${via}`;
    const where = { port: webPort, via };
    const client = await stranger(where);
    expect(offered(client)).toBe(true);
    expect((await client.get(`<query xmlns='${register}'/>`)).getChild("query", register)).toBeDefined();
    expect((await client.set(account(name))).attrs.type).toBe("result");
    expect(errorCondition(await client.set(account(name, "stolen")))).toBe("conflict");
    await client.authenticate({ ...client.where, user: name, password: name });
    await client.bind("browser");
    const desk = await core.login(name);
    expect((await client.set(account(name, "new"), core.domain)).attrs.type).toBe("result");
    expect(await desk.streamError()).toBe("not-authorized");
    await expect(core.login(name, where)).rejects.toThrow("not-authorized");
    const other = await core.login(name, { ...where, password: "new" });
    expect((await client.set(removal, core.domain)).attrs.type).toBe("result");
    expect([await client.streamError(), await other.streamError()]).toEqual(["not-authorized", "not-authorized"]);
    await expect(core.login(name, { password: "new" })).rejects.toThrow("not-authorized");
  },
);

test("names are prepared, and what is no name or no password is refused", async () => {
  const client = await stranger();
  await client.set(account("NoVice"));
  await core.login("novice", { password: "NoVice" });
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
  expect(await taken("WALTER")).toBe("conflict");
  await core.login("walter");
  const { accounts, names, storage } = core.server;
  const walter = accounts.get(names.primary.id, "walter");
  if (walter === undefined) throw new Error("no walter");
  await storage.write(accounts.rename(walter, "walther"));
  walter.enabled = false;
  expect([await taken("walter"), await taken("walther"), await taken("admin")]).toEqual(Array(3).fill("conflict"));
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
  await (await registered("gwen")).close();
  const alice = await core.login("alice");
  const gwen = await core.login("gwen", { resource: "desk" });
  const phone = await core.login("gwen", { resource: "phone", sm: true });
  alice.presence();
  gwen.presence();
  await gwen.set("<vCard xmlns='vcard-temp'><FN>The first Gwen</FN></vCard>");
  alice.message("gwen@localhost", "to the first gwen");
  await gwen.next("message");
  await alice.ping();
  expect((await gwen.set(removal, "localhost")).attrs.type).toBe("result");
  expect([await gwen.streamError(), await phone.streamError()]).toEqual(["not-authorized", "not-authorized"]);
  await expect(core.login("gwen")).rejects.toThrow("not-authorized");
  alice.message("gwen@localhost", "to nobody");
  expect(errorCondition(await alice.next("message", (m) => m.attrs.type === "error"))).toBe("service-unavailable");
  await core.crash();
  await (await registered("gwen")).close();
  const next = await core.login("gwen");
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
  await (await registered("erna")).close();
  const erna = await core.login("erna");
  await core.set({ "register.inband": "false" });
  expect(await features()).not.toContain(register);
  const client = await stranger();
  expect(offered(client)).toBe(false);
  for (const answer of [await client.get(`<query xmlns='${register}'/>`), await client.set(account("late"))]) {
    expect(errorCondition(answer)).toBe("not-allowed");
    expect(explained(answer)).toContain("administrator");
  }
  expect((await erna.set(account("erna", "still"))).attrs.type).toBe("result");
  await core.set({ "register.password": "false" });
  expect(errorCondition(await erna.set(account("erna", "no more")))).toBe("not-allowed");
  await core.set({ "firekeeper.register.removal": "none" });
  expect(errorCondition(await erna.set(removal))).toBe("not-allowed");
  expect(errorCondition(await erna.get(`<query xmlns='${register}'/>`))).toBe("not-allowed");
});
