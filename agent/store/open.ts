/** Which store `FIREKEEPER_STORE` means: a path by what stands there and how it is named, or a URL by its scheme. docs/stores. */

import { openFileStore } from "./file.ts";
import type { FreshStart } from "./fresh-start.ts";
import type { HostStore } from "./host-store.ts";
import { mayCreateStore, type StorePlace } from "./place.ts";

export interface StoreOptions {
  readonly home: string;
  readonly instance?: string | undefined;
  /** How long a file must stay as it is. */
  readonly quietMs?: number;
  /** Passwords turned into keys so far, for a log line now and then. */
  readonly onProgress?: (done: number, of: number) => void;
}

export interface OpenedStore {
  readonly store: HostStore;
  /** Set when this start made the store. */
  readonly created: FreshStart | undefined;
  close(): Promise<void>;
}

/** Opens the host store. Throws a `StoreError` when its place or its configuration cannot be one. */
export async function openStore(place: StorePlace, options: StoreOptions): Promise<OpenedStore> {
  const store = await openFileStore({
    path: place.at,
    ...options,
    create: mayCreateStore({ home: options.home, store: place.at }),
  });
  return { store, created: store.created, close: async () => {} };
}
