import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import type { StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { startChild } from "../support/child.ts";
import { credentialsOf } from "../support/core.ts";
import { type HostYaml, type Service, startService, until } from "../support/processes.ts";
import { LoginRefused, XmppClient } from "../support/xmpp-client.ts";

/** What breaks from outside: the running service keeps what it has, and says what is wrong. CUT_EVERY=1 cuts at every byte, which takes over an hour. */
const agentProgram = fileURLToPath(new URL("../../dist/agent/main.js", import.meta.url));
const people = ["admin", "alice", "bob"];
const closing: (() => unknown)[] = [];
let service: Service;
let alice: XmppClient;

const usersOf = (names: readonly string[]): Promise<NonNullable<HostYaml["users"]>> =>
  Promise.all(names.map(async (name) => ({ name, credentials: await credentialsOf(name) })));
const login = (user: string, of: Service = service) =>
  XmppClient.login({ host: of.host, port: of.ports.plain, domain: of.domain, user, password: user });
const status = async () => (await askAgent(service.home, "status")) as StatusDocument;
const revision = async () => (await status()).journal.revision;

beforeAll(async () => {
  const sales = { name: "Sales", types: ["xmpp.group"], members: people };
  service = await startService({ host: { users: await usersOf(people), roles: [sales] } });
});
afterAll(() => service.stop());
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

test(
  "host.yaml cut at any byte, in auto mode: nothing changes for anybody, and status says what is wrong with the file",
  async () => {
    alice = await login("alice");
    const { contacts } = await alice.roster();
    alice.presence();
    const whole = await readFile(join(service.home, "host.yaml"));
    const before = await status();
    expect(before.mode).toBe("auto");
    const step = Number(process.env.CUT_EVERY ?? Math.ceil(whole.length / 4));
    for (let end = Math.min(3, step - 1); end < whole.lastIndexOf("..."); end += step) {
      await writeFile(join(service.home, "host.yaml"), whole.subarray(0, end));
      // A look as the agent takes it by itself.
      await askAgent(service.home, "resume");
      const { journal, server, notices, why, lastError } = await status();
      expect({ journal, server }, `cut at ${end}`).toMatchObject({
        journal: before.journal,
        server: { domain: service.domain, accounts: people.length },
      });
      const words = [...notices.map(({ message }) => message), ...why, lastError?.message].join(" ");
      expect(words, `cut at ${end}`).toMatch(/host\.yaml.*line \d+|half-written|empty/);
    }
    await writeFile(join(service.home, "host.yaml"), whole);
    expect(await askAgent(service.home, "resume")).toMatchObject({ is: "in step" });
    expect(await revision()).toBe(before.journal.revision);
    expect((await alice.roster()).contacts).toEqual(contacts);
    await alice.none("roster push");
    await login("bob");
  },
  3 * 60 * 60 * 1000,
);

test("a key deleted from the store is at its default again", async () => {
  const storage = async () =>
    (await (await login("alice")).get("<query xmlns='jabber:iq:private'><x xmlns='test:x'/></query>")).attrs.type;
  await service.run(["settings", "set", "sys.xmpp.properties.xmpp.privateStorageEnabled", "false"]);
  expect(await storage()).toBe("error");
  await service.run(["settings", "unset", "sys.xmpp.properties.xmpp.privateStorageEnabled"]);
  expect(await storage()).toBe("result");
});

test("a port that is taken: the holder is named, the old port serves on, and the revision stays", async () => {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, resolve));
  closing.push(() => holder.close());
  const { port } = holder.address() as { port: number };
  const before = await revision();
  const old = await service.readHost();
  await service.writeHost({
    ...(parse(old) as HostYaml),
    settings: {
      ...(parse(old) as HostYaml).settings,
      "sys.xmpp.properties.xmpp.socket.plain.port": port,
      "sys.xmpp.properties.xmpp.privateStorageEnabled": false,
    },
  });
  const applied = await service.cli(["apply"]);
  expect(applied.code).toBe(1);
  const words = `${applied.stdout}${applied.stderr}`;
  expect(words).toContain(String(port));
  expect(words).toMatch(new RegExp(`\\b${process.pid}\\b`));
  expect(await service.run(["status"])).toContain(String(process.pid));
  expect(await revision()).toBe(before);
  await login("alice");
  await writeFile(join(service.home, "host.yaml"), old);
  expect(await service.cli(["apply"])).toMatchObject({ code: 0 });
});

