/** Components that act for people, as far as they were granted it. XEP-0356 */
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let port: number;
const open = new Set<TestComponent>();
async function join(label: string): Promise<TestComponent> {
  const component = await TestComponent.join(port, label, "secret");
  open.add(component);
  return component;
}
const grants = [
  "agent:roster=both",
  "agent:message=outgoing",
  "agent:presence=managed_entity",
  "agent:iq=get@urn:example:asked",
  "agent:iq=both@urn:xmpp:ping",
  "reader:roster=get",
  "reader:setting=roster.shownumbers",
  "reader:directory",
].join(",");

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob", "carol"],
    properties: {
      ...takesComponents(port, "secret"),
      "firekeeper.component.grants": grants,
    },
  });
});
afterEach(async () => {
  XmppClient.dropAll();
  for (const component of open) {
    component.connection.end();
    await component.connection.ended;
  }
  open.clear();
  await expect.poll(() => core.server.sessions.size).toBe(0);
});
afterAll(() => core.close());

const condition = (stanza: Element): string => String(stanza.getChild("error")?.getChildElements()[0]?.getName());
const rosterOf = "<query xmlns='jabber:iq:roster'/>";
const put = (jid: string, name: string): string =>
  `<query xmlns='jabber:iq:roster'><item jid='${jid}' name='${name}'><group>Rivals</group></item></query>`;
const items = (stanza: Element): Element[] => stanza.getChild("query", "jabber:iq:roster")?.getChildren("item") ?? [];

test("a component is told what it may", async () => {
  const agent = await join("agent");
  const told = (await agent.next("message")).getChild("privilege", "urn:xmpp:privilege:2");
  expect(told?.getChildren("perm").map(({ attrs }) => ({ ...attrs }))).toEqual([
    { access: "roster", type: "both", push: "true" },
    { access: "message", type: "outgoing" },
    { access: "presence", type: "managed_entity" },
    { access: "iq" },
  ]);
  expect(told?.getChildren("perm")[3]?.getChild("namespace")?.attrs).toMatchObject({
    ns: "urn:example:asked",
    type: "get",
  });
  const nobody = await join("nobody");
  await nobody.ping();
  expect(nobody.connection.inbox).toEqual([]);
});

test("contact lists are read, changed and followed by who may", async () => {
  const [agent, reader, nobody] = [await join("agent"), await join("reader"), await join("nobody")];
  const alice = await core.login("alice");
  await alice.roster();
  expect((await agent.iq("set", "alice@localhost", put("bob@localhost", "Bob"))).attrs.type).toBe("result");
  expect(items(await alice.next("roster push"))[0]?.attrs).toMatchObject({ jid: "bob@localhost", name: "Bob" });
  for (const each of [agent, reader]) {
    const push = await each.next("iq", (stanza) => stanza.attrs.type === "set" && items(stanza).length === 1);
    expect(push.attrs.from).toBe("alice@localhost");
    expect(items(push)[0]?.attrs.jid).toBe("bob@localhost");
    const list = await each.iq("get", "alice@localhost", rosterOf);
    expect(list.attrs.from).toBe("alice@localhost");
    expect(items(list).map(({ attrs }) => attrs.jid)).toEqual(["bob@localhost"]);
  }
  expect(condition(await reader.iq("set", "alice@localhost", put("carol@localhost", "C")))).toBe("forbidden");
  for (const payload of [rosterOf, put("carol@localhost", "C")])
    expect(condition(await nobody.iq(payload === rosterOf ? "get" : "set", "alice@localhost", payload))).toBe(
      "forbidden",
    );
  await alice.set("<query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query>");
  const removed = await agent.next("iq", (stanza) => items(stanza)[0]?.attrs.subscription === "remove");
  expect(removed.attrs.from).toBe("alice@localhost");
  expect(condition(await agent.iq("get", "no_one@localhost", rosterOf))).toBe("service-unavailable");
});

const privileged = (inner: string): string =>
  `<privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>${inner}</forwarded></privilege>`;
