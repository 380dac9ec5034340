import type { SqlValue } from "./driver.ts";

/**
 * The values of many statements on their way between threads: one flat list and one block of bytes, because structured
 * clone pays per object and most of all per buffer. A blob is `true` and its length in the list, its bytes in the block.
 */
export interface Packed {
  readonly values: PackedValue[];
  readonly bytes: Uint8Array | undefined;
}
export type PackedValue = Exclude<SqlValue, Uint8Array> | true;

export interface Packer {
  readonly values: PackedValue[];
  block: Buffer | undefined;
  used: number;
}

const firstBlock = 16 * 1024;

/** `block` may be that of a packer whose values have been taken by `packed`. */
export function packer(block?: Buffer): Packer {
  return { values: [], block, used: 0 };
}

/** Adds one value and returns about how many bytes it will occupy on its way. A blob is copied here and now. */
export function pack(into: Packer, value: SqlValue): number {
  if (typeof value === "string") {
    into.values.push(value);
    return value.length;
  }
  if (typeof value === "number" || value === null || typeof value === "bigint") {
    into.values.push(value);
    return 8;
  }
  if (!(value instanceof Uint8Array)) throw new TypeError(`SQLite takes no ${typeof value}`);
  const length = value.byteLength;
  into.values.push(true, length);
  const end = into.used + length;
  if (into.block === undefined || into.block.length < end) {
    const grown = Buffer.allocUnsafeSlow(Math.max(firstBlock, 2 * (into.block?.length ?? 0), end));
    if (into.block !== undefined) into.block.copy(grown, 0, 0, into.used);
    into.block = grown;
  }
  into.block.set(value, into.used);
  into.used = end;
  return length;
}

/** What has been packed, ready to post. The packer is spent, its block is free for another. */
export function packed(from: Packer): Packed {
  // Structured clone of a view copies all of the buffer behind it: post exactly the bytes in use.
  const bytes =
    from.block === undefined || from.used === 0 ? undefined : new Uint8Array(from.block.buffer.slice(0, from.used));
  return { values: from.values, bytes };
}

/** Reads packed values in the order in which they were packed. */
export interface Unpacker {
  readonly packed: Packed;
  at: number;
  byte: number;
}

export function unpacker(from: Packed): Unpacker {
  return { packed: from, at: 0, byte: 0 };
}

const noBytes = new Uint8Array(0);

/** The next value. A blob is a view on the block that arrived, not a copy. */
export function unpack(from: Unpacker): SqlValue {
  const value = from.packed.values[from.at++];
  if (value === undefined) throw new RangeError("packed values are exhausted");
  if (value !== true) return value;
  const end = from.byte + (from.packed.values[from.at++] as number);
  const blob = (from.packed.bytes ?? noBytes).subarray(from.byte, end);
  from.byte = end;
  return blob;
}

const mostParams = 256;

/** A statement's number and how many values follow it, as one small integer. */
export function packHead(into: Packer, statementId: number, count: number): void {
  if (count >= mostParams) throw new RangeError(`a statement takes fewer than ${mostParams} values, not ${count}`);
  into.values.push(statementId * mostParams + count);
}

export function headStatement(head: number): number {
  return Math.floor(head / mostParams);
}

export function headCount(head: number): number {
  return head % mostParams;
}
