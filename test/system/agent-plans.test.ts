/** Plans that were read, confirmations, windows and freezes, as the person at the command line and the console meets them. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { planDocumentSchema } from "../../agent/plan/document.ts";
import { openReport } from "../../agent/report.ts";
import { firekeeper, type Ran } from "../support/command-line.ts";
import { type AgentFixture, agentFixture, entries, type Host } from "./agent-fixture.ts";

const open: AgentFixture[] = [];
afterEach(async () => {
  for (const fixture of open.splice(0)) await fixture.close();
});

const base: Host = {
  settings: { "sys.xmpp.domain": "localhost" },
  users: ["admin", "alice", "bob", "carol"].map((name) => ({ name, password: "x" })),
  roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice"] }],
};
const manual = { FIREKEEPER_APPLY: "manual" };

type Service = AgentFixture & { fk(...words: string[]): Promise<Ran>; kinds(): Promise<string[]> };

async function service(env: Record<string, string> = manual, now?: () => number): Promise<Service> {
  const fixture = await agentFixture(base, env);
  open.push(fixture);
  await fixture.start(now ? { now } : {});
  return Object.assign(fixture, {
    fk: (...words: string[]) => firekeeper(fixture.home, ...words),
    kinds: async () => entries(await fixture.journal()).map((one) => one.is),
  });
}

const set = (key: string, value: string) => ({
  change: { kind: "setting-set", key: `sys.xmpp.properties.${key}`, value },
});
const join2 = (role: string, user: string) => ({ change: { kind: "role-member-add", role, members: [user] } });
const property = (agent: AgentFixture, key: string) =>
  agent.core.stored.world.settings.properties.find((one) => one.key === key)?.value;

/** Resolves when the server has taken another apply. */
const applied = (agent: AgentFixture) =>
  new Promise<void>((resolve) => {
    agent.core.hooks.afterCommit = resolve;
  });

test("manual mode: an edit leaves the server as it is, plan exits 2, apply makes it active, plan exits 0 (M3)", async () => {
  const agent = await service();
  await agent.ask("store-edit", set("xmpp.client.idle", "5"));
  expect(property(agent, "xmpp.client.idle")).toBeUndefined();
  const planned = await agent.fk("plan");
  expect(planned.code).toBe(2);
  expect(planned.text.split("\n")[0]).toBe("1 live change, no one will notice");
  const json = await agent.fk("plan", "--json");
  expect(json.code).toBe(2);
  expect(planDocumentSchema.strict().parse(JSON.parse(json.text)).changes).toHaveLength(1);
  expect(property(agent, "xmpp.client.idle")).toBeUndefined();
  const done = await agent.fk("apply");
  expect(done.code).toBe(0);
  expect(done.progress).toEqual([
    "looking at the server as it is",
    "applying 1 change as one",
    "revision 2 is in force; verifying it",
  ]);
  expect(property(agent, "xmpp.client.idle")).toBe("5");
  expect(await agent.fk("plan")).toMatchObject({ code: 0, text: expect.stringMatching(/^Nothing to do/) });
});

test("a roster apply of a role with three types: who gains what is printed, and the restart stays pending (M4, M30)", async () => {
  const agent = await service();
  await agent.write({
    ...base,
    settings: { ...base.settings, "sys.xmpp.properties.storage.engine": "other" },
    roles: [{ name: "Sales", types: ["xmpp.group", "xmpp.supervisor", "location.group"], members: ["alice", "bob"] }],
  });
  const { text } = await agent.fk("plan");
  expect(text).toContain("+ bob gains: the group Sales in the contact list, 2 members");
  expect(text).toContain("+ alice gains: the rights of a supervisor");
  expect(text).toContain("location.group (Sales) changes nothing here; it is passed on");
  expect((await agent.fk("apply", "--scope", "roster", "--json")).progress).toEqual([]);
  expect(agent.core.stored.world).toMatchObject({
    groups: [{ members: ["alice", "bob"] }],
    supervisors: ["alice", "bob"],
  });
  expect(agent.core.asked).not.toContain("restart");
  expect((await agent.status()).pending).toMatchObject([{ subject: "property storage.engine", impact: "restart" }]);
  const shown = await agent.fk("show");
  expect(shown.text).toContain("asked at the agent socket, scope roster");
  expect(shown.text).toMatch(/applied in \d+ ms, back and verified in \d+ ms/);
  expect(shown.text).toContain("+ bob gains: the group Sales");
});

