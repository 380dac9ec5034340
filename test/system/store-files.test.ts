/** Host stores in files, from outside: every form gives the same world, none ever gives less than a whole one. */
import { execFileSync } from "node:child_process";
import { renameSync, rmSync, symlinkSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { storeOnDisk } from "../../agent/commands/store-access.ts";
import { directorySource } from "../../agent/store/directory.ts";
import { type FlatForm, flatFileSource } from "../../agent/store/flat-file.ts";
import { type Clock, type HostStore, type Snapshot, StoreError } from "../../agent/store/host-store.ts";
import { openStore } from "../../agent/store/open.ts";
import { openRecordStore } from "../../agent/store/record-store.ts";
import { type AgentFixture, agentFixture } from "./agent-fixture.ts";

let root: string;
let home: string;
const closing: (() => Promise<void>)[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "firekeeper-files-"));
  home = join(root, "home");
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await rm(root, { recursive: true, force: true, maxRetries: 5 });
});

/** Stands still; a sleep lets something happen meanwhile. */
function stillClock() {
  const meanwhile: (() => Promise<unknown>)[] = [];
  const clock: Clock = { now: () => 0, sleep: async () => void (await meanwhile.shift()?.()) };
  return { clock, meanwhile };
}

const never = 3_600_000;
type Options = { clock?: Clock; quietMs?: number; pollMs?: number };

const flat = (path: string, form: FlatForm, options: Options = {}): Promise<HostStore> =>
  openRecordStore(flatFileSource({ path, form, home, clock: stillClock().clock, pollMs: never, ...options }), { home });
const directory = (path: string, options: Options = {}): Promise<HostStore> =>
  openRecordStore(directorySource({ path, home, clock: stillClock().clock, pollMs: never, ...options }), { home });

const opened = async (at: string): Promise<HostStore> => {
  const { store, close } = await openStore({ at, config: undefined }, { home, quietMs: 1 });
  closing.push(close);
  return store;
};

const failure = async (work: Promise<unknown>): Promise<StoreError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
};

/** The causes of "look again", one by one. */
function watching(store: HostStore): () => Promise<string> {
  const causes: string[] = [];
  let tell: (() => void) | undefined;
  closing.push(
    store.watch((cause) => {
      causes.push(cause);
      tell?.();
    }),
  );
  return async () => {
    while (causes.length === 0)
      await new Promise<void>((resolve) => {
        tell = resolve;
      });
    return causes.shift() ?? "";
  };
}

const keys = `SCRAM-SHA-256$4096:${Buffer.alloc(16).toString("base64")}$${Buffer.alloc(32).toString("base64")}:${Buffer.alloc(32).toString("base64")}`;

/** In host.yaml's shape, and key by key. */
const document = {
  settings: { "sys.xmpp.domain": "example.org", "sys.xmpp.properties.xmpp.client.idle": "360000", "pbx.lines": "30" },
  roles: [
    { name: "Sales.EMEA", types: ["xmpp.group"], members: ["alice", "bob"], parameters: { colour: "red" } },
    { name: "Everybody", types: ["xmpp.group"], members: "all" },
  ],
  users: [
    { name: "alice", id: "7", displayName: "Alïce", email: "a@example.org", credentials: { sha256: keys } },
    { name: "bob", enabled: false, passwordHash: "$2b$04$abcdefghijklmnopqrstuu" },
    { name: "c.martin", aliases: ["cm"], passwordFrom: "ldap" },
  ],
};
const pairs: Record<string, string> = {
  ...document.settings,
  "roles.Sales.EMEA.types": "xmpp.group",
  "roles.Sales.EMEA.members": "alice, bob",
  "roles.Sales.EMEA.parameters.colour": "red",
  "roles.Everybody.types": "xmpp.group",
  "roles.Everybody.members": "all",
  "users.alice.id": "7",
  "users.alice.displayName": "Alïce",
  "users.alice.email": "a@example.org",
  "users.alice.credentials.sha256": keys,
  "users.bob.enabled": "false",
  "users.bob.passwordHash": "$2b$04$abcdefghijklmnopqrstuu",
  "users.c.martin.aliases": "cm",
  "users.c.martin.passwordFrom": "ldap",
};
const propertiesOf = (given: Record<string, string>) =>
  `${Object.entries(given)
    .map(([key, value]) => `${key.replaceAll(" ", "\\ ")}=${value}`)
    .join("\n")}\n# end\n`;
