/**
 * A stream under a passphrase: scrypt to a key, then chunks of 64 KiB, each sealed by AES-256-GCM with its number as
 * nonce and a mark on the last, so that nothing can be changed, reordered or cut unseen.
 */
import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";
import { Transform, type TransformCallback } from "node:stream";
import { CodedError } from "../errors.ts";

const magic = Buffer.from("FIREKEEPER-SEALED-1\n");
const saltBytes = 16;
const chunkBytes = 64 * 1024;
const tagBytes = 16;
const sealedBytes = chunkBytes + tagBytes;
/** 64 MiB and about a fifth of a second: a guess must cost something. */
const cost = { N: 2 ** 16, r: 8, p: 1, maxmem: 128 * 1024 * 1024 };

export const sealedPrefix: Buffer = magic;

function keyOf(passphrase: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) =>
    scrypt(passphrase.normalize("NFC"), salt, 32, cost, (error, key) => (error ? reject(error) : resolve(key))),
  );
}

function nonce(number: number, last: boolean): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUIntBE(number, 5, 6);
  bytes[11] = last ? 1 : 0;
  return bytes;
}

/** Gathers bytes to chunks of one size and hands each on; the last one, perhaps empty, is told so. */
abstract class Chunks extends Transform {
  readonly #size: number;
  #held: Buffer[] = [];
  #length = 0;
  #number = 0;

  constructor(size: number) {
    super();
    this.#size = size;
  }

  protected abstract chunk(bytes: Buffer, number: number, last: boolean): Buffer;

  override _transform(bytes: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#held.push(bytes);
    this.#length += bytes.length;
    try {
      // One more byte must be there: whether a chunk is the last is part of its seal.
      while (this.#length > this.#size) this.#hand(this.#size, false);
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  override _flush(done: TransformCallback): void {
    try {
      this.#hand(this.#length, true);
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  #hand(size: number, last: boolean): void {
    const all = this.#held.length === 1 ? (this.#held[0] as Buffer) : Buffer.concat(this.#held);
    this.#held = [all.subarray(size)];
    this.#length = all.length - size;
    this.push(this.chunk(all.subarray(0, size), this.#number++, last));
  }
}

class Sealing extends Chunks {
  readonly #key: Buffer;

  constructor(key: Buffer, salt: Buffer) {
    super(chunkBytes);
    this.#key = key;
    this.push(Buffer.concat([magic, salt]));
  }

  protected chunk(bytes: Buffer, number: number, last: boolean): Buffer {
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce(number, last));
    return Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
  }
}

class Unsealing extends Chunks {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    super(sealedBytes);
    this.#key = key;
  }

  protected chunk(bytes: Buffer, number: number, last: boolean): Buffer {
    if (bytes.length < tagBytes) throw unsealable(number);
    const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce(number, last));
    decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(0, bytes.length - tagBytes)), decipher.final()]);
    } catch {
      throw unsealable(number);
    }
  }
}

function unsealable(chunk: number): CodedError {
  return chunk === 0
    ? new CodedError(
        "backup/wrong-passphrase",
        "The passphrase does not open this backup, or its beginning is damaged.",
        {
          hint: "Give the file with the passphrase it was written with: --passphrase-file.",
        },
      )
    : new CodedError("backup/damaged", "The backup was changed or cut.", {
        hint: "Take another copy of it.",
        fields: { chunk },
      });
}

/** Seals what flows through. */
export async function seal(passphrase: string): Promise<Transform> {
  const salt = randomBytes(saltBytes);
  return new Sealing(await keyOf(passphrase, salt), salt);
}

/** Opens what flows through; `salt` are the bytes behind the prefix, which are not part of the flow. */
export async function unseal(passphrase: string, salt: Buffer): Promise<Transform> {
  return new Unsealing(await keyOf(passphrase, salt));
}

export const saltLength = saltBytes;
