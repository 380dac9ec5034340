import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";
import { credentialsOf, startTestCore, type TestCore } from "../support/core.ts";
import { authenticate, authenticateElement, condition, phone, requestToken, sasl2, tokenOf } from "../support/sasl2.ts";
import { scram } from "../support/scram-client.ts";
import { ns } from "../support/stanzas.ts";
import { holdsPassword, type StrippingProxy, strip, strippingProxy } from "../support/stripping-proxy.ts";
import { type Where, XmppClient } from "../support/xmpp-client.ts";

/**
 * Somebody sits between a client and the server, with a certificate that the client takes, and hides what would make
 * the login strong. No password crosses, and who binds the login to the connection, or looks at what the server signed,
 * does not get in through him. XEP-0440, XEP-0474; RFC 5802 §6
 */

const password = "a long secret of alice";
let core: TestCore;
let identity: { key: string; cert: string };
const proxies: StrippingProxy[] = [];
beforeAll(async () => {
  core = await startTestCore({ users: ["alice"] });
  const { accounts, names, storage } = core.server;
  const alice = accounts.get(names.primary.id, "alice");
  if (alice === undefined) throw new Error("no alice");
  await storage.write(accounts.setCredentials(alice, await credentialsOf(password), "long"));
  const key = newKey();
  identity = { key, cert: await selfSigned({ domain: core.domain, extra: [] }, key, new Date()) };
});
afterEach(() => {
  XmppClient.dropAll();
  for (const proxy of proxies.splice(0)) {
    expect(holdsPassword(proxy.heard(), "alice", password)).toBe(false);
    proxy.close();
  }
});
afterAll(() => core.close());

async function through(changes: Parameters<typeof strippingProxy>[2], more: Partial<Where> = {}): Promise<XmppClient> {
  const proxy = await strippingProxy({ host: "127.0.0.1", port: core.port }, identity, changes);
  proxies.push(proxy);
  return XmppClient.connect({ host: "127.0.0.1", port: proxy.port, domain: core.domain, ...more });
}
const login = (client: XmppClient, more: Partial<Parameters<typeof authenticate>[1]> = {}) =>
  authenticate(client, { user: "alice", password, ...more });
const offered = (client: XmppClient) =>
  (client.features?.getChild("authentication", sasl2.sasl2)?.getChildren("mechanism") ?? []).map((one) =>
    one.getText(),
  );

test("the test would notice a password", () => {
  for (const said of [password, `\0alice\0${password}`])
    expect(holdsPassword(`<auth>${Buffer.from(said).toString("base64")}</auth>`, "alice", password)).toBe(true);
});

describe("starttls is hidden", () => {
  test("then there is nothing to log in with, and whoever tries all the same is refused before a secret is said", async () => {
    const client = await through([strip.startTls], { tls: "none" });
    expect(client.features?.getChild("starttls", ns.tls)).toBeUndefined();
    expect(client.features?.getChild("mechanisms", ns.sasl)).toBeUndefined();
    const { first } = scram({ mechanism: "SCRAM-SHA-1", user: "alice", password });
    client.send(`<auth xmlns='${ns.sasl}' mechanism='SCRAM-SHA-1'>${Buffer.from(first).toString("base64")}</auth>`);
    expect((await client.next("failure")).getChild("encryption-required")).toBeDefined();
  });

  test("the newer profile is not even listened to", async () => {
    const client = await through([strip.startTls], { tls: "none" });
    client.send(authenticateElement("SCRAM-SHA-1", "n,,n=alice,r=abc", { user: "alice" }));
    expect(await client.streamError()).toBe("not-authorized");
  });
});

describe("a client that binds its login", () => {
  test.each(["tls-exporter", "tls-server-end-point"] as const)("by %s does not get in through him", async (binding) => {
    const client = await through([]);
    expect(offered(client)).toContain("SCRAM-SHA-256-PLUS");
    expect(condition(await login(client, { binding }))).toBe("not-authorized");
  });

  test("and finds no -PLUS says so, and is refused", async () => {
    const client = await through([strip.plus]);
    expect(offered(client)).toEqual(["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"]);
    expect(condition(await login(client, { mechanism: "SCRAM-SHA-512", header: "y,," }))).toBe("not-authorized");
  });

  test("the same in the older profile, where the newer one is hidden too", async () => {
    const client = await through([strip.sasl2, strip.plus]);
    expect(offered(client)).toEqual([]);
    const exchange = scram({ mechanism: "SCRAM-SHA-256", user: "alice", password, header: "y,," });
    const first = Buffer.from(exchange.first).toString("base64");
    client.send(`<auth xmlns='${ns.sasl}' mechanism='SCRAM-SHA-256'>${first}</auth>`);
    expect((await client.next("failure")).getChild("not-authorized")).toBeDefined();
  });

  test("sees -PLUS without the types to bind, which no server of ours says: XEP-0440 §3", async () => {
    const client = await through([strip.bindingTypes]);
    expect(offered(client)).toContain("SCRAM-SHA-256-PLUS");
    expect(client.features?.getChild("sasl-channel-binding", ns.cb)).toBeUndefined();
    expect(condition(await login(client))).toBe("not-authorized");
  });
});

describe("a client that binds nothing", () => {
  /** Looks at what the server signed, as XEP-0474 §5.2 wants it; the answer to the server's first message. */
  async function first(client: XmppClient) {
    const exchange = scram({ mechanism: "SCRAM-SHA-1", user: "alice", password });
    client.send(authenticateElement("SCRAM-SHA-1", exchange.first, { user: "alice" }));
    const challenge = Buffer.from((await client.next("challenge")).getText(), "base64").toString();
    const types = (client.features?.getChild("sasl-channel-binding", ns.cb)?.getChildren("channel-binding") ?? []).map(
      ({ attrs }): string => attrs.type,
    );
    const seen = [offered(client).sort().join("\x1e"), ...(types.length > 0 ? [types.sort().join("\x1e")] : [])];
    const hash = createHash("sha1").update(seen.join("\x1f")).digest("base64");
    return { exchange, challenge, hash, agrees: challenge.endsWith(`,h=${hash}`) };
  }

  test("sees that nothing was hidden", async () => {
    expect((await first(await through([]))).agrees).toBe(true);
  });

  test.each([
    ["strong mechanisms", [strip.strong]],
    ["-PLUS", [strip.plus]],
    ["types of bindings", [strip.bindingTypes]],
  ] as const)("sees that %s were hidden, and goes no further", async (_what, changes) => {
    expect((await first(await through([...changes]))).agrees).toBe(false);
  });

  test("is refused by the server if he changes what it signed", async () => {
    const client = await through([strip.strong, strip.plus]);
    const { exchange, challenge, hash } = await first(client);
    const forged = challenge.replace(/,h=.*$/, `,h=${hash}`);
    const final = Buffer.from(await exchange.final(forged)).toString("base64");
    client.send(`<response xmlns='${sasl2.sasl2}'>${final}</response>`);
    expect(condition(await client.next("failure"))).toBe("not-authorized");
  });
});

test("a token that is bound to the connection is of no use through him", async () => {
  const direct = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });
  for (const mechanism of ["HT-SHA-256-EXPR", "HT-SHA-256-ENDP"]) {
    const success = await authenticate(await XmppClient.connect(direct.where), {
      user: "alice",
      password,
      agent: phone,
      inside: requestToken(mechanism),
    });
    const token = tokenOf(success) ?? "";
    const outcome = await authenticate(await through([]), { user: "alice", token, mechanism, agent: phone });
    expect(condition(outcome)).toBe("not-authorized");
  }
});
