/** Pidgin's Connect server left empty and filled in, and two programs that ask for one resource: rows B11, B12 and B17 of the hosts' needs. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { until } from "../support/processes.ts";
import { finch } from "./finch.ts";
import { type Network, networkMissing, startNetwork } from "./network.ts";
import { type Account, patienceMs, type RealClient } from "./real-client.ts";

const domain = "chat.example";
const missing = (await finch.missing()) ?? (await networkMissing());

let core: TestCore;
let network: Network;
const open: RealClient[] = [];
beforeAll(async () => {
  if (missing !== undefined) return;
  core = await startTestCore({ domain, users: ["alice"] });
  network = await startNetwork({ domain, port: core.port, directPort: core.directPort });
});
afterAll(async () => {
  for (const client of open) await client.stop();
  await network?.stop();
  await core?.close();
});

test.skipIf(missing !== undefined)(
  "who comes by DNS and who typed the server are equals: the later one has the resource, the earlier one does not come back for it",
  async () => {
    const sessions = () => [...core.server.sessions.all()].map((one) => [one.id, one.jid.resource]);
    const typed: Account = { host: "127.0.0.1", port: core.port, domain, user: "alice", password: "alice" };
    const first = await finch.login({ ...typed, network });
    open.push(first);
    const [before] = sessions();
    expect(before?.[1]).toBe("finch");
    const second = await finch.login(typed);
    open.push(second);
    await until(
      async () => (await first.losses()) === 1,
      patienceMs,
      () => `the first Finch is not told\n${first.transcript()}`,
    );
    const after = sessions();
    expect(after).toHaveLength(1);
    expect(after[0]?.[1]).toBe("finch");
    expect(after[0]?.[0]).not.toBe(before?.[0]);
    expect(await second.losses()).toBe(0);
  },
);
