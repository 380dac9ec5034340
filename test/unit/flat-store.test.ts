/** Keys and values as records of a host: the same world in every form, and each slip by its line. */
import { parse as dotenvParse } from "dotenv";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDotenv } from "../../agent/store/flat-dotenv.ts";
import { jsonRecords } from "../../agent/store/flat-json.ts";
import { parseJson } from "../../agent/store/flat-json-text.ts";
import { flatKey } from "../../agent/store/flat-key.ts";
import { parseProperties } from "../../agent/store/flat-properties.ts";
import { flatRecords } from "../../agent/store/flat-records.ts";
import { watchFiles } from "../../agent/store/flat-watch.ts";
import { StoreError } from "../../agent/store/host-store.ts";

const file = "host.x";
const properties = (text: string) => flatRecords(parseProperties(text, file).entries);
const dotenv = (text: string) => flatRecords(parseDotenv(text, file).entries);
const json = (text: string) => jsonRecords(text, file);

const failure = (work: () => unknown): StoreError => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(StoreError);
    return error as StoreError;
  }
  throw new Error("nothing was refused");
};

const keys = (hash: string, bytes: number) =>
  `SCRAM-${hash}$4096:${Buffer.alloc(16).toString("base64")}$${Buffer.alloc(bytes).toString("base64")}:${Buffer.alloc(bytes).toString("base64")}`;

describe("a key", () => {
  test.each([
    ["sys.xmpp.domain", { of: "settings" }],
    ["pbx.users.max", { of: "settings" }],
    ["users", { of: "settings" }],
    ["roles.Sales.types", { of: "roles", name: "Sales", field: "types" }],
    ["roles.Sales.EMEA.members", { of: "roles", name: "Sales.EMEA", field: "members" }],
    ["roles.members.members", { of: "roles", name: "members", field: "members" }],
    ["roles.members.types", { of: "roles", name: "members", field: "types" }],
    ["roles.parameters.types", { of: "roles", name: "parameters", field: "types" }],
    ["roles.a.b.parameters.c.d", { of: "roles", name: "a.b", field: "parameters", parameter: "c.d" }],
    ["roles.a.parameters.members.max", { of: "roles", name: "a", field: "parameters", parameter: "members.max" }],
    ["users.a.martin.password", { of: "users", name: "a.martin", field: "password" }],
    ["users.bob.id.password", { of: "users", name: "bob.id", field: "password" }],
    ["users.bob.credentials.sha256", { of: "users", name: "bob", field: "credentials.sha256" }],
    ["users.credentials.password", { of: "users", name: "credentials", field: "password" }],
    ["teams.7.dynamicMembers", { of: "teams", name: "7", field: "dynamicMembers" }],
    ["roles.members", { of: "nobody", part: "roles" }],
    ["users..password", { of: "nobody", part: "users" }],
    ["roles.a.parameters.types", { of: "two-things", role: "a", parameter: "types", other: "a.parameters" }],
    ["roles.a.parameters.b.parameters.c", { of: "two-things" }],
    ["roles.Sales.member", { of: "nothing", meant: "roles.Sales.members" }],
    ["roles.Sales.parameter.colour", { of: "nothing", meant: "roles.Sales.parameters.colour" }],
    ["users.bob.sha256", { of: "nothing", meant: "users.bob.credentials.sha256" }],
    ["users.bob.credential.sha256", { of: "nothing", meant: "users.bob.credentials.sha256" }],
    ["users.bob.Password", { of: "nothing", meant: "users.bob.password" }],
    ["users.bob.phone", { of: "nothing", meant: undefined }],
  ])("%s", (key, is) => expect(flatKey(key)).toMatchObject(is));

  test("every name without a field's own end comes back as it was", () => {
    const name = fc.stringMatching(/^[a-z][a-z.]{0,12}[a-z]$/).filter((text) => !text.includes("parameters"));
    fc.assert(
      fc.property(name, fc.constantFrom("types", "members", "teams"), (given, field) => {
        expect(flatKey(`roles.${given}.${field}`)).toEqual({ of: "roles", name: given, field });
        expect(flatKey(`users.${given}.passwordHash`)).toEqual({ of: "users", name: given, field: "passwordHash" });
      }),
    );
  });
});

