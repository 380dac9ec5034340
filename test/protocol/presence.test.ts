import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// RFC 6121 §4
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore();
});
afterAll(() => core.close());
afterEach(() => XmppClient.dropAll());

let people = 0;
/** Names of new accounts: a and b see each other, b sees c's presence and not the reverse, nobody knows d. */
async function friends(): Promise<{ a: string; b: string; c: string; d: string }> {
  const number = ++people;
  const names = { a: `a${number}`, b: `b${number}`, c: `c${number}`, d: `d${number}` };
  for (const name of Object.values(names)) await core.addUser(name);
  const clients = new Map<string, XmppClient>();
  for (const name of [names.a, names.b, names.c]) clients.set(name, await core.login(name));
  for (const [asker, giver] of [
    [names.a, names.b],
    [names.b, names.a],
    [names.b, names.c],
  ] as const) {
    clients.get(asker)?.presence("", `type='subscribe' to='${giver}@localhost'`);
    await clients.get(asker)?.ping();
    clients.get(giver)?.presence("", `type='subscribed' to='${asker}@localhost'`);
    await clients.get(giver)?.ping();
  }
  for (const client of clients.values()) await client.close();
  return names;
}

async function online(
  user: string,
  inside = "",
  options: { resource?: string; sm?: boolean } = {},
): Promise<XmppClient> {
  const client = await core.login(user, options);
  await client.roster();
  client.presence(inside);
  await client.next("presence", (stanza) => stanza.attrs.from === client.jid);
  return client;
}

const from = (client: XmppClient, type?: string) => (stanza: { attrs: Record<string, string> }) =>
  stanza.attrs.from === client.jid && stanza.attrs.type === type;

describe("broadcast", () => {
  test("initial presence goes to subscribers and own resources, and brings theirs", async () => {
    const { a, b, c, d } = await friends();
    const [b1, c1, d1] = [await online(b), await online(c), await online(d)];
    await b1.next("presence", from(c1));
    const a1 = await online(a, "<show>chat</show><status>here</status><priority>5</priority>", { resource: "one" });
    const seen = await b1.next("presence", from(a1));
    expect(seen.attrs).toMatchObject({ to: `${b}@localhost` });
    expect([seen.getChildText("show"), seen.getChildText("status"), seen.getChildText("priority")]).toEqual([
      "chat",
      "here",
      "5",
    ]);
    await a1.next("presence", from(b1));
    const a2 = await online(a, "", { resource: "two" });
    await a1.next("presence", from(a2));
    await a2.next("presence", from(a1));
    await a2.next("presence", from(b1));
    for (const stranger of [c1, d1]) {
      await stranger.none("presence", (stanza) => stanza.attrs.from?.startsWith(`${a}@`) === true, a2);
      await stranger.none("presence", (stanza) => stanza.attrs.from?.startsWith(`${b}@`) === true, b1);
    }
  });

  test("an update is broadcast and asks for nothing again; unavailable ends it", async () => {
    const { a, b } = await friends();
    const [a1, b1] = [await online(a), await online(b)];
    await a1.next("presence", from(b1));
    a1.presence("<show>away</show>");
    await b1.next("presence", (stanza) => stanza.getChildText("show") === "away");
    await a1.none("presence", from(b1));
    a1.presence("<status>bye</status>", "type='unavailable'");
    const gone = await b1.next("presence", from(a1, "unavailable"));
    expect(gone.getChildText("status")).toBe("bye");
    await a1.next("presence", from(a1, "unavailable"));
    b1.presence("<show>dnd</show>");
    await a1.none("presence", from(b1), b1);
    a1.presence();
    await a1.next("presence", (stanza) => stanza.attrs.from === b1.jid && stanza.getChildText("show") === "dnd");
  });

  test.each([
    ["closed stream", (client: XmppClient) => client.close()],
    ["reset connection", (client: XmppClient) => client.drop()],
  ])("a %s is an unavailable presence in the client's name", async (_, leave) => {
    const { a, b } = await friends();
    const [a1, b1] = [await online(a), await online(b)];
    await b1.next("presence", from(a1));
    await leave(a1);
    await b1.next("presence", from(a1, "unavailable"));
  });
});

