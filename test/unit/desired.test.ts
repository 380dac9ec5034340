import { describe, expect, test } from "vitest";
import { desired } from "../../agent/desired/desired.ts";
import type { Role, Snapshot, User } from "../../agent/store/host-store.ts";
import { desiredState } from "../../xmpp-core/control/contract.ts";

const keys = { sha256: "SCRAM-SHA-256$4096:c2FsdA==$a:b" };
const user = (name: string, more: Partial<User> = {}): User => ({ name, enabled: true, credentials: keys, ...more });
const role = (name: string, types: string[], members: Role["members"]): Role => ({
  name,
  types,
  members,
  parameters: new Map(),
});
const admin = user("admin");

function wanted(host: { settings?: Record<string, string>; roles?: Role[]; users?: User[] }, instance?: string) {
  const snapshot: Snapshot = {
    hash: "",
    settings: new Map(Object.entries({ "sys.xmpp.domain": "x.org", ...host.settings })),
    roles: host.roles ?? [],
    users: host.users ?? [admin],
    source: "host.yaml",
    warnings: [],
  };
  const result = desired(snapshot, { instance });
  expect(desiredState.parse(result.state)).toEqual(result.state);
  return result;
}
const settings = (of: Record<string, string>, instance?: string, users: User[] = [admin]) =>
  wanted({ settings: of, users }, instance);
const codes = (items: readonly { code: string }[]) => items.map((item) => item.code);

describe("settings", () => {
  /**
   *  sys.xmpp.domain | FIREKEEPER_INSTANCE | domain    | from
   */
  test.each([
    ["chat.x.org", "acme-1", "chat.x.org", "store"],
    ["", "acme-1", "acme-1", "instance"],
    ["  ", undefined, "mobydick", "default"],
    [" x.org ", undefined, "x.org", "store"],
  ] as const)("domain %j with instance %s is %s, from %s", (given, instance, domain, from) => {
    const { state, domainFrom, notices } = settings({ "sys.xmpp.domain": given }, instance);
    expect([state.settings.domain, domainFrom]).toEqual([domain, from]);
    expect(codes(notices)).toEqual(domain.includes(".") ? [] : ["settings/single-label-domain"]);
  });

  test("each key has its place, values are the host's", () => {
    const { state, rejections, notices } = settings({
      "sys.xmpp.adminuser": "ADMIN",
      "sys.xmpp.externalip": "chat.example.org",
      "sys.xmpp.java_options": "-Xmx512m -XX:+UseG1GC",
      "sys.xmpp.properties.xmpp.server.session.timeout": " 60000",
      "sys.xmpp.properties.foo.bar": "",
      "sys.telephony.prefix": "0",
    });
    expect(state.settings).toEqual({
      domain: "x.org",
      admin: "ADMIN",
      externalAddress: "chat.example.org",
      runtimeOptions: "-Xmx512m -XX:+UseG1GC",
      properties: { "xmpp.server.session.timeout": " 60000", "foo.bar": "" },
    });
    expect([rejections, notices]).toEqual([[], []]);
  });

  test.each([
    [
      "sys.xmpp.properties.xmpp.domain",
      "y.org",
      "settings/owned-elsewhere",
      "property:xmpp.domain",
      /sys\.xmpp\.domain/,
    ],
    [
      "sys.xmpp.properties.admin.authorizedJIDs",
      "a@x",
      "settings/owned-elsewhere",
      "property:admin.authorizedJIDs",
      /sys\.xmpp\.adminuser/,
    ],
    ["sys.xmpp.properties.", "y", "settings/no-property-name", "property:", /name of a server property/],
    ["sys.xmpp.properties.__proto__", "y", "settings/no-property-name", "property:__proto__", /name/],
    ["sys.xmpp.adminuser", "amdin", "settings/admin-missing", "admin", /Did you mean admin\?/],
    ["sys.xmpp.adminuser", "guest", "settings/admin-disabled", "admin", /enabled and have a password/],
  ])("%s = %s is rejected, what is in force stays", (key, value, code, name, words) => {
    const guest = user("guest", { enabled: false });
    const { state, rejections } = settings({ [key]: value, "sys.xmpp.properties.ok": "1" }, undefined, [admin, guest]);
    expect(rejections).toMatchObject([{ code, key, value, subject: { kind: "setting", name } }]);
    expect(`${rejections[0]?.rule} ${rejections[0]?.hint}`).toMatch(words);
    expect(state.settings).toEqual({ domain: "x.org", properties: { ok: "1" } });
  });

  test.each([
    ["sys.xmpp.domian", "Did you mean sys.xmpp.domain? Keys are matched exactly."],
    ["sys.xmpp.Domain", "Did you mean sys.xmpp.domain? Keys are matched exactly."],
    ["sys.xmmp.domain", "Did you mean sys.xmpp.domain? Keys are matched exactly."],
    [
      "sys.xmpp.propertys.xmpp.client.idle",
      "Did you mean sys.xmpp.properties.xmpp.client.idle? Keys are matched exactly.",
    ],
    ["sys.xmpp.xmpp.client.idle", "Server properties are set under sys.xmpp.properties.."],
    ["sys.xmpp", "Server properties are set under sys.xmpp.properties.."],
  ])("the unknown key %s is reported", (key, hint) => {
    const { state, notices } = settings({ [key]: "1" });
    expect(notices).toMatchObject([{ code: "settings/unknown-key", hint }]);
    expect(notices[0]?.message).toContain(key);
    expect(state.settings.properties).toEqual({});
  });

  test("the proxy's own address wins, and the plan says so", () => {
    const { notices } = settings({
      "sys.xmpp.externalip": "192.0.2.1",
      "sys.xmpp.properties.xmpp.proxy.externalip": "192.0.2.2",
    });
    expect(codes(notices)).toEqual(["settings/covered"]);
  });

  test("without an admin there is a notice", () => {
    expect(codes(settings({}, undefined, [user("alice")]).notices)).toEqual(["settings/no-admin"]);
    expect(codes(settings({}, undefined, [user("Admin", { enabled: false })]).notices)).toEqual(["settings/no-admin"]);
  });
});

