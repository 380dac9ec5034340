import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0030, XEP-0115
const info = "http://jabber.org/protocol/disco#info";
const items = "http://jabber.org/protocol/disco#items";
let core: TestCore;
let alice: XmppClient;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  alice = await core.login("alice", { resource: "desk" });
});
afterEach(() => core.close());

const ask = (ns: string, to: string, node?: string): Promise<Element> =>
  alice.get(`<query xmlns='${ns}'${node === undefined ? "" : ` node='${node}'`}/>`, to);
const identities = (answer: Element): string[] =>
  (answer.getChild("query")?.getChildren("identity") ?? []).map(({ attrs }) => `${attrs.category}/${attrs.type}`);
const features = (answer: Element): string[] =>
  (answer.getChild("query")?.getChildren("feature") ?? []).map(({ attrs }) => attrs.var);

test("the server says what it is and what its modules do", async () => {
  const answer = await ask(info, "localhost");
  expect(answer.attrs.from).toBe("localhost");
  expect(identities(answer)).toContain("server/im");
  const all = features(answer);
  for (const feature of [info, items, "urn:xmpp:ping", "msgoffline", "vcard-temp", "jabber:iq:version"])
    expect(all).toContain(feature);
  expect(all).toEqual([...new Set(all)].sort());
});

test("its items are its services and the list of commands; a service says what it is", async () => {
  const answer = await ask(items, "localhost");
  const listed = answer.getChild("query")?.getChildren("item") ?? [];
  const found = listed.map(({ attrs }) => [attrs.jid, attrs.node]);
  expect(found).toContainEqual(["proxy.localhost", undefined]);
  expect(found).toContainEqual(["pubsub.localhost", undefined]);
  expect(found).toContainEqual(["localhost", "http://jabber.org/protocol/commands"]);
  const service = await ask(info, "proxy.localhost");
  expect(service.attrs.from).toBe("proxy.localhost");
  expect(identities(service)).toEqual(["proxy/bytestreams"]);
  expect(features(service)).toEqual([info, items, "http://jabber.org/protocol/bytestreams"]);
  expect((await ask(items, "proxy.localhost")).getChild("query")?.getChildElements()).toEqual([]);
});

test("one's own account answers, with and without an address", async () => {
  for (const to of ["", "alice@localhost"]) {
    const answer = await ask(info, to);
    expect(identities(answer)).toContain("account/registered");
    expect(features(answer)).toContain("urn:xmpp:mam:2");
    expect((await ask(items, to)).attrs.type).toBe("result");
  }
});

test("a stranger's account answers as one that does not exist, until it shows its presence", async () => {
  for (const ns of [info, items])
    for (const to of ["bob@localhost", "nobody@localhost"]) {
      const { attrs, children } = await ask(ns, to);
      expect([attrs.type, String(children[0]).replace(to, "")]).toEqual([
        "error",
        String((await ask(ns, "nobody@localhost")).children[0]),
      ]);
    }
  expect(errorCondition(await ask(info, "bob@localhost"))).toBe("service-unavailable");
  const bob = await core.login("bob");
  for (const client of [alice, bob]) {
    await client.roster();
    client.presence();
  }
  alice.presence("", "type='subscribe' to='bob@localhost'");
  await bob.next("presence", (presence) => presence.attrs.type === "subscribe");
  bob.presence("", "type='subscribed' to='alice@localhost'");
  await alice.next("presence", (presence) => presence.attrs.type === "subscribed");
  expect(identities(await ask(info, "bob@localhost"))).toContain("account/registered");
  bob.presence("", "type='unsubscribed' to='alice@localhost'");
  await alice.next("presence", (presence) => presence.attrs.type === "unsubscribed");
  expect(errorCondition(await ask(info, "bob@localhost"))).toBe("service-unavailable");
});

test("nodes that nobody knows are not found, anywhere", async () => {
  for (const to of ["localhost", "proxy.localhost", ""])
    expect(errorCondition(await ask(info, to, "http://example.org/none"))).toBe("item-not-found");
  expect((await ask(items, "localhost", "http://example.org/none")).getChild("query")?.getChildElements()).toEqual([]);
});

test.each([["as it starts"], ["with registration"]])("the hash in the stream features verifies, %s", async (how) => {
  if (how === "with registration") {
    await core.set({ "register.inband": "true" });
    alice = await core.login("alice");
  }
  const caps = alice.features?.getChild("c", "http://jabber.org/protocol/caps");
  expect(caps?.attrs.hash).toBe("sha-1");
  const node = `${caps?.attrs.node}#${caps?.attrs.ver}`;
  const answer = await ask(info, "localhost", node);
  expect(answer.getChild("query")?.attrs.node).toBe(node);
  // XEP-0115 §5.1, written again from the text.
  let verified = "";
  const known = answer.getChild("query")?.getChildren("identity") ?? [];
  for (const one of known
    .map(({ attrs }) => `${attrs.category}/${attrs.type}/${attrs["xml:lang"] ?? ""}/${attrs.name ?? ""}`)
    .sort())
    verified += `${one}<`;
  for (const one of features(answer).sort()) verified += `${one}<`;
  expect(createHash("sha1").update(verified).digest("base64")).toBe(caps?.attrs.ver);
  expect(features(answer).includes("jabber:iq:register")).toBe(how === "with registration");
});

test("under a former name of the domain the services are told under that name", async () => {
  await core.rename("new.example", null);
  expect((await ask(items, "localhost")).getChild("query")?.getChild("item")?.attrs.jid).toBe("proxy.localhost");
  alice = await core.login("alice", { domain: "new.example" });
  expect((await ask(items, "new.example")).getChild("query")?.getChild("item")?.attrs.jid).toBe("proxy.new.example");
});
