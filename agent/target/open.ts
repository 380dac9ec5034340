/** Which target the environment names. Everything after this asks for capabilities, never which one it is. */
import type { Journal } from "../apply/journal.ts";
import type { Environment } from "../environment.ts";
import { type CoreOptions, openCore } from "./core.ts";
import type { ClearPasswords } from "./openfire/clear-passwords.ts";
import { openOpenfire } from "./openfire/openfire.ts";
import type { Target } from "./target.ts";

export type TargetParts = CoreOptions & {
  readonly home: string;
  readonly journal: Journal;
  /** Passwords in clear that the store shows, for a server that takes no keys. */
  readonly clear: ClearPasswords;
};

export async function openTarget({ core }: Pick<Environment, "core">, parts: TargetParts): Promise<Target> {
  if (core.kind !== "openfire") return openCore(parts);
  const { home, journal, clear, agent, events } = parts;
  return openOpenfire({
    ...core,
    home,
    agent,
    events,
    clear: clear.of,
    journal: {
      append: (entry) => journal.append(entry),
      inForce() {
        const { revision } = journal;
        const state = revision === undefined ? undefined : journal.state(revision);
        return revision === undefined || state === undefined ? undefined : { revision, state };
      },
    },
  });
}
