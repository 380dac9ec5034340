import { afterEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { ns } from "../support/stanzas.ts";

// XEP-0198 §4
let core: TestCore;
afterEach(() => core.close());

test("what the server tells unasked is on disk, as what it tells when asked", async () => {
  let hold = false;
  let release: () => void = () => undefined;
  let held: () => void = () => undefined;
  const waiting = new Promise<void>((resolve) => {
    held = resolve;
  });
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: { "stream.management.unsolicitedAckFrequency": "1" },
    testing: {
      holdWrites() {
        if (!hold) return undefined;
        held();
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    },
  });
  const alice = await core.login("alice", { sm: true });
  const bob = await core.login("bob");
  const isAck = (stanza: { is(name: string, ns: string): boolean }) => stanza.is("a", ns.sm);
  hold = true;
  alice.message("bob@localhost", "must not be lost");
  await waiting;
  await bob.ping();
  expect(alice.connection.inbox.some(isAck)).toBe(false);
  hold = false;
  release();
  expect((await alice.next(isAck)).attrs.h).toBe("1");
  await core.crash();
  const again = await core.login("bob");
  again.presence();
  expect((await again.next("message")).getChildText("body")).toBe("must not be lost");
});
