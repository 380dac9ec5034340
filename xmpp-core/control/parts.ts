import type { LiveCheck } from "../auth/live.ts";
import type { PasswordJudge } from "../auth/passwords.ts";
import type { SlowDown } from "../auth/slow-down.ts";
import type { Clock } from "../clock.ts";
import type { Core } from "../modules/module.ts";
import type { Registry } from "../properties/registry.ts";
import type { Report } from "../report.ts";
import type { Accounts } from "../routing/accounts.ts";
import type { Handlers } from "../routing/handlers.ts";
import type { Names } from "../routing/names.ts";
import type { Router } from "../routing/router.ts";
import type { Sessions } from "../routing/sessions.ts";
import type { Write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";
import type { Certificates } from "./certificates.ts";
import type { Listening } from "./listening.ts";
import type { NameNotices } from "./name-notices.ts";
import type { Revisions } from "./revisions.ts";
import type { RightsTable } from "./rights.ts";
import type { Settings } from "./settings.ts";

/** What control is made of. */
export interface ControlParts {
  readonly home: string;
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  readonly report: Report;
  readonly storage: Storage;
  readonly settings: Settings;
  readonly properties: Registry;
  /** The registry as it would be with other texts; throws nothing. */
  readonly preview: (texts: ReadonlyMap<string, string>) => Registry;
  readonly names: Names;
  readonly accounts: Accounts;
  readonly rights: RightsTable;
  readonly sessions: Sessions;
  readonly router: Router;
  readonly revisions: Revisions;
  readonly listening: Listening;
  readonly certificates: Certificates;
  readonly nameNotices: NameNotices;
  readonly handlers: () => readonly Handlers[];
  /** What modules offer at their points. */
  readonly offered: Core["offered"];
  /** Who judges passwords, for a check of a login. */
  readonly auth: { readonly passwords: PasswordJudge; readonly live: LiveCheck; readonly slowDown: SlowDown };
  /** ms since 1970. */
  readonly startedAt: number;
  readonly process: ProcessParts;
}

/** The process around the server; tests have one of their own. */
export interface ProcessParts {
  readonly gatePid: number;
  /** Orderly restart of the core; the answer to the agent goes out first. */
  restart(): void;
  /** Orderly stop of gate and core. */
  stop(): void;
}

/**
 * One change of everything on its way: rows of one transaction, memory that already changed (and how to take that
 * back), memory that changes when the rows are on disk, and what follows.
 */
export interface Draft {
  readonly writes: Write[];
  readonly undo: (() => void)[];
  readonly enter: (() => void)[];
  /** After memory: sessions to end, messages to send. */
  readonly after: (() => void | Promise<void>)[];
  /** What was done beyond the database, a sentence each. */
  readonly done: string[];
}

export function newDraft(): Draft {
  return { writes: [], undo: [], enter: [], after: [], done: [] };
}

/** Takes back in memory what the draft changed there. */
export function takeBack(draft: Draft): void {
  for (let undo = draft.undo.pop(); undo !== undefined; undo = draft.undo.pop()) undo();
}