test("a certificate that cannot be read: the file is named and the old one stays in use", async () => {
  const chain = join(service.home, "chain.pem");
  await writeFile(chain, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
  const before = { revision: await revision(), certificate: (await login("alice")).certificate?.fingerprint256 };
  const old = await service.readHost();
  const host = parse(old) as HostYaml;
  for (const file of [chain, join(service.home, "nowhere.pem")]) {
    const own = { "firekeeper.certificate.chain": file, "firekeeper.certificate.key": file };
    const added = Object.fromEntries(Object.entries(own).map(([key, value]) => [`sys.xmpp.properties.${key}`, value]));
    await service.writeHost({ ...host, settings: { ...host.settings, ...added } });
    const applied = await service.cli(["apply"]);
    expect(applied.code).toBe(1);
    expect(`${applied.stdout}${applied.stderr}`).toContain(file);
  }
  expect({ revision: await revision(), certificate: (await login("alice")).certificate?.fingerprint256 }).toEqual(
    before,
  );
  await writeFile(join(service.home, "host.yaml"), old);
  expect(await service.cli(["apply"])).toMatchObject({ code: 0 });
});

test("a second agent on the home is refused with the holder's name and disturbs nobody", async () => {
  const second = startChild(process.execPath, [agentProgram], { env: { FIREKEEPER_HOME: service.home } });
  expect(await second.exited).toBe(1);
  expect(second.output()).toMatch(new RegExp(`agent/home-in-use.*process ${service.pid("agent")} on`));
  await login("alice");
  expect(await service.cli(["plan"])).toMatchObject({ code: 0 });
});

test("a database newer than the program: it says which version wrote it, touches nothing, and serves again afterwards", async () => {
  const file = join(service.home, "core.db");
  await service.kill("agent", "SIGTERM");
  const future = (work: string) => {
    const database = loadDriver().open(file);
    database.exec(work);
    database.close();
  };
  future("INSERT INTO migration VALUES ('9999_future', 1, '77.0.0')");
  const before = await readFile(file);
  const agent = startChild(process.execPath, [agentProgram], { env: { FIREKEEPER_HOME: service.home } });
  closing.push(() => agent.stop("SIGKILL"));
  let said = "";
  const explained = async () => {
    const { stdout, stderr } = await service.cli(["status"]);
    said = stdout + stderr;
    return said.includes("was written by version 77.0.0");
  };
  await until(explained, 20_000, () => `${said}\n${service.logs()}`);
  expect(said).toMatch(/9999_future.*Start version 77\.0\.0 or newer/s);
  await agent.stop("SIGKILL");
  for (const pid of service.pids()) process.kill(pid, "SIGKILL");
  await service.dead();
  expect((await readFile(file)).equals(before)).toBe(true);
  future("DELETE FROM migration WHERE name = '9999_future'");
  await service.startAgent();
  await login("alice");
}, 60_000);

test("a full disk while an apply is under way: all of it or none, a clear word, and done once there is room", async ({
  skip,
}) => {
  const disk = smallDisk();
  if (disk === undefined) return skip("only root may mount a small disk");
  const elsewhere = mkdtempSync(join(tmpdir(), "firekeeper-store-"));
  closing.push(() => rm(elsewhere, { recursive: true }));
  const users = await usersOf(["alice", "u0", "u1", "u2"]);
  const small = await startService({
    homeIn: disk,
    host: { users: users.slice(0, 1) },
    // The store is on another disk, or it would be the only thing that is tried.
    env(home) {
      symlinkSync(join(elsewhere, "host.yaml"), join(home, "host.yaml"));
      return {};
    },
  });
  closing.push(() => small.stop());
  const host = parse(await small.readHost()) as HostYaml;
  const filler = join(disk, "filler");
  for (const [round, free] of [0, 16, 128].entries()) {
    const name = `u${round}`;
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - free * 1024)));
    const changed = {
      ...host,
      users: users.slice(0, round + 2),
      roles: [{ name: "Group", types: ["xmpp.group"], members: users.slice(0, round + 2).map((user) => user.name) }],
    };
    await small.writeHost(changed);
    const applied = await small.cli(["apply"]);
    const words = `${applied.stdout}${applied.stderr}`;
    const there = await Promise.all([mayLogIn(small, name), inRoster(small, name)]);
    const what = `${free} KiB free: ${there}, ${words}\n${small.logs()}`;
    expect(there[0], what).toBe(there[1]);
    if (applied.code === 0) expect(there[0], what).toBe(true);
    else expect(words, what).toMatch(/disk|space/i);
    rmSync(filler);
    const again = await small.cli(["apply"]);
    expect(again.code, `${free} KiB free before: ${again.stdout}${again.stderr}\n${small.logs()}`).toBe(0);
    expect(await mayLogIn(small, name)).toBe(true);
    expect((await small.cli(["plan"])).code).toBe(0);
  }
}, 120_000);

/** 3 MiB, which only root may mount. */
function smallDisk(): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), "firekeeper-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", directory], { stdio: "pipe" });
  } catch {
    rmSync(directory, { recursive: true });
    return undefined;
  }
  closing.push(() => {
    execFileSync("umount", [directory]);
    rmSync(directory, { recursive: true });
  });
  return directory;
}

async function mayLogIn(of: Service, user: string): Promise<boolean> {
  try {
    (await login(user, of)).drop();
    return true;
  } catch (error) {
    if (error instanceof LoginRefused) return false;
    throw error;
  }
}

async function inRoster(of: Service, user: string): Promise<boolean> {
  const client = await login("alice", of);
  const { contacts } = await client.roster();
  client.drop();
  return contacts.has(`${user}@${of.domain}`);
}
