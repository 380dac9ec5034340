/** The same day with each program: log in, chat, meet in a room, an orderly restart of the server, and what was said before is found at the next login. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { makeRoom } from "../support/rooms.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { type Network, networkMissing, startNetwork } from "./network.ts";
import { befriend, bookmark, setIterations } from "./people.ts";
import { actors } from "./programs.ts";
import type { Account, RealClient } from "./real-client.ts";
import { keep, results } from "./results.ts";

const domain = "chat.example";
const room = `lobby@conference.${domain}`;
const noNetwork = await networkMissing();

describe.each(actors)("$name", ({ name, program, missing, dns }) => {
  const why = missing ?? (dns === "only" ? noNetwork : undefined);
  const result = results(name, program, why);
  const step = (key: string, title: string, run: () => Promise<void>): void =>
    test.skipIf(why !== undefined)(title, async () => {
      if (result.failed()) throw new Error("an earlier step failed");
      await result.step(key, run);
    });
  let core: TestCore;
  let network: Network | undefined;
  let bob: XmppClient;
  let alice: RealClient | undefined;
  let account: Account;

  beforeAll(async () => {
    if (why !== undefined) return;
    const web = await freePort();
    core = await startTestCore({
      ...{ domain, users: ["alice", "bob"] },
      properties: {
        "httpbind.enabled": "true",
        "httpbind.port.plain": "-1",
        "httpbind.port.secure": String(web),
        "firekeeper.webchat.enabled": "true",
      },
    });
    await setIterations(core, "alice");
    const { port, directPort } = core;
    network = dns !== "never" && noNetwork === undefined ? await startNetwork({ domain, port, directPort }) : undefined;
    account = {
      host: "127.0.0.1",
      port,
      domain,
      user: "alice",
      password: "alice",
      room: { address: room, nick: "Ally" },
      web,
    };
    if (network !== undefined) account.network = network;
    bob = await core.login("bob", { resource: "desk" });
    bob.presence();
    await makeRoom(bob, room, "Bob", { persistentroom: "1", publicroom: "1" });
    await befriend(core, "alice", bob);
    await bookmark(core, "alice", { address: room, nick: "Ally" });
  });
  afterAll(async () => {
    await alice?.stop();
    XmppClient.dropAll();
    await network?.stop();
    await core?.close();
    await keep(result);
  });

  const sessions = (): number[] =>
    [...core.server.sessions.all()].filter((one) => one.account.name === "alice").map((one) => one.id);
  // Thunderbird says by blanks behind the first messages that it knows OTR.
  const said = (body: string) =>
    bob.next("message", (one) => one.getChildText("body")?.trim() === body && one.attrs.type !== "groupchat");
  const saidInRoom = (body: string) =>
    bob.next("message", (one) => one.getChildText("body") === body && one.attrs.from === `${room}/Ally`);
  const tellRoom = (body: string): void =>
    bob.send(`<message to='${room}' type='groupchat'><body>${body}</body></message>`);

  step("login", "logs in", async () => {
    alice = await program.login(account);
    await bob.next("presence", (one) => one.attrs.from.startsWith(`alice@${domain}/`) && one.attrs.type === undefined);
    expect(sessions()).toHaveLength(1);
  });

  step("chat", "chats both ways", async () => {
    bob.message(`alice@${domain}`, "good morning");
    await alice?.heard(`bob@${domain}`, "good morning");
    await alice?.say(`bob@${domain}`, "good evening");
    await said("good evening");
  });

  step("room", "is in the room, and talks there", async () => {
    await bob.next("presence", (one) => one.attrs.from === `${room}/Ally`);
    tellRoom("welcome to the lobby");
    await alice?.heard(room, "welcome to the lobby");
    await alice?.say(room, "thank you");
    await saidInRoom("thank you");
  });

  step("restart", "stays through an orderly restart, before, while and after which messages come and go", async () => {
    const before = sessions();
    bob.message(`alice@${domain}`, "said before");
    const restart = core.restart();
    bob.message(`alice@${domain}`, "said meanwhile");
    await restart;
    bob.message(`alice@${domain}`, "said after");
    tellRoom("the room goes on");
    for (const body of ["said before", "said meanwhile", "said after"]) await alice?.heard(`bob@${domain}`, body);
    await alice?.heard(room, "the room goes on");
    await alice?.say(`bob@${domain}`, "still here");
    await said("still here");
    await alice?.say(room, "still in the room");
    await saidInRoom("still in the room");
    expect(sessions()).toEqual(before);
    for (const body of ["said before", "said meanwhile", "said after"])
      expect(await alice?.timesHeard(`bob@${domain}`, body)).toBe(1);
    expect(await alice?.losses(), alice?.transcript()).toBe(0);
  });

  step("history", "finds at the next login what was said before", async () => {
    await alice?.stop();
    alice = undefined;
    alice = await program.login(account);
    if (alice.finds === undefined) await alice.heard(room, "the room goes on");
    else await alice.finds(`bob@${domain}`, "said before");
  });
});
