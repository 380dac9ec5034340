import { expect, test } from "vitest";
import { skeleton } from "../../xmpp-core/jid/skeleton.ts";

// Unicode TS 39: pairs of its own examples, and what people try.
test.each([
  ["b0b", "bob"],
  ["a1ice", "alice"],
  ["rnax", "max"],
  ["\u0440\u0430\u0443\u0440\u0430l", "paypal"],
  ["\u03bflsen", "olsen"],
  ["\u0131van", "ivan"],
  ["o\u0308lsen", "\u00f6lsen"],
  ["scop\u0435", "\u0455\u0441\u043e\u0440\u0435"],
])("%s looks like %s", (one, other) => {
  expect(skeleton(one)).toBe(skeleton(other));
});

test.each([
  ["anna", "hanna"],
  ["olsen", "\u00f6lsen"],
  ["bob", "bob2"],
  ["jan", "jana"],
  ["", "a"],
])("%s does not look like %s", (one, other) => {
  expect(skeleton(one)).not.toBe(skeleton(other));
});

test("what looks like something looks like itself", () => {
  for (const name of [
    "paypal",
    "\u0440\u0430\u0443",
    "m\u00fcller",
    "\u0645\u062d\u0645\u062f",
    "\u5c71\u7530",
    "\u{1d7d8}",
  ])
    expect(skeleton(skeleton(name))).toBe(skeleton(name));
});
