import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { authenticate, authenticateElement, condition, phone, sasl2 } from "../support/sasl2.ts";
import { ns } from "../support/stanzas.ts";
import { type Where, XmppClient } from "../support/xmpp-client.ts";

/** Logging in by XEP-0388, on one stream and without a restart. */

let core: TestCore;
let clock: ManualClock;
beforeAll(async () => {
  clock = manualClock();
  const properties = { "xmpp.client.idle": "-1" };
  core = await startTestCore({ domain: "chat.example", users: ["alice", "bob"], clock, properties });
});
afterEach(async () => {
  XmppClient.dropAll();
  await core.set({ "sasl.mechs": null, "xmpp.client.tls.policy": null, "stream.management.active": null });
  clock.pass(3_600_000);
});
afterAll(() => core.close());

const connect = (more: Partial<Where> = {}) =>
  XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "chat.example", ...more });
const authentication = (client: XmppClient) => client.features?.getChild("authentication", sasl2.sasl2);
const texts = (client: XmppClient) =>
  (authentication(client)?.getChildren("mechanism") ?? []).map((one) => one.getText());

describe("what is offered", () => {
  test("the mechanisms of the other profile, with their bindings, and what can be done inline", async () => {
    const client = await connect();
    const legacy = client.features?.getChild("mechanisms", ns.sasl)?.getChildren("mechanism") ?? [];
    expect(texts(client)).toEqual(legacy.map((one) => one.getText()));
    expect(texts(client)).toContain("SCRAM-SHA-256-PLUS");
    const types = client.features?.getChild("sasl-channel-binding", ns.cb)?.getChildren("channel-binding") ?? [];
    expect(types.map(({ attrs }) => attrs.type)).toEqual(["tls-exporter", "tls-server-end-point"]);
    const inline = authentication(client)?.getChild("inline");
    expect(inline?.getChildElements().map((one) => [one.getName(), one.getNS()])).toEqual([
      ["bind", sasl2.bind],
      ["sm", sasl2.sm],
      ["fast", sasl2.fast],
    ]);
    const vars = inline?.getChild("bind", sasl2.bind)?.getChild("inline")?.getChildren("feature") ?? [];
    expect(vars.map(({ attrs }) => attrs.var)).toEqual(expect.arrayContaining(["urn:xmpp:carbons:2", sasl2.sm]));
    const tokens = inline?.getChild("fast", sasl2.fast)?.getChildren("mechanism") ?? [];
    expect(tokens.map((one) => one.getText())).toEqual(["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"]);
  });

  test("TLS 1.2 has no exporter: nothing that needs one is offered", async () => {
    const client = await connect({ maxVersion: "TLSv1.2" });
    const types = client.features?.getChild("sasl-channel-binding", ns.cb)?.getChildren("channel-binding") ?? [];
    expect(types.map(({ attrs }) => attrs.type)).toEqual(["tls-server-end-point"]);
    const tokens = authentication(client)?.getChild("inline")?.getChild("fast", sasl2.fast);
    expect(tokens?.getChildren("mechanism").map((one) => one.getText())).toEqual([
      "HT-SHA-256-ENDP",
      "HT-SHA-256-NONE",
    ]);
  });

  test("nothing before TLS, whatever the policy says", async () => {
    await core.set({ "xmpp.client.tls.policy": "optional" });
    const client = await connect({ tls: "none" });
    expect(client.features?.getChild("mechanisms", ns.sasl)).toBeDefined();
    expect(authentication(client)).toBeUndefined();
    client.send(authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }));
    expect(await client.streamError()).toBe("not-authorized");
  });

  test("never a list of types without -PLUS", async () => {
    await core.set({ "sasl.mechs": "SCRAM-SHA-256" });
    const client = await connect();
    expect(texts(client)).toEqual(["SCRAM-SHA-256"]);
    expect(client.features?.getChild("sasl-channel-binding", ns.cb)).toBeUndefined();
  });

  test("no stream management where it is off", async () => {
    await core.set({ "stream.management.active": "false" });
    expect((await connect()).features?.toString()).not.toContain(sasl2.sm);
  });
});

