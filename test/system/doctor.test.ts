/** `firekeeper doctor` against a real core and its agent, and against homes in which nothing runs: each check is seen to pass and to fail. */
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import BetterSqlite from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { doctorCommand } from "../../agent/commands/doctor.ts";
import { checkCertificates } from "../../agent/doctor/certificates.ts";
import { checkDisk } from "../../agent/doctor/disk.ts";
import { facts } from "../../agent/doctor/doctor.ts";
import { checks, type Verdict } from "../../agent/doctor/verdict.ts";
import { type Environment, readEnvironment } from "../../agent/environment.ts";
import { openReport } from "../../agent/report.ts";
import { type AgentProcess, startAgent } from "../../agent/start.ts";
import { credentialsOf, freePort, startTestCore, type TestCore } from "../support/core.ts";
import { socksServer } from "../support/socks5-server.ts";
import { hostText } from "./agent-fixture.ts";

const ending: (() => unknown)[] = [];
afterAll(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

type Ran = { verdicts: Verdict[]; zone: string[]; code: number; text: string };

async function doctor(place: Environment, words: string[], password = ""): Promise<Ran> {
  let printed = "";
  let code = 0;
  const parts = {
    ask: (what: string, params?: Record<string, unknown>) => askAgent(place.home, what, params),
    print: (text: string) => {
      printed = text;
    },
    exitCode: (given: number) => {
      code = given;
    },
  };
  const command = doctorCommand(
    parts,
    () => place,
    async () => password,
  );
  await command.parseAsync(words, { from: "user" });
  const { verdicts = [], zone = [] } = words.includes("--json") ? JSON.parse(printed) : {};
  return { verdicts, zone, code, text: printed };
}

const standing = ({ verdicts }: Pick<Ran, "verdicts">, check: string, of?: string) =>
  verdicts.filter((one) => one.check === check && (of === undefined || one.of.includes(of))).map((one) => one.standing);

async function emptyHome(settings: Record<string, string>, more: Record<string, string> = {}): Promise<Environment> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-doctor-"));
  ending.push(() => rm(home, { recursive: true }));
  const users = [{ name: "alice", password: "x" }, { name: "bob" }];
  await writeFile(join(home, "host.yaml"), hostText({ settings, users }), { mode: 0o600 });
  return readEnvironment({ FIREKEEPER_HOME: home, ...more }, { dotenvPath: join(home, "none") });
}

