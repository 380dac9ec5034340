import { writeFileSync } from "node:fs";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { credentialsMatch } from "../../agent/credentials.ts";
import { desired } from "../../agent/desired/desired.ts";
import { type FileStore, type FileStoreOptions, openFileStore } from "../../agent/store/file.ts";
import { type Clock, type Snapshot, StoreError } from "../../agent/store/host-store.ts";

let home: string;
let path: string;
/** Stands still; a sleep moves it at once and may let something happen meanwhile. */
let clock: Clock & { slept: number; meanwhile: (() => Promise<void>)[] };
const stops: (() => Promise<void>)[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "firekeeper-store-"));
  path = join(home, "host.yaml");
  let now = 0;
  clock = {
    slept: 0,
    meanwhile: [],
    now: () => now,
    async sleep(ms) {
      now += ms;
      clock.slept += ms;
      await clock.meanwhile.shift()?.();
    },
  };
});

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await rm(home, { recursive: true, force: true });
});

const open = (options: Partial<FileStoreOptions> = {}): Promise<FileStore> =>
  openFileStore({ path, home, create: true, clock, pollMs: 20, ...options });

const failure = async (work: Promise<unknown>): Promise<StoreError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(StoreError);
  return error as StoreError;
};

const people = (snapshot: Snapshot | undefined) => snapshot?.users.map((user) => user.name);

const two = "users:\n  - name: alice\n    password: one   # hers\n  - name: bob\n    password: two\n...\n";

describe("a fresh start", () => {
  test("makes a commented host.yaml with an admin whose password lies beside it", async () => {
    const store = await open();
    const snapshot = await store.read();
    expect([...snapshot.settings]).toEqual([["sys.xmpp.domain", "localhost"]]);
    expect(snapshot.users).toMatchObject([{ name: "admin", enabled: true }]);
    expect(snapshot.warnings).toEqual([]);
    expect(clock.slept).toBe(0);
    const password = (await readFile(join(home, "initial-admin-password"), "utf8")).trim();
    expect(store.created).toMatchObject({ user: "admin", password });
    expect(await credentialsMatch(snapshot.users[0]?.credentials ?? {}, password)).toBe(true);
    const text = await readFile(path, "utf8");
    expect(text).toMatch(/# - \{ name: All Users, types: \[xmpp\.group\], members: all \}/);
    expect(text).not.toContain(password);
    expect(text.endsWith("\n...\n")).toBe(true);
    for (const file of ["host.yaml", "initial-admin-password", "host.last-good.yaml", "secrets/password-hmac.key"])
      expect((await stat(join(home, file))).mode & 0o777, file).toBe(0o600);
    expect((await open()).created).toBeUndefined();
  });

  test("leaves the domain to the instance's name", async () => {
    const snapshot = await (await open({ instance: "acme-1" })).read();
    expect(desired(snapshot, { instance: "acme-1" }).state.settings.domain).toBe("acme-1");
  });

  test("the first password's file goes with the first change of that password, and only then", async () => {
    const store = await open();
    await store.read();
    const initial = join(home, "initial-admin-password");
    await store.edit({ kind: "user-add", name: "alice" });
    await expect(stat(initial)).resolves.toBeDefined();
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace(/(- name: admin)\n.*?(?= {2}- name: alice)/s, "$1\n    password: mine\n"));
    const snapshot = await store.read();
    expect(await credentialsMatch(snapshot.users[0]?.credentials ?? {}, "mine")).toBe(true);
    await expect(stat(initial)).rejects.toThrow("ENOENT");
  });

  test("a file that vanished from a home that had one is not made anew", async () => {
    await (await open()).read();
    await rm(path);
    const store = await open();
    expect(store.created).toBeUndefined();
    expect(await failure(store.read())).toMatchObject({ code: "store/missing" });
    expect(people(await store.lastGood())).toEqual(["admin"]);
  });

  test("a named place without a file is an error, not a fresh start", async () => {
    const store = await open({ create: false });
    expect(await failure(store.read())).toMatchObject({ code: "store/missing" });
    expect(await readdir(home)).not.toContain("host.yaml");
  });
});

