import type { Clock } from "../clock.ts";
import type { Handlers } from "../routing/handlers.ts";
import type { Core, Module, Point } from "./module.ts";

export interface RunningModules {
  readonly handlers: readonly Handlers[];
  readonly core: Core;
  /** Resolves when nothing is being seen through any more, or after `ms`. */
  idle(ms: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts every module with the parts of this server; stopping undoes what each of them did, in reverse. */
export function startModules(
  modules: readonly Module[],
  parts: Omit<Core, "offer" | "offered" | "accountHandlers" | "watch" | "seeThrough" | "every">,
  clock: Clock,
): RunningModules {
  const offers = new Map<Point<unknown>, unknown[]>();
  const undo: (() => unknown)[] = [];
  const handlers: Handlers[] = [];
  const underway = new Set<Promise<void>>();
  const core: Core = {
    ...parts,
    offer(point, value) {
      offers.set(point as Point<unknown>, [...(offers.get(point as Point<unknown>) ?? []), value]);
    },
    offered: <T>(point: Point<T>) => (offers.get(point as Point<unknown>) ?? []) as readonly T[],
    accountHandlers: () => handlers.flatMap(({ account }) => account ?? []),
    watch(property, listener) {
      listener(parts.properties.get(property));
      undo.push(parts.properties.watch(property, (value) => listener(value)));
    },
    seeThrough(what, work) {
      const done = work.then(
        () => undefined,
        (error: unknown) => parts.report.wrong({ what, error }),
      );
      underway.add(done);
      void done.then(() => underway.delete(done));
    },
    every(ms, work) {
      undo.push(clock.every(ms, work));
    },
  };
  for (const module of modules) {
    const started = module.start?.(core);
    handlers.push({ ...started, iq: [...(module.iq ?? []), ...(started?.iq ?? [])] });
    if (started?.stop !== undefined) undo.push(started.stop);
  }
  return {
    handlers,
    core,
    async idle(ms) {
      let late = false;
      const over = new Promise<void>((resolve) =>
        clock.after(ms, () => {
          late = true;
          resolve();
        }),
      );
      while (underway.size > 0 && !late) await Promise.race([Promise.all(underway), over]);
    },
    async stop() {
      for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
    },
  };
}
