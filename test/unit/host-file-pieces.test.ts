/** A host file read and edited piece by piece says the same as the one document, for every file that can be written. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { FileChange } from "../../agent/store/host-change.ts";
import { hostFileMemo, parseHostFile, readByPieces } from "../../agent/store/host-file.ts";
import { type EditedText, editHostFile, editWhole } from "../../agent/store/host-file-edit.ts";
import { type HostFile, readHostFile } from "../../agent/store/host-file-text.ts";
import { StoreError } from "../../agent/store/host-store.ts";

const outcome = (read: () => unknown) => {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { code: error.code, message: error.message, place: error.place, rule: error.rule, hint: error.hint };
  }
};

const names = ["alice", "bob", "Zoé Müller", "o'neil", "null", "~", "12", "a.b-c_d", "true", "anna", "karl"];
const scalars = [
  ...names,
  ..."x y|a:b|a: b|a #b|a#b|'q'|\"q\"|'it''s'|\"a\\n b\"|[x]|{a}|&x y|*x|!t x|- x|-|?|? x|a,b|@a|%a|`a|>|a|b c ".split(
    "|",
  ),
  ..."|\n      block\n      # text\n|>-\n      folded\n\n      more|\"two\n      lines\"|'two\n  # lines'|plain\n      goes on|a\\b|é|https://x.org/a?b=c".split(
    "|",
  ),
  "|\n      block\n\n      # text\n",
  ">-\n      folded\n\n\n      more\n",
  "|+\n      kept\n\n",
  "",
  "null",
];
const scalar = fc.constantFrom(...scalars);
const plain = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 100, max: 9999 }).map((n) => `user${n}`) },
  { weight: 1, arbitrary: fc.constantFrom(...names) },
);
const noise = fc.oneof(
  { weight: 40, arbitrary: fc.constant("") },
  { weight: 8, arbitrary: fc.constantFrom("\n", "# c\n", "  # c\n", "    # c\n", "   \n", "#\n\n", "      # deep\n") },
  { weight: 1, arbitrary: fc.constantFrom("\t\n", "\t# c\n", "- x\n", "  - { name: x }\n") },
);
const behind = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom("", "", "", " # why", " ") },
  { weight: 1, arbitrary: fc.constantFrom("#no", "\t", "\t# tab") },
);
const mostly = fc.oneof({ weight: 25, arbitrary: plain }, { weight: 1, arbitrary: scalar });
const pair = (key: string, value: fc.Arbitrary<string>) =>
  fc.tuple(value, behind).map(([text, comment]) => `${key}:${text === "" ? "" : ` ${text}`}${comment}`);
const list = fc.array(mostly, { maxLength: 3 });
const block = (values: readonly string[], pad: string) => values.map((value) => `\n${pad}- ${value}`).join("");
const flow = list.map((values) => `[${values.join(", ")}]`);

const userKeys = fc
  .tuple(
    mostly,
    fc.subarray(["displayName", "email", "enabled", "password", "id", "extension"]),
    fc.array(mostly, { minLength: 8, maxLength: 8 }),
    noise,
  )
  .chain(([name, keys, values, between]) =>
    fc
      .tuple(
        pair("name", fc.constant(name)),
        ...keys.map((key, at) => pair(key, fc.constant(key === "enabled" ? "false" : (values[at] ?? "")))),
      )
      .map((all) => all.join(`\n${between}    `)),
  );
const roleKeys = fc
  .tuple(
    pair("name", mostly),
    fc.oneof(
      flow,
      list.map((one) => block(one, "      ")),
    ),
    fc.oneof({ weight: 20, arbitrary: fc.constant("[xmpp.group]") }, scalar, flow),
    fc.constantFrom("", "\n    parameters:\n      color: red", "\n    parameters: { a: b }"),
  )
  .map(
    ([name, members, types, parameters]) =>
      `${name}\n    types: ${types}\n    members:${members.startsWith("\n") ? "" : " "}${members}${parameters}`,
  );
const flowItem = fc
  .tuple(mostly, flow)
  .map(([name, members]) => `{ name: ${name}, types: [xmpp.group], members: ${members} }`);
const flowUser = fc.tuple(mostly, mostly).map(([name, email]) => `{ name: ${name}, email: ${email} }`);
const items = (item: fc.Arbitrary<string>) =>
  fc
    .array(fc.tuple(noise, item, behind), { maxLength: 4 })
    .map((all) => all.map(([before, text, after]) => `${before}  - ${text}${after}\n`).join(""));
const section = (name: string, body: fc.Arbitrary<string>) =>
  fc.tuple(noise, behind, body).map(([before, after, text]) => `${before}${name}:${after}\n${text}`);
const settings = fc
  .array(
    fc.tuple(
      noise,
      fc.constantFrom("a", "b", "sys.xmpp.domain", "c"),
      fc.oneof({ weight: 4, arbitrary: plain }, scalar),
    ),
    { maxLength: 4 },
  )
  .map((all) => all.map(([before, key, value]) => `${before}  ${key}: ${value}\n`).join(""));
const hostFile = fc
  .tuple(
    fc.shuffledSubarray(["settings", "roles", "users"], { minLength: 1 }),
    section("settings", settings),
    section("roles", items(fc.oneof(roleKeys, flowItem))),
    section("users", items(fc.oneof({ weight: 3, arbitrary: userKeys }, flowUser))),
    noise,
    fc.constantFrom("...\n", "...\n", "...\n", "...\n", "...\n", "", "... # end\n", "...\nmore\n", "---\n"),
    fc.boolean(),
  )
  .map(([order, one, two, three, last, end, windows]) => {
    const all: Record<string, string> = { settings: one, roles: two, users: three };
    const text = `${order.map((name) => all[name]).join("")}${last}${end}`;
    return windows && text.length % 7 === 0 ? text.replaceAll("\n", "\r\n") : text;
  });
const broken = fc.tuple(
  hostFile,
  fc.nat(400),
  fc.nat(3),
  fc.constantFrom(
    "",
    '"',
    "'",
    "{",
    "]",
    "\t",
    ":",
    ": ",
    "\n",
    "\r",
    "*a",
    "&a ",
    "!",
    "- ",
    "? ",
    "#",
    "  ",
    "\n...\n",
    "|",
    "users:\n",
  ),
);

describe("read by pieces", () => {
  test("a generated file, whole or broken, says the same or fails with the same words at the same place", () => {
    const seen = { whole: 0, pieces: 0, failed: 0 };
    const memo = hostFileMemo();
    fc.assert(
      fc.property(broken, fc.boolean(), ([text, at, cut, insert], breaks) => {
        const from = Math.min(at, text.length);
        const file = breaks ? text.slice(0, from) + insert + text.slice(from + cut) : text;
        const expected = outcome(() => readHostFile(file, "host.yaml").host);
        const pieced = readByPieces(file, "host.yaml", memo);
        if (pieced) expect(pieced.host).toEqual(expected);
        expect(outcome(() => parseHostFile(file, "host.yaml", memo))).toEqual(expected);
        seen[pieced ? "pieces" : "code" in (expected as object) ? "failed" : "whole"]++;
      }),
      { numRuns: 800, seed: 11 },
    );
    // A test of one road only would be none.
    expect(Math.min(seen.pieces, seen.failed, seen.whole)).toBeGreaterThan(10);
  });
});

const spoken = (text: string) => {
  const { settings, roles, users } = readHostFile(text, "f").host;
  return { settings, roles, users: users.map(({ line: _, ...user }) => user) };
};
const comments = (text: string) => text.match(/#.*$/gm) ?? [];
const keys = { sha256: `SCRAM-SHA-256$4096:${"A".repeat(22)}==$${"A".repeat(43)}=:${"A".repeat(43)}=` };
const someone = fc.nat(7);
const anyChange = fc.oneof(
  fc.record({ kind: fc.constant("user-add" as const), name: fc.constantFrom("nina", "Zoé", "o'hara", "true", "null") }),
  fc.record({ kind: fc.constant("user-credentials" as const), name: someone, credentials: fc.constant(keys) }),
  fc.record({ kind: fc.constant("user-enabled" as const), name: someone, enabled: fc.boolean() }),
  fc.record({ kind: fc.constant("user-remove" as const), name: someone }),
  fc.record({
    kind: fc.constant("role-add" as const),
    type: fc.constantFrom("xmpp.group", "xmpp.supervisor"),
    name: fc.oneof(someone, fc.constantFrom("New", "a: b", "null")),
    members: fc.oneof(fc.array(someone, { maxLength: 3 }), fc.constant("all" as const)),
  }),
  fc.record({ kind: fc.constant("role-remove" as const), name: someone }),
  fc.record({
    kind: fc.constant("role-member-add" as const),
    role: someone,
    members: fc.array(someone, { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant("role-member-remove" as const),
    role: someone,
    members: fc.array(someone, { maxLength: 3 }),
  }),
  fc.record({
    kind: fc.constant("setting-set" as const),
    key: fc.constantFrom("sys.xmpp.domain", "sys.xmpp.properties.a"),
    value: fc.constantFrom("x.org", "null", " *x: #y\n", ""),
  }),
  fc.record({ kind: fc.constant("setting-unset" as const), key: fc.constantFrom("sys.xmpp.domain", "a") }),
);

/** Numbers stand for whoever is there, so that most changes are possible. */
function changeFor(drawn: unknown, host: HostFile): FileChange {
  const change = drawn as Record<string, unknown> & { kind: string };
  const pick = (all: readonly { name: string }[]) => (at: unknown) =>
    typeof at === "number" ? (all[at % Math.max(1, all.length)]?.name ?? "nobody") : String(at);
  const [user, role] = [pick(host.users), pick(host.roles)];
  const named = change.kind.startsWith("user") ? user : role;
  return {
    ...change,
    ...("name" in change ? { name: named(change.name) } : {}),
    ...("role" in change ? { role: role(change.role) } : {}),
    ...(Array.isArray(change.members) ? { members: change.members.map(user) } : {}),
  } as FileChange;
}

