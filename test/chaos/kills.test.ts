import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Service, type ServiceOptions, startService } from "../support/processes.ts";
import { random } from "../support/seeded-random.ts";
import { Crowd, crowdUsers } from "../system/crowd.ts";
import { losePower, powerLossEnvironment, powerLossUnavailable } from "./power-loss.ts";

/** One of the three processes is killed while people chat; test/system/kill.test.ts kills the core again and again. docs/architecture.md "Three processes". */
const size = 12;
const powerRounds = Number(process.env.KILL_ROUNDS ?? 2);
const seed = Number(process.env.KILL_SEED ?? 20261121);
const closing: (() => unknown)[] = [];
const leaving: (() => unknown)[] = [];
const leave = async (all: (() => unknown)[]) => {
  for (const close of all.splice(0).reverse()) await close();
};
afterEach(() => leave(closing));

async function chattingService(closing: (() => unknown)[], options: ServiceOptions = {}): Promise<[Service, Crowd]> {
  const service = await startService({ ...options, host: { users: await crowdUsers(size) } });
  closing.push(() => service.stop());
  const crowd = await Crowd.gather(service, size);
  closing.push(() => crowd.leave());
  return [service, crowd];
}

const journalHead = async (service: Service) => JSON.parse(await service.run(["status", "--json"])).journal;

describe("of the three processes", () => {
  let service: Service;
  let crowd: Crowd;
  beforeAll(async () => {
    [service, crowd] = await chattingService(leaving);
  });
  afterAll(() => leave(leaving));

  test("kill -9 of the agent: nobody notices; when it returns it adopts what runs and plans nothing", async () => {
    const before = { gate: service.pid("gate"), core: service.pid("core"), journal: await journalHead(service) };
    crowd.chat();
    await crowd.progress(3);
    await service.kill("agent");
    await crowd.progress(10);
    const without = await service.cli(["plan"]);
    expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining("No agent is running") });
    await service.startAgent();
    await crowd.progress(3);
    expect(await service.cli(["plan"])).toMatchObject({ code: 0 });
    expect({ gate: service.pid("gate"), core: service.pid("core"), journal: await journalHead(service) }).toEqual(
      before,
    );
    await crowd.settle();
    crowd.undisturbed();
  }, 60_000);

  test("kill -9 of the gate: the agent starts it again, also one that it adopted; managed people resume", async () => {
    for (const adopted of [false, true]) {
      if (adopted) {
        await service.kill("agent");
        await service.startAgent();
      }
      crowd.chat();
      await crowd.progress(3);
      const killed = service.pid("gate");
      await service.kill("gate");
      await crowd.dropped();
      await service.served();
      expect(service.pid("gate")).not.toBe(killed);
      await crowd.comeBack();
      await crowd.settle("managed");
    }
  }, 120_000);

  test("kill -9 of the core, with people idle and busy: the gate starts it again and they go on", async () => {
    const gate = service.pid("gate");
    for (const busy of [false, true]) {
      if (busy) crowd.chat();
      const killed = service.pid("core");
      await service.kill("core");
      await crowd.dropped();
      await crowd.comeBack();
      expect(service.pid("core")).not.toBe(killed);
      crowd.chat();
      await crowd.settle("managed");
    }
    expect(service.pid("gate")).toBe(gate);
  }, 120_000);
});

test.skipIf(powerLossUnavailable())(
  `${powerRounds} losses of power, seed ${seed}: what was acknowledged is there${powerLossUnavailable() ? ` (skipped: ${powerLossUnavailable()})` : ""}`,
  async () => {
    const next = random(seed);
    const [service, crowd] = await chattingService(closing, { env: powerLossEnvironment });
    let unsynced = 0;
    for (let round = 0; round < powerRounds; round++) {
      crowd.chat();
      await crowd.progress(Math.floor(next() * 8));
      // The agent first, or it would start the gate again.
      for (const part of ["agent", "core", "gate"] as const) process.kill(service.pid(part), "SIGKILL");
      await crowd.dropped();
      await service.dead();
      unsynced += losePower(service.home, next);
      await service.startAgent();
      await crowd.comeBack();
      await crowd.settle("managed");
    }
    expect(unsynced, "without unsynced writes nothing was tried").toBeGreaterThan(0);
  },
  60_000 + powerRounds * 30_000,
);
