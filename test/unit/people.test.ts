/** Teams and further addresses: in the host's file, on the command line, in a plan. docs/people.md. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, expect, test } from "vitest";
import { differencesOf } from "../../agent/apply/revision-diff.ts";
import { advanced, contentOf } from "../../agent/apply/revision-state.ts";
import { rolesCommand } from "../../agent/commands/roles.ts";
import { storeOnDisk } from "../../agent/commands/store-access.ts";
import { teamsCommand } from "../../agent/commands/teams.ts";
import { usersCommand } from "../../agent/commands/users.ts";
import { desired } from "../../agent/desired/desired.ts";
import { plan } from "../../agent/plan/plan.ts";
import { planDocument, renderPlan } from "../../agent/plan/render.ts";
import { parseHostFile } from "../../agent/store/host-file.ts";
import { recordsOf } from "../../agent/store/records.ts";
import type { ActualAccount, ContactWanted, GroupWanted } from "../../xmpp-core/control/contract.ts";
import { canonical, newWorld } from "../support/model-server.ts";

let home: string;
let files = 0;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "firekeeper-people-"));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const plain = `settings:
  sys.xmpp.domain: a.example
roles:
  - { name: Sales, types: [xmpp.group], members: [alice] } # the desk
users:
  - name: alice
    password: secret
  - name: bob
`;

async function commands(text: string) {
  const path = join(home, `${++files}.yaml`);
  await writeFile(path, `${text}...\n`, { mode: 0o600 });
  const store = storeOnDisk({ home, store: path });
  const printed: string[] = [];
  const parts = {
    ...{ store: async () => store, readInput: async () => "pw\n", askPassword: undefined },
    print: (line: string) => void printed.push(line),
  };
  return {
    text: () => readFile(path, "utf8"),
    file: async () => parseHostFile(await readFile(path, "utf8"), path),
    async run(...words: string[]): Promise<string> {
      printed.length = 0;
      const program = new Command().exitOverride();
      for (const command of [usersCommand(parts), rolesCommand(parts), teamsCommand(parts)])
        program.addCommand(command);
      await program.parseAsync(words, { from: "user" });
      return printed.join("\n");
    },
  };
}

test("the command line adds people with ids and further addresses, and teams that roles show", async () => {
  const host = await commands(plain);
  await host.run("users", "add", "carol", "--password-stdin", "--id", "7", "--alias", "c.king", "king@b.example");
  expect((await host.file()).users[2]).toMatchObject({ name: "carol", id: "7", aliases: ["c.king", "king@b.example"] });
  await host.run("teams", "add", "1", "Support", "ALICE", "--extension", "7001");
  await host.run("teams", "add", "2", "Second line", "--kind", "callgroup");
  await host.run("teams", "member", "add", "2", "bob", "alice");
  await host.run("teams", "member", "remove", "2", "alice");
  expect(await host.run("teams", "show", "Sales", "1")).toContain("The role Sales shows the team 1.");
  await host.run("teams", "show", "Sales", "2");
  await host.run("teams", "hide", "Sales", "2");
  const file = await host.file();
  expect(file.teams).toEqual([
    { id: "1", name: "Support", extension: "7001", kind: "queue", members: [{ user: "alice", dynamic: false }] },
    { id: "2", name: "Second line", kind: "callgroup", members: [{ user: "bob", dynamic: false }] },
  ]);
  expect(file.roles[0]).toMatchObject({ name: "Sales", members: ["alice"], teams: ["1"] });
  expect(await host.text()).toContain("# the desk");
  expect(await host.run("teams", "list")).toMatch(/^1 +Support +queue +7001 +alice +q_1 +Sales$/m);
  for (const [words, why] of [
    ["teams add 1 Other", "There is a team 1 already."],
    ["teams add 3 Third nobody", "There is no user nobody."],
    ["teams remove 9", "There is no team 9."],
    ["teams member remove 1 bob", "bob is no member of the team 1."],
    ["teams show Sale 1", "There is no role Sale."],
    ["teams hide Sales 2", "2 is no member of the role Sales."],
  ] as const)
    await expect(host.run(...words.split(" "))).rejects.toThrow(why);
  await host.run("teams", "remove", "1");
  expect((await host.file()).roles[0]).not.toHaveProperty("teams");
  expect((await host.file()).teams.map(({ id }) => id)).toEqual(["2"]);
});

test("teams in a host file, plainly written or not, say the same", () => {
  const teams = (text: string) => parseHostFile(`users:\n  - name: alice\nteams:\n${text}...\n`, "host.yaml").teams;
  const expected = [{ id: "1", name: "Support", kind: "queue", members: [{ user: "alice", dynamic: false }] }];
  expect(teams("  - { id: 1, name: Support, members: [alice] }\n")).toEqual(expected);
  expect(teams("  - id: 1\n    name: Support\n    kind: queue\n    members:\n      - alice\n")).toEqual(expected);
  expect(teams('  - id: "1"\n    name: "Support"\n    members: [{ user: alice }]\n')).toEqual(expected);
  expect(teams("  - { id: 1, name: S, members: [{ user: bob, dynamic: true }] }\n")[0]?.members).toEqual([
    { user: "bob", dynamic: true },
  ]);
  expect(() => teams("  - { id: 1, name: A }\n  - { id: 1, name: B }\n")).toThrow("1 stands twice under teams");
  expect(() => teams("  - { name: A }\n")).toThrow("this team has no id");
  expect(() => teams("  - { id: 1, name: A, kind: robot }\n")).toThrow("kind must be queue or callgroup");
  expect(() => teams("  - { id: 1, name: A, member: [alice] }\n")).toThrow("member is no key of a team");
});

/** A plan from a host's records against a server with these accounts, contacts and groups. */
function planned(
  host: object,
  server: { accounts?: Partial<ActualAccount>[]; contacts?: ContactWanted[]; old?: true } = {},
  answers: Record<string, string | null> = {},
) {
  const records = recordsOf(host, "the host");
  const wanted = desired({ ...records, hash: "h", source: "the host" }, { instance: "a.example" });
  const actual = {
    ...newWorld("a.example"),
    accounts: (server.accounts ?? []).map((one) => ({ name: "", enabled: false, origin: "host" as const, ...one })),
    ...(server.old ? {} : { contacts: server.contacts ?? [] }),
  };
  const given = wanted.state.accounts.flatMap(({ aliases = [] }) => aliases);
  const form = (name: string) => (name in answers ? (answers[name] ?? null) : name.toLowerCase());
  return plan({
    ...{ desired: wanted, actual, revision: 1, snapshot: "h", keepDays: 30, adopt: new Set<string>() },
    canonical: {
      ...canonical(wanted.state, actual),
      aliases: given.map((one) => ({ given: one, name: form(one) })),
      contacts: (wanted.state.contacts ?? []).map(({ name }) => ({ given: name, name: form(name) })),
    },
  });
}
const aliasesIn = (made: ReturnType<typeof planned>) =>
  Object.fromEntries(
    made.changes.flatMap(({ steps }) =>
      steps.flatMap((step) => (step.kind === "account-set" ? [[step.account.name, step.account.aliases ?? []]] : [])),
    ),
  );

