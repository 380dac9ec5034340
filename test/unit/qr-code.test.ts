/** QR codes, read back by the other half of ISO/IEC 18004: mask off, blocks apart, bytes out, and each block whole. */
import { expect, test } from "vitest";
import { qrCode, qrModules } from "../../xmpp-core/modules/account-pages/qr.ts";

/** By version: bytes of correction in a block, and the lengths of the blocks' data. Table 9, level M. */
const blocks: Readonly<Record<number, readonly [number, readonly number[]]>> = {
  1: [10, [16]],
  3: [26, [44]],
  5: [24, [43, 43]],
  8: [22, [38, 38, 39, 39]],
};
const alignment: Readonly<Record<number, readonly number[]>> = { 1: [], 3: [6, 22], 5: [6, 30], 8: [6, 24, 42] };

/** Whether a module belongs to patterns, format or version. */
function isFixed(version: number, side: number, x: number, y: number): boolean {
  if (x === 6 || y === 6) return true;
  if ((x < 9 && y < 9) || (x < 9 && y >= side - 8) || (x >= side - 8 && y < 9)) return true;
  if (version >= 7 && ((x < 6 && y >= side - 11) || (y < 6 && x >= side - 11))) return true;
  const places = alignment[version] ?? [];
  return places.some((px) =>
    places.some((py) => {
      const corner = (px === 6 && (py === 6 || py === side - 7)) || (py === 6 && px === side - 7);
      return !corner && Math.abs(px - x) <= 2 && Math.abs(py - y) <= 2;
    }),
  );
}

const masks: readonly ((x: number, y: number) => number)[] = [
  (x, y) => (x + y) % 2,
  (_, y) => y % 2,
  (x) => x % 3,
  (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2,
  (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

const times = (a: number, b: number): number => {
  let [product, factor] = [0, a];
  for (let bit = 0; bit < 8; bit++) {
    if ((b >> bit) & 1) product ^= factor;
    factor = (factor << 1) ^ (factor & 0x80 ? 0x11d : 0);
  }
  return product;
};

/** Reed-Solomon: a whole block has every root of its generator. */
function isWhole(block: readonly number[], correction: number): boolean {
  let root = 1;
  for (let at = 0; at < correction; at++) {
    if (block.reduce((sum, byte) => times(sum, root) ^ byte, 0) !== 0) return false;
    root = times(root, 2);
  }
  return true;
}

function readBack(modules: boolean[][]): string {
  const side = modules.length;
  const version = (side - 17) / 4;
  const [correction, lengths] = blocks[version] ?? [0, []];
  const format = [0, 1, 2, 3, 4]
    .map((x) => (modules[8]?.[x] ? 1 : 0))
    .map((bit, at) => bit ^ ((0b10101 >> (4 - at)) & 1));
  expect(format.slice(0, 2)).toEqual([0, 0]);
  const mask = masks[Number.parseInt(format.slice(2).join(""), 2)];
  const bits: number[] = [];
  for (let right = side - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right--;
    for (let step = 0; step < side; step++)
      for (const x of [right, right - 1]) {
        const y = up ? side - 1 - step : step;
        if (!isFixed(version, side, x, y)) bits.push((modules[y]?.[x] ? 1 : 0) ^ (mask?.(x, y) === 0 ? 1 : 0));
      }
  }
  const bytes = Array.from({ length: bits.length >> 3 }, (_, at) =>
    Number.parseInt(bits.slice(at * 8, at * 8 + 8).join(""), 2),
  );
  const apart: number[][] = lengths.map(() => []);
  let next = 0;
  for (let at = 0; at < Math.max(...lengths); at++)
    for (const [block, length] of lengths.entries()) if (at < length) apart[block]?.push(bytes[next++] ?? 0);
  const data = apart.flat();
  for (let at = 0; at < correction; at++) for (const block of apart) block.push(bytes[next++] ?? 0);
  for (const block of apart) expect(isWhole(block, correction)).toBe(true);
  const stream = data.map((byte) => byte.toString(2).padStart(8, "0")).join("");
  expect(stream.slice(0, 4)).toBe("0100");
  const count = Number.parseInt(stream.slice(4, 12), 2);
  const text = Array.from({ length: count }, (_, at) => Number.parseInt(stream.slice(12 + at * 8, 20 + at * 8), 2));
  return Buffer.from(text).toString();
}

test.each([
  ["xmpp:a@b.de"],
  ["https://chat.example.org/invite/abcdef"],
  ["https://chat.example.org:7443/invite/AAAAAAAAAAAAAAAAAAAAAA?lang=de&x=\u00fc"],
  [`https://chat.example.org/${"x".repeat(120)}`],
])("%s is read back as it was written", (content) => {
  const modules = qrModules(content);
  if (modules === undefined) throw new Error("no code");
  expect(Object.keys(blocks)).toContain(String((modules.length - 17) / 4));
  expect(readBack(modules)).toBe(content);
});

test("what is too long gives none; the picture has a name and a light margin", () => {
  expect(qrCode("x".repeat(500), "too long")).toBeUndefined();
  const svg = qrCode("xmpp:a@b.de", 'a "name"') ?? "";
  expect(svg).toContain('viewBox="0 0 29 29"');
  expect(svg).toContain('aria-label="a &quot;name&quot;"');
});
