import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// XEP-0377
const commands = "http://jabber.org/protocol/commands";
let core: TestCore;
let agent: TestAgent;
let clock: ManualClock;
let admin: XmppClient;
let alice: XmppClient;
beforeAll(async () => {
  clock = manualClock();
  const users = ["admin", "alice", "bob", "carol"];
  core = await startTestCore({ users, clock, properties: { "xmpp.client.idle": "-1" } });
  agent = await connectAgent(core);
});
beforeEach(async () => {
  XmppClient.dropAll();
  [admin, alice] = await Promise.all([core.login("admin"), core.login("alice")]);
  await run(admin, "clear");
  await alice.set("<unblock xmlns='urn:xmpp:blocking'/>");
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const run = (client: XmppClient, what: string) =>
  client.set(`<command xmlns='${commands}' node='urn:firekeeper:reports#${what}' action='execute'/>`, "localhost");
const block = (client: XmppClient, jid: string, report: string) =>
  client.set(`<block xmlns='urn:xmpp:blocking'><item jid='${jid}'>${report}</item></block>`);
const report = (reason = "urn:xmpp:reporting:spam", inside = "") =>
  `<report xmlns='urn:xmpp:reporting:1' reason='${reason}'>${inside}</report>`;
async function listed(client = admin): Promise<Record<string, string | null>[]> {
  const form = (await run(client, "list")).getChild("command", commands)?.getChild("x", "jabber:x:data");
  return (form?.getChildren("item") ?? []).map((item) =>
    Object.fromEntries(item.getChildren("field").map((one) => [one.attrs.var, one.getChildText("value") ?? null])),
  );
}

test("a report comes with a block, and the admin reads it; the journal and the metrics have it, too", async () => {
  const said =
    "<text xml:lang='en'>Buy &lt;now&gt;</text><stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='77'/>";
  agent.events.length = 0;
  expect((await block(alice, "bob@localhost/x", report("urn:xmpp:reporting:spam", said))).attrs.type).toBe("result");
  expect(await listed()).toEqual([
    {
      ...{ at: new Date(clock.now()).toISOString(), reporter: "alice@localhost", reported: "bob@localhost/x" },
      ...{ reason: "spam", text: "Buy <now>", messages: "77" },
    },
  ]);
  const list = await alice.get("<blocklist xmlns='urn:xmpp:blocking'/>");
  expect(list.getChild("blocklist")?.getChild("item")?.attrs.jid).toBe("bob@localhost/x");
  await expect
    .poll(() => agent.events.find((event) => event.event === "used-right"))
    .toEqual({
      ...{ event: "used-right", who: "alice@localhost", what: "report spam", on: "bob@localhost/x" },
    });
  expect(await core.server.report.metrics.metrics()).toContain('firekeeper_abuse_reports_total{reason="spam"} 1');
  const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost");
  expect(info.toString()).toContain("urn:xmpp:reporting:1");
});

test("only admins read them, and a plain block makes none", async () => {
  await alice.set("<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>");
  expect(await listed()).toEqual([]);
  expect((await run(alice, "list")).attrs.type).toBe("error");
  expect((await run(alice, "clear")).attrs.type).toBe("error");
});

test.each([
  ["without a reason", "<report xmlns='urn:xmpp:reporting:1'/>"],
  ["with too long a text", report("urn:xmpp:reporting:abuse", `<text>${"x".repeat(2001)}</text>`)],
  ["with too long a reason", report("x".repeat(201))],
])("refused as a whole: a report %s", async (_name, inside) => {
  expect(errorCondition(await block(alice, "carol@localhost", inside))).toBe("bad-request");
  const list = await alice.get("<blocklist xmlns='urn:xmpp:blocking'/>");
  expect(list.getChild("blocklist")?.getChildren("item")).toEqual([]);
  expect(await listed()).toEqual([]);
});

test("bounded by the hour, and old ones go", async () => {
  clock.pass(3600_000);
  for (let i = 0; i < 32; i++) await block(alice, `p${i}@localhost`, report("urn:xmpp:reporting:abuse"));
  expect(await listed()).toHaveLength(30);
  await agent.set({ "firekeeper.reports.days": "1" });
  clock.pass(2 * 24 * 3600_000);
  await expect.poll(() => listed()).toEqual([]);
});

test("reports follow who is renamed, and end with who is removed", async () => {
  await block(alice, "carol@localhost", report());
  await agent.apply({ kind: "account-rename", from: "carol", account: { name: "caroline", enabled: true } });
  expect((await listed()).map((each) => each.reported)).toEqual(["caroline@localhost"]);
  await core.set({
    ...{ "register.inband": "true", "firekeeper.register.captcha": "false" },
    "firekeeper.password.least-length": "1",
  });
  const stranger = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
  await stranger.set("<query xmlns='jabber:iq:register'><username>dave</username><password>dave</password></query>");
  const dave = await core.login("dave");
  await block(dave, "alice@localhost", report());
  await block(alice, "dave@localhost/x", report());
  expect(await listed()).toHaveLength(3);
  await dave.set("<query xmlns='jabber:iq:register'><remove/></query>");
  await expect.poll(listed).toHaveLength(1);
});
