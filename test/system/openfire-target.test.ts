import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { coverage } from "../support/openfire-stand-in/stand-in.ts";
import type { Host } from "./agent-fixture.ts";
import { changesOf, type OpenfireFixture, openfireFixture } from "./openfire-fixture.ts";

/** One Openfire and one host through a day: planned, applied, edited behind the agent's back, and rolled back. */

const host: Host = {
  settings: {
    "sys.xmpp.domain": "example.test",
    "sys.xmpp.adminuser": "alice",
    "sys.xmpp.externalip": "192.0.2.1",
    "sys.xmpp.java_options": "-Xmx512m",
    "sys.xmpp.properties.xmpp.client.idle": "120000",
    "sys.xmpp.properties.xmpp.socket.ssl.port": "5443",
    "sys.xmpp.properties.ldap.adminPassword": "hidden",
  },
  roles: [
    { name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"] },
    { name: "Watch", types: ["xmpp.supervisor"], members: ["alice"] },
  ],
  users: [
    { name: "alice", id: "1", password: "wonderland", displayName: "Alice A." },
    { name: "bob", id: "2", password: "builder" },
    { name: "carol", id: "3", password: "singer", enabled: false },
  ],
};

describe("a host on a real Openfire's REST plugin", () => {
  let all: OpenfireFixture;
  beforeAll(async () => {
    all = await openfireFixture(host, { xmpp: true });
    const { state } = all.openfire;
    state.users.set("zoe", { name: "Zoe", email: "", password: "z", properties: new Map(), roster: [] });
    state.stored.set("plugin.other.colour", "blue");
    state.stored.set("xmpp.client.idle.special", "kept");
    await all.start();
  });
  afterAll(() => all.close());

  test("plans what is missing, with the price that Openfire asks", async () => {
    const { plan } = await all.ask("plan");
    const changes = Object.fromEntries(plan.changes.map((one) => [`${one.subject}: ${one.action}`, one]));
    expect(Object.keys(changes).sort()).toEqual([
      "account alice: add",
      "account bob: add",
      "account carol: add",
      "admin: set",
      "external address: set",
      "group Sales: add",
      "group Sales: members",
      "property ldap.adminPassword: set",
      "property xmpp.client.idle: set",
      "property xmpp.socket.ssl.port: set",
      "runtime options: set",
    ]);
    expect(changes["property xmpp.client.idle: set"]).toMatchObject({ impact: "live", to: "120000" });
    expect(changes["property xmpp.socket.ssl.port: set"]).toMatchObject({ impact: "restart", to: "5443" });
    expect(changes["property ldap.adminPassword: set"]).toMatchObject({ to: "(secret)" });
    const codes = plan.notices.map((one) => one.code);
    expect(codes).toEqual(expect.arrayContaining(["openfire/no-supervisors", "plan/no-effect", "plan/local"]));
    expect(plan.notices.map((one) => one.message).join()).toContain("plugin.other.colour = blue");
    expect(plan.rejected).toEqual([]);
  });

  test("applies it, proves it by a login, and then there is nothing to do", async () => {
    const outcome = await all.ask("apply");
    expect(outcome).toMatchObject({ is: "applied", revision: 1 });
    const { state } = all.openfire;
    expect(state.mayLogIn("alice", "wonderland")).toBe(true);
    expect(state.mayLogIn("carol", "singer")).toBe(false);
    expect(state.users.get("alice")?.name).toBe("Alice A.");
    expect([...(state.groups.get("Sales")?.members ?? [])]).toEqual(["alice@example.test", "bob@example.test"]);
    expect(state.groups.get("Sales")?.properties.get("sharedRoster.showInRoster")).toBe("onlyGroup");
    // The implicit admin keeps the right that the first entry of the list would have taken away.
    expect(state.stored.get("admin.authorizedJIDs")).toBe("admin@example.test,alice@example.test");
    expect(state.stored.get("xmpp.proxy.externalip")).toBe("192.0.2.1");
    expect([...state.users.keys()].filter((name) => name.startsWith("firekeeper-probe"))).toEqual([]);
    expect(all.openfire.requests.filter((one) => one.startsWith("PUT"))).toEqual([]);
    const again = await all.ask("plan");
    expect(changesOf(again)).toEqual([]);
    const steps = (await all.journal()).filter((one) => one.is === "step");
    expect(steps.map(({ what }) => what)).toContain("group Sales: 2 join, 0 leave");
    expect(JSON.stringify(await all.journal())).not.toMatch(/wonderland|hidden/);
  });

  test("says what waits for a restart, and still looks at the port that is open", async () => {
    const { server } = await all.status();
    if ("unreachable" in server) throw new Error(server.unreachable);
    expect(server.notices.join()).toContain("xmpp.socket.ssl.port waits for a restart of Openfire");
    expect(server.listeners).toContainEqual(
      expect.objectContaining({ name: "c2s-tls", port: all.openfire.xmpp?.tlsPort, state: "open" }),
    );
    expect(server).toMatchObject({ domain: "example.test", revision: 1, proven: 1, accounts: 5 });
    expect(server.version).toBe("Openfire 5.1.1, REST API plugin 1.12.0");
    expect(server.certificates[0]?.names).toContain("example.test");
  });

  test("shows as drift what somebody changes on Openfire, leaves the rest alone, and sets it again", async () => {
    const { state } = all.openfire;
    state.stored.set("xmpp.client.idle", "5");
    state.stored.set("plugin.other.colour", "red");
    state.groups.get("Sales")?.members.add("zoe@example.test");
    state.groups.get("Sales")?.members.add("guest@elsewhere.example");
    state.groups.get("Sales")?.properties.set("sharedRoster.showInRoster", "nobody");
    const bob = state.users.get("bob");
    if (bob) bob.name = "Robert";
    const plan = await all.ask("plan");
    expect(changesOf(plan).sort()).toEqual([
      "account bob: change",
      "group Sales: change",
      "group Sales: members",
      "property xmpp.client.idle: set",
    ]);
    const drift = plan.plan.notices.filter((one) => one.code === "plan/drift").map((one) => one.message);
    expect(drift).toEqual([
      "xmpp.client.idle was changed from 120000 to 5, on Openfire itself.",
      "The group Sales is no longer what only its members see, on Openfire itself.",
      "zoe came into the group Sales, on Openfire itself.",
      "Name or e-mail of bob were changed, on Openfire itself.",
    ]);
    expect(await all.ask("apply")).toMatchObject({ is: "applied" });
    expect(changesOf(await all.ask("plan"))).toEqual([]);
    expect(state.stored.get("plugin.other.colour")).toBe("red");
    // The PUT that shares the group again had to name everybody who stays, also who is not ours.
    expect([...(state.groups.get("Sales")?.members ?? [])].sort()).toEqual([
      "alice@example.test",
      "bob@example.test",
      "guest@elsewhere.example",
    ]);
  });

  test("locks who vanished, deletes nothing, and lets go of a property without what stands below it", async () => {
    const { "sys.xmpp.properties.xmpp.client.idle": _, ...settings } = host.settings ?? {};
    await all.write({ ...host, settings, users: host.users?.filter((one) => one.name !== "bob") ?? [] });
    expect(await all.ask("apply", { removals: 2 })).toMatchObject({ is: "applied" });
    const { state } = all.openfire;
    expect(state.mayLogIn("bob", "builder")).toBe(false);
    expect(state.users.has("bob")).toBe(true);
    expect(state.stored.has("xmpp.client.idle")).toBe(false);
    expect(state.stored.get("xmpp.client.idle.special")).toBe("kept");
    expect(changesOf(await all.ask("plan"))).toEqual([]);
  });

  test("rolls back to a former revision", async () => {
    expect(await all.ask("rollback", { revision: 2, accounts: true })).toMatchObject({ is: "applied" });
    const { state } = all.openfire;
    expect(state.stored.get("xmpp.client.idle")).toBe("120000");
    expect(state.mayLogIn("bob", "builder")).toBe(true);
    expect([...(state.groups.get("Sales")?.members ?? [])]).toContain("bob@example.test");
  });

  test("knows by a restart that nothing waits any more", async () => {
    await all.openfire.restart(async () => {
      await all.ask("plan").catch(() => {});
    });
    await all.ask("plan");
    const { server } = await all.status();
    expect("unreachable" in server ? [server.unreachable] : server.notices).toEqual([]);
  });

  test("keeps what may tell a secret in one private file, and that only while it applies", async () => {
    await expect(readFile(join(all.home, "secrets", "openfire-undo.jsonl"))).rejects.toThrow("ENOENT");
  });
});

test("the stand-in has every route of the plugin, and says which of them it does not serve", () => {
  const routes = coverage();
  expect(routes).toHaveLength(70);
  const served = routes.filter((one) => one.served).map((one) => one.route);
  expect(served).toEqual(
    expect.arrayContaining([
      "PUT /groups/{groupName}",
      "PUT /users/{username}",
      "DELETE /system/properties/{propertyKey}",
    ]),
  );
  const unserved = routes.filter((one) => !one.served).map((one) => one.route);
  expect(unserved.every((one) => /chat|archive|messages|userservice|logs|vcard|roster|nodeId/.test(one))).toBe(true);
});
