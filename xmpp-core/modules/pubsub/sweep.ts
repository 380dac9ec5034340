import type { Engine } from "./engine.ts";
import { personalHost } from "./pep.ts";
import { purgeTimer, serviceHost } from "./service.ts";
import { tellState } from "./subscription.ts";
import * as rows from "./tables.ts";

const leastMs = 60_000;

/** Clears items and subscriptions away whose time is over. XEP-0060 §12.18, `pubsub#item_expire` */
export function sweeper(engine: Engine): { stop(): void } {
  const { core, store } = engine;
  let cancel: (() => void) | undefined;

  async function sweep(): Promise<void> {
    const now = core.clock.now();
    await core.storage.bulk(async (step) => {
      while ((await step((most) => [rows.sweepItems.with(now, most)])) > 0);
    });
    for (const { owner, name, subid } of await core.storage.read(rows.endedSubscriptions, now)) {
      const account = owner > 0 ? core.accounts.byId(owner) : undefined;
      const host = account === undefined ? serviceHost(core, -owner) : personalHost(core, account);
      await store.withNode(owner, name, (node) => {
        const ended = node?.subscriptions.get(subid);
        if (node === undefined || ended?.expires === undefined || ended.expires > now) return;
        const after = store.commit(node, undefined, store.unsubscribe(node, subid));
        tellState(engine, host, node, ended, after, undefined, "none");
      });
    }
  }

  core.watch(purgeTimer, (seconds) => {
    cancel?.();
    cancel = core.clock.every(Math.max(seconds * 1000, leastMs), () => {
      sweep().catch((error: unknown) => core.report.wrong({ what: "clearing away expired items", error }));
    });
  });
  return { stop: () => cancel?.() };
}
