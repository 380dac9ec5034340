/** Passwords judged by a real directory, over TLS; alice by LDAP, bob by the store, ghost in the directory only. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type LoginRefused, XmppClient } from "../support/xmpp-client.ts";
import { type LdapServer, missingLdap, startLdap } from "./ldap-server.ts";

if (missingLdap !== undefined) console.warn(`skipped: ${missingLdap}`);

const people = [
  { uid: "alice", password: "alice's in the directory" },
  { uid: "ghost", password: "ghost's" },
  { uid: "a,b", password: "comma's" },
  { uid: "star*", password: "star's" },
  { uid: "pa(ren)", password: "paren's" },
  { uid: "ümlaut", password: "Grüße ☺" },
];

describe.skipIf(missingLdap !== undefined)("slapd", () => {
  let directory: LdapServer;
  let core: TestCore;
  let agent: TestAgent;
  beforeAll(async () => {
    directory = await startLdap(people);
    core = await startTestCore({ users: ["bob"] });
    agent = await connectAgent(core);
    for (const name of ["alice", "a,b", "star*", "pa(ren)", "ümlaut", "nosuch"])
      await agent.apply({ kind: "account-set", account: { name, enabled: true, passwordFrom: "ldap" } });
    await agent.set({ "firekeeper.auth.timeout": "3000", "firekeeper.auth.failures-per-minute": "50" });
    await agent.set({ "firekeeper.client.trusted-networks": "127.0.0.0/8", "firekeeper.auth.cache.seconds": "0" });
  });
  afterEach(() => XmppClient.dropAll());
  afterAll(async () => {
    await agent.target.close();
    await core.close();
    await directory.close();
  });

  const condition = (user: string, password: string) =>
    core.login(user, { password, mechanism: "PLAIN" }).then(
      () => "in",
      (error: LoginRefused) => error.condition,
    );
  const failing = async (name: string, password?: string) => {
    const checks = (await agent.target.checkLogin?.({ name, ...(password === undefined ? {} : { password }) })) ?? [];
    return checks.filter(({ ok }) => !ok).map(({ check, detail }) => `${check}: ${detail}`);
  };
  const byName = () => ({
    "firekeeper.auth.ldap.url": `ldaps://localhost:${directory.tlsPort}`,
    "firekeeper.auth.tls.ca": directory.ca,
    "firekeeper.auth.ldap.bind-dn": `uid=%,ou=people,${directory.base}`,
    "firekeeper.auth.ldap.search-base": null,
  });
  const bySearch = () => ({
    ...byName(),
    "firekeeper.auth.ldap.bind-dn": null,
    "firekeeper.auth.ldap.search-base": `ou=people,${directory.base}`,
    "firekeeper.auth.ldap.account": directory.reader.dn,
    "firekeeper.auth.ldap.account-password": directory.reader.password,
  });

  describe.each([
    ["bound by name", byName],
    ["searched", bySearch],
  ])("%s", (_, settings) => {
    test("alice by the directory, bob by the store, ghost not at all", async () => {
      await agent.set(settings());
      expect(await condition("alice", "alice's in the directory")).toBe("in");
      expect(await condition("ALICE@localhost", "alice's in the directory")).toBe("in");
      expect(await condition("alice", "wrong")).toBe("not-authorized");
      expect(await condition("bob", "bob")).toBe("in");
      expect(await condition("bob", "alice's in the directory")).toBe("not-authorized");
      expect(await condition("ghost", "ghost's")).toBe("not-authorized");
      expect(await condition("nosuch", "whatever")).toBe("not-authorized");
      expect(await failing("alice", "alice's in the directory")).toEqual([]);
      expect(await failing("ghost", "ghost's")).toEqual(["account: There is no account ghost on the server."]);
      expect(await failing("alice", "wrong")).toEqual(["password: The password is wrong."]);
    });

    test("a name is never taken for more than a name", async () => {
      await agent.set(settings());
      for (const { uid, password } of people.slice(2))
        expect([uid, await condition(uid, password)]).toEqual([uid, "in"]);
      expect(await condition("star*", "alice's in the directory")).toBe("not-authorized");
      const { accounts, names, storage, handlers } = core.server;
      expect(handlers.length).toBeGreaterThan(0);
      for (const name of ["*", "alice)(uid=*", "alice,ou=people", "al*", "\\2a", "alice\\", "#alice", "a+uid=alice"]) {
        const facts = { name, hostId: undefined, displayName: undefined, email: undefined, enabled: true };
        const made = accounts.create(
          names.primary,
          { ...facts, origin: "host", keptUntil: undefined, probe: false },
          Date.now(),
        );
        await storage.write([
          ...made.writes,
          ...accounts.setCredentials(made.account, { passwordFrom: "ldap" }, "test"),
        ]);
        for (const { password } of people)
          expect([name, await condition(name, password)]).toEqual([name, "not-authorized"]);
        await storage.write(accounts.remove(made.account));
      }
    });

    test("the directory killed: a failure for the time being, never the person's; back again, it judges", async () => {
      await agent.set(settings());
      expect(await condition("alice", "alice's in the directory")).toBe("in");
      await directory.stop();
      expect(await condition("alice", "alice's in the directory")).toBe("temporary-auth-failure");
      expect(await condition("alice", "unheard of")).toBe("temporary-auth-failure");
      expect(await condition("bob", "bob")).toBe("in");
      expect((await failing("alice", "alice's in the directory"))[0]).toContain("gives no answer");
      await agent.set({ "firekeeper.auth.cache.outage-seconds": "3600" });
      expect(await condition("alice", "alice's in the directory")).toBe("in");
      await agent.set({ "firekeeper.auth.cache.outage-seconds": null });
      await directory.start();
      expect(await condition("alice", "alice's in the directory")).toBe("in");
      expect(await condition("alice", "wrong too")).toBe("not-authorized");
    });
  });

  test("StartTLS; a certificate of an authority nobody named is not taken; a wrong account of ours is our trouble", async () => {
    const plain = { "firekeeper.auth.ldap.url": `ldap://localhost:${directory.port}` };
    await agent.set({ ...byName(), ...plain });
    expect(await condition("alice", "alice's in the directory")).toBe("in");
    await agent.set({ ...plain, "firekeeper.auth.tls.ca": null });
    expect(await condition("alice", "alice's in the directory")).toBe("temporary-auth-failure");
    await agent.set({ ...byName(), "firekeeper.auth.tls.ca": null });
    expect(await condition("alice", "alice's in the directory")).toBe("temporary-auth-failure");
    await agent.set({ ...bySearch(), "firekeeper.auth.ldap.account-password": "another" });
    expect(await condition("alice", "alice's in the directory")).toBe("temporary-auth-failure");
    await agent.set({
      ...byName(),
      "firekeeper.auth.ldap.starttls": "false",
      "firekeeper.auth.ldap.url": "ldap://192.0.2.1",
    });
    expect((await failing("alice", "x"))[0]).toContain("needs firekeeper.auth.ldap.starttls");
    await agent.set({ "firekeeper.auth.ldap.starttls": null });
  });
});
