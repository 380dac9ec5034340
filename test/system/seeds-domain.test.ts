import { afterAll, beforeAll, expect, test } from "vitest";
import { askAgent } from "../../agent/agent-socket-client.ts";
import type { CoreStatus } from "../../xmpp-core/control/contract.ts";
import { credentialsOf } from "../support/core.ts";
import { type Service, startService } from "../support/processes.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** A change of domain through the store, end to end: two names, one service. docs/architecture.md "One service, two names". The tests follow one another. */
const old = "mobydick";
const fresh = "a.example";
let service: Service;
let alice: XmppClient;
let bob: XmppClient;
beforeAll(async () => {
  const users = await Promise.all(
    ["admin", "alice", "bob", "carol"].map(async (name) => ({ name, credentials: await credentialsOf(name) })),
  );
  service = await startService({
    domain: old,
    env: { FIREKEEPER_ALIAS_DAYS: "0" },
    // One label and no key: the domain of a host that sets nothing.
    properties: { "sasl.mechs": "PLAIN,SCRAM-SHA-256", "xmpp.proxy.externalip": "127.0.0.1" },
    host: { users, roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"] }] },
  });
});
afterAll(async () => {
  XmppClient.dropAll();
  await service.stop();
});

type More = { domain?: string; resource?: string; sm?: boolean; mechanism?: string };
const login = (user: string, more: More = {}) =>
  XmppClient.login({
    ...{ host: service.host, port: service.ports.plain, domain: service.domain, user, password: user },
    ...more,
  });
const said = (body: string) => (message: { getChildText(name: string): string | null }) =>
  message.getChildText("body") === body;
const status = async () => (await askAgent(service.home, "status")) as { server: CoreStatus };

/** All that an account has, as seen under a name. */
async function belongings(user: string, domain: string) {
  const client = await login(user, { domain, resource: "look" });
  const roster = (await client.roster()).contacts;
  client.presence();
  await client.ping();
  const query = await client.iq(`<iq type='set' id='mam-${domain}'><query xmlns='urn:xmpp:mam:2' queryid='q'/></iq>`);
  const { inbox } = client.connection;
  const found = {
    roster: Object.fromEntries(
      [...roster].map(([jid, { name, subscription, groups }]) => [jid, { name, subscription, groups }]),
    ),
    vcard: (await client.get("<vCard xmlns='vcard-temp'/>")).getChild("vCard")?.getChildText("FN"),
    storage: (await client.get("<query xmlns='jabber:iq:private'><x xmlns='test:x'/></query>"))
      .getChild("query")
      ?.getChild("x")
      ?.getText(),
    blocked: (await client.get("<blocklist xmlns='urn:xmpp:blocking'/>"))
      .getChild("blocklist")
      ?.getChildren("item")
      .map((item) => item.attrs.jid),
    archive: inbox.flatMap((stanza) => {
      const message = stanza.getChild("result", "urn:xmpp:mam:2")?.getChild("forwarded")?.getChild("message");
      return message ? [[message.attrs.from, message.attrs.to, message.getChildText("body")]] : [];
    }),
    offline: inbox
      .filter((stanza) => stanza.is("message") && stanza.getChild("delay") !== undefined)
      .map((message) => [message.attrs.from, message.getChildText("body")]),
  };
  expect(query.attrs.type).toBe("result");
  await client.close();
  return found;
}

const expected = (domain: string) => ({
  roster: {
    [`bob@${domain}`]: { name: "Bobby", subscription: "both", groups: ["Friends", "Sales"] },
    [`carol@${domain}`]: { name: "Caro", subscription: "none", groups: [] },
  },
  vcard: "Alice A.",
  storage: "kept",
  blocked: [`admin@${domain}`],
  archive: [[`bob@${domain}/desk`, `alice@${domain}`, "while you were away"]],
});

test("an edit of the domain waits for a person in auto mode; the plan warns and names with numbers what it touches (M7)", async () => {
  const away = await login("alice", { resource: "first" });
  await away.set(
    `<query xmlns='jabber:iq:roster'><item jid='bob@${old}' name='Bobby'><group>Friends</group></item></query>`,
  );
  await away.set(`<query xmlns='jabber:iq:roster'><item jid='carol@${old}' name='Caro'/></query>`);
  await away.set("<vCard xmlns='vcard-temp'><FN>Alice A.</FN></vCard>");
  await away.set("<query xmlns='jabber:iq:private'><x xmlns='test:x'>kept</x></query>");
  await away.set(`<block xmlns='urn:xmpp:blocking'><item jid='admin@${old}'/></block>`);
  await away.close();
  bob = await login("bob", { resource: "desk", sm: true });
  bob.presence();
  bob.message(`alice@${old}`, "while you were away");
  await bob.ping();

  expect(await service.run(["settings", "set", "sys.xmpp.domain", fresh])).toMatch(/wait/);
  const planned = await service.cli(["plan"]);
  expect(planned.code).toBe(2);
  expect(planned.stdout).toMatch(new RegExp(`migrate +.*${old} → ${fresh}`));
  expect(planned.stdout).toMatch(/4 accounts/);
  expect(planned.stdout).toMatch(/1 session/);
  expect(planned.stdout).toMatch(/roster|contact/i);
  expect(planned.stdout).toMatch(/archive/i);
  expect(planned.stdout).toMatch(/certificate/i);
  expect((await status()).server.domain).toBe(old);
  await (await login("carol")).close();
});

test("applied, everything is there under the new name, with its certificate, and who is online stays (M7, M9)", async () => {
  await service.run(["apply"]);
  const { offline, ...found } = await belongings("alice", fresh);
  expect(found).toEqual(expected(fresh));
  expect(offline).toEqual([[`bob@${fresh}/desk`, "while you were away"]]);
  alice = await login("alice", { domain: fresh, resource: "new" });
  alice.presence();
  expect(alice.certificate?.checkHost(fresh)).toBe(fresh);
  bob.message(`alice@${old}`, "from the old name");
  expect((await alice.next("message", said("from the old name"))).attrs.from).toBe(`bob@${fresh}/desk`);
  alice.message(`bob@${fresh}`, "from the new name");
  expect((await bob.next("message", said("from the new name"))).attrs.from).toBe(`alice@${old}/new`);
  const offered = await alice.get("<query xmlns='http://jabber.org/protocol/bytestreams'/>", `proxy.${fresh}`);
  expect(offered.toString()).toContain(`jid="proxy.${fresh}"`);
});

test("under the old name a client resumes, logs in again by PLAIN over TLS, and is told the old name's addresses (M7, M8)", async () => {
  bob.drop();
  await bob.ended;
  alice.message(`bob@${fresh}`, "meanwhile");
  await alice.ping();
  await bob.resume();
  expect((await bob.next("message", said("meanwhile"))).attrs.from).toBe(`alice@${old}/new`);
  const again = await login("alice", { domain: old, mechanism: "PLAIN", resource: "again" });
  expect(again.jid).toBe(`alice@${old}/again`);
  expect(again.certificate?.checkHost(old)).toBe(old);
  expect([...(await again.roster()).contacts.keys()]).toEqual([`bob@${old}`, `carol@${old}`]);
  const { aliases } = (await status()).server;
  expect(aliases).toMatchObject([{ name: old, until: null, sessions: 2 }]);
  await service.run(["restart"]);
  again.message(`alice@${old}/new`, "over a restart");
  expect((await alice.next("message", said("over a restart"))).attrs.from).toBe(`alice@${fresh}/again`);
});

test("rollback brings the old name back with everything, and sessions of both names stay", async () => {
  await service.run(["rollback"]);
  expect((await status()).server).toMatchObject({ domain: old });
  const { archive, offline: _, ...found } = await belongings("alice", old);
  const { archive: before, ...rest } = expected(old);
  expect(found).toEqual(rest);
  expect(archive.slice(0, 1)).toEqual(before);
  bob.message(`alice@${old}/new`, "back again");
  expect((await alice.next("message", said("back again"))).attrs.from).toBe(`bob@${fresh}/desk`);
  expect((await service.run(["status"])).toString()).toMatch(/holds: rolled back/);
});
