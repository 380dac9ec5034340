/** Namespaces that a component answers for, and what it is told of the asker. XEP-0355, docs/components.md */
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { groups, type SharedGroupChange } from "../../xmpp-core/modules/points.ts";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const pascom = "http://www.pascom.net/mobydick";
let core: TestCore;
let port: number;
const open = new Set<TestComponent>();
async function join(label: string): Promise<TestComponent> {
  const component = await TestComponent.join(port, label, "secret");
  open.add(component);
  return component;
}

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: {
      ...takesComponents(port, "secret"),
      "firekeeper.component.grants": `pbx:delegate=${pascom},pbx:delegate=urn:example:nodes|node,pbx:delegate=jabber:iq:private`,
    },
  });
  const { accounts, names, core: parts, storage } = core.server;
  const alice = accounts.get(names.primary.id, "alice");
  if (alice === undefined) throw new Error("no alice");
  const group = { name: "Sales", displayName: "Sales", showInRoster: "onlyGroup", groupList: [] } as const;
  const changes: SharedGroupChange[] = [
    { kind: "set", origin: "host", group },
    { kind: "members", group: "Sales", add: [alice], remove: [] },
  ];
  const prepared = parts.offered(groups)[0]?.prepare(changes);
  await storage.write(prepared?.writes ?? []);
  prepared?.done();
});
afterEach(async () => {
  XmppClient.dropAll();
  for (const component of open) {
    component.connection.end();
    await component.connection.ended;
  }
  open.clear();
});
afterAll(() => core.close());

const cmd = (inside: string): string => `<cmd xmlns='${pascom}' module='base'>${inside}</cmd>`;
const delegated = (stanza: Element): boolean =>
  stanza.is("iq") && stanza.getChild("delegation", "urn:xmpp:delegation:2") !== undefined;
const inner = (stanza: Element): Element => {
  const found = stanza
    .getChild("delegation")
    ?.getChild("forwarded", "urn:xmpp:forward:0")
    ?.getChild("iq", "jabber:client");
  if (found === undefined) throw new Error(`nothing is forwarded in ${stanza.toString()}`);
  return found;
};
function answer(pbx: TestComponent, asked: Element, iq: string): void {
  pbx.send(
    `<iq type='result' id='${asked.attrs.id}' from='pbx.localhost' to='${asked.attrs.from}'>` +
      `<delegation xmlns='urn:xmpp:delegation:2'><forwarded xmlns='urn:xmpp:forward:0'>${iq}</forwarded></delegation></iq>`,
  );
}
const condition = (stanza: Element): string => String(stanza.getChild("error")?.getChildElements()[0]?.getName());

