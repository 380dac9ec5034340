import type { z } from "zod";
import type { Session } from "./session.ts";

/**
 * State that a module keeps per session. It is declared with its schema, so that the core stores it with the group of
 * the stanza that changed it and gives it back after a resumption, a crash or a restart.
 */
export interface SessionState<T> {
  readonly name: string;
  readonly schema: z.ZodType<T>;
  readonly initial: T;
  get(session: Session): T;
  set(session: Session, value: T): void;
}

/**
 * @example const carbonsOn = sessionState("carbons", { schema: z.boolean(), initial: false });
 *          carbonsOn.set(request.session, true); // survives resume and restart
 */
export function sessionState<T>(name: string, options: { schema: z.ZodType<T>; initial: T }): SessionState<T> {
  return {
    name,
    schema: options.schema,
    initial: options.initial,
    get: (session) => (session.state.has(name) ? (session.state.get(name) as T) : options.initial),
    set(session, value) {
      session.state.set(name, value);
      session.stateChanged = true;
    },
  };
}
