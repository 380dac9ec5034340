import type { PasswordJudge } from "../auth/passwords.ts";
import type { SlowDown } from "../auth/slow-down.ts";
import type { Clock } from "../clock.ts";
import type { Certificates } from "../control/certificates.ts";
import type { Control } from "../control/control.ts";
import type { Listening } from "../control/listening.ts";
import type { RightsTable } from "../control/rights.ts";
import type { Settings } from "../control/settings.ts";
import type { PublicPage } from "../modules/web-points.ts";
import type { Registry } from "../properties/registry.ts";
import type { Report } from "../report.ts";
import type { Accounts } from "../routing/accounts.ts";
import type { Names } from "../routing/names.ts";
import type { Sessions } from "../routing/sessions.ts";
import type { Storage } from "../storage/storage.ts";
import type { Gate } from "../transport/gate.ts";

/** What console, health and metrics are made of. */
export interface AdminParts {
  readonly clock: Clock;
  /** Cryptographic randomness: n bytes. */
  readonly random: (bytes: number) => Buffer;
  readonly report: Report;
  readonly gate: Gate;
  readonly properties: Registry;
  readonly settings: Settings;
  readonly storage: Storage;
  /** Process of the gate, which holds the clients' sockets. */
  readonly gatePid: number;
  readonly names: Names;
  readonly accounts: Accounts;
  readonly rights: RightsTable;
  readonly sessions: Sessions;
  readonly listening: Pick<Listening, "status">;
  readonly certificates: Pick<Certificates, "status">;
  readonly auth: { readonly passwords: PasswordJudge; readonly slowDown: SlowDown };
  /** Names besides the domain under which this machine is called. */
  readonly alsoCalled: (name: string) => boolean;
  /** Pages of modules that anybody may read. */
  readonly pages: () => readonly PublicPage[];
  /** Undefined until the server is open. */
  readonly control: () => Control | undefined;
}
