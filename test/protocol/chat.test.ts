import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
});
afterEach(() => core.close());

test("two people chat, by STARTTLS and by direct TLS", async () => {
  const alice = await core.login("alice", { resource: "desk" });
  const bob = await core.login("bob", { tls: "direct", port: core.directPort, resource: "phone" });
  expect(alice.jid).toBe("alice@localhost/desk");
  alice.send(`<message to='${bob.jid}' type='chat' id='m1'><body>hello</body></message>`);
  const got = await bob.next("message");
  expect(got.attrs.from).toBe("alice@localhost/desk");
  expect(got.getChildText("body")).toBe("hello");
});
