import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { type FakeDirectory, fakeHttp, fakeLdap, fakePostgres } from "../support/fake-directories.ts";
import { LoginRefused } from "../support/xmpp-client.ts";
import type { Proof, World } from "./properties-world.ts";

const key = (rest: string) => `firekeeper.auth.${rest}`;

/** Makes the source the judge of alice's password for the time of `work`; her keys return behind it. */
async function judged(
  world: World,
  from: "ldap" | "sql" | "http",
  fake: FakeDirectory,
  work: (tried: (password: string) => Promise<string>) => Promise<void>,
): Promise<void> {
  const { accounts, names, storage } = world.core.server;
  const alice = accounts.get(names.primary.id, "alice");
  if (alice === undefined) throw new Error("no alice");
  const keys = await accounts.credentials(alice);
  const hash = alice.credentialsHash;
  await storage.write(accounts.setCredentials(alice, { passwordFrom: from }, `test:${from}`));
  const tried = async (password: string): Promise<string> => {
    // Each try is one of its own: nothing is remembered, nobody is slowed.
    world.pass(3600_000);
    try {
      await (await world.login("alice", { password, mechanism: "PLAIN" })).close();
      return "in";
    } catch (error) {
      return error instanceof LoginRefused ? error.condition : String(error);
    }
  };
  try {
    await work(tried);
  } finally {
    await storage.write(accounts.setCredentials(alice, keys, hash));
    await fake.close();
  }
}

const ldapAt = (fake: FakeDirectory) => ({
  [key("ldap.url")]: `ldap://127.0.0.1:${fake.port}`,
  [key("ldap.starttls")]: "false",
  [key("ldap.bind-dn")]: "uid=%,dc=example",
});
const searching = (fake: FakeDirectory) => ({
  ...ldapAt(fake),
  [key("ldap.bind-dn")]: null,
  [key("ldap.search-base")]: "ou=people,dc=example",
});

/** Sets what is proved beside the directory, and sees what the directory is asked. */
function asks(settings: (fake: FakeDirectory) => Record<string, string | null>, seen: string): Proof {
  return async (world) => {
    const fake = await fakeLdap();
    fake.right = "secret";
    await judged(world, "ldap", fake, async (tried) => {
      await world.set(searching(fake));
      await tried("secret");
      expect(fake.asked.join("")).not.toContain(seen);
      await world.set(settings(fake));
      expect(await tried("secret")).toBe("in");
      expect(fake.asked.join("")).toContain(seen);
    });
  };
}

async function withHttp(
  world: World,
  work: (tried: (password: string) => Promise<string>, fake: FakeDirectory) => Promise<void>,
): Promise<void> {
  const fake = await fakeHttp();
  fake.right = "secret";
  await judged(world, "http", fake, async (tried) => {
    world.pass(3600_000);
    await world.set({ [key("http.url")]: `http://127.0.0.1:${fake.port}/check` });
    await work(tried, fake);
  });
}

const asksSql =
  (more: Record<string, string>, before: string, after: string): Proof =>
  async (world) => {
    const fake = await fakePostgres();
    await judged(world, "sql", fake, async (tried) => {
      await world.set({
        [key("sql.url")]: `postgres://judge@127.0.0.1:${fake.port}/host`,
        [key("sql.query")]: "SELECT first FROM people WHERE login = :name",
      });
      expect(await tried("secret")).toBe("temporary-auth-failure");
      expect(fake.asked.join("")).toContain(before);
      expect(fake.asked.join("")).not.toContain(after);
      await world.set(more);
      expect(await tried("secret")).toBe("temporary-auth-failure");
      expect(fake.asked.join("")).toContain(after);
    });
  };

