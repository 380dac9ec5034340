/** A picture that is chosen in Finch, Pidgin's library, is there in Gajim and Dino: row B16 of the hosts' needs. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { dino } from "./dino.ts";
import { finchWith } from "./finch.ts";
import { gajim } from "./gajim.ts";
import { type Network, networkMissing, startNetwork } from "./network.ts";
import { befriend, setIterations } from "./people.ts";
import type { Account, RealClient } from "./real-client.ts";
import { keep, results } from "./results.ts";

// One pixel.
const icon = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
  "base64",
);
const hash = createHash("sha1").update(icon).digest("hex");
const domain = "chat.example";
const finch = finchWith({ icon });
const noFinch = await finch.missing();
const viewers = await Promise.all(
  [gajim, dino].map(async (program) => ({
    name: program.name,
    program,
    missing: noFinch ?? (await program.missing()) ?? (program === dino ? await networkMissing() : undefined),
  })),
);

describe.each(viewers)("$name", ({ name, program, missing }) => {
  const result = results(name, program, missing);
  let core: TestCore;
  let network: Network | undefined;
  const open: RealClient[] = [];
  const account = (user: string): Account => ({ host: "127.0.0.1", port: core.port, domain, user, password: user });

  beforeAll(async () => {
    if (missing !== undefined) return;
    core = await startTestCore({ domain, users: ["alice", "bob"] });
    await setIterations(core, "bob");
    const alice = await core.login("alice");
    alice.presence();
    await befriend(core, "bob", alice);
    await alice.close();
    if (program === dino) network = await startNetwork({ domain, port: core.port, directPort: core.directPort });
  });
  afterAll(async () => {
    for (const client of open) await client.stop();
    XmppClient.dropAll();
    await network?.stop();
    await core?.close();
    await keep(result);
  });

  test.skipIf(missing !== undefined)("has the picture that a contact chose in Finch", () =>
    result.step("picture", async () => {
      open.push(await finch.login(account("alice")));
      const viewer = await program.login(network === undefined ? account("bob") : { ...account("bob"), network });
      open.push(viewer);
      // Dino asks for a picture when it has to draw it.
      const raw = await core.login("alice", { resource: "raw" });
      raw.message(`bob@${domain}`, "how do I look?");
      await viewer.heard(`alice@${domain}`, "how do I look?");
      expect(viewer.hasPicture).toBeDefined();
      await viewer.hasPicture?.(hash);
    }),
  );
});