describe("users", () => {
  test.each<[string, User, object]>([
    [
      "one with a password",
      user("bob", { id: "7", email: "b@x" }),
      { name: "bob", id: "7", email: "b@x", enabled: true },
    ],
    ["one without", { name: "bob", enabled: true }, { name: "bob", enabled: false }],
    ["a disabled one", user("bob", { enabled: false }), { name: "bob", enabled: false, credentials: keys }],
    [
      "one whose keys are being derived",
      { name: "bob", enabled: true, deriving: true },
      { name: "bob", enabled: true },
    ],
    ["one with capitals", user("Olsen"), { name: "Olsen", displayName: "Olsen" }],
    ["one with capitals and a name", user("Olsen", { displayName: "Ole" }), { name: "Olsen", displayName: "Ole" }],
  ])("%s", (_what, given, expected) => {
    const { state, rejections } = wanted({ users: [given, admin] });
    expect(state.accounts[0]).toMatchObject(expected);
    expect(rejections).toEqual([]);
  });

  test("two who differ in case only are both rejected by name, the others stay", () => {
    const { state, rejections } = wanted({ users: [user("Olsen"), admin, user("olsen")] });
    expect(state.accounts.map((account) => account.name)).toEqual(["admin"]);
    expect(rejections).toMatchObject([
      { code: "accounts/same-name", subject: { kind: "account", name: "Olsen" }, value: "Olsen and olsen" },
      { code: "accounts/same-name", subject: { kind: "account", name: "olsen" }, value: "Olsen and olsen" },
    ]);
  });

  test("two with one id are both rejected", () => {
    const { state, rejections } = wanted({ users: [user("a", { id: "1" }), user("b", { id: "1" }), admin] });
    expect(state.accounts).toHaveLength(1);
    expect(codes(rejections)).toEqual(["accounts/same-id", "accounts/same-id"]);
  });
});

describe("roles", () => {
  const users = [admin, user("Alice"), user("bob")];
  const group = { showInRoster: "onlyGroup", groupList: [] };

  test.each<[string, Role[], object[], string[], string[]]>([
    [
      "a group, its members spelled as the users",
      [role("Sales", ["xmpp.group"], ["ALICE", "bob", "BOB"])],
      [{ name: "Sales", displayName: "Sales", members: ["Alice", "bob"], ...group }],
      [],
      [],
    ],
    ["a group of all", [role("All", ["xmpp.group"], "all")], [{ name: "All", members: "all", ...group }], [], []],
    ["a supervisor", [role("Ops", ["xmpp.supervisor"], ["bob"])], [], ["bob"], []],
    [
      "a supervisor in two roles",
      [role("Ops", ["xmpp.supervisor"], ["bob"]), role("More", ["xmpp.supervisor"], ["bob", "alice"])],
      [],
      ["bob", "Alice"],
      [],
    ],
    [
      "all as supervisors",
      [role("Ops", ["xmpp.supervisor"], "all")],
      [],
      ["admin", "Alice", "bob"],
      ["roles/all-supervise"],
    ],
    [
      "three types at once",
      [role("R", ["xmpp.supervisor", "pickup.group", "xmpp.group"], ["bob"])],
      [{ name: "R", members: ["bob"] }],
      ["bob"],
      ["roles/unknown-type"],
    ],
    ["an obsolete type", [role("R", ["xmpp.connect"], ["bob"])], [], [], ["roles/obsolete-type"]],
    [
      "members who are nobody",
      [role("R", ["xmpp.group"], ["bob", "q_1", "alcie"])],
      [{ name: "R", members: ["bob"] }],
      [],
      ["roles/absent-member"],
    ],
    ["a role without a type", [role("R", [], ["nobody"])], [], [], []],
    ["an empty group", [role("R", ["xmpp.group"], [])], [{ name: "R", members: [] }], [], []],
  ])("%s", (_what, roles, groups, supervisors, notices) => {
    const result = wanted({ roles, users });
    expect(result.state.groups).toHaveLength(groups.length);
    expect(result.state.groups).toMatchObject(groups);
    expect(result.state.supervisors).toEqual(supervisors);
    expect(codes(result.notices)).toEqual(notices);
    expect(result.rejections).toEqual([]);
  });

  test("two of one name are rejected, and neither is done", () => {
    const roles = [role("R", ["xmpp.group"], ["bob"]), role("R", ["xmpp.group"], ["Alice"])];
    const { state, rejections } = wanted({ roles, users });
    expect(state.groups).toEqual([]);
    expect(rejections).toMatchObject([{ subject: { kind: "group", name: "R" } }, { code: "roles/same-name" }]);
  });

  test("a slip in a type is named, one notice a type", () => {
    const roles = Array.from({ length: 7 }, (_, index) => role(`R${index}`, ["xmpp.gruop"], []));
    const { notices } = wanted({ roles, users });
    expect(notices).toMatchObject([{ code: "roles/unknown-type", hint: "Did you mean xmpp.group?" }]);
    expect(notices[0]?.message).toContain("R4 and 2 more");
  });
});
