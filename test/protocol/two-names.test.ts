import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// docs/architecture.md "Two names, one service": each session sees the service under the name it logged in with.
const before = "old.example";
const after = "new.example";
let core: TestCore;
beforeEach(async () => {
  core = await startTestCore({ domain: before, users: ["alice", "bob"] });
});
afterEach(() => core.close());

const loginUnder = (domain: string, user: string, resource: string, sm = false) =>
  core.login(user, { domain, resource, sm });
const text = (body: string) => (message: { getChildText(name: string): string | null }) =>
  message.getChildText("body") === body;

test("who is online under the old name stays, and talks with those under the new one", async () => {
  const alice = await loginUnder(before, "alice", "desk");
  await core.rename(after, null);
  const bob = await loginUnder(after, "bob", "phone");
  expect(bob.jid).toBe("bob@new.example/phone");
  alice.message("bob@old.example/phone", "from the old");
  expect((await bob.next("message", text("from the old"))).attrs).toMatchObject({
    from: "alice@new.example/desk",
    to: "bob@new.example/phone",
  });
  bob.message("alice@new.example/desk", "from the new");
  expect((await alice.next("message", text("from the new"))).attrs).toMatchObject({
    from: "bob@old.example/phone",
    to: "alice@old.example/desk",
  });
  // Both names are understood from either session.
  alice.message("bob@new.example/phone", "named anew");
  await bob.next("message", text("named anew"));
});

test("the archive is there under the new name, with new addresses, and back again", async () => {
  const alice = await loginUnder(before, "alice", "desk");
  const bob = await loginUnder(before, "bob", "phone");
  alice.message(bob.jid, "mail me at alice@old.example");
  await bob.next("message");
  await core.rename(after, null);
  const history = async (client: XmppClient) => {
    await client.set("<query xmlns='urn:xmpp:mam:2'/>");
    const found = await client.next("message", (message) => message.getChild("result") !== undefined);
    const message = found.getChild("result")?.getChild("forwarded")?.getChild("message");
    return { from: message?.attrs.from, to: message?.attrs.to, body: message?.getChildText("body") };
  };
  const body = "mail me at alice@old.example"; // text that a person wrote is never touched
  const seenAs = (domain: string) => ({ from: `alice@${domain}/desk`, to: `bob@${domain}/phone`, body });
  expect(await history(await loginUnder(after, "bob", "new"))).toEqual(seenAs(after));
  expect(await history(await loginUnder(before, "bob", "old"))).toEqual(seenAs(before));
  await core.rename(before, null);
  expect(await history(await loginUnder(before, "bob", "back"))).toEqual(seenAs(before));
});

test("a session under the old name is resumed under it, also after a crash", async () => {
  const alice = await loginUnder(before, "alice", "desk", true);
  await alice.requestAck();
  await core.rename(after, null);
  alice.drop();
  await alice.resume();
  alice.drop();
  const bob = await loginUnder(after, "bob", "phone", true);
  bob.message("alice@new.example/desk", "to the old");
  await bob.requestAck();
  bob.drop();
  await core.crash();
  await alice.resume();
  expect((await alice.next("message")).attrs).toMatchObject({
    from: "bob@old.example/phone",
    to: "alice@old.example/desk",
  });
});

test("each name has a certificate of its own, chosen by SNI and by the stream's to", async () => {
  await core.rename(after, null);
  for (const domain of [before, after])
    for (const tls of ["starttls", "direct"] as const) {
      const client = await core.login("alice", { domain, tls, port: tls === "direct" ? core.directPort : core.port });
      expect(client.certificate?.subjectAltName).toContain(`DNS:${domain}`);
      await client.close();
    }
});

test("after the grace period the old name says where everybody went", async () => {
  await core.rename(after, 1);
  expect(await core.server.names.expire(Date.now())).toEqual([before]);
  await expect(loginUnder(before, "alice", "late")).rejects.toThrow();
  const { XmppClient } = await import("../support/xmpp-client.ts");
  await expect(XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: before })).rejects.toThrow(
    /new\.example/,
  );
});

test("IQ and their answers cross the two names", async () => {
  const alice = await loginUnder(before, "alice", "desk");
  await core.rename(after, null);
  const bob = await loginUnder(after, "bob", "phone");
  bob.answers = false;
  alice.send("<iq type='get' id='v' to='bob@old.example/phone'><query xmlns='jabber:iq:version'/></iq>");
  const asked = await bob.next("iq");
  expect(asked.attrs.from).toBe("alice@new.example/desk");
  bob.send(
    "<iq type='result' id='v' to='alice@new.example/desk'><query xmlns='jabber:iq:version'><name>x</name></query></iq>",
  );
  expect((await alice.next("iq", (iq) => iq.attrs.id === "v")).attrs.from).toBe("bob@old.example/phone");
  const private_ =
    "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='room@DOMAIN'/></storage></query>";
  await alice.set(private_.replace("DOMAIN", "proxy.old.example"));
  const again = await loginUnder(after, "alice", "new");
  const kept = await again.get("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>");
  expect(kept.toString()).toContain("room@proxy.new.example");
});