test("an edit by pieces says what the edit of the whole document says, and keeps every comment that stands outside", () => {
  const seen = { apart: 0, refused: 0 };
  fc.assert(
    fc.property(hostFile, fc.array(anyChange, { minLength: 1, maxLength: 3 }), (start, drawn) => {
      const memo = hostFileMemo();
      let text = start;
      for (const one of drawn) {
        const host = outcome(() => parseHostFile(text, "f", memo)) as HostFile & { code?: string };
        if (host.code !== undefined) return;
        const change = changeFor(one, host);
        const edited = outcome(() => editHostFile(text, "f", change, memo)) as EditedText & { code?: string };
        if (edited.code !== undefined) {
          seen.refused++;
          continue;
        }
        const whole = editWhole(text, "f", host, change);
        expect(spoken(edited.text)).toEqual(spoken(edited.changed ? whole.text : text));
        expect([edited.summary, edited.removes]).toEqual(
          edited.changed
            ? [whole.made[0]?.summary, whole.made[0]?.removes ?? edited.removes]
            : [edited.summary, edited.removes],
        );
        if (!change.kind.endsWith("remove") && readByPieces(text, "f", memo)) {
          seen.apart++;
          expect(comments(edited.text).length).toBeGreaterThanOrEqual(comments(whole.text).length);
        }
        text = edited.text;
      }
    }),
    { numRuns: 500, seed: 5 },
  );
  expect(Math.min(seen.apart, seen.refused)).toBeGreaterThan(10);
});

