/** Applies a plan, proves it, and goes back if it broke something. The journal is written before each step. docs/architecture.md "A setting's way". */
import { CodedError, explain } from "../errors.ts";
import { planDocument } from "../plan/render.ts";
import type { Plan } from "../plan/types.ts";
import type { Intent } from "./journal.ts";
import { advanced, contentOf, type RevisionState, stateOf } from "./revision-state.ts";
import { type Settling, settle } from "./settle.ts";
import { broken, type Probe, wrongGroups } from "./verify.ts";

export interface Applying extends Settling {
  /** Days for which a former domain is served; 0 = for ever. */
  readonly aliasDays: number;
  /** How long a core that replaces itself may take. */
  readonly restartMs: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface Order {
  /** For the journal: who, and what made us look. */
  readonly by: string;
  readonly cause: string;
  /** Where it was asked, and what besides "apply". */
  readonly from?: string | undefined;
  readonly asked?: Intent["asked"];
  /** Taken back unless somebody confirms it within so many milliseconds. */
  readonly confirmMs?: number | undefined;
  /** Told what is being done, one clause. */
  readonly progress?: ((what: string) => void) | undefined;
  /** Plans the same wish again; what of it is still planned was not done. */
  readonly replan: () => Promise<Plan>;
  /** Plans the return to a former state. */
  readonly planBack: (state: RevisionState) => Promise<Plan>;
}

export type ApplyOutcome =
  | {
      readonly is: "applied";
      readonly revision: number;
      readonly applied: Plan;
      readonly done: readonly string[];
      /** When it goes back by itself unless it is confirmed (ISO time). */
      readonly confirmBy?: string | undefined;
    }
  /** Nothing changed. */
  | { readonly is: "failed"; readonly error: CodedError }
  /** The revision broke something; the content of revision `to` is in force again, and the agent holds. */
  | { readonly is: "rolled back"; readonly revision: number; readonly to: number; readonly why: string }
  /** In force and broken, and a person must decide: a change of domain, or nothing to return to. */
  | { readonly is: "unproven"; readonly revision: number; readonly why: string };

/** Never throws for what the server answers; throws `journal/not-written` and loss of the server in the middle. */
export async function applyVerified(plan: Plan, applying: Applying, order: Order): Promise<ApplyOutcome> {
  const progress = order.progress ?? (() => {});
  progress("looking at the server as it is");
  const before = await applying.probes();
  progress(`applying ${plan.changes.length} ${plan.changes.length === 1 ? "change" : "changes"} as one`);
  const taken = await take(plan, applying, order);
  if (taken instanceof CodedError) return { is: "failed", error: taken };
  const { revision, done, taken: began } = taken;
  progress(`revision ${revision} is in force; verifying it`);
  const wrong = await whatIsWrong(plan, before, applying, order);
  const tookMs = since(began);
  if (wrong.length === 0) {
    await prove(revision, applying, tookMs);
    const confirmBy =
      order.confirmMs === undefined ? undefined : new Date(applying.now() + order.confirmMs).toISOString();
    if (confirmBy !== undefined) await applying.journal.append({ is: "awaits", revision, until: confirmBy });
    return { is: "applied", revision, applied: plan, done, confirmBy };
  }
  const why = wrong.join("; ");
  progress(`it broke something: ${why}`);
  await applying.journal.append({ is: "broken", revision, why, tookMs });
  if (plan.impact === "migrate") return stays(revision, `the domain changed, and ${why}`, applying, plan);
  return back(revision, why, applying, { planBack: order.planBack, snapshot: plan.snapshot, before });
}

/** Journal, ask, journal; `taken` is when the server had it, from which a core that replaces itself and the verify are counted. A lost connection leaves open what happened: the server tells. */
async function take(
  plan: Plan,
  applying: Applying,
  { by, cause, from, asked, confirmMs }: Pick<Order, "by" | "cause" | "from" | "asked" | "confirmMs">,
): Promise<{ revision: number; done: readonly string[]; taken: number } | CodedError> {
  const { target, journal } = applying;
  const revision = Math.max(journal.highest, plan.expected) + 1;
  const { impact, changes } = planDocument(plan);
  const state = advanced(stateOf(await target.actual()), plan.changes);
  const confirm =
    confirmMs === undefined || journal.revision === undefined ? undefined : { ms: confirmMs, to: journal.revision };
  const said = {
    ...(from === undefined ? {} : { from }),
    ...(asked === undefined ? {} : { asked }),
    ...(confirm === undefined ? {} : { confirm }),
  };
  await journal.append(
    journal.intent({ revision, by, cause, snapshot: plan.snapshot, impact, changes: [...changes], ...said }, state),
  );
  const began = performance.now();
  try {
    const answer = await target.apply({
      expected: plan.expected,
      revision,
      by,
      changes: plan.changes.flatMap((change) => change.steps),
      aliasDays: applying.aliasDays,
    });
    const taken = performance.now();
    await journal.append({ is: "applied", revision, done: answer.done, tookMs: since(began) });
    if (answer.restarting) await target.ready(applying.restartMs);
    return { revision, done: answer.done, taken };
  } catch (error) {
    const failure =
      error instanceof CodedError ? error : new CodedError("apply/failed", explain(error), { cause: error });
    if (failure.code === "journal/not-written") throw failure;
    if (failure.code === "target/lost" || failure.code === "target/unreachable") {
      await target.ready(applying.restartMs);
      // Probing is ours to do, with what was seen before the apply: so only the first half of settling happens here.
      if ((await target.revisions()).revision === revision) {
        if (journal.unsettled)
          await journal.append({ is: "applied", revision, done: ["found in force after a lost connection"] });
        return { revision, done: [], taken: performance.now() };
      }
      await settle(applying);
      return failure;
    }
    await journal.append({ is: "undone", revision, why: explain(failure) });
    return failure;
  }
}

async function whatIsWrong(plan: Plan, before: readonly Probe[], applying: Applying, order: Order): Promise<string[]> {
  const wrong = broken(before, await applying.probes());
  // A server that does not answer has said it all.
  if (wrong.some((one) => one.startsWith("server:"))) return wrong;
  const again = await order.replan();
  const asked = new Set(plan.changes.map((change) => `${change.subject} ${change.action}`));
  const undone = again.changes.filter((change) => asked.has(`${change.subject} ${change.action}`));
  const touched = new Set(
    plan.changes
      .flatMap((change) => change.steps)
      .map((step) =>
        step.kind === "group-set" ? step.group.name : step.kind === "group-members" ? step.group : undefined,
      ),
  );
  const groups = contentOf(stateOf(await applying.target.actual())).groups.filter((group) => touched.has(group.name));
  return [
    ...wrong,
    ...undone.map((change) => `${change.subject}: the server still reports ${change.from ?? "nothing"}`),
    ...(await wrongGroups(applying.target, groups)),
  ];
}

async function prove(revision: number, { target, journal }: Applying, tookMs?: number): Promise<void> {
  await target.prove(revision);
  await journal.append({ is: "proven", revision, ...(tookMs === undefined ? {} : { tookMs }) });
}

/** Whole milliseconds since then. */
function since(began: number): number {
  return Math.round(performance.now() - began);
}

/** Where a broken revision leads back to, and what the hold remembers. */
type Return = Pick<Order, "planBack"> & { readonly snapshot: string; readonly before: readonly Probe[] };

async function back(revision: number, why: string, applying: Applying, way: Return): Promise<ApplyOutcome> {
  const { journal } = applying;
  const to = journal.proven;
  const state = to === undefined ? undefined : journal.state(to);
  if (to === undefined || state === undefined)
    return stays(revision, `${why}, and there is no proven revision to return to`, applying, way);
  const returning = await way.planBack(state);
  if (returning.changes.length > 0) {
    const taken = await take(returning, applying, { by: "agent", cause: `return to revision ${to}: ${why}` });
    if (taken instanceof CodedError)
      return stays(revision, `${why}, and the return to revision ${to} failed: ${explain(taken)}`, applying, way);
    const stillRed = broken(way.before, await applying.probes());
    if (stillRed.length === 0) await prove(taken.revision, applying);
    else await journal.append({ is: "broken", revision: taken.revision, why: stillRed.join("; ") });
  }
  await hold(`revision ${revision} broke something and revision ${to} is in force again: ${why}.`, applying, way);
  return { is: "rolled back", revision, to, why };
}

/** Goes on where a crash interrupted the return from a broken revision. Undefined if there is none. */
export async function finishReturn(applying: Applying, planBack: Order["planBack"]): Promise<ApplyOutcome | undefined> {
  const found = applying.journal.brokenInForce;
  if (!found) return undefined;
  const { revision, why, migrates, snapshot } = found;
  if (migrates) return stays(revision, `the domain changed, and ${why}`, applying, { snapshot });
  return back(revision, why, applying, { planBack, snapshot, before: [] });
}

async function stays(
  revision: number,
  why: string,
  applying: Applying,
  way: Pick<Return, "snapshot">,
): Promise<ApplyOutcome> {
  await hold(`${why}.`, applying, way);
  return { is: "unproven", revision, why };
}

async function hold(why: string, { journal }: Applying, { snapshot }: Pick<Return, "snapshot">): Promise<void> {
  await journal.append({ is: "held", why, snapshot, by: "agent" });
}
