import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Journal, openJournal } from "../../agent/apply/journal.ts";
import { openTarget } from "../../agent/target/open.ts";
import { clearPasswords } from "../../agent/target/openfire/clear-passwords.ts";
import type { Target } from "../../agent/target/target.ts";
import type { Change } from "../../xmpp-core/control/contract.ts";
import { type Fault, type OpenfireStandIn, startOpenfire } from "../support/openfire-stand-in/stand-in.ts";

/** Openfire or the agent dies at each request of an apply in turn: what stands afterwards is the old revision or the new one. */

const changes: Change[] = [
  { kind: "account-set", account: { name: "dave", id: "4", displayName: "Dave", enabled: true } },
  { kind: "account-set", account: { name: "bob", id: "2", displayName: "Robert", email: "b@x", enabled: false } },
  { kind: "group-set", group: { name: "New", displayName: "New", showInRoster: "onlyGroup", groupList: [] } },
  { kind: "group-members", group: "New", add: ["bob", "dave"], remove: [] },
  { kind: "group-members", group: "Old", add: ["dave"], remove: ["bob"] },
  { kind: "group-remove", name: "Gone" },
  { kind: "account-remove", name: "carol", keepDays: 30 },
  { kind: "setting", setting: "property:xmpp.client.idle", to: "1000" },
  { kind: "setting", setting: "property:plugin.parent", to: null },
  { kind: "setting", setting: "property:ldap.adminPassword", to: "new" },
  { kind: "setting", setting: "admin", to: "dave" },
];

describe("an apply that is cut short", () => {
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "firekeeper-openfire-crash-"));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  async function world() {
    const openfire = await startOpenfire();
    const { state } = openfire;
    for (const name of ["bob", "carol"])
      state.users.set(name, {
        name,
        email: "",
        password: name,
        properties: new Map([
          ["colour", "green"],
          ["firekeeper", JSON.stringify({ on: true, id: name })],
        ]),
        roster: [],
      });
    const group = (members: string[]) => ({
      description: "as it was",
      members: new Set(members.map((one) => `${one}@example.test`)),
      admins: new Set(["carol@example.test"]),
      properties: new Map([
        ["sharedRoster.showInRoster", "onlyGroup"],
        ["sharedRoster.displayName", "Gone"],
        ["sharedRoster.groupList", ""],
      ]),
    });
    state.groups.set("Old", group(["bob"]));
    state.groups.set("Gone", group(["bob", "carol"]));
    state.stored.set("plugin.parent", "p");
    state.stored.set("plugin.parent.child", "c");
    state.stored.set("ldap.adminPassword", "former");
    return openfire;
  }

  async function agent(openfire: OpenfireStandIn, at: string): Promise<{ target: Target; journal: Journal }> {
    await rm(at, { recursive: true, force: true });
    return again(openfire, at);
  }

  async function again(openfire: OpenfireStandIn, at: string) {
    const { mkdir } = await import("node:fs/promises");
    await mkdir(at, { recursive: true });
    await writeFile(join(at, "secret"), openfire.secret);
    const journal = await openJournal(at);
    const target = await openTarget(
      {
        core: {
          kind: "openfire",
          url: openfire.url,
          access: { by: "secret", file: join(at, "secret") },
          ca: undefined,
        },
      },
      {
        home: at,
        journal,
        clear: clearPasswords(true),
        socket: "",
        agent: "the agent of this test",
        events: { event() {}, greeted() {}, lost() {} },
      },
    );
    await target.ready(10_000);
    return { target, journal };
  }

  const request = { expected: 0, revision: 1, by: "test", changes, aliasDays: 0 };

  /** The state before, the one after, and how many requests lie between. */
  async function undisturbed() {
    const openfire = await world();
    const before = openfire.state.content();
    const { target, journal } = await agent(openfire, join(home, "whole"));
    openfire.fault({ at: 0, how: "hang" });
    await target.apply(request);
    const after = openfire.state.content();
    const count = openfire.changed();
    await target.close();
    await journal.close();
    await openfire.close();
    return { before, after: neutral(after), count };
  }

  /** Passwords nobody knows and times differ from run to run. */
  const neutral = (content: string) =>
    content.replace(/"[A-Za-z0-9_-]{32}"/g, '"(random)"').replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "(time)");

  test.each(["before", "after"] as const)("by the death of both, %s each request takes effect", async (how) => {
    const whole = await undisturbed();
    expect(whole.count).toBe(18);
    expect(whole.after).not.toBe(neutral(whole.before));
    const ends = new Set<string>();
    for (let at = 1; at <= whole.count; at++) {
      const openfire = await world();
      const first = await agent(openfire, join(home, `${how}-${at}`));
      openfire.fault({ at, how, dies: true });
      await expect(first.target.apply(request)).rejects.toMatchObject({ code: "target/lost" });
      await first.target.close();
      await first.journal.close();
      openfire.revive();
      const second = await again(openfire, join(home, `${how}-${at}`));
      await second.target.recover?.();
      const { revision } = await second.target.revisions();
      const stands = neutral(openfire.state.content());
      expect(stands, `request ${at} of ${whole.count}, revision ${revision}`).toBe(
        revision === 1 ? whole.after : neutral(whole.before),
      );
      ends.add(String(revision));
      await second.target.close();
      await second.journal.close();
      await openfire.close();
    }
    // Only the very last request makes it the new one.
    expect([...ends]).toEqual(how === "after" ? ["0", "1"] : ["0"]);
  });

  test("by deaths in the taking back, one after the other", async () => {
    const openfire = await world();
    const before = neutral(openfire.state.content());
    const at = join(home, "again and again");
    const first = await agent(openfire, at);
    openfire.fault({ at: 17, how: "after", dies: true });
    await expect(first.target.apply(request)).rejects.toMatchObject({ code: "target/lost" });
    await first.target.close();
    await first.journal.close();
    let deaths = 0;
    for (let death = 2; ; death++) {
      openfire.revive();
      const next = await again(openfire, at);
      openfire.fault({ at: death, how: death % 2 === 0 ? "before" : "after", dies: true });
      const done = await next.target.recover?.().then(
        () => true,
        () => false,
      );
      openfire.revive();
      await next.target.close();
      await next.journal.close();
      if (done) break;
      deaths += 1;
    }
    expect(deaths).toBeGreaterThan(5);
    expect(neutral(openfire.state.content())).toBe(before);
    await openfire.close();
  });

  test("by a refusal in the middle: taken back at once, with the reason, and the steps are in the journal", async () => {
    const openfire = await world();
    const before = neutral(openfire.state.content());
    const { target, journal } = await agent(openfire, join(home, "refused"));
    const refused: Fault = { at: 9, how: "refuse" };
    openfire.fault(refused);
    await expect(target.apply(request)).rejects.toMatchObject({
      code: "openfire/request-failed",
      fields: { status: 500 },
    });
    expect(neutral(openfire.state.content())).toBe(before);
    const steps = journal.entries.filter((one) => one.is === "step");
    expect(steps.map((one) => (one.is === "step" ? one.what : ""))).toContain("group New made");
    expect(JSON.stringify(journal.entries)).not.toContain("former");
    await target.close();
    await journal.close();
    await openfire.close();
  });
});
