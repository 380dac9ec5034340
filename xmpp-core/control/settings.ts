import { read, type Write, write } from "../storage/statement.ts";
import type { Migration, Storage } from "../storage/storage.ts";

/**
 * What store and console have set: `admin`, `external-address`, `runtime-options` and `property:<key>`. The host's
 * value covers the local one, which comes back when the host lets go. docs/settings.md. The domain is
 * not among them: it is a row of its own (routing/names.ts).
 */
export interface Settings {
  /** The value in force. */
  get(setting: string): string | undefined;
  origin(setting: string): "host" | "local" | undefined;
  /** The host's value, covering the local one. */
  host(setting: string): string | undefined;
  local(setting: string): string | undefined;
  /** The local value under a host value. */
  beneath(setting: string): string | undefined;
  all(): IterableIterator<string>;
  /** Counts every change. */
  readonly version: number;
  /** Values in force of the server properties. */
  properties(): ReadonlyMap<string, string>;
  /** The value that would be in force if the host set this (null: let go). */
  ifHostSets(setting: string, value: string | null): string | undefined;
  /** Memory changes at once; the writes belong into the same turn's commit. */
  setHost(setting: string, value: string | null): Write[];
  setLocal(setting: string, value: string | null): Write[];
}

export const settingsMigration: Migration = {
  name: "0005_settings",
  sql: `
    CREATE TABLE setting (name TEXT PRIMARY KEY, host TEXT, local TEXT) WITHOUT ROWID;
    CREATE TABLE supervisor (account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE);
    CREATE TABLE revision (
      number INTEGER PRIMARY KEY, at INTEGER NOT NULL, by_whom TEXT NOT NULL, proven INTEGER NOT NULL, content TEXT NOT NULL
    );
    CREATE TABLE told_name (account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, since INTEGER NOT NULL);`,
};

const allSettings = read<[], { name: string; host: string | null; local: string | null }>(
  "SELECT name, host, local FROM setting",
);
const putSetting = write<[name: string, host: string | null, local: string | null]>(
  "INSERT OR REPLACE INTO setting (name, host, local) VALUES (?, ?, ?)",
);
const dropSetting = write<[name: string]>("DELETE FROM setting WHERE name = ?");

export async function openSettings(storage: Storage): Promise<Settings> {
  const values = new Map(
    (await storage.read(allSettings)).map((row) => [row.name, { host: row.host, local: row.local }]),
  );

  let version = 0;

  function put(setting: string, next: { host: string | null; local: string | null }): Write[] {
    version++;
    if (next.host === null && next.local === null) {
      values.delete(setting);
      return [dropSetting.with(setting)];
    }
    values.set(setting, next);
    return [putSetting.with(setting, next.host, next.local)];
  }

  const get = (setting: string): string | undefined => {
    const found = values.get(setting);
    return found?.host ?? found?.local ?? undefined;
  };

  return {
    get,
    origin(setting) {
      const found = values.get(setting);
      if (found === undefined) return undefined;
      return found.host !== null ? "host" : "local";
    },
    host: (setting) => values.get(setting)?.host ?? undefined,
    local: (setting) => values.get(setting)?.local ?? undefined,
    beneath(setting) {
      const found = values.get(setting);
      return found?.host != null ? (found.local ?? undefined) : undefined;
    },
    all: () => values.keys(),
    get version() {
      return version;
    },
    properties() {
      const found = new Map<string, string>();
      for (const name of values.keys()) {
        const value = name.startsWith("property:") ? get(name) : undefined;
        if (value !== undefined) found.set(name.slice("property:".length), value);
      }
      return found;
    },
    ifHostSets: (setting, value) => value ?? values.get(setting)?.local ?? undefined,
    setHost: (setting, value) => put(setting, { host: value, local: values.get(setting)?.local ?? null }),
    setLocal: (setting, value) => put(setting, { host: values.get(setting)?.host ?? null, local: value }),
  };
}