describe("only a whole file is read", () => {
  test("cut at every byte: the world never shrinks, and the last good one survives a restart", async () => {
    await writeFile(
      path,
      `roles:\n  - { name: Sales, types: [xmpp.group], members: [alice, bøb] }\n${two.replaceAll("bob", "bøb")}`,
    );
    await (await open()).read();
    const bytes = await readFile(path);
    const store = await open();
    const before = await store.read();
    expect(before.users).toHaveLength(2);
    const codes = new Set<string>();
    for (let end = 0; end < bytes.length - 1; end++) {
      await writeFile(path, bytes.subarray(0, end));
      codes.add((await failure(store.read())).code);
    }
    // Otherwise the loop proves nothing: the marker alone, broken YAML and half a letter all occur.
    expect(codes).toEqual(new Set(["store/half-written", "store/not-utf8"]));
    expect(await store.lastGood()).toBe(before);
    const restarted = await open();
    expect(await failure(restarted.read())).toMatchObject({ code: "store/half-written" });
    const kept = await restarted.lastGood();
    expect(kept).toMatchObject({ hash: before.hash, users: before.users, roles: before.roles });
    await writeFile(path, bytes);
    expect((await restarted.read()).hash).toBe(before.hash);
  });

  test("an error names the line; the text of the error holds no password", async () => {
    const store = await open();
    await writeFile(path, two.replace("one ", '"one '));
    const error = await failure(store.read());
    expect(error).toMatchObject({ code: "store/not-yaml", place: { line: 3 } });
    expect(error.message + error.hint).not.toMatch(/\b(one|two)\b/);
  });

  test("it is read when it stayed the same for a second, and no sooner", async () => {
    await writeFile(path, two);
    const store = await open({ quietMs: 1000 });
    clock.meanwhile = [
      () => writeFile(path, two.replace("bob", "carol")),
      () => writeFile(path, two.replace("bob", "dora")),
    ];
    expect(people(await store.read())).toEqual(["alice", "dora"]);
    expect(clock.slept).toBe(3000);
    // Its own rewrite, and what it has read already, need no second look.
    await store.read();
    await (await open()).read();
    expect(clock.slept).toBe(3000);
  });

  test("a file that an editor removes and creates again is waited for", async () => {
    const store = await open();
    await store.read();
    await rm(path);
    clock.meanwhile = [() => writeFile(path, two)];
    expect(people(await store.read())).toEqual(["alice", "bob"]);
  });

  test("one that never had the marker is taken with a warning, one that changes all the time is not", async () => {
    await writeFile(path, two.replace("...\n", ""));
    const store = await open();
    expect((await store.read()).warnings).toMatchObject([{ code: "store/no-end-marker" }]);
    let count = 0;
    const again = async () => {
      clock.meanwhile.push(again);
      await writeFile(path, `${two}# ${count++}\n`);
    };
    await again();
    expect(await failure(store.read())).toMatchObject({ code: "store/never-quiet" });
  });

  test("too large a file is refused", async () => {
    const store = await open();
    await writeFile(path, Buffer.alloc(33 * 1024 * 1024, "#"));
    expect(await failure(store.read())).toMatchObject({ code: "store/too-large" });
  });
});

