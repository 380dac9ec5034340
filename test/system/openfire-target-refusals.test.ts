import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { readEnvironment } from "../../agent/environment.ts";
import { openRest } from "../../agent/target/openfire/rest.ts";
import { type StandInOptions, startOpenfire } from "../support/openfire-stand-in/stand-in.ts";
import type { Host } from "./agent-fixture.ts";
import { changesOf, type OpenfireFixture, openfireFixture } from "./openfire-fixture.ts";

/** What an Openfire cannot take, or will not let in: each with its reason and what to do, and never a secret. */

const keys = `SCRAM-SHA-256$4096:${Buffer.alloc(16).toString("base64")}$${Buffer.alloc(32).toString("base64")}:${Buffer.alloc(32).toString("base64")}`;
const empty: Host = { settings: { "sys.xmpp.domain": "example.test" }, roles: [], users: [] };

let all: OpenfireFixture | undefined;
afterEach(async () => {
  await all?.close();
  all = undefined;
});

async function begun(
  host: Host,
  options?: Parameters<typeof openfireFixture>[1],
  prepare?: (one: OpenfireFixture) => void,
) {
  const made = await openfireFixture(host, options);
  all = made;
  prepare?.(made);
  return { one: made, sentence: await made.start() };
}

test.each<[string, StandInOptions, RegExp]>([
  ["an old Openfire", { version: "4.9.2" }, /This is Openfire 4\.9\.2; 5\.0 or newer is needed/],
  ["an old plugin", { plugin: "1.11.0" }, /REST API plugin of this Openfire is 1\.11\.0/],
  ["no plugin", { plugin: undefined }, /no REST API plugin .* Available Plugins/],
  ["a plugin that is switched off", { enabled: false }, /switched off .* Enabled/],
  ["a plugin with the other kind of authentication", { auth: "basic" }, /refuses our credentials .*"Secret key auth"/],
  ["a plugin that lets other addresses in", { allowedIps: ["192.0.2.9"] }, /allowed IP addresses/],
])("%s is refused with what to do", async (_, options, words) => {
  const { one, sentence } = await begun(empty, options);
  expect(sentence).toMatch(words);
  expect(sentence).not.toContain(one.openfire.secret);
});

test("a second agent is refused by the name of the first, until that one lets go", async () => {
  const { one } = await begun(empty);
  const other = await mkdtemp(join(tmpdir(), "firekeeper-openfire-second-"));
  const { openTarget } = await import("../../agent/target/open.ts");
  const { openJournal } = await import("../../agent/apply/journal.ts");
  const { clearPasswords } = await import("../../agent/target/openfire/clear-passwords.ts");
  await writeFile(join(other, "secret"), one.openfire.secret);
  const journal = await openJournal(other);
  const second = await openTarget(
    {
      core: {
        kind: "openfire",
        url: one.openfire.url,
        access: { by: "secret", file: join(other, "secret") },
        ca: undefined,
      },
    },
    {
      home: other,
      journal,
      clear: clearPasswords(false),
      socket: "",
      agent: "the second agent",
      events: { event() {}, greeted() {}, lost() {} },
    },
  );
  await expect(second.ready(100)).rejects.toMatchObject({
    code: "target/held",
    message: expect.stringContaining(`process ${process.pid}`),
  });
  await one.stop();
  await expect(second.ready(5000)).resolves.toMatchObject({ instance: "example.test" });
  await second.close();
  await journal.close();
  await rm(other, { recursive: true });
});

test("basic credentials of an admin work, and that admin is never taken off the list", async () => {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-openfire-password-"));
  await writeFile(join(home, "password"), "admin\n");
  const { one } = await begun(
    {
      ...empty,
      settings: { ...empty.settings, "sys.xmpp.adminuser": "alice" },
      users: [{ name: "alice", password: "a1" }],
    },
    {
      auth: "basic",
      env: {
        FIREKEEPER_OPENFIRE_SECRET_FILE: "",
        FIREKEEPER_OPENFIRE_USER: "admin",
        FIREKEEPER_OPENFIRE_PASSWORD_FILE: join(home, "password"),
      },
    },
  );
  expect(await one.ask("apply")).toMatchObject({ is: "applied" });
  expect(one.openfire.state.stored.get("admin.authorizedJIDs")).toBe("admin@example.test,alice@example.test");
  await rm(home, { recursive: true });
});

