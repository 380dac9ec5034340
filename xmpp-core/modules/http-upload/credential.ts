import { createHmac, timingSafeEqual } from "node:crypto";

/** What somebody must show to fill a slot: signed, so that a guess costs no look at the disk. */
export interface SlotClaim {
  readonly token: Buffer;
  readonly size: number;
  /** ms since 1970; an upload begins before it. */
  readonly until: number;
}

const form = /^([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([A-Za-z0-9_-]{22})$/;

/** `size.until.signature`, the numbers to base 36. */
export function sign(key: Buffer, { token, size, until }: SlotClaim): string {
  return `${size.toString(36)}.${until.toString(36)}.${signature(key, token, size, until).toString("base64url")}`;
}

/** The claim behind what was shown for this token; undefined: we did not sign it. */
export function readClaim(key: Buffer, token: Buffer, shown: string): SlotClaim | undefined {
  const [, size = "", until = "", signed = ""] = form.exec(shown) ?? [];
  const claim = { token, size: Number.parseInt(size, 36), until: Number.parseInt(until, 36) };
  if (
    signed === "" ||
    !timingSafeEqual(Buffer.from(signed, "base64url"), signature(key, token, claim.size, claim.until))
  )
    return undefined;
  return claim;
}

function signature(key: Buffer, token: Buffer, size: number, until: number): Buffer {
  return createHmac("sha256", key)
    .update(`slot ${token.toString("hex")} ${size} ${until}`)
    .digest()
    .subarray(0, 16);
}

/** What tells this server's answer from another's. */
export function proof(key: Buffer, question: string): string {
  return createHmac("sha256", key).update(`check ${question}`).digest("base64url");
}

/** A token as it stands in an address: 128 random bits. */
export const tokenText = (token: Uint8Array): string => Buffer.from(token).toString("base64url");

export function readToken(text: string): Buffer | undefined {
  if (!/^[A-Za-z0-9_-]{21}[AQgw]$/.test(text)) return undefined;
  return Buffer.from(text, "base64url");
}
