/** The truth tables of plan/, row by row, and how a plan reads. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Desired } from "../../agent/desired/desired.ts";
import { plan } from "../../agent/plan/plan.ts";
import { planDocument, renderPlan } from "../../agent/plan/render.ts";
import type { AccountWanted, GroupWanted, SettingsWanted } from "../../xmpp-core/control/contract.ts";
import { canonical, newWorld, type World } from "../support/model-server.ts";

type Wish = {
  settings?: Partial<SettingsWanted>;
  accounts?: AccountWanted[];
  groups?: GroupWanted[];
  supervisors?: string[];
} & Partial<Pick<Desired, "domainFrom" | "rejections">>;

function wish({
  settings,
  accounts = [],
  groups = [],
  supervisors = [],
  domainFrom = "store",
  rejections = [],
}: Wish): Desired {
  return {
    state: { settings: { domain: "a.example", properties: {}, ...settings }, accounts, groups, supervisors },
    domainFrom,
    rejections,
    notices: [],
  };
}

function world(edit: (world: World) => void = () => {}): World {
  const made = newWorld("a.example");
  made.settings.fresh = false;
  edit(made);
  return made;
}

function planned(wanted: Wish, actual: World = world(), options: { adopt?: string[]; keepCredentials?: boolean } = {}) {
  const desired = wish(wanted);
  return plan({
    desired,
    canonical: canonical(desired.state, actual),
    actual,
    revision: 4,
    snapshot: "hash",
    keepDays: 30,
    adopt: new Set(options.adopt),
    ...(options.keepCredentials ? { keepCredentials: true } : {}),
  });
}

const on = (name: string, extra: Partial<AccountWanted> = {}): AccountWanted => ({ name, enabled: true, ...extra });
const host = (name: string, extra: object = {}) => ({ name, enabled: true, origin: "host" as const, ...extra });
/** Of a card with the phone 1. */
const phoneCard = `sha256:${createHash("sha256").update('["1",null,null,null,null,null,null]').digest("hex")}`;
const group = (members: GroupWanted["members"], extra: Partial<GroupWanted> = {}): GroupWanted => ({
  name: "Sales",
  displayName: "Sales",
  showInRoster: "onlyGroup",
  groupList: [],
  members,
  ...extra,
});

describe("properties", () => {
  const idle = (value: string | undefined): Wish => ({
    settings: { properties: value === undefined ? {} : { "xmpp.client.idle": value } },
  });
  const standing = (value: string, origin: "host" | "local", beneath?: string) =>
    world((one) => {
      one.settings.properties.push({
        key: "xmpp.client.idle",
        value,
        origin,
        secret: false,
        ...(beneath ? { beneath } : {}),
      });
    });

  test.each<[string, string | undefined, World, object[]]>([
    ["the same, canonical", " 05", standing("5", "host"), []],
    ["the same, local", "5", standing("5", "local"), [{ action: "own", impact: "live" }]],
    ["other", "6", standing("5", "host"), [{ action: "set", from: "5", to: "6" }]],
    ["unset", "6", world(), [{ action: "set", from: null, to: "6" }]],
    ["unreadable", "soon", standing("5", "host"), []],
    ["absent, of the host", undefined, standing("5", "host"), [{ action: "unset", from: "5", to: null }]],
    [
      "absent, with a local value beneath",
      undefined,
      standing("5", "host", "9"),
      [{ action: "unset", from: "5", to: "9" }],
    ],
    ["absent, local", undefined, standing("5", "local"), []],
    ["absent, unset", undefined, world(), []],
  ])("%s", (_, value, actual, changes) => {
    expect(planned(idle(value), actual).changes).toMatchObject(changes);
  });

  test("an unreadable value is rejected with key, value, rule and hint", () => {
    expect(planned(idle("soon")).rejected).toMatchObject([
      {
        key: "sys.xmpp.properties.xmpp.client.idle",
        value: "soon",
        rule: "a whole number",
        hint: "6 minutes would be 360000",
      },
    ]);
  });

  test("a local value is listed and left alone", () => {
    expect(planned({}, standing("5", "local")).notices[0]).toMatchObject({
      code: "plan/local",
      message: "property xmpp.client.idle = 5 is set on the server itself and left alone.",
    });
  });

  test("what has no effect, is not yet honoured, unknown or weakens is said; what weakens comes first", () => {
    const { notices } = planned({
      settings: {
        properties: {
          "cache.fileTransfer.size": "1",
          "xmpp.muc.create.anyone": "true",
          "foo.bar": "1",
          "register.inband": "TRUE",
        },
      },
    });
    const codes = notices.map((one) => one.code).filter((code) => code.startsWith("plan/"));
    expect(codes).toEqual(["plan/weakens", "plan/no-effect", "plan/not-yet", "plan/unknown"]);
  });

  test("a secret is nowhere in the plan that is printed, and its steps carry it", () => {
    const secret = { settings: { properties: { "plugin.restapi.secret": "hunter2" } } };
    const made = planned(secret);
    expect(JSON.stringify(planDocument(made))).not.toContain("hunter2");
    expect(planDocument(made).changes).toMatchObject([{ to: "(secret)" }]);
    expect(made.changes[0]?.steps).toMatchObject([{ to: "hunter2" }]);
  });

  test("a rejected key of the contract stays as it is", () => {
    const rejections: Desired["rejections"] = [
      {
        code: "settings/not-yet",
        subject: { kind: "setting", name: "external-address" },
        key: "sys.xmpp.externalip",
        value: "auto",
        rule: "r",
        hint: "h",
      },
    ];
    const actual = world((one) => {
      one.settings.externalAddress = { value: "192.0.2.1", origin: "host" };
    });
    expect(planned({ rejections }, actual).changes).toEqual([]);
  });
});

