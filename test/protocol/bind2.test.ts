import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import {
  authenticate,
  bindElement,
  condition,
  laptop,
  phone,
  requestToken,
  type Sasl2Login,
  sasl2,
  tokenOf,
} from "../support/sasl2.ts";
import { ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** A session in one step: XEP-0386, and XEP-0198 §9 inside it. */

let core: TestCore;
let webPort: number;
let clock: ManualClock;
const users = ["alice", "bob", "carol", "dave"];
beforeAll(async () => {
  clock = manualClock();
  webPort = await freePort();
  const properties = {
    ...{ "xmpp.client.idle": "-1", "stream.management.requestFrequency": "1000", "httpbind.enabled": "true" },
    ...{ "httpbind.port.secure": String(webPort), "httpbind.port.plain": String(await freePort()) },
  };
  core = await startTestCore({ domain: "chat.example", users, clock, properties });
});
afterEach(async () => {
  XmppClient.dropAll();
  await core.set({ "stream.management.active": null, "xmpp.session.detach.timeout": null });
  const sessions = (): number => {
    clock.pass(700_000);
    return core.server.sessions.size;
  };
  await expect.poll(sessions, { timeout: 10_000 }).toBe(0);
});
afterAll(() => core.close());

const carbons = "<enable xmlns='urn:xmpp:carbons:2'/>";
const enable = `<enable xmlns='${sasl2.sm}' resume='true'/>`;
const connect = () => XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "chat.example" });

async function logIn(user: string, more: Partial<Sasl2Login> = {}): Promise<{ client: XmppClient; success: Element }> {
  const client = await connect();
  const success = await authenticate(client, { user, inside: bindElement(), ...more });
  if (condition(success) !== "success") throw new Error(success.toString());
  return { client, success };
}
const boundOf = (success: Element) => success.getChild("bound", sasl2.bind);
const resume = (session: Element, handled = 0) =>
  `<resume xmlns='${sasl2.sm}' previd='${enabledOf(session)?.attrs.id}' h='${handled}'/>`;
const enabledOf = (success: Element) => boundOf(success)?.getChild("enabled", sasl2.sm);

describe("resources", () => {
  test("the tag stands before what stays the same for a device and a tag, and shows nothing of its id", async () => {
    const tagged = { agent: phone, inside: bindElement("<tag>AwesomeXMPP</tag>") };
    const first = await logIn("alice", tagged);
    expect(first.client.jid).toMatch(/^alice@chat\.example\/AwesomeXMPP\/[\w-]{12}$/);
    expect(first.success.getChildText("authorization-identifier")).toBe(first.client.jid);
    await first.client.close();
    const again = await logIn("alice", tagged);
    expect(again.client.jid).toBe(first.client.jid);
    const others = [
      await logIn("alice", { ...tagged, agent: laptop }),
      await logIn("alice", { agent: phone, inside: bindElement("<tag>Other</tag>") }),
      await logIn("bob", tagged),
    ];
    const ends = new Set([first, ...others].map(({ client }) => client.jid.slice(-12)));
    expect(ends.size).toBe(4);
  });

  test("without a user agent, a new one each time", async () => {
    const [one, two] = [await logIn("alice"), await logIn("alice")];
    expect(one.client.jid).not.toBe(two.client.jid);
    await one.client.ping();
  });

  test.each(["\u202e\u0007", "x".repeat(200), "&#xE000;\uFFFF"])(
    "a tag that cannot stand there is left out",
    async (tag) => {
      const client = await connect();
      const inside = bindElement(`<tag>${tag.replace(/[\u0007\uFFFF]/g, "")}</tag>`);
      const success = await authenticate(client, { user: "alice", inside });
      expect(condition(success)).toBe("success");
      expect(client.jid.split("/").slice(1).join("/")).toMatch(/^[\w-]{12}$/);
    },
  );

  test("another client that has chosen the very same keeps it", async () => {
    const tagged = { agent: phone, inside: bindElement("<tag>t</tag>") };
    const { client } = await logIn("alice", tagged);
    const resource = client.jid.slice("alice@chat.example/".length);
    await client.close();
    const older = await core.login("alice", { resource });
    const newer = await logIn("alice", tagged);
    expect(newer.client.jid).not.toBe(older.jid);
    await older.ping();
  });

  test("the same client's earlier session ends, with whatever tag; others stay", async () => {
    const other = await logIn("alice", { agent: laptop });
    const before = await logIn("alice", { agent: phone, inside: bindElement("<tag>one</tag>") });
    await logIn("alice", { agent: phone, inside: bindElement("<tag>two</tag>") });
    expect(await before.client.streamError()).toBe("conflict");
    await other.client.ping();
  });

  test("also one that waits for its client, and one bound in the older way", async () => {
    const before = await logIn("alice", { agent: phone, inside: bindElement(enable) });
    before.client.drop();
    await expect
      .poll(() => core.server.sessions.get(accountOf("alice"), resourceOf(before.client))?.carrier)
      .toBe(undefined);
    const legacy = await connect();
    await authenticate(legacy, { user: "bob", agent: phone });
    await legacy.bind("old");
    await logIn("bob", { agent: phone });
    expect(await legacy.streamError()).toBe("conflict");
    await logIn("alice", { agent: phone });
    expect(accountOf("alice").sessions).toHaveLength(1);
  });
});