test("a further address leads to one person: conflicts are rejected with both names, and what stands stays", () => {
  const users = [
    { name: "alice", aliases: ["Ally", "alice", "bob", "sales", "x@y.example"] },
    { name: "bob", aliases: ["sales"] },
    { name: "carol", aliases: ["q_1"] },
  ];
  const teams = [{ id: 1, name: "Support" }];
  const roles = [{ name: "Sales", types: ["xmpp.group"], teams: [1] }];
  const made = planned({ users, teams, roles }, {}, { "x@y.example": null });
  expect(aliasesIn(made)).toEqual({ alice: ["ally"], bob: [], carol: [] });
  const rejected = made.rejected.map(({ key, value, code, rule }) => `${key} ${value} ${code}: ${rule}`);
  expect(rejected.sort()).toEqual(
    [
      "users: alice, aliases x@y.example plan/no-answer: the server says what it makes of an address",
      "users: alice, aliases bob accounts/alias-taken: bob is the name of the user bob, not of alice",
      "users: alice, aliases sales accounts/alias-taken: alice and bob cannot both be sales",
      "users: bob, aliases sales accounts/alias-taken: alice and bob cannot both be sales",
      "users: carol, aliases q_1 accounts/alias-taken: q_1 stands for a team, not for carol",
    ].sort(),
  );
  const standing = planned({ users: users.slice(0, 2) }, { accounts: [{ name: "bob", aliases: ["sales"] }] });
  expect(aliasesIn(standing)).toEqual({ alice: ["ally", "x@y.example"] });
});

test("teams are planned as contacts of the groups whose roles name them, and a plan says who gains and loses", () => {
  const users = [{ name: "alice" }, { name: "bob" }];
  const teams = [
    { id: 1, name: "Support", extension: 7001, members: ["bob"] },
    { id: 2, name: "Unseen" },
  ];
  const roles = [{ name: "Sales", types: ["xmpp.group"], members: ["alice"], teams: [1, 5] }];
  const made = planned({ users, roles, teams }, { contacts: [{ name: "q_8", displayName: "Old" }] });
  const text = renderPlan(planDocument(made));
  expect(made.changes.map(({ subject, action, to }) => [subject, action, to])).toEqual([
    ["account alice", "add", expect.any(String)],
    ["account bob", "add", expect.any(String)],
    ["contact q_1", "add", "Support (7001)"],
    ["group Sales", "add", expect.any(String)],
    ["group Sales", "members", "alice"],
    ["group Sales", "teams", "q_1"],
    ["contact q_8", "remove", null],
  ]);
  expect(text).toContain("group Sales: shows q_1");
  expect(text).toContain("contact q_8: removed (Old)");
  expect(text).toContain("the team Support (7001) in the group Sales");
  expect(made.notices.map(({ code }) => code)).toContain("roles/absent-team");
  // A revision keeps what groups show, so that a rollback brings it back.
  const state = advanced(new Map(), made.changes);
  expect(contentOf(state)).toMatchObject({
    contacts: [{ name: "q_1", displayName: "Support (7001)" }],
    groups: [{ name: "Sales", contacts: ["q_1"] } satisfies Partial<GroupWanted>],
  });
  expect(differencesOf(new Map(), state).map(({ subject }) => subject)).toContain("teams of Sales");
});

test("who bears the name of a team is rejected with it, and a server without teams is told so", () => {
  const teams = [{ id: "A", name: "Support" }];
  const roles = [{ name: "Sales", types: ["xmpp.group"], teams: ["A"] }];
  const clash = planned({ users: [{ name: "q_a" }, { name: "bob" }], roles, teams });
  expect(clash.rejected.map(({ code, key }) => [code, key])).toEqual([
    ["teams/name-taken", "teams: q_a"],
    ["accounts/team-name", "users: q_a"],
  ]);
  expect(clash.changes.map(({ subject }) => subject)).toEqual(["account bob", "group Sales"]);
  const badly = planned({ roles, teams }, {}, { q_a: null });
  expect(badly.rejected.map(({ key }) => key)).toEqual(["teams: q_a"]);
  const old = planned({ roles, teams }, { old: true });
  expect(old.changes.map(({ subject }) => subject)).toEqual(["group Sales"]);
  expect(old.notices.map(({ code }) => code)).toContain("plan/no-teams");
});
