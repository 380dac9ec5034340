/** People bring people. XEP-0379, XEP-0401, XEP-0445. */
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { command, explained, formFields, runCommand } from "../support/commands.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const register = "jabber:iq:register";
const invite = "urn:xmpp:invite#invite";
const createAccount = "urn:xmpp:invite#create-account";
const day = 24 * 3600_000;
let core: TestCore;
let clock: ManualClock;
let alice: XmppClient;
let admin: XmppClient;

beforeAll(async () => {
  clock = manualClock();
  core = await startTestCore({
    clock,
    users: ["alice", "bob", "admin"],
    properties: {
      ...{ "firekeeper.invitations.accounts": "everybody", "firekeeper.invitations.limit": "50" },
      ...{ "firekeeper.client.trusted-networks": "127.0.0.1", "firekeeper.web.address": "https://chat.example.org" },
      "xmpp.client.idle": "-1",
    },
  });
});
afterAll(() => core.close());
beforeEach(async () => {
  alice = await core.login("alice", { resource: "desk" });
  admin = await core.login("admin");
});
afterEach(async () => {
  XmppClient.dropAll();
  await core.set({ "firekeeper.invitations.accounts": "everybody", "firekeeper.invitations.contacts": "true" });
});

const stranger = () => XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
const show = (client: XmppClient, token: string): Promise<Element> =>
  client.set(`<preauth xmlns='urn:xmpp:pars:0' token='${token}'/>`, core.domain);
const make = (client: XmppClient, name: string): Promise<Element> =>
  client.set(
    `<query xmlns='${register}'><username>${name}</username><password>correct horse</password></query>`,
    core.domain,
  );
const tokenIn = (answer: Element): string =>
  /preauth=([A-Za-z0-9_-]{22})/.exec(formFields(answer).get("uri")?.[0] ?? "")?.[1] ?? "no token";
const login = (name: string) => core.login(name, { password: "correct horse" });
const accountInvite = async (by: XmppClient, fields: Record<string, string[]> = {}) =>
  runCommand(by, createAccount, fields);

/** Who has this invitation makes an account by it. */
async function join(token: string, name: string): Promise<XmppClient> {
  const client = await stranger();
  expect((await show(client, token)).attrs.type).toBe("result");
  expect((await make(client, name)).attrs.type).toBe("result");
  return login(name);
}

test("an invitation is given at once: link for clients, page for browsers, until when; the commands are listed", async () => {
  const items = await alice.get(
    "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
    core.domain,
  );
  const nodes = items
    .getChild("query")
    ?.getChildren("item")
    .map((item) => item.attrs.node);
  expect(nodes).toEqual(expect.arrayContaining([invite, createAccount]));
  const answer = await command(alice, invite);
  expect(answer.getChild("command")?.attrs.status).toBe("completed");
  const fields = formFields(answer);
  const token = tokenIn(answer);
  expect(fields.get("FORM_TYPE")).toEqual(["urn:xmpp:invite#invitation"]);
  expect(fields.get("uri")).toEqual([`xmpp:alice@localhost?roster;preauth=${token};ibr=y`]);
  expect(fields.get("landing-url")).toEqual([`https://chat.example.org/invite/${token}`]);
  expect(fields.get("expire")).toEqual([new Date(clock.now() + 7 * day).toISOString().replace(/\.\d+Z/, "Z")]);
});

test("a newcomer makes an account with the token, once, and both see each other at once", async () => {
  await alice.roster();
  alice.presence();
  const token = tokenIn(await command(alice, invite));
  const client = await stranger();
  const features = client.features?.getChildren("register").map((one) => one.attrs.xmlns);
  expect(features?.sort()).toEqual(["http://jabber.org/features/iq-register", "urn:xmpp:ibr-token:0"]);
  expect(errorCondition(await make(client, "nobody"))).toBe("not-allowed");
  const push = alice.next("roster push");
  const newcomer = await join(token, "newcomer");
  expect((await push).getChild("query")?.getChild("item")?.attrs).toMatchObject({
    jid: "newcomer@localhost",
    subscription: "both",
  });
  expect((await newcomer.roster()).contacts.get("alice@localhost")).toMatchObject({ subscription: "both" });
  newcomer.presence();
  expect(
    (await newcomer.next("presence", (one) => one.attrs.from === "alice@localhost/desk")).attrs.type,
  ).toBeUndefined();
  await alice.next("presence", (one) => String(one.attrs.from).startsWith("newcomer@localhost/"));
  const second = await stranger();
  const again = await show(second, token);
  expect([errorCondition(again), explained(again)]).toEqual([
    "item-not-found",
    "The provided token is invalid or expired.",
  ]);
});

