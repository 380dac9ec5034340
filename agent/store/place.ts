/** Where the host store is, as the environment says it. */
import { join } from "node:path";

export interface StorePlace {
  /** Absolute path, or the URL of a store that is no file. */
  readonly at: string;
  /** Absolute path of the file with what a URL does not say: tables, queries, secrets. `FIREKEEPER_STORE_CONFIG`. */
  readonly config: string | undefined;
}

/** Whether a missing host file may be made: only in its own place, since a named one may be a volume that is not mounted. */
export function mayCreateStore(environment: { readonly home: string; readonly store: string }): boolean {
  return environment.store === join(environment.home, "host.yaml");
}

/** `postgres://…` and the like; everything else is a path. */
export function isStoreUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}