const dotenvOf = (given: Record<string, string>) =>
  `${Object.entries(given)
    .map(([key, value]) => `${key}='${value}'`)
    .join("\n")}\n# end\n`;

async function writeKeys(path: string, given: Record<string, string>): Promise<string> {
  await mkdir(path, { recursive: true });
  for (const [key, value] of Object.entries(given)) await writeFile(join(path, key), `${value}\n`);
  return path;
}

/** As the kubelet does: a new directory, a link beside the old one, and one rename. */
async function mountConfigMap(path: string, version: string, given: Record<string, string>): Promise<string> {
  const data = `..2026_11_21_${version}`;
  await writeKeys(join(path, data), given);
  await symlink(data, join(path, "..data_tmp"));
  await rename(join(path, "..data_tmp"), join(path, "..data"));
  for (const key of Object.keys(given)) await symlink(join("..data", key), join(path, key)).catch(() => undefined);
  return path;
}

const write = async (name: string, text: string) => {
  await writeFile(join(root, name), text);
  return join(root, name);
};

describe("every form says the same", () => {
  const forms: Record<string, () => Promise<string>> = {
    "host.yaml": () => write("other.yml", `${stringify(document)}...\n`),
    "a file without a known ending": () => write("hosts", `${stringify(document)}...\n`),
    JSON: () => write("host.json", JSON.stringify(document, null, 2)),
    properties: () => write("host.properties", propertiesOf(pairs)),
    dotenv: () => write("host.env", dotenvOf(pairs)),
    ".env": () => write(".env", dotenvOf(pairs)),
    "a plain directory": () => writeKeys(join(root, "plain"), pairs),
    "a mounted ConfigMap": () => mountConfigMap(join(root, "mounted"), "1", pairs),
    "a ConfigMap and a Secret": async () => {
      const secret = Object.keys(pairs).filter((key) => /credentials|Hash/.test(key));
      const some = (wanted: boolean) =>
        Object.fromEntries(Object.entries(pairs).filter(([key]) => secret.includes(key) === wanted));
      await mountConfigMap(join(root, "both", "config"), "1", some(false));
      await mountConfigMap(join(root, "both", "secret"), "1", some(true));
      return join(root, "both");
    },
  };

  test("as one hash, and without a warning", async () => {
    const hashes: Record<string, string> = {};
    for (const [name, make] of Object.entries(forms)) {
      const store = await opened(await make());
      const snapshot = await store.read();
      expect(snapshot.warnings, name).toEqual([]);
      hashes[name] = snapshot.hash;
      // A second look reads nothing new.
      if (store.kind !== "file") expect(await store.read()).toBe(snapshot);
    }
    expect(Object.keys(hashes)).toHaveLength(9);
    expect(new Set(Object.values(hashes)).size).toBe(1);
  });

  test("passwords in clear become keys and are written nowhere", async () => {
    for (const at of [
      await write("p.properties", "users.eve.password=open sesame\n# end\n"),
      await write("p.env", "users.eve.password='open sesame'\n# end\n"),
      await write("p.json", '{"users":[{"name":"eve","password":"open sesame"}]}'),
      await writeKeys(join(root, "p"), { "users.eve.password": "open sesame" }),
    ]) {
      const store = await opened(at);
      expect((await store.read()).users).toMatchObject([{ name: "eve", credentials: { sha256: /^SCRAM/ } }]);
    }
    expect(execFileSync("sh", ["-c", 'grep -rl "open sesame" "$0" || true', home], { encoding: "utf8" })).toBe("");
  });

  test("an unknown kind of URL is refused, without its password", async () => {
    const error = await failure(openStore({ at: "ldap://u:secret@db/x", config: undefined }, { home }));
    expect(error).toMatchObject({ code: "store/unknown-kind", hint: expect.stringContaining("a path") });
    expect(error.message).not.toContain("secret");
  });

  test("commands read every form, and say of a read-only one that it is managed elsewhere", async () => {
    for (const at of [
      await write("host.json", JSON.stringify(document)),
      await writeKeys(join(root, "plain"), pairs),
    ]) {
      const store = storeOnDisk({ home, store: at });
      const { users } = await store.read();
      expect(users.map(({ name }) => name)).toEqual(["alice", "bob", "c.martin"]);
      // By keys, by a hash, by a directory.
      expect(users.filter(({ hasPassword }) => !hasPassword)).toEqual([]);
      expect(await failure(store.edit({ kind: "user-remove", name: "bob" }))).toMatchObject({
        code: "store/read-only",
        message: expect.stringContaining(at),
        hint: expect.stringContaining("managed"),
      });
    }
  });
});

