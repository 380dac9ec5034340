/** Finch shows the telephone that a component sets for somebody who is not there. Row M36 of the host's needs. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { groups, type SharedGroupChange } from "../../xmpp-core/modules/points.ts";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { finch } from "./finch.ts";
import type { RealClient } from "./real-client.ts";

const missing = await finch.missing();
let core: TestCore;
let pbx: TestComponent;
let alice: RealClient;

beforeAll(async () => {
  if (missing !== undefined) return;
  const port = await freePort();
  core = await startTestCore({
    domain: "chat.example",
    users: ["alice", "bob"],
    properties: {
      ...takesComponents(port, "secret"),
      "firekeeper.component.grants": "pbx:virtual-presence",
    },
  });
  const { accounts, names, core: parts, storage } = core.server;
  const group = { name: "Sales", displayName: "Sales", showInRoster: "onlyGroup", groupList: [] } as const;
  const changes: SharedGroupChange[] = [
    { kind: "set", origin: "host", group },
    {
      kind: "members",
      group: "Sales",
      add: ["alice", "bob"].flatMap((name) => accounts.get(names.primary.id, name) ?? []),
      remove: [],
    },
  ];
  const prepared = parts.offered(groups)[0]?.prepare(changes);
  await storage.write(prepared?.writes ?? []);
  prepared?.done();
  pbx = await TestComponent.join(port, "pbx.chat.example", "secret");
  alice = await finch.login({
    host: "127.0.0.1",
    port: core.port,
    domain: core.domain,
    user: "alice",
    password: "alice",
  });
});
afterAll(async () => {
  await alice?.stop();
  pbx?.drop();
  await core?.close();
});

test.skipIf(missing !== undefined)(
  "bob is busy while only his telephone is online, and a chat waits for him",
  async () => {
    // A conversation to write into; then he goes.
    const before = await core.login("bob");
    before.presence();
    before.message(alice.address, "good morning");
    await alice.heard("bob@chat.example", "good morning");
    await before.close();
    const presence =
      "<presence xmlns='jabber:client' from='bob@chat.example/phone'><show>dnd</show><status>on the phone</status></presence>";
    const answer = await pbx.iq(
      "set",
      "chat.example",
      `<presences xmlns='urn:firekeeper:virtual-presence:0'>${presence}</presences>`,
      "pbx.chat.example",
    );
    expect(answer.attrs.type).toBe("result");
    await alice.seesBusy("bob@chat.example");
    await alice.say("bob@chat.example", "call me back");
    const bob = await core.login("bob");
    bob.presence();
    expect((await bob.next("message")).getChildText("body")).toBe("call me back");
    expect(pbx.connection.inbox.filter((stanza) => stanza.is("message"))).toEqual([]);
  },
);
