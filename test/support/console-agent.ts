/** Plays the agent for the console: connects to the control socket and answers what admins ask there. */
import { join } from "node:path";
import { openCore } from "../../agent/target/core.ts";
import type { Target } from "../../agent/target/target.ts";
import type { Ask, ControlEvent } from "../../xmpp-core/control/contract.ts";
import type { TestCore } from "./core.ts";

export type ConsoleAsk = Extract<ControlEvent, { event: "console" }>;
/** What the agent answers; an Error with a code is its refusal. */
export type AgentAnswer = (asked: ConsoleAsk) => unknown;

export interface ConsoleAgent {
  readonly target: Target;
  /** Everything the server told, in order. */
  readonly events: ControlEvent[];
  /** Resolves with the first such event, also an earlier one. */
  heard(wanted: (event: ControlEvent) => boolean): Promise<ControlEvent>;
  answer: AgentAnswer;
  tell(state: Partial<Ask<"agent">>): Promise<void>;
  close(): Promise<void>;
}

export async function connectConsoleAgent(core: TestCore, answer: AgentAnswer = () => ({})): Promise<ConsoleAgent> {
  const events: ControlEvent[] = [];
  const waiting = new Set<() => void>();
  const target = openCore({
    socket: join(core.home, "control.sock"),
    agent: "the test",
    retryMs: 20,
    events: {
      event(event) {
        events.push(event);
        for (const look of waiting) look();
        if (event.event === "console") void reply(event);
      },
      greeted: () => undefined,
      lost: () => undefined,
    },
  });
  async function reply(asked: ConsoleAsk): Promise<void> {
    try {
      await target.answer(asked.number, { ok: await agent.answer(asked) });
    } catch (error) {
      const { code, message, hint } = error as Error & { code: string; hint?: string };
      await target.answer(asked.number, { error: { code, message, ...(hint === undefined ? {} : { hint }) } });
    }
  }
  const agent: ConsoleAgent = {
    target,
    events,
    answer,
    heard: (wanted) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = events.find(wanted);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
    tell: (state) =>
      target.tell({ mode: "manual", held: null, pending: 0, store: "host.yaml", lastError: null, ...state }),
    close: () => target.close(),
  };
  await target.ready(5000);
  return agent;
}

/** A plan as the agent answers it, with these changes. */
export function plannedOutcome(changes: readonly Record<string, unknown>[], more: Record<string, unknown> = {}) {
  return {
    is: changes.length === 0 ? "in step" : "waiting",
    plan: { revision: 8, snapshot: "sha256:aaaa", impact: "live", changes, rejected: [], notices: [] },
    why: [],
    ...more,
  };
}
