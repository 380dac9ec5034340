import fc from "fast-check";
import { toASCII } from "tr46";
import { expect, test } from "vitest";
import {
  bare,
  explainJid,
  formatJid,
  jid,
  parseJid,
  prepareDomain,
  prepareLocal,
  prepareResource,
  sameBare,
} from "../../xmpp-core/jid/jid.ts";
import { unicodeVersion } from "../../xmpp-core/jid/tables.ts";

const shown = (text: string) => {
  const address = parseJid(text);
  expect(explainJid(text) === undefined).toBe(address !== undefined);
  return address && formatJid(address);
};

// RFC 7622 §3.5, table 1; the capital sigma is mapped, all others stay as they are.
test.each([
  ["juliet@example.com"],
  ["juliet@example.com/foo"],
  ["juliet@example.com/foo bar"],
  ["juliet@example.com/foo@bar"],
  ["foo\\20bar@example.com"],
  ["fussball@example.com"],
  ["fu\u00dfball@example.com"],
  ["\u03c0@example.com"],
  ["\u03a3@example.com/foo", "\u03c3@example.com/foo"],
  ["\u03c3@example.com/foo"],
  ["\u03c2@example.com/foo"],
  ["king@example.com/\u265a"],
  ["example.com"],
  ["example.com/foobar"],
  ["a.example.com/b@example.net"],
])("RFC 7622 §3.5: %j is valid", (text, prepared = text) => expect(shown(text)).toBe(prepared));

// Table 2. Its leading space in a resource is missing here: the OpaqueString profile that §3.4 names allows it.
test.each([
  '"juliet"@example.com',
  "foo bar@example.com",
  "@example.com/",
  "henry\u2163@example.com",
  "\u265a@example.com",
  "juliet@",
  "/foobar",
])("RFC 7622 §3.5: %j is not valid", (text) => expect(shown(text)).toBeUndefined());

test.each([
  ["Alice@Example.ORG./Home", "alice@example.org/Home"],
  ["\uff21\uff22@example.org", "ab@example.org"],
  ["e\u0301@example.org", "\u00e9@example.org"],
  ["a@example.org/e\u0301\u00a0\u3000x", "a@example.org/\u00e9  x"],
  ["\u00c5ngstr\u00f6m@example.org", "\u00e5ngstr\u00f6m@example.org"],
  ["\u0391\u03a3@example.org", "\u03b1\u03c3@example.org"],
  ["a@K\u00d6NIG.example", "a@k\u00f6nig.example"],
  ["a@xn--knig-5qa.example", "a@k\u00f6nig.example"],
  ["a@XN--KNIG-5QA.example", "a@k\u00f6nig.example"],
  ["a@fa\u00df.example", "a@fa\u00df.example"],
  ["a@b\u3002example\uff0ecom", "a@b.example.com"],
  ["a@localhost", "a@localhost"],
  ["a@192.0.2.1", "a@192.0.2.1"],
  ["a@[2001:DB8:0:0::1]/x", "a@[2001:db8::1]/x"],
  ["a@b/c/d@e", "a@b/c/d@e"],
  ["\u05d0\u05d1@\u05d0.example", "\u05d0\u05d1@\u05d0.example"],
  ["l\u00b7l@b", "l\u00b7l@b"],
  ["\u0915\u094d\u200d\u0937@b", "\u0915\u094d\u200d\u0937@b"],
  ["\u0628\u200c\u0628@b", "\u0628\u200c\u0628@b"],
  ["\u30a2\u30fb\u30a2@b", "\u30a2\u30fb\u30a2@b"],
  ["\u05d0\u05f3@b", "\u05d0\u05f3@b"],
  ["\u0375\u03b1@b", "\u0375\u03b1@b"],
  ["\u0628\u0661\u0662@b", "\u0628\u0661\u0662@b"],
  ["__proto__@b/constructor", "__proto__@b/constructor"],
])("%j is %j", (text, prepared) => {
  expect(shown(text)).toBe(prepared);
  expect(shown(prepared), "preparing again changes nothing").toBe(prepared);
});

