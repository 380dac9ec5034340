import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { OutcomeDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { openJournal } from "../../agent/apply/journal.ts";
import { deriveCredentials } from "../../agent/credentials.ts";
import { type Service, startService, until } from "../support/processes.ts";
import { random } from "../support/seeded-random.ts";
import { LoginRefused, XmppClient } from "../support/xmpp-client.ts";
import { type World, world } from "./world.ts";

/**
 * A store that changes at random, a core and an agent that are killed, files cut in the middle, a disk that fills. When
 * the dust has settled the server is what the host wants, and the journal explains every step. CHAOS_ROUNDS and CHAOS_SEED
 * choose how often and which.
 */
const rounds = Number(process.env.CHAOS_ROUNDS ?? 500);
const seed = Number(process.env.CHAOS_SEED ?? 20261121);

const password = "chaos";

/** A disk of its own for the home, so that it can be filled; only root may mount one. */
function smallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "chaos-disk-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=192m,mode=0700", "tmpfs", folder], { stdio: "pipe" });
    return folder;
  } catch {
    rmdirSync(folder);
    console.log("chaos: no disk can be mounted here, so none is filled");
    return undefined;
  }
}

test(`${rounds} rounds, seed ${seed}: desired is actual, and the journal says how`, {
  timeout: 1_500_000,
}, async () => {
  console.log(`chaos: ${rounds} rounds, CHAOS_SEED=${seed}`);
  const dice = random(seed);
  const disk = smallDisk();
  const service = await startService({
    env: { FIREKEEPER_MAX_REMOVE: "100", FIREKEEPER_RECONCILE: "* * * * * *", FIREKEEPER_JOURNAL_KEEP: "0" },
    properties: { "firekeeper.client.trusted-networks": "127.0.0.0/8" },
    ...(disk === undefined ? {} : { homeIn: disk }),
  });
  try {
    const host = world(dice, await deriveCredentials(password), await ownSettings(service));
    await putWhole(service, host, dice);
    await settled(service, host);
    const events = new Map<string, number>();
    for (let round = 0; round < rounds; round++) {
      const event = await happening(service, host, dice, disk);
      events.set(event, (events.get(event) ?? 0) + 1);
      // Several things come together now and then; the dust settles only after them.
      if (dice() < 0.3) continue;
      await settled(service, host, `round ${round}, after "${event}"`);
      if (dice() < 0.1) await seenByClients(service, host);
    }
    await settled(service, host);
    await seenByClients(service, host);
    console.log(`chaos: ${[...events].map(([event, count]) => `${event} ${count}`).join(", ")}`);
    await service.kill("agent", "SIGTERM");
    await journalExplains(service, host);
  } finally {
    await service.stop();
    if (disk !== undefined) {
      execFileSync("umount", [disk]);
      rmdirSync(disk);
    }
  }
});

/** Domain and ports, which stay. */
async function ownSettings(service: Service): Promise<Record<string, string>> {
  const view = (await askAgent(service.home, "store-read")) as { settings: [string, string][] };
  return Object.fromEntries(view.settings);
}

async function happening(service: Service, host: World, dice: () => number, disk: string | undefined): Promise<string> {
  const at = dice();
  if (at < 0.55) {
    const change = host.change();
    if (change === undefined) return "nothing";
    await askAgent(service.home, "store-edit", { change });
    return "edit by command";
  }
  if (at < 0.7) {
    for (let count = 0; count < 3; count++) host.change();
    await putWhole(service, host, dice);
    return "file rewritten";
  }
  if (at < 0.75) {
    const text = host.text();
    await writeFile(join(service.home, "host.yaml"), text.slice(0, Math.floor(dice() * text.length)));
    if (dice() < 0.5) await killCore(service);
    await putWhole(service, host, dice);
    return "file cut";
  }
  if (at < 0.85) {
    const change = dice() < 0.7 ? host.change() : undefined;
    // In the middle of the apply, as far as the dice can tell where that is.
    const edit = change && askAgent(service.home, "store-edit", { change }).catch(() => undefined);
    await pause(dice);
    await killCore(service);
    await edit;
    if (change !== undefined) await putWhole(service, host, dice);
    return "core killed";
  }
  if (at < 0.95 || disk === undefined) {
    host.change();
    const edit = putWhole(service, host, dice);
    await pause(dice);
    await service.kill("agent");
    await edit;
    await service.startAgent();
    return "agent killed";
  }
  return diskFills(service, host, dice, disk);
}

/** Whatever it is doing; one that is just being started again needs no second death. */
async function killCore(service: Service): Promise<void> {
  await service.kill("core").catch((error: unknown) => {
    if (!String(error).includes("no core is running")) throw error;
  });
}

