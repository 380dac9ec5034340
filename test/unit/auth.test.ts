import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  type Attempt,
  decodeBase64,
  decodeSasl,
  type ExchangeContext,
  encodeSasl,
} from "../../xmpp-core/auth/exchange.ts";
import { openHashCheck } from "../../xmpp-core/auth/hash-check.ts";
import {
  decoyKeys,
  deriveCredentials,
  formatCredentials,
  hashNames,
  parseCredentials,
  parseKeys,
  preparePassword,
  verifyPassword,
} from "../../xmpp-core/auth/keys.ts";
import { liveCheck } from "../../xmpp-core/auth/live.ts";
import { knownMechanisms, offer, start } from "../../xmpp-core/auth/mechanisms.ts";
import { passwordJudge } from "../../xmpp-core/auth/passwords.ts";
import { type DerivationPool, derivationPool } from "../../xmpp-core/auth/pool.ts";
import { saslMechanisms, scramIterations } from "../../xmpp-core/auth/properties.ts";
import { defaultLimits, placesOf, slowDown } from "../../xmpp-core/auth/slow-down.ts";
import { systemClock } from "../../xmpp-core/clock.ts";
import { openProperties } from "../../xmpp-core/properties/registry.ts";

const pool = derivationPool();
const derive = (password: string) => deriveCredentials(password, { iterations: 4096, random: randomBytes, pool });
const pencil = await derive("pencil");
const exporter = Buffer.alloc(32, 1);
const endPoint = Buffer.alloc(32, 2);

