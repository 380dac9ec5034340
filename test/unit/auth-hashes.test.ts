import { createHash, createHmac } from "node:crypto";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { openHashCheck } from "../../xmpp-core/auth/hash-check.ts";
import { costOf, decoyHash, type HashForm, readHash } from "../../xmpp-core/auth/password-hash.ts";

// Made by other programs: openssl passwd, slappasswd, crypt(3) and hashlib of Python, in the forms that docs/passwords.md names.
const password = "pencil sharpener";
const vectors: readonly [string, string, string, string?][] = [
  ["bcrypt, crypt(3)", "$2b$05$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe", "bcrypt:5"],
  ["bcrypt as PHP and htpasswd write it", "$2y$05$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe", "bcrypt:5"],
  ["SHA-256-crypt, openssl", "$5$abcdefgh$5LRnRwBXQetzwDrpxjnWJw4sgpuisJV5i7HAOxGqnd/", "sha256-crypt:5000"],
  [
    "SHA-512-crypt with rounds, crypt(3)",
    "$6$rounds=1000$saltstring$DO4Eer5Z.zgZ7S8q78uBzgV0WcjPwPLyVTFX4qvvfuySz5iu2fnWrAUI2J7X/HgD1CAifuHvzx2AeXYrRUSPB.",
    "sha512-crypt:1000",
  ],
  [
    "SHA-512-crypt of more than ASCII, openssl",
    "$6$abcdefgh$3OX4dzso50SfbGlqtnVfSNtB2vKIkkorcfnsqUJxqweJSXHaEtTqMIkT88Qm9Z3sXvfTvGx9BN0gX9/txLB5j0",
    "sha512-crypt:5000",
    "Grüße 1",
  ],
  [
    "PBKDF2-SHA-1, passlib's form",
    "$pbkdf2$1200$AAECAwQFBgcICQoLDA0ODw$Y/pmpdD2Jfk8THXFgaIBKEPgBt4",
    "pbkdf2-sha1:1200",
  ],
  [
    "PBKDF2-SHA-256, passlib's form",
    "$pbkdf2-sha256$1200$AAECAwQFBgcICQoLDA0ODw$.YnTPemXK.mIwkEBaHjBz6xWrKhGdsCgpC8xEG5W5MY",
    "pbkdf2-sha256:1200",
  ],
  [
    "PBKDF2-SHA-512, passlib's form",
    "$pbkdf2-sha512$1200$AAECAwQFBgcICQoLDA0ODw$D4gHdgQ78tKoOHCcRtgylBEmKRR6yzMt24NIoYX/cZR2q8FhtYNpdk9BP2EQSbFHpIXfI14t2Oq.9iuo6D4aRA",
    "pbkdf2-sha512:1200",
  ],
  [
    "PBKDF2 as Django writes it",
    "pbkdf2_sha256$1200$seasalt$bhib+7lRGryq740Zz1OXg6ez1dtZEfUAyhNp+Mtq4xU=",
    "pbkdf2-sha256:1200",
  ],
  [
    "PBKDF2 as Werkzeug writes it",
    "pbkdf2:sha256:1200$seasalt$6e189bfbb9511abcaaef8d19cf539783a7b3d5db5911f500ca1369f8cb6ae315",
    "pbkdf2-sha256:1200",
  ],
  [
    "PBKDF2 as OpenLDAP writes it",
    "{PBKDF2-SHA256}1200$AAECAwQFBgcICQoLDA0ODw$.YnTPemXK.mIwkEBaHjBz6xWrKhGdsCgpC8xEG5W5MY",
    "pbkdf2-sha256:1200",
  ],
  ["{CRYPT} around crypt(3)", "{CRYPT}$5$abcdefgh$5LRnRwBXQetzwDrpxjnWJw4sgpuisJV5i7HAOxGqnd/", "sha256-crypt:5000"],
  ["{SSHA}, slappasswd", "{SSHA}gWKS3Z9eX/P2o7pGuv8brJ83Q3Kyq7I+", "salted-sha1:1"],
  ["{SHA}, slappasswd", "{SHA}fmSr1V8osRv18ypHLMHBCZ1lBDs=", "salted-sha1:1"],
  ["{SSHA256}", "{SSHA256}nCKqyjHdgUcGpOeNSGzBSAhWl5dsv5Q/B5BnO0N8zxwAAQIDBAUGBw==", "salted-sha256:1"],
  [
    "{SSHA384}",
    "{SSHA384}tausBCblivWD9WvyRjxHDg69Fhct0hU33u2fR5rqJT2vq3el6tQmPK0UGKWYHQw0AAECAwQFBgc=",
    "salted-sha384:1",
  ],
  [
    "{SSHA512}",
    "{SSHA512}mJkmdlpllmmPHCXhgJaeSj12XqPZrSpjFlRq4IAxJl2RGUSs05PsWX26rB7pTGyfa+Cwm00ae3MKb/ZVf5D7nQABAgMEBQYH",
    "salted-sha512:1",
  ],
  ["{SHA256}", "{SHA256}jz3v+QIqDslGn90DfToDGULZTFuWwq/h2y8d5FZIaos=", "salted-sha256:1"],
];

