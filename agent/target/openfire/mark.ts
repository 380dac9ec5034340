/**
 * What Openfire's REST plugin cannot tell of an account, kept in a user property of ours beside the account itself:
 * whether we locked it, the host's id, which password it has. docs/decisions/006.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { type AccountWanted, canonicalPassword } from "../../../xmpp-core/control/contract.ts";

export const markKey = "firekeeper";

const mark = z.object({
  /** False: we locked it. */
  on: z.boolean(),
  id: z.string().optional(),
  /** Hash of the keys of the password that was set; absent when none ever was, and nobody knows the one it has. */
  keys: z.string().optional(),
  /** The host no longer has the person (ISO time until which nothing is done about it). */
  until: z.string().optional(),
});
export type Mark = z.infer<typeof mark>;

type Marked = { properties?: { key: string; value: string }[] | null | undefined };

/** Undefined for an account that is not the host's. */
export function readMark(user: Marked): Mark | undefined {
  const text = user.properties?.find((one) => one.key === markKey)?.value;
  if (text === undefined) return undefined;
  try {
    return mark.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** All properties of the user with our mark: what the plugin is not told it deletes. */
export function withMark(user: Marked, now: Mark): { key: string; value: string }[] {
  return [
    ...(user.properties ?? []).filter((one) => one.key !== markKey),
    { key: markKey, value: JSON.stringify(mark.parse(now)) },
  ];
}

/** As the plan compares it; undefined for somebody who has no password. */
export function passwordMark(account: AccountWanted): string | undefined {
  const text = canonicalPassword(account);
  return text === undefined ? undefined : `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