test("the token is proved for the stream that showed it, and is used up by success alone", async () => {
  const token = tokenIn(await accountInvite(alice));
  const [one, other] = [await stranger(), await stranger()];
  await show(one, token);
  expect(errorCondition(await make(other, "shown"))).toBe("not-allowed");
  expect(errorCondition(await make(one, "bob"))).toBe("conflict");
  expect((await make(one, "shown")).attrs.type).toBe("result");
  expect(errorCondition(await make(one, "another"))).not.toBe("");
});

test("two who redeem the same invitation at the same moment: one account", async () => {
  const token = tokenIn(await accountInvite(alice));
  const racers = [await stranger(), await stranger(), await stranger()];
  for (const racer of racers) await show(racer, token);
  const answers = await Promise.all(racers.map((racer, place) => make(racer, `racing-${"xyz"[place]}`)));
  expect(answers.map((answer) => answer.attrs.type).sort()).toEqual(["error", "error", "result"]);
});

test("a name that was chosen is kept for the newcomer, also against others who may register", async () => {
  await core.set({ "register.inband": "true", "firekeeper.register.captcha": "false" });
  const answer = await accountInvite(admin, { username: ["Juliet"], "roster-subscription": ["0"] });
  const token = tokenIn(answer);
  expect(formFields(answer).get("uri")).toEqual([`xmpp:juliet@localhost?register;preauth=${token}`]);
  expect(errorCondition(await make(await stranger(), "juliet"))).toBe("conflict");
  expect(errorCondition(await accountInvite(admin, { username: ["juliet"] }))).toBe("conflict");
  const client = await stranger();
  await show(client, token);
  const form = (await client.get(`<query xmlns='${register}'/>`, core.domain)).getChild("query", register);
  expect(form?.getChildText("username")).toBe("juliet");
  expect(errorCondition(await make(client, "romeo"))).toBe("not-acceptable");
  expect((await make(client, "juliet")).attrs.type).toBe("result");
  expect((await (await login("juliet")).roster()).contacts.size).toBe(0);
  await core.set({ "register.inband": "false" });
});

test("an admin's invitation is good for several, and its time is judged when the token is shown", async () => {
  const token = tokenIn(await accountInvite(admin, { uses: ["2"], days: ["30"] }));
  await join(token, "crowd-a");
  clock.pass(30 * day - 10_000);
  const client = await stranger();
  await show(client, token);
  clock.pass(20_000);
  const late = await stranger();
  expect(errorCondition(await show(late, token))).toBe("item-not-found");
  expect((await make(client, "crowd-b")).attrs.type).toBe("result");
  expect(errorCondition(await show(late, token))).toBe("item-not-found");
});

test("what is open is listed to who made it and to admins, and revoked by number", async () => {
  const token = tokenIn(await accountInvite(alice));
  const list = async (by: XmppClient) =>
    (await command(by, "urn:firekeeper:invitations#list"))
      .getChild("command")
      ?.getChild("x", "jabber:x:data")
      ?.getChildren("item")
      .map((item) => new Map(item.getChildren("field").map((field) => [field.attrs.var, field.getChildText("value")])));
  const mine = (await list(alice)) ?? [];
  const number = mine.at(-1)?.get("number") ?? "";
  expect(mine.every((one) => one.get("by") === "alice@localhost")).toBe(true);
  expect(JSON.stringify(mine)).not.toContain(token);
  const bob = await core.login("bob");
  expect(await list(bob)).toEqual([]);
  expect((await list(admin))?.some((one) => one.get("number") === number)).toBe(true);
  const revoke = (by: XmppClient) => runCommand(by, "urn:firekeeper:invitations#revoke", { number: [number] });
  const client = await stranger();
  await show(client, token);
  expect(errorCondition(await revoke(bob))).toBe("item-not-found");
  expect((await revoke(alice)).attrs.type).toBe("result");
  expect(errorCondition(await make(client, "revoked"))).toBe("not-acceptable");
  expect(errorCondition(await show(await stranger(), token))).toBe("item-not-found");
});

