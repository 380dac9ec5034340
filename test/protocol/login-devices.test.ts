import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { command, commandNote, commandStatus, explained, formFields, runCommand } from "../support/commands.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
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
import { XmppClient } from "../support/xmpp-client.ts";

/** People see the devices they log in with, and log them out. docs/login.md */

const own = "urn:firekeeper:devices";
const ofUser = "urn:firekeeper:devices-of-user";
let core: TestCore;
let clock: ManualClock;
let people = 0;
beforeAll(async () => {
  clock = manualClock();
  core = await startTestCore({ users: ["admin"], clock, properties: { "xmpp.client.idle": "-1" } });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

async function person(): Promise<string> {
  const name = `person${++people}`;
  await core.addUser(name);
  return name;
}
const connect = () => XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
async function logIn(user: string, more: Partial<Sasl2Login> = {}): Promise<{ client: XmppClient; token: string }> {
  const client = await connect();
  const inside = requestToken() + bindElement();
  const success = await authenticate(client, { user, agent: phone, inside, ...more });
  if (condition(success) !== "success") throw new Error(success.toString());
  return { client, token: tokenOf(success) ?? "" };
}
const byToken = async (user: string, token: string, agent = phone) =>
  condition(await authenticate(await connect(), { user, token, agent, mechanism: "HT-SHA-256-EXPR" }));
const today = () => new Date(clock.now()).toISOString().slice(0, 10);

/** Labels and values of the devices in a form. */
async function shown(client: XmppClient): Promise<Map<string, string>> {
  const form = (await command(client, own)).getChild("command")?.getChild("x", "jabber:x:data");
  const field = form?.getChildren("field").find((one) => one.attrs.var === "devices");
  return new Map(field?.getChildren("option").map((one) => [one.attrs.label, one.getChildText("value") ?? ""]));
}

test("everybody sees the own other devices, as they named themselves, and the day of their last login", async () => {
  const user = await person();
  const { client } = await logIn(user);
  await logIn(user, { agent: laptop, software: "Gajim &lt;1.8&gt;\n  beta" });
  expect([...(await shown(client)).keys()]).toEqual([`Gajim <1.8> beta: last login ${today()}, connected`]);
  expect(
    await client.get(
      "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
      core.domain,
    ),
  ).toSatisfy(
    (answer: { toString(): string }) => answer.toString().includes(own) && !answer.toString().includes(ofUser),
  );
});

test("one is logged out: its session ends, its token is void, the others stay", async () => {
  const user = await person();
  const here = await logIn(user);
  const there = await logIn(user, { agent: laptop, software: "Laptop" });
  const [key = ""] = (await shown(here.client)).values();
  const answer = await runCommand(here.client, own, { devices: [key] });
  expect([commandStatus(answer), commandNote(answer)]).toEqual(["completed", "1 device is logged out."]);
  expect(await there.client.streamError()).toBe("not-authorized");
  expect(await byToken(user, there.token, laptop)).toBe("not-authorized");
  expect(await byToken(user, here.token)).toBe("success");
  expect((await shown(here.client)).size).toBe(0);
});

test("everywhere but here: also those that tell nothing of themselves, and those that are away", async () => {
  const user = await person();
  const here = await logIn(user);
  const older = await core.login(user, { resource: "older" });
  const away = await logIn(user, { agent: laptop });
  away.client.drop();
  const answer = await runCommand(here.client, own, { devices: [], everywhere: ["1"] });
  expect(commandNote(answer)).toBe("1 device is logged out.");
  expect(await older.streamError()).toBe("not-authorized");
  expect(await byToken(user, away.token, laptop)).toBe("not-authorized");
  await here.client.ping();
  expect(await byToken(user, here.token)).toBe("success");
});

test("nobody logs out what is not theirs", async () => {
  const [user, other] = [await person(), await person()];
  const { client } = await logIn(user);
  await logIn(other, { agent: laptop });
  const { client: second } = await logIn(other);
  const [key = ""] = (await shown(second)).values();
  const first = await command(client, own);
  const id = first.getChild("command")?.attrs.sessionid;
  expect(explained(await command(client, own, { devices: [key] }, id))).toBe("One of these devices is not known.");
});

test("an admin does the same for a user, others may not", async () => {
  const user = await person();
  const { client, token } = await logIn(user, { software: "Phone" });
  expect((await command(client, ofUser)).attrs.type).toBe("error");
  const admin = await core.login("admin");
  const second = await runCommand(admin, ofUser, { accountjid: [`${user}@${core.domain}`] });
  expect(second.toString()).toContain("Phone: last login");
  expect([...formFields(second).keys()]).toEqual(expect.arrayContaining(["devices", "everywhere"]));
  const id = second.getChild("command")?.attrs.sessionid;
  const answer = await command(admin, ofUser, { devices: [], everywhere: ["true"] }, id);
  expect(commandNote(answer)).toBe("1 device is logged out.");
  expect(await client.streamError()).toBe("not-authorized");
  expect(await byToken(user, token)).toBe("not-authorized");
});

test("devices and their sessions are known after a restart and after a crash", async () => {
  const user = await person();
  const { client } = await logIn(user);
  const enable = bindElement(`<enable xmlns='${sasl2.sm}' resume='true'/>`);
  const there = await logIn(user, { agent: laptop, software: "Laptop", inside: requestToken() + enable });
  await core.restart();
  expect([...(await shown(client)).keys()]).toEqual([`Laptop: last login ${today()}, connected`]);
  await core.crash();
  const back = await logIn(user);
  expect([...(await shown(back.client)).keys()]).toEqual([`Laptop: last login ${today()}, connected`]);
  await runCommand(back.client, own, { devices: [], everywhere: ["1"] });
  expect(await byToken(user, there.token, laptop)).toBe("not-authorized");
  const account = core.server.accounts.get(core.server.names.primary.id, user);
  expect(account?.sessions).toHaveLength(1);
});

test("a day later the day is another one", async () => {
  const user = await person();
  await logIn(user, { agent: laptop, software: "Laptop" });
  const before = today();
  clock.pass(24 * 3600 * 1000);
  const { client } = await logIn(user);
  expect([...(await shown(client)).keys()].join()).toContain(before);
  await logIn(user, { agent: laptop, software: "Laptop" });
  expect([...(await shown(client)).keys()].join()).toContain(today());
});