function accountOf(name: string) {
  const account = core.server.accounts.get(core.server.names.primary.id, name);
  if (account === undefined) throw new Error(`no ${name}`);
  return account;
}
const resourceOf = (client: XmppClient) => client.jid.slice(client.jid.indexOf("/") + 1);

describe("inline features", () => {
  test("features come once, without a bind; the session works at once", async () => {
    const { client, success } = await logIn("alice");
    expect(boundOf(success)?.getChild("metadata", "urn:xmpp:mam:2")).toBeDefined();
    const features = await client.next("features");
    expect(features.getChild("bind", ns.bind)).toBeUndefined();
    expect(features.getChild("sm", sasl2.sm)).toBeDefined();
    expect((await client.roster()).contacts.size).toBe(0);
  });

  test("carbons are on from the first moment", async () => {
    const { client: bob } = await logIn("bob");
    const { client } = await logIn("alice", { inside: bindElement(carbons) });
    const other = await core.login("alice", { resource: "other" });
    other.presence();
    await other.ping();
    other.message(bob.jid, "from the other device");
    expect((await client.next("message")).getChild("sent", "urn:xmpp:carbons:2")).toBeDefined();
  });

  test("carbons survive a crash of the server with the session they were asked for with", async () => {
    const { client, success } = await logIn("alice", { agent: phone, inside: bindElement(carbons + enable) });
    await core.crash();
    await client.ended;
    const other = await core.login("alice", { resource: "other" });
    other.message("bob@chat.example", "after the crash");
    await other.ping();
    const back = await connect();
    const again = await authenticate(back, { user: "alice", agent: phone, inside: resume(success) });
    expect(again.getChild("resumed", sasl2.sm)).toBeDefined();
    expect((await back.next("message")).getChild("sent", "urn:xmpp:carbons:2")).toBeDefined();
  });

  test("stream management begins behind <success/>, and may be resumed in one step", async () => {
    const { client, success } = await logIn("alice", { agent: phone, inside: bindElement(enable) });
    expect(enabledOf(success)?.attrs).toMatchObject({ resume: "true", max: "600" });
    expect((await client.next("features")).getChild("sm", sasl2.sm)).toBeUndefined();
    expect(await client.requestAck()).toBe(0);
    client.presence();
    await client.next("presence");
    expect(await client.requestAck()).toBe(1);
    client.drop();
    const bob = await core.login("bob");
    bob.message(client.jid, "while away");
    await bob.ping();
    const back = await connect();
    const inside = resume(success, 1) + bindElement("<tag>not bound</tag>");
    const again = await authenticate(back, { user: "alice", agent: phone, inside });
    expect(again.getChild("resumed", sasl2.sm)?.attrs).toMatchObject({ h: "1", previd: enabledOf(success)?.attrs.id });
    expect(again.getChildText("authorization-identifier")).toBe(client.jid);
    expect(boundOf(again)).toBeUndefined();
    // The stream is the old one again: what comes next is what was missed, not features. XEP-0198 §9.2
    expect((await back.next(() => true)).getChildText("body")).toBe("while away");
    await back.ping();
  });

  test("where resuming fails, it is said inside <success/>, and the new session is bound", async () => {
    const { client, success } = await logIn("alice", { agent: phone, inside: bindElement(enable) });
    client.presence();
    await client.next("presence");
    expect(await client.requestAck()).toBe(1);
    client.drop();
    await expect.poll(() => core.server.sessions.get(accountOf("alice"), resourceOf(client))?.carrier).toBe(undefined);
    clock.pass(700_000);
    await expect.poll(() => accountOf("alice").sessions.length).toBe(0);
    const back = await connect();
    const again = await authenticate(back, {
      user: "alice",
      agent: phone,
      inside: resume(success) + bindElement(enable),
    });
    const failed = again.getChild("failed", sasl2.sm);
    expect(failed?.getChild("item-not-found", ns.stanzas)).toBeDefined();
    expect(failed?.attrs.h).toBe("1");
    expect(enabledOf(again)?.attrs.id).not.toBe(enabledOf(success)?.attrs.id);
    await back.ping();
  });

  test("nobody resumes another's session", async () => {
    const { client, success } = await logIn("alice", { inside: bindElement(enable) });
    const back = await connect();
    const again = await authenticate(back, { user: "bob", inside: resume(success) });
    expect(again.getChild("failed", sasl2.sm)).toBeDefined();
    expect(again.getChildText("authorization-identifier")).toBe("bob@chat.example");
    expect((await back.next("features")).getChild("bind", ns.bind)).toBeDefined();
    await client.ping();
  });

  test("where stream management is off, the session is bound without it", async () => {
    await core.set({ "stream.management.active": "false" });
    const { client, success } = await logIn("alice", { inside: bindElement(enable) });
    expect(boundOf(success)?.getChild("failed", sasl2.sm)?.getChild("service-unavailable", ns.stanzas)).toBeDefined();
    await client.ping();
  });

  test("a failed login does nothing of what it asked for", async () => {
    const { client } = await logIn("alice", { agent: phone });
    const failure = await authenticate(await connect(), {
      ...{ user: "alice", password: "wrong", agent: phone, inside: bindElement() },
    });
    expect(condition(failure)).toBe("not-authorized");
    await client.ping();
  });
});

