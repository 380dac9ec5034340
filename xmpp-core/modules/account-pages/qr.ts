/** A QR code of a short text, as SVG. ISO/IEC 18004, byte mode, error correction level M. */
import { type Xml, x } from "../../xml/writer.ts";

/** By version from 1 on: bytes of error correction in a block, and blocks. */
const correction = [
  [10, 1],
  [16, 1],
  [26, 1],
  [18, 2],
  [24, 2],
  [16, 4],
  [18, 4],
  [22, 4],
  [22, 5],
  [26, 5],
  [30, 5],
  [22, 8],
  [22, 9],
  [24, 9],
  [24, 10],
] as const;
const quiet = 4;

/** Undefined: the text is longer than 400 bytes. */
export function qrCode(content: string, label: string): Xml | undefined {
  const dark = qrModules(content);
  if (dark === undefined) return undefined;
  const side = dark.length + 2 * quiet;
  const path = dark
    .flatMap((row, y) => row.map((on, column) => (on ? `M${column + quiet} ${y + quiet}h1v1h-1z` : "")))
    .join("");
  return x(
    "svg",
    { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": label },
    x("path", { d: `M0 0h${side}v${side}h-${side}z`, fill: "#fff" }),
    x("path", { d: path, fill: "#000" }),
  );
}

/** Rows of modules, true is dark. */
export function qrModules(content: string): boolean[][] | undefined {
  const bytes = Buffer.from(content);
  const version = correction.findIndex((_, at) => bytes.length + (at < 9 ? 2 : 3) <= dataBytes(at + 1)) + 1;
  if (version === 0) return undefined;
  const grid = drawFixed(version);
  const data = placed(grid, interleaved(version, frame(version, bytes)));
  let best: { modules: boolean[][]; penalty: number } | undefined;
  for (let mask = 0; mask < 8; mask++) {
    const modules = masked(grid, data, mask);
    drawFormat(modules, mask);
    const penalty = penaltyOf(modules);
    if (best === undefined || penalty < best.penalty) best = { modules, penalty };
  }
  return best?.modules;
}

const size = (version: number): number => 17 + 4 * version;

/** All bytes of a version, data and correction. */
function rawBytes(version: number): number {
  const places = alignments(version).length;
  const modules = (16 * version + 128) * version + 64;
  const alignment = version < 2 ? 0 : (25 * places - 10) * places - 55;
  return Math.floor((modules - alignment - (version < 7 ? 0 : 36)) / 8);
}

function dataBytes(version: number): number {
  const [each, blocks] = correction[version - 1] ?? [0, 0];
  return rawBytes(version) - each * blocks;
}

function alignments(version: number): number[] {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((size(version) - 13) / (2 * count - 2)) * 2;
  return Array.from({ length: count }, (_, at) => (at === 0 ? 6 : size(version) - 7 - step * (count - 1 - at)));
}

/** The data with its head and filling. */
function frame(version: number, bytes: Buffer): Buffer {
  const bits = [0, 1, 0, 0];
  const add = (value: number, length: number): void => {
    for (let bit = length - 1; bit >= 0; bit--) bits.push((value >> bit) & 1);
  };
  add(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) add(byte, 8);
  const all = dataBytes(version) * 8;
  add(0, Math.min(4, all - bits.length));
  while (bits.length % 8 !== 0) bits.push(0);
  for (let filling = 0xec; bits.length < all; filling ^= 0xec ^ 0x11) add(filling, 8);
  return Buffer.from(
    Array.from({ length: bits.length / 8 }, (_, at) => parseInt(bits.slice(at * 8, at * 8 + 8).join(""), 2)),
  );
}

/** Blocks of data and correction, byte by byte in turn. */
function interleaved(version: number, data: Buffer): Buffer {
  const [each, count] = correction[version - 1] ?? [0, 1];
  const short = Math.floor(rawBytes(version) / count) - each;
  const longer = rawBytes(version) % count;
  const generator = generatorOf(each);
  const blocks: { data: Buffer; check: number[] }[] = [];
  for (let at = 0, block = 0; block < count; block++) {
    const length = short + (block < count - longer ? 0 : 1);
    const part = data.subarray(at, at + length);
    blocks.push({ data: part, check: remainder(part, generator) });
    at += length;
  }
  const out: number[] = [];
  for (let at = 0; at <= short; at++) for (const block of blocks) out.push(...block.data.subarray(at, at + 1));
  for (let at = 0; at < each; at++) for (const block of blocks) out.push(block.check[at] ?? 0);
  return Buffer.from(out);
}

/** In the field of 256 elements over x^8 + x^4 + x^3 + x^2 + 1. */
function multiplied(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((b >> bit) & 1) * a;
  }
  return product;
}

function generatorOf(degree: number): number[] {
  const result: number[] = [...Array<number>(degree - 1).fill(0), 1];
  let root = 1;
  for (let at = 0; at < degree; at++) {
    for (let place = 0; place < degree; place++)
      result[place] = multiplied(result[place] ?? 0, root) ^ (result[place + 1] ?? 0);
    root = multiplied(root, 2);
  }
  return result;
}

function remainder(data: Buffer, generator: readonly number[]): number[] {
  const result: number[] = Array<number>(generator.length).fill(0);
  for (const byte of data) {
    const factor = byte ^ (result.shift() ?? 0);
    result.push(0);
    for (const [place, coefficient] of generator.entries())
      result[place] = (result[place] ?? 0) ^ multiplied(coefficient, factor);
  }
  return result;
}

/** Undefined: free for data. */
type Grid = (boolean | undefined)[][];

