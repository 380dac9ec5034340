import { createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  credentialsMatch,
  deriveCredentials,
  generatePassword,
  inOrder,
  isKeysText,
  wantedIterations,
} from "../../agent/credentials.ts";
import { CodedError } from "../../agent/errors.ts";
import { parseCredentials } from "../../xmpp-core/auth/keys.ts";

describe("SCRAM keys", () => {
  /** The conversations of RFC 5802 §5 and RFC 7677 §3, and the server signatures that stand there. */
  test.each([
    {
      hash: "sha1",
      said: "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
      salt: "QSXCR+Q6sek8bf92",
      signature: "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    },
    {
      hash: "sha256",
      said: "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
      salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
      signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    },
  ] as const)("sign as the RFC's server does, $hash", async ({ hash, said, salt, signature }) => {
    const text = await deriveCredentials("pencil", { random: () => Buffer.from(salt, "base64") });
    const serverKey = Buffer.from(text[hash].split(":")[2] ?? "", "base64");
    expect(createHmac(hash, serverKey).update(said).digest("base64")).toBe(signature);
  });

  test("are what the server reads", async () => {
    const text = await deriveCredentials("pässword", { iterations: 5000 });
    const keys = parseCredentials(text);
    expect(keys.sha512).toMatchObject({ iterations: 5000 });
    expect(keys.sha512?.storedKey).toHaveLength(64);
    for (const hash of ["sha1", "sha256", "sha512"] as const) expect(isKeysText(hash, text[hash])).toBe(true);
  });

  test("match their password alone, in any of its spellings", async () => {
    const text = await deriveCredentials("I\u00ADX\u00A0\u2168");
    expect(await credentialsMatch(text, "IX IX")).toBe(true);
    expect(await credentialsMatch({ sha512: text.sha512 }, "IX IX")).toBe(true);
    expect(await credentialsMatch(text, "ix ix")).toBe(false);
    expect(await credentialsMatch({}, "IX IX")).toBe(false);
  });

  test("two of the same password differ by their salts", async () => {
    const [one, other] = [await deriveCredentials("x"), await deriveCredentials("x")];
    expect(one.sha1).not.toBe(other.sha1);
    expect(new Set(Object.values(one).map((text) => text.split(/[:$]/)[2])).size).toBe(3);
  });

  test.each(["", "\u0007bell", "\u0627\u0031", "\u{1F984}unicorn"])(
    "%j can be no password, and the error does not say it",
    async (password) => {
      const error = await deriveCredentials(password).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(CodedError);
      expect(error).toMatchObject({ code: "credentials/unusable-password" });
      expect((error as CodedError).cause).toBeUndefined();
      expect((error as CodedError).message).not.toMatch(/bell|unicorn/);
    },
  );

  test.each([
    "",
    "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=",
    "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE",
    "SCRAM-SHA-1$0:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=",
    "SCRAM-SHA-1$9999999:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=",
    "SCRAM-SHA-256$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=",
    "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=$x",
  ])("%j is no text of SHA-1 keys", (text) => expect(isKeysText("sha1", text)).toBe(false));
});

test("iterations follow the host upwards only", () => {
  const asked = (value: string) =>
    wantedIterations(new Map([["sys.xmpp.properties.sasl.scram-sha-1.iteration-count", value]]));
  expect([asked("10000"), asked(" 8192 "), asked("1"), asked("many"), asked("9999999"), asked("-5")]).toEqual([
    10000, 8192, 4096, 4096, 1_000_000, 4096,
  ]);
  expect(wantedIterations(new Map())).toBe(4096);
});

test("jobs start in their order, so many at a time, and one that fails stops none", async () => {
  const started: number[] = [];
  const counted: number[] = [];
  let running = 0;
  let most = 0;
  const results = await inOrder(
    [0, 1, 2, 3, 4, 5, 6].map((index) => async () => {
      started.push(index);
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      if (index === 2) throw new Error("no");
      return index;
    }),
    { width: 3, onDone: (done) => counted.push(done) },
  );
  expect(started).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(most).toBe(3);
  expect(counted).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(results.map((result) => result.status === "fulfilled" && result.value)).toEqual([0, 1, false, 3, 4, 5, 6]);
});

test("a generated password has no look-alikes and does not repeat", () => {
  const many = new Set(Array.from({ length: 100 }, generatePassword));
  expect(many.size).toBe(100);
  for (const password of many) expect(password).toMatch(/^[a-hjkmnp-z2-9]{20}$/);
});
