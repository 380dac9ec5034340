/** What keeps the loop going: one look at a time, wakes that come meanwhile are one wake, and what people ask gets its turn. */
import type { ControlEvent } from "../xmpp-core/control/contract.ts";
import { CodedError, explain } from "./errors.ts";
import { changeDocument, planDocument } from "./plan/render.ts";
import type { Plan, PlanDocument, PlannedChange } from "./plan/types.ts";
import { type Cause, type Outcome, type Parts, reconcile, rollBack } from "./reconcile.ts";
import type { Report } from "./report.ts";

/** What `--json` prints for plan, apply and rollback. */
export interface OutcomeDocument {
  readonly is: Outcome["is"];
  readonly plan: PlanDocument;
  /** Revision that was applied, or that broke something. */
  readonly revision?: number;
  /** Revision whose content is in force again. */
  readonly to?: number;
  readonly why?: readonly string[];
  readonly done?: readonly string[];
  /** What was applied, when it is less than the plan. */
  readonly applied?: PlanDocument["changes"];
}

export interface AgentOptions {
  readonly parts: Parts;
  readonly report: Report;
  readonly now: () => number;
}

type Asking = {
  scope?: "roster" | "settings" | undefined;
  removals?: number | undefined;
  adopt?: readonly string[] | undefined;
};

export class Agent {
  readonly parts: Parts;
  readonly #report: Report;
  readonly #now: () => number;
  #turn: Promise<unknown> = Promise.resolve();
  #woken: string | undefined;
  #addressTimer: NodeJS.Timeout | undefined;
  #last: Outcome | undefined;
  #lastError: CodedError | undefined;
  #stopped = false;

  constructor({ parts, report, now }: AgentOptions) {
    this.parts = parts;
    this.#report = report;
    this.#now = now;
  }

  /** Something may have changed. Any number of wakes before the next look are one. */
  wake(cause: string): void {
    const waiting = this.#woken !== undefined;
    this.#woken = cause;
    if (waiting || this.#stopped) return;
    void this.#inTurn(async () => {
      const text = this.#woken ?? cause;
      this.#woken = undefined;
      if (!this.#stopped) await this.#look({ text, by: "agent", person: false }).catch(() => {});
    });
  }

  /** One look in its turn; rejects as `reconcile` does. */
  look(cause: Cause): Promise<Outcome> {
    return this.#inTurn(() => this.#look(cause));
  }

  async plan(asking: Asking): Promise<OutcomeDocument> {
    const cause = { text: "firekeeper plan", by: "agent", person: true, dryRun: true, ...asking };
    return outcomeDocument(await this.look(cause));
  }

  async apply(by: string, asking: Asking): Promise<OutcomeDocument> {
    const outcome = await this.look({ text: "apply", by, person: true, ...asking });
    if (outcome.is === "failed") throw outcome.error;
    return outcomeDocument(outcome);
  }

  /** Looks because of an edit that has just been made through us. */
  async edited(
    by: string,
    summary: string,
    removes: { users: string[]; roles: string[]; memberships: { role: string; user: string }[] },
  ): Promise<string> {
    await this.parts.journal.append({ is: "edited", by, summary, removes });
    this.#report.edited(by, summary);
    try {
      return outcomeSentence(await this.look({ text: summary, by, person: false }));
    } catch (error) {
      return `It is not live: ${explain(error)}`;
    }
  }

  async rollBack(by: string, to: number | undefined, accounts: boolean): Promise<OutcomeDocument> {
    const outcome = await this.#inTurn(() => rollBack(this.parts, to, accounts, by));
    this.#remember(outcome, "rollback", by, 0);
    await this.tell();
    if (outcome.is === "failed") throw outcome.error;
    return outcomeDocument(outcome);
  }