describe("the domain", () => {
  const fresh = world((one) => {
    one.settings.fresh = true;
  });
  test.each<[string, Wish, World, string | undefined, string | undefined]>([
    ["the same", { settings: { domain: "A.example" } }, world(), undefined, undefined],
    ["other, never ran", { settings: { domain: "b.example" }, domainFrom: "default" }, fresh, "live", undefined],
    ["other, ran, by the store", { settings: { domain: "b.example" } }, world(), "migrate", undefined],
    [
      "other, ran, by nobody",
      { settings: { domain: "mobydick" }, domainFrom: "default" },
      world(),
      undefined,
      "plan/domain-removed",
    ],
    [
      "other, ran, by the environment",
      { settings: { domain: "acme-1" }, domainFrom: "instance" },
      world(),
      undefined,
      "plan/domain-removed",
    ],
    ["unreadable", { settings: { domain: "b example" } }, world(), undefined, "names/malformed"],
  ])("%s", (_, wanted, actual, impact, rejected) => {
    const made = planned(wanted, actual);
    expect(made.changes.map((one) => one.impact)).toEqual(impact ? [impact] : []);
    expect(made.rejected.map((one) => one.code)).toEqual(rejected ? [rejected] : []);
  });

  test("clashing accounts block it", () => {
    const desired = wish({ settings: { domain: "b.example" } });
    const actual = world();
    const answer = canonical(desired.state, actual);
    if (answer.migration) answer.migration.clashes = ["alice"];
    const made = plan({
      desired,
      canonical: answer,
      actual,
      revision: 1,
      snapshot: "s",
      keepDays: 30,
      adopt: new Set(),
    });
    expect(made.rejected).toMatchObject([{ code: "plan/domain-clash", rule: expect.stringContaining("alice") }]);
  });
});

