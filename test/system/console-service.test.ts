/** The console of the built program, with the real agent behind it. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ConsoleClient, consoleClient } from "../support/console-client.ts";
import { type HostYaml, type Service, startService } from "../support/processes.ts";

let service: Service;
let admin: ConsoleClient;
const users = ["admin", "alice", "bob"].map((name) => ({ name, password: `${name}-secret` }));
const properties = () =>
  Object.fromEntries(
    Object.entries({
      "xmpp.socket.plain.port": service.ports.plain,
      "xmpp.socket.ssl.port": service.ports.tls,
      "adminConsole.port": service.ports.console,
      "adminConsole.securePort": service.ports.secureConsole,
      "xmpp.proxy.port": service.ports.proxy,
    }).map(([key, value]) => [`sys.xmpp.properties.${key}`, value]),
  );
/** The host's file with something more in it. */
const edit = (more: { settings?: HostYaml["settings"]; roles?: HostYaml["roles"] }) =>
  service.writeHost({
    users,
    ...(more.roles === undefined ? {} : { roles: more.roles }),
    settings: { "sys.xmpp.domain": "localhost", ...properties(), ...more.settings },
  });

beforeAll(async () => {
  service = await startService({ host: { users }, env: { FIREKEEPER_APPLY: "manual" } });
  admin = consoleClient(service.ports.secureConsole, { secure: true });
}, 60_000);
afterAll(() => service?.stop());

const roles = [{ name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"] }];

test("the admin of the host enters with the host's password, and the page is the built one", async () => {
  expect((await admin.login("admin", "admin-secret")).json).toMatchObject({ admin: "admin@localhost" });
  const page = await admin.get("/");
  expect([page.status, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
  const [, script = ""] = /src="(\/assets\/[^"]+\.js)"/.exec(page.text) ?? [];
  expect((await admin.get(script)).status).toBe(200);
  expect((await admin.get("/api/status")).json).toMatchObject({ agent: { mode: "manual", held: null }, ready: [] });
});

test("an edit of the host waits, is applied from the console, and stands in the journal under the admin's name", async () => {
  await edit({ roles });
  await expect
    .poll(async () => (await admin.get("/api/plan")).json.plan?.changes.length, { timeout: 10_000 })
    .toBeGreaterThan(0);
  const plan = (await admin.get("/api/plan")).json;
  expect(plan.plan.changes[0]).toMatchObject({ subject: "group Sales", impact: "live", source: "roles: Sales" });
  const applied = await admin.post("/api/apply", { plan: plan.id });
  expect(applied.json).toMatchObject({ is: "applied" });
  expect((await admin.get("/api/plan")).json.plan.changes).toEqual([]);
  const [newest] = (await admin.get("/api/history")).json;
  expect(newest).toMatchObject({ revision: applied.json.revision, by: "admin@localhost", result: "proven" });
});

test("a rollback holds the agent and says so; resume ends that", async () => {
  const [newest, before] = (await admin.get("/api/history")).json;
  const back = await admin.post("/api/rollback", { revision: before.revision });
  expect([back.status, back.json.is]).toEqual([200, "applied"]);
  expect((await admin.get("/api/status")).json.agent.held).toContain(`rolled back to revision ${before.revision}`);
  const { id } = (await admin.get("/api/plan")).json;
  const refused = await admin.post("/api/apply", { plan: id });
  expect([refused.status, refused.json.error.code]).toEqual([409, "apply/held"]);
  expect((await admin.post("/api/resume")).status).toBe(200);
  const again = (await admin.get("/api/plan")).json;
  expect((await admin.post("/api/apply", { plan: again.id })).json).toMatchObject({ is: "applied" });
  expect((await admin.get("/api/history")).json[0].revision).toBeGreaterThan(newest.revision);
});

test("a local property survives the core's replacement and is listed, not touched, by the plan", async () => {
  const key = "xmpp.client.idle";
  expect((await admin.post("/api/properties", { key, value: "600000" })).status).toBe(200);
  expect((await admin.get("/api/plan")).json.plan.changes).toEqual([]);
  await service.run(["restart"]);
  expect((await admin.login("admin", "admin-secret")).status).toBe(200);
  const { properties: list } = (await admin.get("/api/properties")).json;
  expect(list.find((each: { key: string }) => each.key === key)).toMatchObject({ owner: "local", value: "600000" });
});

test("a change that replaces the core is told as such; afterwards the admin finds it in force", async () => {
  await edit({ roles, settings: { "sys.xmpp.java_options": "-Xmx512m" } });
  await expect.poll(async () => (await admin.get("/api/plan")).json.plan?.impact, { timeout: 10_000 }).toBe("restart");
  const { id } = (await admin.get("/api/plan")).json;
  const told = await admin.post("/api/apply", { plan: id });
  expect([told.status, told.json.error.code]).toEqual([503, "admin/leaving"]);
  await expect.poll(async () => (await admin.login("admin", "admin-secret")).status, { timeout: 10_000 }).toBe(200);
  await expect
    .poll(async () => (await admin.get("/api/history")).json[0], { timeout: 10_000 })
    .toMatchObject({ by: "admin@localhost", impact: "restart", result: "proven" });
});

test("without the agent there is still status, and a word about it", async () => {
  await service.kill("agent");
  await expect.poll(async () => (await admin.get("/api/status")).json.agent, { timeout: 10_000 }).toBe(null);
  expect((await admin.get("/api/plan")).json.error.code).toBe("control/no-agent");
});
