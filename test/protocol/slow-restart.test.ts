/** An orderly restart on a machine that is so busy that what happens every second happens between any two steps of it. */
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../xmpp-core/clock.ts";
import { startTestCore } from "../support/core.ts";

test("throws nobody out, with stream management or without", async () => {
  const periodic = new Set<() => void>();
  const clock: Clock = {
    ...systemClock,
    every(_ms, work) {
      periodic.add(work);
      return () => void periodic.delete(work);
    },
  };
  const core = await startTestCore({ users: ["alice", "bob"], clock });
  const alice = await core.login("alice");
  const bob = await core.login("bob");
  await bob.enable();

  let restarted = false;
  const hurry = (): void => {
    if (restarted) return;
    for (const work of [...periodic]) work();
    setTimeout(hurry, 10);
  };
  hurry();
  await core.restart();
  restarted = true;

  expect([...core.server.sessions.all()].map(({ address }) => address)).toEqual([alice.jid, bob.jid]);
  await alice.ping();
  await bob.ping();
  await core.close();
});