describe("passwords in clear", () => {
  test("are replaced in place; owner, mode, comments and everything else stay", async () => {
    await writeFile(path, two);
    await chmod(path, 0o640);
    const before = await stat(path);
    const store = await open();
    const { users } = await store.read();
    const text = await readFile(path, "utf8");
    expect(text).not.toMatch(/password|: (one|two)\b/);
    expect(text).toMatch(/sha512: .* {3}# hers\n {2}- name: bob/);
    expect((await stat(path)).mode).toBe(before.mode);
    expect(await credentialsMatch(users[1]?.credentials ?? {}, "two")).toBe(true);
    expect((await open().then((again) => again.read())).users).toEqual(users);
    for (const file of await readdir(home, { recursive: true }))
      if ((await stat(join(home, file))).isFile())
        expect(await readFile(join(home, file), "utf8"), file).not.toMatch(/: (one|two)\b/);
  });

  test("the file is not rewritten when somebody changed it in between", async () => {
    await writeFile(path, two);
    const changed = `${two.slice(0, -4)}  - name: carol\n...\n`;
    const store = await open({
      onProgress: (done) => {
        if (done === 1) writeFileSync(path, changed);
      },
    });
    await store.read();
    expect(await readFile(path, "utf8")).toBe(changed);
    expect(people(await store.read())).toEqual(["alice", "bob", "carol"]);
    expect(await readFile(path, "utf8")).not.toContain("password");
  });

  test("a read-only file is used as it is; its keys are derived once, also over a restart", async () => {
    await writeFile(path, two);
    await chmod(path, 0o444);
    const store = await open();
    const first = await store.read();
    expect(first.warnings).toMatchObject([{ code: "store/read-only" }]);
    expect(store.writable).toBe(false);
    expect(await readFile(path, "utf8")).toBe(two);
    let derived = 0;
    const again = await open({ onProgress: () => derived++ });
    expect((await again.read()).hash).toBe(first.hash);
    expect(derived).toBe(0);
    expect(await readFile(join(home, "host.last-good.yaml"), "utf8")).not.toMatch(/: (one|two)\b/);
    expect(await failure(again.edit({ kind: "user-add", name: "carol" }))).toMatchObject({ code: "store/read-only" });
    expect(await readFile(path, "utf8")).toBe(two);
  });

  test("many are turned into keys a batch at a time, the admin first, nobody disabled meanwhile", async () => {
    const names = ["a", "b", "c", "d", "boss"];
    const users = names.map((name) => `  - { name: ${name}, password: p-${name} }\n`).join("");
    await writeFile(path, `settings: { sys.xmpp.adminuser: Boss }\nusers:\n${users}...\n`);
    const store = await open({ batch: 2 });
    const looks: string[] = [];
    const looked = new Promise<void>((resolve) => {
      stops.push(
        store.watch((cause) => {
          looks.push(cause);
          resolve();
        }),
      );
    });
    const first = await store.read();
    expect(first.users.filter((user) => user.credentials).map((user) => user.name)).toEqual(["a", "boss"]);
    // A copy now would lock out those who wait.
    expect(await (await open()).lastGood()).toBeUndefined();
    const { accounts } = desired(first, {}).state;
    expect(accounts.map((account) => account.enabled)).toEqual(Array(5).fill(true));
    await looked;
    expect(looks[0]).toContain("3 passwords");
    await store.read();
    const last = await store.read();
    expect(last.users.every((user) => user.credentials && !user.deriving)).toBe(true);
    expect(await readFile(path, "utf8")).not.toContain("p-");
  });

  test("one that can be none is named with its line, and only its user is locked out", async () => {
    await writeFile(path, 'users:\n  - name: a\n    password: "x\\u0007y"\n  - name: b\n    password: fine\n...\n');
    const snapshot = await (await open()).read();
    expect(snapshot.users).toMatchObject([{ name: "a" }, { name: "b", credentials: {} }]);
    expect(snapshot.users[0]?.credentials).toBeUndefined();
    expect(snapshot.warnings).toMatchObject([{ code: "store/unusable-password", where: `${path}:2` }]);
    expect(JSON.stringify(snapshot.warnings)).not.toContain("x\\u0007y");
    expect(await readFile(join(home, "host.last-good.yaml"), "utf8")).not.toContain("x\\u0007y");
  });
});

describe("edits", () => {
  test("are read back at once, without a quiet second", async () => {
    const store = await open();
    await store.read();
    const edited = await store.edit({ kind: "role-add", type: "xmpp.group", name: "Sales", members: ["admin"] });
    expect(edited).toMatchObject({ changed: true, snapshot: { roles: [{ name: "Sales", members: ["admin"] }] } });
    expect(await store.read()).toBe(edited.snapshot);
    expect(clock.slept).toBe(0);
  });

  test("of many processes at once all stand", async () => {
    await (await open()).read();
    const stores = await Promise.all([open(), open(), open()]);
    const names = ["a", "b", "c", "d", "e", "f"];
    await Promise.all(
      names.map((name, index) => stores[index % 3]?.edit({ kind: "user-add", name, displayName: `User ${name}` })),
    );
    const snapshot = await (await open()).read();
    expect(people(snapshot)?.sort()).toEqual(["a", "admin", "b", "c", "d", "e", "f"]);
    expect((await readdir(home)).filter((file) => /lock$|tmp$/.test(file))).toEqual([]);
  });

  test("a lock whose holder died is taken over", async () => {
    const store = await open();
    await store.read();
    const lock = join(home, ".host.yaml.lock");
    await writeFile(lock, "");
    await utimes(lock, new Date(0), new Date(0));
    await store.edit({ kind: "user-add", name: "alice" });
    expect(people(await store.read())).toEqual(["admin", "alice"]);
  });

  test("a half-written file is not edited", async () => {
    const store = await open();
    await store.read();
    const cut = (await readFile(path, "utf8")).slice(0, -5);
    await writeFile(path, cut);
    expect(await failure(store.edit({ kind: "user-add", name: "alice" }))).toMatchObject({
      code: "store/half-written",
    });
    expect(await readFile(path, "utf8")).toBe(cut);
  });

  test("go through a link to the file behind it", async () => {
    const real = join(home, "elsewhere", "real.yaml");
    await mkdir(join(home, "elsewhere"));
    await writeFile(real, two);
    await symlink(real, path);
    const store = await open();
    await store.edit({ kind: "user-add", name: "carol" });
    expect(await readFile(real, "utf8")).toContain("carol");
    expect(await readFile(path, "utf8")).toContain("carol");
  });

  test("comments and order change nothing that a plan would see", async () => {
    const store = await open();
    const before = await store.read();
    await writeFile(path, `# new\n${await readFile(path, "utf8")}`);
    expect((await store.read()).hash).toBe(before.hash);
  });
});

describe("watching", () => {
  const next = (store: FileStore) =>
    new Promise<string>((resolve) => {
      const stop = store.watch((cause) => {
        resolve(cause);
      });
      stops.push(stop);
    });

  test.each(["in place", "by rename"])("a change %s is noticed, and so is its undoing", async (how) => {
    const store = await open();
    await store.read();
    const good = await readFile(path);
    const change = async (text: string | Buffer) => {
      if (how === "in place") return writeFile(path, text);
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
    };
    let noticed = next(store);
    await change("users: [\n");
    expect(await noticed).toContain("host.yaml");
    await failure(store.read());
    noticed = next(store);
    await change(good);
    await noticed;
    expect(people(await store.read())).toEqual(["admin"]);
  });

  test("its own writes are not noticed", async () => {
    const store = await open({ pollMs: 5 });
    await store.read();
    const causes: string[] = [];
    stops.push(store.watch((cause) => void causes.push(cause)));
    await store.edit({ kind: "user-add", name: "alice" });
    const noticed = next(store);
    // Whole at once: a poll may see the middle of a write.
    await writeFile(`${path}.new`, two);
    await rename(`${path}.new`, path);
    await noticed;
    expect(causes).toHaveLength(1);
    await store.read();
    expect(await readFile(path, "utf8")).not.toContain("password");
    // Many turns, so that the poll gets its own.
    for (let turn = 0; turn < 50; turn++) await failure(store.edit({ kind: "user-remove", name: "nobody" }));
    expect(causes).toHaveLength(1);
  });
});
