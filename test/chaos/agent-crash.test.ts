/** kill -9 at each step of an apply: afterwards the old or the new revision is in force, never something between. */
import { open as openFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { openJournal } from "../../agent/apply/journal.ts";
import { type Child, startChild } from "../support/child.ts";
import { type AgentFixture, agentFixture, entries, type Host } from "../system/agent-fixture.ts";

const program = fileURLToPath(new URL("../system/agent-program.ts", import.meta.url));
const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

const before: Host = {
  settings: { "sys.xmpp.domain": "localhost" },
  users: [
    { name: "admin", password: "x" },
    { name: "alice", password: "x" },
  ],
};
const after: Host = {
  ...before,
  settings: { ...before.settings, "sys.xmpp.properties.xmpp.client.idle": "5" },
  roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice"] }],
};

/** A home in revision 1, a changed host file, and no agent. */
async function changed(next: Host): Promise<AgentFixture> {
  const fixture = await agentFixture(before);
  open.push(fixture);
  await fixture.start();
  await fixture.stop();
  await fixture.write(next);
  return fixture;
}

function killedAgent(fixture: AgentFixture, crash: string, env: Record<string, string> = {}): Child {
  const child = startChild(process.execPath, ["--import", import.meta.resolve("tsx"), program], {
    env: {
      FIREKEEPER_HOME: fixture.home,
      FIREKEEPER_CORE: `${fixture.home}/control.sock`,
      FIREKEEPER_RECONCILE: "0 0 1 1 *",
      CRASH: crash,
      ...env,
    },
  });
  open.push({ close: () => child.stop("SIGKILL") });
  return child;
}

function content(fixture: AgentFixture): "old" | "new" | "between" {
  const { groups, settings } = fixture.core.stored.world;
  if (groups.length === 0 && settings.properties.length === 0) return "old";
  return groups.length === 1 && settings.properties.length === 1 ? "new" : "between";
}

test.each([
  ["before", 1, "intent"],
  ["torn in", 1, "intent"],
  ["before", 2, "applied"],
  ["torn in", 2, "applied"],
  ["before", 3, "proven"],
  ["torn in", 3, "proven"],
  ["after", 3, "proven"],
])("killed %s line %i, %s", async (when, line) => {
  const fixture = await changed(after);
  expect(await killedAgent(fixture, `${line}:${when.split(" ")[0]}`).exited).toBe("SIGKILL");
  const standing = content(fixture);
  expect(standing).toBe(line === 1 ? "old" : "new");
  expect(fixture.core.stored.revision).toBe(standing === "old" ? 1 : 2);
  await fixture.start();
  expect(content(fixture)).toBe("new");
  expect((await fixture.ask("plan")).plan.changes).toEqual([]);
  const { revision, proven, applies } = fixture.core.stored;
  expect(proven).toBe(revision);
  // The first apply of the home, the one that was killed if it got that far, and the one that made up for it.
  expect(applies).toBe(2);
  expect(await fixture.status()).toMatchObject({ held: null, journal: { revision, proven } });
  if (when === "torn in") expect(await fixture.journal()).toContain('"is":"repaired"');
});

test.each([
  [4, "the intent to return"],
  [5, "the return applied"],
  [7, "held"],
])("a return to the proven revision killed at line %i, %s, ends in order", async (line) => {
  const fixture = await changed({
    ...before,
    settings: { ...before.settings, "sys.xmpp.properties.standin.break": "yes" },
  });
  expect(await killedAgent(fixture, `${line}:before`).exited).toBe("SIGKILL");
  await fixture.start();
  const status = await fixture.status();
  expect(status.journal.revision).toBe(fixture.core.stored.revision);
  expect(fixture.core.stored.world.settings.properties).toEqual([]);
  expect(fixture.core.stored.proven).toBe(fixture.core.stored.revision);
  expect(status.held).toContain("it was told to break");
  await fixture.stop();
  const journal = await openJournal(fixture.home);
  expect(journal.unsettled).toBeUndefined();
  await journal.close();
});

test("killed before what broke is journaled: it stays, unproven, and a person is told", async () => {
  const fixture = await changed({
    ...before,
    settings: { ...before.settings, "sys.xmpp.properties.standin.break": "yes" },
  });
  expect(await killedAgent(fixture, "3:before").exited).toBe("SIGKILL");
  await fixture.start();
  expect(await fixture.status()).toMatchObject({
    held: expect.stringMatching(/revision 2 was interrupted before it was proven.*it was told to break/),
    journal: { revision: 2, proven: 1 },
  });
  expect(await fixture.ask("rollback")).toMatchObject({ is: "applied", revision: 3 });
  expect(fixture.core.stored).toMatchObject({ revision: 3, proven: 3, world: { settings: { properties: [] } } });
});

test.each([
  [1, "edited"],
  [2, "intent"],
  [3, "applied"],
  [4, "proven"],
])(
  "a full disk at line %i, %s: the old or the new revision, a clear word, and order once there is room",
  async (line, is) => {
    const fixture = await agentFixture(before);
    open.push(fixture);
    await fixture.start();
    const probe = await openFile("/dev/null");
    const prototype = Object.getPrototypeOf(probe) as { appendFile(data: Buffer): Promise<void> };
    await probe.close();
    const { appendFile } = prototype;
    let lines = 0;
    prototype.appendFile = async function (data) {
      lines++;
      if (lines < line) return appendFile.call(this, data);
      await appendFile.call(this, data.subarray(0, 10));
      throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    };
    try {
      const change = { kind: "setting-set", key: "sys.xmpp.properties.xmpp.client.idle", value: "5" };
      const said = await fixture.ask<{ outcome: string }>("store-edit", { change }).then(
        (edited) => edited.outcome,
        (error: Error) => error.message,
      );
      expect(said).toContain("The journal cannot be written");
    } finally {
      prototype.appendFile = appendFile;
    }
    const isNew = is === "applied" || is === "proven";
    expect(fixture.core.stored.revision).toBe(isNew ? 2 : 1);
    await fixture.ask("apply");
    const { revision, proven, world } = fixture.core.stored;
    expect(world.settings.properties).toMatchObject([{ key: "xmpp.client.idle", value: "5" }]);
    expect([revision, proven]).toEqual([2, 2]);
    expect(await fixture.status()).toMatchObject({ journal: { revision: 2, proven: 2 }, held: null });
  },
);

test("killed while the server commits: the server is right and the journal is completed", async () => {
  const fixture = await changed(after);
  const child = killedAgent(fixture, "");
  fixture.core.hooks.afterCommit = () => child.process.kill("SIGKILL");
  expect(await child.exited).toBe("SIGKILL");
  fixture.core.hooks.afterCommit = () => {};
  expect(entries(await fixture.journal()).at(-1)).toMatchObject({ is: "intent", revision: 2 });
  await fixture.start();
  expect(entries(await fixture.journal()).slice(-2)).toMatchObject([
    { is: "applied", revision: 2 },
    { is: "proven", revision: 2 },
  ]);
  expect(fixture.core.stored.applies).toBe(2);
});

test("a server that dies in the middle of an apply and did not take it: undone, then done again", async () => {
  const fixture = await agentFixture(before);
  open.push(fixture);
  await fixture.start();
  let died = 0;
  fixture.core.hooks.beforeCommit = () => {
    died++;
    fixture.core.hooks.beforeCommit = () => {};
    fixture.core.hangUp();
    throw new Error("killed");
  };
  const outcome = await fixture.ask<{ outcome: string }>("store-edit", {
    change: { kind: "setting-set", key: "sys.xmpp.properties.xmpp.client.idle", value: "5" },
  });
  expect(died).toBe(1);
  expect(outcome.outcome).toContain("lost");
  expect(fixture.core.stored.revision).toBe(1);
  expect(entries(await fixture.journal()).at(-1)).toMatchObject({ is: "undone", revision: 2 });
  expect(await fixture.ask("apply")).toMatchObject({ is: "applied", revision: 3 });
});

test("killed at any line of an apply that is to be confirmed: once the time is over the old revision is in force", async () => {
  const cases: [string, "old" | "new"][] = [
    ["3:torn", "new"],
    ["4:before", "new"],
  ];
  await Promise.all(
    cases.map(async ([crash, left]) => {
      const fixture = await changed(after);
      const child = killedAgent(fixture, crash, { FIREKEEPER_APPLY: "manual" });
      await child.printed(/^[^{\n]/m);
      await expect(fixture.ask("apply", { confirmMs: 60_000 })).rejects.toMatchObject({ code: "agent/lost" });
      expect(await child.exited).toBe("SIGKILL");
      expect(content(fixture), crash).toBe(left);
      await fixture.start({ now: () => Date.now() + 120_000 });
      const { held, journal } = await fixture.status();
      expect(content(fixture), crash).toBe("old");
      expect(held, crash).toMatch(/nobody confirmed revision 2 within 1m, and revision 1 is in force again/);
      expect(journal.proven, crash).toBe(fixture.core.stored.revision);
    }),
  );
});

test("a return for want of a confirmation, killed at any line, ends in order", async () => {
  await Promise.all(
    ["3:before", "5:torn"].map(async (crash) => {
      const fixture = await agentFixture(before, { FIREKEEPER_APPLY: "manual" });
      open.push(fixture);
      // Its clock stands still at the beginning of time, so nothing is over while it runs.
      await fixture.start({ now: () => 0 });
      await fixture.write(after);
      await fixture.ask("apply", { confirmMs: 1 });
      await fixture.stop();
      expect(await killedAgent(fixture, crash, { FIREKEEPER_APPLY: "manual" }).exited).toBe("SIGKILL");
      await fixture.start();
      expect(content(fixture), crash).toBe("old");
      const kinds = entries(await fixture.journal()).map((one) => one.is);
      expect(
        kinds.filter((one) => one === "expired"),
        crash,
      ).toHaveLength(1);
      expect(kinds.at(-1), crash).toBe("held");
      expect((await fixture.status()).held, crash).toContain("nobody confirmed revision 2");
      expect(fixture.core.stored.proven, crash).toBe(fixture.core.stored.revision);
    }),
  );
});
