import { z } from "zod";
import type { Connection } from "../transport/connection.ts";
import type { StreamHeader } from "../xml/reader.ts";
import { keptAnswer } from "./bosh-answers.ts";
import type { BoshBody } from "./bosh-body.ts";

/** What both sides agreed on when the session began, and where it stands. JSON-able. */
export const boshState = z.object({
  sid: z.string(),
  /** Of the last request that was taken in its order. */
  rid: z.number(),
  /** Requests that may be open at once. */
  requests: z.number(),
  hold: z.number(),
  waitMs: z.number(),
  polls: z.boolean(),
  /** The client says which answers it has. */
  acks: z.boolean(),
  key: z.string().optional(),
  /** Content-Type of all answers. */
  content: z.string(),
  /** The client is older than conditions in bodies: what is wrong is told by the status of HTTP. XEP-0124 §17.1 */
  legacy: z.boolean(),
  /** How long no request may be open; a pause changes it until the next request. */
  patienceMs: z.number(),
  visitor: z.object({ address: z.string(), secure: z.boolean(), proxied: z.boolean() }),
});
export type BoshState = z.infer<typeof boshState>;

/** What an orderly restart carries over. */
export const frozenBosh = z.object({
  agreed: boshState,
  pending: z.array(z.string()),
  answers: z.array(keptAnswer),
});
export type FrozenBosh = z.infer<typeof frozenBosh>;

/** Live values. */
export interface BoshRules {
  readonly inactivityMs: (polls: boolean) => number;
  readonly pollingMs: () => number;
  readonly maxPauseMs: () => number;
  readonly ignoresLongPauses: () => boolean;
  readonly ignoresOveractivity: () => boolean;
}

export interface BoshOptions {
  readonly state: BoshState;
  readonly rules: BoshRules;
  readonly now: () => number;
  readonly listener: string;
  readonly local: Connection["local"];
  /** The session is of no use any more. */
  readonly over: () => void;
}

/** What opens a stream, or opens it anew. XEP-0206 §3, §5 */
export type Beginning = Pick<StreamHeader, "to" | "from" | "lang"> & { readonly version: string };

export function beginningOf({ to, from, lang, version = "1.0" }: BoshBody): Beginning {
  return {
    version,
    ...(to === undefined ? undefined : { to }),
    ...(from === undefined ? undefined : { from }),
    ...(lang === undefined ? undefined : { lang }),
  };
}
