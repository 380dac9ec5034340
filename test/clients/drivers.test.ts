/** The drivers themselves, against Prosody: where these pass and firekeeper.test.ts fails, the server is to blame. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installed, type Peer } from "../peers/peer.ts";
import { startProsody } from "../peers/prosody.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { programs } from "./programs.ts";
import type { RealClient } from "./real-client.ts";

const prosodyMissing = !(await installed("prosody"));
if (prosodyMissing) console.warn("skipped: prosody is not installed; .ci/run installs it");

describe.skipIf(prosodyMissing).each(programs)("$name driven against Prosody", ({ program, missing }) => {
  let peer: Peer;
  let alice: RealClient;
  let bob: XmppClient;
  const bobLogin = () => ({
    host: peer.host,
    port: peer.port,
    domain: peer.domain,
    user: "bob",
    password: "secret of bob",
  });
  const aliceLogin = () => ({ ...bobLogin(), user: "alice", password: "secret of alice" });

  beforeAll(async () => {
    if (missing !== undefined) return;
    peer = await startProsody({ archive: false });
    await peer.addUsers([aliceLogin(), bobLogin()]);
    bob = await XmppClient.login({ ...bobLogin(), resource: "raw" });
    bob.presence();
    alice = await program.login(aliceLogin());
  });
  afterAll(async () => {
    await alice?.stop();
    XmppClient.dropAll();
    await peer?.stop();
  });

  test.skipIf(missing !== undefined)("speaks and hears", async () => {
    bob.message(alice.address, "good morning");
    await alice.heard("bob@localhost", "good morning");
    await alice.say("bob@localhost", "good evening");
    await bob.next("message", (message) => message.getChildText("body") === "good evening");
  });

  test.skipIf(missing !== undefined)("sees a contact that appears in a group", async () => {
    const other = await XmppClient.login(aliceLogin());
    await other.set(
      "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='bob'><group>Sales</group></item></query>",
    );
    await alice.sees("bob@localhost", "Sales");
    await other.close();
  });

  test.skipIf(missing !== undefined)("counts a lost connection", async () => {
    expect(await alice.losses(), alice.transcript()).toBe(0);
    await peer.stop();
    await expect.poll(() => alice.losses(), { timeout: 20_000 }).toBeGreaterThan(0);
  });
});