describe("accounts", () => {
  test.each<[string, AccountWanted[], object[], object[]]>([
    ["new", [on("alice")], [], [{ action: "add", steps: [{ kind: "account-set" }] }]],
    ["the same", [on("alice")], [host("alice")], []],
    ["another field", [on("alice", { email: "a@b" })], [host("alice")], [{ action: "change", to: "e-mail a@b" }]],
    [
      "another password",
      [on("alice", { credentials: { sha256: "k" } })],
      [host("alice")],
      [{ action: "change", to: "password changed" }],
    ],
    [
      "a card",
      [on("alice", { card: { phone: "1" } })],
      [host("alice")],
      [{ action: "change", to: "card changed", impact: "live" }],
    ],
    ["the same card", [on("alice", { card: { phone: "1" } })], [host("alice", { cardHash: phoneCard })], []],
    ["no card any more", [on("alice")], [host("alice", { cardHash: phoneCard })], [{ to: "card removed" }]],
    [
      "disabled",
      [{ name: "alice", enabled: false }],
      [host("alice")],
      [{ action: "disable", removes: [{ of: "account", name: "alice" }] }],
    ],
    ["removed before", [on("alice")], [host("alice", { enabled: false, keptUntil: "2030" })], [{ action: "return" }]],
    ["another person", [on("alice", { id: "2" })], [host("alice", { id: "1" })], [{ action: "replace" }]],
    ["an id is learnt", [on("alice", { id: "2" })], [host("alice")], [{ action: "change", to: "id 2" }]],
    ["an id is no longer told", [on("alice")], [host("alice", { id: "1" })], []],
    ["gone", [], [host("alice")], [{ action: "remove", steps: [{ kind: "account-remove", keepDays: 30 }] }]],
    ["gone before", [], [host("alice", { enabled: false, keptUntil: "2030" })], []],
    [
      "renamed",
      [on("alicia", { id: "1" })],
      [host("alice", { id: "1" })],
      [{ action: "rename", from: "alice", to: "alicia" }],
    ],
  ])("%s", (_, accounts, standing, changes) => {
    const actual = world((one) => one.accounts.push(...(standing as World["accounts"])));
    expect(planned({ accounts }, actual).changes).toMatchObject(changes);
  });

  test("two that the server cannot tell apart are rejected by name, and the standing one stays", () => {
    const actual = world((one) => one.accounts.push(host("olsen")));
    const made = planned({ accounts: [on("Olsen"), on("olsen")] }, actual);
    expect(made.changes).toEqual([]);
    expect(made.rejected.map((one) => [one.key, one.value])).toEqual([
      ["users: Olsen", "Olsen and olsen"],
      ["users: olsen", "Olsen and olsen"],
    ]);
  });

  test("renames go in the order in which names become free; a swap is rejected", () => {
    const actual = world((one) => one.accounts.push(host("a", { id: "1" }), host("b", { id: "2" })));
    const chain = planned({ accounts: [on("b", { id: "1" }), on("c", { id: "2" })] }, actual);
    expect(chain.changes.map((one) => [one.from, one.to])).toEqual([
      ["b", "c"],
      ["a", "b"],
    ]);
    const swap = planned({ accounts: [on("b", { id: "1" }), on("a", { id: "2" })] }, actual);
    expect(swap.changes).toEqual([]);
    expect(swap.rejected.map((one) => one.code)).toEqual(["plan/rename-circle", "plan/rename-circle"]);
  });

  test("a local account of the name waits, gets no rights meanwhile, and is adopted when a person says so", () => {
    const actual = world((one) => one.accounts.push({ name: "bob", enabled: true, origin: "local" }));
    const wanted = { accounts: [on("bob")], groups: [group(["bob"])], supervisors: ["bob"] };
    const waiting = planned(wanted, actual);
    expect(waiting.rejected).toMatchObject([
      { code: "plan/waits-for-adoption", hint: expect.stringContaining("--adopt bob") },
    ]);
    expect(waiting.changes.flatMap((one) => one.steps).map((one) => one.kind)).toEqual(["group-set"]);
    const adopted = planned(wanted, actual, { adopt: ["bob"] });
    expect(adopted.changes.map((one) => one.action)).toEqual(["adopt", "add", "members", "grant"]);
  });
});