describe("while nothing runs", () => {
  test("store: whole, open to others, broken", async () => {
    const place = await emptyHome({ "sys.xmpp.domain": "chat.example.org" });
    const whole = await doctor(place, ["--json", "--only", "store"]);
    expect([standing(whole, "store.readable"), standing(whole, "store.permissions"), whole.code]).toEqual([
      ["ok"],
      ["ok"],
      0,
    ]);
    await chmod(place.store, 0o666);
    const open = await doctor(place, ["--json", "--only", "store"]);
    expect(standing(open, "store.permissions")).toEqual(["fail"]);
    await writeFile(place.store, "settings: [");
    const broken = await doctor(place, ["--json", "--only", "store"]);
    expect([standing(broken, "store.readable"), broken.code]).toEqual([["fail"], 1]);
  });

  test("disk: permissions, heap, a full and a remote file system", async () => {
    const place = await emptyHome({ "sys.xmpp.java_options": "-Xmx90000g" });
    const known = async () => facts(place, (what) => askAgent(place.home, what));
    const good = await doctor(place, ["--json", "--only", "disk"]);
    expect(standing(good, "disk.permissions")).toEqual(["ok"]);
    expect(standing(good, "disk.memory")).toEqual(["fail"]);
    await chmod(place.home, 0o755);
    await writeFile(join(place.home, "secret"), "", { mode: 0o644 });
    const bad = await doctor(place, ["--only", "disk"]);
    expect(bad.text).toContain(`chmod 700 ${place.home}`);
    expect(bad.text).toContain(`chmod 600 ${join(place.home, "secret")}`);
    const disk = { type: 0x6969, bsize: 4096, blocks: 9, bfree: 9, bavail: 9, files: 9, ffree: 9 };
    const full = { verdicts: await checkDisk(await known(), async () => ({ ...disk, frsize: 4096 })) };
    expect(["disk.space", "disk.inodes", "disk.kind"].map((one) => standing(full, one))).toEqual([
      ["fail"],
      ["fail"],
      ["warn"],
    ]);
  });

  test("clock: a journal from the future, and an NTP server", async () => {
    const ntp = createSocket("udp4");
    let ahead = 0;
    ntp.on("message", (_, from) => {
      const answer = Buffer.alloc(48);
      answer.writeUInt32BE(Math.floor(Date.now() / 1000) + 2_208_988_800 + ahead, 40);
      ntp.send(answer, from.port, from.address);
    });
    await new Promise<void>((resolve) => ntp.bind(0, "127.0.0.1", resolve));
    ending.push(() => ntp.close());
    const place = await emptyHome({});
    const look = () => doctor(place, ["--json", "--only", "clock", "--ntp", `127.0.0.1:${ntp.address().port}`]);
    const write = (at: number) =>
      writeFile(join(place.home, "journal.jsonl"), `{"at":"${new Date(at).toISOString()}"}\n`);
    await write(Date.now() - 60_000);
    const right = await look();
    expect(["clock.journal", "clock.ntp", "clock.steps"].map((one) => standing(right, one))).toEqual([
      ["ok"],
      ["ok"],
      ["ok"],
    ]);
    await write(Date.now() + 3_600_000);
    ahead = 60;
    const wrong = await look();
    expect(["clock.journal", "clock.ntp"].map((one) => standing(wrong, one))).toEqual([["fail"], ["fail"]]);
  });

  test("ports: a taken one names its holder", async () => {
    const taken = createServer();
    const free = await freePort();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    ending.push(() => taken.close());
    const { port } = taken.address() as { port: number };
    const settings = { "xmpp.socket.plain.port": String(port), "xmpp.socket.ssl.port": String(free) };
    const place = await emptyHome(
      Object.fromEntries(Object.entries(settings).map(([key, value]) => [`sys.xmpp.properties.${key}`, value])),
    );
    const { verdicts } = await doctor(place, ["--json", "--only", "ports"]);
    expect(verdicts.find((one) => one.of === `port ${port} (c2s)`)).toMatchObject({
      standing: "fail",
      found: expect.stringContaining(`pid ${process.pid}`),
    });
    expect(standing({ verdicts }, "ports.taken", `port ${free} `)).toEqual(["ok"]);
  });

  test("database: whole, and damaged in the middle", async () => {
    const place = await emptyHome({});
    const path = join(place.home, "core.db");
    const database = new BetterSqlite(path);
    database.exec("CREATE TABLE migration (name TEXT PRIMARY KEY, program_version TEXT)");
    database.exec("INSERT INTO migration VALUES ('0001-start', '0.1.0')");
    database.exec("CREATE TABLE much (text TEXT)");
    const insert = database.prepare("INSERT INTO much VALUES (?)");
    for (let row = 0; row < 200; row++) insert.run("x".repeat(500));
    database.close();
    const whole = await doctor(place, ["--json", "--only", "database"]);
    expect(whole.verdicts.map((one) => one.standing)).toEqual(["ok", "ok", "ok"]);
    const bytes = await readFile(path);
    // The header counts five free pages (offset 36), and the list of them has none.
    bytes.writeUInt32BE(5, 36);
    await writeFile(path, bytes);
    const inconsistent = await doctor(place, ["--json", "--only", "database"]);
    expect(inconsistent.verdicts[0]).toMatchObject({ standing: "fail", found: expect.stringMatching(/freelist/i) });
    await writeFile(path, bytes.fill(0x5a, 5 * 4096, 9 * 4096));
    expect(standing(await doctor(place, ["--json", "--only", "database"]), "database.integrity")).toEqual(["fail"]);
  });

  test("a login ends at the store, with the nearest name", async () => {
    const place = await emptyHome({ "sys.xmpp.domain": "chat.example.org" });
    const { verdicts, code } = await doctor(place, ["--json", "--login", "alcie"]);
    expect(code).toBe(1);
    expect(verdicts.find((one) => one.of === "store")?.fix).toBe("did you mean alice?");
    const bob = await doctor(place, ["--json", "--login", "bob"]);
    expect([standing(bob, "login.step", "store"), standing(bob, "login.step", "store password")]).toEqual([
      ["ok", "fail"],
      ["fail"],
    ]);
    const twice = await doctor(place, ["--json", "--login", "alice@corp@chat.example.org"]);
    expect(twice.verdicts[0]).toMatchObject({
      check: "login.name",
      standing: "fail",
      fix: "in Pidgin: Username alice, Domain chat.example.org",
    });
    const address = await doctor(place, ["--json", "--login", "alice@chat.example.org"]);
    expect(standing(address, "login.name")).toEqual(["ok"]);
  });

  test("a group of checks that does not exist is refused", async () => {
    const place = await emptyHome({});
    await expect(doctor(place, ["--only", "disc"])).rejects.toMatchObject({ code: "doctor/unknown-group" });
    await expect(doctor(place, ["--from", "ftp://x"])).rejects.toMatchObject({ code: "doctor/vantage-point" });
  });
});

