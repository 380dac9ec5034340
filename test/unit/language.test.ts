import { expect, test } from "vitest";
import { languageNames, languageOf, languages } from "../../xmpp-core/formats/language.ts";

test.each([
  [undefined, "en"],
  ["", "en"],
  ["fr", "fr"],
  ["de-AT,de;q=0.9,en;q=0.8", "de"],
  ["fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"],
  ["en;q=0.3, de;q=0.7", "de"],
  ["DE", "de"],
  // Of two that are wanted alike, the first.
  ["fr, de", "fr"],
  ["ja, zh-Hans-CN;q=0.9", "en"],
  ["ja, fr;q=0.1", "fr"],
  // 0 is: not that one.
  ["fr;q=0, de;q=0.001", "de"],
  ["fr;q=0", "en"],
  ["*", "en"],
  ["de;q=0.5, *;q=0.8", "en"],
  ["de, *;q=0.8", "de"],
  ["fr ; q=0.5 , de ; Q=0.6", "de"],
  // A tag that only begins like one of ours is another language.
  ["den, frr;q=0.9, fr;q=0.1", "fr"],
  ["fr;q=high, de;q=2, ;q=1, -fr", "en"],
  [`${"x".repeat(600)}, fr`, "en"],
])("a browser that sends %j reads %s", (accepted, language) => {
  expect(languageOf(null, accepted)).toBe(language);
});

test("what a person chose goes before what the browser says; what nobody offers is no choice", () => {
  expect(languageOf("de", "fr")).toBe("de");
  for (const asked of ["", "ja", "DE", "de-AT", "__proto__"]) expect(languageOf(asked, "fr")).toBe("fr");
  expect(Object.keys(languageNames)).toEqual([...languages]);
});

test("a header made to be slow is read at once", () => {
  for (const one of [" ", "a-", "a;", "q=", "*;"]) expect(languageOf(null, one.repeat(100_000))).toBe("en");
});
