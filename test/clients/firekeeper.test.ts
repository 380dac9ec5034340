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
    bob.presence("<show>dnd</show>");
    await alice.seesBusy("bob@old.example");
  });

  test.skipIf(missing !== undefined)("stays through a restart", async () => {
    const core = service.pid("core");
    let restarted = false;
    const restart = service.run(["restart"]).finally(() => {
      restarted = true;
    });
    // One message is on its way at any time, in one direction or the other.
    const numbers: string[] = [];
    for (let last = false; !last; ) {
      last = restarted;
      const number = String(numbers.length).padStart(4, "0");
      numbers.push(number);
      bob.message(alice.address, `ask ${number}`);
      await alice.heard("bob@old.example", `ask ${number}`);
      await alice.say("bob@old.example", `answer ${number}`);
      await bob.next("message", (message) => message.getChildText("body") === `answer ${number}`);
    }
    await restart;
    expect(service.pid("core")).not.toBe(core);
    await bob.ping();
    expect(bob.connection.inbox.filter((stanza) => stanza.getChild("body") !== undefined).map(String)).toEqual([]);
    for (const number of numbers) expect(await alice.timesHeard("bob@old.example", `ask ${number}`)).toBe(1);
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

    // The next login finds the same group and archive, under the name it logs in with.
    for (const domain of ["new.example", "old.example"]) {
      const next = await program.login(account("alice", domain));
      try {
        await next.sees(`bob@${domain}`, "Sales");
        await next.finds?.(`bob@${domain}`, "good morning");
      } finally {
        await next.stop();
      }
    }
  });
});
