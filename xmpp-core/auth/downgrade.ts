/** SASL SCRAM Downgrade Protection: the client learns, under the signature of its password, what the server had offered. XEP-0474 */
import { createHash } from "node:crypto";
import type { Offer } from "./exchange.ts";

const byByte = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);

/** Hash over the offered mechanisms and channel-binding types, in base64. XEP-0474 §5.1 */
export function offerHash({ mechanisms, bindingTypes }: Offer, digest: string): string {
  // Two characters that no XML can hold, so that no list can be written as another one.
  const listed = (words: readonly string[]): string => [...words].sort(byByte).join("\x1e");
  const types = bindingTypes.length > 0 ? `\x1f${listed(bindingTypes)}` : "";
  return createHash(digest)
    .update(listed(mechanisms) + types)
    .digest("base64");
}
