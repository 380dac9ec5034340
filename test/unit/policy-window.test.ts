/** When a maintenance window is open, through changes of the clocks too. */
import { describe, expect, test } from "vitest";
import { duration, durationText, moment } from "../../agent/policy/duration.ts";
import { openWindows, windowsFault } from "../../agent/policy/window.ts";

const impacts = new Set(["restart"] as const);
const at = (text: string) => Date.parse(text);
const iso = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 16));
const look = (text: string, zone: string, now: string) => {
  const windows = openWindows(text, zone, impacts);
  return [iso(windows.openUntil(at(now))), iso(windows.nextOpening(at(now)))];
};

describe("windows", () => {
  test.each([
    ["a minute before", "2026-11-21T01:59:59Z", undefined, "2026-11-21T02:00"],
    ["the moment it opens", "2026-11-21T02:00:00Z", "2026-11-21T04:00", "2026-11-22T02:00"],
    ["the last moment", "2026-11-21T03:59:59Z", "2026-11-21T04:00", "2026-11-22T02:00"],
    ["the moment it closes", "2026-11-21T04:00:00Z", undefined, "2026-11-22T02:00"],
  ])("%s", (_, now, until, next) => {
    expect(look("0 2 * * * for 2h", "UTC", now)).toEqual([until, next]);
  });

  test("over midnight, on the day it opened", () => {
    expect(look("30 23 * * 5 for 3h", "UTC", "2026-11-21T01:00:00Z")).toEqual(["2026-11-21T02:30", "2026-11-27T23:30"]);
    expect(look("30 23 * * 5 for 3h", "UTC", "2026-11-22T01:00:00Z")).toEqual([undefined, "2026-11-27T23:30"]);
  });

  test("several: the one that is open longest, the one that opens next", () => {
    const both = "0 2 * * * for 2h; 0 3 * * 6 for 5h";
    expect(look(both, "UTC", "2026-11-21T03:30:00Z")).toEqual(["2026-11-21T08:00", "2026-11-22T02:00"]);
  });

  test("in a zone, before and after the clocks change", () => {
    expect(look("0 2 * * * for 1h", "Europe/Berlin", "2026-10-20T00:30:00Z")[0]).toBe("2026-10-20T01:00");
    expect(look("0 2 * * * for 1h", "Europe/Berlin", "2026-11-20T01:30:00Z")[0]).toBe("2026-11-20T02:00");
    expect(look("0 2 * * * for 1h", "Australia/Lord_Howe", "2026-01-09T14:00:00Z")[1]).toBe("2026-01-09T15:00");
  });

  test("a time that the clocks skip opens as late as without the change", () => {
    // Berlin, 29 March 2026: 02:00 CET is followed by 03:00 CEST.
    expect(look("30 2 * * * for 1h", "Europe/Berlin", "2026-03-29T00:00:00Z")).toEqual([undefined, "2026-03-29T01:30"]);
    expect(look("30 2 * * * for 1h", "Europe/Berlin", "2026-03-29T01:31:00Z")[0]).toBe("2026-03-29T02:30");
  });

  test("a time that comes twice opens the first time, for as long as was said", () => {
    // Berlin, 25 October 2026: 03:00 CEST is followed by 02:00 CET.
    expect(look("30 2 * * * for 1h", "Europe/Berlin", "2026-10-25T00:45:00Z")).toEqual([
      "2026-10-25T01:30",
      "2026-10-26T01:30",
    ]);
    expect(look("30 2 * * * for 1h", "Europe/Berlin", "2026-10-25T01:31:00Z")[0]).toBeUndefined();
  });

  test("a leap day is found", () => {
    expect(look("0 2 29 2 * for 1h", "UTC", "2026-11-21T00:00:00Z")[1]).toBe("2028-02-29T02:00");
  });

  test.each([
    "0 2 * * *",
    "0 2 * * for 2h",
    "0 2 30 2 * for 2h",
    "0 25 * * * for 2h",
    "0 2 * * * for 2",
    "0 2 * * * for 8d",
    "* * * * * * for 2h",
    "",
  ])("%s is refused", (text) => {
    expect(windowsFault(text)).toContain("such as 0 2 * * * for 2h");
  });
});

test("lengths and moments", () => {
  expect(["90s", "5m", "1h30m", "7d", "", "5", "m", "-5m", "5 m"].map(duration)).toEqual([
    ...[90_000, 300_000, 5_400_000, 604_800_000],
    ...Array(5).fill(undefined),
  ]);
  expect([5_400_000, 400, 0, 90_061_000].map(durationText)).toEqual(["1h 30m", "1s", "0s", "1d 1h"]);
  const now = at("2026-11-21T10:00:00Z");
  expect(moment("2h", now, "ahead")).toBe(at("2026-11-21T12:00:00Z"));
  expect(moment("2h", now, "back")).toBe(at("2026-11-21T08:00:00Z"));
  expect(moment("2026-11-22T08:00+01:00", now, "ahead")).toBe(at("2026-11-22T07:00:00Z"));
  expect(moment("tomorrow", now, "ahead")).toBeUndefined();
});
