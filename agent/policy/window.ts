/** Maintenance windows: when changes that clients may notice go live. `0 2 * * 1-5 for 2h; 0 10 * * 6 for 4h`. docs/apply.md. */
import { createTask, parse, validate } from "node-cron";
import type { Impact } from "../../xmpp-core/control/contract.ts";
import { CodedError } from "../errors.ts";
import { duration } from "./duration.ts";

export interface Windows {
  /** What waits for a window. */
  readonly impacts: ReadonlySet<Impact>;
  /** As the person wrote them, with the zone. */
  readonly text: string;
  /** Cron expressions of the openings, to wake the loop by. */
  readonly openings: readonly string[];
  /** When the one that is open now closes (ms since the epoch); undefined if none is open. */
  openUntil(now: number): number | undefined;
  /** When the next one opens after now, within five years; undefined if never. */
  nextOpening(now: number): number | undefined;
}

const dayMs = 86_400_000;
const longestMs = 7 * dayMs;
const farthestDays = 5 * 366;

/** Why this is no list of windows, one clause; undefined if it is one. */
export function windowsFault(text: string): string | undefined {
  for (const one of text.split(";")) {
    const [, cron = "", length = ""] = /^\s*(\S+(?:\s+\S+){4})\s+for\s+(\S+)\s*$/.exec(one) ?? [];
    if (cron === "" || !validate(cron))
      return "a cron expression of five fields and a length, such as 0 2 * * * for 2h";
    const ms = duration(length);
    if (ms === undefined || ms < 60_000 || ms > longestMs)
      return "open for 1m to 7d each time, such as 0 2 * * * for 2h";
  }
  return undefined;
}

/**
 * Windows in a time zone. The length is time that passes, whatever the clocks do meanwhile; a time that the clocks skip
 * opens as late as it would have without the change, and a time that comes twice opens the first time.
 * Throws `environment/invalid`.
 */
export function openWindows(text: string, timeZone: string, impacts: ReadonlySet<Impact>): Windows {
  const fault = windowsFault(text);
  if (fault !== undefined) throw new CodedError("environment/invalid", `FIREKEEPER_WINDOW=${text}: must be ${fault}.`);
  const windows = text.split(";").map((one) => {
    const [cron = "", length = ""] = one.trim().split(/\s+for\s+/);
    return { cron, lengthMs: duration(length) ?? 0, openings: openings(cron, timeZone) };
  });
  return {
    impacts,
    text: `${text.trim()} (${timeZone})`,
    openings: windows.map((one) => one.cron),
    openUntil(now) {
      const ends = windows.flatMap(({ lengthMs, openings: at }) => {
        const opened = at(now - lengthMs, now).at(-1);
        return opened === undefined || opened + lengthMs <= now ? [] : [opened + lengthMs];
      });
      return ends.length === 0 ? undefined : Math.max(...ends);
    },
    nextOpening(now) {
      const next = windows.flatMap(({ openings: at }) => firstAfter(now, at) ?? []);
      return next.length === 0 ? undefined : Math.min(...next);
    },
  };
}

type Openings = (after: number, until: number) => number[];

function firstAfter(now: number, at: Openings): number | undefined {
  for (let day = 0; day < farthestDays; day++) {
    const [first] = at(now + day * dayMs, now + (day + 1) * dayMs);
    if (first !== undefined) return first;
  }
  return undefined;
}

/** Every opening later than `after` and not later than `until`, in order. */
function openings(cron: string, timeZone: string): Openings {
  const [minute = "", hour = "", ...days] = cron.split(/\s+/);
  const { minute: minutes, hour: hours } = parse(`${minute} ${hour} * * *`);
  // Whether a day counts is node-cron's to say (`L`, `MON#2` …); it is asked at noon, which no clock change touches.
  const dayOf = createTask(`0 12 ${days.join(" ")}`, () => {}, { timezone: timeZone });
  const counted = new Map<number, boolean>();
  const counts = (date: number) => {
    const known = counted.get(date);
    if (known !== undefined) return known;
    if (counted.size > 3000) counted.clear();
    const is = dayOf.match(new Date(instantOf(date, 12, 0, timeZone)));
    counted.set(date, is);
    return is;
  };
  return (after, until) => {
    const found: number[] = [];
    const first = midnight(after + offsetAt(after, timeZone)) - dayMs;
    for (let date = first; date <= until + 2 * dayMs; date += dayMs) {
      if (!counts(date)) continue;
      for (const h of hours)
        for (const m of minutes) {
          const at = instantOf(date, Number(h), Number(m), timeZone);
          if (at > after && at <= until) found.push(at);
        }
    }
    return [...new Set(found)].sort((a, b) => a - b);
  };
}

function midnight(ms: number): number {
  return Math.floor(ms / dayMs) * dayMs;
}

/** The moment of a wall clock's time on a date (its midnight as if in UTC). */
function instantOf(date: number, hour: number, minute: number, timeZone: string): number {
  const wall = date + hour * 3_600_000 + minute * 60_000;
  const before = offsetAt(wall - dayMs, timeZone);
  const after = offsetAt(wall + dayMs, timeZone);
  const real = [wall - before, wall - after].filter((at) => at + offsetAt(at, timeZone) === wall);
  return real.length === 0 ? wall - before : Math.min(...real);
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** How far the zone's clocks are ahead of UTC, ms. */
function offsetAt(at: number, timeZone: string): number {
  if (timeZone === "UTC") return 0;
  let format = formats.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      ...{ timeZone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric" },
      ...{ hour: "numeric", minute: "numeric", second: "numeric", era: "short" },
    });
    formats.set(timeZone, format);
  }
  const part = new Map(format.formatToParts(new Date(at)).map((one) => [one.type, one.value]));
  const read = (name: Intl.DateTimeFormatPartTypes) => Number(part.get(name));
  const wall = Date.UTC(read("year"), read("month") - 1, read("day"), read("hour"), read("minute"), read("second"));
  return wall - Math.floor(at / 1000) * 1000;
}
