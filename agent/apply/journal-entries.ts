/** What stands in a line of the journal. Lines that older releases wrote lack the optional fields. docs/apply.md. */
import { z } from "zod";
import { impact } from "../../xmpp-core/control/contract.ts";
import { effect } from "../plan/document.ts";
import { delta } from "./revision-state.ts";

const changeText = z.object({
  subject: z.string(),
  action: z.string(),
  from: z.string().nullable(),
  to: z.string().nullable(),
  impact,
  source: z.string(),
  effects: z.array(effect).readonly().optional(),
});
/** What a person asked for besides "apply". */
export const askedText = z.object({
  scope: z.enum(["roster", "settings"]).optional(),
  removals: z.number().optional(),
  adopt: z.array(z.string()).optional(),
  /** Seal of the reviewed plan that was applied. */
  plan: z.string().optional(),
  /** Outside a maintenance window. */
  now: z.boolean().optional(),
});
export const stateText = z.union([
  z.object({ full: z.record(z.string(), z.string()) }),
  z.object({ base: z.number(), delta }),
]);
export const editedRemovals = z.object({
  users: z.array(z.string()),
  roles: z.array(z.string()),
  memberships: z.array(z.object({ role: z.string(), user: z.string() })),
});

export const entry = z.discriminatedUnion("is", [
  /** About to ask the server for revision `revision`. */
  z.object({
    is: z.literal("intent"),
    revision: z.number(),
    by: z.string(),
    cause: z.string(),
    snapshot: z.string(),
    impact: z.union([impact, z.literal("none")]),
    changes: z.array(changeText),
    state: stateText,
    /** Where it was asked: `agent socket`, `console`, `console from 192.0.2.7`. */
    from: z.string().optional(),
    asked: askedText.optional(),
    /** Who asked wants to confirm it within so many milliseconds; else revision `to` returns. */
    confirm: z.object({ ms: z.number(), to: z.number() }).optional(),
  }),
  /** A server without transactions is about to take step `step` of `of`; an interruption takes all steps back. */
  z.object({ is: z.literal("step"), revision: z.number(), step: z.number(), of: z.number(), what: z.string() }),
  /** The server has the revision in force. */
  z.object({
    is: z.literal("applied"),
    revision: z.number(),
    done: z.array(z.string()),
    tookMs: z.number().optional(),
  }),
  /** Verify has seen it work. */
  z.object({ is: z.literal("proven"), revision: z.number(), tookMs: z.number().optional() }),
  /** Proven, and taken back unless somebody confirms it until then (ISO time). */
  z.object({ is: z.literal("awaits"), revision: z.number(), until: z.string() }),
  z.object({ is: z.literal("confirmed"), revision: z.number(), by: z.string() }),
  /** Nobody confirmed in time; the return to revision `to` and a hold follow. */
  z.object({ is: z.literal("expired"), revision: z.number(), to: z.number(), why: z.string() }),
  /** The server never took the revision; nothing changed. */
  z.object({ is: z.literal("undone"), revision: z.number(), why: z.string() }),
  /** Verify has seen what it broke. */
  z.object({ is: z.literal("broken"), revision: z.number(), why: z.string(), tookMs: z.number().optional() }),
  /** The server has a revision that this journal does not know, or returned to a former one by itself. */
  z.object({ is: z.literal("found"), revision: z.number(), why: z.string(), state: stateText }),
  /** Nothing is applied until the store differs from `snapshot` or somebody says resume. */
  z.object({ is: z.literal("held"), why: z.string(), snapshot: z.string(), by: z.string() }),
  z.object({ is: z.literal("resumed"), why: z.string(), by: z.string() }),
  /** Nothing at all is applied until then (ISO time; null: until `unfrozen`). */
  z.object({ is: z.literal("frozen"), by: z.string(), until: z.string().nullable(), reason: z.string().nullable() }),
  z.object({ is: z.literal("unfrozen"), why: z.string(), by: z.string() }),
  /**
   * Lines up to number `through`, whose hash was `head`, were dropped by retention. `state` is that of revision
   * `revision`, on which those after it build.
   */
  z.object({
    is: z.literal("checkpoint"),
    through: z.number(),
    head: z.string(),
    revision: z.number(),
    state: z.record(z.string(), z.string()),
  }),
  /** A rollback that was ordered while nothing ran; the next start of the agent does it before anything else. */
  z.object({ is: z.literal("ordered"), revision: z.number(), accounts: z.boolean(), by: z.string() }),
  /** Somebody changed the host store through us; what that removes is confirmed. */
  z.object({ is: z.literal("edited"), by: z.string(), summary: z.string(), removes: editedRemovals }),
  /** A use of rights on the server that a person may have to answer for. */
  z.object({ is: z.literal("used-right"), who: z.string(), what: z.string(), on: z.string() }),
  /** A line that a crash had cut was taken off. */
  z.object({ is: z.literal("repaired"), bytes: z.number() }),
]);
export type EditedRemovals = z.infer<typeof editedRemovals>;
export type JournalEntry = z.infer<typeof entry>;
export type Intent = Extract<JournalEntry, { is: "intent" }>;
export type SealedEntry = JournalEntry & { readonly n: number; readonly at: string };

/** One revision for `history`. */
export interface RevisionLine {
  readonly revision: number;
  readonly at: string;
  readonly by: string;
  readonly cause: string;
  readonly impact: string;
  readonly changes: Intent["changes"];
  readonly result: "in progress" | "applied" | "proven" | "undone" | "broken" | "found";
  readonly why?: string;
  readonly from?: string;
  readonly asked?: z.infer<typeof askedText>;
  readonly applyMs?: number;
  readonly verifyMs?: number;
  readonly confirmation?: "awaited" | "confirmed" | "expired";
}
