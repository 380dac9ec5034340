/** What Pidgin's users do first: add a chat (Room, Server, Handle), and choose a picture. Rows R8 and B16 of the hosts' needs. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { makeRoom, say } from "../support/rooms.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { finchWith } from "./finch.ts";
import { patienceMs, type RealClient } from "./real-client.ts";

// One pixel.
const icon = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const room = "lobby@conference.chat.example";
const finch = finchWith({ icon, chat: { room: "lobby", server: "conference.chat.example", handle: "Ally" } });
const missing = await finch.missing();
let core: TestCore;
let bob: XmppClient;
let alice: RealClient;

beforeAll(async () => {
  if (missing !== undefined) return;
  core = await startTestCore({ domain: "chat.example", users: ["alice", "bob"] });
  bob = await core.login("bob");
  bob.presence();
  await makeRoom(bob, room, "Bob", { persistentroom: "1" });
  const { port, domain } = core;
  alice = await finch.login({ host: "127.0.0.1", port, domain, user: "alice", password: "alice" });
});
afterAll(async () => {
  await alice?.stop();
  XmppClient.dropAll();
  await core?.close();
});

test.skipIf(missing !== undefined)(
  "a chat that was added is joined by its handle, and what is said there is shown",
  async () => {
    await bob.next("presence", (stanza) => stanza.attrs.from === `${room}/Ally`);
    await say(bob, room, "welcome to the lobby");
    await alice.heard(`${room}.chat`, "welcome to the lobby");
  },
);

test.skipIf(missing !== undefined)(
  "a picture that was chosen is in the contact card and among the avatars",
  async () => {
    const pubsub = "http://jabber.org/protocol/pubsub";
    const card = async () =>
      (await bob.get("<vCard xmlns='vcard-temp'/>", "alice@chat.example")).getChild("vCard")?.getChild("PHOTO");
    await expect
      .poll(async () => (await card())?.getChildText("BINVAL")?.replaceAll(/\s/g, ""), { timeout: patienceMs })
      .toBe(icon.toString("base64"));
    const node = `<pubsub xmlns='${pubsub}'><items node='urn:xmpp:avatar:metadata'/></pubsub>`;
    const shown = (await bob.get(node, "alice@chat.example")).toString();
    expect(shown).toContain('type="image/png"');
  },
);