test("messages go out under bare addresses of the server only", async () => {
  const [agent, reader] = [await join("agent"), await join("reader")];
  const bob = await core.login("bob");
  bob.presence();
  const send = (component: TestComponent, from: string): void =>
    component.send(
      `<message from='${component.label}.localhost' to='localhost' id='n'>${privileged(
        `<message xmlns='jabber:client' from='${from}' to='bob@localhost' type='chat' id='foo'><body>of ${from}</body></message>`,
      )}</message>`,
    );
  for (const from of ["alice@localhost", "localhost"]) {
    send(agent, from);
    const heard = await bob.next("message", (stanza) => stanza.getChildText("body") === `of ${from}`);
    expect(heard.attrs).toMatchObject({ from, type: "chat", id: "foo" });
  }
  for (const from of ["alice@localhost/pc", "nobody@localhost", "x@elsewhere", "x@agent.localhost"]) {
    send(agent, from);
    expect(condition(await agent.next("message", (stanza) => stanza.attrs.type === "error")), from).toBe("forbidden");
  }
  send(reader, "alice@localhost");
  expect(condition(await reader.next("message", (stanza) => stanza.attrs.type === "error"))).toBe("forbidden");
});

test("presence of people is shown to who may see it, also what was before", async () => {
  const alice = await core.login("alice", { resource: "pc" });
  alice.presence("<show>away</show>");
  await alice.ping();
  const [agent, reader] = [await join("agent"), await join("reader")];
  const first = await agent.next("presence");
  expect(first.attrs).toMatchObject({ from: "alice@localhost/pc", to: "agent.localhost" });
  expect(first.getChildText("show")).toBe("away");
  alice.presence("<show>dnd</show>");
  expect((await agent.next("presence")).getChildText("show")).toBe("dnd");
  await alice.close();
  expect((await agent.next("presence")).attrs.type).toBe("unavailable");
  await reader.ping();
  expect(reader.connection.inbox.filter((stanza) => stanza.is("presence"))).toEqual([]);
});

const acting = (inner: string): string => `<privileged_iq xmlns='urn:xmpp:privilege:2'>${inner}</privileged_iq>`;
const answered = (stanza: Element): Element | undefined =>
  stanza.getChild("privilege")?.getChild("forwarded", "urn:xmpp:forward:0")?.getChild("iq", "jabber:client");
test("requests are made in a person's name, of others, of services and of the server", async () => {
  const [agent, other] = [await join("agent"), await join("other")];
  const bob = await core.login("bob", { resource: "pc" });
  const asking = agent.iq(
    "get",
    "alice@localhost",
    acting("<iq xmlns='jabber:client' type='get' id='sub_1' to='bob@localhost/pc'><q xmlns='urn:example:asked'/></iq>"),
  );
  const asked = await bob.next("iq");
  expect(asked.attrs).toMatchObject({ from: "alice@localhost", type: "get" });
  bob.send(`<iq type='result' id='${asked.attrs.id}' to='alice@localhost'><a xmlns='urn:example:asked'/></iq>`);
  const result = await asking;
  expect(result.attrs).toMatchObject({ type: "result", from: "alice@localhost", to: "agent.localhost" });
  expect(answered(result)?.attrs).toMatchObject({
    type: "result",
    id: "sub_1",
    from: "bob@localhost/pc",
    to: "alice@localhost",
  });
  expect(answered(result)?.getChild("a", "urn:example:asked")).toBeDefined();
  // A stranger's answer is none.
  const second = agent.iq(
    "get",
    "alice@localhost",
    acting("<iq xmlns='jabber:client' type='get' id='s2' to='x@other.localhost'><q xmlns='urn:example:asked'/></iq>"),
  );
  const there = await other.next("iq");
  expect(there.attrs).toMatchObject({ from: "alice@localhost", to: "x@other.localhost" });
  bob.send(`<iq type='result' id='${there.attrs.id}' to='alice@localhost'><forged xmlns='urn:example:asked'/></iq>`);
  await bob.ping();
  other.send(`<iq type='result' id='${there.attrs.id}' from='x@other.localhost' to='alice@localhost'/>`);
  expect(answered(await second)?.getChildElements()).toEqual([]);
  const pinged = await agent.iq(
    "get",
    "alice@localhost",
    acting("<iq xmlns='jabber:client' type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"),
  );
  expect(answered(pinged)?.attrs).toMatchObject({ type: "result", id: "p", from: "localhost" });
  const gone = await agent.iq(
    "get",
    "alice@localhost",
    acting("<iq xmlns='jabber:client' type='get' id='g' to='bob@localhost/none'><q xmlns='urn:example:asked'/></iq>"),
  );
  expect(answered(gone)?.attrs.type).toBe("error");
});