test("the component is told what is delegated to it, and the server what it can do", async () => {
  const pbx = await join("pbx");
  const told = (await pbx.next("message")).getChild("delegation", "urn:xmpp:delegation:2");
  expect(told?.getChildren("delegated").map((each) => each.attrs.namespace)).toEqual([
    pascom,
    "urn:example:nodes",
    "jabber:iq:private",
  ]);
  expect(told?.getChildren("delegated")[1]?.getChild("attribute")?.attrs.name).toBe("node");
  const asked = await pbx.next(
    "iq",
    (stanza) => stanza.getChild("query")?.attrs.node === `urn:xmpp:delegation:2::${pascom}`,
  );
  pbx.send(
    `<iq type='result' id='${asked.attrs.id}' from='pbx.localhost' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='${pascom}'/></query></iq>`,
  );
  await pbx.ping();
  const alice = await core.login("alice");
  const features = async (): Promise<unknown[]> =>
    (await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost"))
      .getChild("query")
      ?.getChildren("feature")
      .map((feature) => feature.attrs.var) ?? [];
  expect(await features()).toEqual(expect.arrayContaining(["urn:xmpp:delegation:2", pascom]));
  pbx.connection.end();
  await pbx.connection.ended;
  await expect.poll(features).not.toContain(pascom);
});

test("a request without address reaches it with the asker's full address and roles; the answer is the server's", async () => {
  const pbx = await join("pbx");
  const alice = await core.login("alice", { resource: "pc" });
  const asking = alice.get(cmd("<Dial target='0891' prefix='auto'/>"));
  const asked = await pbx.next(delegated);
  expect(asked.attrs).toMatchObject({ type: "set", from: "localhost", to: "pbx.localhost" });
  expect(inner(asked).attrs).toMatchObject({ from: "alice@localhost/pc", type: "get" });
  expect(inner(asked).attrs.to).toBeUndefined();
  expect(inner(asked).getChild("cmd", pascom)?.getChild("Dial")?.attrs.target).toBe("0891");
  const roles = asked.getChild("delegation")?.getChild("asker", "urn:firekeeper:host:0")?.getChildren("role") ?? [];
  expect(roles.map(({ attrs }) => ({ ...attrs }))).toEqual([{ type: "xmpp.group", name: "Sales" }]);
  // Others of the same client need not wait for it.
  await alice.ping();
  const { id } = inner(asked).attrs;
  answer(
    pbx,
    asked,
    `<iq xmlns='jabber:client' type='result' id='${id}' to='alice@localhost/pc'>${cmd("<Success><message>ok &amp; done</message></Success>")}</iq>`,
  );
  const result = await asking;
  expect(result.attrs).toMatchObject({ type: "result", from: "alice@localhost", to: "alice@localhost/pc" });
  expect(result.getChild("cmd", pascom)?.getChild("Success")?.getChildText("message")).toBe("ok & done");
});

test("requests to the server and to others' accounts are forwarded, to full addresses not", async () => {
  const pbx = await join("pbx");
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  for (const to of ["localhost", "bob@localhost"]) {
    const asking = alice.get(cmd("<FindOwn/>"), to);
    const asked = await pbx.next(delegated);
    expect(inner(asked).attrs).toMatchObject({ to, from: alice.jid });
    const { id } = inner(asked).attrs;
    answer(
      pbx,
      asked,
      `<iq xmlns='jabber:client' type='error' id='${id}' from='${to}' to='${alice.jid}'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`,
    );
    const result = await asking;
    expect(result.attrs).toMatchObject({ type: "error", from: to });
    expect(condition(result)).toBe("item-not-found");
  }
  alice.send(`<iq type='get' id='direct' to='${bob.jid}'>${cmd("<FindOwn/>")}</iq>`);
  expect((await bob.next("iq")).attrs.from).toBe(alice.jid);
});

test("what the server does itself is delegated too, unless the component asks; attributes decide", async () => {
  const pbx = await join("pbx");
  const alice = await core.login("alice");
  const asking = alice.get("<query xmlns='jabber:iq:private'><a xmlns='urn:a'/></query>");
  const asked = await pbx.next(delegated);
  expect(inner(asked).getChild("query", "jabber:iq:private")).toBeDefined();
  answer(pbx, asked, `<iq xmlns='jabber:client' type='result' id='${inner(asked).attrs.id}' to='${alice.jid}'/>`);
  expect((await asking).attrs.type).toBe("result");
  // Its own question is not sent back to it.
  expect(condition(await pbx.iq("get", "localhost", cmd("<FindOwn/>")))).toBe("service-unavailable");
  expect(condition(await alice.get("<x xmlns='urn:example:nodes'/>"))).toBe("service-unavailable");
  void alice.get("<x xmlns='urn:example:nodes' node='n'/>").catch(() => undefined);
  expect(inner(await pbx.next(delegated)).getChild("x")?.attrs.node).toBe("n");
});

test("answers that are not for this question, errors and silence end in an error", async () => {
  const pbx = await join("pbx");
  const alice = await core.login("alice");
  const wrong: ((id: string) => string)[] = [
    () => `<iq xmlns='jabber:client' type='result' id='other' to='${alice.jid}'/>`,
    (id) => `<iq xmlns='jabber:client' type='result' id='${id}' to='bob@localhost/x'/>`,
    (id) => `<iq xmlns='jabber:client' type='result' id='${id}' to='${alice.jid}' from='bob@localhost'/>`,
    (id) => `<iq xmlns='jabber:client' type='set' id='${id}' to='${alice.jid}'/>`,
    () => "<message xmlns='jabber:client'/>",
  ];
  for (const write of wrong) {
    const asking = alice.get(cmd("<FindOwn/>"));
    const asked = await pbx.next(delegated);
    answer(pbx, asked, write(String(inner(asked).attrs.id)));
    expect(condition(await asking)).toBe("service-unavailable");
  }
  const refused = alice.get(cmd("<FindOwn/>"));
  const asked = await pbx.next(delegated);
  pbx.send(
    `<iq type='error' id='${asked.attrs.id}' from='pbx.localhost' to='localhost'><error type='cancel'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`,
  );
  expect(condition(await refused)).toBe("service-unavailable");
  const unanswered = alice.get(cmd("<FindOwn/>"));
  await pbx.next(delegated);
  pbx.drop();
  expect(condition(await unanswered)).toBe("service-unavailable");
  expect(condition(await alice.get(cmd("<FindOwn/>")))).toBe("service-unavailable");
});

test("a restart of the server answers what was under way", async () => {
  const pbx = await join("pbx");
  const alice = await core.login("alice");
  const asking = alice.get(cmd("<FindOwn/>"));
  await pbx.next(delegated);
  await core.restart();
  expect(condition(await asking)).toBe("service-unavailable");
});

test("an asker under another name of the domain is seen and answered under it", async () => {
  const pbx = await join("pbx.localhost");
  await core.rename("example.test", null);
  const alice = await core.login("alice", { domain: "example.test", resource: "pc" });
  const asking = alice.get(cmd("<FindOwn/>"), "example.test");
  const asked = await pbx.next(delegated);
  expect(inner(asked).attrs).toMatchObject({ from: "alice@localhost/pc", to: "localhost" });
  answer(
    pbx,
    asked,
    `<iq xmlns='jabber:client' type='result' id='${inner(asked).attrs.id}' from='localhost' to='alice@localhost/pc'>${cmd("")}</iq>`,
  );
  expect((await asking).attrs).toMatchObject({ from: "example.test", to: "alice@example.test/pc" });
  await core.rename("localhost", null);
});