describe("priority", () => {
  test.each(["-129", "128", "1.5", "high", "", "1</priority><priority>1", "0x10"])(
    "%s is refused and changes nothing",
    async (priority) => {
      const { a, b } = await friends();
      const [a1, b1] = [await online(a), await online(b)];
      await b1.next("presence", from(a1));
      a1.presence(`<show>xa</show><priority>${priority}</priority>`);
      expect(errorCondition(await a1.next("presence", (stanza) => stanza.attrs.type === "error"))).toBe("bad-request");
      await b1.none("presence", from(a1), a1);
    },
  );

  test.each([
    ["127", true],
    ["-128", false],
    [" +3 ", true],
  ])("%s is taken; messages to the bare address: %s", async (priority, reached) => {
    const { a, b } = await friends();
    const a1 = await online(a, `<priority>${priority}</priority>`);
    const b1 = await core.login(b);
    b1.message(`${a}@localhost`, "hi");
    if (reached) await a1.next("message");
    else await a1.none("message", () => true, b1);
  });
});

test("offline messages come with the first presence that is ready for them", async () => {
  const { a, b } = await friends();
  const b1 = await core.login(b);
  b1.message(`${a}@localhost`, "later");
  await b1.ping();
  const a1 = await online(a, "<priority>-1</priority>");
  await a1.none("message");
  a1.presence();
  expect((await a1.next("message")).getChildText("body")).toBe("later");
});

describe("directed presence", () => {
  test("reaches a stranger, is not updated, and ends with the session", async () => {
    const { a, d } = await friends();
    const [a1, d1] = [await online(a), await online(d)];
    a1.presence("<status>only you</status>", `to='${d1.jid}'`);
    const seen = await d1.next("presence", from(a1));
    expect([seen.attrs.to, seen.getChildText("status")]).toEqual([d1.jid, "only you"]);
    a1.presence("<show>away</show>");
    await d1.none("presence", from(a1), a1);
    a1.drop();
    await d1.next("presence", from(a1, "unavailable"));
  });

  test("to a bare address it reaches every available resource; taken back, nothing more is told", async () => {
    const { a, d } = await friends();
    const a1 = await core.login(a);
    const [d1, d2, silent] = [await online(d), await online(d), await core.login(d)];
    a1.presence("", `to='${d}@localhost'`);
    for (const client of [d1, d2]) await client.next("presence", from(a1));
    await silent.none("presence", from(a1), a1);
    a1.presence("", `type='unavailable' to='${d}@localhost'`);
    for (const client of [d1, d2]) await client.next("presence", from(a1, "unavailable"));
    await a1.close();
    await d1.none("presence", from(a1, "unavailable"));
  });

  test("subscribers told directly hear the end once", async () => {
    const { a, b } = await friends();
    const [a1, b1] = [await online(a), await online(b)];
    a1.presence("", `to='${b1.jid}'`);
    await a1.ping();
    a1.presence("", "type='unavailable'");
    await b1.next("presence", from(a1, "unavailable"));
    await b1.none("presence", from(a1, "unavailable"), a1);
  });

  test("it ends also after a restart and a crash of the server", async () => {
    const { a, d } = await friends();
    const [a1, d1] = [await online(a, "", { sm: true }), await online(d, "", { sm: true })];
    a1.presence("", `to='${d1.jid}'`);
    await d1.next("presence", from(a1));
    await a1.requestAck();
    await d1.requestAck();
    await core.restart();
    await core.crash();
    await d1.resume();
    await a1.resume();
    await a1.close();
    await d1.next("presence", from(a1, "unavailable"));
  });

  test.each([
    ["to='x@else.example'", "remote-server-not-found"],
    ["type='whatever'", "bad-request"],
    ["to='a b@localhost'", "jid-malformed"],
  ])("%s is refused with %s", async (attributes, condition) => {
    const { a } = await friends();
    const a1 = await online(a);
    a1.presence("", attributes);
    expect(errorCondition(await a1.next("presence", (stanza) => stanza.attrs.type === "error"))).toBe(condition);
  });

  test("to names that nobody has, the domain and services it is silent", async () => {
    const { a } = await friends();
    const a1 = await online(a);
    for (const to of ["nobody@localhost", "nobody@localhost/x", "localhost", "proxy.localhost"])
      a1.presence("", `to='${to}'`);
    await a1.none("presence", (stanza) => stanza.attrs.type === "error");
  });
});