test("requests beyond the right are forbidden", async () => {
  const [agent, reader] = [await join("agent"), await join("reader")];
  const q = "<q xmlns='urn:example:asked'/>";
  for (const inner of [
    `<iq xmlns='jabber:client' type='set' id='a' to='bob@localhost/pc'>${q}</iq>`,
    "<iq xmlns='jabber:client' type='get' id='a' to='bob@localhost/pc'><q xmlns='urn:example:other'/></iq>",
    `<iq xmlns='jabber:server' type='get' id='a' to='bob@localhost/pc'>${q}</iq>`,
    `<iq xmlns='jabber:client' type='get' id='a' from='bob@localhost' to='bob@localhost/pc'>${q}</iq>`,
    `<iq xmlns='jabber:client' type='get' id='a' to='bob@localhost/pc'/>`,
    "",
  ])
    expect(condition(await agent.iq("get", "alice@localhost", acting(inner))), inner).toBe("forbidden");
  const fine = `<iq xmlns='jabber:client' type='get' id='a' to='localhost'>${q}</iq>`;
  expect(condition(await reader.iq("get", "alice@localhost", acting(fine)))).toBe("forbidden");
  expect(condition(await agent.iq("get", "nobody@localhost", acting(fine)))).toBe("forbidden");
  const alice = await core.login("alice");
  expect((await alice.get(acting(fine))).attrs.type).toBe("error");
});

test("settings and who there is are read by who may, and changes come by themselves", async () => {
  const [reader, agent] = [await join("reader"), await join("agent")];
  const settings = "<settings xmlns='urn:firekeeper:host:0'/>";
  const directory = (more: string): string => `<directory xmlns='urn:firekeeper:host:0' ${more}</directory>`;
  expect(condition(await agent.iq("get", "localhost", settings))).toBe("forbidden");
  expect(condition(await agent.iq("get", "localhost", directory("what='users'>")))).toBe("forbidden");
  const page = await reader.iq(
    "get",
    "localhost",
    directory("what='users'><set xmlns='http://jabber.org/protocol/rsm'><max>2</max></set>"),
  );
  const names = (stanza: Element) =>
    stanza
      .getChild("directory")
      ?.getChildren("user")
      .map(({ attrs }) => attrs.name);
  expect(names(page)).toEqual(["alice", "bob"]);
  const rest = await reader.iq(
    "get",
    "localhost",
    directory("what='users'><set xmlns='http://jabber.org/protocol/rsm'><after>bob</after></set>"),
  );
  expect(names(rest)).toEqual(["carol"]);
  expect(rest.getChild("directory")?.getChild("set")?.getChildText("count")).toBe("3");
  expect(condition(await reader.iq("get", "localhost", directory("what='__proto__'>")))).toBe("item-not-found");
  await core.set({ "roster.shownumbers": "true" });
  const told = await reader.next("iq", (stanza) => stanza.getChild("settings") !== undefined);
  expect(told.getChild("settings")?.getChild("setting")?.attrs.value).toBe("true");
  await core.set({ "roster.shownumbers": null });
  await core.addUser("dora", { displayName: "Dora" });
  const dora = (stanza: Element): Element | undefined =>
    stanza
      .getChild("directory")
      ?.getChildren("user")
      .find(({ attrs }) => attrs.name === "dora");
  const changed = await reader.next("iq", (stanza) => dora(stanza) !== undefined);
  expect(changed.attrs.type).toBe("set");
  expect(dora(changed)?.attrs.displayName).toBe("Dora");
});