function drawFixed(version: number): Grid {
  const side = size(version);
  const grid: Grid = Array.from({ length: side }, () => Array<boolean | undefined>(side).fill(undefined));
  const put = (column: number, row: number, on: boolean): void => {
    const line = grid[row];
    if (line !== undefined && column >= 0 && column < side) line[column] = on;
  };
  for (let at = 0; at < side; at++) {
    put(6, at, at % 2 === 0);
    put(at, 6, at % 2 === 0);
  }
  for (const [column, row] of [
    [3, 3],
    [side - 4, 3],
    [3, side - 4],
  ] as const)
    for (let dy = -4; dy <= 4; dy++)
      for (let dx = -4; dx <= 4; dx++) {
        const away = Math.max(Math.abs(dx), Math.abs(dy));
        put(column + dx, row + dy, away !== 2 && away !== 4);
      }
  const places = alignments(version);
  const last = places.length - 1;
  for (const [i, row] of places.entries())
    for (const [j, column] of places.entries()) {
      if ((i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0)) continue;
      for (let dy = -2; dy <= 2; dy++)
        for (let dx = -2; dx <= 2; dx++) put(column + dx, row + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }
  if (version >= 7) {
    let rest = version;
    for (let bit = 0; bit < 12; bit++) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let at = 0; at < 18; at++) {
      const [far, near] = [side - 11 + (at % 3), Math.floor(at / 3)];
      put(far, near, ((bits >> at) & 1) === 1);
      put(near, far, ((bits >> at) & 1) === 1);
    }
  }
  reserveFormat(grid);
  return grid;
}

/** Where the format stands, twice; each place with the number of its bit. */
function formatPlaces(side: number): { column: number; row: number; bit: number }[] {
  return Array.from({ length: 15 }, (_, bit) => {
    const along = bit < 6 ? bit : bit < 8 ? bit + 1 : side - 15 + bit;
    const across = bit < 8 ? side - 1 - bit : bit === 8 ? 7 : 14 - bit;
    return [
      { column: 8, row: along, bit },
      { column: across, row: 8, bit },
    ];
  }).flat();
}

function reserveFormat(grid: Grid): void {
  for (const { column, row } of formatPlaces(grid.length)) {
    const line = grid[row];
    if (line !== undefined) line[column] = false;
  }
  const line = grid[grid.length - 8];
  if (line !== undefined) line[8] = true;
}

function drawFormat(modules: boolean[][], mask: number): void {
  // Level M is 00.
  let rest = mask;
  for (let bit = 0; bit < 10; bit++) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  for (const { column, row, bit } of formatPlaces(modules.length)) {
    const line = modules[row];
    if (line !== undefined) line[column] = ((bits >> bit) & 1) === 1;
  }
}

/** Free modules in the order in which data is written: two columns at a time, up and down. */
function* freePlaces(grid: Grid): Generator<[number, number]> {
  const side = grid.length;
  for (let right = side - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < side; step++)
      for (const column of [right, right - 1]) {
        const row = ((right + 1) & 2) === 0 ? side - 1 - step : step;
        if (grid[row]?.[column] === undefined) yield [column, row];
      }
  }
}

/** The bits of the data by the number of their module. */
function placed(grid: Grid, bytes: Buffer): ReadonlyMap<number, boolean> {
  const data = new Map<number, boolean>();
  let bit = 0;
  for (const [column, row] of freePlaces(grid)) {
    data.set(row * grid.length + column, (((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1);
    bit++;
  }
  return data;
}

const masks: readonly ((column: number, row: number) => boolean)[] = [
  (column, row) => (column + row) % 2 === 0,
  (_, row) => row % 2 === 0,
  (column) => column % 3 === 0,
  (column, row) => (column + row) % 3 === 0,
  (column, row) => (Math.floor(column / 3) + Math.floor(row / 2)) % 2 === 0,
  (column, row) => ((column * row) % 2) + ((column * row) % 3) === 0,
  (column, row) => (((column * row) % 2) + ((column * row) % 3)) % 2 === 0,
  (column, row) => (((column + row) % 2) + ((column * row) % 3)) % 2 === 0,
];

function masked(grid: Grid, data: ReadonlyMap<number, boolean>, mask: number): boolean[][] {
  const flips = (column: number, row: number): boolean => masks[mask]?.(column, row) === true;
  return grid.map((line, row) =>
    line.map((fixed, column) => fixed ?? (data.get(row * grid.length + column) === true) !== flips(column, row)),
  );
}

/** How hard it is to read: runs, blocks, what looks like a corner, and too much of one shade. */
function penaltyOf(modules: boolean[][]): number {
  const side = modules.length;
  const columns = modules.map((_, column) => modules.map((row) => row[column] === true));
  let penalty = 0;
  for (const line of [...modules, ...columns]) {
    const written = line.map((on) => (on ? "1" : "0")).join("");
    for (const [run] of written.matchAll(/0{5,}|1{5,}/g)) penalty += run.length - 2;
    for (let at = 0; at + 11 <= side; at++)
      if (["10111010000", "00001011101"].includes(written.slice(at, at + 11))) penalty += 40;
  }
  let dark = 0;
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const on = modules[row]?.[column] === true;
      if (on) dark++;
      const same = [modules[row]?.[column + 1], modules[row + 1]?.[column], modules[row + 1]?.[column + 1]];
      if (same.every((other) => other === on)) penalty += 3;
    }
  return penalty + 10 * Math.floor(Math.abs((dark * 20) / (side * side) - 10));
}