describe("success", () => {
  test.each(["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-512-PLUS"])("%s", async (mechanism) => {
    const client = await connect();
    const success = await authenticate(client, { user: "alice", mechanism });
    expect(success.getChildText("authorization-identifier")).toBe("alice@chat.example");
    // No restart: features come on the same stream, and an older client's bind works on it.
    const features = await client.next("features");
    expect(features.getChild("bind", ns.bind)).toBeDefined();
    expect(features.getChild("sm", sasl2.sm)).toBeDefined();
    expect(await client.bind("desk")).toBe("alice@chat.example/desk");
    await client.ping();
  });

  test.each(["alice@chat.example", "Alice@CHAT.Example", "ALICE"])("as %s", async (user) => {
    await core.set({ "sasl.mechs": "PLAIN,SCRAM-SHA-256" });
    for (const mechanism of ["PLAIN", "SCRAM-SHA-256"]) {
      const success = await authenticate(await connect(), { user, password: "alice", mechanism });
      expect(success.getChildText("authorization-identifier")).toBe("alice@chat.example");
    }
  });

  test("without an initial response, and with what nobody knows beside it", async () => {
    await core.set({ "sasl.mechs": "PLAIN" });
    const client = await connect();
    client.send(authenticateElement("PLAIN", undefined, { user: "alice", inside: "<frob xmlns='urn:x'/><inline/>" }));
    expect((await client.next("challenge")).getText()).toBe("");
    client.send(`<response xmlns='${sasl2.sasl2}'>${Buffer.from("\0alice\0alice").toString("base64")}</response>`);
    expect(condition(await client.next("success"))).toBe("success");
  });

  test("what is sent behind <authenticate/> waits for its success", async () => {
    await core.set({ "sasl.mechs": "PLAIN" });
    const client = await connect();
    const bind = `<iq type='set' id='b'><bind xmlns='${ns.bind}'><resource>p</resource></bind></iq>`;
    client.send(authenticateElement("PLAIN", "\0alice\0alice", { user: "alice" }) + bind);
    await client.next("success");
    expect((await client.next("iq")).getChild("bind", ns.bind)?.getChildText("jid")).toBe("alice@chat.example/p");
  });
});

describe("failure", () => {
  test("a wrong password, then the right one on the same stream", async () => {
    const client = await connect();
    expect(condition(await authenticate(client, { user: "alice", password: "wrong" }))).toBe("not-authorized");
    expect(condition(await authenticate(client, { user: "nobody" }))).toBe("not-authorized");
    expect(condition(await authenticate(client, { user: "alice" }))).toBe("success");
  });

  test.each([
    ["older", ns.sasl, `<auth xmlns='${ns.sasl}' mechanism='NONE'/>`],
    ["newer", sasl2.sasl2, authenticateElement("SCRAM-SHA-1", "y", { user: "alice" })],
  ])("four attempts a stream, in both profiles together, the last in the %s", async (_which, profile, last) => {
    const client = await connect();
    for (let attempt = 0; attempt < 3; attempt++) {
      client.send(authenticateElement("SCRAM-SHA-1", "y", { user: "alice" }));
      expect(condition(await client.next("failure"))).toBe("malformed-request");
    }
    client.send(last);
    expect((await client.next("failure")).getNS()).toBe(profile);
    expect(await client.streamError()).toBe("policy-violation");
  });

  test.each([
    ["invalid-mechanism", authenticateElement("PLAIN", "\0alice\0alice", { user: "alice" })],
    ["malformed-request", `<authenticate xmlns='${sasl2.sasl2}'/>`],
    [
      "incorrect-encoding",
      `<authenticate xmlns='${sasl2.sasl2}' mechanism='SCRAM-SHA-256'><initial-response>=</initial-response></authenticate>`,
    ],
    ["not-authorized", authenticateElement("SCRAM-SHA-256", "y,,n=alice,r=abc", { user: "alice" })],
  ])("%s", async (expected, element) => {
    const client = await connect();
    client.send(element);
    const failure = await client.next("failure");
    expect(failure.getNS()).toBe(sasl2.sasl2);
    expect(condition(failure)).toBe(expected);
  });

  test("<abort/> ends an attempt, and the next one may follow", async () => {
    const client = await connect();
    client.send(authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }));
    await client.next("challenge");
    client.send(`<abort xmlns='${sasl2.sasl2}'><text>no</text></abort>`);
    expect(condition(await client.next("failure"))).toBe("aborted");
    expect(condition(await authenticate(client, { user: "alice" }))).toBe("success");
  });

  test.each([
    `<presence/>`,
    `<auth xmlns='${ns.sasl}' mechanism='SCRAM-SHA-1'>bixhbGljZQ==</auth>`,
    authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }),
    `<next xmlns='${sasl2.sasl2}' task='UPGR-SCRAM-SHA-256'/>`,
  ])("%s in the middle of an attempt ends the stream", async (element) => {
    const client = await connect();
    client.send(authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }));
    await client.next("challenge");
    client.send(element);
    expect(await client.streamError()).toBe("policy-violation");
  });

  test("a second <authenticate/> after success ends the stream", async () => {
    const client = await connect();
    await authenticate(client, { user: "alice" });
    client.send(authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }));
    expect(await client.streamError()).toBe("not-authorized");
  });
});