describe("while the service runs", () => {
  let core: TestCore;
  let agent: AgentProcess;
  let place: Environment;

  beforeAll(async () => {
    core = await startTestCore({ users: ["zoe"] });
    ending.push(() => core.close());
    const keep = {
      "network.interface": "127.0.0.1",
      "xmpp.socket.plain.port": String(core.port),
      "xmpp.socket.ssl.port": String(core.directPort),
      "xmpp.proxy.enabled": "false",
      "httpbind.enabled": "false",
      "adminConsole.port": "-1",
      "adminConsole.securePort": "-1",
    };
    const prefixed = Object.entries(keep).map(([key, value]) => [`sys.xmpp.properties.${key}`, value]);
    const settings = {
      "sys.xmpp.domain": "localhost",
      "sys.xmpp.externalip": "127.0.0.1",
      ...Object.fromEntries(prefixed),
    };
    const users = [
      { name: "zoe", credentials: await credentialsOf("zoe") },
      { name: "bob", enabled: false, credentials: await credentialsOf("bob") },
    ];
    await writeFile(join(core.home, "host.yaml"), hostText({ settings, users }), { mode: 0o600 });
    place = readEnvironment(
      {
        FIREKEEPER_HOME: core.home,
        FIREKEEPER_CORE: join(core.home, "control.sock"),
        FIREKEEPER_RECONCILE: "0 0 1 1 *",
      },
      { dotenvPath: join(core.home, "none") },
    );
    agent = await startAgent(place, { report: openReport("silent"), quietMs: 50 });
    ending.push(() => agent.stop("test"));
    await agent.settled;
  });

  test("ports, certificates, database, store and agent are in order", async () => {
    const ran = await doctor(place, ["--json", "--only", "ports,certificates,database,store,reachability"]);
    expect(standing(ran, "ports.open").filter((one) => one === "ok")).toHaveLength(2);
    expect(standing(ran, "certificates.served")).toEqual(["ok"]);
    expect(standing(ran, "certificates.days")).toEqual(["ok"]);
    expect(standing(ran, "certificates.chain")).toEqual(["warn"]);
    expect(standing(ran, "database.integrity")).toEqual(["ok"]);
    expect(standing(ran, "store.changes")).toEqual(["ok"]);
    expect(standing(ran, "reachability.agent")).toEqual(["ok"]);
    expect(ran.code).toBe(0);
  });

  test("a certificate that has ended, and one for another name", async () => {
    const known = await facts(place, (what, params) => askAgent(place.home, what, params));
    const later = { verdicts: await checkCertificates(known, () => Date.now() + 50 * 365 * 86_400_000) };
    expect(standing(later, "certificates.days")).toEqual(["fail"]);
    const { server } = known;
    if (server === undefined) throw new Error("no server");
    const other = {
      verdicts: await checkCertificates({ ...known, server: { ...server, domain: "other.example.org" } }),
    };
    expect(standing(other, "certificates.served")).toEqual(["fail"]);
  });

  test("a port that takes no connection", async () => {
    const { checkPorts } = await import("../../agent/doctor/ports.ts");
    const known = await facts(place, (what, params) => askAgent(place.home, what, params));
    const gone = { name: "c2s", address: "127.0.0.1", port: await freePort(), state: "open" as const };
    expect(standing({ verdicts: await checkPorts({ ...known, listeners: [gone] }) }, "ports.open")).toEqual(["fail"]);
  });

  test("the firewall rules are those of this configuration, and nft takes them", async () => {
    const { text } = await doctor(place, ["--ports"]);
    expect(text).toContain(`tcp dport ${core.port} accept`);
    expect(text).toContain(`tcp dport ${core.directPort} accept`);
    expect(text).not.toContain("7777");
    const able = (rules: string) => {
      try {
        execFileSync("nft", ["-c", "-f", "-"], { input: rules, stdio: "pipe" });
        return true;
      } catch {
        return false;
      }
    };
    // Without nft, or without the right to ask the kernel, nothing can be said about the rules.
    if (able("add table inet filter\n")) expect(able(`${text}\n`)).toBe(true);
  });

  test("from outside: reached through a proxy, and not", async () => {
    const proxy = await socksServer();
    ending.push(() => proxy.close());
    const look = ["--json", "--only", "reachability", "--from"];
    const reached = await doctor(place, [...look, `socks5://127.0.0.1:${proxy.port}`]);
    expect(standing(reached, "reachability.outside")).toEqual(["ok", "ok"]);
    expect(proxy.asked).toContain(`127.0.0.1:${core.port}`);
    const none = await doctor(place, [...look, `socks5://127.0.0.1:${await freePort()}`]);
    expect(standing(none, "reachability.outside")).toEqual(["fail", "fail"]);
  });

  test("a login that works, step by step, and those that do not", async () => {
    const zoe = await doctor(place, ["--json", "--login", "zoe", "--password-stdin"], "zoe\n");
    expect([zoe.code, standing(zoe, "login.real")]).toEqual([0, ["ok"]]);
    const wrong = await doctor(place, ["--json", "--login", "zoe", "--password-stdin"], "correct-horse");
    expect([wrong.code, standing(wrong, "login.real"), standing(wrong, "login.step", "password").at(-1)]).toEqual([
      1,
      ["fail"],
      "fail",
    ]);
    expect(wrong.text).not.toContain("correct-horse");
    const bob = await doctor(place, ["--json", "--login", "bob"]);
    expect(bob.verdicts.find((one) => one.of === "store")).toMatchObject({
      standing: "fail",
      found: expect.stringContaining("disabled"),
    });
    expect(standing(bob, "login.real")).toEqual(["skipped"]);
  });
});

test("docs/doctor.md has every verdict", async () => {
  const page = await readFile(new URL("../../docs/doctor.md", import.meta.url), "utf8");
  expect(Object.keys(checks).filter((one) => !new RegExp(`^\\| \`${one}\` +\\|`, "m").test(page))).toEqual([]);
});
