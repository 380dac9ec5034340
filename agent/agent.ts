/** What keeps the loop going: one look at a time, wakes that come meanwhile are one wake, and what people ask gets its turn. */
import type { ControlEvent } from "../xmpp-core/control/contract.ts";
import { failureOf } from "./agent-socket.ts";
import { type Asker, type Asking, asking, number, text } from "./asking.ts";
import { CodedError, explain } from "./errors.ts";
import type { FleetDocument } from "./fleet/fleet-state.ts";
import type { LookResult } from "./metrics/counters.ts";
import {
  type OutcomeDocument,
  ofTheChange,
  outcomeDocument,
  outcomeSentence,
  pending,
  type StatusDocument,
} from "./outcome.ts";
import { changePassword } from "./password-change.ts";
import { changeDocument, planDocument } from "./plan/render.ts";
import { type ReviewedPlan, readReviewed, reviewed } from "./plan/review.ts";
import { type Cause, inScope, type Outcome, type Parts, reconcile, rollBack } from "./reconcile.ts";
import type { Report } from "./report.ts";
import { confirmationOf, freezeOf, nextDeadline, standingSentences, windowOf } from "./standing.ts";
import { removeUser, takesRemovals } from "./user-removal.ts";

export type { OutcomeDocument, StatusDocument } from "./outcome.ts";

export interface AgentOptions {
  readonly parts: Parts;
  readonly report: Report;
  readonly now: () => number;
  /** What headquarters knows of its branches; null: this agent is none. */
  readonly fleet?: () => Promise<FleetDocument | null>;
}

export class Agent {
  readonly parts: Parts;
  readonly #report: Report;
  readonly #now: () => number;
  readonly #fleet: () => Promise<FleetDocument | null>;
  #turn: Promise<unknown> = Promise.resolve();
  #woken: string | undefined;
  #addressTimer: NodeJS.Timeout | undefined;
  #deadlineTimer: NodeJS.Timeout | undefined;
  #last: Outcome | undefined;
  #lastError: CodedError | undefined;
  #stopped = false;

  constructor({ parts, report, now, fleet = async () => null }: AgentOptions) {
    this.parts = parts;
    this.#report = report;
    this.#now = now;
    this.#fleet = fleet;
  }

  /** Something may have changed. Any number of wakes before the next look are one. */
  wake(cause: string): void {
    this.#report.woken(cause);
    const waiting = this.#woken !== undefined;
    this.#woken = cause;
    if (waiting || this.#stopped) return;
    void this.#inTurn(async () => {
      const text = this.#woken ?? cause;
      this.#woken = undefined;
      if (!this.#stopped) await this.#look({ text, by: "agent", person: false }).catch(() => {});
    });
  }

  /** What the last look came to, for metrics. */
  get standing(): { readonly last: Outcome | undefined; readonly error: CodedError | undefined } {
    return { last: this.#last, error: this.#lastError };
  }

  /** One look in its turn; rejects as `reconcile` does. */
  look(cause: Cause): Promise<Outcome> {
    return this.#inTurn(() => this.#look(cause));
  }

  /** Does something between two looks: nothing is applied meanwhile. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(work);
  }

  async plan(wish: Asking): Promise<OutcomeDocument> {
    return outcomeDocument(await this.#planned(wish));
  }

  /** The plan, sealed: what `apply` takes as `reviewed`. */
  async review({ by }: Asker, wish: Asking): Promise<{ outcome: OutcomeDocument; reviewed: ReviewedPlan }> {
    const { scope, adopt } = wish;
    const outcome = await this.#planned(wish);
    const asked = { ...(scope ? { scope } : {}), ...(adopt ? { adopt: [...adopt] } : {}) };
    const facts = { made: new Date(this.#now()).toISOString(), by, asked, key: this.parts.reviewKey };
    return { outcome: outcomeDocument(outcome), reviewed: reviewed(inScope(outcome.plan, scope), facts) };
  }

  /** `seen` is the snapshot's hash or a reviewed plan, which says scope and adoptions itself. */
  async apply(
    asker: Asker,
    wish: Asking,
    options: { seen?: unknown; progress?: ((what: string) => void) | undefined } = {},
  ): Promise<OutcomeDocument> {
    const { seen, progress } = options;
    const { parts } = this;
    const given = typeof seen === "object" ? readReviewed(seen, parts.reviewKey) : undefined;
    const outcome = await this.look({
      ...{ text: given ? "apply of a reviewed plan" : "apply", person: true, progress },
      ...asker,
      ...wish,
      ...(given ? { ...given.asked, reviewed: given } : {}),
      ...(typeof seen === "string" ? { reviewed: { snapshot: seen } } : {}),
    });
    if (outcome.is === "failed") throw outcome.error;
    return outcomeDocument(outcome);
  }

  #planned(wish: Asking): Promise<Outcome> {
    return this.look({ text: "firekeeper plan", by: "agent", person: true, dryRun: true, ...wish });
  }

  /** Keeps the revision that waits to be confirmed. Throws `confirm/nothing-awaited`. */
  async confirm({ by }: Asker): Promise<{ revision: number }> {
    const revision = await this.#inTurn(async () => {
      const awaited = this.parts.journal.confirmation;
      if (!awaited || awaited.until <= this.#now()) {
        throw new CodedError("confirm/nothing-awaited", "No revision waits to be confirmed.", {
          hint: "firekeeper history tells whether it went back.",
        });
      }
      await this.parts.journal.append({ is: "confirmed", revision: awaited.revision, by });
      return awaited.revision;
    });
    this.#report.confirmed(revision, by);
    this.wake("confirmed");
    return { revision };
  }