describe("who the stream says it comes from", () => {
  test("is offered the same, and gets in", async () => {
    const client = await connect({ identity: "alice@chat.example" });
    const header = "n,a=alice@chat.example,";
    const success = await authenticate(client, { user: "alice", mechanism: "SCRAM-SHA-256", header });
    expect(condition(success)).toBe("success");
  });

  test("may not be somebody else than who logs in, if the client says whom it wants to be", async () => {
    const client = await connect({ identity: "bob@chat.example" });
    const header = "n,a=alice@chat.example,";
    expect(condition(await authenticate(client, { user: "alice", mechanism: "SCRAM-SHA-256", header }))).toBe(
      "invalid-authzid",
    );
  });

  test("may not be of another domain", async () => {
    const client = await connect({ identity: "alice@elsewhere.example" });
    client.send(authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }));
    expect(await client.streamError()).toBe("invalid-from");
  });
});

test("an account that is disabled is told so once it has proved its password", async () => {
  const bob = core.server.accounts.get(core.server.names.primary.id, "bob");
  if (bob === undefined) throw new Error("no bob");
  bob.enabled = false;
  try {
    const failure = await authenticate(await connect(), { user: "bob" });
    expect([condition(failure), failure.getChildText("text")]).toEqual([
      "account-disabled",
      "This account is disabled.",
    ]);
    expect(condition(await authenticate(await connect(), { user: "bob", password: "x" }))).toBe("not-authorized");
  } finally {
    bob.enabled = true;
  }
});

test("an orderly restart closes who is in the middle of it, and keeps who is in", async () => {
  const half = await connect();
  half.send(authenticateElement("SCRAM-SHA-256", "n,,n=alice,r=abc", { user: "alice" }));
  await half.next("challenge");
  const bound = await connect();
  await authenticate(bound, { user: "alice", agent: phone, inside: `<bind xmlns='${sasl2.bind}'/>` });
  await core.restart();
  await half.ended;
  await bound.ping();
});

describe("after the domain has another name", () => {
  test("both names log in, each under its own view", async () => {
    await core.rename("new.example", null);
    for (const user of ["alice", "alice@chat.example", "alice@new.example"]) {
      for (const domain of ["chat.example", "new.example"]) {
        const client = await connect({ domain, identity: `alice@${domain}` });
        const success = await authenticate(client, { user, password: "alice" });
        expect(success.getChildText("authorization-identifier")).toBe(`alice@${domain}`);
      }
    }
  });
});
