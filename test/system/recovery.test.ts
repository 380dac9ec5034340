import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

/** Coming back after a crash while the others have never stopped writing. docs/architecture.md "What is on disk when", rule 4. */
let core: TestCore;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
});
afterEach(() => core.close());

const numberOf = (message: { getChildText(name: string): string | null }) => Number(message.getChildText("body"));

test("what is written to somebody who is just resuming comes behind what the crash held back: all of it, once, counted right", async () => {
  const alice = await core.login("alice", { sm: true });
  alice.presence();
  await alice.ping();
  let sent = 0;
  const numbers: number[] = [];
  const write = (bob: XmppClient) => bob.message(alice.bare, String(sent++));
  for (let round = 0; round < 3; round++) {
    let bob = await core.login("bob");
    alice.drop();
    for (let count = 0; count < 5; count++) write(bob);
    await bob.ping();
    await core.crash();
    bob = await core.login("bob");
    // Some arrive before she asks, some while the messages of before are fetched, some afterwards.
    let resumed = false;
    const back = alice.resume().finally(() => {
      resumed = true;
    });
    while (!resumed) {
      write(bob);
      await bob.ping();
    }
    await back;
    write(bob);
    while (numbers.length < sent) numbers.push(numberOf(await alice.next("message")));
    // The server must have counted what she got, or it ends the stream.
    alice.ack();
    await alice.ping();
  }
  expect(numbers).toEqual(Array.from({ length: sent }, (_, number) => number));
  await alice.none("message");
});

test("a crash while somebody is handed what waited: it goes on when she resumes, and what came meanwhile follows once", async () => {
  let bob = await core.login("bob");
  let [sent, heard] = [0, 0];
  const write = (bob: XmppClient) => bob.message(`alice@${core.domain}`, String(sent++));
  for (let round = 0; round < 3; round++) {
    for (let count = 0; count < 400; count++) write(bob);
    await bob.ping();
    const alice = await core.login("alice", { sm: true });
    alice.presence();
    // Her presence is on disk: what comes next is hers, and she is not handed anything for becoming available again.
    await alice.requestAck();
    for (let count = 0; count < 20; count++) write(bob);
    await bob.ping();
    await core.crash();
    bob = await core.login("bob");
    await alice.resume();
    write(bob);
    while (heard < sent) expect(numberOf(await alice.next("message"))).toBe(heard++);
    await alice.none("message");
    // What she does not acknowledge would wait for her again.
    alice.ack();
    await alice.close();
  }
});
