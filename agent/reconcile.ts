/** The loop, once around: read, desired, canonical, plan, policy, apply, verify. Level-triggered: whoever wakes it says only "look again". */
import { type Applying, type ApplyOutcome, applyVerified, finishReturn, type Order } from "./apply/apply.ts";
import { frozen, unfinishedReturn } from "./apply/journal-history.ts";
import type { RevisionState } from "./apply/revision-state.ts";
import { returnTo } from "./apply/rollback.ts";
import { settle } from "./apply/settle.ts";
import { type Desired, desired } from "./desired/desired.ts";
import { CodedError, explain, type Notice } from "./errors.ts";
import type { ExternalAddress } from "./network/external-address.ts";
import { plan } from "./plan/plan.ts";
import { type Reviewed, refuseStale } from "./plan/review.ts";
import { type Plan, type Scope, withChanges } from "./plan/types.ts";
import { durationText } from "./policy/duration.ts";
import type { Patience } from "./policy/patience.ts";
import { type Asked, decide, type Policy } from "./policy/policy.ts";
import { awaitsSentence, frozenSentence } from "./standing.ts";
import type { HostStore, Snapshot } from "./store/host-store.ts";

export interface Parts extends Applying {
  readonly store: HostStore;
  readonly policy: Policy;
  readonly external: ExternalAddress;
  readonly patience: Patience;
  readonly instance: string | undefined;
  readonly keepDays: number;
  readonly memo: Memo;
  /** What reviewed plans are sealed with. */
  readonly reviewKey: Buffer;
}

/** What the last look found, for the next one: where nothing changed, nothing is read, sent or compared again. */
export interface Memo {
  desired?: { readonly snapshot: Snapshot; readonly desired: Desired } | undefined;
  inStep?: { readonly basis: readonly unknown[]; readonly plan: Plan } | undefined;
}

/** What made us look, and what was asked for. */
export interface Cause extends Asked {
  /** For the journal and the log: `the periodic look`, `host.yaml changed`, `firekeeper apply`. */
  readonly text: string;
  readonly by: string;
  /** Where it was asked: `agent socket`, `console`. */
  readonly from?: string | undefined;
  readonly adopt?: readonly string[] | undefined;
  /** What the asker has seen; anything else is refused. */
  readonly reviewed?: Reviewed | undefined;
  readonly progress?: ((what: string) => void) | undefined;
  /** Plan only. */
  readonly dryRun?: boolean;
}

export type Outcome = { readonly plan: Plan } & (
  | { readonly is: "in step" }
  | { readonly is: "waiting"; readonly why: readonly string[] }
  | ApplyOutcome
);

/** Throws when there is no whole snapshot, no answer of the server, or a person's apply is refused (`apply/…`). */
export async function reconcile(parts: Parts, cause: Cause): Promise<Outcome> {
  await settle(parts);
  const unconfirmed = await returnUnconfirmed(parts);
  if (unconfirmed) return unconfirmed;
  const { snapshot, trouble } = await readSnapshot(parts.store);
  const adopt = new Set(cause.adopt);
  const replan = () => planSnapshot(parts, snapshot, trouble, adopt);
  const planBack = (state: RevisionState) => planReturn(parts, state, snapshot.hash, false);
  const interrupted = await finishReturn(parts, planBack);
  if (interrupted) return { ...interrupted, plan: await replan() };
  const wanted = await replan();
  const held = await holdOver(parts, snapshot);
  const facts = {
    held,
    first: parts.journal.revision === undefined,
    inUse: !parts.target.capabilities.origins,
    confirmed: parts.journal.confirmedRemovals(),
    frozen: await frozenOver(parts),
    awaits: awaitsSentence(parts.journal),
    at: parts.now(),
  };
  if (cause.reviewed) refuseStale(inScope(wanted, cause.scope), cause.reviewed, parts.reviewKey);
  const decision = decide(wanted, parts.policy, facts, cause);
  if (wanted.changes.length === 0) return { is: "in step", plan: wanted };
  if (cause.dryRun) return { is: "waiting", plan: wanted, why: decision.why };
  if (cause.person && decision.refusal) throw decision.refusal;
  if (decision.now.changes.length === 0) return { is: "waiting", plan: wanted, why: decision.why };
  const again = cause.person ? undefined : parts.patience.refuses(decision.now);
  if (again !== undefined) return { is: "waiting", plan: wanted, why: [again] };
  const { by, from, text, confirmMs, progress } = cause;
  const order = { by, from, cause: text, asked: askedOf(cause), confirmMs, progress, replan, planBack };
  const outcome = await applyVerified(decision.now, parts, order);
  parts.patience.saw(decision.now, outcome);
  return { ...outcome, plan: wanted };
}