describe("offline messages", () => {
  test("are left to the archive, whose edges the client is told", async () => {
    const bob = await core.login("bob");
    bob.message("carol@chat.example", "archived");
    await bob.ping();
    const before = await core.login("carol", { resource: "c" });
    await before.set("<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>");
    await before.close();
    bob.message("carol@chat.example", "not archived");
    await bob.ping();
    const { client: carol, success } = await logIn("carol");
    const end = boundOf(success)?.getChild("metadata", "urn:xmpp:mam:2")?.getChild("end");
    expect(end?.attrs.id).toBeDefined();
    carol.presence();
    // They come in their order: the one before would have come first.
    expect((await carol.next("message")).getChildText("body")).toBe("not archived");
    // As with any client that has come: nobody gets them unasked any more.
    const legacy = await core.login("carol");
    legacy.presence();
    await legacy.next("presence");
    await legacy.none("message");
  });

  test("come as ever where the archive does not have them", async () => {
    const dave = await core.login("dave", { resource: "d" });
    await dave.set("<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>");
    await dave.close();
    const bob = await core.login("bob");
    bob.message("dave@chat.example", "not archived");
    await bob.ping();
    const { client } = await logIn("dave");
    client.presence();
    expect((await client.next("message")).getChildText("body")).toBe("not archived");
  });
});

test.each(["websocket", "bosh"] as const)("the same over %s, with a token for the next time", async (via) => {
  const web = { host: "127.0.0.1", port: webPort, domain: "chat.example", via };
  const client = await XmppClient.connect(web);
  const inside = requestToken("HT-SHA-256-NONE") + bindElement(enable);
  const success = await authenticate(client, { user: "alice", mechanism: "SCRAM-SHA-256", agent: phone, inside });
  expect(enabledOf(success)).toBeDefined();
  expect((await client.next("features")).getChild("bind", ns.bind)).toBeUndefined();
  await client.ping();
  client.drop();
  const back = await XmppClient.connect(web);
  const again = await authenticate(back, {
    ...{ user: "alice", mechanism: "HT-SHA-256-NONE", token: tokenOf(success) ?? "", agent: phone },
    inside: resume(success),
  });
  expect(again.getChild("resumed", sasl2.sm)).toBeDefined();
  await back.ping();
});