test.each([
  ["", "nothing"],
  ["a@b/", "an empty resource"],
  ["a@b@c", "an at sign in the domain"],
  ["a&b@c", "an ampersand"],
  ["a:b@c", "a colon"],
  ["a<b@c", "a less-than sign"],
  ["a@b_c", "an underscore in the domain"],
  ["a@-b", "a hyphen in front"],
  ["a@b-.c", "a hyphen at the end"],
  ["a@ab--cd", "two hyphens in the reserved place"],
  ["a@b..c", "an empty label"],
  ["a@.", "only a dot"],
  [`a@${"b".repeat(64)}`, "a label of 64 bytes"],
  [`a@${`${"b".repeat(60)}.`.repeat(5)}c`, "a domain of more than 253 bytes"],
  ["a@xn--a", "an A-label that decodes to nothing"],
  ["a@xn--abc-", "an A-label that hides ASCII"],
  ["a@xn--i-n3p", "an A-label of a symbol"],
  ["a@i\u2665", "a symbol in the domain"],
  ["a@b\u200bc", "a zero width space, which the platform drops"],
  ["a@b\u00adc", "a soft hyphen, which the platform drops"],
  ["a@\u0300b", "a mark in front of a label"],
  ["a@1\u05d0.example", "a label that mixes directions"],
  ["a@\u05d0.1b", "a label that must not stand beside one from right to left"],
  ["\u05d01a@b", "a localpart that mixes directions"],
  ["a\u05d0@b", "a localpart that mixes directions the other way"],
  ["\u0628\u06f1\u0661@b", "two kinds of Arabic digits"],
  ["\u05d01\u0661@b", "European and Arabic digits in one word"],
  ["a\u00b7l@b", "a middle dot between other letters"],
  ["a\u200cb@c", "a joiner between letters that do not join"],
  ["a\u200db@c", "the other joiner"],
  ["a\u0375@b", "a Greek sign before no Greek letter"],
  ["a\u05f3@b", "a Hebrew sign behind no Hebrew letter"],
  ["a\u30fbb@c", "a Katakana dot among other letters"],
  ["a\u0000@b", "a control character"],
  ["a@b/c\u0007", "a control character in the resource"],
  ["a@b/\u{1f468}\u200d\u{1f469}", "a joiner between pictures"],
  ["a@b/\ufffe", "a noncharacter"],
  ["a@b/\ud800", "half a character"],
  ["\ud800@b", "half a character in the localpart"],
  ["a@\ud800", "half a character in the domain"],
  ["a@b/\u1100", "old Hangul"],
  ["a@b/\u{e0041}", "a tag character"],
  ["a\u0378@b", "an unassigned code point"],
  ["a@[::1", "an open bracket"],
  ["a@[fe80::1%25eth0]", "a zone"],
  ["a@[192.0.2.1]", "IPv4 in brackets"],
  [`${"a".repeat(1024)}@b`, "a long localpart"],
  [`a@b/${"c".repeat(1024)}`, "a long resource"],
  [`a@b/${"\u00e9".repeat(512)}`, "a resource that is long in bytes"],
  [`${"\u00e9".repeat(512)}@b`, "a localpart that is long in bytes"],
  ["a".repeat(10_000), "a very long text"],
])("%j is not valid: %s", (text) => {
  expect(shown(text)).toBeUndefined();
  expect(explainJid(text)).toMatch(/^(the|a|in the) .{10,}|^it /);
});

test("parts at their limits", () => {
  expect(shown(`${"a".repeat(1023)}@b/${"c".repeat(1023)}`)).toBeDefined();
  expect(shown(`a@${"b".repeat(63)}`)).toBeDefined();
  expect(shown(`a@${`${"b".repeat(49)}.`.repeat(5)}com`)).toBeDefined();
});

test("explanations name the part and the character", () => {
  expect(explainJid("bob smith@dom")).toBe("in the part in front of the @, the character U+0020 is not allowed there");
  expect(explainJid("bob'@dom")).toBe("the part in front of the @ may not hold '");
  expect(explainJid("bob@do\u200bm")).toBe("in the domain, the character U+200B is not allowed there");
  expect(explainJid("bob@")).toBe("the domain is missing");
  expect(explainJid("bob@dom")).toBeUndefined();
});

