import fc from "fast-check";
import { expect, test } from "vitest";
import { archiveIds, archiveTime } from "../../xmpp-core/storage/archive-id.ts";

test("ids tell their time and count within a millisecond", () => {
  const nextId = archiveIds({ now: () => 1_000 }, 0);
  expect([nextId(), nextId(), nextId()]).toEqual([1_024_000, 1_024_001, 1_024_002]);
  expect(archiveTime(1_024_002)).toBe(1_000);
});

test("ids start after the last one stored, even if the clock says less", () => {
  expect(archiveIds({ now: () => 5 }, 1_024_000)()).toBe(1_024_001);
});

test("ids rise strictly and stay safe integers whatever the clock does", () => {
  let backwards = 0;
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 7_000_000_000_000 }), { minLength: 2, maxLength: 200 }), (times) => {
      let at = 0;
      const nextId = archiveIds({ now: () => times[Math.min(at++, times.length - 1)] as number }, 0);
      let last = -1;
      times.forEach((time, index) => {
        if (time < (times[index - 1] ?? 0)) backwards++;
        const id = nextId();
        expect(id).toBeGreaterThan(last);
        expect(Number.isSafeInteger(id)).toBe(true);
        last = id;
      });
    }),
  );
  expect(backwards).toBeGreaterThan(100);
});
