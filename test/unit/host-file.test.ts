import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deriveCredentials } from "../../agent/credentials.ts";
import type { FileChange } from "../../agent/store/host-change.ts";
import { parseHostFile } from "../../agent/store/host-file.ts";
import { editHostFile } from "../../agent/store/host-file-edit.ts";
import { blankPasswords, replacePasswords } from "../../agent/store/host-file-passwords.ts";
import { hasEndMarker } from "../../agent/store/host-file-text.ts";
import { StoreError } from "../../agent/store/host-store.ts";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";

const keys = await deriveCredentials("the admin's");
const adminKeys = `{ sha1: ${keys.sha1}, sha256: ${keys.sha256}, sha512: ${keys.sha512} }`;

const whole = `# Our service
settings:
  sys.xmpp.domain: localhost    # the name
  sys.xmpp.properties.xmpp.client.idle: 0360
  sys.xmpp.properties.flag: yes
roles:
  - { name: Sales, types: [xmpp.group], members: [alice, bob] }    # or members: all
  - name: Everyone
    types: [xmpp.group, pickup.group]
    members: all
    parameters:
      color: red
users:
  # she runs it
  - name: admin
    credentials: ${adminKeys}
  - name: alice
    displayName: Ålice Martin
    email: alice@example.org
  - {name: bob, id: "7", password: 0123}   # by hand
  - name: eve
    enabled: false
    password: "it's: # odd"    # also by hand
...
`;