describe("the admin", () => {
  const both = world((one) => {
    one.accounts.push(host("alice"), host("bob"));
    one.settings.admin = { value: "alice", origin: "host" };
  });
  test.each<[string, Wish, object[], string[]]>([
    [
      "another who may log in",
      { settings: { admin: "bob" }, accounts: [on("alice"), on("bob")] },
      [{ subject: "admin", from: "alice", to: "bob" }],
      [],
    ],
    [
      "a missing one",
      { settings: { admin: "eve" }, accounts: [on("alice"), on("bob")] },
      [],
      ["settings/admin-missing"],
    ],
    [
      "a disabled one",
      { settings: { admin: "bob" }, accounts: [on("alice"), { name: "bob", enabled: false }] },
      [{ subject: "account bob" }],
      ["settings/admin-disabled"],
    ],
    [
      "the present one removed",
      { settings: { admin: "alice" }, accounts: [on("bob")] },
      [],
      ["plan/last-admin", "settings/admin-missing"],
    ],
    [
      "the present one disabled",
      { settings: { admin: "alice" }, accounts: [{ name: "alice", enabled: false }, on("bob")] },
      [],
      ["plan/last-admin", "settings/admin-disabled"],
    ],
    [
      "removed together with naming another",
      { settings: { admin: "bob" }, accounts: [on("bob")] },
      [{ subject: "account alice" }, { subject: "admin" }],
      [],
    ],
    ["no longer named", { accounts: [on("alice"), on("bob")] }, [{ subject: "admin", action: "unset" }], []],
  ])("%s", (_, wanted, changes, rejected) => {
    const made = planned(wanted, both);
    expect(made.changes).toMatchObject(changes);
    expect(made.rejected.map((one) => one.code).sort()).toEqual(rejected);
  });

  test("unset without a user admin: nobody, with a notice", () => {
    expect(planned({ accounts: [on("alice")] }).notices).toContainEqual(
      expect.objectContaining({ code: "settings/no-admin" }),
    );
  });
});

describe("groups and supervisors", () => {
  const standing = (members: GroupWanted["members"], origin: "host" | "local" = "host") =>
    world((one) => {
      one.accounts.push(host("alice"), host("bob"), host("carol"));
      one.groups.push({ ...group(members), origin });
      one.supervisors.push("bob");
    });
  const people = [on("alice"), on("bob"), on("carol")];

  test.each<[string, GroupWanted[], World, object[]]>([
    ["the same", [group(["bob", "alice"])], standing(["alice", "bob"]), []],
    ["another text", [group(["alice"], { displayName: "Sellers" })], standing(["alice"]), [{ action: "change" }]],
    [
      "other members",
      [group(["bob", "carol"])],
      standing(["alice", "bob"]),
      [{ action: "members", to: "carol", from: "alice" }],
    ],
    ["everybody", [group("all")], standing(["alice"]), [{ action: "members", to: "everybody", from: null }]],
    [
      "a list again",
      [group(["alice"])],
      standing("all"),
      [{ action: "members", from: "everybody but alice", removes: [{}, {}] }],
    ],
    ["gone", [], standing(["alice"]), [{ action: "remove", from: "alice" }]],
    ["gone, local", [], standing(["alice"], "local"), []],
  ])("%s", (_, groups, actual, changes) => {
    expect(planned({ accounts: people, groups, supervisors: ["bob"] }, actual).changes).toMatchObject(changes);
  });

  test("who gains and who loses the right to supervise stands on a line each, losing first", () => {
    const made = planned({ accounts: people, groups: [group(["alice"])], supervisors: ["carol"] }, standing(["alice"]));
    expect(made.changes.map((one) => [one.subject, one.action])).toEqual([
      ["supervisor bob", "revoke"],
      ["supervisor carol", "grant"],
    ]);
  });

  test("members who are renamed neither lose nor gain", () => {
    const actual = world((one) => {
      one.accounts.push(host("alice", { id: "1" }));
      one.groups.push({ ...group(["alice"]), origin: "host" });
      one.supervisors.push("alice");
    });
    const made = planned(
      { accounts: [on("alicia", { id: "1" })], groups: [group(["alicia"])], supervisors: ["alicia"] },
      actual,
    );
    expect(made.changes.map((one) => one.action)).toEqual(["rename"]);
  });
});

test("a plan for people: what weakens, the total impact, each change, what is rejected", () => {
  const text = renderPlan(
    planDocument(
      planned({
        settings: { properties: { "register.inband": "true", "xmpp.client.idle": "soon" } },
        accounts: [on("alice"), on("admin")],
        groups: [group(["alice"])],
      }),
    ),
  );
  expect(text.split("\n")).toEqual([
    "weakens: sys.xmpp.properties.register.inband: anybody may make an account.",
    "5 live changes, no one will notice",
    "  live     account admin: add enabled  (users: admin)",
    "  live     account alice: add enabled  (users: alice)",
    '  live     group Sales: add "Sales" for its members  (roles: Sales)',
    "  live     group Sales: alice gains it  (roles: Sales)",
    "             + alice gains: the group Sales in the contact list, 1 member",
    "  live     property register.inband: set true  (sys.xmpp.properties.register.inband)",
    "",
    "rejected: 1, what was in force stays",
    "  sys.xmpp.properties.xmpp.client.idle = soon: must be a whole number. 6 minutes would be 360000",
  ]);
});