describe("a reviewed plan", () => {
  async function reviewed() {
    const agent = await service();
    await agent.ask("store-edit", set("xmpp.client.idle", "5"));
    await agent.ask("store-edit", set("plugin.restapi.secret", "hunter2-secret"));
    const file = join(agent.home, "plan.json");
    return { agent, file, written: await agent.fk("plan", "--out", file) };
  }

  test("is applied as it was read; the file is for its owner and holds no secret", async () => {
    const { agent, file, written } = await reviewed();
    expect(written).toMatchObject({ code: 2, text: expect.stringContaining(`firekeeper apply --plan ${file}`) });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(file, "utf8")).not.toContain("hunter2");
    expect((await agent.fk("apply", "--plan", file)).code).toBe(0);
    expect(property(agent, "xmpp.client.idle")).toBe("5");
    const [line] = JSON.parse((await agent.fk("history", "--json")).text);
    expect(line).toMatchObject({ cause: "apply of a reviewed plan", asked: { plan: expect.any(String) } });
    // It is spent: the revision it was made for is no longer in force.
    expect(await agent.fk("apply", "--plan", file)).toMatchObject({
      code: 1,
      text: expect.stringContaining("revision 2 is in force, it was 1"),
    });
  });

  test("is refused when the store says something else, and what differs is named", async () => {
    const { agent, file } = await reviewed();
    await agent.ask("store-edit", set("xmpp.client.idle", "6"));
    await agent.ask("store-edit", set("plugin.restapi.secret", "other-secret"));
    await agent.ask("store-edit", join2("Sales", "bob"));
    const refused = await agent.fk("apply", "--plan", file);
    expect(refused.code).toBe(1);
    for (const what of [
      "the host's settings have changed",
      "different: property xmpp.client.idle: set 6",
      "different: property plugin.restapi.secret: set (secret)",
      "new: group Sales: bob gains it",
    ])
      expect(refused.text).toContain(what);
    expect(agent.core.stored.revision).toBe(1);
  });

  test("is refused when somebody edited it", async () => {
    const { agent, file } = await reviewed();
    await writeFile(file, (await readFile(file, "utf8")).replace('"to": "5"', '"to": "7"'));
    expect((await agent.fk("apply", "--plan", file)).text).toContain("It was changed after it was written");
    await writeFile(file, "no json");
    expect((await agent.fk("apply", "--plan", file)).code).toBe(1);
    expect(agent.core.stored.revision).toBe(1);
  });

  test("with a scope leaves the rest pending", async () => {
    const { agent, file } = await reviewed();
    await agent.ask("store-edit", join2("Sales", "bob"));
    await agent.fk("plan", "--out", file, "--scope", "roster");
    expect((await agent.fk("apply", "--plan", file)).code).toBe(0);
    expect(agent.core.stored.world.groups).toMatchObject([{ members: ["alice", "bob"] }]);
    expect(property(agent, "xmpp.client.idle")).toBeUndefined();
  });
});

test("a console that saw another snapshot applies nothing; the error carries its facts", async () => {
  const agent = await service();
  await agent.ask("store-edit", set("xmpp.client.idle", "5"));
  const shown = (await agent.core.console("plan")) as { ok: { plan: { snapshot: string } } };
  const { snapshot } = shown.ok.plan;
  await agent.ask("store-edit", set("xmpp.client.idle", "6"));
  const refused = await agent.core.console("apply", { snapshot });
  expect(refused).toMatchObject({ error: { code: "apply/stale-plan", fields: { differences: 1 } } });
  expect(agent.core.stored.revision).toBe(1);
  const again = (await agent.core.console("plan")) as typeof shown;
  await agent.core.console("apply", { snapshot: again.ok.plan.snapshot, from: "192.0.2.7" });
  expect(property(agent, "xmpp.client.idle")).toBe("6");
  const [line] = JSON.parse((await agent.fk("history", "--json")).text);
  expect(line).toMatchObject({ by: "admin@localhost", from: "console from 192.0.2.7" });
});

