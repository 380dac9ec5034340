import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** `xmpp.client.tls.policy` on both ports; a password is taken before TLS under none. RFC 6120 §5 */

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({
    users: ["alice"],
    properties: { "sasl.mechs": "SCRAM-SHA-256-PLUS,SCRAM-SHA-256,SCRAM-SHA-1,PLAIN" },
  });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const clear = (port = core.port) => XmppClient.connect({ host: "127.0.0.1", port, domain: "localhost", tls: "none" });
const offered = (client: XmppClient) =>
  (client.features?.getChild("mechanisms", ns.sasl)?.getChildren("mechanism") ?? []).map((one) => one.getText());
const startTls = (client: XmppClient) => client.features?.getChild("starttls", ns.tls);
const secured = async () => {
  for (const how of [{}, { port: core.directPort, tls: "direct" as const }])
    for (const mechanism of ["SCRAM-SHA-256-PLUS", "PLAIN"])
      await (await core.login("alice", { ...how, mechanism })).ping();
};

describe.each([
  ["5222", () => core.port],
  ["5223", () => core.directPort],
])("in clear on %s", (_name, port) => {
  test("required: STARTTLS and nothing else", async () => {
    await core.set({ "xmpp.client.tls.policy": "required" });
    const client = await clear(port());
    expect(startTls(client)?.getChild("required")).toBeDefined();
    expect(client.features?.getChildElements()).toHaveLength(1);
    client.send("<message to='alice@localhost'/>");
    expect(await client.streamError()).toBe("not-authorized");
  });

  test("optional: SCRAM without binding, never PLAIN, and STARTTLS for who wants it", async () => {
    await core.set({ "xmpp.client.tls.policy": "optional" });
    const client = await clear(port());
    expect(offered(client)).toEqual(["SCRAM-SHA-256", "SCRAM-SHA-1"]);
    expect(startTls(client)).toBeDefined();
    expect(startTls(client)?.getChild("required")).toBeUndefined();
    await client.authenticate({ ...client.where, user: "alice", password: "alice" });
    await client.bind();
    await client.ping();
    await (await core.login("alice", { port: port() })).ping();
  });

  test("disabled: SCRAM without binding, no STARTTLS, also for who asks unbidden", async () => {
    await core.set({ "xmpp.client.tls.policy": "disabled" });
    const client = await clear(port());
    expect(offered(client)).toEqual(["SCRAM-SHA-256", "SCRAM-SHA-1"]);
    expect(startTls(client)).toBeUndefined();
    client.send(`<starttls xmlns='${ns.tls}'/>`);
    expect((await client.next("failure")).getNS()).toBe(ns.tls);
    expect((await client.ended).streamEnded).toBe(true);
    const other = await clear(port());
    await other.authenticate({ ...other.where, user: "alice", password: "alice" });
  });
});

test("inside of TLS all mechanisms are offered and no STARTTLS", async () => {
  await core.set({ "xmpp.client.tls.policy": "required" });
  await secured();
  const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "localhost" });
  expect(offered(client)).toEqual(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]);
  expect(startTls(client)).toBeUndefined();
});

test("a policy that becomes strict counts for the next login, and throws nobody out", async () => {
  await core.set({ "xmpp.client.tls.policy": "optional" });
  const inside = await clear();
  await inside.authenticate({ ...inside.where, user: "alice", password: "alice" });
  await inside.bind();
  const waiting = await clear();
  await core.set({ "xmpp.client.tls.policy": "required" });
  await inside.ping();
  expect(offered(await clear())).toEqual([]);
  await expect(waiting.authenticate({ ...waiting.where, user: "alice", password: "alice" })).rejects.toThrow(
    "encryption-required",
  );
});
