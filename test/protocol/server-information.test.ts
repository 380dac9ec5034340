import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { downtimes } from "../../xmpp-core/modules/points.ts";
import { read } from "../../xmpp-core/storage/statement.ts";
import { command, commandNote, runCommand } from "../support/commands.ts";
import { consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let clock: ManualClock;
let alice: XmppClient;
let web: ReturnType<typeof consoleClient>;
let securePort: number;
beforeAll(async () => {
  clock = manualClock();
  const port = await freePort();
  securePort = await freePort();
  core = await startTestCore({
    ...{ users: ["alice", "bob", "carol", "nevertheless"], clock },
    properties: { "adminConsole.port": String(port), "adminConsole.securePort": String(securePort) },
  });
  web = consoleClient(port);
  alice = await core.login("alice");
  const bob = await core.login("bob");
  await alice.roster();
  for (const client of [alice, bob]) client.presence();
  // Alice sees bob, and not the other way round; nobody sees carol.
  alice.presence("", "type='subscribe' to='bob@localhost'");
  await bob.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  bob.presence("", "type='subscribed' to='alice@localhost'");
  await alice.next("presence", (stanza) => stanza.attrs.type === "subscribed");
  await bob.close();
});
let touched: string[] = [];
async function set(properties: Record<string, string>): Promise<void> {
  touched.push(...Object.keys(properties));
  await core.set(properties);
}
afterEach(async () => {
  await core.set(Object.fromEntries(touched.map((key) => [key, null])));
  touched = [];
});
afterAll(() => core.close());

/** Values of a field of one of the server's forms. XEP-0128 */
async function shown(formType: string, name: string): Promise<string[] | undefined> {
  const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost");
  const values = (form: Element, field: string) =>
    form
      .getChildren("field")
      .find(({ attrs }) => attrs.var === field)
      ?.getChildren("value")
      .map((value) => value.getText());
  const form = info
    .getChild("query")
    ?.getChildren("x", "jabber:x:data")
    .find((one) => values(one, "FORM_TYPE")?.[0] === formType);
  return form && values(form, name);
}

describe("contact addresses (XEP-0157)", () => {
  const serverInfo = "http://jabber.org/network/serverinfo";
  test("are shown as far as they are set, by kind", async () => {
    expect(await shown(serverInfo, "abuse-addresses")).toBeUndefined();
    await set({
      "firekeeper.contact.abuse": "mailto:abuse@example.org, xmpp:abuse@localhost",
      "firekeeper.contact.support": "https://example.org/help",
    });
    expect(await shown(serverInfo, "abuse-addresses")).toEqual(["mailto:abuse@example.org", "xmpp:abuse@localhost"]);
    expect(await shown(serverInfo, "support-addresses")).toEqual(["https://example.org/help"]);
    expect(await shown(serverInfo, "admin-addresses")).toBeUndefined();
    await expect(core.set({ "firekeeper.contact.support": "javascript:alert(1)" })).rejects.toThrow("URIs");
    expect(await shown(serverInfo, "support-addresses")).toEqual(["https://example.org/help"]);
  });
});

describe("last activity (XEP-0012)", () => {
  const ask = (to: string, by = alice) => by.get("<query xmlns='jabber:iq:last'/>", to);
  const seconds = (answer: Element) => Number(answer.getChild("query", "jabber:iq:last")?.attrs.seconds);

  test("the server says how long it has been running", async () => {
    const before = seconds(await ask("localhost"));
    clock.pass(90_000);
    expect(seconds(await ask("localhost"))).toBe(before + 90);
  });

  test("whoever sees somebody's presence learns when he left; he is here: 0", async () => {
    const bob = await core.login("bob");
    bob.presence();
    await bob.next("presence", (stanza) => stanza.attrs.from === bob.jid);
    expect(seconds(await ask("bob@localhost"))).toBe(0);
    await bob.close();
    await alice.next("presence", (stanza) => stanza.attrs.type === "unavailable" && stanza.attrs.from === bob.jid);
    clock.pass(300_000);
    expect(seconds(await ask("bob@localhost"))).toBe(300);
    expect(seconds(await ask("alice@localhost"))).toBe(0);
    await core.restart();
    expect(seconds(await ask("bob@localhost"))).toBe(300);
  });

  test("to others it is the same as for a name that nobody bears", async () => {
    const told = async (name: string) => {
      const answer = await ask(`${name}@localhost`);
      return [answer.attrs.type, answer.getChild("error")?.attrs.type, errorCondition(answer)];
    };
    expect(await told("carol")).toEqual(["error", "auth", "forbidden"]);
    expect(await told("nobody")).toEqual(await told("carol"));
    const bob = await core.login("bob");
    expect(errorCondition(await ask("alice@localhost", bob))).toBe("forbidden");
    await bob.close();
  });

  test("it is kept as exactly as the admin wants, also what was kept before", async () => {
    const day = 86_400_000;
    const nevertheless = async () => (await core.login("nevertheless")).close();
    await nevertheless();
    await set({ "firekeeper.last-activity.kept": "quarter" });
    const { accounts, storage } = core.server;
    const row = async () => {
      const all = read<[number], { login_at: number; logout_at: number }>(
        "SELECT login_at, logout_at FROM last_activity WHERE account = ?",
      );
      const [found] = await storage.read(all, accounts.get(1, "nevertheless")?.id ?? 0);
      return found && [found.login_at, found.logout_at];
    };
    const now = new Date(clock.now());
    const quarter = Date.UTC(now.getUTCFullYear(), Math.floor(now.getUTCMonth() / 3) * 3);
    await expect.poll(row).toEqual([quarter, quarter]);
    await nevertheless();
    await expect.poll(row).toEqual([quarter, quarter]);
    await core.set({ "firekeeper.last-activity.kept": "day" });
    await nevertheless();
    const today = Math.floor(clock.now() / day) * day;
    await expect.poll(row).toEqual([today, today]);
    await core.set({ "firekeeper.last-activity.kept": "nothing" });
    await expect.poll(row).toBeUndefined();
    await nevertheless();
    await alice.ping();
    expect(await row()).toBeUndefined();
  });
});

describe("limits (XEP-0478)", () => {
  const limits = (client: XmppClient) => {
    const found = client.features?.getChild("limits", "urn:xmpp:stream-limits:0");
    return found?.getChildElements().map((child) => [child.getName(), child.getText()]);
  };
  test("are those in force, before login and after it", async () => {
    const where = { host: "127.0.0.1", port: core.port, domain: "localhost" };
    const stranger = await XmppClient.connect(where);
    expect(limits(stranger)).toEqual([
      ["max-bytes", "8192"],
      ["idle-seconds", "60"],
    ]);
    stranger.send(`<iq type='set' id='big'><x>${"x".repeat(8192)}</x></iq>`);
    expect(await stranger.streamError()).toBe("policy-violation");
    await set({ "xmpp.client.idle": "100000", "xmpp.parser.buffer.size": "20000" });
    const bob = await core.login("bob");
    expect(limits(bob)).toEqual([
      ["max-bytes", "20000"],
      ["idle-seconds", "50"],
    ]);
    bob.message("alice@localhost", "y".repeat(20_000));
    expect(await bob.streamError()).toBe("policy-violation");
    await core.set({ "xmpp.client.idle.ping": "false" });
    expect(limits(await core.login("bob"))?.[1]).toEqual(["idle-seconds", "100"]);
    await core.set({ "xmpp.client.idle": "-1", "xmpp.client.idle.ping": null });
    expect(limits(await core.login("bob"))).toEqual([["max-bytes", "20000"]]);
  });
});

describe("an outage (XEP-0455)", () => {
  const document = async () => (await web.get("/service-status.json")).json;
  const addresses = () => shown("urn:xmpp:sos:0", "external-status-addresses");

  test("is told where clients find it, with its times and words, until it is over", async () => {
    expect([await document(), await addresses()]).toEqual([{}, undefined]);
    await set({ "firekeeper.outage.addresses": "https://status.example.net/xmpp.json" });
    expect(await addresses()).toEqual(["https://status.example.net/xmpp.json"]);
    await set({
      "firekeeper.outage.beginning": "2027-03-01T23:00+01:00",
      "firekeeper.outage.expected-end": "2027-03-02T02:00:00Z",
      "firekeeper.outage.message": "New disks.",
      "firekeeper.outage.planned": "false",
    });
    expect(await document()).toEqual({
      ...{ planned: false, beginning: "2027-03-01T22:00:00Z", expected_end: "2027-03-02T02:00:00Z" },
      message: { default: "New disks." },
    });
    expect(await addresses()).toEqual([
      "https://status.example.net/xmpp.json",
      `https://localhost:${securePort}/service-status.json`,
    ]);
    const { headers } = await web.get("/service-status.json");
    expect(headers["access-control-allow-origin"]).toBe("*");
  });

  test("is told by a shutdown that is announced, and no longer when that is called off", async () => {
    const [plans] = core.server.core.offered(downtimes);
    plans?.plan({ beginning: Date.UTC(2027, 0, 2, 3), expectedEnd: undefined, message: undefined });
    expect(await document()).toEqual({ planned: true, beginning: "2027-01-02T03:00:00Z" });
    plans?.plan(undefined);
    expect(await document()).toEqual({});
  });
});

describe("status on web pages", () => {
  const page = async (path: string) => {
    const { status, text, headers } = await web.get(path);
    return { status, text, type: headers["content-type"] };
  };
  const node = "urn:firekeeper:web-presence";

  test("nobody is shown who did not agree, and an unknown name looks the same", async () => {
    expect((await page("/status/alice")).status).toBe(404);
    expect(errorCondition(await command(alice, node))).toBe("not-allowed");
    await set({ "firekeeper.web-presence.enabled": "true" });
    for (const form of ["", "/text", "/json", "/message"]) {
      const known = await page(`/status/alice${form}`);
      expect(known.status).toBe(200);
      expect(await page(`/status/nobody${form}`)).toEqual(known);
    }
    expect((await page("/status/alice")).text).toContain("#9a9a9a");
    for (const path of ["/status", "/status/alice/nonsense", "/status/alice/text/more", "/status/__proto__/__proto__"])
      expect((await page(path)).status, path).toBe(404);
  });

  test("who agreed is shown as he is, in each form, until he no longer agrees", async () => {
    await set({ "firekeeper.web-presence.enabled": "true" });
    const note = commandNote(await runCommand(alice, node, { shown: ["1"] }));
    expect(note).toContain(`https://localhost:${securePort}/status/alice`);
    alice.presence("<show>dnd</show><status>in a &lt;b&gt;meeting</status>");
    await alice.ping();
    expect(await page("/status/alice")).toMatchObject({ status: 200, type: "image/svg+xml; charset=utf-8" });
    expect((await page("/status/alice")).text).toContain("#d63939");
    expect((await page("/status/alice/text")).text).toBe("do not disturb\n");
    expect((await page("/status/alice/message")).text).toBe("in a <b>meeting\n");
    expect((await page("/status/alice/html")).text).toContain("in a &lt;b&gt;meeting");
    expect((await web.get("/status/alice/json")).json).toEqual({ show: "dnd", message: "in a <b>meeting" });
    await core.restart();
    expect((await page("/status/alice/text")).text).toBe("do not disturb\n");
    await runCommand(alice, node, { shown: ["0"] });
    expect((await page("/status/alice/text")).text).toBe("offline\n");
    alice.presence();
  });
});
