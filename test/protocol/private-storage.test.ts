import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0049
let core: TestCore;
let alice: XmppClient;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  alice = await core.login("alice");
});
afterEach(() => core.close());

const query = (inside: string) => `<query xmlns='jabber:iq:private'>${inside}</query>`;
const set = (inside: string) => alice.set(query(inside));
const read = async (element: string) =>
  (await alice.get(query(element))).getChild("query")?.children.map(String).join("");

test("elements are kept by name and namespace, several at once, each replaced alone", async () => {
  expect(await read("<notes xmlns='urn:a'/>")).toBe('<notes xmlns="urn:a"/>');
  expect((await set("<notes xmlns='urn:a'>1</notes><notes xmlns='urn:b'><x/></notes>")).attrs.type).toBe("result");
  await set("<marks xmlns='urn:a'>3</marks>");
  await set("<notes xmlns='urn:a'>2</notes>");
  const all = async () => [
    await read("<notes xmlns='urn:a'/>"),
    await read("<notes xmlns='urn:b'/>"),
    await read("<marks xmlns='urn:a'/>"),
  ];
  const kept = [
    '<notes xmlns="urn:a">2</notes>',
    '<notes xmlns="urn:b"><x/></notes>',
    '<marks xmlns="urn:a">3</marks>',
  ];
  expect(await all()).toEqual(kept);
  await core.crash();
  alice = await core.login("alice");
  expect(await all()).toEqual(kept);
});

test("it is private: others have their own, and nobody reads or writes somebody else's", async () => {
  await set("<notes xmlns='urn:a'>secret</notes>");
  const bob = await core.login("bob");
  for (const answer of [
    await bob.get(query("<notes xmlns='urn:a'/>"), "alice@localhost"),
    await bob.set(query("<notes xmlns='urn:a'>forged</notes>"), "alice@localhost"),
  ])
    expect(errorCondition(answer)).toBe("service-unavailable");
  expect(String(await bob.get(query("<notes xmlns='urn:a'/>")))).not.toContain("secret");
  expect(await read("<notes xmlns='urn:a'/>")).toContain("secret");
});

test.each([
  ["nothing", ""],
  ["an element without a namespace of its own", "<notes/>"],
  ["two to read", "<notes xmlns='urn:a'/><notes xmlns='urn:b'/>"],
])("%s is a bad request", async (what, inside) => {
  expect(errorCondition(await alice.get(query(inside)))).toBe("bad-request");
  if (what !== "two to read") expect(errorCondition(await set(inside))).toBe("bad-request");
});

test("500 elements are kept and no more; those that are there can still be written", async () => {
  const many = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, at) => `<e${from + at} xmlns='urn:many'/>`).join("");
  expect((await set(many(0, 500))).attrs.type).toBe("result");
  expect(errorCondition(await set("<more xmlns='urn:many'/>"))).toBe("resource-constraint");
  expect((await set("<e7 xmlns='urn:many'>written</e7>")).attrs.type).toBe("result");
  expect(await read("<e7 xmlns='urn:many'/>")).toContain("written");
});

test("2 MiB are kept and no more; what is replaced makes room", async () => {
  const large = (name: string) => `<${name} xmlns='urn:large'>${"x".repeat(900 * 1024)}</${name}>`;
  for (const name of ["a", "b"]) expect((await set(large(name))).attrs.type).toBe("result");
  expect(errorCondition(await set(large("c")))).toBe("resource-constraint");
  expect((await set(large("b"))).attrs.type).toBe("result");
  await set("<a xmlns='urn:large'/>");
  expect((await set(large("c"))).attrs.type).toBe("result");
});

test("xmpp.privateStorageEnabled off refuses with a word and keeps what is there", async () => {
  await set("<notes xmlns='urn:a'>kept</notes>");
  await core.set({ "xmpp.privateStorageEnabled": "false" });
  for (const answer of [await set("<notes xmlns='urn:a'/>"), await alice.get(query("<notes xmlns='urn:a'/>"))]) {
    expect(errorCondition(answer)).toBe("service-unavailable");
    expect(String(answer)).toContain("turned off");
  }
  await core.set({ "xmpp.privateStorageEnabled": null });
  expect(await read("<notes xmlns='urn:a'/>")).toContain("kept");
});

test("bookmarks of rooms of our own follow a change of the domain, other people's words do not", async () => {
  await set(
    "<storage xmlns='storage:bookmarks'><conference jid='room@proxy.localhost' name='at localhost'/></storage><notes xmlns='urn:a'>alice@localhost</notes>",
  );
  await core.rename("new.example", null);
  alice = await core.login("alice", { domain: "new.example" });
  const bookmarks = await read("<storage xmlns='storage:bookmarks'/>");
  expect(bookmarks).toContain('jid="room@proxy.new.example"');
  expect(bookmarks).toContain('name="at localhost"');
  expect(await read("<notes xmlns='urn:a'/>")).toContain("alice@localhost");
});