describe("probes", () => {
  test("are answered for those who may see, with every resource or with nobody", async () => {
    const { a, b } = await friends();
    const [a1, b1, b2] = [await online(a), await online(b), await online(b)];
    await a1.ping();
    a1.connection.inbox.length = 0;
    a1.presence("", `type='probe' to='${b}@localhost'`);
    await a1.next("presence", from(b1));
    await a1.next("presence", from(b2));
    await b1.close();
    await b2.close();
    await a1.ping();
    a1.connection.inbox.length = 0;
    a1.presence("", `type='probe' to='${b}@localhost'`);
    const nobody = await a1.next("presence");
    expect(nobody.attrs).toMatchObject({ from: `${b}@localhost`, type: "unavailable" });
  });

  test("tell others nothing, not even whether there is such a name", async () => {
    const { a, c, d } = await friends();
    const [a1, d1] = [await online(a), await online(d)];
    const c1 = await online(c);
    for (const to of [`${a}@localhost`, a1.jid, "nobody@localhost"]) {
      d1.presence("", `type='probe' to='${to}'`);
      c1.presence("", `type='probe' to='${to}'`);
    }
    await d1.none("presence");
    await c1.none("presence");
    // Who was told directly may ask.
    a1.presence("<status>psst</status>", `to='${d1.jid}'`);
    await d1.next("presence", from(a1));
    d1.presence("", `type='probe' to='${a}@localhost'`);
    await d1.next("presence", from(a1));
  });
});

describe("over the end of a connection and of the server", () => {
  test("a session that may be resumed stays available", async () => {
    const { a, b } = await friends();
    const [a1, b1] = [await online(a, "<show>dnd</show>", { sm: true }), await online(b)];
    await b1.next("presence", from(a1));
    a1.drop();
    await b1.none("presence", from(a1, "unavailable"));
    const later = await online(b);
    expect((await later.next("presence", from(a1))).getChildText("show")).toBe("dnd");
  });

  test("after an orderly restart everybody is as available as before", async () => {
    const { a, b } = await friends();
    const [a1, b1] = [await online(a, "<priority>3</priority>"), await online(b)];
    await b1.next("presence", from(a1));
    await core.restart();
    await b1.none("presence", from(a1, "unavailable"));
    b1.message(`${a}@localhost`, "still there?");
    await a1.next("message");
    const later = await online(b, "", { resource: "later" });
    await later.next("presence", from(a1));
    await a1.close();
    await b1.next("presence", from(a1, "unavailable"));
  });

  test("after a crash a resumed session sees everybody anew, and who did not come back as gone", async () => {
    const { a, b, c } = await friends();
    const b1 = await online(b, "", { sm: true });
    const [a1, c1] = [await online(a, "<show>xa</show>", { sm: true }), await online(c)];
    await b1.next("presence", from(a1));
    await b1.next("presence", from(c1));
    await b1.requestAck();
    await a1.requestAck();
    await core.crash();
    await b1.resume();
    const again = await b1.next("presence", from(a1));
    expect(again.getChildText("show")).toBe("xa");
    const gone = await b1.next("presence", (stanza) => stanza.attrs.type === "unavailable");
    expect(gone.attrs.from).toBe(`${c}@localhost`);
  });
});

describe("blocking", () => {
  const block = (client: XmppClient, name: string, what = "block") =>
    client.set(`<${what} xmlns='urn:xmpp:blocking'><item jid='${name}@localhost'/></${what}>`);

  test("ends presence both ways and brings it back; a stranger learns nothing by it", async () => {
    const { a, b, d } = await friends();
    const [a1, b1, d1] = [await online(a), await online(b), await online(d)];
    await b1.next("presence", from(a1));
    await block(a1, b);
    await b1.next("presence", from(a1, "unavailable"));
    a1.presence("<show>away</show>");
    b1.presence("<show>away</show>");
    await b1.none("presence", from(a1), a1);
    await a1.none("presence", (stanza) => stanza.attrs.from === b1.jid && stanza.getChild("show") !== undefined, b1);
    const later = await online(b, "", { resource: "later" });
    await later.none("presence", from(a1));
    await block(a1, b, "unblock");
    await b1.next("presence", from(a1));
    await block(a1, d);
    await block(a1, d, "unblock");
    await d1.none("presence", (stanza) => stanza.attrs.from === a1.jid, a1);
  });

  test("presence to somebody one blocks is refused, from somebody who blocks one it is silent", async () => {
    const { a, d } = await friends();
    const [a1, d1] = [await online(a), await online(d)];
    await block(a1, d);
    a1.presence("", `to='${d1.jid}'`);
    expect(errorCondition(await a1.next("presence", (stanza) => stanza.attrs.type === "error"))).toBe("not-acceptable");
    d1.presence("", `to='${a1.jid}'`);
    await d1.none("presence", (stanza) => stanza.attrs.type === "error");
    await a1.none("presence", from(d1), d1);
  });
});
