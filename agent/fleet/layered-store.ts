/** A host store above the settings of headquarters: what the store sets wins, key by key. docs/fleet.md. */
import type { Notice } from "../errors.ts";
import type { HostStore, Snapshot } from "../store/host-store.ts";
import { contentHash } from "../store/snapshot.ts";

/** What lies beneath the store. */
export interface Layer {
  /** The last that was whole, as soon as headquarters was asked once; never fails. */
  current(): Promise<{ readonly settings: ReadonlyMap<string, string>; readonly notices: readonly Notice[] }>;
  /** Asks from time to time and calls back on a change. Returns the way to stop. */
  watch(changed: () => void): () => void;
}

export function inheriting(store: HostStore, layer: Layer): HostStore {
  const above = async (own: Snapshot) => layered(own, await layer.current());
  return {
    kind: store.kind,
    get writable() {
      return store.writable;
    },
    describe: () => `${store.describe()}, with settings of headquarters`,
    async read() {
      return above(await store.read());
    },
    async lastGood() {
      const own = await store.lastGood();
      return own && above(own);
    },
    watch(lookAgain) {
      const end = store.watch(lookAgain);
      const endLayer = layer.watch(() => lookAgain("headquarters changed its settings"));
      return async () => {
        endLayer();
        await end();
      };
    },
    /** Sets the store's own key, also where one is inherited. */
    async edit(change) {
      const edited = await store.edit(change);
      return { ...edited, snapshot: await above(edited.snapshot) };
    },
  };
}

function layered(own: Snapshot, { settings, notices }: Awaited<ReturnType<Layer["current"]>>): Snapshot {
  const inherited = [...settings].filter(([key]) => !own.settings.has(key));
  const hidden = [...settings].filter(([key, value]) => (own.settings.get(key) ?? value) !== value);
  const warnings: Notice[] = [
    ...own.warnings,
    ...notices,
    // Values may be secret: the key says enough.
    ...hidden.map(([key]) => ({
      code: "fleet/own-value",
      message: `${key} is set here, and headquarters has another value for it.`,
      hint: "Remove it from the store to take over the value of headquarters.",
    })),
  ];
  if (inherited.length === 0) return { ...own, warnings };
  const all: Snapshot = { ...own, settings: new Map([...own.settings, ...inherited]), warnings };
  return {
    ...all,
    hash: contentHash(all),
    origins: new Map([...(own.origins ?? []), ...inherited.map(([key]) => [key, "headquarters"] as const)]),
  };
}