  /** Nothing is applied until then (ms since the epoch), or until `unfreeze`. */
  async freeze(
    { by }: Asker,
    until: number | undefined,
    reason: string | undefined,
  ): Promise<StatusDocument["frozen"]> {
    const end = until === undefined ? null : new Date(until).toISOString();
    await this.#inTurn(() => this.parts.journal.append({ is: "frozen", by, until: end, reason: reason ?? null }));
    this.#report.frozen(by, end, reason);
    this.wake("frozen");
    return freezeOf(this.parts);
  }

  async unfreeze({ by }: Asker): Promise<OutcomeDocument> {
    await this.#inTurn(async () => {
      if (freezeOf(this.parts)) await this.parts.journal.append({ is: "unfrozen", why: "asked for", by });
    });
    return outcomeDocument(await this.look({ text: "unfreeze", by, person: false }));
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

  async rollBack(asker: Asker, to: number | undefined, accounts: boolean): Promise<OutcomeDocument> {
    const outcome = await this.#inTurn(() => rollBack(this.parts, to, accounts, asker));
    this.#remember(outcome, "rollback", asker.by, 0);
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
      frozen: freezeOf(this.parts),
      confirmation: confirmationOf(this.parts),
      window: windowOf(this.parts),
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
    // The fleet page only reads, and asks again each minute.
    if (event.event === "console" && event.ask !== "fleet") this.#report.consoleAsked(event.admin, event.ask);
    try {
      await this.parts.target.answer(event.number, { ok: await this.#asked(event) });
    } catch (error) {
      await this.parts.target.answer(event.number, { error: failureOf(error) });
    }
  }

  #asked(event: Exclude<ControlEvent, { event: "changed" | "used-right" }>): Promise<unknown> {
    if (event.event === "console") return this.#console(event);
    return event.event === "password" ? changePassword(this, event) : removeUser(this, event);
  }

  /** Tells the console how the agent stands; a server that is away hears it when it is back. */
  async tell(): Promise<void> {
    const { journal, policy, store, target } = this.parts;
    const lastError = this.#lastError ? explain(this.#lastError) : null;
    const state = {
      mode: policy.mode,
      held: journal.hold?.why ?? null,
      ...standingSentences(this.parts),
      pending: pending(this.#last).length,
      store: store.describe(),
      takesPasswords: store.writable && target.setPassword !== undefined,
      takesRemovals: store.writable && takesRemovals(store),
      lastError,
    };
    await target.tell(state).catch(() => {});
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#addressTimer);
    clearTimeout(this.#deadlineTimer);
    await this.#turn;
  }

  #console(event: Extract<ControlEvent, { event: "console" }>): Promise<unknown> {
    const { admin: by, with: params } = event;
    const address = text(params, "from");
    const asker = { by, from: address === undefined ? "console" : `console from ${address}` };
    switch (event.ask) {
      case "plan":
        return this.plan(asking(params));
      case "apply":
        return this.apply(asker, asking(params), { seen: text(params, "snapshot") });
      case "history":
        return Promise.resolve(this.parts.journal.history(number(params, "limit") ?? 100));
      case "rollback":
        return this.rollBack(asker, number(params, "revision"), params.accounts === true);
      case "resume":
        return this.resume(by);
      case "status":
        return this.status();
      case "fleet":
        return this.#fleet();
    }
  }

  /** Runs work between two looks. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#inTurn(work);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #look(cause: Cause): Promise<Outcome> {
    const started = this.#now();
    const looked = (result: LookResult) => this.#report.looked(result, this.#now(), this.#now() - started);
    try {
      const outcome = await reconcile(this.parts, cause);
      looked(outcome.is);
      this.#remember(outcome, cause.text, cause.by, this.#now() - started);
      return outcome;
    } catch (error) {
      this.#lastError =
        error instanceof CodedError ? error : new CodedError("agent/failed", explain(error), { cause: error });
      looked(this.#lastError.code.startsWith("apply/") ? "refused" : "no comparison");
      if (!cause.person) this.#report.lookFailed(cause.text, this.#lastError.code, explain(error));
      throw error;
    } finally {
      this.#followAddress();
      this.#followDeadline();
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

  /** A confirmation or a freeze ends at its time, not with the next look. */
  #followDeadline(): void {
    clearTimeout(this.#deadlineTimer);
    const at = nextDeadline(this.parts);
    if (at === undefined || this.#stopped) return;
    const waitMs = Math.min(Math.max(at - this.#now(), 0) + 10, longestTimerMs);
    this.#deadlineTimer = setTimeout(() => this.wake("a time is over"), waitMs);
    this.#deadlineTimer.unref();
  }
}

/** Timers longer than about 24 days fire at once. */
const longestTimerMs = 86_400_000;
