import { randomBytes, randomUUID } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { mostDevices } from "../../xmpp-core/auth/devices.ts";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import {
  authenticate,
  authenticateElement,
  bindElement,
  condition,
  laptop,
  phone,
  requestToken,
  sasl2,
  tokenMessage,
  tokenOf,
} from "../support/sasl2.ts";
import { scram } from "../support/scram-client.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** What somebody can do with logins that he has seen or begun, in the profile of XEP-0388. */

let core: TestCore;
let clock: ManualClock;
beforeAll(async () => {
  clock = manualClock();
  const properties = { "sasl.mechs": "SCRAM-SHA-256,SCRAM-SHA-256-PLUS,PLAIN" };
  core = await startTestCore({ users: ["alice", "bob"], clock, properties });
});
afterEach(async () => {
  XmppClient.dropAll();
  clock.pass(3_600_000);
  await expect.poll(() => core.server.clients.size, { timeout: 10_000 }).toBe(0);
});
afterAll(() => core.close());

const connect = () => XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
const encode = (data: string | Buffer) => Buffer.from(data).toString("base64");
const fast = (attributes = "") => `<fast xmlns='${sasl2.fast}' ${attributes}/>`;

/** A token for a device of alice's, and the element by which it logs in. */
async function recorded(
  mechanism: string,
  attributes = "",
): Promise<{ token: string; element: string; on: XmppClient }> {
  const first = await authenticate(await connect(), { user: "alice", agent: phone, inside: requestToken(mechanism) });
  const token = tokenOf(first) ?? "";
  const on = await connect();
  const message = tokenMessage(on, "alice", mechanism, token);
  const login = { user: "alice", agent: phone, inside: fast(attributes) + bindElement() };
  return { token, element: authenticateElement(mechanism, message, login), on };
}
async function replay(element: string): Promise<string> {
  const client = await connect();
  client.send(element);
  return condition(await client.next((one) => one.getNS() === sasl2.sasl2, "outcome"));
}

test.each(["HT-SHA-256-EXPR"])(
  "a login by %s that somebody recorded is of no use on another connection",
  async (mechanism) => {
    const { element, on } = await recorded(mechanism);
    on.send(element);
    expect(condition(await on.next("success"))).toBe("success");
    expect(await replay(element)).toBe("not-authorized");
  },
);

test("a counted one is of no use a second time, however loosely it is bound", async () => {
  for (const mechanism of ["HT-SHA-256-ENDP", "HT-SHA-256-NONE"]) {
    const { element, on, token } = await recorded(mechanism, "count='10'");
    on.send(element);
    expect(condition(await on.next("success"))).toBe("success");
    expect(await replay(element)).toBe("credentials-expired");
    // Nor with another count in the same place of the same message: it is what the server compares, not what is signed.
    expect(await replay(element.replace("count='10'", "count='9'"))).toBe("credentials-expired");
    expect(await replay(element.replace("count='10'", ""))).toBe("credentials-expired");
    // The session of the one who was first is not disturbed by any of them.
    const legacy = { user: "alice", agent: phone, token, mechanism, fast: "count='11'" };
    expect(condition(await authenticate(await connect(), legacy))).toBe("success");
  }
});

test("it is of no use for another device, and disturbs the sessions of neither", async () => {
  const { element, on } = await recorded("HT-SHA-256-NONE");
  on.send(element);
  await on.next("success");
  expect(await replay(element.replace(phone, laptop))).toBe("not-authorized");
  expect(await replay(element.replace(`id='${phone}'`, ""))).toBe("malformed-request");
  expect(await replay(element.replace(/<user-agent.*<\/user-agent>/, ""))).toBe("malformed-request");
  await on.ping();
});

