import type { Element } from "ltx";
import type { UserAgent } from "../auth/devices.ts";
import { decodeBase64, failure, type SaslFailure } from "../auth/exchange.ts";
import { type TokenMechanism, tokenMechanisms } from "../auth/hashed-token.ts";
import { type HashName, hashes, hashNames } from "../auth/keys.ts";
import { ns } from "../formats/namespaces.ts";

/** `<authenticate/>`: what a client wants besides being let in. XEP-0388 §2.4 */
export interface Sasl2Request {
  readonly mechanism: string;
  /** Undefined: no initial response. */
  readonly data: Buffer | undefined | SaslFailure;
  readonly userAgent: UserAgent | undefined;
  /** XEP-0386 */
  readonly bind: Element | undefined;
  /** XEP-0198 §9.2 */
  readonly resume: Element | undefined;
  /** XEP-0484 §3.4 */
  readonly fast: { readonly count: number | undefined; readonly invalidate: boolean } | undefined;
  /** XEP-0484 §3.2 */
  readonly wantsToken: TokenMechanism | undefined;
  /** XEP-0480 §2.2; each once. */
  readonly upgrades: readonly HashName[];
}

/** Undefined: it breaks the grammar where that cannot be overlooked. */
export function readRequest(element: Element): Sasl2Request | undefined {
  const { mechanism } = element.attrs as Record<string, unknown>;
  const initial = element.getChild("initial-response", ns.sasl2);
  const fast = element.getChild("fast", ns.fast);
  const count = fast && readCount(fast.attrs.count);
  if (typeof mechanism !== "string" || count === "wrong") return undefined;
  const wanted: unknown = element.getChild("request-token", ns.fast)?.attrs.mechanism;
  const upgrades = element.getChildren("upgrade", ns.saslUpgrade).map((one) => one.getText().trim());
  return {
    mechanism,
    data: initial && dataOf(initial),
    userAgent: readUserAgent(element.getChild("user-agent", ns.sasl2)),
    bind: element.getChild("bind", ns.bind2),
    resume: element.getChild("resume", ns.streamManagement),
    fast: fast && { count, invalidate: ["true", "1"].includes(String(fast.attrs.invalidate)) },
    wantsToken: tokenMechanisms.find((name) => name === wanted),
    upgrades: hashNames.filter((hash) => upgrades.includes(taskOf(hash))),
  };
}

/** The task that brings keys for a hash. XEP-0480 §3 */
export const taskOf = (hash: HashName): string => `UPGR-${hashes[hash].mechanism}`;

/** Base64 without the special cases of the older profile: an empty element is an empty message. XEP-0388 §2.2 */
export function dataOf(element: Element): Buffer | SaslFailure {
  return decodeBase64(element.getText().trim()) ?? failure("incorrect-encoding");
}

function readCount(given: unknown): number | undefined | "wrong" {
  if (given === undefined) return undefined;
  return typeof given === "string" && /^\+?\d{1,10}$/.test(given) && Number(given) < 2 ** 31 ? Number(given) : "wrong";
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Characters of a name that people are shown; the rest is cut off. */
const mostShown = 100;

/** Without a proper id a client is as one that tells nothing of itself: it logs in, and nothing is kept for it. */
function readUserAgent(element: Element | undefined): UserAgent | undefined {
  const id: unknown = element?.attrs.id;
  const known = typeof id === "string" ? id.toLowerCase() : "";
  if (element === undefined || !uuid.test(known)) return undefined;
  const shown = (name: string): string | undefined => {
    const told = [...(element.getChildText(name, ns.sasl2) ?? "").replace(/\s+/g, " ").trim()];
    return told.length === 0 ? undefined : told.slice(0, mostShown).join("");
  };
  return { id: known, software: shown("software"), device: shown("device") };
}