test.each<[string, FileChange, string, string]>([
  [
    "a member of a list in one line",
    { kind: "role-add", type: "xmpp.group", name: "Odd", members: ["carl"] },
    "ann]",
    "ann, carl]",
  ],
  [
    "a member of a list in lines",
    { kind: "role-member-add", role: "Long", members: ["carl"] },
    "       - ben\n",
    "       - ben\n       - carl\n",
  ],
  ["a member less", { kind: "role-member-remove", role: "Long", members: ["BEN"] }, "       - ben\n", ""],
  ["a setting", { kind: "setting-set", key: "sys.xmpp.domain", value: "x.org" }, "domain: a.org", "domain: x.org"],
  ["a user who goes", { kind: "user-remove", name: "carl" }, "   # the third\n   - {name: carl,email: c@x.org}\n", ""],
  ["a user who comes", { kind: "user-add", name: "dora" }, "c@x.org}\n", "c@x.org}\n   - name: dora\n"],
])("an edit writes only its own lines anew: %s", (_what, change, from, to) => {
  const text = `settings:
  sys.xmpp.domain: a.org # ours
# roles, by team
roles:
   - { name: Odd, types: [xmpp.group], members: [ben, ann] }
   - {name: Few,   members: [ben]}
   - name: Long
     types: [xmpp.group]
     members:
       - ann
       - ben

# people
users:
   - name:   ann
   - { name: "ben" }   # second

   # the third
   - {name: carl,email: c@x.org}
# the end
...
`;
  expect(editHostFile(text, "f", change).text).toBe(text.replace(from, to));
});