test("addresses are frozen values that can be taken apart and compared", () => {
  const full = parseJid("Alice@example.org/Phone");
  if (full === undefined) throw new Error("not parsed");
  expect(full).toEqual({ local: "alice", domain: "example.org", resource: "Phone" });
  expect(Object.isFrozen(full) && Object.isFrozen(bare(full))).toBe(true);
  expect(formatJid(bare(full))).toBe("alice@example.org");
  const account = bare(full);
  expect(bare(account)).toBe(account);
  expect(jid("ALICE", "Example.org", "Phone")).toEqual(full);
  expect(jid("", "example.org")).toEqual({ local: "", domain: "example.org", resource: "" });
  expect(jid("a b", "example.org")).toBeUndefined();
  expect(jid("a", "b_c")).toBeUndefined();
  expect(jid("a", "b", "\u0000")).toBeUndefined();
  expect(sameBare(full, bare(full))).toBe(true);
  for (const other of ["bob@example.org", "alice@example.com", "example.org"])
    expect(sameBare(full, parseJid(other) ?? full)).toBe(false);
});

test("what was parsed before is answered from the cache, and the cache forgets", () => {
  const first = parseJid("cached@example.org/a");
  expect(parseJid("cached@example.org/a")).toBe(first);
  for (let other = 0; other < 10_000; other++) parseJid(`other${other}@example.org`);
  const again = parseJid("cached@example.org/a");
  expect(again).toEqual(first);
  expect(again).not.toBe(first);
});

const interesting = fc.constantFrom(
  ..."aAzZ09-._@/ßäÄéÉıİſςΣσжЖאבאبپ٠١۱۲कष्\u200d\u200c\u0300\u094d\u00b7lカ・漢ＡＢａ。．\u3000\u00a0ﬀⅣ♚🔥ǅ\u1e9e\u0345",
);
const words = fc.array(interesting, { minLength: 1, maxLength: 6 }).map((letters) => letters.join(""));

test("preparing is idempotent, and what a client sees is what it may send", () => {
  let changed = 0;
  fc.assert(
    fc.property(words, (text) => {
      for (const prepare of [prepareLocal, prepareDomain, prepareResource]) {
        const once = prepare(text);
        if (once === undefined) continue;
        if (once !== text) changed++;
        expect(prepare(once), text).toBe(once);
      }
    }),
    { numRuns: 5_000, seed: 7_622 },
  );
  expect(changed).toBeGreaterThan(500);
});

test("every single code point: prepared forms are stable", () => {
  for (let point = 0; point < 0x30000; point++) {
    if (point >= 0xd800 && point <= 0xdfff) continue;
    const text = String.fromCodePoint(point);
    const local = prepareLocal(text);
    if (local !== undefined && prepareLocal(local) !== local) throw new Error(`localpart U+${point.toString(16)}`);
    const resource = prepareResource(text);
    if (resource !== undefined && prepareResource(resource) !== resource)
      throw new Error(`resource U+${point.toString(16)}`);
  }
});

test("domains: what tr46 refuses in strict mode we refuse, and both give the same ASCII", () => {
  const options = {
    checkBidi: true,
    checkHyphens: true,
    checkJoiners: true,
    useSTD3ASCIIRules: true,
    verifyDNSLength: true,
  };
  let valid = 0;
  let refused = 0;
  fc.assert(
    fc.property(fc.array(words, { minLength: 1, maxLength: 3 }), (labels) => {
      const name = labels.map((label) => label.replaceAll(/[@/]/g, "")).join(".");
      const ours = prepareDomain(name);
      const theirs = toASCII(name.endsWith(".") ? name.slice(0, -1) : name, options);
      if (ours === undefined) {
        refused++;
        return;
      }
      expect(theirs, name).not.toBeNull();
      expect(toASCII(ours, options), name).toBe(theirs);
      valid++;
    }),
    { numRuns: 5_000, seed: 5_891 },
  );
  expect(valid).toBeGreaterThan(300);
  expect(refused).toBeGreaterThan(300);
});

test("domains: plain names are never refused", () => {
  const label = fc.stringMatching(/^[a-z0-9]([a-z0-9]{0,10}[a-z0-9])?$/);
  fc.assert(
    fc.property(fc.array(label, { minLength: 1, maxLength: 4 }), (labels) => {
      expect(prepareDomain(labels.join("."))).toBe(labels.join("."));
    }),
  );
});

test("the tables are those of the pinned Unicode data", () => expect(unicodeVersion).toBe("17.0.0"));