async function diskFills(service: Service, host: World, dice: () => number, disk: string): Promise<string> {
  const filler = join(disk, "filler");
  const { bavail, bsize } = statfsSync(disk);
  const change = host.change();
  writeFileSync(filler, Buffer.alloc(Math.max(bavail * bsize - 4096 * Math.floor(dice() * 20), 0)));
  if (change !== undefined) await askAgent(service.home, "store-edit", { change }).catch(() => undefined);
  rmSync(filler);
  await putWhole(service, host, dice);
  return "disk full";
}

/** Some turns of the event loop and some milliseconds, so that kills meet every stage. */
async function pause(dice: () => number): Promise<void> {
  const until = performance.now() + dice() * 40;
  while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve));
}

/** The whole file, as an editor or a deployment writes it. */
async function putWhole(service: Service, host: World, dice: () => number): Promise<void> {
  const path = join(service.home, "host.yaml");
  if (dice() < 0.5) return writeFile(path, host.text(), { mode: 0o600 });
  await writeFile(`${path}.new`, host.text(), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Nothing is left to do, nothing is rejected, and what is in force is what the world says. */
async function settled(service: Service, host: World, when = ""): Promise<void> {
  let last = "";
  const quiet = async (): Promise<boolean> => {
    try {
      const outcome = (await askAgent(service.home, "resume")) as OutcomeDocument;
      last = JSON.stringify(outcome).slice(0, 2000);
      const { notices, rejected } = outcome.plan;
      return outcome.is === "in step" && rejected.length === 0 && !notices.some((one) => one.code.startsWith("store/"));
    } catch (error) {
      last = String(error);
      return false;
    }
  };
  await until(quiet, 60_000, () => `it does not settle ${when}: ${last}\n${service.logs()}`);
  const shown = (await askAgent(service.home, "show")) as { content: Content };
  expect(summary(shown.content), when).toEqual(wanted(host));
}

type Content = {
  settings: { properties: Record<string, string> };
  groups: { name: string; members: string[] | "all" }[];
  accounts: { name: string; enabled: boolean }[];
};

function summary({ settings, groups, accounts }: Content) {
  return {
    properties: settings.properties,
    groups: groups.map(({ name, members }) => [name, [...members].sort()]).sort(byFirst),
    accounts: accounts.map(({ name, enabled }) => [name, enabled]).sort(byFirst),
  };
}

function wanted(host: World): ReturnType<typeof summary> {
  const prefix = "sys.xmpp.properties.";
  const properties = [...host.settings].filter(([key]) => key.startsWith(prefix));
  return {
    properties: Object.fromEntries(properties.map(([key, value]) => [key.slice(prefix.length), value])),
    groups: [...host.roles].map(([name, members]) => [name, [...members].sort()]).sort(byFirst) as never,
    accounts: [...host.people.values()].map(({ name, enabled }) => [name, enabled]).sort(byFirst) as never,
  };
}

function byFirst(a: unknown[], b: unknown[]): number {
  return String(a[0]) < String(b[0]) ? -1 : 1;
}

/** One person at random logs in, or may not, and sees whoever shares a role and nobody else. */
async function seenByClients(service: Service, host: World): Promise<void> {
  const name = host.any();
  const person = host.people.get(name);
  const where = { host: service.host, port: service.ports.plain, domain: service.domain };
  const login = XmppClient.login({ ...where, user: name, password });
  if (person?.enabled !== true) {
    await expect(login).rejects.toBeInstanceOf(LoginRefused);
    return;
  }
  const client = await login;
  const { contacts } = await client.roster();
  const mates = [...host.roles.values()].filter((members) => members.has(name)).flatMap((members) => [...members]);
  const expected = new Set(mates.filter((mate) => mate !== name && host.people.get(mate)?.enabled));
  expect([...contacts.keys()].sort(), `roster of ${name}`).toEqual(
    [...expected].map((mate) => `${mate}@${service.domain}`).sort(),
  );
  await client.close();
}

/** The chain is whole, every intent has an outcome, and what is in force is what the steps in it make. */
async function journalExplains(service: Service, host: World): Promise<void> {
  const journal = await openJournal(service.home);
  try {
    const history = journal.history();
    const open = history.filter((one) => one.result === "in progress" || one.result === "applied");
    expect(open, "revisions without an outcome").toEqual([]);
    for (const line of history) {
      expect(line.cause, `revision ${line.revision}`).not.toBe("");
      expect(line.by, `revision ${line.revision}`).not.toBe("");
      if (line.result !== "found") expect(line.changes.length, `revision ${line.revision}`).toBeGreaterThan(0);
    }
    const numbers = history.map((one) => one.revision);
    expect(new Set(numbers).size, "a revision's number came twice").toBe(numbers.length);
    const state = journal.state(journal.revision ?? 0);
    const accounts = [...(state?.keys() ?? [])].map((key) => JSON.parse(key) as string[]);
    const names = accounts.filter(([kind]) => kind === "account").map(([, name]) => name);
    expect(names.sort()).toEqual([...host.people.keys()].sort());
    console.log(`chaos: ${history.length} revisions, ${journal.entries.length} journal entries`);
  } finally {
    await journal.close();
  }
}
