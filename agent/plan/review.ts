/** A plan that somebody has read: written to a file, and applied as it was read or not at all. docs/apply.md. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CodedError, errno } from "../errors.ts";
import { writeWhole } from "../store/file-on-disk.ts";
import { planDocumentSchema } from "./document.ts";
import { changeLine, planDocument } from "./render.ts";
import type { Plan, PlannedChange } from "./types.ts";

/** What `firekeeper plan --out FILE` writes. Steps hold keys and secrets, so only an HMAC of each is there. */
export const reviewedPlan = z.object({
  firekeeper: z.literal("reviewed plan 1"),
  /** ISO time. */
  made: z.string(),
  by: z.string(),
  asked: z.object({ scope: z.enum(["roster", "settings"]).optional(), adopt: z.array(z.string()).optional() }),
  /** Revision that was in force. */
  expected: z.number().int(),
  plan: planDocumentSchema,
  /** One for each change, in order. */
  steps: z.array(z.string()),
  /** Over all of the above, so that an edited file or one of another home is refused. */
  seal: z.string(),
});
export type ReviewedPlan = z.infer<typeof reviewedPlan>;

/** What the asker has seen: only the snapshot (console), or all of it. */
export type Reviewed = { readonly snapshot: string } | ReviewedPlan;

/** The key that this home's reviewed plans are sealed with; made at the first one. */
export async function reviewKey(home: string): Promise<Buffer> {
  const folder = join(home, "secrets");
  const path = join(folder, "plan-hmac.key");
  try {
    return await readFile(path);
  } catch (error) {
    if (errno(error) !== "ENOENT") throw error;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeWhole(path, randomBytes(32).toString("base64url"));
    return readFile(path);
  }
}

export function reviewed(
  plan: Plan,
  facts: Pick<ReviewedPlan, "made" | "by" | "asked"> & { readonly key: Buffer },
): ReviewedPlan {
  const { key, made, by, asked } = facts;
  const document = {
    firekeeper: "reviewed plan 1" as const,
    ...{ made, by, asked: clean(asked), expected: plan.expected },
    plan: planDocumentSchema.parse(clean(planDocument(plan))),
    steps: plan.changes.map((change) => stepsMark(change, key)),
  };
  return { ...document, seal: sealOf(document, key) };
}

/** Throws `plan/bad-file` for what is no plan file, was edited, or is of another home. */
export function readReviewed(content: unknown, key: Buffer): ReviewedPlan {
  const read = reviewedPlan.safeParse(content);
  if (!read.success) throw badFile("It is not what firekeeper plan --out writes.");
  const { seal, ...document } = read.data;
  const wanted = Buffer.from(sealOf(document, key));
  const given = Buffer.from(seal);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    throw badFile("It was changed after it was written, or it is of another home.");
  return read.data;
}

/** Throws `apply/stale-plan`, with what differs, unless `plan` is the very one that was reviewed. */
export function refuseStale(plan: Plan, seen: Reviewed, key: Buffer): void {
  if (!("steps" in seen)) {
    if (seen.snapshot !== plan.snapshot) throw stale(["the host's settings have changed"]);
    return;
  }
  const differences = changeDifferences(plan, seen, key);
  if (seen.plan.snapshot !== plan.snapshot) differences.unshift("the host's settings have changed");
  if (seen.expected !== plan.expected)
    differences.unshift(`revision ${plan.expected} is in force, it was ${seen.expected}`);
  if (differences.length > 0) throw stale(differences);
}

function changeDifferences(plan: Plan, seen: ReviewedPlan, key: Buffer): string[] {
  const was = new Map(seen.plan.changes.map((change, at) => [nameOf(change), { change, mark: seen.steps[at] }]));
  const is = new Map(plan.changes.map((change) => [nameOf(change), change]));
  const differences: string[] = [];
  for (const [name, change] of is) {
    const before = was.get(name);
    if (!before) differences.push(`new: ${changeLine(change)}`);
    else if (before.mark !== stepsMark(change, key) || before.change.impact !== change.impact)
      differences.push(`different: ${changeLine(change)}`);
  }
  for (const [name, { change }] of was)
    if (!is.has(name)) differences.push(`gone: ${changeLine(change as PlannedChange)}`);
  if (differences.length === 0 && [...was.keys()].join() !== [...is.keys()].join())
    differences.push("the order differs");
  return differences;
}

function nameOf({ subject, action }: { readonly subject: string; readonly action: string }): string {
  return JSON.stringify([subject, action]);
}

const shown = 10;

function stale(differences: readonly string[]): CodedError {
  const more = differences.length > shown ? `; and ${differences.length - shown} more` : "";
  const what = `${differences.slice(0, shown).join("; ")}${more}`;
  return new CodedError(
    "apply/stale-plan",
    `The plan is no longer what was reviewed, so nothing is applied: ${what}.`,
    {
      hint: "Read the new plan, then apply that.",
      fields: { differences: differences.length },
    },
  );
}

function badFile(why: string): CodedError {
  return new CodedError("plan/bad-file", `The plan file cannot be used. ${why}`, {
    hint: "Make a new one: firekeeper plan --out FILE",
  });
}

function stepsMark(change: PlannedChange, key: Buffer): string {
  return createHmac("sha256", key).update(JSON.stringify(change.steps)).digest("base64url");
}

function sealOf(document: Omit<ReviewedPlan, "seal">, key: Buffer): string {
  return createHmac("sha256", key)
    .update(`seal\n${JSON.stringify(sorted(document))}`)
    .digest("base64url");
}

/** The same text whatever the order of the keys. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, sorted(one)]);
}

function clean<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