test("a SCRAM login that was recorded is of no use", async () => {
  const exchange = scram({ mechanism: "SCRAM-SHA-256", user: "alice", password: "alice" });
  const first = await connect();
  first.send(authenticateElement("SCRAM-SHA-256", exchange.first, { user: "alice" }));
  const challenge = await first.next("challenge");
  const final = await exchange.final(Buffer.from(challenge.getText(), "base64").toString());
  const response = `<response xmlns='${sasl2.sasl2}'>${encode(final)}</response>`;
  first.send(response);
  await first.next("success");
  const second = await connect();
  second.send(authenticateElement("SCRAM-SHA-256", exchange.first, { user: "alice" }));
  await second.next("challenge");
  second.send(response);
  expect(condition(await second.next("failure"))).toBe("not-authorized");
});

test("a response without an attempt, or to one that is over, ends the stream", async () => {
  const response = `<response xmlns='${sasl2.sasl2}'>${encode("c=biws,r=x,p=AAAA")}</response>`;
  const client = await connect();
  client.send(response);
  expect(await client.streamError()).toBe("policy-violation");
  const other = await connect();
  await authenticate(other, { user: "alice", password: "wrong" });
  other.send(response);
  expect(await other.streamError()).toBe("policy-violation");
});

test("attempts that are left half done hold nobody up, and are closed in time", async () => {
  const half = await Promise.all(Array.from({ length: 50 }, connect));
  for (const client of half) client.send(authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }));
  await Promise.all(half.map((client) => client.next("challenge")));
  expect(condition(await authenticate(await connect(), { user: "alice", agent: phone }))).toBe("success");
  clock.pass(120_000);
  for (const client of half) expect(await client.streamError()).toBe("connection-timeout");
});

test("who shows tokens that are none is slowed as with passwords, and locks nobody out for good", async () => {
  const message = encode(Buffer.concat([Buffer.from("bob\0"), Buffer.alloc(32)]));
  const element = authenticateElement("HT-SHA-256-NONE", Buffer.from(message, "base64"), {
    ...{ user: "bob", agent: laptop, inside: fast() },
  });
  const outcomes = new Set<string>();
  for (let guess = 0; guess < 5; guess++) outcomes.add(await replay(element));
  expect(outcomes).toEqual(new Set(["not-authorized"]));
  // The sixth waits for its turn.
  const waiting = await connect();
  waiting.send(element);
  const outcome = waiting.next("failure");
  await expect
    .poll(
      async () => {
        clock.pass(1000);
        return await Promise.race([
          outcome.then(() => "answered"),
          new Promise((resolve) => setImmediate(resolve, "waits")),
        ]);
      },
      { timeout: 20_000 },
    )
    .toBe("answered");
  clock.pass(3_600_000);
  expect(condition(await authenticate(await connect(), { user: "bob" }))).toBe("success");
});

/** Rows of one person's devices and tokens. */
function rows(): { devices: number; tokens: number } {
  const database = loadDriver().open(`${core.home}/core.db`, { readOnly: true });
  const count = (table: string) => Number(database.prepare(`SELECT count(*) FROM ${table}`).rows([])[0]?.[0]);
  try {
    return { devices: count("device"), tokens: count("login_token") };
  } finally {
    database.close();
  }
}

test("a token in two messages: one that is none locks nobody out, and one that is good is taken and counted", async () => {
  const begin = async (user: string, mechanism: string, message: (client: XmppClient) => Buffer) => {
    const client = await connect();
    const inside = fast("count='7'");
    client.send(authenticateElement(mechanism, undefined, { user, agent: phone, inside }));
    expect((await client.next("challenge")).getText()).toBe("");
    client.send(`<response xmlns='${sasl2.sasl2}'>${message(client).toString("base64")}</response>`);
    return condition(await client.next((one) => one.getNS() === sasl2.sasl2));
  };
  const mechanism = "HT-SHA-256-NONE";
  for (const user of ["alice", "nobody"]) {
    const guess = () => Buffer.concat([Buffer.from(`${user}\0`), randomBytes(32)]);
    expect(await begin(user, mechanism, guess)).toBe("not-authorized");
  }
  const success = await authenticate(await connect(), {
    ...{ user: "alice", mechanism: "PLAIN", agent: phone, inside: requestToken(mechanism) },
  });
  const token = tokenOf(success) ?? "";
  const good = (client: XmppClient) => tokenMessage(client, "alice", mechanism, token);
  expect(await begin("alice", mechanism, good)).toBe("success");
  expect(await begin("alice", mechanism, good)).toBe("credentials-expired");
  const again = { user: "alice", agent: phone, mechanism, token, fast: "count='8'" };
  expect(condition(await authenticate(await connect(), again))).toBe("success");
});

