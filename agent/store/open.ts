/** Which store `FIREKEEPER_STORE` means: a path by what stands there and how it is named, or a URL by its scheme. docs/stores. */

import { stat } from "node:fs/promises";
import { directorySource } from "./directory.ts";
import { openFileStore } from "./file.ts";
import { type FlatForm, flatFileSource, flatForm } from "./flat-file.ts";
import { readSeen } from "./flat-seen.ts";
import type { FreshStart } from "./fresh-start.ts";
import { type HostStore, StoreError } from "./host-store.ts";
import type { HeardPassword } from "./password-keys.ts";
import { isStoreUrl, mayCreateStore, type StorePlace } from "./place.ts";
import { openRecordStore } from "./record-store.ts";

export interface StoreOptions {
  readonly home: string;
  /** Told of passwords in clear, for a target that takes no keys. */
  readonly heard?: HeardPassword;
  readonly instance?: string | undefined;
  /** How long a file must stay as it is. */
  readonly quietMs?: number;
  /** Passwords turned into keys so far, for a log line now and then. */
  readonly onProgress?: (done: number, of: number) => void;
  /** False: a missing `host.yaml` is not made, not even in its own place. */
  readonly create?: boolean;
}

export interface OpenedStore {
  readonly store: HostStore;
  /** Set when this start made the store. */
  readonly created: FreshStart | undefined;
  close(): Promise<void>;
}

type Opener = (place: StorePlace, options: StoreOptions) => Promise<OpenedStore>;

/** One line for each scheme; loaded when it is asked for, so that a host without a database loads no driver. */
const byScheme: ReadonlyMap<string, Opener> = new Map<string, Opener>([
  ...["postgres", "postgresql", "mysql", "mariadb"].map((scheme): [string, Opener] => [scheme, openDatabase]),
  ...["http", "https"].map((scheme): [string, Opener] => [scheme, openHttp]),
]);

async function openDatabase(place: StorePlace, options: StoreOptions): Promise<OpenedStore> {
  const { openSqlStore } = await import("./sql/source.ts");
  return { ...(await openSqlStore(place, options)), created: undefined };
}

async function openHttp(place: StorePlace, options: StoreOptions): Promise<OpenedStore> {
  return (await import("./http/http-store.ts")).openHttpStore(place, options);
}

/** Opens the host store. Throws a `StoreError` when its place or its configuration cannot be one. */
export async function openStore(place: StorePlace, options: StoreOptions): Promise<OpenedStore> {
  if (!isStoreUrl(place.at)) return openPath(place.at, options);
  const scheme = place.at.slice(0, place.at.indexOf(":")).toLowerCase();
  const open = byScheme.get(scheme);
  if (open) return open(place, options);
  // The rest of the URL may hold a password.
  const known = [...byScheme.keys()].map((one) => `${one}://`).join(", ");
  throw new StoreError("store/unknown-kind", `There is no host store of the kind ${scheme}://.`, {
    rule: `a path, or a URL that begins with ${known}`,
    hint: `Correct FIREKEEPER_STORE: a path, or a URL that begins with ${known}. A file is named by its path alone.`,
  });
}

async function openPath(path: string, options: StoreOptions): Promise<OpenedStore> {
  const { home, create = true } = options;
  const form = await formOf(path, home);
  if (form === "yaml") {
    const store = await openFileStore({ path, ...options, create: create && mayCreateStore({ home, store: path }) });
    return { store, created: store.created, close: async () => {} };
  }
  const source =
    form === "directory" ? directorySource({ path, ...options }) : flatFileSource({ path, form, ...options });
  const store = await openRecordStore(source, options);
  return { store, created: undefined, close: () => store.kept() };
}

/** What stands there decides, then the name; a directory that is not mounted just now is known from before. */
async function formOf(path: string, home: string): Promise<FlatForm | "directory" | "yaml"> {
  const facts = await stat(path).catch(() => undefined);
  if (facts?.isDirectory()) return "directory";
  const named = flatForm(path);
  if (named) return named;
  if (facts === undefined && (await readSeen(home, path))?.form === "directory") return "directory";
  return "yaml";
}
