/** One server for the proofs of all properties, with a clock of its own; what a proof sets is unset behind it. */
import { systemClock } from "../../xmpp-core/clock.ts";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type Login, type Where, XmppClient } from "../support/xmpp-client.ts";

/** Sets the property through control, as the agent does, and sees on a socket what it changes. */
export type Proof = (world: World) => Promise<void>;

export interface World {
  readonly core: TestCore;
  readonly agent: TestAgent;
  set(properties: Record<string, string | null>): Promise<void>;
  login(user: string, more?: Partial<Login>): Promise<XmppClient>;
  /** Up to the first features. */
  connect(more?: Partial<Where>): Promise<XmppClient>;
  /** The server's time, ms. */
  now(): number;
  /** Lets the time pass and runs what is due by it. */
  pass(ms: number): void;
  /** Until bulk work that has begun is done. */
  swept(): Promise<unknown>;
  /** Periods of everything that the server does again and again, ms. */
  periods(): number[];
  /** Keeps what the server wants to do in a moment from being done, until `thaw`. */
  freeze(): void;
  thaw(): void;
  /** Lines that the gate has logged about refused connections. */
  refusals(): number;
  /** How many things wait for it. */
  frozen(): number;
  /** Returns every property to its value of before, and drops the clients. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export async function openWorld(): Promise<World> {
  let ahead = 0;
  let frozen: (() => void)[] | undefined;
  const periodic = new Map<() => void, number>();
  const clock = {
    now: () => Date.now() + ahead,
    after(ms: number, work: () => void) {
      if (frozen === undefined) return systemClock.after(ms, work);
      frozen.push(work);
      return () => undefined;
    },
    every(ms: number, work: () => void) {
      periodic.set(work, ms);
      return () => void periodic.delete(work);
    },
  };
  let refusals = 0;
  const report = (_level: string, event: string): void => {
    if (event === "connections-refused") refusals++;
  };
  const core = await startTestCore({ users: ["alice", "bob"], clock, gate: { report } });
  const agent = await connectAgent(core);
  const initial = new Map((await agent.target.actual()).settings.properties.map(({ key, value }) => [key, value]));
  const touched = new Set<string>();
  const world: World = {
    core,
    agent,
    async set(properties) {
      for (const key of Object.keys(properties)) touched.add(key);
      await agent.set(properties);
    },
    login: (user, more) => core.login(user, more),
    connect: (more) => XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain, ...more }),
    now: clock.now,
    pass(ms) {
      ahead += ms;
      for (const work of [...periodic.keys()]) work();
    },
    // Bulk work goes in the order of its beginning.
    swept: () => core.server.storage.bulk((step) => step(() => [])),
    periods: () => [...periodic.values()],
    freeze() {
      frozen = [];
    },
    refusals: () => refusals,
    frozen: () => frozen?.length ?? 0,
    thaw() {
      const waiting = frozen ?? [];
      frozen = undefined;
      for (const work of waiting) work();
    },
    async reset() {
      world.thaw();
      XmppClient.dropAll();
      await agent.set(Object.fromEntries([...touched].map((key) => [key, initial.get(key) ?? null])));
      touched.clear();
    },
    async close() {
      await agent.target.close();
      await core.close();
    },
  };
  return world;
}