/** The plan that makes the server what `snapshot` asks. */
async function planSnapshot(
  parts: Parts,
  snapshot: Snapshot,
  trouble: readonly Notice[],
  adopt: ReadonlySet<string>,
): Promise<Plan> {
  const { target, keepDays } = parts;
  const wish = await parts.external.follow(desiredOf(parts, snapshot));
  const wanted = target.adapt ? await target.adapt(wish) : wish;
  const [actual, { revision }] = [await target.actual(), await target.revisions()];
  const left = wanted.rejections.map((one) => `${one.code} ${one.key}`);
  const said = [...wanted.notices.map((one) => one.message), ...left].join("\n");
  const address = wanted.state.settings.externalAddress;
  const basis = [
    snapshot,
    address,
    said,
    revision,
    actual.settings,
    actual.groups,
    actual.supervisors,
    actual.accounts,
  ] as const;
  if (trouble.length === 0 && adopt.size === 0 && parts.memo.inStep?.basis.every((one, at) => one === basis[at]))
    return parts.memo.inStep.plan;
  const canonical = await target.canonical(wanted.state);
  const seen = { ...wanted, notices: [...trouble, ...wanted.notices] };
  const made = plan({ desired: seen, canonical, actual, revision, snapshot: snapshot.hash, keepDays, adopt });
  // Only what nothing came of may be used again: a plan with changes counts sessions and days anew.
  const inStep = made.changes.length === 0 && trouble.length === 0 && adopt.size === 0;
  parts.memo.inStep = inStep ? { basis, plan: made } : undefined;
  return made;
}

/** The same snapshot asks for the same: 50,000 users are not gone through again every minute. */
function desiredOf({ memo, instance }: Parts, snapshot: Snapshot): Desired {
  if (memo.desired?.snapshot !== snapshot) memo.desired = { snapshot, desired: desired(snapshot, { instance }) };
  return memo.desired.desired;
}

/** The plan that makes the server what it was; accounts that went since stay gone unless asked for. */
export async function planReturn(
  parts: Parts,
  state: RevisionState,
  snapshot: string,
  accounts: boolean,
): Promise<Plan> {
  const { target, keepDays } = parts;
  const actual = await target.actual();
  const wanted = returnTo(state, actual, { accounts });
  const [canonical, { revision }] = [await target.canonical(wanted.desired.state), await target.revisions()];
  return plan({ ...wanted, canonical, actual, revision, snapshot, keepDays, adopt: new Set() });
}

/** Puts the content of a former revision in force and holds, since the store still says something else. */
export async function rollBack(
  parts: Parts,
  to: number | undefined,
  accounts: boolean,
  who: { readonly by: string; readonly from?: string | undefined },
): Promise<Outcome> {
  await settle(parts);
  const { journal } = parts;
  const freeze = await frozenOver(parts);
  if (freeze !== undefined)
    throw new CodedError("apply/frozen", freeze, { hint: "To roll back before that: firekeeper unfreeze" });
  const goal = to ?? journal.former;
  const state = goal === undefined ? undefined : journal.state(goal);
  if (goal === undefined || state === undefined) {
    throw new CodedError(
      "rollback/unknown-revision",
      goal === undefined ? "There is no former revision." : `There is no revision ${goal}.`,
      {
        hint: "firekeeper history lists them.",
      },
    );
  }
  const cause = `rollback to revision ${goal}`;
  const why = `rolled back to revision ${goal} by ${who.by}.`;
  return goBack(parts, { ...who, cause, why, state, accounts });
}

type Back = {
  readonly by: string;
  readonly from?: string | undefined;
  readonly cause: string;
  /** Why the agent holds afterwards, one sentence. */
  readonly why: string;
  readonly state: RevisionState;
  readonly accounts: boolean;
};

