import { createHash, pbkdf2Sync } from "node:crypto";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { offerHash } from "../../xmpp-core/auth/downgrade.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import {
  authenticate,
  authenticateElement,
  bindElement,
  bindingOf,
  condition,
  phone,
  requestToken,
  sasl2,
  tokenOf,
} from "../support/sasl2.ts";
import { scram } from "../support/scram-client.ts";
import { ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** Nobody on the way makes a login weaker than both sides would have it: XEP-0474; and stronger keys come by and by: XEP-0480. */

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ domain: "chat.example", users: ["alice", "bob"] });
});
afterEach(async () => {
  XmppClient.dropAll();
  await core.set({ "sasl.mechs": null, "firekeeper.sasl.plain-alone": null });
});
afterAll(() => core.close());

const connect = () => XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "chat.example" });
const encode = (text: string | Buffer) => Buffer.from(text).toString("base64");
const decode = (element: Element) => Buffer.from(element.getText(), "base64").toString();
const mechanismsOf = (client: XmppClient) =>
  (client.features?.getChild("authentication", sasl2.sasl2)?.getChildren("mechanism") ?? []).map((one) =>
    one.getText(),
  );
const typesOf = (client: XmppClient) =>
  (client.features?.getChild("sasl-channel-binding", ns.cb)?.getChildren("channel-binding") ?? []).map(
    ({ attrs }): string => attrs.type,
  );

/** What a client computes from the features it was shown. */
function expectedHash(digest: string, mechanisms: readonly string[], types: readonly string[]): string {
  const sorted = (list: readonly string[]) => [...list].sort().join("\x1e");
  const text = types.length === 0 ? sorted(mechanisms) : `${sorted(mechanisms)}\x1f${sorted(types)}`;
  return createHash(digest).update(text).digest("base64");
}

