/** From a host's passwords to the plan: hashes, directories, a password for chat, who may chat. docs/passwords.md. */
import { describe, expect, test } from "vitest";
import { desired } from "../../agent/desired/desired.ts";
import { plan } from "../../agent/plan/plan.ts";
import { planDocument, renderPlan } from "../../agent/plan/render.ts";
import { parseHostFile } from "../../agent/store/host-file.ts";
import { blankPasswords, replacePasswords } from "../../agent/store/host-file-passwords.ts";
import type { Role, Snapshot, Team, User } from "../../agent/store/host-store.ts";
import { recordsOf } from "../../agent/store/records.ts";
import { snapshotOf } from "../../agent/store/snapshot.ts";
import { applied, canonical, newWorld, type World } from "../support/model-server.ts";

const bcrypt = "$2b$05$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe";
const ssha = "{SSHA}gWKS3Z9eX/P2o7pGuv8brJ83Q3Kyq7I+";
const keys = { sha256: "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA" };

function snapshot(
  users: Partial<User>[],
  more: { allowed?: string; roles?: Partial<Role>[]; teams?: Team[] } = {},
): Snapshot {
  const settings = new Map([
    ["sys.xmpp.domain", "a.example"],
    ["sys.xmpp.adminuser", "root"],
  ]);
  if (more.allowed !== undefined) settings.set("sys.xmpp.allowedroles", more.allowed);
  return {
    ...{ hash: "h", source: "test", warnings: [], settings, teams: more.teams ?? [] },
    roles: (more.roles ?? []).map((role) => ({ name: "", types: [], members: [], parameters: new Map(), ...role })),
    users: [
      { name: "root", enabled: true, credentials: keys },
      ...users.map((user) => ({ name: "", enabled: true, ...user })),
    ],
  };
}

function planned(of: Snapshot, world: World) {
  const wanted = desired(of, {});
  const answer = canonical(wanted.state, world);
  return plan({
    ...{ desired: wanted, canonical: answer, actual: world, revision: 1, snapshot: of.hash, keepDays: 30 },
    adopt: new Set(),
  });
}

function inForce(of: Snapshot, before = newWorld("a.example")): World {
  return applied(
    before,
    planned(of, before).changes.flatMap(({ steps }) => steps),
  );
}

const enabled = (world: World) =>
  Object.fromEntries(world.accounts.map((one) => [one.name, one.enabled ? "in" : one.barred ? "barred" : "out"]));

describe("what counts of a user's passwords", () => {
  test.each<[string, Partial<User>, object]>([
    ["a hash alone", { passwordHash: bcrypt }, { enabled: true, passwordHash: bcrypt }],
    ["keys before a hash", { passwordHash: bcrypt, credentials: keys }, { enabled: true, credentials: keys }],
    [
      "a directory before both",
      { passwordFrom: "ldap", passwordHash: bcrypt, credentials: keys },
      { passwordFrom: "ldap" },
    ],
    ["the store is no directory", { passwordFrom: "store", passwordHash: ssha }, { enabled: true, passwordHash: ssha }],
    ["nothing", {}, { enabled: false }],
  ])("%s", (_, user, wanted) => {
    const [, account] = desired(snapshot([{ name: "alice", ...user }]), {}).state.accounts;
    const { name, ...rest } = account ?? { name: "" };
    expect(rest).toEqual({ enabled: true, ...wanted });
    expect(name).toBe("alice");
  });

  test("a plan of them converges: hash to hash, hash to directory, directory to keys", () => {
    let world = inForce(snapshot([{ name: "alice", passwordHash: bcrypt }]));
    expect(planned(snapshot([{ name: "alice", passwordHash: bcrypt }]), world).changes).toEqual([]);
    for (const user of [{ passwordHash: ssha }, { passwordFrom: "http" } as const, { credentials: keys }]) {
      const next = snapshot([{ name: "alice", ...user }]);
      expect(planned(next, world).changes.map(({ to }) => to)).toEqual(["password changed"]);
      world = inForce(next, world);
      expect(planned(next, world).changes).toEqual([]);
    }
    expect(JSON.stringify(world)).not.toMatch(/\$2b\$|SSHA/);
  });

  test("a hash that cannot be checked is rejected by its kind, and the account stays as it was", () => {
    const world = inForce(snapshot([{ name: "alice", passwordHash: bcrypt }]));
    const md5 = "$1$abcdefgh$znAnv9M.XU2pRYfmSs46h/";
    const made = planned(
      snapshot([
        { name: "alice", displayName: "A", passwordHash: md5 },
        { name: "carol", passwordHash: md5 },
      ]),
      world,
    );
    expect(made.changes).toEqual([]);
    expect(made.rejected).toMatchObject([
      { code: "accounts/password-hash", key: "users: alice", value: "a password hash (MD5)" },
      { code: "accounts/password-hash", key: "users: carol" },
    ]);
    expect(JSON.stringify(made)).not.toContain(md5);
  });

  test("how many have no keys stands at the head, and how SCRAM returns once all have", () => {
    const of = snapshot([
      { name: "alice", passwordHash: bcrypt },
      { name: "bob", passwordHash: bcrypt },
      { name: "lena", passwordFrom: "ldap" },
    ]);
    const fresh = newWorld("a.example");
    expect(planned(of, fresh).notices[0]?.message).toMatch(
      /2 accounts have only a hash.*1 account has the password in a directory/,
    );
    expect(renderPlan(planDocument(planned(of, fresh)))).toMatch(/^weakens: 2 accounts have only a hash/);
    const world = inForce(of);
    world.settings.passwords = { hashed: 1, derived: 1, live: 1, plainAlone: true };
    expect(planned(of, world).notices[0]?.message).toMatch(/^1 account has only a hash/);
    const without = snapshot([
      { name: "alice", passwordHash: bcrypt },
      { name: "bob", passwordHash: bcrypt },
    ]);
    const all = inForce(without);
    all.settings.passwords = { hashed: 0, derived: 2, live: 0, plainAlone: true };
    const [first] = planned(without, all).notices;
    expect(first?.message).toContain("All 2 accounts");
    expect(first?.hint).toContain("firekeeper.sasl.plain-alone to never");
    expect(planned(snapshot([]), newWorld("a.example")).notices.map(({ code }) => code)).not.toContain(
      "plan/plain-only",
    );
  });
});

