/**
 * Database stores, measured: the time from a commit in PostgreSQL to the roster pushes it causes, with the built program's
 * three processes, and what reads cost. `npm run build && npx tsx test/bench/store-push.ts [members] [watchers] [rounds]`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { openStore } from "../../agent/store/open.ts";
import { noMysql, startMysql } from "../stores/mysql-server.ts";
import { noPostgres, startPostgres } from "../stores/postgres-server.ts";
import type { DatabaseServer } from "../stores/server-process.ts";
import { freePorts, startChild } from "../support/child.ts";
import { credentialsOf } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { cpuMicroseconds, processTree } from "./proc.ts";

const [members = 10_000, watchers = 50, rounds = 20] = process.argv.slice(2).map(Number);
const { sha1, sha256, sha512 } = await credentialsOf("secret");

/** Users `u0` … and a group of all but the last ten. */
async function fill(server: DatabaseServer, users: number, settings: Record<string, string | number | boolean>) {
  await server.empty();
  await server.run(
    ...Object.entries(settings).map(
      ([key, value]) => `INSERT INTO xmpp_setting (name, value) VALUES ('${key}', '${value}')`,
    ),
    "INSERT INTO xmpp_role (name) VALUES ('Sales')",
    "INSERT INTO xmpp_role_type (role, type) VALUES ('Sales', 'xmpp.group')",
  );
  const inserts: string[] = [];
  for (let from = 0; from < users; from += 1000) {
    const numbers = Array.from({ length: Math.min(1000, users - from) }, (_, index) => from + index);
    const rows = numbers.map((n) => `('u${n}', '${n}', 'Person ${n}', '${sha1}', '${sha256}', '${sha512}')`);
    inserts.push(
      `INSERT INTO xmpp_user (name, id, display_name, scram_sha1, scram_sha256, scram_sha512) VALUES ${rows}`,
    );
    const inGroup = numbers.filter((n) => n < users - 10).map((n) => `('Sales', 'u${n}')`);
    inserts.push(`INSERT INTO xmpp_role_member (role, user_name) VALUES ${inGroup}`);
  }
  const started = performance.now();
  await server.together(...inserts);
  return performance.now() - started;
}

async function timed<T>(work: () => Promise<T>): Promise<[number, T]> {
  const started = performance.now();
  const done = await work();
  return [performance.now() - started, done];
}

const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

async function reads(name: string, server: DatabaseServer, users: number) {
  const filled = await fill(server, users, {});
  const home = await mkdtemp(join(tmpdir(), "firekeeper-reads-"));
  const { store, close } = await openStore({ at: server.url, config: undefined }, { home });
  const before = process.memoryUsage().rss;
  const [first] = await timed(() => store.read());
  const peak = process.resourceUsage().maxRSS / 1024;
  const [unchanged] = await timed(() => store.read());
  await server.run("UPDATE xmpp_user SET display_name = 'Other' WHERE name = 'u7'");
  const [changed] = await timed(() => store.read());
  console.log(
    `${name}, ${users} users: inserted in ${ms(filled)}, first read ${ms(first)}, unchanged ${ms(unchanged)}, after one change ${ms(changed)}, RSS before ${(before / 2 ** 20).toFixed(0)} MiB, peak ${peak.toFixed(0)} MiB`,
  );
  await close();
  await rm(home, { recursive: true, force: true });
}

async function pushes(server: DatabaseServer & { sessions?(): Promise<string[]> }) {
  const [plain = 0, tls = 0] = await freePorts(2);
  const properties = {
    "network.interface": "127.0.0.1",
    "xmpp.socket.plain.port": plain,
    "xmpp.socket.ssl.port": tls,
    "xmpp.proxy.enabled": false,
    "httpbind.enabled": false,
    "adminConsole.port": -1,
    "adminConsole.securePort": -1,
  };
  await fill(server, members, {
    "sys.xmpp.domain": "localhost",
    "sys.xmpp.adminuser": "u0",
    ...Object.fromEntries(Object.entries(properties).map(([key, value]) => [`sys.xmpp.properties.${key}`, value])),
  });
  const home = await mkdtemp(join(tmpdir(), "firekeeper-push-"));
  const env = { FIREKEEPER_HOME: home, FIREKEEPER_STORE: server.url, FIREKEEPER_APPLY: "auto" };
  const program = new URL("../../dist/agent/main.js", import.meta.url).pathname;
  const [started, agent] = await timed(async () => {
    const child = startChild(process.execPath, [program], { cwd: home, env });
    await child.printed(/^(Firekeeper serves|Not ready)/m, 120_000);
    return child;
  });
  console.log(`first start with ${members} users and a group of ${members - 10}: ${ms(started)}`);
  try {
    const where = { host: "127.0.0.1", port: plain, domain: "localhost", password: "secret" };
    const clients = [];
    for (let n = 0; n < watchers; n++) {
      const client = await XmppClient.login({ ...where, user: `u${n}` });
      await client.roster();
      client.send("<presence/>");
      clients.push(client);
    }
    const times: number[] = [];
    const serverPids = () => processTree(agent.pid).filter((pid) => pid !== agent.pid);
    const spent = () => ({ agent: cpuMicroseconds([agent.pid]), server: cpuMicroseconds(serverPids()) });
    let [ofAgent, ofServer] = [0, 0];
    for (let round = 0; round < rounds; round++) {
      const name = `u${members - 1 - (round % 10)}`;
      const adding = round % 20 < 10;
      // The turn before has ended, and nothing waits.
      await askAgent(home, "plan");
      const before = spent();
      const about = clients.map((client) => client.next("roster push", (push) => String(push).includes(`${name}@`)));
      await server.run(
        adding
          ? `INSERT INTO xmpp_role_member (role, user_name) VALUES ('Sales', '${name}')`
          : `DELETE FROM xmpp_role_member WHERE user_name = '${name}'`,
      );
      const committed = performance.now();
      await Promise.all(about);
      times.push(performance.now() - committed);
      await askAgent(home, "plan");
      const after = spent();
      ofAgent += after.agent - before.agent;
      ofServer += after.server - before.server;
    }
    times.sort((a, b) => a - b);
    const at = (share: number) => ms(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0);
    console.log(
      `commit to the last of ${watchers} roster pushes, ${rounds} rounds, one member more or less of ${members - 10}: least ${at(0)}, median ${at(0.5)}, most ${at(1)}`,
    );
    const each = (us: number) => ms(us / 1000 / rounds);
    console.log(
      `CPU a round, with the verify and one plan: agent ${each(ofAgent)}, server ${each(ofServer)}; load ${loadavg()[0]?.toFixed(1)}`,
    );
  } finally {
    XmppClient.dropAll();
    await agent.stop();
    await rm(home, { recursive: true, force: true });
  }
}

if (noPostgres) console.log(noPostgres);
else {
  const server = await startPostgres();
  try {
    await pushes(server);
    await reads("PostgreSQL", server, 50_000);
  } finally {
    await server.close();
  }
}
if (noMysql) console.log(noMysql);
else {
  const server = await startMysql();
  try {
    await reads("MariaDB", server, 50_000);
  } finally {
    await server.close();
  }
}
process.exit(0);
