import fc from "fast-check";
import type { TestCore } from "../support/core.ts";
import { Device, type Truth } from "./device.ts";

/**
 * Histories of two devices of one person, A and B, and one of her contact, C: what they do, how their connections end
 * and come back, and what happens to the server meanwhile. Whatever happened, in the end both devices show what the
 * server keeps, and the server keeps what was said. What counts as said: a message whose sender saw no refusal.
 */
export type Step =
  | { do: "send"; from: Who; full: boolean }
  | { do: "burst"; from: Who; count: number }
  | { do: "block"; by: Own; whom: number; on: boolean }
  | { do: "bookmark"; by: Own; room: number; on: boolean; old: boolean }
  | { do: "read"; by: Own }
  | { do: "cut"; who: Who }
  | { do: "close"; who: Who }
  | { do: "back"; who: Who; fresh: boolean }
  | { do: "settle" }
  | { do: "restart" }
  | { do: "crash" }
  | { do: "rename" };
type Own = 0 | 1;
type Who = 0 | 1 | 2;

const own = fc.constantFrom<Own>(0, 1);
const who = fc.constantFrom<Who>(0, 1, 2);
const kinds: [number, fc.Arbitrary<Step>][] = [
  [6, fc.record({ do: fc.constant("send"), from: who, full: fc.boolean() })],
  [3, fc.record({ do: fc.constant("burst"), from: who, count: fc.integer({ min: 2, max: 6 }) })],
  [2, fc.record({ do: fc.constant("block"), by: own, whom: fc.nat(2), on: fc.boolean() })],
  [2, fc.record({ do: fc.constant("bookmark"), by: own, room: fc.nat(3), on: fc.boolean(), old: fc.boolean() })],
  [2, fc.record({ do: fc.constant("read"), by: own })],
  [4, fc.record({ do: fc.constant("cut"), who })],
  [1, fc.record({ do: fc.constant("close"), who })],
  [5, fc.record({ do: fc.constant("back"), who, fresh: fc.boolean() })],
  [2, fc.record({ do: fc.constant("settle") })],
  [1, fc.record({ do: fc.constant("restart") })],
  [1, fc.record({ do: fc.constant("crash") })],
  [1, fc.record({ do: fc.constant("rename") })],
];

/** A history of at most `most` steps. */
export const histories = (most: number): fc.Arbitrary<Step[]> =>
  fc.array(fc.oneof(...kinds.map(([weight, arbitrary]) => ({ weight, arbitrary }))), {
    minLength: 1,
    maxLength: most,
    size: "max",
  });

/** How often what happened: a run that never crashed a server with messages on their way proves little. */
export type Tally = Map<string, number>;

let lives = 0;

/** Lives one history with people of its own, and throws where a device's view, the server and the model differ. */
export async function live(core: TestCore, steps: readonly Step[], tally: Tally): Promise<void> {
  const life = ++lives;
  const [ann, ben] = [`ann${life}`, `ben${life}`];
  await core.addUser(ann);
  await core.addUser(ben);
  const truth: Truth = { said: new Map(), blocked: new Set(), rooms: new Set(), read: undefined, count: 0, pending };
  function pending(): ReadonlySet<string> {
    return new Set(devices.flatMap((device) => device.pending));
  }
  const devices = [
    new Device({ core, user: ann, name: "A", other: ben, truth }),
    new Device({ core, user: ann, name: "B", other: ben, truth }),
    new Device({ core, user: ben, name: "C", other: ann, truth }),
  ] as const;
  const counted = (what: string): unknown => tally.set(what, (tally.get(what) ?? 0) + 1);
  const settle = async (): Promise<void> => {
    // Once for what was sent, once for what it led to.
    for (let round = 0; round < 2; round++) for (const device of devices) await device.settle();
  };
  try {
    for (const device of devices) await device.login();
    await settle();
    for (const step of steps) if (await one(step)) counted(step.do);
    for (const device of devices) if (device.online === undefined) await device.back(false);
    await settle();
    const problems: string[] = [];
    for (const device of devices) problems.push(...(await device.compare()));
    if (problems.length > 0) throw new Error(problems.join("\n"));
  } finally {
    for (const device of devices) device.online?.drop();
  }

  async function one(step: Step): Promise<boolean> {
    switch (step.do) {
      case "send":
        return devices[step.from].send(step.full ? devices[step.from === 2 ? 0 : 2].full : undefined);
      case "burst":
        for (let k = 0; k < step.count; k++) if (!devices[step.from].send(undefined)) return false;
        return true;
      case "block":
        if (devices[step.by].online === undefined) return false;
        // Whether what is on its way is refused would be left to chance.
        await settle();
        return devices[step.by].block(step.whom, step.on);
      case "bookmark":
        return devices[step.by].bookmark(step.room, step.on, step.old);
      case "read":
        return devices[step.by].markRead();
      case "cut":
        return devices[step.who].cut();
      case "close":
        return devices[step.who].close();
      case "back":
        if (devices[step.who].online !== undefined) return false;
        await devices[step.who].back(step.fresh);
        return true;
      case "settle":
        await settle();
        return true;
      case "restart":
        await core.restart();
        return true;
      case "crash":
        // What refuses a message is in nobody's storage: a crash may take it, and the sender never knows.
        if (truth.blocked.has(0)) await settle();
        await core.crash();
        for (const device of devices) device.cut();
        return true;
      case "rename":
        await core.rename(`d${life}-${++truth.count}.example`, null);
        return true;
    }
  }
}