  async resume(by: string): Promise<OutcomeDocument> {
    await this.#inTurn(async () => {
      if (this.parts.journal.hold) await this.parts.journal.append({ is: "resumed", why: "asked for", by });
    });
    return outcomeDocument(await this.look({ text: "resume", by, person: false }));
  }

  async restart(by: string): Promise<{ pid: number; startedAt: string }> {
    return this.#inTurn(async () => {
      await this.parts.target.restart(by);
      const { pid, startedAt } = await this.parts.target.ready(this.parts.restartMs);
      return { pid, startedAt };
    });
  }

  async status(): Promise<StatusDocument> {
    const { journal, policy, store, target } = this.parts;
    const server = await target.status().catch((error: unknown) => ({ unreachable: explain(error) }));
    const last = this.#last;
    const plan = last ? planDocument(last.plan) : undefined;
    return {
      mode: policy.mode,
      held: journal.hold?.why ?? null,
      store: store.describe(),
      pending: pending(last).map(changeDocument),
      why: last?.is === "waiting" ? last.why : [],
      rejected: plan?.rejected ?? [],
      notices: (plan?.notices ?? []).filter((one) => last?.is !== "applied" || !ofTheChange.has(one.code)),
      lastError: this.#lastError ? { code: this.#lastError.code, message: explain(this.#lastError) } : null,
      journal: { revision: journal.revision ?? 0, proven: journal.proven ?? 0, head: journal.head },
      agent: { pid: process.pid },
      server,
    };
  }

  /** What the server tells unasked. */
  async event(event: ControlEvent): Promise<void> {
    if (event.event === "changed") return this.wake(`${event.part} changed on the server`);
    if (event.event === "used-right") {
      const { who, what, on } = event;
      this.#report.rightUsed(who, what, on);
      await this.parts.journal.append({ is: "used-right", who, what, on });
      return;
    }
    this.#report.consoleAsked(event.admin, event.ask);
    try {
      const ok = await this.#console(event);
      await this.parts.target.answer(event.number, { ok });
    } catch (error) {
      const failure = error instanceof CodedError ? error : new CodedError("agent/failed", explain(error));
      const hint = failure.hint === undefined ? {} : { hint: failure.hint };
      await this.parts.target.answer(event.number, {
        error: { code: failure.code, message: failure.message, ...hint },
      });
    }
  }

  /** Tells the console how the agent stands; a server that is away hears it when it is back. */
  async tell(): Promise<void> {
    const { journal, policy, store, target } = this.parts;
    const lastError = this.#lastError ? explain(this.#lastError) : null;
    const state = {
      mode: policy.mode,
      held: journal.hold?.why ?? null,
      pending: pending(this.#last).length,
      store: store.describe(),
      lastError,
    };
    await target.tell(state).catch(() => {});
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#addressTimer);
    await this.#turn;
  }

  #console(event: Extract<ControlEvent, { event: "console" }>): Promise<unknown> {
    const { admin: by, with: params } = event;
    switch (event.ask) {
      case "plan":
        return this.plan(asking(params));
      case "apply":
        return this.apply(by, asking(params));
      case "history":
        return Promise.resolve(this.parts.journal.history(number(params, "limit") ?? 100));
      case "rollback":
        return this.rollBack(by, number(params, "revision"), params.accounts === true);
      case "resume":
        return this.resume(by);
      case "status":
        return this.status();
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #look(cause: Cause): Promise<Outcome> {
    const started = this.#now();
    try {
      const outcome = await reconcile(this.parts, cause);
      this.#remember(outcome, cause.text, cause.by, this.#now() - started);
      return outcome;
    } catch (error) {
      this.#lastError =
        error instanceof CodedError ? error : new CodedError("agent/failed", explain(error), { cause: error });
      if (!cause.person) this.#report.lookFailed(cause.text, this.#lastError.code, explain(error));
      throw error;
    } finally {
      this.#followAddress();
      await this.tell();
    }
  }

  #remember(outcome: Outcome, cause: string, by: string, tookMs: number): void {
    this.#last = outcome;
    this.#lastError = outcome.is === "failed" ? outcome.error : undefined;
    switch (outcome.is) {
      case "in step":
        return this.#report.inStep(cause);
      case "waiting":
        return this.#report.waiting(cause, outcome.plan.changes.length, outcome.why);
      case "applied": {
        const { revision, applied } = outcome;
        return this.#report.applied({
          cause,
          by,
          revision,
          changes: applied.changes.length,
          impact: applied.impact,
          tookMs,
        });
      }
      case "failed":
        return this.#report.notApplied(cause, outcome.error.code, explain(outcome.error));
      case "rolled back":
        return this.#report.rolledBack(outcome.revision, outcome.to, outcome.why);
      case "unproven":
        return this.#report.unproven(outcome.revision, outcome.why);
    }
  }

  /** A host name is looked up again when DNS said its answer ends. */
  #followAddress(): void {
    clearTimeout(this.#addressTimer);
    const at = this.parts.external.lookAgainAt;
    if (at === undefined || this.#stopped) return;
    this.#addressTimer = setTimeout(
      () => this.wake("the external address may have moved"),
      Math.max(at - this.#now(), 100),
    );
    this.#addressTimer.unref();
  }
}

