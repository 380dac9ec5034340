import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0055, with the form of Openfire's plugin
const ns = "jabber:iq:search";
let core: TestCore;
let alice: XmppClient;
const keys = [
  "plugin.search.serviceEnabled",
  "plugin.search.serviceName",
  "plugin.search.excludedFields",
  "plugin.search.groupOnly",
  "firekeeper.search.excluded-users",
];
beforeAll(async () => {
  core = await startTestCore({ domain: "one.example" });
  await core.addUser("alice", { displayName: "Alice Martin" });
  await core.addUser("bob", { displayName: "Bob Martín" });
  await core.addUser("__proto__", { displayName: "Mallory" });
  const { accounts } = core.server;
  const bob = accounts.get(1, "bob");
  if (bob !== undefined) bob.email = "bob@mail.example";
  await core.addUser("disabled", { displayName: "Gone Martin" });
  const gone = accounts.get(1, "disabled");
  if (gone !== undefined) gone.enabled = false;
  const facts = { hostId: undefined, email: undefined, enabled: true, keptUntil: undefined, probe: false } as const;
  accounts.create(
    core.server.names.primary,
    { ...facts, name: "q_1", displayName: "Martin Team", origin: "host", contact: true },
    0,
  );
  accounts.addProbe(core.server.names.primary, "martin-probe", {});
  alice = await core.login("alice");
});
afterEach(() => core.set(Object.fromEntries(keys.map((key) => [key, null]))));
afterAll(() => core.close());

const at = (query: string, by = alice, to = "search.one.example") =>
  by.set(`<query xmlns='${ns}'>${query}</query>`, to);
