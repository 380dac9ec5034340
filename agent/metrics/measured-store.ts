/** A host store whose reads are counted and timed. */
import { CodedError, explain } from "../errors.ts";
import type { Report } from "../report.ts";
import type { HostStore } from "../store/host-store.ts";

export function measuredStore(
  store: HostStore,
  report: Pick<Report, "storeRead">,
  now: () => number = Date.now,
): HostStore {
  return {
    kind: store.kind,
    get writable() {
      return store.writable;
    },
    describe: () => store.describe(),
    async read() {
      const started = now();
      try {
        const snapshot = await store.read();
        report.storeRead(now() - started);
        return snapshot;
      } catch (error) {
        const code = error instanceof CodedError ? error.code : "agent/failed";
        report.storeRead(now() - started, { code, why: explain(error) });
        throw error;
      }
    },
    lastGood: () => store.lastGood(),
    watch: (lookAgain) => store.watch(lookAgain),
    edit: (change) => store.edit(change),
  };
}