describe("XEP-0474", () => {
  test("the example of the specification", () => {
    const mechanisms = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"];
    const bindingTypes = ["tls-server-end-point", "tls-exporter"] as const;
    expect(offerHash({ mechanisms, bindingTypes }, "sha1")).toBe("G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    expect(offerHash({ mechanisms, bindingTypes: [] }, "sha1")).toBe(expectedHash("sha1", mechanisms, []));
  });

  test.each([
    ["SCRAM-SHA-1", "sha1"],
    ["SCRAM-SHA-256-PLUS", "sha256"],
    ["SCRAM-SHA-512", "sha512"],
  ])("%s: the hash of what was offered stands last", async (mechanism, digest) => {
    const client = await connect();
    await authenticate(client, { user: "alice", mechanism });
    const challenge = /<challenge xmlns="urn:xmpp:sasl:2">([^<]+)</.exec(client.transcript())?.[1] ?? "";
    const first = Buffer.from(challenge, "base64").toString();
    expect(first).toMatch(/^r=[^,]+,s=[^,]+,i=\d+,h=[^,]+$/);
    expect(first.split(",h=")[1]).toBe(expectedHash(digest, mechanismsOf(client), typesOf(client)));
  });

  test("without channel binding the hash is over the mechanisms alone", async () => {
    await core.set({ "sasl.mechs": "SCRAM-SHA-1,SCRAM-SHA-256" });
    const client = await connect();
    await authenticate(client, { user: "alice", mechanism: "SCRAM-SHA-1" });
    const challenge = /<challenge xmlns="urn:xmpp:sasl:2">([^<]+)</.exec(client.transcript())?.[1] ?? "";
    const [, hash] = Buffer.from(challenge, "base64").toString().split(",h=");
    expect(hash).toBe(expectedHash("sha1", ["SCRAM-SHA-1", "SCRAM-SHA-256"], []));
  });

  test("a hash that was changed on its way makes the server refuse", async () => {
    const client = await connect();
    const exchange = scram({ mechanism: "SCRAM-SHA-256", user: "alice", password: "alice" });
    client.send(authenticateElement("SCRAM-SHA-256", exchange.first, { user: "alice" }));
    const real = decode(await client.next("challenge"));
    const forged = real.replace(/,h=.*$/, `,h=${expectedHash("sha256", ["SCRAM-SHA-256"], [])}`);
    client.send(`<response xmlns='${sasl2.sasl2}'>${encode(await exchange.final(forged))}</response>`);
    expect(condition(await client.next("failure"))).toBe("not-authorized");
  });

  test("who thinks that there was no -PLUS is refused, in both profiles", async () => {
    for (const more of ["", "a=alice@chat.example"]) {
      const client = await connect();
      const header = `y,${more},`;
      expect(condition(await authenticate(client, { user: "alice", mechanism: "SCRAM-SHA-256", header }))).toBe(
        "not-authorized",
      );
      client.send(`<auth xmlns='${ns.sasl}' mechanism='SCRAM-SHA-256'>${encode("y,,n=alice,r=abc")}</auth>`);
      expect((await client.next("failure")).getChild("not-authorized")).toBeDefined();
    }
  });
});

/** Leaves somebody with the keys that a host gave for SHA-1 only. */
async function shaOneOnly(name: string): Promise<void> {
  const { accounts, names, storage } = core.server;
  const account = accounts.get(names.primary.id, name);
  const keys = account && (await accounts.credentials(account));
  if (account === undefined || keys?.sha1 === undefined) throw new Error(`no keys of ${name}`);
  await storage.write(accounts.setCredentials(account, { sha1: keys.sha1 }, `host:${name}:${Math.random()}`));
}
async function keysOf(name: string) {
  const { accounts, names } = core.server;
  const account = accounts.get(names.primary.id, name);
  return account && (await accounts.credentials(account));
}
const upgrade = (hash: string) => `<upgrade xmlns='${sasl2.upgrade}'>UPGR-SCRAM-${hash}</upgrade>`;
const offeredTasks = (client: XmppClient) =>
  (client.features?.getChild("authentication", sasl2.sasl2)?.getChildren("upgrade", sasl2.upgrade) ?? []).map((one) =>
    one.getText(),
  );

/** Does the task that the server asks for, as a client does; the server's next word. */
async function doTask(
  client: XmppClient,
  asked: Element,
  password: string,
  forge?: Buffer,
  between?: () => Promise<void>,
): Promise<Element> {
  const task = asked.getChild("tasks")?.getChildText("task") ?? "";
  client.send(`<next xmlns='${sasl2.sasl2}' task='${task}'/>`);
  const salt = (await client.next("task-data")).getChild("salt", sasl2.scram);
  const [digest, bytes] = task.endsWith("256") ? (["sha256", 32] as const) : (["sha512", 64] as const);
  await between?.();
  const iterations = Number(salt?.attrs.iterations);
  const salted = forge ?? pbkdf2Sync(password, Buffer.from(salt?.getText() ?? "", "base64"), iterations, bytes, digest);
  client.send(
    `<task-data xmlns='${sasl2.sasl2}'><hash xmlns='${sasl2.scram}'>${salted.toString("base64")}</hash></task-data>`,
  );
  return client.next((one) => one.getNS() === sasl2.sasl2, "outcome of the task");
}

describe("XEP-0480", () => {
  test("an account with SHA-1 keys alone gets the others, one task after the other, and its host is none the wiser", async () => {
    await shaOneOnly("alice");
    const { accounts, names } = core.server;
    const before = accounts.get(names.primary.id, "alice")?.credentialsHash;
    const client = await connect();
    expect(offeredTasks(client)).toEqual(["UPGR-SCRAM-SHA-256", "UPGR-SCRAM-SHA-512"]);
    const login = { user: "alice", mechanism: "SCRAM-SHA-1-PLUS", agent: phone };
    const inside = upgrade("SHA-256") + upgrade("SHA-512") + upgrade("SHA-1") + requestToken() + bindElement();
    const first = await authenticate(client, { ...login, inside });
    expect(first.getName()).toBe("continue");
    const second = await doTask(client, first, "alice");
    expect(second.getName()).toBe("continue");
    expect(second.getChild("additional-data")).toBeUndefined();
    const success = await doTask(client, second, "alice");
    expect(success.getName()).toBe("success");
    expect(success.getChild("additional-data")).toBeUndefined();
    expect(tokenOf(success)).toBeDefined();
    expect(success.getChild("bound", sasl2.bind)).toBeDefined();
    expect(Object.keys((await keysOf("alice")) ?? {}).filter((hash) => hash.startsWith("sha"))).toEqual([
      "sha1",
      "sha256",
      "sha512",
    ]);
    expect(accounts.get(names.primary.id, "alice")?.credentialsHash).toBe(before);
    await core.crash();
    for (const mechanism of ["SCRAM-SHA-256", "SCRAM-SHA-512-PLUS", "SCRAM-SHA-1"])
      expect(condition(await authenticate(await connect(), { user: "alice", mechanism }))).toBe("success");
    expect(offeredTasks(await connect())).toEqual([]);
  });

  test("only on a connection that the login is bound to, and only what is lacking", async () => {
    await shaOneOnly("bob");
    const inside = upgrade("SHA-256");
    const unbound = await authenticate(await connect(), { user: "bob", mechanism: "SCRAM-SHA-1", inside });
    expect(condition(unbound)).toBe("success");
    const has = await authenticate(await connect(), { user: "alice", mechanism: "SCRAM-SHA-1-PLUS", inside });
    expect(condition(has)).toBe("success");
  });

  test("not for mechanisms that are not allowed", async () => {
    await shaOneOnly("bob");
    await core.set({ "sasl.mechs": "SCRAM-SHA-1,SCRAM-SHA-1-PLUS,SCRAM-SHA-512" });
    expect(offeredTasks(await connect())).toEqual(["UPGR-SCRAM-SHA-512"]);
  });

  test("what is no key is refused, nothing is stored, and the next attempt goes well", async () => {
    await shaOneOnly("bob");
    const client = await connect();
    const login = { user: "bob", mechanism: "SCRAM-SHA-1-PLUS", inside: upgrade("SHA-256") };
    expect(condition(await doTask(client, await authenticate(client, login), "bob", Buffer.alloc(31)))).toBe(
      "malformed-request",
    );
    expect((await keysOf("bob"))?.sha256).toBeUndefined();
    expect(condition(await doTask(client, await authenticate(client, login), "bob"))).toBe("success");
    expect((await keysOf("bob"))?.sha256).toBeDefined();
  });

  test.each([
    ["another task", `<next xmlns='${sasl2.sasl2}' task='UPGR-SCRAM-SHA-512'/>`],
    ["data before the task began", `<task-data xmlns='${sasl2.sasl2}'/>`],
  ])("%s is refused, and nobody is in", async (_what, element) => {
    await shaOneOnly("bob");
    const client = await connect();
    await authenticate(client, { user: "bob", mechanism: "SCRAM-SHA-1-PLUS", inside: upgrade("SHA-256") });
    client.send(element);
    expect(condition(await client.next("failure"))).toBe("malformed-request");
    client.send("<presence/>");
    expect(await client.streamError()).toBe("not-authorized");
  });

  test("a password that changed meanwhile is not mixed with keys of the former one", async () => {
    await shaOneOnly("bob");
    const client = await connect();
    const login = { user: "bob", mechanism: "SCRAM-SHA-1-PLUS", inside: upgrade("SHA-256") };
    const asked = await authenticate(client, login);
    const { accounts, names, storage } = core.server;
    const bob = accounts.get(names.primary.id, "bob");
    const keys = await keysOf("bob");
    if (bob === undefined || keys === undefined) throw new Error("no bob");
    await storage.write(accounts.setCredentials(bob, { sha1: keys.sha1 }, "changed"));
    expect(condition(await doTask(client, asked, "bob"))).toBe("credentials-expired");
    expect((await keysOf("bob"))?.sha256).toBeUndefined();
    // The same once more, and this time the change falls between the salt and the answer to it.
    await shaOneOnly("bob");
    const late = await connect();
    const change = () => storage.write(accounts.setCredentials(bob, { sha1: keys.sha1 }, "changed again"));
    await doTask(late, await authenticate(late, login), "bob", undefined, change);
    expect((await keysOf("bob"))?.sha256).toBeUndefined();
  });

  test("an account that is disabled meanwhile does not get in by it", async () => {
    await shaOneOnly("bob");
    const client = await connect();
    const asked = await authenticate(client, {
      user: "bob",
      mechanism: "SCRAM-SHA-1-PLUS",
      inside: upgrade("SHA-256"),
    });
    const bob = core.server.accounts.get(core.server.names.primary.id, "bob");
    if (bob === undefined) throw new Error("no bob");
    bob.enabled = false;
    expect(condition(await doTask(client, asked, "bob"))).toBe("account-disabled");
    bob.enabled = true;
  });

  test("the binding is that of this very connection", async () => {
    const [one, other] = [await connect(), await connect()];
    expect(bindingOf(one, "tls-exporter").equals(bindingOf(other, "tls-exporter"))).toBe(false);
    const exchange = scram({
      ...{ mechanism: "SCRAM-SHA-256-PLUS", user: "alice", password: "alice" },
      binding: { type: "tls-exporter", data: bindingOf(other, "tls-exporter") },
    });
    one.send(authenticateElement("SCRAM-SHA-256-PLUS", exchange.first, { user: "alice" }));
    const challenge = decode(await one.next("challenge"));
    one.send(`<response xmlns='${sasl2.sasl2}'>${encode(await exchange.final(challenge))}</response>`);
    expect(condition(await one.next("failure"))).toBe("not-authorized");
  });
});
