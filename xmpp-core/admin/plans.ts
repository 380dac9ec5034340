/** What the agent plans and applies, as an admin asks for it in the console. */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Control } from "../control/control.ts";
import { CodedError } from "../errors.ts";

const change = z.object({
  subject: z.string(),
  action: z.string(),
  from: z.string().nullable(),
  to: z.string().nullable(),
  impact: z.string(),
  source: z.string(),
});
const notice = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  where: z.string().optional(),
});
const planDocument = z.object({
  revision: z.number(),
  snapshot: z.string(),
  impact: z.string(),
  changes: z.array(change),
  rejected: z.array(z.object({ key: z.string(), value: z.string(), rule: z.string(), hint: z.string() })),
  notices: z.array(notice),
});

/** The agent's answer to plan, apply, rollback and resume. */
const outcome = z.object({
  is: z.string(),
  plan: planDocument,
  why: z.array(z.string()).default([]),
  revision: z.number().optional(),
  to: z.number().optional(),
  done: z.array(z.string()).optional(),
});
export type AgentOutcome = z.infer<typeof outcome>;

/** A plan as the console shows it. `id` stands for all that an apply of it would do. */
export interface ShownPlan extends AgentOutcome {
  readonly id: string;
  /** Set when so many removals have to be confirmed by this very number. */
  readonly removals?: number;
}

export interface Ordered {
  /** `id` of the plan that the admin has seen. */
  readonly plan: string;
  readonly scope?: "roster" | "settings" | undefined;
  readonly removals?: number | undefined;
  readonly adopt?: readonly string[] | undefined;
  /** Address of the admin's browser, for the journal. */
  readonly from?: string | undefined;
}

export async function shownPlan(control: Control, admin: string, adopt?: readonly string[]): Promise<ShownPlan> {
  const answer = understood(await control.askAgent(admin, "plan", adopt === undefined ? {} : { adopt }));
  const removals = /--removals (\d{1,9})/.exec(answer.why.join(" "))?.[1];
  return { ...answer, id: planId(answer), ...(removals === undefined ? {} : { removals: Number(removals) }) };
}

/** Applies the very plan that was shown. Throws admin/plan-changed when the host's settings or the server changed since. */
export async function applyShown(control: Control, admin: string, ordered: Ordered): Promise<AgentOutcome> {
  const now = await shownPlan(control, admin, ordered.adopt);
  if (now.id !== ordered.plan) throw changed();
  const { scope, removals, adopt, from } = ordered;
  const answer = understood(
    await control.askAgent(admin, "apply", {
      snapshot: now.plan.snapshot,
      ...(from === undefined ? {} : { from }),
      ...(scope === undefined ? {} : { scope }),
      ...(removals === undefined ? {} : { removals }),
      ...(adopt === undefined ? {} : { adopt }),
    }),
  );
  return answer;
}

export async function rolledBack(
  control: Control,
  admin: string,
  to: { revision: number; accounts: boolean; from: string },
): Promise<AgentOutcome> {
  return understood(await control.askAgent(admin, "rollback", to));
}

export async function resumed(control: Control, admin: string): Promise<AgentOutcome> {
  return understood(await control.askAgent(admin, "resume", {}));
}

const history = z.array(
  z.object({
    revision: z.number(),
    at: z.string(),
    by: z.string(),
    cause: z.string(),
    impact: z.string(),
    changes: z.array(change),
    result: z.string(),
    why: z.string().optional(),
  }),
);

export async function revisionHistory(control: Control, admin: string): Promise<z.infer<typeof history>> {
  const read = history.safeParse(await control.askAgent(admin, "history", { limit: 100 }));
  if (!read.success) throw misunderstood();
  return read.data;
}

function changed(): CodedError {
  return new CodedError("admin/plan-changed", "The plan has changed since it was shown, so nothing is applied.", {
    hint: "Read the new plan, then apply it.",
  });
}

function understood(answer: unknown): AgentOutcome {
  const read = outcome.safeParse(answer);
  if (!read.success) throw misunderstood();
  return read.data;
}

export function misunderstood(): CodedError {
  return new CodedError("admin/agent-answer", "The agent's answer is not understood.", {
    hint: "Agent and server are of different releases: upgrade both.",
  });
}

/** The same plan has the same id, whenever it is made. */
function planId({ plan }: AgentOutcome): string {
  const { snapshot, revision, changes } = plan;
  return createHash("sha256")
    .update(JSON.stringify([snapshot, revision, changes]))
    .digest("base64url");
}