describe("records", () => {
  test("every field of a user, a role and a team", () => {
    const read = properties(
      [
        "sys.xmpp.domain=example.org",
        "pbx.lines=30",
        "roles.Sales.types=xmpp.group, pbx.queue",
        "roles.Sales.members=alice,bob",
        "roles.Sales.teams=7",
        "roles.Sales.parameters.colour=red",
        "roles.Everybody.members=all",
        "roles.Nobody.types=xmpp.group",
        `users.alice.credentials.sha1=${keys("SHA-1", 20)}`,
        `users.alice.credentials.sha256=${keys("SHA-256", 32)}`,
        "users.alice.displayName=Alice Martin",
        "users.alice.email=a@example.org",
        "users.alice.enabled=false",
        "users.alice.id=4711",
        "users.alice.aliases=a.martin,am",
        "users.bob.password=one ",
        "users.carol.passwordHash=$2b$x",
        "users.dave.passwordFrom=ldap",
        "users.dave.email=",
        "users.erin.password=desk",
        "users.erin.chatPassword= chat",
        "teams.7.name=Hotline",
        "teams.7.kind=callgroup",
        "teams.7.extension=700",
        "teams.7.members=alice",
        "teams.7.dynamicMembers=bob",
      ].join("\n"),
    );
    expect(read.warnings).toEqual([]);
    expect([...read.settings]).toEqual([
      ["sys.xmpp.domain", "example.org"],
      ["pbx.lines", "30"],
    ]);
    expect(read.roles).toEqual([
      {
        name: "Sales",
        types: ["xmpp.group", "pbx.queue"],
        members: ["alice", "bob"],
        teams: ["7"],
        parameters: new Map([["colour", "red"]]),
      },
      { name: "Everybody", types: [], members: "all", parameters: new Map() },
      { name: "Nobody", types: ["xmpp.group"], members: [], parameters: new Map() },
    ]);
    expect(read.users).toEqual([
      {
        name: "alice",
        id: "4711",
        displayName: "Alice Martin",
        email: "a@example.org",
        enabled: false,
        aliases: ["a.martin", "am"],
        credentials: { sha1: keys("SHA-1", 20), sha256: keys("SHA-256", 32) },
      },
      { name: "bob", enabled: true, password: "one " },
      { name: "carol", enabled: true, passwordHash: "$2b$x" },
      { name: "dave", enabled: true, passwordFrom: "ldap" },
      { name: "erin", enabled: true, password: "chat" },
    ]);
    expect(read.teams).toEqual([
      {
        id: "7",
        name: "Hotline",
        kind: "callgroup",
        extension: "700",
        members: [
          { user: "alice", dynamic: false },
          { user: "bob", dynamic: true },
        ],
      },
    ]);
  });

  test.each([
    ["a\nroles.S.member=x", "store/not-properties", 1, ""],
    ["a=1\nroles.S.member=x", "store/unknown-key", 2, "roles.S.members"],
    ["roles.S.types=xmpp.group\nrole.S.members=x", "store/unknown-key", 2, "roles.S.members"],
    ["a=1\n\nb=1\na=2", "store/twice", 4, ""],
    ["roles.members=x", "store/bad-value", 1, "roles.NAME.members"],
    ["x=1\nroles.S.parameters.types=x", "store/bad-value", 2, "Rename"],
    ["roles.S.members=all,bob", "store/bad-value", 1, ""],
    ["roles.S.members=alice,,bob", "store/bad-value", 1, ""],
    ["users.a.enabled=yes", "store/bad-value", 1, ""],
    ["x=1\nusers.a.passwordFrom=radius", "store/bad-value", 2, ""],
    ["x=1\nusers.a.credentials.sha256=secret", "store/bad-value", 2, ""],
    ["x=1\nteams.7.members=a", "store/bad-value", 2, "teams.7.name"],
    ["teams.7.name=H\nteams.7.kind=hunt", "store/bad-value", 2, ""],
    ["teams.7.name=H\nteams.7.members=a\nteams.7.dynamicMembers=a", "store/bad-value", 3, ""],
  ])("%j is refused as %s in line %i", (text, code, line, hint) => {
    const error = failure(() => properties(text));
    expect(error).toMatchObject({ code, place: { file, line } });
    expect(error.hint ?? "").toContain(hint);
    expect(error.message).not.toMatch(/secret|radius|hunt/);
  });

  test("what means nothing is said, and a host's own key stays its own", () => {
    const read = properties("users.a.phone=7\nrole.cache.types=1\nuser.home=/x\nroles.cache.size=1");
    expect(read.warnings.map(({ where, hint }) => `${where} ${hint}`)).toEqual([
      `${file}:1 Known after users.NAME. are ${read.warnings[0]?.hint?.split(" are ")[1]}`,
      expect.stringContaining(`${file}:4 Known after roles.NAME.`),
      `${file}:2 Did you mean roles.cache.types?`,
    ]);
    expect([...read.settings.keys()]).toEqual(["role.cache.types", "user.home"]);
    expect(read.users).toEqual([]);
  });
});

