import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { create, event, fetch, ids, isEvent, item, publish, refusal, subscribe, told } from "../support/pubsub.ts";

// docs/architecture.md "Durability", rule 7: what cannot be stored is refused and told to nobody.
const at = "pubsub.localhost";
let core: TestCore;
let failing = false;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"], testing: { failWrites: () => failing } });
});
afterAll(() => {
  failing = false;
  return core.close();
});

test("what could not be written is refused, nobody hears of it, and nodes are as they were", async () => {
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  bob.presence();
  await create(alice, at, "node");
  await subscribe(bob, at, "node");
  await publish(alice, at, "node", item("a"));
  expect(told(await event(bob, "node"))).toBe("items a");
  failing = true;
  expect(refusal(await publish(alice, at, "node", item("b")))).toBe("resource-constraint");
  expect(refusal(await create(alice, at, "another"))).toBe("resource-constraint");
  expect(refusal(await subscribe(bob, at, "node", bob.jid))).toBe("resource-constraint");
  await bob.none((stanza) => isEvent(stanza), undefined, alice);
  const recovered = new Promise<void>((resolve) => {
    core.server.storage.onHealth((health) => health === "ok" && resolve());
  });
  failing = false;
  await recovered;
  expect(ids(await fetch(alice, at, "node"))).toEqual(["a"]);
  expect(refusal(await fetch(alice, at, "another"))).toBe("item-not-found");
  await publish(alice, at, "node", item("c"));
  expect((await event(bob, "node")).attrs.to).toBe("bob@localhost");
  await bob.none((stanza) => isEvent(stanza), undefined, alice);
});