export const authProofs: Record<string, Proof> = {
  async "firekeeper.sasl.plain-alone"(world) {
    const fake = await fakeHttp();
    await judged(world, "http", fake, async () => {
      const offered = async () =>
        (await world.connect()).features
          ?.getChild("mechanisms")
          ?.getChildElements()
          .map((one) => one.text());
      expect(await offered()).toEqual(["PLAIN"]);
      await world.set({ "firekeeper.sasl.plain-alone": "never" });
      expect(await offered()).toEqual(expect.arrayContaining(["SCRAM-SHA-256-PLUS", "PLAIN"]));
    });
    expect((await world.connect()).features?.toString()).not.toContain("PLAIN");
  },
  async [key("ldap.url")](world) {
    const fake = await fakeLdap();
    fake.right = "secret";
    await judged(world, "ldap", fake, async (tried) => {
      await world.set({ ...ldapAt(fake), [key("ldap.url")]: "ldap://127.0.0.1:1" });
      expect(await tried("secret")).toBe("temporary-auth-failure");
      await world.set(ldapAt(fake));
      expect([await tried("secret"), await tried("other")]).toEqual(["in", "not-authorized"]);
    });
  },
  async [key("ldap.starttls")](world) {
    const fake = await fakeLdap();
    fake.right = "secret";
    await judged(world, "ldap", fake, async (tried) => {
      await world.set({ ...ldapAt(fake), [key("ldap.starttls")]: "true" });
      expect(await tried("secret")).toBe("temporary-auth-failure");
      // The directory knows no StartTLS: nothing secret was said to it.
      expect(fake.asked.join("")).not.toContain("secret");
      await world.set({ [key("ldap.starttls")]: "false" });
      expect(await tried("secret")).toBe("in");
    });
  },
  [key("ldap.bind-dn")]: asks(ldapAt, "uid=alice,dc=example"),
  [key("ldap.search-base")]: asks(
    (fake) => ({ ...searching(fake), [key("ldap.search-base")]: "ou=others" }),
    "ou=others",
  ),
  [key("ldap.search-filter")]: asks(() => ({ [key("ldap.search-filter")]: "(sAMAccountName=%)" }), "sAMAccountName"),
  [key("ldap.account")]: asks(() => ({ [key("ldap.account")]: "cn=reader" }), "cn=reader"),
  [key("ldap.account-password")]: asks(
    () => ({ [key("ldap.account")]: "cn=reader", [key("ldap.account-password")]: "r3ader" }),
    "r3ader",
  ),
  async [key("http.url")](world) {
    await withHttp(world, async (tried, fake) => {
      expect([await tried("secret"), await tried("other")]).toEqual(["in", "not-authorized"]);
      fake.right = undefined;
      expect(await tried("secret")).toBe("temporary-auth-failure");
    });
  },
  async [key("http.token")](world) {
    await withHttp(world, async (tried, fake) => {
      await tried("secret");
      await world.set({ [key("http.token")]: "t0ken" });
      await tried("secret");
      expect(fake.asked.map((line) => line.split(" {")[0])).toEqual(["-", "Bearer t0ken"]);
    });
  },
  [key("sql.url")]: async (world) => {
    const other = await fakePostgres();
    await asksSql(
      { [key("sql.url")]: `postgres://another@127.0.0.1:${other.port}/host` },
      "judge",
      "another",
    )(world).catch(() => undefined);
    expect(other.asked.join("")).toContain("another");
    await other.close();
  },
  [key("sql.query")]: asksSql(
    { [key("sql.query")]: "SELECT second FROM people WHERE login = :name" },
    "SELECT first FROM people WHERE login = $1",
    "SELECT second FROM people WHERE login = $1",
  ),
  [key("sql.password")]: asksSql({ [key("sql.password")]: "dbsecret" }, "judge", "dbsecret"),
  async [key("timeout")](world) {
    await withHttp(world, async (tried, fake) => {
      fake.silent = true;
      await world.set({ [key("timeout")]: "20" });
      expect(await tried("secret")).toBe("temporary-auth-failure");
      fake.silent = false;
      await world.set({ [key("timeout")]: "5000" });
      expect(await tried("secret")).toBe("in");
    });
  },
  async [key("tls.ca")](world) {
    const home = await mkdtemp(join(tmpdir(), "firekeeper-ca-"));
    await withHttp(world, async (tried) => {
      await world.set({ [key("tls.ca")]: join(home, "ca.pem") });
      // A file that is not there is the server's trouble; as soon as it is, it is read.
      expect(await tried("secret")).toBe("temporary-auth-failure");
      await writeFile(join(home, "ca.pem"), "");
      expect(await tried("secret")).toBe("in");
    });
    await rm(home, { recursive: true });
  },
  async [key("cache.seconds")](world) {
    await withHttp(world, async (_, fake) => {
      const login = async () => (await world.login("alice", { password: "secret", mechanism: "PLAIN" })).close();
      await login();
      await login();
      expect(fake.asked).toHaveLength(1);
      await world.set({ [key("cache.seconds")]: "0" });
      await login();
      expect(fake.asked).toHaveLength(2);
    });
  },
  async [key("cache.outage-seconds")](world) {
    await withHttp(world, async (tried, fake) => {
      expect(await tried("secret")).toBe("in");
      fake.right = undefined;
      expect(await tried("secret")).toBe("temporary-auth-failure");
      await world.set({ [key("cache.outage-seconds")]: "86400" });
      expect(await tried("secret")).toBe("in");
      expect(await tried("another")).toBe("temporary-auth-failure");
    });
  },
  async [key("failures-per-minute")](world) {
    await withHttp(world, async (_, fake) => {
      await world.set({ [key("failures-per-minute")]: "1" });
      const condition = async (password: string) =>
        world.login("alice", { password, mechanism: "PLAIN" }).then(
          () => "in",
          (error: LoginRefused) => error.condition,
        );
      expect(await condition("guess")).toBe("not-authorized");
      expect(await condition("guess2")).toBe("temporary-auth-failure");
      await world.set({ [key("failures-per-minute")]: "10" });
      expect(await condition("guess3")).toBe("not-authorized");
      expect(fake.asked).toHaveLength(2);
    });
  },
  async "firekeeper.password.least-length"(world) {
    await world.set({ "register.inband": "true", "firekeeper.register.captcha": "false" });
    const form = (password: string) =>
      `<query xmlns='jabber:iq:register'><username>short</username><password>${password}</password></query>`;
    const stranger = await world.connect();
    expect((await stranger.set(form("seven77"))).attrs.type).toBe("error");
    await world.set({ "firekeeper.password.least-length": "7" });
    expect((await stranger.set(form("seven77"))).attrs.type).toBe("result");
  },
};