describe("properties", () => {
  test("separators, escapes, comments and continued lines are Java's", () => {
    const { entries, ended } = parseProperties(
      String.raw`# comment \
  ! another
a=1
b : 2
c 3
d	=	4
e\ f\=\:=5
g=\u00e9\uD83D\uDE00\t\\
h=one, \
    two,\
  three\\
i==x
j=
k=a # no comment
`.replaceAll("\n", "\r\n"),
      file,
    );
    expect(entries.map(({ key, value }) => [key, value])).toEqual([
      ["a", "1"],
      ["b", "2"],
      ["c", "3"],
      ["d", "4"],
      ["e f=:", "5"],
      ["g", "é😀\t\\"],
      ["h", "one, two,three\\"],
      ["i", "=x"],
      ["j", ""],
      ["k", "a # no comment"],
    ]);
    expect(entries.map(({ place }) => place.line)).toEqual([3, 4, 5, 6, 7, 8, 9, 12, 13, 14]);
    expect(ended).toBe(false);
    expect(parseProperties("a=1\n# end", file).ended).toBe(true);
    expect(parseProperties("a=1\\\n# end", file)).toMatchObject({ ended: false, entries: [{ value: "1# end" }] });
  });

  test.each([
    ["a=1\nb", 2, "store/not-properties"],
    ["a=1\n=b", 2, "store/not-properties"],
    ["a=1\nb=x\\", 2, "store/not-properties"],
    ["a=1\nb=\\u00g0", 2, "store/not-properties"],
    ["a=1\nb=\\ud800", 2, "store/not-properties"],
    ["a=1\n# end\nb=2", 3, "store/after-end"],
    ["a=1\n# end\n# more", 3, "store/after-end"],
  ])("%j is refused in line %i", (text, line, code) =>
    expect(failure(() => parseProperties(text, file))).toMatchObject({ code, place: { line } }),
  );
});

describe("dotenv", () => {
  test("what is taken is what dotenv reads", () => {
    const text = [
      "# comment",
      "sys.xmpp.domain=example.org # why",
      "export roles.S.members='alice,bob'",
      'users.a.password="x#y\\n" # quoted',
      "users.b.password=`it's`",
      "k: v",
      'n="one',
      'two" ',
      "e=",
      "f= # nothing yet",
      "g='#'",
      "# end",
      "",
    ].join("\n");
    const { entries, ended } = parseDotenv(text, file);
    expect(ended).toBe(true);
    expect(Object.fromEntries(entries.map(({ key, value }) => [key, value]))).toEqual(dotenvParse(text));
    expect(entries.map(({ key, place }) => [key, place.line])).toEqual([
      ["sys.xmpp.domain", 2],
      ["roles.S.members", 3],
      ["users.a.password", 4],
      ["users.b.password", 5],
      ["k", 6],
      ["n", 7],
      ["e", 9],
      ["f", 10],
      ["g", 11],
    ]);
    expect(dotenv(text).users.map(({ password }) => password)).toEqual(["x#y\n", "it's"]);
  });

  test("no text is read otherwise than dotenv reads it", () => {
    const piece = fc.constantFrom(
      "a",
      "b.c",
      "=",
      ": ",
      " ",
      "'",
      '"',
      "`",
      "#",
      "\n",
      "\\",
      "export ",
      "\\n",
      "$",
      "é",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 14 }), (pieces) => {
        const text = pieces.join("");
        let entries: { key: string; value: string }[];
        try {
          entries = parseDotenv(text, file).entries;
        } catch (error) {
          expect(error).toBeInstanceOf(StoreError);
          return;
        }
        const theirs = dotenvParse(text);
        expect(Object.keys(theirs).sort()).toEqual([...new Set(entries.map(({ key }) => key))].sort());
        for (const [key, value] of Object.entries(theirs))
          expect(entries.filter((entry) => entry.key === key).at(-1)?.value, JSON.stringify(text)).toBe(value);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ["a=1\ngarbage", 2],
    ["a=1\nroles.All Users.types=x", 2],
    ["a=1\né=2", 2],
    ["a=1\npassword=x#y", 2],
    ["a=1\npassword=#y", 2],
    ['a=1\nb="open\nc=2', 2],
    ['a=1\nb="x" y', 2],
  ])("%j is refused in line %i", (text, line) =>
    expect(failure(() => parseDotenv(text, file))).toMatchObject({ code: "store/not-dotenv", place: { line } }),
  );

  test("a key that stands twice", () =>
    expect(failure(() => dotenv("a=1\na=2"))).toMatchObject({ code: "store/twice", place: { line: 2 } }));
});