const form = (fields: Record<string, string>) =>
  `<x xmlns='jabber:x:data' type='submit'>${Object.entries({ FORM_TYPE: ns, ...fields })
    .map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`)
    .join("")}</x>`;
const all = { Username: "1", Name: "1", Email: "1" };

/** What a result form lists: each row by its fields. */
function rows(answer: Element): Record<string, string>[] {
  const items = answer.getChild("query", ns)?.getChild("x", "jabber:x:data")?.getChildren("item") ?? [];
  return items.map((item) =>
    Object.fromEntries(item.getChildren("field").map((one) => [one.attrs.var, one.getChildText("value") ?? ""])),
  );
}
const found = async (fields: Record<string, string>) => rows(await at(form(fields))).map(({ jid }) => jid);
const simple = (answer: Element) =>
  answer
    .getChild("query", ns)
    ?.getChildren("item")
    .map(({ attrs }) => attrs.jid) ?? [];
const set = (answer: Element) => answer.getChild("query", ns)?.getChild("set", "http://jabber.org/protocol/rsm");

test("the service is listed, says what it is, and shows both ways to ask", async () => {
  const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "one.example");
  const listed = items
    .getChild("query")
    ?.getChildren("item")
    .map(({ attrs }) => attrs.jid);
  expect(listed).toContain("search.one.example");
  const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "search.one.example");
  expect(info.getChild("query")?.getChild("identity")?.attrs).toMatchObject({ category: "directory", type: "user" });
  expect(info.toString()).toContain(`var="${ns}"`);
  const query = (await alice.get(`<query xmlns='${ns}'/>`, "search.one.example")).getChild("query", ns);
  expect(query?.getChildElements().map((child) => child.getName())).toEqual([
    ...["instructions", "first", "last", "nick", "email", "x"],
  ]);
  const fields = query
    ?.getChild("x", "jabber:x:data")
    ?.getChildren("field")
    .map(({ attrs }) => attrs.var);
  expect(fields).toEqual(["FORM_TYPE", "search", "Username", "Name", "Email"]);
});

test("people are found by any part of what is ticked, whatever the case and the accents; nobody else is", async () => {
  expect(rows(await at(form({ search: "MARTIN", ...all })))).toEqual([
    { jid: "alice@one.example", Username: "alice", Name: "Alice Martin", Email: "" },
    { jid: "bob@one.example", Username: "bob", Name: "Bob Martín", Email: "bob@mail.example" },
  ]);
  expect(await found({ search: "b*martin", Name: "1" })).toEqual(["bob@one.example"]);
  expect(await found({ search: "martin*b", Name: "1" })).toEqual([]);
  expect(await found({ search: "mail.example", Username: "1", Name: "1" })).toEqual([]);
  expect(await found({ search: "mail.example" })).toEqual(["bob@one.example"]);
  expect(await found({ search: "*", ...all })).toEqual(
    ["__proto__", "alice", "bob"].map((name) => `${name}@one.example`),
  );
  expect(await found({ search: "__proto__", ...all })).toEqual(["__proto__@one.example"]);
  for (const hard of ["(((((((a+)+)+)+)+)+)+)b", "' OR 1=1 --", "%", "*".repeat(500)])
    expect((await at(form({ search: hard.replaceAll("'", "&apos;"), ...all }))).attrs.type).toBe("result");
});

test("the simple way asks for all that is filled in; nothing filled in finds nobody", async () => {
  expect(simple(await at("<first>martin</first><nick>bo*</nick>"))).toEqual(["bob@one.example"]);
  expect(simple(await at("<first/><last> </last>"))).toEqual([]);
  expect(await found({ search: " ", ...all })).toEqual([]);
  expect(errorCondition(await at("<x xmlns='jabber:x:data' type='form'/>"))).toBe("bad-request");
});

test("what is found comes in pages, and one answer is never without bound", async () => {
  for (let n = 0; n < 105; n++) {
    const facts = { hostId: undefined, email: undefined, enabled: true, keptUntil: undefined, probe: false } as const;
    const name = `crowd${String(n).padStart(3, "0")}`;
    core.server.accounts.create(
      core.server.names.primary,
      { ...facts, name, displayName: undefined, origin: "host" },
      0,
    );
  }
  const crowd = (page: string) => at(`${form({ search: "crowd", ...all })}${page}`);
  const rsm = (inner: string) => crowd(`<set xmlns='http://jabber.org/protocol/rsm'>${inner}</set>`);
  const names = (answer: Element) => rows(answer).map(({ Username }) => Username);
  const whole = await crowd("");
  expect([names(whole).length, set(whole)?.getChildText("count")]).toEqual([100, "105"]);
  expect(names(await rsm("<max>100000</max>"))).toHaveLength(100);
  expect(names(await rsm("<max>2</max>"))).toEqual(["crowd000", "crowd001"]);
  expect(names(await rsm("<max>2</max><after>crowd103</after>"))).toEqual(["crowd104"]);
  expect(names(await rsm("<max>2</max><before/>"))).toEqual(["crowd103", "crowd104"]);
  expect(names(await rsm("<max>2</max><before>crowd001</before>"))).toEqual(["crowd000"]);
  expect(names(await rsm("<max>1</max><index>50</index>"))).toEqual(["crowd050"]);
  expect(names(await rsm("<max>0</max>"))).toEqual([]);
  expect(errorCondition(await rsm("<max>-1</max>"))).toBe("bad-request");
});

test("fields and users are left out, and others than one's colleagues, where the admin says so", async () => {
  await core.set({ "plugin.search.excludedFields": "email" });
  expect(rows(await at(form({ search: "bob", ...all })))).toEqual([
    { jid: "bob@one.example", Username: "bob", Name: "Bob Martín" },
  ]);
  expect(await found({ search: "mail.example", ...all })).toEqual([]);
  await core.set({ "firekeeper.search.excluded-users": "bob@one.example" });
  expect(await found({ search: "bob", ...all })).toEqual([]);
  await core.set({ "firekeeper.search.excluded-users": null, "plugin.search.groupOnly": "true" });
  expect(await found({ search: "martin", ...all })).toEqual(["alice@one.example"]);
});

test("the service has another name, or is none", async () => {
  await core.set({ "plugin.search.serviceName": "directory" });
  expect(rows(await at(form({ search: "bob", ...all }), alice, "directory.one.example"))).toHaveLength(1);
  expect((await at(form({ search: "bob", ...all }))).attrs.type).toBe("error");
  await core.set({ "plugin.search.serviceName": null, "plugin.search.serviceEnabled": "false" });
  expect((await at(form({ search: "bob", ...all }))).attrs.type).toBe("error");
  const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "one.example");
  expect(items.toString()).not.toContain("search.");
});

test("under another name of the domain everybody is found under that name", async () => {
  await core.rename("two.example", null);
  const bob = await core.login("bob", { domain: "two.example" });
  expect(rows(await at(form({ search: "alice", ...all }), bob, "search.two.example"))[0]?.jid).toBe(
    "alice@two.example",
  );
  expect(await found({ search: "alice", ...all })).toEqual(["alice@one.example"]);
});
