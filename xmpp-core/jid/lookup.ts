import { runs } from "./tables.ts";

const decoded = runs.split(" ").map((run) => run.split(".").map((part) => Number.parseInt(part, 36)));
const starts = new Uint32Array(decoded.length);
const values = new Uint16Array(decoded.length);
let point = 0;
for (const [index, [length = 0, value = 0]] of decoded.entries()) {
  starts[index] = point;
  values[index] = value;
  point += length;
}

/** The packed properties of a code point; see code-points.ts for how to take them apart. */
export function lookup(codePoint: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] as number) <= codePoint) low = middle;
    else high = middle - 1;
  }
  return values[low] as number;
}
