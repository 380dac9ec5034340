import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { promisify } from "node:util";

const derive = promisify(pbkdf2);

/** The channel bindings of XEP-0440 that the test client can compute. */
export type ChannelBinding = "tls-exporter" | "tls-server-end-point";

/** Strongest first: what the client picks from when the test names no mechanism. */
export const scramMechanisms = [
  "SCRAM-SHA-512-PLUS",
  "SCRAM-SHA-256-PLUS",
  "SCRAM-SHA-1-PLUS",
  "SCRAM-SHA-512",
  "SCRAM-SHA-256",
  "SCRAM-SHA-1",
] as const;

const saltedPasswords = new Map<string, Promise<Buffer>>();

/** A running SCRAM exchange (RFC 5802, RFC 7677). */
export type Scram = {
  readonly first: string;
  /** Answers the server's challenge. Throws if its nonce does not extend ours. */
  final(challenge: string): Promise<string>;
  /** Throws unless `v=` proves that the server knows the keys too. */
  verify(outcome: string): void;
};

/**
 * Starts SCRAM. `binding` is the data of a -PLUS mechanism; without it the client says "n" (no channel binding).
 * `header` replaces the GS2 header that follows from it, for clients that lie.
 */
export function scram(options: {
  mechanism: string;
  user: string;
  password: string;
  binding?: { type: string; data: Buffer } | undefined;
  header?: string;
}): Scram {
  const hash = options.mechanism
    .replace(/^SCRAM-/, "")
    .replace(/-PLUS$/, "")
    .replace("SHA-", "sha");
  const header = options.header ?? (options.binding === undefined ? "n,," : `p=${options.binding.type},,`);
  const nonce = randomBytes(18).toString("base64");
  const bare = `n=${options.user.replaceAll("=", "=3D").replaceAll(",", "=2C")},r=${nonce}`;
  let expected: Buffer = Buffer.alloc(0);
  return {
    first: header + bare,
    async final(challenge) {
      const fields = new Map(challenge.split(",").map((field) => [field.slice(0, 1), field.slice(2)]));
      const serverNonce = fields.get("r") ?? "";
      if (!serverNonce.startsWith(nonce) || serverNonce.length <= nonce.length) throw new Error("SCRAM: foreign nonce");
      const salted = await saltedPassword(hash, options.password, fields.get("s") ?? "", Number(fields.get("i")));
      const channel = Buffer.concat([Buffer.from(header), options.binding?.data ?? Buffer.alloc(0)]).toString("base64");
      const withoutProof = `c=${channel},r=${serverNonce}`;
      const signed = `${bare},${challenge},${withoutProof}`;
      const clientKey = hmac(hash, salted, "Client Key");
      const storedKey = createHash(hash).update(clientKey).digest();
      const signature = hmac(hash, storedKey, signed);
      const proof = clientKey.map((byte, at) => byte ^ (signature[at] ?? 0));
      expected = hmac(hash, hmac(hash, salted, "Server Key"), signed);
      return `${withoutProof},p=${Buffer.from(proof).toString("base64")}`;
    },
    verify(outcome) {
      const signature = Buffer.from(/(?:^|,)v=([^,]+)/.exec(outcome)?.[1] ?? "", "base64");
      if (signature.length !== expected.length || !timingSafeEqual(signature, expected))
        throw new Error("SCRAM: the server's signature is wrong");
    },
  };
}

/** The bytes both ends of a TLS connection agree on (RFC 9266, RFC 5929 §4). */
export function channelBinding(socket: TLSSocket, certificate: Buffer | undefined, type: ChannelBinding): Buffer {
  if (type === "tls-exporter") return socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
  if (certificate === undefined) throw new Error("no server certificate to bind to");
  return createHash(certificateHash(certificate)).update(certificate).digest();
}

/** The hash of the certificate's own signature, SHA-256 where that is MD5 or SHA-1. */
function certificateHash(der: Buffer): string {
  const has = (oid: string): boolean => der.includes(Buffer.from(oid, "hex"));
  if (has("2a8648ce3d040303") || has("2a864886f70d01010c")) return "sha384";
  if (has("2a8648ce3d040304") || has("2a864886f70d01010d")) return "sha512";
  return "sha256";
}

// Hundreds of logins with one password: the derivation would cost more than the test itself.
function saltedPassword(hash: string, password: string, salt: string, iterations: number): Promise<Buffer> {
  const key = JSON.stringify([hash, password, salt, iterations]);
  const size = createHash(hash).digest().length;
  const known = saltedPasswords.get(key) ?? derive(password, Buffer.from(salt, "base64"), iterations, size, hash);
  saltedPasswords.set(key, known);
  return known;
}

function hmac(hash: string, key: Buffer, data: string): Buffer {
  return createHmac(hash, key).update(data).digest();
}
