/** People with real client programs, while an admin uses the command line. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Service, startService } from "../support/processes.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { programs } from "./programs.ts";
import type { RealClient } from "./real-client.ts";

describe.each(programs)("$name", ({ program, missing }) => {
  let service: Service;
  let alice: RealClient;
  let bob: XmppClient;
  const account = (user: string, domain = "old.example") => ({
    host: service.host,
    port: service.ports.plain,
    domain,
    user,
    password: `secret of ${user}`,
  });

  beforeAll(async () => {
    if (missing !== undefined) return;
    service = await startService({
      domain: "old.example",
      host: { users: ["admin", "alice", "bob"].map((name) => ({ name, password: `secret of ${name}` })) },
    });
    bob = await XmppClient.login({ ...account("bob"), resource: "raw" });
    bob.presence();
    alice = await program.login(account("alice"));
  });
  afterAll(async () => {
    await alice?.stop();
    XmppClient.dropAll();
    await service?.stop();
  });

  test.skipIf(missing !== undefined)("logs in and chats", async () => {
    bob.message(alice.address, "good morning");
    await alice.heard("bob@old.example", "good morning");
    await alice.say("bob@old.example", "good evening");
    await bob.next("message", (message) => message.getChildText("body") === "good evening");
  });

  test.skipIf(missing !== undefined)("sees a shared group appear when a role is added", async () => {
    await service.run(["roles", "add", "xmpp.group", "Sales", "alice", "bob"]);
    await alice.sees("bob@old.example", "Sales");
  });

  test.skipIf(missing !== undefined)("stays through a restart", async () => {
    const core = service.pid("core");
    await service.run(["restart"]);
    expect(service.pid("core")).not.toBe(core);
    bob.message(alice.address, "after the restart");
    await alice.heard("bob@old.example", "after the restart");
    await alice.say("bob@old.example", "still here");
    await bob.next("message", (message) => message.getChildText("body") === "still here");
    expect(await alice.losses(), alice.transcript()).toBe(0);
  });

  test.skipIf(missing !== undefined)("follows a domain change", async () => {
    await service.run(["settings", "set", "sys.xmpp.domain", "new.example"]);
    await service.run(["apply"]);

    // Who stays online under the old name goes on talking with those who come by the new one.
    const newBob = await XmppClient.login({ ...account("bob", "new.example"), resource: "new" });
    newBob.presence();
    expect(newBob.jid).toBe("bob@new.example/new");
    newBob.message("alice@new.example", "from the new name");
    await alice.heard("bob@old.example", "from the new name");
    await alice.say("bob@old.example", "from the old name");
    await newBob.next((message) => message.is("message") && message.getChildText("body") === "from the old name");
    expect(await alice.losses(), alice.transcript()).toBe(0);

    // The next login finds the same group under the new name.
    const newAlice = await program.login(account("alice", "new.example"));
    await newAlice.sees("bob@new.example", "Sales").finally(() => newAlice.stop());
  });
});
