/** Requests that another machine signs: `X-Firekeeper-Signature: t=<seconds>,v1=<hex>`, an HMAC over time and body. docs/stores/http.md. */
import { createHmac } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** While a secret is being changed a caller may sign with both. */
const mostSignatures = 4;

export interface Signature {
  /** As written, since it is signed. */
  readonly time: string;
  /** Seconds since the epoch. */
  readonly at: number;
  readonly signatures: readonly Buffer[];
}

/** `t=…,v1=…`; several `v1` while a secret is being changed, unknown schemes left aside. */
export function signatureOf(header: string | string[] | undefined): Signature | undefined {
  if (typeof header !== "string" || header.length > 1024) return undefined;
  let time: string | undefined;
  const signatures: Buffer[] = [];
  for (const field of header.split(",")) {
    const [, name, value = ""] = /^\s*([a-z0-9]+)=([0-9a-zA-Z]+)\s*$/.exec(field) ?? [];
    if (name === "t") {
      if (time !== undefined || !/^\d{1,12}$/.test(value)) return undefined;
      time = value;
    } else if (name === "v1") {
      if (!/^[0-9a-f]{64}$/i.test(value) || signatures.length === mostSignatures) return undefined;
      signatures.push(Buffer.from(value, "hex"));
    } else if (name === undefined) return undefined;
  }
  return time === undefined || signatures.length === 0 ? undefined : { time, at: Number(time), signatures };
}

/** HMAC-SHA-256 over the time as written, a dot and the body. */
export function signatureDigest(secret: string, time: string, body: Buffer | string): Buffer {
  return createHmac("sha256", secret).update(`${time}.`).update(body).digest();
}

/** Undefined: more than allowed. */
export async function bodyOf(request: IncomingMessage, mostBytes: number): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"]) > mostBytes) return undefined;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > mostBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