const failing = (text: string) => {
  try {
    parseHostFile(text, "host.yaml");
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("was read");
};

describe("what a host file says", () => {
  test("every value is the text that stands there", () => {
    const { settings, roles, users, warnings } = parseHostFile(whole, "host.yaml");
    expect([...settings]).toEqual([
      ["sys.xmpp.domain", "localhost"],
      ["sys.xmpp.properties.xmpp.client.idle", "0360"],
      ["sys.xmpp.properties.flag", "yes"],
    ]);
    expect(roles).toEqual([
      { name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"], parameters: new Map() },
      {
        name: "Everyone",
        types: ["xmpp.group", "pickup.group"],
        members: "all",
        parameters: new Map([["color", "red"]]),
      },
    ]);
    expect(users).toEqual([
      { name: "admin", enabled: true, credentials: keys, line: 15 },
      { name: "alice", displayName: "Ålice Martin", email: "alice@example.org", enabled: true, line: 17 },
      { name: "bob", id: "7", enabled: true, password: "0123", line: 20 },
      { name: "eve", enabled: false, password: "it's: # odd", line: 21 },
    ]);
    expect(warnings).toEqual([]);
  });

  test("nothing, ~ and null are not given; quoted they are text; __proto__ is a key like any other", () => {
    const { settings } = parseHostFile(
      'settings: { a: , b: ~, c: null, d: "", e: "null", __proto__: x, "constructor": y }\n',
      "f",
    );
    expect([...settings]).toEqual([
      ["d", ""],
      ["e", "null"],
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
  });

  test("a foreign key of a user is reported and ignored", () => {
    const { warnings } = parseHostFile("users:\n  - name: a\n    extension: 42\n", "host.yaml");
    expect(warnings).toMatchObject([{ code: "store/unknown-key", where: "host.yaml:3" }]);
    expect(warnings[0]?.message).toContain("extension");
  });

  test.each([
    ["an open quote", 'users:\n  - name: "alice\n', "store/not-yaml", 2],
    ["an open bracket", "roles:\n  - name: a\n    members: [b, c\nusers:\n  - name: d\n", "store/not-yaml", 3],
    ["a key twice", "settings:\n  a: 1\n  a: 2\n", "store/not-yaml", 3],
    ["two documents", "users: []\n...\n---\nusers: []\n", "store/not-yaml", 3],
    ["an alias without an anchor", "roles:\n  - name: a\n    members: *m\n", "store/not-yaml", 3],
    ["a tab", "settings:\n\ta: b\n", "store/not-yaml", 2],
    ["a user twice", "users:\n  - name: a\n  - name: b\n  - name: a\n", "store/twice", 4],
    ["a role twice", "roles:\n  - { name: a }\n  - { name: a }\n", "store/twice", 3],
    ["a slip in a key of a role", "roles:\n  - name: a\n    member: [b]\n", "store/unknown-key", 3],
    ["a slip in a key of the file", "setings:\n  a: b\n", "store/unknown-key", 1],
    ["a user without a name", "users:\n  - name: a\n  - email: b\n", "store/bad-value", 3],
    ["a list for a name", "users:\n  - name: [a]\n", "store/bad-value", 2],
    ["members as one text", "roles:\n  - name: a\n    members: b, c\n", "store/bad-value", 3],
    ["neither true nor false", "users:\n  - name: a\n    enabled: maybe\n", "store/bad-value", 3],
    ["a nested setting", "settings:\n  sys:\n    xmpp: a\n", "store/bad-value", 2],
    ["bad keys", "users:\n  - name: a\n    credentials:\n      sha1: SCRAM-SHA-1$1:a$b:c\n", "store/bad-value", 4],
    ["users that are no list", "users:\n  alice: secret\n", "store/bad-value", 1],
    ["a list at the top", "- a\n", "store/bad-value", 1],
  ])("%s is an error with its line", (_what, text, code, line) => {
    const error = failing(text);
    expect(error).toMatchObject({ code, place: { file: "host.yaml", line } });
    expect(error.rule).toBeTruthy();
    expect(error.message).toMatch(new RegExp(`^host.yaml:${line}:\\d+: `));
  });

  test("an empty file is an error", () => {
    for (const text of ["", "\n", "# only a comment\n", "...\n"]) expect(failing(text).code).toBe("store/empty");
  });

  test("a file that multiplies itself by aliases is refused at once, a few aliases are fine", () => {
    const bomb = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
    for (let level = 1; level < 9; level++) {
      const [from, to] = ["abcdefghij"[level - 1], "abcdefghij"[level]];
      bomb.push(`${to}: &${to} [${Array.from({ length: 10 }, () => `*${from}`).join(", ")}]`);
    }
    expect(failing(bomb.join("\n")).code).toBe("store/too-many-aliases");
    const { roles } = parseHostFile(
      "roles:\n  - { name: a, members: &m [x, y] }\n  - { name: b, members: *m }\nusers: []\n",
      "f",
    );
    expect(roles[1]?.members).toEqual(["x", "y"]);
  });

  test("no error quotes a password, wherever the file breaks", () => {
    const secret = "Tr0ub4dor";
    const text = `users:\n  - name: bob\n    password: ${secret}\n  - { name: carol, password: '${secret}', enabled: ${secret} }\n`;
    let broken = 0;
    fc.assert(
      fc.property(
        fc.nat(text.length),
        fc.constantFrom("", '"', "'", "{", "]", "\t", ":", ": ", "\n", "*", "&", "!", "%", "\\", "@", "- ", "? ", "\0"),
        (at, breaking) => {
          try {
            parseHostFile(text.slice(0, at) + breaking + text.slice(at), "host.yaml");
          } catch (error) {
            broken++;
            expect(error).toBeInstanceOf(StoreError);
            const { message, rule, hint, fields } = error as StoreError;
            expect(JSON.stringify([message, rule, hint, fields])).not.toMatch(/Tr0|ub4|dor/);
          }
        },
      ),
      { numRuns: 1500, seed: 7 },
    );
    expect(broken).toBeGreaterThan(300);
  });

  test("cut at any byte, only the whole file has its end marker", () => {
    const bytes = Buffer.from(whole);
    const passing: number[] = [];
    for (let end = 0; end < bytes.length; end++)
      if (hasEndMarker(bytes.subarray(0, end).toString())) passing.push(bytes.length - end);
    expect(passing).toEqual([1]);
    expect(hasEndMarker(whole)).toBe(true);
    expect(hasEndMarker("a: |\n  ...\n")).toBe(false);
    expect(hasEndMarker("a: b\r\n...\r\n\r\n")).toBe(true);
  });
});

describe("passwords written by hand", () => {
  test("give way to keys, and every other byte stays", async () => {
    const [bob, eve] = [await deriveCredentials("0123"), await deriveCredentials("it's: # odd")];
    const replaced = replacePasswords(whole, "host.yaml", new Map([["bob", bob], ["eve", eve]])); // biome-ignore format: short
    const expected = whole
      .replace("password: 0123", `credentials: { sha1: ${bob.sha1}, sha256: ${bob.sha256}, sha512: ${bob.sha512} }`)
      .replace(
        'password: "it\'s: # odd"',
        `credentials:\n      sha1: ${eve.sha1}\n      sha256: ${eve.sha256}\n      sha512: ${eve.sha512}`,
      );
    expect(replaced).toBe(expected);
    expect(parseHostFile(replaced, "f").users[3]).toMatchObject({ name: "eve", credentials: eve, enabled: false });
  });

  test("CRLF stays CRLF", async () => {
    const carol = await deriveCredentials("x");
    const replaced = replacePasswords(
      "users:\r\n  - name: carol # c\r\n    password: x # d\r\n...\r\n",
      "f",
      new Map([["carol", carol]]),
    );
    expect(replaced.replaceAll("\r\n", "")).not.toContain("\n");
    expect(replaced).toMatch(/# c\r\n.*# d\r\n\.\.\.\r\n$/s);
  });

  test.each([
    ["beside former keys", `users:\n  - name: a # her\n    credentials: ${adminKeys}\n    password: new\n`],
    ["as a block", "users:\n  - name: a # her\n    password: |\n      new\n"],
    ["with an anchor", "users:\n  - name: a # her\n    password: &p new\n"],
    ["behind a comment line", "users:\n  - # her\n    password: new\n    name: a\n"],
  ])("%s", async (_how, text) => {
    const credentials = await deriveCredentials("new");
    const replaced = replacePasswords(text, "f", new Map([["a", credentials]]));
    expect(parseHostFile(replaced, "f").users).toMatchObject([{ name: "a", credentials }]);
    expect(replaced).not.toContain("password");
    expect(replaced).toContain("# her");
  });

  test("a copy holds none", () => {
    const copy = blankPasswords(whole, "f");
    expect(copy).not.toMatch(/0123|odd/);
    expect(parseHostFile(copy, "f").users.map((user) => user.password)).toEqual(Array(4).fill(undefined));
  });
});

describe("edits", () => {
  const alice: CredentialsText = keys;
  const comments = (text: string) => text.match(/#.*$/gm)?.filter((comment) => !comment.includes("odd"));
  const read = (text: string) => parseHostFile(text, "host.yaml");

  test.each<[FileChange, (file: ReturnType<typeof read>) => unknown, unknown]>([
    [
      { kind: "user-add", name: "carol", displayName: "true", credentials: alice },
      (file) => file.users.at(-1),
      { name: "carol", displayName: "true", enabled: true, credentials: alice },
    ],
    [{ kind: "user-credentials", name: "ALICE", credentials: alice }, (file) => file.users[1], { credentials: alice }],
    [{ kind: "user-enabled", name: "eve", enabled: true }, (file) => file.users[3], { enabled: true }],
    [{ kind: "user-enabled", name: "alice", enabled: false }, (file) => file.users[1], { enabled: false }],
    [{ kind: "user-remove", name: "bob" }, (file) => file.roles[0]?.members, ["alice"]],
    [
      { kind: "role-add", type: "xmpp.group", name: "Support", members: ["alice", "EVE"] },
      (file) => file.roles.at(-1),
      { name: "Support", types: ["xmpp.group"], members: ["alice", "eve"] },
    ],
    [
      { kind: "role-add", type: "xmpp.supervisor", name: "Sales", members: ["eve"] },
      (file) => file.roles[0],
      { types: ["xmpp.group", "xmpp.supervisor"], members: ["alice", "bob", "eve"] },
    ],
    [
      { kind: "role-add", type: "xmpp.group", name: "Sales", members: "all" },
      (file) => file.roles[0],
      { members: "all" },
    ],
    [
      { kind: "user-add", name: "null", displayName: "~" },
      (file) => file.users.at(-1),
      { name: "null", displayName: "~" },
    ],
    [{ kind: "role-remove", name: "Everyone" }, (file) => file.roles.map((role) => role.name), ["Sales"]],
    [
      { kind: "role-member-add", role: "Sales", members: ["eve", "alice"] },
      (file) => file.roles[0]?.members,
      ["alice", "bob", "eve"],
    ],
    [{ kind: "role-member-remove", role: "Sales", members: ["Bob"] }, (file) => file.roles[0]?.members, ["alice"]],
    [
      { kind: "setting-set", key: "sys.xmpp.domain", value: "example.org" },
      (file) => file.settings.get("sys.xmpp.domain"),
      "example.org",
    ],
    [
      { kind: "setting-set", key: "sys.xmpp.properties.a", value: "null" },
      (file) => file.settings.get("sys.xmpp.properties.a"),
      "null",
    ],
    [
      { kind: "setting-set", key: "sys.xmpp.properties.a", value: " *x: #y\n" },
      (file) => file.settings.get("sys.xmpp.properties.a"),
      " *x: #y\n",
    ],
    [
      { kind: "setting-unset", key: "sys.xmpp.properties.flag" },
      (file) => file.settings.has("sys.xmpp.properties.flag"),
      false,
    ],
  ])("$0.kind", (change, part, expected) => {
    const edited = editHostFile(whole, "host.yaml", change);
    expect(edited.changed).toBe(true);
    const found = part(read(edited.text));
    if (typeof expected === "object" && !Array.isArray(expected)) expect(found).toMatchObject(expected as object);
    else expect(found).toEqual(expected);
    const kept = comments(whole)?.filter((comment) => change.kind !== "user-remove" || comment !== "# by hand");
    expect(comments(edited.text)).toEqual(expect.arrayContaining(kept ?? []));
    expect(hasEndMarker(edited.text)).toBe(true);
    expect(edited.summary).not.toMatch(/SCRAM/);
    // Doing it again either changes nothing or is refused; it never damages.
    try {
      expect(read(editHostFile(edited.text, "host.yaml", change).text)).toEqual(read(edited.text));
    } catch (error) {
      expect(error).toBeInstanceOf(StoreError);
    }
  });

  test("what is removed is confirmed by name", () => {
    expect(editHostFile(whole, "f", { kind: "user-remove", name: "Bob" }).removes).toEqual({
      users: ["bob"],
      roles: [],
      memberships: [{ role: "Sales", user: "bob" }],
    });
    expect(editHostFile(whole, "f", { kind: "role-remove", name: "Sales" }).removes.roles).toEqual(["Sales"]);
  });

  test("what stands already leaves the text alone", () => {
    for (const change of [
      { kind: "setting-set", key: "sys.xmpp.domain", value: "localhost" },
      { kind: "role-add", type: "xmpp.group", name: "Sales", members: ["bob"] },
      { kind: "user-enabled", name: "alice", enabled: true },
    ] satisfies FileChange[])
      expect(editHostFile(whole, "f", change)).toMatchObject({ text: whole, changed: false });
  });

  test("an empty world can be filled", () => {
    let text = "settings:\nroles: []\n# the\n# end\n...\n";
    text = editHostFile(text, "f", { kind: "user-add", name: "a" }).text;
    text = editHostFile(text, "f", { kind: "role-add", type: "xmpp.group", name: "R", members: ["a"] }).text;
    text = editHostFile(text, "f", { kind: "setting-set", key: "sys.xmpp.domain", value: "x.org" }).text;
    expect(read(text)).toMatchObject({ users: [{ name: "a" }], roles: [{ name: "R", members: ["a"] }] });
    expect(text).toContain("# the\n# end\n...");
    expect(hasEndMarker(text)).toBe(true);
  });

  test.each<[string, FileChange, string, RegExp]>([
    ["an unknown user", { kind: "user-remove", name: "alcie" }, "store/unknown-user", /Did you mean alice/],
    [
      "an unknown member",
      { kind: "role-add", type: "xmpp.group", name: "S", members: ["bbo"] },
      "store/unknown-user",
      /Did you mean bob/,
    ],
    ["an unknown role", { kind: "role-remove", name: "Sale" }, "store/unknown-role", /Did you mean Sales/],
    [
      "a slip in a type",
      { kind: "role-add", type: "xmpp.groups", name: "S", members: [] },
      "store/bad-role-type",
      /xmpp\.group/,
    ],
    ["a user who exists", { kind: "user-add", name: "Alice" }, "store/user-exists", /Capitals/],
    ["a JID as a name", { kind: "user-add", name: "carol@x.org" }, "store/bad-name", /without the domain: carol/],
    ["the last admin", { kind: "user-remove", name: "admin" }, "store/last-admin", /sys\.xmpp\.adminuser/],
    ["the last admin disabled", { kind: "user-enabled", name: "admin", enabled: false }, "store/last-admin", /./],
    [
      "an admin without a password",
      { kind: "setting-set", key: "sys.xmpp.adminuser", value: "alice" },
      "settings/admin-disabled",
      /password/,
    ],
    [
      "an admin who is nobody",
      { kind: "setting-set", key: "sys.xmpp.adminuser", value: "bbo" },
      "settings/admin-missing",
      /Did you mean bob/,
    ],
    [
      "a key without its prefix",
      { kind: "setting-set", key: "xmpp.client.idle", value: "1" },
      "store/unknown-setting",
      /sys\.xmpp\.properties\.xmpp\.client\.idle/,
    ],
    [
      "a slip in a key",
      { kind: "setting-set", key: "sys.xmpp.domian", value: "x" },
      "store/unknown-setting",
      /sys\.xmpp\.domain/,
    ],
    ["a setting that is not set", { kind: "setting-unset", key: "sys.xmpp.domian" }, "store/unknown-setting", /domain/],
    [
      "no member",
      { kind: "role-member-remove", role: "Sales", members: ["eve"] },
      "store/no-member",
      /no member of the role Sales/,
    ],
    [
      "one of all",
      { kind: "role-member-remove", role: "Everyone", members: ["eve"] },
      "store/all-members",
      /All users are members/,
    ],
  ])("%s is refused with what to do", (_what, change, code, words) => {
    let refused: unknown;
    try {
      editHostFile(whole, "host.yaml", change);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(StoreError);
    const { code: found, message, hint } = refused as StoreError;
    expect(found).toBe(code);
    expect(`${message} ${hint}`).toMatch(words);
    expect(hint).toBeTruthy();
  });
});
