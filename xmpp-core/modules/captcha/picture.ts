/** Letters that a person reads and a simple program does not, as a PNG. */
import { deflateSync } from "node:zlib";

export const width = 216;
export const height = 72;

/** Five columns by seven rows, a row a number; what looks like another one is left out. */
const shapes: readonly (readonly [string, string])[] = [
  ["A", "0e11111f111111"],
  ["C", "0e11101010110e"],
  ["E", "1f10101e10101f"],
  ["F", "1f10101e101010"],
  ["H", "1111111f111111"],
  ["J", "0702020202120c"],
  ["K", "11121418141211"],
  ["L", "1010101010101f"],
  ["M", "111b1515111111"],
  ["N", "11111915131111"],
  ["P", "1e11111e101010"],
  ["R", "1e11111e141211"],
  ["T", "1f040404040404"],
  ["U", "1111111111110e"],
  ["W", "1111111515150a"],
  ["X", "11110a040a1111"],
  ["Y", "1111110a040404"],
  ["3", "1f02040201110e"],
  ["4", "02060a121f0202"],
  ["7", "1f010204080808"],
  ["9", "0e11110f01020c"],
];
const rows = new Map(shapes.map(([letter, hex]) => [letter, [...Buffer.from(hex, "hex")]]));

/** What pictures are made of. */
export const alphabet = shapes.map(([letter]) => letter).join("");

/** The same letters and the same seed give the same picture. */
export function picture(letters: string, seed: number): Buffer {
  const random = numbers(seed);
  const between = (least: number, most: number): number => least + random() * (most - least);
  const ink = new Float32Array(width * height);
  const wave = { x: between(2, 4), y: between(2, 4), long: between(28, 44), at: between(0, 6), across: between(0, 6) };
  const step = (width - 24) / letters.length;
  for (const [place, letter] of [...letters].entries()) {
    const turn = between(-0.32, 0.32);
    drawLetter(ink, rows.get(letter) ?? [], {
      ...{ x: 12 + step * (place + 0.5) + between(-3, 3), y: height / 2 + between(-6, 6), size: between(5, 6.3) },
      ...{ cos: Math.cos(turn), sin: Math.sin(turn), lean: between(-0.25, 0.25), wave },
    });
  }
  for (let line = 0; line < 3; line++) {
    const [from, to, bend] = [between(8, height - 8), between(8, height - 8), between(-26, 26)];
    for (let x = 0; x < width; x += 0.5) {
      const share = x / width;
      dot(ink, x, from + (to - from) * share + bend * Math.sin(share * Math.PI), 1.3);
    }
  }
  const pixels = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const grain = random() < 0.12 ? 70 : 0;
      const covered = Math.min(1, ink[y * width + x] ?? 0);
      // Few shades make a small file.
      pixels[y * (width + 1) + x + 1] = 16 * Math.round((240 - 190 * covered + (covered > 0.5 ? grain : -grain)) / 16);
    }
  return png(pixels);
}

interface Placed {
  readonly x: number;
  readonly y: number;
  /** Pixels that a column of the shape is wide. */
  readonly size: number;
  readonly cos: number;
  readonly sin: number;
  readonly lean: number;
  readonly wave: { x: number; y: number; long: number; at: number; across: number };
}

/** Looks for each pixel around the middle which part of the shape is there. */
function drawLetter(ink: Float32Array, shape: readonly number[], { size, wave, ...at }: Placed): void {
  const reach = Math.ceil(size * 4.6);
  for (let dy = -reach; dy <= reach; dy++)
    for (let dx = -reach; dx <= reach; dx++) {
      const [x, y] = [Math.round(at.x) + dx, Math.round(at.y) + dy];
      if (x < 0 || y < 0 || x >= width || y >= height) continue;
      const bentX = dx + wave.x * Math.sin(y / (wave.long / 4) + wave.at);
      const bentY = dy + wave.y * Math.sin(x / (wave.long / 4) + wave.across);
      const column = (bentX * at.cos + bentY * at.sin + at.lean * bentY) / size + 2;
      const row = (bentY * at.cos - bentX * at.sin) / size + 3;
      const covered = coverage(shape, column, row);
      const place = y * width + x;
      if (covered > 0.32) ink[place] = Math.max(ink[place] ?? 0, Math.min(1, (covered - 0.32) * 4));
    }
}

/** How much of the shape is at a point between its cells, 0 to 1. */
function coverage(shape: readonly number[], column: number, row: number): number {
  const [left, top] = [Math.floor(column), Math.floor(row)];
  const [right, down] = [column - left, row - top];
  const cell = (x: number, y: number): number => (x < 0 || x > 4 ? 0 : ((shape[y] ?? 0) >> (4 - x)) & 1);
  return (
    cell(left, top) * (1 - right) * (1 - down) +
    cell(left + 1, top) * right * (1 - down) +
    cell(left, top + 1) * (1 - right) * down +
    cell(left + 1, top + 1) * right * down
  );
}

function dot(ink: Float32Array, x: number, y: number, radius: number): void {
  for (let py = Math.floor(y - radius); py <= y + radius; py++)
    for (let px = Math.floor(x - radius); px <= x + radius; px++)
      if (px >= 0 && py >= 0 && px < width && py < height && Math.hypot(px - x, py - y) <= radius)
        ink[py * width + px] = Math.max(ink[py * width + px] ?? 0, 0.9);
}

/** Numbers from 0 to 1 that follow from a seed; they decide looks, not what the letters are. */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** Rows of grey pixels, each behind its filter byte. */
function png(pixels: Buffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(pixels, { level: 4 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  size.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, sum]);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

// zlib.crc32 is not in Node.js 20.
function crc32(data: Buffer): number {
  let value = 0xffffffff;
  for (const byte of data) value = (crcTable[(value ^ byte) & 255] ?? 0) ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
