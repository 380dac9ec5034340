import { z } from "zod";

/** An answer that went out. JSON-able. */
export const keptAnswer = z.object({ rid: z.number(), body: z.string(), key: z.string().optional() });
export type KeptAnswer = z.infer<typeof keptAnswer>;

/** So long an answer may be on its way before a client that does not know it is told. */
const lateMs = 1000;

/** The last answers of a session, for a client that did not get them. XEP-0124 §9, §14.2 */
export class BoshAnswers {
  readonly #kept = new Map<number, KeptAnswer & { readonly at: number }>();

  add(answer: KeptAnswer, at: number): void {
    this.#kept.set(answer.rid, { ...answer, at });
  }

  find(rid: number): KeptAnswer | undefined {
    return this.#kept.get(rid);
  }

  /** Nobody asks any more for answers to requests before this one. */
  forgetBefore(rid: number): void {
    for (const known of this.#kept.keys()) if (known < rid) this.#kept.delete(known);
  }

  /** The first answer that a client does not have, which has all up to `acked`, if it should have come by now. */
  missing(acked: number, now: number): { readonly report: number; readonly time: number } | undefined {
    const lost = this.#kept.get(acked + 1);
    if (lost === undefined || now - lost.at < lateMs) return undefined;
    return { report: lost.rid, time: now - lost.at };
  }

  frozen(): KeptAnswer[] {
    return [...this.#kept.values()].map(({ rid, body, key }) => ({ rid, body, key }));
  }
}
