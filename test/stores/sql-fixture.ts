/** Stores on a database of the test's, a world to put into it, and hearing what they call back. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import { stringify } from "yaml";
import type { HostStore } from "../../agent/store/host-store.ts";
import { openStore } from "../../agent/store/open.ts";
import type { DatabaseServer } from "./server-process.ts";

export interface Dialect {
  readonly kind: "postgres" | "mysql";
  readonly server: () => DatabaseServer;
  /** A SELECT of users that takes 30 seconds. */
  readonly slowUsers: string;
  /** How the driver tells that the server gave up. */
  readonly ownLimit: object;
  /** For FROM: one row after 0.3 seconds. */
  readonly nap: string;
  readonly quote: (name: string) => string;
  /** Whom rights are given to over TCP. */
  readonly grantee: string;
  readonly aliases: (...names: string[]) => string;
}

export const keys = (hash: string, bytes: number) =>
  `SCRAM-${hash}$4096:${Buffer.alloc(16, 7).toString("base64")}$${Buffer.alloc(bytes, 1).toString("base64")}:${Buffer.alloc(bytes, 2).toString("base64")}`;

const homes: string[] = [];
export const opened: (() => Promise<unknown>)[] = [];

export async function newHome(): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "firekeeper-sql-"));
  homes.push(home);
  return home;
}

/** Opens a store on a home of its own; `config` becomes the file of FIREKEEPER_STORE_CONFIG. */
export async function sqlStore(at: string, config?: object, home?: string): Promise<HostStore> {
  const place = home ?? (await newHome());
  const path = join(place, "store.yaml");
  if (config) await writeFile(path, stringify(config), { mode: 0o600 });
  const { store, close } = await openStore({ at, config: config ? path : undefined }, { home: place });
  opened.push(close);
  return store;
}

export function closeStores(): void {
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close();
    for (const home of homes.splice(0)) await rm(home, { recursive: true, force: true });
  });
}

/** Waits for the next call; each is heard once. */
export function hearing(store: HostStore) {
  const heard: string[] = [];
  let wake: () => void = () => {};
  const stop = store.watch((cause) => {
    heard.push(cause);
    wake();
  });
  opened.push(stop);
  return {
    stop,
    /** Resolves with the first cause that matches, dropping what came before it. */
    async next(matching: RegExp): Promise<string> {
      for (;;) {
        const cause = heard.shift();
        if (cause === undefined)
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        else if (matching.test(cause)) return cause;
      }
    },
  };
}

export const world = [
  `INSERT INTO xmpp_setting (name, value) VALUES ('sys.xmpp.domain', 'example.org'), ('sys.xmpp.properties.xmpp.client.idle', '360000'), ('pbx.greeting', 'Grüezi 👋')`,
  `INSERT INTO xmpp_user (name, id, display_name, email, enabled, scram_sha256, scram_sha1) VALUES ('alice', '17', 'Alice Martin', 'alice@example.org', TRUE, '${keys("SHA-256", 32)}', '${keys("SHA-1", 20)}')`,
  `INSERT INTO xmpp_user (name, enabled, scram_sha256) VALUES ('Bob', FALSE, '${keys("SHA-256", 32)}')`,
  `INSERT INTO xmpp_user (name, display_name) VALUES ('carol', 'Carol O''Hara')`,
  `INSERT INTO xmpp_role (name) VALUES ('Sales'), ('Everybody'), ('Operators')`,
  `INSERT INTO xmpp_role_type (role, type) VALUES ('Sales', 'xmpp.group'), ('Everybody', 'xmpp.group'), ('Operators', 'xmpp.supervisor'), ('Operators', 'call center')`,
  `INSERT INTO xmpp_role_parameter (role, name, value) VALUES ('Operators', 'queue', '7')`,
  `INSERT INTO xmpp_role_member (role, kind, user_name) VALUES ('Sales', 'user', 'alice'), ('Sales', 'user', 'Bob'), ('Operators', 'user', 'carol'), ('Everybody', 'all', NULL)`,
];