describe("apply --confirm-within", () => {
  test("confirmed in time it stays; before that nothing else is applied", async () => {
    const agent = await service();
    await agent.ask("store-edit", set("xmpp.client.idle", "5"));
    const done = await agent.fk("apply", "--confirm-within", "5m");
    expect(done.text).toMatch(/Revision 2 goes back at .*Z unless you say: firekeeper confirm/);
    await agent.ask("store-edit", set("xmpp.client.idle", "6"));
    expect(await agent.fk("apply")).toMatchObject({ code: 1, text: expect.stringContaining("waits to be confirmed") });
    expect((await agent.fk("status")).text).toContain("revision 2 goes back to 1 at ");
    expect(agent.core.told.at(-1)?.awaits).toContain("else revision 1 returns");
    expect(await agent.fk("confirm")).toMatchObject({ code: 0, text: "Revision 2 stays." });
    expect((await agent.fk("confirm")).text).toContain("No revision waits to be confirmed");
    expect((await agent.fk("apply")).code).toBe(0);
    expect(property(agent, "xmpp.client.idle")).toBe("6");
    expect(await agent.kinds()).toEqual(expect.arrayContaining(["awaits", "confirmed"]));
  });

  test("nobody confirms: it goes back by itself and holds, and journal and status say so", async () => {
    const agent = await service();
    await agent.ask("store-edit", set("xmpp.client.idle", "5"));
    await agent.ask("apply", { confirmMs: 300 });
    expect(property(agent, "xmpp.client.idle")).toBe("5");
    await applied(agent);
    // The next request has its turn when the return is over.
    await agent.ask("plan");
    const { held, journal } = await agent.status();
    expect(property(agent, "xmpp.client.idle")).toBeUndefined();
    expect(held).toMatch(/^nobody confirmed revision 2 within 1s, and revision 1 is in force again\.$/);
    expect(journal).toMatchObject({ revision: 3, proven: 3 });
    expect((await agent.kinds()).slice(-6)).toEqual(["awaits", "expired", "intent", "applied", "proven", "held"]);
    expect((await agent.fk("history")).text).toContain("proven, taken back");
    expect(await agent.fk("apply")).toMatchObject({ code: 1, text: expect.stringContaining("firekeeper resume") });
    await agent.ask("resume");
    expect((await agent.fk("plan")).code).toBe(2);
  });

  test("an agent that comes back after the time is over takes it back at once", async () => {
    const agent = await service();
    await agent.ask("store-edit", set("xmpp.client.idle", "5"));
    await agent.ask("apply", { confirmMs: 3_600_000 });
    await agent.stop();
    const logged: unknown[] = [];
    const report = { ...openReport("silent"), rolledBack: (...facts: unknown[]) => void logged.push(facts) };
    await agent.start({ now: () => Date.now() + 3_700_000, report });
    expect(logged).toEqual([[2, 1, "nobody confirmed revision 2 within 1h"]]);
    expect(property(agent, "xmpp.client.idle")).toBeUndefined();
    expect((await agent.status()).held).toContain("nobody confirmed revision 2 within 1h");
  });

  test("rollback takes it back at once; a change of domain cannot be confirmed", async () => {
    const agent = await service();
    await agent.ask("store-edit", set("xmpp.client.idle", "5"));
    await agent.fk("apply", "--confirm-within", "1h");
    expect((await agent.fk("rollback")).code).toBe(0);
    expect(property(agent, "xmpp.client.idle")).toBeUndefined();
    expect((await agent.status()).confirmation).toBeNull();
    await agent.write({ ...base, settings: { "sys.xmpp.domain": "new.example" } });
    expect(await agent.fk("apply", "--confirm-within", "1h")).toMatchObject({
      code: 1,
      text: expect.stringContaining("never taken back without a person"),
    });
    expect(agent.core.stored.world.settings.domain).toBe("localhost");
  });
});

