/** Lengths of time and moments as people write them. */

const units = new Map([
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** `90s`, `5m`, `2h`, `1h30m`, `7d` in milliseconds; undefined if it is none. */
export function duration(text: string): number | undefined {
  if (!/^(\d{1,6}[smhd])+$/.test(text)) return undefined;
  return [...text.matchAll(/(\d+)([smhd])/g)].reduce(
    (sum, [, count, unit = ""]) => sum + Number(count) * (units.get(unit) ?? 0),
    0,
  );
}

/** The same for people: `1h 30m`, `45s`. */
export function durationText(ms: number): string {
  let left = Math.max(0, Math.ceil(ms / 1000)) * 1000;
  const said: string[] = [];
  for (const [unit, size] of [...units].reverse()) {
    const count = Math.floor(left / size);
    if (count > 0) said.push(`${count}${unit}`);
    left -= count * size;
  }
  return said.slice(0, 2).join(" ") || "0s";
}

/** ISO time, date and time without a zone (this machine's), or a length of time before (`back`) or after now; undefined if neither. */
export function moment(text: string, now: number, direction: "back" | "ahead"): number | undefined {
  const length = duration(text);
  if (length !== undefined) return direction === "back" ? now - length : now + length;
  if (!/^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text)) return undefined;
  const at = Date.parse(text.replace(" ", "T"));
  return Number.isNaN(at) ? undefined : at;
}

/** `2026-11-21T02:00Z`, or with seconds. */
export function shortTime(at: number, upTo: "m" | "s" = "m"): string {
  return `${new Date(at).toISOString().slice(0, upTo === "m" ? 16 : 19)}Z`;
}
