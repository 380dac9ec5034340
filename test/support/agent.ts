/** Drives a test core as the agent does, over its control socket and with the agent's own client. */
import { join } from "node:path";
import { openCore } from "../../agent/target/core.ts";
import type { Target } from "../../agent/target/target.ts";
import type { Change, ControlEvent } from "../../xmpp-core/control/contract.ts";
import type { TestCore } from "./core.ts";

export interface TestAgent {
  readonly target: Target;
  readonly events: ControlEvent[];
  /** Applies changes as the next revision. Rejects with the server's CodedError. */
  apply(...changes: Change[]): ReturnType<Target["apply"]>;
  /** Applies server properties; null removes one. */
  set(properties: Record<string, string | null>): ReturnType<Target["apply"]>;
}

/** Connects to the control socket; close it before the core. */
export async function connectAgent(core: TestCore, name = "the test"): Promise<TestAgent> {
  const events: ControlEvent[] = [];
  const target = openCore({
    socket: join(core.home, "control.sock"),
    agent: name,
    events: { event: (event) => events.push(event), greeted: () => undefined, lost: () => undefined },
    retryMs: 20,
  });
  await target.ready(5000);
  const agent: TestAgent = {
    target,
    events,
    async apply(...changes) {
      const { revision } = await target.revisions();
      return target.apply({ expected: revision, revision: revision + 1, by: "a test", changes, aliasDays: 90 });
    },
    set: (properties) =>
      agent.apply(
        ...Object.entries(properties).map(([key, to]) => ({
          kind: "setting" as const,
          setting: `property:${key}`,
          to,
        })),
      ),
  };
  return agent;
}