describe("a file that is cut", () => {
  const some = Object.fromEntries(
    Object.entries(pairs).filter(([key]) => /EMEA.members|alice.d|Hash|martin/.test(key)),
  );
  const two = { roles: document.roles.slice(1), users: [{ name: "alice", displayName: "Alïce", aliases: ["a"] }] };
  test.each([
    ["properties", "host.properties", propertiesOf(some)],
    ["dotenv", "host.env", dotenvOf(some)],
    ["json", "host.json", `${JSON.stringify(two)}\n`],
  ] as const)("at any byte never gives less: %s", async (form, name, text) => {
    const path = await write(name, text);
    const before = await (await flat(path, form)).read();
    // A new process knows of the end marker too.
    const store = await flat(path, form);
    const whole = Buffer.byteLength(text.trimEnd());
    const codes = new Set<string>();
    for (let end = whole - 1; end >= 0; end--) {
      await truncate(path, end);
      codes.add((await failure(store.read())).code);
    }
    expect([...codes].sort()).toEqual(
      form === "json"
        ? ["store/empty", "store/not-json", "store/not-utf8"]
        : ["store/empty", "store/half-written", "store/not-utf8"],
    );
    expect((await store.lastGood())?.hash).toBe(before.hash);
    await writeFile(path, text);
    expect((await store.read()).hash).toBe(before.hash);
  });

  test("is told apart only with an end marker, and its absence is said", async () => {
    const path = await write("host.properties", "a=1\nb=2\n");
    const store = await flat(path, "properties");
    expect((await store.read()).warnings).toMatchObject([{ code: "store/no-end-marker", hint: /# end/ }]);
    await writeFile(path, "a=1\nb=2\n# end\n");
    expect((await store.read()).warnings).toEqual([]);
    await writeFile(path, "a=1\n");
    expect(await failure(store.read())).toMatchObject({ code: "store/half-written", place: { line: 1 } });
    await writeFile(path, "a=1\n# end\nb=2\n");
    expect(await failure(store.read())).toMatchObject({ code: "store/after-end", place: { line: 3 } });
    await writeFile(path, "a=1\nb=2\\\n# end\n");
    expect(await failure(store.read())).toMatchObject({ code: "store/half-written" });
  });

  test("a file that is being written is read when it is quiet", async () => {
    const path = await write("host.json", '{"settings":{"a":"1"}}');
    const { clock, meanwhile } = stillClock();
    meanwhile.push(
      () => writeFile(path, '{"settings":{"a":"1","b":"2"'),
      () => writeFile(path, '{"settings":{"a":"1","b":"2"}}'),
    );
    expect((await (await flat(path, "json", { clock })).read()).settings.size).toBe(2);
  });

  test("what is broken names its line, what is gone says so, and the last good state outlives the process", async () => {
    const path = await write("host.properties", propertiesOf(pairs));
    const { hash } = await (await flat(path, "properties")).read();
    for (const [text, code, line] of [
      ["a=1\nroles.S.member=x\n# end\n", "store/unknown-key", 2],
      ["a=1\n\nnothing\n# end\n", "store/not-properties", 3],
      [Buffer.from("a=1\nb=\xe9\n# end\n", "latin1"), "store/not-utf8", 2],
      ["", "store/empty", undefined],
      ["# end\n", "store/empty", undefined],
    ] as const) {
      await writeFile(path, text);
      const store = await flat(path, "properties");
      const error = await failure(store.read());
      expect([error.code, error.place?.line]).toEqual([code, line]);
      expect((await store.lastGood())?.hash).toBe(hash);
    }
    await rm(path);
    expect(await failure((await flat(path, "properties")).read())).toMatchObject({
      code: "store/missing",
      message: expect.stringContaining(path),
    });
  });
});

describe("a directory", () => {
  test("names what cannot be a key", async () => {
    const at = await writeKeys(join(root, "d"), { "sys.xmpp.domain": "example.org" });
    const refusals: [string, () => Promise<unknown>, string, string][] = [
      ["latin1", () => writeFile(join(at, "latin1"), Buffer.from([0xe9])), "store/not-utf8", "latin1"],
      ["large", () => writeFile(join(at, "large"), Buffer.alloc(1024 * 1024 + 1, "x")), "store/too-large", "large"],
      ["nowhere", () => symlink("missing", join(at, "nowhere")), "store/unreadable", "nowhere"],
      ["pipe", async () => execFileSync("mkfifo", [join(at, "pipe")]), "store/unreadable", "pipe"],
      ["secret", () => mkdir(join(at, "secret")), "store/empty", "secret"],
      ["host.json", () => writeFile(join(at, "host.json"), "{}"), "store/unknown-key", "host.json"],
      ["roles.S.member", () => writeFile(join(at, "roles.S.member"), "x"), "store/unknown-key", "roles.S.member"],
    ];
    for (const [name, make, code, where] of refusals) {
      await make();
      const error = await failure((await directory(at)).read());
      expect([name, error.code]).toEqual([name, code]);
      expect(error.message).toContain(join(at, where));
      await rm(join(at, name), { recursive: true });
    }
    await writeKeys(join(at, "more"), { "pbx.lines": "30" });
    await writeKeys(join(at, "more", "deep"), { "pbx.lost": "1" });
    await writeFile(join(at, ".hidden"), "x");
    await mkdir(join(at, "lost+found"));
    const { settings, warnings } = await (await directory(at)).read();
    expect([...settings.keys()].sort()).toEqual(["pbx.lines", "sys.xmpp.domain"]);
    expect(warnings).toMatchObject([{ code: "store/unknown-key", where: join(at, "more", "deep") }]);
    await writeKeys(join(at, "more"), { "sys.xmpp.domain": "other.example" });
    expect(await failure((await directory(at)).read())).toMatchObject({
      code: "store/twice",
      message: expect.stringContaining(join(at, "sys.xmpp.domain")),
    });
  });

  test("empty or gone, also at the start of the agent, is never an empty world", async () => {
    const at = await mountConfigMap(join(root, "d"), "1", pairs);
    const { hash } = await (await opened(at)).read();
    await rename(at, `${at}.away`);
    const gone = await opened(at);
    expect(gone.kind).toBe("directory");
    expect(await failure(gone.read())).toMatchObject({ code: "store/empty" });
    expect((await gone.lastGood())?.hash).toBe(hash);
    await mkdir(at);
    expect(await failure(gone.read())).toMatchObject({ code: "store/empty" });
    await rm(at, { recursive: true, force: true, maxRetries: 5 });
    await rename(`${at}.away`, at);
    expect((await gone.read()).hash).toBe(hash);
  });

  test("a plain one is whole when two reads agree", async () => {
    const at = await writeKeys(join(root, "d"), { a: "1" });
    const { clock, meanwhile } = stillClock();
    meanwhile.push(
      () => writeFile(join(at, "b"), ""),
      () => writeFile(join(at, "b"), "2"),
    );
    expect([...(await (await directory(at, { clock })).read()).settings]).toEqual([
      ["a", "1"],
      ["b", "2"],
    ]);
  });

  test("swapped 200 times under the reader, every snapshot is one of the whole ones", async () => {
    const at = join(root, "d");
    const names = Array.from({ length: 6 }, (_, index) => `pbx.key${index}`);
    const world = (version: number) => Object.fromEntries(names.map((name) => [name, String(version)]));
    await mountConfigMap(at, "0", world(0));
    const store = await directory(at);
    let swapping = true;
    const swaps = (async () => {
      for (let version = 1; version <= 200; version++) {
        const data = `..2026_11_21_${version}`;
        await writeKeys(join(at, data), world(version));
        symlinkSync(data, join(at, "..data_tmp"));
        // In one turn, so that a reader that has just followed the link finds the former files half gone.
        renameSync(join(at, "..data_tmp"), join(at, "..data"));
        const former = join(at, `..2026_11_21_${version - 1}`);
        for (const name of names.slice(2)) rmSync(join(former, name));
        for (let turn = 0; turn < 15; turn++) await stat(former);
        rmSync(former, { recursive: true });
      }
      swapping = false;
    })();
    closing.push(() => swaps);
    const seen = new Set<string>();
    const look = ({ settings }: Snapshot) => {
      const values = new Set(settings.values());
      expect([settings.size, values.size]).toEqual([names.length, 1]);
      for (const value of values) seen.add(value);
    };
    while (swapping) look(await store.read());
    await swaps;
    look(await store.read());
    expect(seen.has("200")).toBe(true);
    expect(seen.size).toBeGreaterThan(5);
  });
});

describe("look again", () => {
  type Change = (value: string) => Promise<unknown>;
  const changes: Record<string, () => Promise<[HostStore, Change]>> = {
    "a file that is written": async () => {
      const path = await write("host.json", '{"settings":{"a":"1"}}');
      return [await flat(path, "json"), (value) => writeFile(path, `{"settings":{"a":"${value}"}}`)];
    },
    "a file that is replaced": async () => {
      const path = await write("host.properties", "a=1\n# end\n");
      const change: Change = async (value) => rename(await write("new", `a=${value}\n# end\n`), path);
      return [await flat(path, "properties"), change];
    },
    "a file in a ConfigMap": async () => {
      const at = await mountConfigMap(join(root, "d"), "1", { "host.env": "a=1\n# end" });
      const change: Change = (value) => mountConfigMap(at, value, { "host.env": `a=${value}\n# end` });
      return [await flat(join(at, "host.env"), "dotenv"), change];
    },
    "a file in a plain directory": async () => {
      const at = await writeKeys(join(root, "d"), { a: "1" });
      return [await directory(at), (value) => writeFile(join(at, "a"), value)];
    },
    "a Secret below": async () => {
      const at = join(root, "d");
      await mountConfigMap(join(at, "config"), "1", { b: "1" });
      const secret = await mountConfigMap(join(at, "secret"), "1", { a: "1" });
      return [await directory(at), (value) => mountConfigMap(secret, value, { a: value })];
    },
    // The links lead over a directory that nobody watches.
    "what only a poll sees": async () => {
      const middle = join(root, "middle");
      const change: Change = async (value) => {
        await writeKeys(join(root, value), { "host.json": `{"settings":{"a":"${value}"}}` });
        await symlink(join(root, value), `${middle}.new`);
        await rename(`${middle}.new`, middle);
      };
      await change("1");
      await mkdir(join(root, "link"));
      const path = join(root, "link", "host.json");
      await symlink(join(middle, "host.json"), path);
      return [await flat(path, "json", { pollMs: 10 }), change];
    },
  };

  test.each(Object.entries(changes))("%s", async (name, make) => {
    const [store, change] = await make();
    expect((await store.read()).settings.get("a")).toBe("1");
    const next = watching(store);
    let cause = "";
    const expected = name.includes("poll") ? /differs/ : /changed$/;
    // A change may be seen by the look with which every watch begins, however late that is; not all of them.
    for (const value of ["2", "3", "4", "5"]) {
      await change(value);
      do cause = await next();
      while ((await store.read()).settings.get("a") !== value);
      if (expected.test(cause)) break;
    }
    expect(cause).toMatch(expected);
  });

  test("a store that goes away and returns", async () => {
    const path = await writeKeys(join(root, "d"), { a: "1" });
    const store = await directory(path, { pollMs: 10 });
    await store.read();
    const next = watching(store);
    await rename(path, `${path}.away`);
    await next();
    expect(await failure(store.read())).toMatchObject({ code: "store/empty" });
    await writeKeys(path, { a: "2" });
    await next();
    expect((await store.read()).settings.get("a")).toBe("2");
  });
});

describe("a running service", () => {
  const running = async (store: string, env: Record<string, string> = {}): Promise<AgentFixture> => {
    const fixture = await agentFixture({}, { FIREKEEPER_STORE: store, ...env });
    closing.push(() => fixture.close());
    await fixture.start();
    return fixture;
  };
  const base = {
    "sys.xmpp.domain": "localhost",
    "users.admin.credentials.sha256": keys,
    "users.alice.credentials.sha256": keys,
  };

  test("follows a ConfigMap, by itself or by a person's apply", async () => {
    const at = await mountConfigMap(join(root, "d"), "1", base);
    const agent = await running(at, { FIREKEEPER_APPLY: "auto" });
    expect(agent.core.stored.world.accounts.map(({ name }) => name).sort()).toEqual(["admin", "alice"]);
    const pushed = new Promise<void>((resolve) => {
      agent.core.hooks.afterCommit = resolve;
    });
    const sales = { "roles.Sales.types": "xmpp.group", "roles.Sales.members": "alice" };
    await mountConfigMap(at, "2", { ...base, ...sales });
    await pushed;
    expect(agent.core.stored.world.groups).toMatchObject([{ name: "Sales", members: ["alice"] }]);
    await agent.close();
    const manual = await running(at);
    await mountConfigMap(at, "3", { ...base, ...sales, "roles.Sales.members": "admin,alice" });
    expect((await manual.ask("plan")).plan.changes).toHaveLength(1);
    expect(await manual.ask("apply")).toMatchObject({ is: "applied", revision: 2 });
    expect(manual.core.stored.world.groups[0]?.members).toHaveLength(2);
  });

  test("a store that is suddenly nearly empty waits for the number of removals", async () => {
    const many = Array.from({ length: 30 }, (_, at) => [`users.user${at}.credentials.sha256`, keys]);
    const path = await write("host.properties", propertiesOf({ ...base, ...Object.fromEntries(many) }));
    const agent = await running(path, { FIREKEEPER_APPLY: "auto" });
    await writeFile(path, propertiesOf(base));
    await expect(agent.ask("apply")).rejects.toMatchObject({ code: "apply/removes-much" });
    await rm(path);
    expect((await agent.ask("plan")).plan.notices[0]?.message).toContain(path);
    expect(agent.core.stored.world.accounts.filter((one) => one.keptUntil)).toEqual([]);
    expect(agent.core.stored.world.accounts).toHaveLength(32);
  });
});