describe("who gains and who loses what", () => {
  const people = ["alice", "bob", "carol", "dave"].map((name) => on(name));
  const effects = (wanted: Wish, actual: World) =>
    renderPlan(planDocument(planned(wanted, actual)))
      .split("\n")
      .filter((line) => /^ {13}[+-]/.test(line))
      .map((line) => line.trim());
  const standing = (more: (one: World) => void = () => {}) =>
    world((one) => {
      one.accounts.push(...["alice", "bob", "carol", "dave"].map((name) => host(name)));
      more(one);
    });

  test("a role of three types: members see each other and supervise, the third type changes nothing here", () => {
    const before = standing((one) => {
      one.groups.push({ ...group(["alice", "carol"]), origin: "host" });
      one.supervisors.push("alice", "carol");
    });
    const wanted = { accounts: people, groups: [group(["alice", "bob"])], supervisors: ["alice", "bob"] };
    expect(effects(wanted, before)).toEqual([
      "- carol loses: the rights of a supervisor: all presence, ending sessions, announcements",
      "+ bob gains: the group Sales in the contact list, 2 members",
      "- carol loses: the group Sales in the contact list, 2 members",
      "+ bob gains: the rights of a supervisor: all presence, ending sessions, announcements",
    ]);
  });

  test.each<[string, GroupWanted["members"], GroupWanted["members"] | undefined, string[]]>([
    ["a new group", ["alice", "bob"], undefined, ["+ alice, bob gain: the group Sales in the contact list, 2 members"]],
    ["a group of everybody", "all", [], ["+ everybody gains: the group Sales in the contact list, everybody"]],
    [
      "from everybody to a list",
      ["alice"],
      "all",
      ["- everybody but alice loses: the group Sales in the contact list, everybody"],
    ],
    ["the same", ["alice"], ["alice"], []],
  ])("%s", (_, wanted, now, lines) => {
    const before = standing((one) => {
      if (now) one.groups.push({ ...group(now), origin: "host" });
    });
    expect(effects({ accounts: people, groups: [group(wanted)] }, before)).toEqual(lines);
  });

  test("a group that goes, another admin", () => {
    const before = standing((one) => one.groups.push({ ...group(["alice", "bob"]), origin: "host" }));
    expect(effects({ accounts: people }, before)).toEqual([
      "- alice, bob lose: the group Sales in the contact list, 2 members",
    ]);
    expect(effects({ accounts: people, settings: { admin: "alice" } }, standing())).toEqual([
      "+ alice gains: console, REST and admin commands",
      "- admin loses: console, REST and admin commands",
    ]);
  });

  test("who may no longer log in, and who may again", () => {
    const before = standing((one) => {
      one.accounts = [host("alice"), host("bob", { enabled: false }), host("carol")];
    });
    const wanted = { accounts: [on("alice", { enabled: false }), on("bob"), on("dave")] };
    expect(effects(wanted, before)).toEqual([
      "- alice loses: the use of the service",
      "+ bob gains: the use of the service",
    ]);
  });

  test("a rename costs nobody anything", () => {
    const before = standing((one) => {
      one.accounts = [host("alice", { id: "1" })];
      one.groups.push({ ...group(["alice"]), origin: "host" });
    });
    expect(effects({ accounts: [on("alicia", { id: "1" })], groups: [group(["alicia"])] }, before)).toEqual([]);
  });

  test("many are a few names and a number", () => {
    const many = Array.from({ length: 30 }, (_, at) => `user${String(at).padStart(2, "0")}`);
    const [line] = effects(
      { accounts: many.map((name) => on(name)), groups: [group(many)] },
      world((one) => one.accounts.push(...many.map((name) => host(name)))),
    );
    expect(line).toMatch(/^\+ user00, .*user19 and 10 more gain: the group Sales in the contact list, 30 members$/);
  });
});