const check = openHashCheck();
afterAll(() => check.close());

function form(text: string): HashForm {
  const read = readHash(text);
  if (read.is === "refused") throw new Error(`refused: ${read.kind}`);
  return read;
}

describe("a hash that the host made", () => {
  test.each(vectors)("%s is right for its password and for no other", async (_, text, cost, own = password) => {
    const read = form(text);
    expect(costOf(read)).toBe(cost);
    expect(await check.matches(own, read)).toBe(true);
    expect(await check.matches(`${own} `, read)).toBe(false);
    expect(await check.matches("", read)).toBe(false);
  });

  test.each([
    ["$1$abcdefgh$znAnv9M.XU2pRYfmSs46h/", "MD5"],
    ["$apr1$abcdefgh$znAnv9M.XU2pRYfmSs46h/", "MD5"],
    ["{MD5}X03MO1qnZdYdgyfeuILPmQ==", "MD5"],
    ["{SMD5}X03MO1qnZdYdgyfeuILPmQ==", "MD5"],
    ["5f4dcc3b5aa765d61d8327deb882cf99", "MD5"],
    ["abiQ6Ep3EYTHc", "DES crypt"],
    ["$y$j9T$abcdefgh$9WNEpu8Mx2S4KNGvbVWKM6clOSoY6.YEl7AYF4DGV04", "yescrypt or scrypt"],
    ["$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b27aw", "Argon2"],
    ["5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "a digest without salt"],
    ["$2x$05$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe", "an old, flawed bcrypt"],
    ["!$6$abcdefgh$x", "a locked password"],
    ["*", "a locked password"],
    ["$2b$15$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe", "bcrypt"],
    ["$2b$31$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe", "bcrypt"],
    [`$6$rounds=999999999$saltstring$${"a".repeat(86)}`, "SHA-crypt"],
    [`$6$rounds=1$saltstring$${"a".repeat(86)}`, "SHA-crypt"],
    ["pbkdf2_sha256$999999999$seasalt$bhib+7lRGryq740Zz1OXg6ez1dtZEfUAyhNp+Mtq4xU=", "PBKDF2"],
    ["pbkdf2_sha256$0$seasalt$bhib+7lRGryq740Zz1OXg6ez1dtZEfUAyhNp+Mtq4xU=", "PBKDF2"],
    ["pbkdf2_sha256$1200$seasalt$AAAA", "PBKDF2"],
    ["{SSHA}AAAA", "LDAP SHA"],
    ["secret", "an unknown form"],
    ["", "an unknown form"],
    ["x".repeat(5000), "a text that is too long"],
  ])("%s is refused by its kind, and not quoted", (text, kind) => {
    const read = readHash(text);
    expect(read).toMatchObject({ is: "refused", kind });
    if (text.length > 8) expect(JSON.stringify(read)).not.toContain(text);
  });

  test("whatever a text holds, reading it neither throws nor takes long", () => {
    const pieces = fc.constantFrom(
      "$",
      "2b",
      "6",
      "rounds=",
      "pbkdf2",
      "_sha256",
      "{SSHA}",
      "{CRYPT}",
      "=",
      "5000",
      "a".repeat(40),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces, { maxLength: 12 }).map((all) => all.join("")),
        ),
        (text) => {
          readHash(text);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a hash for a name that does not exist", () => {
  const bytes = createHmac("sha512", "secret").update("nobody").digest();
  const costs = [...new Set(vectors.map(([, , cost]) => cost))];
  test.each(costs)("%s costs the same, and is right for nothing", async (cost) => {
    const decoy = decoyHash(cost, bytes);
    expect(costOf(decoy)).toBe(cost);
    if (decoy.is === "bcrypt" || decoy.is === "sha-crypt") expect(costOf(form(decoy.text))).toBe(cost);
    expect(await check.matches(password, decoy)).toBe(false);
    expect(decoyHash(cost, bytes)).toEqual(decoy);
  });
});

test("a password longer than any that crypt(3) takes is wrong, and never goes through the rounds", async () => {
  const hash = createHash("sha256").update("x".repeat(513)).digest("base64");
  expect(await check.matches("x".repeat(513), form(`{SHA256}${hash}`))).toBe(false);
  const empty = createHash("sha256").update("").digest("base64");
  expect(await check.matches("x".repeat(513), form(`{SHA256}${empty}`))).toBe(false);
  const longest = createHash("sha256").update("x".repeat(512)).digest("base64");
  expect(await check.matches("x".repeat(512), form(`{SHA256}${longest}`))).toBe(true);
});

test("too many at once are refused, not queued for ever", async () => {
  const small = openHashCheck({ threads: 1, waiting: 1 });
  const slow = form(vectors[2]?.[1] ?? "");
  const all = await Promise.allSettled([1, 2, 3].map(() => small.matches(password, slow)));
  expect(all.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
  await small.close();
});