/** Notices about a change, which are over when it is done. */
const ofTheChange = new Set(["plan/migration", "plan/returns", "plan/other-person", "plan/stays-removed"]);

/** What was planned and is not in force. */
function pending(last: Outcome | undefined): readonly PlannedChange[] {
  if (!last || last.is === "in step" || last.is === "unproven") return [];
  return last.is === "applied"
    ? last.plan.changes.filter((one) => !last.applied.changes.includes(one))
    : last.plan.changes;
}

export interface StatusDocument {
  readonly mode: string;
  readonly held: string | null;
  readonly store: string;
  readonly pending: PlanDocument["changes"];
  readonly why: readonly string[];
  readonly rejected: PlanDocument["rejected"];
  readonly notices: PlanDocument["notices"];
  readonly lastError: { readonly code: string; readonly message: string } | null;
  readonly journal: { readonly revision: number; readonly proven: number; readonly head: string };
  readonly agent: { readonly pid: number };
  readonly server: Awaited<ReturnType<Parts["target"]["status"]>> | { readonly unreachable: string };
}

export function outcomeDocument(outcome: Outcome): OutcomeDocument {
  const common = { is: outcome.is, plan: planDocument(outcome.plan) };
  switch (outcome.is) {
    case "waiting":
      return { ...common, why: outcome.why };
    case "applied":
      return {
        ...common,
        revision: outcome.revision,
        done: outcome.done,
        applied: outcome.applied.changes.map(changeDocument),
      };
    case "failed":
      return { ...common, why: [explain(outcome.error)] };
    case "rolled back":
      return { ...common, revision: outcome.revision, to: outcome.to, why: [outcome.why] };
    case "unproven":
      return { ...common, revision: outcome.revision, why: [outcome.why] };
    default:
      return common;
  }
}

/** `It is live as revision 7.` */
export function outcomeSentence(outcome: Outcome): string {
  switch (outcome.is) {
    case "in step":
      return outcome.plan.rejected.length > 0 ? rejectedSentence(outcome.plan) : "The server is as the host wants it.";
    case "waiting":
      return ["It waits.", ...outcome.why].join(" ");
    case "applied":
      return [`It is live as revision ${outcome.revision}.`, rejectedSentence(outcome.plan)].join(" ").trim();
    case "failed":
      return `It is not live: ${explain(outcome.error)}`;
    case "rolled back":
      return `It broke something and revision ${outcome.to} is in force again: ${outcome.why}.`;
    case "unproven":
      return `It is in force as revision ${outcome.revision}, but not proven: ${outcome.why}.`;
  }
}

function rejectedSentence({ rejected }: Pick<Plan, "rejected">): string {
  const [first] = rejected;
  if (!first) return "";
  const more = rejected.length > 1 ? ` ${rejected.length - 1} more: firekeeper plan.` : "";
  return `Rejected, what was in force stays: ${first.key} must be ${first.rule}. ${first.hint}${more}`;
}

/** What came from the command line or the console, as far as it means something. */
export function asking(params: Record<string, unknown>): Asking {
  const { scope, adopt } = params;
  return {
    scope: scope === "roster" || scope === "settings" ? scope : undefined,
    removals: number(params, "removals"),
    adopt: Array.isArray(adopt) ? adopt.filter((name) => typeof name === "string") : undefined,
  };
}

export function number(params: Record<string, unknown>, name: string): number | undefined {
  const value = params[name];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