describe("keys", () => {
  test("are text of one line for each hash and come back the same", () => {
    const text = formatCredentials(pencil);
    expect(text.sha256).toMatch(/^SCRAM-SHA-256\$4096:[^$:]+\$[^$:]+:[^$:]+$/);
    expect(parseCredentials(text)).toEqual(pencil);
    expect(parseCredentials({ sha1: text.sha1 })).toEqual({ sha1: pencil.sha1 });
  });

  test("are read in the form that PostgreSQL writes", () => {
    const keys = parseKeys(
      "sha256",
      "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    );
    expect(keys).toMatchObject({ iterations: 4096, salt: Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64") });
  });

  const good = formatCredentials(pencil).sha1 ?? "";
  test.each([
    ["another hash", good.replace("SHA-1$", "SHA-256$")],
    ["no iterations", good.replace("4096", "0")],
    ["too many iterations", good.replace("4096", "1000001")],
    ["a short key", good.replace(/:[^:]+$/, ":AAAA")],
    ["base64 with bits to spare", good.replace(/.=$/, "B=")],
    ["nothing", ""],
    ["a line behind it", `${good}\n`],
  ])("with %s are refused, and the error does not quote them", (_, text) => {
    expect(text).not.toBe(good);
    expect(() => parseKeys("sha1", text)).toThrow(expect.objectContaining({ code: "auth/bad-keys" }));
    expect(() => parseKeys("sha1", text)).not.toThrow(/AAAA|SCRAM-SHA-1\$4096/);
  });

  test("of one password differ by their salts", async () => {
    const again = await derive("pencil");
    for (const hash of hashNames) expect(again[hash].storedKey).not.toEqual(pencil[hash].storedKey);
    expect(pencil.sha1.salt).not.toEqual(pencil.sha256.salt);
  });

  test("a password is checked against whichever keys there are", async () => {
    for (const hash of hashNames) {
      expect(await verifyPassword("pencil", { [hash]: pencil[hash] }, pool)).toBe(true);
      expect(await verifyPassword("pencils", { [hash]: pencil[hash] }, pool)).toBe(false);
    }
    expect(await verifyPassword("pencil", {}, pool)).toBe(false);
  });

  test("a password no one may have never fits, not even keys made for it", async () => {
    expect(await verifyPassword("a\u0007", pencil, pool)).toBe(false);
    expect(await verifyPassword("", pencil, pool)).toBe(false);
    const salted = pbkdf2Sync("\u0000", "salt", 1, 32, "sha256");
    const storedKey = createHash("sha256").update(createHmac("sha256", salted).update("Client Key").digest()).digest();
    const sha256 = { iterations: 1, salt: Buffer.from("salt"), storedKey, serverKey: storedKey };
    expect(await verifyPassword("a\u0007", { sha256 }, pool)).toBe(false);
    expect(
      await verifyPassword("x", { sha256: decoyKeys("sha256", "n", { decoySecret: exporter, iterations: 1 }) }, pool),
    ).toBe(false);
  });
});

describe("passwords are prepared by SASLprep (RFC 4013 §3)", () => {
  test.each([
    ["I\u00adX", "IX"],
    ["user", "user"],
    ["USER", "USER"],
    ["\u00aa", "a"],
    ["\u2168", "IX"],
    ["\u0007", undefined],
    ["\u0627\u0031", undefined],
    ["", undefined],
    ["\u00ad", undefined],
  ])("%j becomes %j", (given, prepared) => {
    expect(preparePassword(given)).toBe(prepared);
  });

  test("what cannot be a password is refused when it is set", async () => {
    await expect(derive("a\u0000b")).rejects.toMatchObject({ code: "auth/bad-password" });
  });

  test("two spellings of one password are one", async () => {
    expect(await verifyPassword("p\u00e4ss", await derive("pa\u0308ss"), pool)).toBe(true);
  });
});

describe("the pool", () => {
  test("runs no more at once than it may, in order, and refuses what would wait too long", async () => {
    const small = derivationPool({ parallel: 2, waiting: 2 });
    const begun: number[] = [];
    const release: (() => void)[] = [];
    const job = (id: number) =>
      small.run(
        () =>
          new Promise<number>((done) => {
            begun.push(id);
            release.push(() => done(id));
          }),
      );
    const jobs = [1, 2, 3, 4].map(job);
    expect(begun).toEqual([1, 2]);
    await expect(job(6)).rejects.toMatchObject({ code: "auth/busy" });
    release.shift()?.();
    await jobs[0];
    expect(begun).toEqual([1, 2, 3]);
    jobs.push(job(5));
    expect(begun).toEqual([1, 2, 3]);
    for (let id = 2; id <= 5; id += 1) {
      release.shift()?.();
      await jobs[id - 1];
    }
    expect(begun).toEqual([1, 2, 3, 4, 5]);
    await expect(small.run(() => Promise.reject(new Error("x")))).rejects.toThrow("x");
    expect(await small.run(async () => 7)).toBe(7);
  });
});

describe("what a stream offers", () => {
  const all = knownMechanisms;
  test("over TLS 1.3: bound mechanisms first, both types", () => {
    expect(offer({ tls: { exporter, endPoint }, allowed: all })).toEqual({
      mechanisms: [...all],
      bindingTypes: ["tls-exporter", "tls-server-end-point"],
    });
  });

  test("without exporter only the end point is bound, without either nothing", () => {
    expect(offer({ tls: { endPoint }, allowed: all }).bindingTypes).toEqual(["tls-server-end-point"]);
    expect(offer({ tls: {}, allowed: all })).toEqual({
      mechanisms: ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"],
      bindingTypes: [],
    });
  });

  test("before TLS never PLAIN, whatever is allowed", () => {
    expect(offer({ tls: undefined, allowed: all }).mechanisms).toEqual([
      "SCRAM-SHA-512",
      "SCRAM-SHA-256",
      "SCRAM-SHA-1",
    ]);
    expect(offer({ tls: undefined, allowed: all, plain: "alone" })).toEqual({ mechanisms: [], bindingTypes: [] });
  });

  test("types and -PLUS come together or not at all (XEP-0440)", () => {
    expect(offer({ tls: { exporter }, allowed: ["SCRAM-SHA-1"] })).toEqual({
      mechanisms: ["SCRAM-SHA-1"],
      bindingTypes: [],
    });
  });

  test("PLAIN alone where accounts have no keys", () => {
    expect(offer({ tls: { exporter }, allowed: all, plain: "alone" })).toEqual({
      mechanisms: ["PLAIN"],
      bindingTypes: [],
    });
  });

  test("nothing else than ours, even when it is allowed", () => {
    expect(offer({ tls: {}, allowed: ["DIGEST-MD5", "ANONYMOUS", "scram-sha-1"] }).mechanisms).toEqual([]);
  });
});

/** Judges by keys, as where the host has no hashes and no directory. */
const keysOnly = (by: DerivationPool) =>
  passwordJudge({
    ...{ pool: by, hashes: openHashCheck(), clock: systemClock, decoySecret: exporter, iterations: () => 4096 },
    live: liveCheck({
      ...{ clock: systemClock, random: randomBytes, failed: () => undefined },
      directory: () => Promise.reject(new Error("there is none")),
      configuration: () => "",
      limits: () => ({ freshMs: 0, outageMs: 0, failuresPerMinute: 1 }),
    }),
    mix: () => ({ keys: 1, derived: 0, hashed: new Map(), live: new Map() }),
  });

/** One account `alice`, password "pencil". */
function plainContext(
  options: { tls?: boolean; disabled?: boolean; keys?: boolean; waiting?: number; refuse?: boolean } = {},
) {
  const attempts: string[] = [];
  const tls = options.tls === false ? undefined : { exporter };
  const context: ExchangeContext<string> = {
    offered: { mechanisms: ["PLAIN"], bindingTypes: [] },
    tls,
    accounts: {
      credentialsOf: async (sent) => ({
        name: sent.replace("@example.org", ""),
        ...(/^alice(@example.org)?$/.test(sent)
          ? { account: "alice's", credentials: options.keys === false ? {} : pencil }
          : {}),
        disabled: options.disabled ?? false,
        ownAddress: (authzid) => authzid === "alice@example.org",
      }),
    },
    passwords: keysOnly(
      options.waiting === undefined ? pool : derivationPool({ parallel: 0, waiting: options.waiting }),
    ),
    decoySecret: exporter,
    iterations: 4096,
    random: randomBytes,
    admit: async (name): Promise<Attempt | "refused"> =>
      options.refuse
        ? "refused"
        : { succeeded: () => void attempts.push(`+${name}`), failed: () => void attempts.push(`-${name}`) },
  };
  return { context, attempts };
}

async function plainLogin(message: string, options?: Parameters<typeof plainContext>[0]) {
  const { context, attempts } = plainContext(options);
  const step = await start("PLAIN", context)?.step(Buffer.from(message));
  return { outcome: step?.is === "failure" ? step.condition : (step?.is ?? "not started"), attempts, step };
}

describe("PLAIN", () => {
  test.each([
    ["\0alice\0pencil", "success"],
    ["\0alice@example.org\0pencil", "success"],
    ["alice@example.org\0alice\0pencil", "success"],
    ["bob@example.org\0alice\0pencil", "invalid-authzid"],
    ["alice\0alice\0pencil", "invalid-authzid"],
    ["bob@example.org\0alice\0wrong", "not-authorized"],
    ["\0alice\0wrong", "not-authorized"],
    ["\0nobody\0pencil", "not-authorized"],
    ["\0alice\0", "malformed-request"],
    ["\0\0pencil", "malformed-request"],
    ["alice\0pencil", "malformed-request"],
    ["\0alice\0pencil\0", "malformed-request"],
    ["", "malformed-request"],
  ])("%j: %s", async (message, outcome) => {
    expect((await plainLogin(message)).outcome).toBe(outcome);
  });

  test("names the account, and notes what was judged", async () => {
    const { step, attempts } = await plainLogin("\0alice@example.org\0pencil");
    expect(step).toEqual({ is: "success", name: "alice", account: "alice's" });
    expect(attempts).toEqual(["+alice"]);
    expect((await plainLogin("\0nobody\0pencil")).attempts).toEqual(["-nobody"]);
  });

  test("never starts without TLS, even when something offered it", async () => {
    expect((await plainLogin("\0alice\0pencil", { tls: false })).outcome).toBe("not started");
  });

  test("an account without keys, a disabled one, a slowed one", async () => {
    expect((await plainLogin("\0alice\0pencil", { keys: false })).outcome).toBe("not-authorized");
    expect((await plainLogin("\0alice\0pencil", { disabled: true })).outcome).toBe("account-disabled");
    expect((await plainLogin("\0alice\0wrong", { disabled: true })).outcome).toBe("not-authorized");
    expect((await plainLogin("\0alice\0pencil", { refuse: true })).outcome).toBe("temporary-auth-failure");
  });

  test("a full pool is a temporary failure and nobody's fault", async () => {
    const { outcome, attempts } = await plainLogin("\0alice\0pencil", { waiting: 0 });
    expect(outcome).toBe("temporary-auth-failure");
    expect(attempts).toEqual([]);
  });

  test("an exchange judges one password only", async () => {
    const exchange = start("PLAIN", plainContext().context);
    expect(await exchange?.step(undefined)).toEqual({ is: "challenge", data: Buffer.alloc(0) });
    await exchange?.step(Buffer.from("\0alice\0wrong"));
    expect(await exchange?.step(Buffer.from("\0alice\0pencil"))).toMatchObject({ condition: "malformed-request" });
  });
});

test("a mechanism that was not offered does not start", () => {
  const { context } = plainContext();
  for (const name of ["SCRAM-SHA-1", "DIGEST-MD5", "plain", "constructor"])
    expect(start(name, context)).toBeUndefined();
});

describe("base64 on the wire", () => {
  test("an empty message is =, bad base64 is incorrect-encoding", () => {
    expect(decodeSasl("=")).toEqual(Buffer.alloc(0));
    expect(encodeSasl(Buffer.alloc(0))).toBe("=");
    expect(encodeSasl(Buffer.from("a"))).toBe("YQ==");
    expect(decodeSasl("YQ==")).toEqual(Buffer.from("a"));
    for (const bad of ["YQ", "YR==", "Y Q==", "YQ==\n", "Y-==", "====", "YQ==YQ=="]) {
      expect(decodeSasl(bad), bad).toMatchObject({ is: "failure", condition: "incorrect-encoding" });
      expect(decodeBase64(bad), bad).toBeUndefined();
    }
  });
});

describe("slow-down", () => {
  function guard(trusted?: (address: string) => boolean) {
    const time = { ms: 1_000_000 };
    const it = slowDown({ clock: { now: () => time.ms }, ...(trusted ? { trusted } : {}) });
    const attempt = (account: string, address: string) => it.attempt({ account, address });
    const fail = (account: string, address: string) => {
      const admitted = attempt(account, address);
      if (admitted.is === "refused") return "refused";
      admitted.failed();
      return admitted.waitMs;
    };
    const succeed = (account: string, address: string) => {
      const admitted = attempt(account, address);
      if (admitted.is === "refused") return "refused";
      admitted.succeeded();
      return admitted.waitMs;
    };
    return { time, fail, succeed, attempt, forgive: it.forgive };
  }
  const address = (n: number) => `10.${n % 200}.${Math.floor(n / 200)}.1`;

  test("an account: five mistakes are free, then attempts from anywhere are spaced out, then refused", () => {
    const { fail, time } = guard();
    const waits = Array.from({ length: 9 }, (_, n) => fail("alice", address(n)));
    expect(waits).toEqual([0, 0, 0, 0, 0, 10_000, 20_000, "refused", "refused"]);
    expect(fail("bob", address(1))).toBe(0);
    time.ms += 10_000 * 7;
    expect(fail("alice", address(50))).toBe(0);
  });

  test("those who wait together are judged one after another", () => {
    const { fail, attempt } = guard();
    for (let n = 0; n < 5; n += 1) fail("alice", address(n));
    const waits = [1, 2, 3]
      .map(() => attempt("alice", "192.0.2.1"))
      .map((a) => (a.is === "admitted" ? a.waitMs : a.is));
    expect(waits).toEqual([10_000, 20_000, "refused"]);
  });

  test("a success clears the account's debt", () => {
    const { fail, succeed } = guard();
    for (let n = 0; n < 6; n += 1) fail("alice", address(n));
    expect(succeed("alice", address(7))).toBe(20_000);
    expect(fail("alice", address(8))).toBe(0);
  });

  test("a success does not clear the address's and network's debt", () => {
    const { fail, succeed } = guard();
    for (let n = 0; n < 10; n += 1) fail(`user${n}`, "192.0.2.7");
    expect(succeed("mallory", "192.0.2.7")).toBe(5_000);
    expect(fail("user10", "192.0.2.7")).toBe(5_000);
    expect(fail("user11", "192.0.2.7")).toBe(10_000);
  });

  test("a network of many addresses", () => {
    const { fail } = guard();
    for (let n = 0; n < 50; n += 1) expect(fail(`user${n}`, `192.0.2.${n}`)).toBe(0);
    expect(fail("user50", "192.0.2.99")).toBe(1_000);
    expect(fail("user51", "192.0.3.99")).toBe(0);
  });

  test("any number of right passwords at once waits for nothing", () => {
    const { attempt } = guard();
    const all = Array.from({ length: 5000 }, (_, n) => attempt(`user${n}`, "192.0.2.7"));
    expect(all.every((admitted) => admitted.is === "admitted" && admitted.waitMs === 0)).toBe(true);
    for (const admitted of all) if (admitted.is === "admitted") admitted.succeeded();
    expect(attempt("user1", "192.0.2.7")).toMatchObject({ waitMs: 0 });
  });

  test("the owner is not locked out of where he logged in before", () => {
    const { fail, succeed } = guard();
    succeed("alice", "192.0.2.7");
    for (let n = 0; n < 20; n += 1) fail("alice", address(n));
    expect(fail("alice", address(99))).toBe("refused");
    expect(succeed("alice", "192.0.2.99")).toBe(0);
    expect(fail("alice", address(99))).toBe("refused");
  });

  test("the addresses of one IPv6 customer are one", () => {
    const { fail } = guard();
    for (let n = 0; n < 10; n += 1) fail(`user${n}`, `2001:db8:1:2::${n + 1}`);
    expect(fail("user10", "2001:db8:1:2:ffff::1")).toBe(5_000);
    expect(fail("user11", "2001:db8:1:3::1")).toBe(0);
  });

  test("IPv4 counts for itself and its /24, mapped into IPv6 too", () => {
    expect(placesOf("192.0.2.7")).toEqual({ address: "192.0.2.7/32", network: "192.0.2/24" });
    expect(placesOf("::ffff:192.0.2.7")).toEqual(placesOf("192.0.2.7"));
  });

  test("an IPv6 zone does not make another address", () => {
    expect(placesOf("fe80::1%eth0")).toEqual(placesOf("fe80::2"));
    expect(placesOf("2001:db8:0:ff::1").network).toBe(placesOf("2001:db8:0:1::1").network);
    expect(placesOf("2001:db8:0:100::1").network).not.toBe(placesOf("2001:db8:0:1::1").network);
  });

  test("trusted networks are exempt, a forgiven account starts afresh", () => {
    const trusting = guard((peer) => peer === "192.0.2.7");
    for (let n = 0; n < 30; n += 1) expect(trusting.fail("alice", "192.0.2.7")).toBe(0);
    const { fail, forgive } = guard();
    for (let n = 0; n < 6; n += 1) fail("alice", address(n));
    forgive("alice");
    expect(fail("alice", address(9))).toBe(0);
  });

  test("memory is bounded", () => {
    const it = slowDown({ clock: { now: () => 0 }, limits: { ...defaultLimits, remembered: 10 } });
    const fail = (account: string, peer: string) => {
      const admitted = it.attempt({ account, address: peer });
      if (admitted.is === "admitted") admitted.failed();
      return admitted.is === "admitted" ? admitted.waitMs : admitted.is;
    };
    for (let n = 0; n < 6; n += 1) fail("alice", "192.0.2.7");
    for (let n = 0; n < 20; n += 1) fail(`other${n}`, address(n));
    expect(fail("alice", "192.0.2.7")).toBe(0);
  });
});

describe("the properties", () => {
  const registry = openProperties([saslMechanisms, scramIterations], new Map());

  test("by default everything but PLAIN", () => {
    expect(registry.get(saslMechanisms)).toEqual(knownMechanisms.filter((name) => name !== "PLAIN"));
    expect(registry.get(scramIterations)).toBe(4096);
  });

  test("names in any case, and what has no effect is said", () => {
    expect(registry.canonical("sasl.mechs", "scram-sha-1, DIGEST-MD5 plain")).toMatchObject({
      is: "value",
      text: "SCRAM-SHA-1,DIGEST-MD5,PLAIN",
      weakens: expect.stringContaining("PLAIN"),
      notes: [expect.stringContaining("DIGEST-MD5 has no effect")],
    });
    expect(registry.canonical("sasl.mechs", "SCRAM-SHA-1")).toMatchObject({
      weakens: expect.stringContaining("-PLUS"),
    });
    expect(registry.canonical("sasl.mechs", "SCRAM-SHA-1,SCRAM-SHA-1-PLUS")).not.toHaveProperty("weakens");
  });

  test("a list with which nobody could log in is refused", () => {
    expect(registry.canonical("sasl.mechs", "DIGEST-MD5")).toMatchObject({
      is: "rejected",
      hint: expect.stringContaining("nobody"),
    });
    expect(registry.canonical("sasl.mechs", "")).toMatchObject({ is: "rejected" });
  });

  test("few iterations weaken", () => {
    expect(registry.canonical("sasl.scram-sha-1.iteration-count", "1000")).toMatchObject({
      weakens: expect.any(String),
    });
    expect(registry.canonical("sasl.scram-sha-1.iteration-count", "10000")).not.toHaveProperty("weakens");
  });
});
