import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import {
  at,
  body,
  configure,
  create,
  itemOf,
  join,
  muc,
  presenceOf,
  say,
  sendJoin,
  service,
  statusCodes,
} from "./rooms-fixture.ts";

// XEP-0045 §7.1, §7.2, §7.6, §7.7, §7.14
let core: TestCore;
let number = 0;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "carol"] });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const fresh = () => `room${++number}`;

test("a new room is made for whoever enters, locked until it is configured", async () => {
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  const room = fresh();
  const self = await join(alice, room, "Alice");
  expect(statusCodes(self)).toEqual(["100", "110", "170", "201"]);
  expect(itemOf(self)).toMatchObject({ affiliation: "owner", role: "moderator", jid: alice.jid });
  sendJoin(bob, room, "Bob");
  expect(errorCondition(await bob.next("presence", presenceOf(room, "Bob", "error")))).toBe("item-not-found");
  expect((await configure(alice, room)).attrs.type).toBe("result");
  expect(statusCodes(await join(bob, room, "Bob"))).toEqual(["100", "110", "170"]);
});