async function goBack(parts: Parts, { by, from, cause, why, state, accounts }: Back): Promise<Outcome> {
  const { journal } = parts;
  // A way back must not depend on the host: an unreadable store counts as the one that was applied last.
  const hash = await readSnapshot(parts.store).then(
    ({ snapshot }) => snapshot.hash,
    () => journal.appliedSnapshot ?? "",
  );
  const replan = () => planReturn(parts, state, hash, accounts);
  const wanted = await replan();
  const planBack = (proven: RevisionState) => planReturn(parts, proven, hash, false);
  const order = { by, from, cause, replan, planBack };
  const outcome: Outcome =
    wanted.changes.length === 0
      ? { is: "in step", plan: wanted }
      : { ...(await applyVerified(wanted, parts, order)), plan: wanted };
  if (outcome.is === "applied" || outcome.is === "in step")
    await journal.append({ is: "held", why, snapshot: hash, by });
  return outcome;
}

/** What nobody confirmed in time goes back by itself, also where a crash interrupted that. Undefined if nothing is due. */
async function returnUnconfirmed(parts: Parts): Promise<Outcome | undefined> {
  const { journal, now } = parts;
  const awaited = journal.confirmation;
  if (awaited && awaited.until <= now()) {
    const { revision, to, ms } = awaited;
    const why = `nobody confirmed revision ${revision} within ${durationText(ms)}`;
    await journal.append({ is: "expired", revision, to, why });
  }
  const due = unfinishedReturn(journal.entries);
  if (!due) return undefined;
  const { revision, to, why } = due;
  const state = journal.state(to);
  if (!state) throw new CodedError("rollback/unknown-revision", `There is no revision ${to} to return to.`);
  const cause = `return to revision ${to}: ${why}`;
  const held = `${why}, and revision ${to} is in force again.`;
  const outcome = await goBack(parts, { by: "agent", cause, why: held, state, accounts: false });
  if (outcome.is === "applied" || outcome.is === "in step")
    return { is: "rolled back", revision, to, why, plan: outcome.plan };
  // What the server refused once it refuses again: a person must look. A server that is away is asked again.
  if (outcome.is === "failed" && !outcome.error.code.startsWith("target/")) {
    const failed = `${why}, and the return to revision ${to} failed: ${explain(outcome.error)}`;
    await journal.append({ is: "held", why: failed, snapshot: outcome.plan.snapshot, by: "agent" });
    return { is: "unproven", revision, why: failed, plan: outcome.plan };
  }
  return outcome;
}

/** A freeze ends by itself when its time is over. */
async function frozenOver({ journal, now }: Parts): Promise<string | undefined> {
  const freeze = frozen(journal.entries);
  if (!freeze) return undefined;
  if (freeze.until === null || Date.parse(freeze.until) > now()) return frozenSentence(freeze);
  await journal.append({ is: "unfrozen", why: "its time is over", by: "agent" });
  return undefined;
}

/** The part of the plan that an apply of this scope takes. */
export function inScope(plan: Plan, scope: Scope | undefined): Plan {
  return scope === undefined
    ? plan
    : withChanges(
        plan,
        plan.changes.filter((change) => change.scope === scope),
      );
}

/** What a person asked for besides "apply", for the journal. */
function askedOf({ scope, removals, adopt, now, reviewed }: Cause): Order["asked"] {
  const asked = {
    ...(scope === undefined ? {} : { scope }),
    ...(removals === undefined ? {} : { removals }),
    ...(adopt === undefined || adopt.length === 0 ? {} : { adopt: [...adopt] }),
    ...(reviewed !== undefined && "seal" in reviewed ? { plan: reviewed.seal } : {}),
    ...(now ? { now } : {}),
  };
  return Object.keys(asked).length === 0 ? undefined : asked;
}

/** Whole, or the last that was whole with what is wrong now. */
async function readSnapshot(store: HostStore): Promise<{ snapshot: Snapshot; trouble: Notice[] }> {
  try {
    return { snapshot: await store.read(), trouble: [] };
  } catch (error) {
    const good = await store.lastGood();
    if (!(error instanceof CodedError) || !good) throw error;
    const hint = `The last good state stays in force.${error.hint ? ` ${error.hint}` : ""}`;
    return { snapshot: good, trouble: [{ code: error.code, message: error.message, hint }] };
  }
}

/** A hold ends by itself when the store says something else than it did then. */
async function holdOver({ journal }: Parts, snapshot: Snapshot): Promise<string | undefined> {
  const { hold } = journal;
  if (!hold || hold.snapshot === snapshot.hash) return hold?.why;
  await journal.append({ is: "resumed", why: "the store changed", by: "agent" });
  return undefined;
}