describe("a freeze", () => {
  test("nothing is applied, neither by the loop nor by a person, through a restart, until somebody unfreezes", async () => {
    const agent = await service({});
    expect((await agent.fk("freeze", "--for", "2h", "--reason", "Fair week")).text).toMatch(
      /^Frozen until .*Z: nothing/,
    );
    const edited = await agent.ask<{ outcome: string }>("store-edit", set("xmpp.client.idle", "5"));
    expect(edited.outcome).toContain("Fair week");
    await agent.stop();
    await agent.start();
    expect(property(agent, "xmpp.client.idle")).toBeUndefined();
    for (const words of [["apply"], ["rollback", "1"]]) {
      const refused = await agent.fk(...words);
      expect(refused.code).toBe(1);
      expect(refused.text).toMatch(/^Frozen by local user .+ until .+Z: Fair week\. .*firekeeper unfreeze/);
    }
    expect((await agent.fk("status")).text).toContain("Fair week");
    expect(agent.core.told.at(-1)?.frozen).toContain("Fair week");
    await agent.fk("unfreeze");
    expect(property(agent, "xmpp.client.idle")).toBe("5");
  });

  test("it ends by itself when its time is over", async () => {
    const agent = await service({});
    await agent.ask("freeze", { until: Date.now() + 300 });
    const pushed = applied(agent);
    await agent.ask("store-edit", set("xmpp.client.idle", "5"));
    expect(property(agent, "xmpp.client.idle")).toBeUndefined();
    await pushed;
    expect(entries(await agent.journal())).toContainEqual(expect.objectContaining({ is: "unfrozen", by: "agent" }));
  });
});

test("a maintenance window: what is noticed waits for it, the rest goes on, --now is in the journal", async () => {
  let now = Date.parse("2026-11-21T12:00:00Z");
  const agent = await service({ FIREKEEPER_WINDOW: "0 2 * * * for 1h" }, () => now);
  await agent.ask("store-edit", set("storage.engine", "other"));
  await agent.ask("store-edit", set("xmpp.client.idle", "5"));
  expect(property(agent, "xmpp.client.idle")).toBe("5");
  expect(property(agent, "storage.engine")).toBeUndefined();
  const opens = "which opens at 2026-11-22T02:00Z";
  for (const words of ["plan", "status"]) expect((await agent.fk(words)).text).toContain(opens);
  const refused = await agent.fk("apply");
  expect(refused.text).toContain(opens);
  expect(refused.text).toContain("--now");
  now = Date.parse("2026-11-22T02:30:00Z");
  await agent.ask("resume");
  expect(property(agent, "storage.engine")).toBe("other");
  now = Date.parse("2026-11-22T12:00:00Z");
  await agent.ask("store-edit", set("storage.engine", "third"));
  expect((await agent.fk("apply", "--now")).code).toBe(0);
  expect(property(agent, "storage.engine")).toBe("third");
  expect(JSON.parse((await agent.fk("history", "--json")).text)[0]).toMatchObject({ asked: { now: true } });
});

test("diff tells what two revisions differ in", async () => {
  const agent = await service({});
  await agent.ask("store-edit", set("xmpp.client.idle", "5"));
  await agent.ask("store-edit", join2("Sales", "bob"));
  expect((await agent.fk("diff", "1", "3")).text.split("\n")).toEqual([
    "From revision 1 to 3: 2 differences",
    "+ property xmpp.client.idle: 5",
    "  members of Sales: bob joined",
  ]);
  expect(JSON.parse((await agent.fk("diff", "--json")).text)).toMatchObject({ from: 2, to: 3, differences: [{}] });
  expect(await agent.fk("diff", "1", "9")).toMatchObject({ code: 1, text: expect.stringContaining("Revision 9") });
});
