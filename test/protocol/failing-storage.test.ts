import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// docs/architecture.md "Durability", rule 7: what cannot be stored is refused, never acknowledged.
let core: TestCore;
let failing = false;
let alice: XmppClient;
let bob: XmppClient;
beforeEach(async () => {
  failing = false;
  core = await startTestCore({ users: ["alice", "bob"], testing: { failWrites: () => failing } });
  alice = await core.login("alice", { resource: "desk", sm: true });
  bob = await core.login("bob", { resource: "phone", sm: true });
});
afterEach(() => {
  failing = false;
  return core.close();
});

test("a message that cannot be stored comes back to its sender and reaches nobody", async () => {
  failing = true;
  const id = alice.message(bob.jid, "lost?");
  const bounced = await alice.next("message", (message) => message.attrs.id === id);
  expect(bounced.getChild("error")?.attrs.type).toBe("wait");
  expect(bounced.getChild("error")?.getChild("resource-constraint")).toBeTruthy();
  await bob.none("message");
  expect(core.server.storage.health).not.toBe("ok");
});

test("what was to be kept and was not is answered with an error", async () => {
  failing = true;
  const answer = await alice.set("<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>");
  expect(answer.getChild("error")?.getChild("resource-constraint")).toBeTruthy();
});

test("when the disk works again messages flow again", async () => {
  failing = true;
  const id = alice.message(bob.jid, "first");
  await alice.next("message", (message) => message.attrs.id === id);
  const recovered = new Promise<void>((resolve) => {
    core.server.storage.onHealth((health) => health === "ok" && resolve());
  });
  failing = false;
  await recovered;
  alice.message(bob.jid, "second");
  await bob.next("message", (message) => message.getChildText("body") === "second");
});
