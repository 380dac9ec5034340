/** STUN and TURN for calls. XEP-0215 */
import { createHmac } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const ns = "urn:xmpp:extdisco:2";
const secret = "north wind, south wind, 1234";

let clock: ManualClock;
let core: TestCore;
let agent: TestAgent;
beforeAll(async () => {
  clock = manualClock();
  core = await startTestCore({ domain: "example.org", users: ["alice", "bob"], clock });
  agent = await connectAgent(core);
});
afterEach(async () => {
  XmppClient.dropAll();
  const keys = ["secret", "host", "ttl", "port.udp", "port.tcp", "port.tls"].map((key) => `firekeeper.turn.${key}`);
  await core.set(Object.fromEntries([...keys, "firekeeper.stun.host", "xmpp.fqdn"].map((key) => [key, null])));
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

const turn = (more: Record<string, string> = {}) => core.set({ "firekeeper.turn.secret": secret, ...more });
const moveTo = (to: string | null) => agent.apply({ kind: "setting", setting: "external-address", to });
const ask = (client: XmppClient, type?: string) =>
  client.get(`<services xmlns='${ns}'${type === undefined ? "" : ` type='${type}'`}/>`, "example.org");
const servicesIn = (stanza: Element) => stanza.getChild("services", ns)?.getChildren("service") ?? [];
const places = (services: readonly Element[]) =>
  services.map(({ attrs: { action, type, host, port, transport } }) =>
    [...(action === undefined ? [] : [action]), type, host, port, transport].join(" "),
  );
const push = (client: XmppClient) =>
  client.next((each) => each.attrs.type === "set" && each.getChild("services", ns) !== undefined, "push of services");
const credentials = (client: XmppClient, attributes: string) =>
  client.get(`<credentials xmlns='${ns}'><service ${attributes}/></credentials>`, "example.org");

test("the feature is shown; without a secret and a STUN host there is nothing to tell", async () => {
  const alice = await core.login("alice");
  const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "example.org");
  expect(info.toString()).toContain(`var="${ns}"`);
  expect(servicesIn(await ask(alice))).toEqual([]);
});

test("a TURN server is told with credentials that it can check, and that end", async () => {
  await turn({ "firekeeper.turn.ttl": "3600" });
  const alice = await core.login("alice");
  const all = servicesIn(await ask(alice));
  expect(places(all)).toEqual(["stun example.org 3478 udp", "turn example.org 3478 udp", "turn example.org 3478 tcp"]);
  expect(all[0]?.attrs).toEqual({ type: "stun", host: "example.org", port: "3478", transport: "udp" });
  const { restricted, username, password, expires } = all[1]?.attrs ?? {};
  expect(restricted).toBe("true");
  const [until = "", who = ""] = String(username).split(":");
  const seconds = Math.floor(clock.now() / 1000) + 3600;
  expect([until, expires]).toEqual([String(seconds), new Date(seconds * 1000).toISOString().replace(".000", "")]);
  expect(password).toBe(createHmac("sha1", secret).update(String(username)).digest("base64"));
  expect(who).toMatch(/^[\w-]{16}$/);
});

test("the user name says who calls to nobody, yet is the same for one person and another for others", async () => {
  await turn();
  const name = async (client: XmppClient) => servicesIn(await ask(client, "turn"))[0]?.attrs.username.split(":")[1];
  const [desk, phone, bob] = [await core.login("alice"), await core.login("alice"), await core.login("bob")];
  const names = [await name(desk), await name(phone), await name(bob)];
  expect(names[0]).toBe(names[1]);
  expect(names[2]).not.toBe(names[0]);
  expect(names.join(" ")).not.toMatch(/alice|bob|desk|phone/);
});

test("services of one type are told alone, and the answer names the type", async () => {
  await turn();
  const alice = await core.login("alice");
  const answer = await ask(alice, "stun");
  expect(answer.getChild("services", ns)?.attrs.type).toBe("stun");
  expect(places(servicesIn(answer))).toEqual(["stun example.org 3478 udp"]);
  expect(servicesIn(await ask(alice, "ftp"))).toEqual([]);
});

test("credentials for a service that is known already: by host and type, narrowed by port and transport", async () => {
  await turn({ "firekeeper.turn.port.tcp": "443" });
  const alice = await core.login("alice");
  const found = async (attributes: string) =>
    (await credentials(alice, attributes)).getChild("credentials", ns)?.getChildren("service") ?? [];
  const both = await found("host='EXAMPLE.org.' type='turn'");
  expect(places(both)).toEqual(["turn example.org 3478 udp", "turn example.org 443 tcp"]);
  expect(both.every(({ attrs }) => attrs.username && attrs.password && attrs.expires)).toBe(true);
  expect(places(await found("host='example.org' type='turn' port='443'"))).toEqual(["turn example.org 443 tcp"]);
  expect(places(await found("host='example.org' type='turn' transport='udp'"))).toHaveLength(1);
  const refused = async (attributes: string) =>
    (await credentials(alice, attributes)).getChild("error")?.getChildElements()[0]?.getName();
  expect(await refused("host='other.example' type='turn'")).toBe("item-not-found");
  expect(await refused("host='example.org' type='stun'")).toBe("item-not-found");
  expect(await refused("host='example.org'")).toBe("bad-request");
  expect(await refused("type='turn'")).toBe("bad-request");
});

test("with TLS a name is told, since certificates carry names; both external addresses without", async () => {
  await turn({ "firekeeper.turn.port.tls": "5349", "xmpp.fqdn": "chat.example.org" });
  await moveTo("203.0.113.9, 2001:db8::9");
  const alice = await core.login("alice");
  expect(places(servicesIn(await ask(alice)))).toEqual([
    "stun 203.0.113.9 3478 udp",
    "stun 2001:db8::9 3478 udp",
    "turn 203.0.113.9 3478 udp",
    "turn 2001:db8::9 3478 udp",
    "turn 203.0.113.9 3478 tcp",
    "turn 2001:db8::9 3478 tcp",
    "turns chat.example.org 5349 tcp",
  ]);
  expect((await credentials(alice, "host='[2001:DB8:0::9]' type='turn'")).attrs.type).toBe("result");
  await core.set({ "firekeeper.turn.host": "turn.example.net" });
  const hosts = new Set(servicesIn(await ask(alice)).map(({ attrs }) => attrs.host));
  expect([...hosts]).toEqual(["turn.example.net"]);
  await moveTo(null);
});

test("another external address reaches those who asked, at once; who did not ask is left alone", async () => {
  await turn({ "firekeeper.turn.port.tcp": "-1" });
  await moveTo("203.0.113.9");
  const [alice, phone, bob] = [await core.login("alice"), await core.login("alice"), await core.login("bob")];
  await ask(alice);
  await ask(phone, "turn");
  await moveTo("198.51.100.4");
  const told = await push(alice);
  expect(told.attrs.from).toBe("example.org");
  expect(places(servicesIn(told))).toEqual([
    "delete stun 203.0.113.9 3478 udp",
    "delete turn 203.0.113.9 3478 udp",
    "add stun 198.51.100.4 3478 udp",
    "add turn 198.51.100.4 3478 udp",
  ]);
  expect(servicesIn(told).map(({ attrs }) => attrs.password !== undefined)).toEqual([false, false, false, true]);
  const narrow = await push(phone);
  expect(narrow.getChild("services", ns)?.attrs.type).toBe("turn");
  expect(places(servicesIn(narrow))).toEqual(["delete turn 203.0.113.9 3478 udp", "add turn 198.51.100.4 3478 udp"]);
  await bob.none((each) => each.getChild("services", ns) !== undefined);
  await moveTo(null);
});

test("another secret: new credentials are pushed, and several settings of one apply in one push", async () => {
  await turn({ "firekeeper.turn.port.tcp": "-1" });
  const alice = await core.login("alice");
  await ask(alice);
  await agent.set({ "firekeeper.turn.secret": "another wind, another secret", "firekeeper.turn.host": "turn.example" });
  expect(places(servicesIn(await push(alice)))).toHaveLength(4);
  await agent.set({ "firekeeper.turn.secret": secret });
  const [changed, ...more] = servicesIn(await push(alice));
  expect([changed?.attrs.action, changed?.attrs.type, more.length]).toEqual(["modify", "turn", 0]);
  const { username, password } = changed?.attrs ?? {};
  expect(password).toBe(createHmac("sha1", secret).update(username).digest("base64"));
  // A longer life is for credentials to come.
  await agent.set({ "firekeeper.turn.ttl": "7200" });
  await agent.set({ "firekeeper.turn.secret": null });
  expect(servicesIn(await push(alice)).map(({ attrs }) => attrs.action)).toEqual(["delete", "delete"]);
});

test("who asked before a crash or a restart is told of changes after it", async () => {
  await turn();
  const alice = await core.login("alice", { resource: "desk", sm: true });
  await ask(alice);
  await agent.target.close();
  await core.crash();
  await alice.resume();
  await core.set({ "firekeeper.stun.host": "stun.example.net" });
  expect(places(servicesIn(await push(alice)))).toEqual([
    "delete stun example.org 3478 udp",
    "add stun stun.example.net 3478 udp",
  ]);
  await core.restart();
  await core.set({ "firekeeper.stun.host": null });
  expect(places(servicesIn(await push(alice)))).toHaveLength(2);
  agent = await connectAgent(core);
});

test("under its former name the domain is the host that a session is told", async () => {
  await turn();
  const alice = await core.login("alice");
  await core.rename("example.net", null);
  const later = await core.login("alice", { domain: "example.net" });
  const hosts = async (client: XmppClient, to: string) =>
    servicesIn(await client.get(`<services xmlns='${ns}' type='stun'/>`, to)).map(({ attrs }) => attrs.host);
  expect(await hosts(alice, "example.org")).toEqual(["example.org"]);
  expect(await hosts(later, "example.net")).toEqual(["example.net"]);
  await core.rename("example.org", null);
});

test("nobody is told before login, and a contact's server is not asked here", async () => {
  await turn();
  const stranger = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "example.org" });
  stranger.send(`<iq type='get' id='x' to='example.org'><services xmlns='${ns}'/></iq>`);
  expect(await stranger.streamError()).toBe("not-authorized");
});

test("a secret that calls can be made to give away, and credentials without a near end, are named as weaker", async () => {
  const told = async (key: string, value: string) => {
    const wish = { settings: { properties: { [key]: value } }, groups: [], supervisors: [], accounts: [] };
    const [answer] = (await agent.target.canonical(wish)).settings;
    return JSON.stringify(answer);
  };
  expect(await told("firekeeper.turn.secret", "hunter2hunter2")).toContain("found out by anybody");
  expect(await told("firekeeper.turn.secret", secret)).not.toContain("found out");
  expect(await told("firekeeper.turn.ttl", "864000")).toContain("longer than a day");
});