test("a contact who has an account shows the token with the request, and both see each other, once", async () => {
  await alice.roster();
  alice.presence();
  const token = tokenIn(await command(alice, invite));
  const bob = await core.login("bob", { resource: "phone" });
  await bob.roster();
  bob.presence();
  bob.presence(`<preauth xmlns='urn:xmpp:pars:0' token='${token}'/>`, "type='subscribe' to='alice@localhost'");
  await bob.next("presence", (one) => one.attrs.type === "subscribed");
  await bob.next("presence", (one) => one.attrs.from === "alice@localhost/desk");
  await alice.next("presence", (one) => one.attrs.from === "bob@localhost/phone");
  expect((await alice.roster()).contacts.get("bob@localhost")).toMatchObject({ subscription: "both" });
  expect((await bob.roster()).contacts.get("alice@localhost")).toMatchObject({ subscription: "both" });
  // Used up, or of somebody else: an ordinary request, which waits for an answer.
  const carol = tokenIn(await command(admin, invite));
  await bob.set("<query xmlns='jabber:iq:roster'><item jid='alice@localhost' subscription='remove'/></query>");
  for (const used of [token, carol, "nonsense"]) {
    bob.presence(`<preauth xmlns='urn:xmpp:pars:0' token='${used}'/>`, "type='subscribe' to='alice@localhost'");
    await alice.next("presence", (one) => one.attrs.type === "subscribe");
    expect((await bob.roster()).contacts.get("alice@localhost")).toMatchObject({ subscription: "none" });
    bob.presence("", "type='unsubscribe' to='alice@localhost'");
    // His request is taken back, so that the next one is another.
    await bob.next("roster push", (one) => one.getChild("query")?.getChild("item")?.attrs.ask === undefined);
  }
});

test("with contacts turned off a newcomer comes alone", async () => {
  await core.set({ "firekeeper.invitations.contacts": "false" });
  const loner = await join(tokenIn(await command(alice, invite)), "loner");
  expect((await loner.roster()).contacts.size).toBe(0);
});

test("where accounts belong to the host, invitations make contacts and no accounts, and say why", async () => {
  const before = tokenIn(await command(alice, invite));
  await core.set({ "firekeeper.invitations.accounts": "nobody" });
  expect(formFields(await command(alice, invite)).get("uri")?.[0]).not.toContain("ibr=y");
  const refused = await command(alice, createAccount);
  expect([errorCondition(refused), explained(refused)]).toEqual([
    "forbidden",
    expect.stringContaining("host application"),
  ]);
  const client = await stranger();
  expect(client.features?.getChild("register")).toBeUndefined();
  client.send(`<iq type='set' id='p'><preauth xmlns='urn:xmpp:pars:0' token='${before}'/></iq>`);
  const answer = await client.next("iq");
  expect(errorCondition(answer)).toBe("item-not-found");
  await core.set({ "firekeeper.invitations.accounts": "admins" });
  expect(errorCondition(await command(alice, createAccount))).toBe("forbidden");
  expect((await command(admin, createAccount)).attrs.type).toBe("result");
});

test("what was given outlives a crash; what was used stays used; the database holds no token", async () => {
  const [open, used] = [tokenIn(await accountInvite(alice)), tokenIn(await accountInvite(alice))];
  await (await join(used, "early")).close();
  const database = loadDriver().open(`${core.home}/core.db`, { readOnly: true });
  const rows = database.prepare("SELECT * FROM invitation").rows([]);
  database.close();
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.flat().some((value) => String(value).includes(open))).toBe(false);
  await core.crash();
  expect(errorCondition(await show(await stranger(), used))).toBe("item-not-found");
  await join(open, "later");
});

test("with its maker an invitation is void: disabled, or gone", async () => {
  const token = tokenIn(await accountInvite(alice));
  const guest = await join(tokenIn(await accountInvite(alice)), "guest");
  const theirs = tokenIn(await command(guest, invite));
  await guest.set(`<query xmlns='${register}'><remove/></query>`, core.domain);
  await guest.ended;
  expect(errorCondition(await show(await stranger(), theirs))).toBe("item-not-found");
  const account = core.server.accounts.get(core.server.names.primary.id, "alice");
  if (account === undefined) throw new Error("no alice");
  account.enabled = false;
  expect(errorCondition(await show(await stranger(), token))).toBe("item-not-found");
  account.enabled = true;
});

test("nobody has more open than the limit", async () => {
  const bob = await core.login("bob");
  await core.set({ "firekeeper.invitations.limit": "1" });
  expect((await command(bob, invite)).attrs.type).toBe("result");
  expect(errorCondition(await command(bob, invite))).toBe("resource-constraint");
  await core.set({ "firekeeper.invitations.limit": "0" });
  expect(errorCondition(await command(bob, invite))).toBe("not-allowed");
  await core.set({ "firekeeper.invitations.limit": "50" });
});