describe("JSON", () => {
  test("every JSON text is read as JSON.parse reads it, numbers as they are spelt", () => {
    const textual = (value: unknown): unknown => {
      if (typeof value === "number") return String(value);
      if (Array.isArray(value)) return value.map(textual);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, textual(inner)]));
    };
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(undefined, 2), (value, space) => {
        const text = JSON.stringify(value, null, space);
        if (text.includes("__proto__")) return;
        const plain = JSON.parse(JSON.stringify(parseJson(text, file).value)) as unknown;
        expect(plain).toEqual(textual(JSON.parse(text)));
      }),
    );
  });

  test("no text that JSON.parse refuses is taken", () => {
    const piece = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      '"',
      "a",
      ",",
      ":",
      " ",
      "1",
      "-",
      ".",
      "e",
      "0",
      "\\",
      "u00e9",
      "true",
      "null",
      "\n",
      "\t",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
        const text = pieces.join("");
        const accepts = (read: (text: string) => unknown) => {
          try {
            read(text);
            return true;
          } catch (error) {
            if (error instanceof StoreError && error.code === "store/twice") return JSON.parse(text) !== undefined;
            return false;
          }
        };
        expect(
          accepts((given) => parseJson(given, file)),
          JSON.stringify(text),
        ).toBe(accepts(JSON.parse));
      }),
      { numRuns: 3000 },
    );
  });

  test("settings are text as they are spelt", () => {
    const read = json(
      '{"settings": {"a": 1e3, "b": true, "c": 12345678901234567890, "d": "x"}, "users": [{"name": 7}]}',
    );
    expect([...read.settings]).toEqual([
      ["a", "1e3"],
      ["b", "true"],
      ["c", "12345678901234567890"],
      ["d", "x"],
    ]);
    expect(read.users).toEqual([{ name: "7", enabled: true }]);
    expect(json('{"users":[{"name":"a","phone":1}]}').warnings).toMatchObject([{ code: "store/unknown-key" }]);
  });

  test.each([
    ['{\n  "settings": {"a": "1" "b"}}', "store/not-json", 2, 25],
    ['{\n  "settings": {"a": \'1\'}}', "store/not-json", 2, 21],
    ['{"settings": {"a": 01}}', "store/not-json", 1, 20],
    ['{"settings": {"a": "1",}}', "store/not-json", 1, 24],
    ['{"settings":\n{"a": "1"}', "store/not-json", 2, 11],
    ['{"settings": {"a": "one\ntwo"}}', "store/not-json", 1, 20],
    ['{"settings": {\n"a": "1",\n"a": "2"}}', "store/twice", 3, 1],
    ['{"users": [{"name": "a"},\n{"name": "a"}]}', "store/twice", 2, 2],
    ['{"teams": [{"id": 1, "name": "a"},\n{"id": "1", "name": "b"}]}', "store/twice", 2, 2],
    ['{"users": [\n{"name": "a", "enabled": 1}]}', "store/bad-value", 2, 15],
    ['{"users": [\n{"enabled": true}]}', "store/bad-value", 2, 1],
    ['{"users": [{"name": "a", "credentials": {\n"sha256": "secret"}}]}', "store/bad-value", 1, 26],
    ['{"users": [{"name": "a",\n"pasword": "secret"}]}', "store/unknown-key", 2, 1],
    ['{"roles": [{"name": "a",\n"member": []}]}', "store/unknown-key", 2, 1],
    ['{"user": []}', "store/unknown-key", 1, 2],
    ['{"settings": {\n"__proto__": "x"}}', "store/not-json", 2, 1],
    ["[]", "store/bad-value", 1, 1],
    ["{}", "store/empty", undefined, undefined],
  ])("%j is refused as %s", (text, code, line, column) => {
    const error = failure(() => json(text));
    expect(error.code).toBe(code);
    expect([error.place?.line, error.place?.column]).toEqual([line, column]);
    expect(error.message).not.toContain("secret");
  });

  test("deep nesting ends before the stack does", () =>
    expect(failure(() => json("[".repeat(100_000)))).toMatchObject({ code: "store/not-json" }));
});

test("a watch tells each state once, and never one that was read", async () => {
  let now = "a";
  let looks: { left: number; done: () => void } | undefined;
  const causes: string[] = [];
  const watched = {
    name: "host",
    directories: () => [],
    concerns: () => true,
    pollMs: 1,
    read: () => "a",
    look: async () => {
      if (looks && --looks.left === 0) looks.done();
      return now;
    },
  };
  const stop = watchFiles(watched, (cause) => causes.push(`${now} ${cause}`));
  const tenLooks = () => new Promise<void>((done) => (looks = { left: 10, done }));
  for (const state of ["a", "b", "c", "a", "c"]) {
    now = state;
    await tenLooks();
  }
  await stop();
  expect(causes).toEqual(["b", "c", "c"].map((state) => `${state} host differs from what was read`));
});