test("another domain, values that Openfire would ignore and names it cannot address are rejected, the rest is applied", async () => {
  const { one } = await begun({
    settings: {
      "sys.xmpp.domain": "other.test",
      "sys.xmpp.properties.xmpp.client.idle": "soon",
      "sys.xmpp.properties.a/b": "1",
      "sys.xmpp.properties.plugin.restapi.enabled": "false",
      "sys.xmpp.properties.adminConsole.port": "1",
      "sys.xmpp.properties.plugin.mine": "yes",
    },
    roles: [{ name: "a,b", types: ["xmpp.group"], members: [] }],
    users: [{ name: "o'neil", password: "p1" }],
  });
  const { plan } = await one.ask("apply");
  const rejected = Object.fromEntries(plan.rejected.map((rejection) => [rejection.key, rejection]));
  expect(Object.keys(rejected).sort()).toEqual([
    "roles: a,b",
    "sys.xmpp.domain",
    "sys.xmpp.properties.a/b",
    "sys.xmpp.properties.plugin.restapi.enabled",
    "sys.xmpp.properties.xmpp.client.idle",
    "users: o'neil",
  ]);
  expect(rejected["sys.xmpp.domain"]?.rule).toContain("splits the server");
  expect(plan.notices.map((notice) => notice.message).join()).toContain("conf/openfire.xml");
  expect(one.openfire.state.stored.get("plugin.mine")).toBe("yes");
  expect(one.openfire.state.stored.get("xmpp.domain")).toBe("example.test");
});

test("aliases and teams, which Openfire has no place for, are left out with a word, and nothing comes back of them", async () => {
  const { one } = await begun({
    settings: { ...empty.settings, "sys.xmpp.aliasdomains": "old.test" },
    roles: [],
    users: [{ name: "alice", password: "a1", aliases: ["ally"] }],
  });
  const { plan } = await one.ask("apply");
  expect(plan.notices.map(({ message }) => message)).toContain(
    "Openfire has no aliases: the further addresses of alice and the domains old.test are left out.",
  );
  expect(changesOf(await one.ask("plan"))).toEqual([]);
});

test("without a domain in the store Openfire's own is kept, without a word", async () => {
  const { one } = await begun({ ...empty, settings: {} });
  expect((await one.ask("plan")).plan.rejected).toEqual([]);
});

describe("passwords", () => {
  const users = [{ name: "alice", id: "1", credentials: { sha256: keys } }];

  test("as keys cannot be given to a new account, which is therefore not made", async () => {
    const { one } = await begun({ ...empty, users });
    const { plan } = await one.ask("plan");
    expect(plan.changes).toEqual([]);
    expect(plan.rejected).toMatchObject([{ key: "users: alice", hint: expect.stringContaining("JDBC or LDAP") }]);
  });

  test("of an account that was there stay, and it is said of which", async () => {
    const { one } = await begun({ ...empty, users }, {}, ({ openfire }) => {
      openfire.state.users.set("alice", { name: "", email: "", password: "own", properties: new Map(), roster: [] });
    });
    expect((await one.ask("plan")).plan.rejected).toMatchObject([{ rule: expect.stringContaining("local account") }]);
    expect(await one.ask("apply", { adopt: ["alice"] })).toMatchObject({ is: "applied" });
    const again = await one.ask("plan");
    expect(changesOf(again)).toEqual([]);
    expect(again.plan.notices).toContainEqual(expect.objectContaining({ code: "openfire/password-stays" }));
    expect(one.openfire.state.mayLogIn("alice", "own")).toBe(true);
  });

  test("are Openfire's business where it checks them elsewhere: the account is made with one that nobody knows", async () => {
    const { one } = await begun({ ...empty, users }, {}, ({ openfire }) => {
      openfire.state.stored.set("provider.auth.className", "org.jivesoftware.openfire.auth.JDBCAuthProvider");
    });
    expect(await one.ask("apply")).toMatchObject({ is: "applied" });
    expect(one.openfire.state.users.get("alice")?.password.length).toBeGreaterThan(20);
    expect(changesOf(await one.ask("plan"))).toEqual([]);
  });

  test("that change in the store in clear reach Openfire, and nothing of them the journal", async () => {
    const { one } = await begun({ ...empty, users: [{ name: "alice", password: "first-word" }] });
    await one.ask("apply");
    expect(one.openfire.state.mayLogIn("alice", "first-word")).toBe(true);
    await one.write({ ...empty, users: [{ name: "alice", password: "second-word" }] });
    const plan = await one.ask("plan");
    expect(plan.plan.changes).toMatchObject([{ subject: "account alice", to: "password changed" }]);
    await one.ask("apply");
    expect(one.openfire.state.mayLogIn("alice", "second-word")).toBe(true);
    expect(JSON.stringify(await one.journal())).not.toMatch(/first-word|second-word/);
  });
});

test("a renamed person and another person under a known name are left alone, with what Openfire would lose", async () => {
  const person = (name: string, id: string) => ({ name, id, password: "word" });
  const { one } = await begun({ ...empty, users: [person("alice", "1"), person("bob", "2")] });
  await one.ask("apply");
  await one.write({ ...empty, users: [person("alicia", "1"), person("bob", "3")] });
  const { plan } = await one.ask("plan");
  expect(plan.changes).toEqual([]);
  expect(plan.rejected.map(({ rule }) => rule)).toEqual([
    expect.stringContaining("renames by copying and deleting"),
    expect.stringContaining("renames by copying and deleting"),
    expect.stringContaining("cannot set aside"),
  ]);
});