test("a hundred user agents of one person leave what fifty leave", async () => {
  const { accounts, names, storage } = core.server;
  const { devices } = core.server.core;
  const bob = accounts.get(names.primary.id, "bob");
  if (bob === undefined) throw new Error("no bob");
  // By the wire for some, by what the wire leads to for the rest.
  const seen = async () => {
    const agent = { id: randomUUID(), software: undefined, device: undefined };
    const issued = devices.issue(bob.id, devices.keyOf(bob.id, agent.id), {
      ...{ mechanism: "HT-SHA-256-NONE", password: "x", lifetimeMs: 1e9 },
    });
    await storage.write([...(await devices.seen(bob.id, agent)), ...issued.writes]);
  };
  for (let device = 0; device < mostDevices; device++) await seen();
  const before = rows();
  for (let device = 0; device < 50; device++) await seen();
  for (let device = 0; device < 3; device++)
    await authenticate(await connect(), {
      ...{ user: "bob", mechanism: "PLAIN", agent: randomUUID(), inside: requestToken("HT-SHA-256-NONE") },
    });
  const after = rows();
  expect(after.devices).toBe(before.devices);
  expect(after.devices).toBeLessThanOrEqual(mostDevices + 2);
  expect(after.tokens).toBeLessThanOrEqual(2 * (mostDevices + 2));
});

test("a user agent that talks too much is cut, what nobody knows is passed over, and what is too large ends the stream", async () => {
  const client = await connect();
  const long = "x".repeat(3000);
  const agent = `<user-agent id='${phone}'><software>${long}</software><device>${long}</device><x xmlns='urn:x'/></user-agent>`;
  client.send(
    authenticateElement("PLAIN", "\0alice\0alice", {
      user: "alice",
      inside: `${agent}${"<y xmlns='urn:y'/>".repeat(8)}`,
    }),
  );
  expect(condition(await client.next("success"))).toBe("success");
  const alice = core.server.accounts.get(core.server.names.primary.id, "alice");
  for (const { software = "", device = "" } of await core.server.core.devices.of(alice?.id ?? 0))
    expect([software.length <= 100, device.length <= 100]).toEqual([true, true]);
  const larger = await connect();
  larger.send(
    authenticateElement("PLAIN", "\0alice\0alice", { user: "alice", inside: `<x>${"y".repeat(20_000)}</x>` }),
  );
  expect(await larger.streamError()).toBe("policy-violation");
});

test.each([
  "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>AA==</initial-response><fast xmlns='urn:xmpp:fast:0'/></authenticate>",
  `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><user-agent id='${phone}'/><fast xmlns='urn:xmpp:fast:0'/></authenticate>`,
  `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>AGEA</initial-response><user-agent id='${phone}'/><fast xmlns='urn:xmpp:fast:0'/></authenticate>`,
  `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-UNIQ'><initial-response>AGEA</initial-response><user-agent id='${phone}'/><fast xmlns='urn:xmpp:fast:0'/></authenticate>`,
  "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>&#x200B;</initial-response></authenticate>",
  "<authenticate xmlns='urn:xmpp:sasl:2' mechanism=''><bind xmlns='urn:xmpp:bind:0'/></authenticate>",
])("%s lets nobody in and breaks nothing", async (element) => {
  const client = await connect();
  client.send(element);
  const outcome: Element = await client.next((one) => one.getNS() === sasl2.sasl2, "outcome");
  expect(["failure", "challenge"]).toContain(outcome.getName());
  expect(condition(await authenticate(await connect(), { user: "alice" }))).toBe("success");
});
