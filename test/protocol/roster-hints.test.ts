import { afterAll, beforeAll, expect, test } from "vitest";
import { explained } from "../support/commands.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  [alice, bob] = [await core.login("alice"), await core.login("bob")];
  await Promise.all([alice.roster(), bob.roster()]);
});
afterAll(() => core.close());

test("a name alone, in the roster or in a subscription, is refused with what was meant, whether or not somebody bears it (G6)", async () => {
  const asItem = (name: string) => alice.set(`<query xmlns='jabber:iq:roster'><item jid='${name}'/></query>`);
  async function asSubscription(name: string) {
    alice.presence("", `type='subscribe' id='s-${name}' to='${name}'`);
    return alice.next("presence", (stanza) => stanza.attrs.id === `s-${name}`);
  }
  for (const attempt of [asItem, asSubscription])
    for (const name of ["bob", "nobody"]) {
      const answer = await attempt(name);
      expect(errorCondition(answer)).toBe("jid-malformed");
      expect(explained(answer)).toContain(`did you mean ${name}@localhost?`);
    }
  expect((await alice.roster()).contacts.size).toBe(0);
});

test("who is in nobody's list can be written to, and learns nothing of who is there before that is allowed (B30)", async () => {
  bob.presence();
  await bob.next("presence", (stanza) => stanza.attrs.from === bob.jid);
  const id = alice.message("bob@localhost", "you do not know me");
  expect((await bob.next("message", (stanza) => stanza.attrs.id === id)).getChildText("body")).toBe(
    "you do not know me",
  );
  alice.presence("", "type='probe' to='bob@localhost'");
  await alice.none("presence", (stanza) => String(stanza.attrs.from).startsWith("bob@"), bob);
  alice.presence("", "type='subscribe' to='bob@localhost'");
  await bob.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  await alice.none("presence", (stanza) => stanza.attrs.from === bob.jid, bob);
  alice.presence();
  bob.presence("", "type='subscribed' to='alice@localhost'");
  await alice.next("presence", (stanza) => stanza.attrs.from === bob.jid);
});

test("states, texts, priorities and nicknames reach the others as they were set (M38, B34)", async () => {
  for (const client of [alice, bob]) client.presence();
  bob.presence("", "type='subscribe' to='alice@localhost'");
  await alice.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  alice.presence("", "type='subscribed' to='bob@localhost'");
  await bob.next("presence", (stanza) => stanza.attrs.type === "subscribed");
  const nick = "<nick xmlns='http://jabber.org/protocol/nick'>Ali</nick>";
  for (const show of ["chat", "away", "xa", "dnd"]) {
    const status = `back at 5 – ${show}`;
    const said = `<show>${show}</show><status>${status}</status><status xml:lang='de'>um 5</status><priority>5</priority>${nick}`;
    alice.presence(said);
    const seen = await bob.next("presence", (stanza) => stanza.getChildText("show") === show);
    expect(seen.getChildren("status").map((one) => one.getText())).toEqual([status, "um 5"]);
    expect(seen.getChildText("priority")).toBe("5");
    expect(seen.getChildText("nick")).toBe("Ali");
  }
});
