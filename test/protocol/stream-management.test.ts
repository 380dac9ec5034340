import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0198 and the promises of docs/architecture.md: an ack means committed, a restart throws nobody out.
let core: TestCore;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
});
afterEach(() => core.close());

const body = (text: string) => (message: { getChildText(name: string): string | null }) =>
  message.getChildText("body") === text;

async function pair(options = { sm: true }): Promise<[XmppClient, XmppClient]> {
  return [
    await core.login("alice", { resource: "desk", ...options }),
    await core.login("bob", { resource: "phone", ...options }),
  ];
}

describe("counting", () => {
  test("the server counts what it handled and asks for what it sent", async () => {
    const [alice, bob] = await pair();
    alice.message(bob.jid, "one");
    alice.message(bob.jid, "two");
    expect(await alice.requestAck()).toBe(2);
    await bob.next("message", body("two"));
    expect(bob.handled).toBe(2);
  });

  test("whoever acknowledges more than was sent is cut off with the counts", async () => {
    const [alice] = await pair();
    alice.send("<a xmlns='urn:xmpp:sm:3' h='7'/>");
    expect(await alice.streamError()).toBe("undefined-condition");
    expect(alice.transcript()).toContain("handled-count-too-high");
  });

  test("enabling twice and resuming an unknown session fail without ending the stream", async () => {
    const [alice] = await pair();
    alice.send("<enable xmlns='urn:xmpp:sm:3'/>");
    const failed = await alice.next("failed");
    expect(failed.getChild("unexpected-request")).toBeTruthy();
    await alice.ping();
  });
});

describe("resumption", () => {
  test("a lost connection is resumed: nothing lost, nothing doubled", async () => {
    const [alice, bob] = await pair();
    alice.message(bob.jid, "before");
    await bob.next("message", body("before"));
    bob.ack();
    await bob.ping();
    bob.drop();
    for (const text of ["first", "second"]) alice.message(bob.jid, text);
    await alice.requestAck();
    await bob.resume();
    await bob.next("message", body("first"));
    await bob.next("message", body("second"));
    await bob.none("message");
  });

  test("what the server had not handled is sent again by the client, and only that", async () => {
    const [alice, bob] = await pair();
    alice.message(bob.jid, "handled");
    await alice.requestAck();
    alice.drop();
    alice.message(bob.jid, "never arrived");
    const resumed = await alice.resume();
    expect(resumed.attrs.h).toBe("1");
    await bob.next("message", body("handled"));
    await bob.next("message", body("never arrived"));
    await bob.none("message", undefined, alice);
  });

  test("nobody resumes a session of somebody else", async () => {
    const [alice, bob] = await pair();
    alice.drop();
    alice.resumption = bob.resumption;
    expect((await alice.attemptResume()).getName()).toBe("failed");
    await bob.ping();
  });

  test("a second connection takes the session over from one that still stands", async () => {
    const [alice] = await pair();
    const before = alice.ended;
    await alice.resume();
    await before;
    await alice.ping();
  });

  test("a clean end of the stream ends the session", async () => {
    const [alice] = await pair();
    await alice.close();
    expect((await alice.attemptResume()).getName()).toBe("failed");
  });
});

describe("orderly restart", () => {
  test.each([{ sm: true }, { sm: false }])("connections stay, $sm", async (options) => {
    const [alice, bob] = await pair(options);
    alice.message(bob.jid, "before");
    await bob.next("message", body("before"));
    alice.message(bob.jid, "while");
    await core.restart();
    alice.message(bob.jid, "after");
    await bob.next("message", body("while"));
    await bob.next("message", body("after"));
    await bob.none("message", undefined, alice);
    if (options.sm) expect(await alice.requestAck()).toBe(4);
  });

  test("a session whose client was away is resumed afterwards", async () => {
    const [alice, bob] = await pair();
    bob.drop();
    alice.message(bob.jid, "to the absent");
    await alice.requestAck();
    await core.restart();
    await bob.resume();
    await bob.next("message", body("to the absent"));
    await bob.none("message");
  });
});

describe("crash", () => {
  test("what was acknowledged is delivered, once, with a delay stamp", async () => {
    const [alice, bob] = await pair();
    bob.acks = "withheld";
    alice.message(bob.jid, "survives");
    expect(await alice.requestAck()).toBe(1);
    await bob.next("message", body("survives"));
    alice.message(bob.jid, "too");
    await alice.requestAck();
    await bob.next("message", body("too"));
    bob.drop();
    alice.drop();
    await core.crash();
    await bob.resume(1);
    const again = await bob.next("message", body("too"));
    expect(again.getChild("delay", "urn:xmpp:delay")).toBeTruthy();
    expect((await alice.resume()).attrs.h).toBe("2");
    await bob.none("message", undefined, alice);
  });

  test("what came after the crash follows what came before it", async () => {
    const [alice, bob] = await pair();
    bob.drop();
    alice.message(bob.jid, "1");
    await alice.requestAck();
    alice.drop();
    await core.crash();
    await alice.resume();
    alice.message(bob.jid, "2");
    await alice.requestAck();
    alice.drop();
    await core.crash();
    await alice.resume();
    alice.message(bob.jid, "3");
    await alice.requestAck();
    await bob.resume(0);
    const got = [];
    for (let i = 0; i < 3; i++) got.push((await bob.next("message")).getChildText("body"));
    expect(got).toEqual(["1", "2", "3"]);
    await bob.none("message");
  });

  test("a request that was under way is answered", async () => {
    const [alice, bob] = await pair();
    bob.answers = false;
    alice.send(`<iq type='get' id='lost' to='${bob.jid}'><query xmlns='jabber:iq:version'/></iq>`);
    await bob.next("iq");
    await alice.requestAck();
    alice.drop();
    bob.drop();
    await core.crash();
    await alice.resume();
    const answer = await alice.next("iq", (iq) => iq.attrs.id === "lost");
    expect(answer.getChild("error")?.getChild("recipient-unavailable")).toBeTruthy();
  });
});

test("after a restart the server goes on asking what was handled", async () => {
  const [alice, bob] = await pair();
  await core.restart();
  bob.acks = "withheld";
  for (let i = 0; i < 6; i++) alice.message(bob.jid, String(i));
  await bob.next("message", body("5"));
  expect(bob.transcript()).toMatch(/<< [^\n]*<r xmlns='urn:xmpp:sm:3'\/>/);
});