test("an Openfire that is lost in the middle of an apply comes back as it was, and the apply can be said again", async () => {
  const { one } = await begun({
    ...empty,
    users: [
      { name: "alice", password: "a1" },
      { name: "bob", password: "b1" },
    ],
  });
  const before = one.openfire.state.content();
  // The probe account is made and deleted first, then alice is made and unlocked.
  const died = one.openfire.fault({ at: 5, how: "after", dies: true });
  const lost = one.ask("apply").catch((error: { code?: string }) => error.code);
  await died;
  expect(one.openfire.state.users.has("bob")).toBe(true);
  one.openfire.revive();
  expect(await lost).toBe("target/lost");
  expect(one.openfire.state.content()).toBe(before);
  expect((await one.journal()).map(({ is }) => is)).toEqual(["intent", "step", "step", "undone"]);
  expect(await one.ask("apply")).toMatchObject({ is: "applied", revision: 2 });
  expect(one.openfire.state.mayLogIn("bob", "b1")).toBe(true);
});

test("a restart that the agent did not see shows by what Openfire says of itself, and by the ports", async () => {
  const next = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
  await once(next, "listening");
  const { port } = next.address() as AddressInfo;
  const { one } = await begun(
    {
      ...empty,
      settings: {
        "sys.xmpp.properties.xmpp.socket.ssl.port": String(port),
        "sys.xmpp.properties.xmpp.socket.ssl.active": "true",
        "sys.xmpp.properties.xmpp.component.ssl.active": "false",
      },
    },
    { xmpp: true },
  );
  const waits = async () => {
    await one.ask("plan");
    const { server } = await one.status();
    return "unreachable" in server ? [server.unreachable] : server.notices.map((notice) => notice.split(" ")[0]);
  };
  expect(await one.ask("apply")).toMatchObject({ is: "applied" });
  expect(await waits()).toEqual(expect.arrayContaining(["xmpp.socket.ssl.port", "xmpp.component.ssl.active"]));
  await one.stop();
  await one.openfire.restart();
  await one.openfire.xmpp?.close();
  await one.start();
  expect(await waits()).toEqual([]);
  next.close();
});

test("what a crash left of a probe is deleted at the next start", async () => {
  const { one } = await begun(empty, {}, ({ openfire }) => {
    openfire.state.users.set("firekeeper-probe-0a", {
      name: "",
      email: "",
      password: "x",
      properties: new Map(),
      roster: [],
    });
  });
  expect([...one.openfire.state.users.keys()]).toEqual(["admin"]);
});

test("a look at what has not changed writes nothing, and reads no group that is not the host's", async () => {
  const { one } = await begun(empty, {}, ({ openfire }) => {
    for (let at = 0; at < 50; at++)
      openfire.state.groups.set(`g${at}`, {
        description: "",
        members: new Set(),
        admins: new Set(),
        properties: new Map(),
      });
  });
  expect(await one.ask("apply")).toMatchObject({ is: "in step" });
  const before = one.openfire.requests.length;
  await one.ask("plan");
  const during = one.openfire.requests.slice(before);
  expect(during.length).toBeLessThan(12);
  expect(during.every((request) => request.startsWith("GET"))).toBe(true);
});

test("no failure shows a secret, a password or a header", async () => {
  const openfire = await startOpenfire();
  const home = await mkdtemp(join(tmpdir(), "firekeeper-openfire-rest-"));
  await writeFile(join(home, "secret"), openfire.secret);
  const rest = await openRest({
    url: openfire.url,
    access: { by: "secret", file: join(home, "secret") },
    timeoutMs: 200,
  });
  const body = { username: "x", password: "pass-in-body" };
  for (const how of ["hang", "before", "refuse"] as const) {
    openfire.fault({ at: 1, how });
    const failure = await rest.send("POST", "/users", body).catch((error: unknown) => error);
    const shown = `${failure} ${JSON.stringify(failure)} ${String((failure as Error).cause)}`;
    expect(shown).toMatch(/POST/);
    expect(shown).not.toMatch(/pass-in-body|s3cret/);
  }
  rest.close();
  await openfire.close();
  await rm(home, { recursive: true });
});

test("the environment says what is missing, and takes no credentials in the URL", () => {
  const read = (env: Record<string, string>) =>
    readEnvironment({ FIREKEEPER_TARGET: "openfire", ...env }, { dotenvPath: "/nonexistent" });
  expect(() => read({})).toThrow("FIREKEEPER_OPENFIRE_URL");
  expect(() => read({ FIREKEEPER_OPENFIRE_URL: "https://x:9091" })).toThrow("FIREKEEPER_OPENFIRE_SECRET_FILE");
  expect(() => read({ FIREKEEPER_OPENFIRE_URL: "https://a:b@x", FIREKEEPER_OPENFIRE_SECRET_FILE: "f" })).toThrow(
    "without user",
  );
  expect(read({ FIREKEEPER_OPENFIRE_URL: "https://x:9091", FIREKEEPER_OPENFIRE_SECRET_FILE: "/f" }).core).toMatchObject(
    {
      kind: "openfire",
      access: { by: "secret", file: "/f" },
    },
  );
});
