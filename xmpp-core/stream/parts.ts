import type { Devices } from "../auth/devices.ts";
import type { HashName } from "../auth/keys.ts";
import type { PlainNeed } from "../auth/mechanisms.ts";
import type { PasswordJudge } from "../auth/passwords.ts";
import type { DerivationPool } from "../auth/pool.ts";
import type { SlowDown } from "../auth/slow-down.ts";
import type { Clock } from "../clock.ts";
import type { Registry } from "../properties/registry.ts";
import type { Report } from "../report.ts";
import type { Account, Accounts } from "../routing/accounts.ts";
import type { BeforeLogin, InlineBind, Nonza, SessionHandlers } from "../routing/handlers.ts";
import type { Names } from "../routing/names.ts";
import type { Router } from "../routing/router.ts";
import type { RenderStored, Sessions } from "../routing/sessions.ts";
import type { Storage } from "../storage/storage.ts";
import type { Xml } from "../xml/writer.ts";

/** What streams of clients are made of. */
export interface StreamParts {
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  readonly report: Report;
  readonly properties: Registry;
  readonly storage: Storage;
  readonly names: Names;
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly router: Router;
  readonly auth: {
    readonly pool: DerivationPool;
    readonly passwords: PasswordJudge;
    readonly decoySecret: Buffer;
    readonly slowDown: SlowDown;
    readonly devices: Devices;
  };
  /** What modules offer after login. */
  readonly streamFeatures: () => readonly Xml[];
  /** What modules offer before login. */
  readonly featuresBeforeLogin: () => readonly Xml[];
  /** What modules answer before login. */
  readonly beforeLogin: () => readonly BeforeLogin[];
  readonly sessionHandlers: () => readonly SessionHandlers[];
  /** What else bound streams take, by modules. */
  readonly nonzas: () => readonly Nonza[];
  /** What modules answer inside a bind request. */
  readonly inlineBinds: () => readonly InlineBind[];
  /** What modules tell a client that binds in one step. */
  readonly bound: (account: Account) => Promise<readonly Xml[]>;
  /** Stored messages for a session that comes back after a crash. */
  readonly renderStored: RenderStored;
  /** Further names and addresses that a client may give as the host it connects to. */
  readonly alsoCalled: (name: string) => boolean;
  /** Whether accounts of the domain need PLAIN, since they have no SCRAM keys. */
  readonly plainNeed: (served: number) => PlainNeed;
  /** Hashes for which accounts of the domain lack keys that they could have. XEP-0480 */
  readonly lackingKeys: (served: number) => readonly HashName[];
}