describe("sys.xmpp.allowedroles", () => {
  const users = [
    { name: "Alice", credentials: keys },
    { name: "bob", credentials: keys },
    { name: "carol", credentials: keys },
    { name: "dora" },
  ];
  const roles = [
    { name: "Chat", members: ["root", "alice"] },
    { name: "Queue people", members: ["root"], teams: ["7"] },
    { name: "All", members: "all" as const },
  ];
  const teams: Team[] = [{ id: "7", name: "Q", kind: "queue", members: [{ user: "Bob", dynamic: true }] }];
  const at = (allowed?: string) => snapshot(users, { roles, teams, ...(allowed === undefined ? {} : { allowed }) });

  test.each([
    [undefined, { root: "in", alice: "in", bob: "in", carol: "in", dora: "out" }],
    [" ", { root: "in", alice: "in", bob: "in", carol: "in", dora: "out" }],
    ["Chat", { root: "in", alice: "in", bob: "barred", carol: "barred", dora: "out" }],
    ["Chat, Queue people", { root: "in", alice: "in", bob: "in", carol: "barred", dora: "out" }],
    ["Chat,All", { root: "in", alice: "in", bob: "in", carol: "in", dora: "out" }],
  ])("%s", (allowed, wanted) => {
    expect(enabled(inForce(at(allowed)))).toEqual(wanted);
    expect(planned(at(allowed), inForce(at(allowed))).changes).toEqual([]);
  });

  test("a name that no role has leaves everybody as it is, and lets nobody new in", () => {
    const world = inForce(at("Chat"));
    const slip = snapshot([...users, { name: "emil", credentials: keys }], { roles, allowed: "Chatt" });
    const made = planned(slip, world);
    expect(made.rejected).toMatchObject([
      { code: "settings/unknown-role", hint: expect.stringContaining("Did you mean Chat?") },
    ]);
    expect(enabled(inForce(slip, world))).toEqual({ ...enabled(world), emil: "barred" });
    expect(enabled(inForce(at("Nobody"), inForce(at())))).toEqual(enabled(inForce(at())));
  });

  test("the admin is not shut out by it", () => {
    const of = snapshot(users, { roles: [{ name: "Chat", members: ["alice"] }], allowed: "Chat" });
    const world = inForce(of, inForce(at()));
    expect(enabled(world)).toMatchObject({ root: "in", alice: "in", bob: "barred" });
  });
});

describe("a password for chat apart from the other", () => {
  test("in records only that one is for us", () => {
    const { users } = recordsOf(
      {
        users: [
          { name: "a", password: "mail", chatPassword: "chat" },
          { name: "b", passwordHash: ssha, chatPasswordHash: bcrypt },
          { name: "c", passwordFrom: "ldap", chatPasswordHash: bcrypt },
          { name: "d", password: "mail", chatPassword: "" },
        ],
      },
      "test",
    );
    expect(users).toEqual([
      { name: "a", enabled: true, password: "chat" },
      { name: "b", enabled: true, passwordHash: bcrypt },
      { name: "c", enabled: true, passwordHash: bcrypt },
      { name: "d", enabled: true, password: "mail" },
    ]);
  });

  test("in the host file it gives way to keys, the other stays as it is and is in no copy", () => {
    const text =
      "users:\n  - name: a # first\n    password: mail\n    chatPassword: chat # by hand\n  - { name: b, password: mail }\n...\n";
    const file = parseHostFile(text, "host.yaml");
    expect(file.users[0]).toMatchObject({ password: "chat", otherPassword: true });
    const known = {
      known: (_: string, password: string) => (password === "chat" ? keys : undefined),
      unusable: () => undefined,
    };
    expect(snapshotOf(file, known, "host.yaml").users[0]).toEqual({ name: "a", enabled: true, credentials: keys });
    const real = { sha256: `SCRAM-SHA-256$4096:${"A".repeat(22)}==$${"A".repeat(43)}=:${"A".repeat(43)}=` };
    const replaced = replacePasswords(text, "host.yaml", new Map([["a", real]]));
    expect(replaced).toContain("password: mail");
    expect(replaced).toContain("chatCredentials:");
    expect(replaced).not.toContain("chatPassword: chat");
    expect(replaced).toContain("# by hand");
    expect(blankPasswords(replaced, "host.yaml")).not.toContain("mail");
  });
});
