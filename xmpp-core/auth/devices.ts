/**
 * The devices of each account, as their clients name themselves when they log in (XEP-0388 `<user-agent/>`), and the
 * tokens that they were given instead of a password (XEP-0484). The database holds no token and no device's own id:
 * both are derived under a key in secrets/, so that a copy of the database alone lets nobody in.
 */
import { createHmac } from "node:crypto";
import type { Clock } from "../clock.ts";
import { read, type Write, write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";

/** What a client says of itself. */
export interface UserAgent {
  /** In lower case. */
  readonly id: string;
  readonly software: string | undefined;
  readonly device: string | undefined;
}

export interface Device {
  /** Stands for the client's own id, within the account. */
  readonly key: string;
  readonly software: string | undefined;
  readonly device: string | undefined;
  /** Start of the day (UTC) on which it last logged in, ms since 1970. */
  readonly lastLogin: number;
}

/** `new`: given and not used yet. When it is used it takes the place of `current`. XEP-0484 §5.1 */
export type Slot = "new" | "current";

export interface Token {
  readonly slot: Slot;
  readonly mechanism: string;
  /** The text that the client keeps. */
  readonly secret: string;
  /** ms since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** The highest `count` that was taken; undefined: never one. */
  readonly counted: number | undefined;
  /** What stood for the account's password when it was given: with another one it is void. */
  readonly password: string;
}

export interface Devices {
  /** Stands for a device in rows and sessions. */
  keyOf(account: number, userAgent: string): string;
  /** The same for each login of a device, and tells nothing of its id. XEP-0386 §3.2.1 */
  resourceOf(account: number, userAgent: string, tag: string): string;
  /** Waits until logins of the account that came before are on disk; the answer ends the own turn. */
  turn(account: number): Promise<() => void>;
  /** Newest first. */
  tokens(account: number, key: string): Promise<readonly Token[]>;
  /** A new token in the slot `new`, and its row. */
  issue(
    account: number,
    key: string,
    facts: { mechanism: string; password: string; lifetimeMs: number },
  ): { readonly token: Token; readonly writes: readonly Write[] };
  /** Rows of a token that was used: older ones of the device are void. */
  used(account: number, key: string, token: Token, count: number | undefined): readonly Write[];
  /** Rows that make every token of a device void, as it logs out; it stays known. */
  invalidated(account: number, key: string): readonly Write[];
  /** Rows of a login; none when nothing has changed since the last one. */
  seen(account: number, userAgent: UserAgent): Promise<readonly Write[]>;
  of(account: number): Promise<readonly Device[]>;
  /** Rows that forget devices and their tokens; without a key all of the account. */
  forget(account: number, key?: string): readonly Write[];
  /** Rows that make tokens void; the devices stay known. */
  revoke(account: number): readonly Write[];
}

/** Devices that are remembered of one account; beyond that those go that were away longest. */
export const mostDevices = 50;
const dayMs = 24 * 3600 * 1000;

export const devicesMigration = {
  name: "0080_devices",
  sql: `
    CREATE TABLE device (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, key TEXT NOT NULL, software TEXT, device TEXT,
      day INTEGER NOT NULL, PRIMARY KEY (account, key)
    ) WITHOUT ROWID;
    CREATE TABLE login_token (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, key TEXT NOT NULL, slot TEXT NOT NULL,
      mechanism TEXT NOT NULL, salt BLOB NOT NULL, issued INTEGER NOT NULL, expires INTEGER NOT NULL, counted INTEGER,
      password TEXT NOT NULL, PRIMARY KEY (account, key, slot)
    ) WITHOUT ROWID;`,
};

const tokensOf = read<[account: number, key: string], TokenRow>(
  "SELECT slot, mechanism, salt, issued, expires, counted, password FROM login_token WHERE account = ? AND key = ? ORDER BY slot DESC",
);
const devicesOf = read<[account: number], { key: string; software: string | null; device: string | null; day: number }>(
  "SELECT key, software, device, day FROM device WHERE account = ? ORDER BY day DESC, key",
);
const putDevice = write<[number, string, string | null, string | null, number]>(
  "INSERT OR REPLACE INTO device (account, key, software, device, day) VALUES (?, ?, ?, ?, ?)",
);
const putToken = write<[number, string, string, Buffer, number, number, string]>(
  `INSERT OR REPLACE INTO login_token (account, key, slot, mechanism, salt, issued, expires, counted, password)
   VALUES (?, ?, 'new', ?, ?, ?, ?, NULL, ?)`,
);
const dropSlot = write<[account: number, key: string, slot: string]>(
  "DELETE FROM login_token WHERE account = ? AND key = ? AND slot = ?",
);
const promote = write<[account: number, key: string]>(
  "UPDATE login_token SET slot = 'current' WHERE account = ? AND key = ? AND slot = 'new'",
);
const countUse = write<[count: number, account: number, key: string]>(
  "UPDATE login_token SET counted = ? WHERE account = ? AND key = ? AND slot = 'current'",
);
const dropTokens = write<[account: number]>("DELETE FROM login_token WHERE account = ?");
const dropDevices = write<[account: number]>("DELETE FROM device WHERE account = ?");
const dropTokensOf = write<[account: number, key: string]>("DELETE FROM login_token WHERE account = ? AND key = ?");
const dropDevice = write<[account: number, key: string]>("DELETE FROM device WHERE account = ? AND key = ?");
const dropLate = write<[now: number]>(
  "DELETE FROM login_token WHERE expires < ? OR account IN (SELECT id FROM account WHERE enabled = 0)",
);

interface TokenRow {
  slot: Slot;
  mechanism: string;
  salt: Uint8Array;
  issued: number;
  expires: number;
  counted: number | null;
  password: string;
}

export async function openDevices({
  storage,
  clock,
  random,
  key,
}: {
  readonly storage: Storage;
  readonly clock: Pick<Clock, "now">;
  readonly random: (bytes: number) => Buffer;
  /** At least 32 bytes, kept in secrets/. */
  readonly key: Buffer;
}): Promise<Devices> {
  // Whoever was disabled while we were not there, and whose token nobody could use any more.
  await storage.write([dropLate.with(clock.now())]);
  const turns = new Map<number, Promise<void>>();
  const derived = (what: string, account: number, ...more: readonly (string | Uint8Array)[]): Buffer => {
    const hmac = createHmac("sha256", key).update(JSON.stringify([what, account]));
    for (const one of more) hmac.update(`\0${one.length}\0`).update(one);
    return hmac.digest();
  };
  const secretOf = (account: number, device: string, salt: Uint8Array): string =>
    derived("token", account, device, salt).toString("base64url");

  return {
    keyOf: (account, userAgent) => derived("device", account, userAgent).toString("base64url").slice(0, 22),
    resourceOf: (account, userAgent, tag) =>
      derived("resource", account, userAgent, tag).toString("base64url").slice(0, 12),
    async turn(account) {
      const before = turns.get(account);
      let done: () => void = () => undefined;
      const mine = new Promise<void>((resolve) => {
        done = () => {
          if (turns.get(account) === mine) turns.delete(account);
          resolve();
        };
      });
      turns.set(account, mine);
      await before;
      return done;
    },
    async tokens(account, device) {
      const rows = await storage.read(tokensOf, account, device);
      return rows.map(({ slot, mechanism, salt, issued, expires, counted, password }) => ({
        ...{ slot, mechanism, secret: secretOf(account, device, salt), issuedAt: issued, expiresAt: expires },
        ...{ counted: counted ?? undefined, password },
      }));
    },
    issue(account, device, { mechanism, password, lifetimeMs }) {
      const salt = random(32);
      const issuedAt = clock.now();
      // Clients are told whole seconds.
      const expiresAt = Math.floor((issuedAt + lifetimeMs) / 1000) * 1000;
      const secret = secretOf(account, device, salt);
      return {
        token: { slot: "new", mechanism, secret, issuedAt, expiresAt, counted: undefined, password },
        writes: [putToken.with(account, device, mechanism, salt, issuedAt, expiresAt, password)],
      };
    },
    used: (account, device, { slot }, count) => [
      ...(slot === "new" ? [dropSlot.with(account, device, "current"), promote.with(account, device)] : []),
      ...(count === undefined ? [] : [countUse.with(count, account, device)]),
    ],
    invalidated: (account, device) => [dropTokensOf.with(account, device)],
    async seen(account, { id, software, device }) {
      const known = await storage.read(devicesOf, account);
      const mine = derived("device", account, id).toString("base64url").slice(0, 22);
      const day = Math.floor(clock.now() / dayMs);
      const before = known.find((one) => one.key === mine);
      const same = before?.day === day && before.software === (software ?? null) && before.device === (device ?? null);
      if (same) return [];
      const beyond = before === undefined ? known.slice(mostDevices - 1) : [];
      return [
        ...beyond.flatMap((one) => [dropTokensOf.with(account, one.key), dropDevice.with(account, one.key)]),
        putDevice.with(account, mine, software ?? null, device ?? null, day),
      ];
    },
    async of(account) {
      const rows = await storage.read(devicesOf, account);
      return rows.map(({ key: device, software, device: name, day }) => ({
        ...{ key: device, software: software ?? undefined, device: name ?? undefined, lastLogin: day * dayMs },
      }));
    },
    forget: (account, device) =>
      device === undefined
        ? [dropTokens.with(account), dropDevices.with(account)]
        : [dropTokensOf.with(account, device), dropDevice.with(account, device)],
    revoke: (account) => [dropTokens.with(account)],
  };
}
