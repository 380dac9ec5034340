/** Real clients behind somebody who hides what would make their login strong: no password crosses. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";
import { credentialsOf, startTestCore, type TestCore } from "../support/core.ts";
import { holdsPassword, type StrippingProxy, strip, strippingProxy } from "../support/stripping-proxy.ts";
import { slixmpp } from "./slixmpp.ts";

const password = "a long secret of alice";
const missing = await slixmpp.missing();
let core: TestCore;
let identity: { key: string; cert: string };
let proxy: StrippingProxy;

describe.skipIf(missing !== undefined)("slixmpp", () => {
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
    expect(proxy.heard()).toContain("<stream:stream");
    expect(holdsPassword(proxy.heard(), "alice", password)).toBe(false);
    proxy.close();
  });
  afterAll(() => core?.close());

  async function logIn(changes: Parameters<typeof strippingProxy>[2]): Promise<string> {
    proxy = await strippingProxy({ host: "127.0.0.1", port: core.port }, identity, changes);
    try {
      const client = await slixmpp.login({
        host: "127.0.0.1",
        port: proxy.port,
        domain: core.domain,
        user: "alice",
        password,
        once: true,
      });
      await client.stop();
      return "in";
    } catch (error) {
      return String(error);
    }
  }

  test("does not log in without TLS when starttls is hidden", async () => {
    // It waits for what never comes: the server ends that.
    await core.set({ "xmpp.client.preauth.timeout": "5000" });
    expect(await logIn([strip.startTls])).toContain("disconnected");
    await core.set({ "xmpp.client.preauth.timeout": null });
    expect(proxy.heard()).not.toContain("<auth");
  });

  test("does not get in through him with a -PLUS mechanism", async () => {
    expect(await logIn([])).toContain("failed_auth");
  });

  test("is refused where -PLUS is hidden from it, since it says that it could have bound", async () => {
    const outcome = await logIn([strip.plus, strip.bindingTypes]);
    expect(outcome).toContain("failed_auth");
  });
});
