import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Attempt, BindingFacts, Claim, Exchange, ExchangeContext, Step } from "../../xmpp-core/auth/exchange.ts";
import { type Credentials, deriveCredentials, type HashName, hashes, hashNames } from "../../xmpp-core/auth/keys.ts";
import { knownMechanisms, offer, start } from "../../xmpp-core/auth/mechanisms.ts";
import { derivationPool } from "../../xmpp-core/auth/pool.ts";
import { scram } from "../../xmpp-core/auth/scram.ts";

const pool = derivationPool();
const tls: BindingFacts = { exporter: Buffer.alloc(32, 7), endPoint: Buffer.alloc(32, 9) };

interface Setup {
  tls?: BindingFacts | undefined;
  credentials?: Credentials;
  disabled?: boolean;
  iterations?: number;
  refuse?: boolean;
}

const pencil = await deriveCredentials("pencil", { iterations: 4096, random: randomBytes, pool });

/** One account `user` with the password "pencil" on `example.org`; what was judged is noted in `attempts`. */
function server(setup: Setup = {}) {
  const attempts: string[] = [];
  const facts = "tls" in setup ? setup.tls : tls;
  const context: ExchangeContext<{ id: number }> = {
    offered: offer({ tls: facts, allowed: knownMechanisms }),
    tls: facts,
    accounts: {
      async credentialsOf(sent): Promise<Claim<{ id: number }> | undefined> {
        const name = sent.replace(/@example\.org$/, "").toLowerCase();
        if (name.includes("@")) return undefined;
        if (name !== "user") return { name, ownAddress: () => false };
        return {
          account: { id: 1 },
          name,
          credentials: setup.credentials ?? pencil,
          disabled: setup.disabled ?? false,
          ownAddress: (authzid) => authzid === "user@example.org",
        };
      },
    },
    passwords: { judge: () => Promise.reject(new Error("no password comes in clear here")) },
    decoySecret: Buffer.alloc(32, 1),
    iterations: setup.iterations ?? 4096,
    random: randomBytes,
    async admit(name): Promise<Attempt | "refused"> {
      if (setup.refuse) return "refused";
      return { succeeded: () => void attempts.push(`+${name}`), failed: () => void attempts.push(`-${name}`) };
    },
  };
  return { context, attempts };
}

interface ClientOptions {
  hash: HashName;
  user?: string;
  password?: string;
  gs2?: string;
  binding?: Buffer;
  /** Signed by the client behind its nonce. */
  extra?: string;
  /** Changes what the client signs and sends as client-final-message-without-proof. */
  signed?: (text: string) => string;
  /** Changes a message on its way. */
  first?: (text: string) => string;
  final?: (text: string) => string;
}

/** A SCRAM client made from RFC 5802 alone; nothing of it is shared with the server. */
async function login(exchange: Exchange<{ id: number }>, options: ClientOptions) {
  const { hash, user = "user", password = "pencil", gs2 = "n,,", binding = Buffer.alloc(0) } = options;
  const { digest, bytes } = {
    sha1: { digest: "sha1", bytes: 20 },
    sha256: { digest: "sha256", bytes: 32 },
    sha512: { digest: "sha512", bytes: 64 },
  }[hash];
  const nonce = randomBytes(12).toString("hex");
  const bare = `n=${user},r=${nonce}${options.extra ?? ""}`;
  const first = `${gs2}${bare}`;
  const challenge = await exchange.step(Buffer.from(options.first?.(first) ?? first));
  if (challenge.is !== "challenge") return { step: challenge, verified: false };
  const serverFirst = challenge.data.toString();
  const [, serverNonce = "", salt = "", count = ""] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? [];
  expect(serverNonce.startsWith(nonce)).toBe(true);
  const mac = (key: Buffer, text: string) => createHmac(digest, key).update(text).digest();
  const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(count), bytes, digest);
  const clientKey = mac(salted, "Client Key");
  const storedKey = createHash(digest).update(clientKey).digest();
  const usual = `c=${Buffer.concat([Buffer.from(gs2), binding]).toString("base64")},r=${serverNonce}`;
  const withoutProof = options.signed?.(usual) ?? usual;
  const authMessage = `${bare},${serverFirst},${withoutProof}`;
  const signature = mac(storedKey, authMessage);
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))).toString("base64");
  const final = `${withoutProof},p=${proof}`;
  const step = await exchange.step(Buffer.from(options.final?.(final) ?? final));
  const expected = `v=${mac(mac(salted, "Server Key"), authMessage).toString("base64")}`;
  return { step, verified: step.is === "success" && step.data?.toString() === expected, serverFirst };
}

function begin(mechanism: string, setup?: Setup) {
  const { context, attempts } = server(setup);
  const exchange = start(mechanism, context);
  if (!exchange) throw new Error(`${mechanism} did not start`);
  return { exchange, attempts };
}

const refused = (step: Step) => (step.is === "failure" ? step.condition : step.is);

describe("test vectors", () => {
  const vectors = [
    {
      name: "RFC 5802 §5",
      hash: "sha1",
      salt: "QSXCR+Q6sek8bf92",
      nonce: "3rfcNHYJY1ZVvWVs7j",
      clientFirst: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
      serverFirst: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
      clientFinal: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
      serverFinal: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    },
    {
      name: "RFC 7677 §3",
      hash: "sha256",
      salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
      nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
      clientFirst: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
      serverFirst: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
      clientFinal:
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
      serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    },
  ] as const;

  test.each(vectors)("$name", async ({ hash, salt, nonce, clientFirst, serverFirst, clientFinal, serverFinal }) => {
    const credentials = await deriveCredentials("pencil", {
      iterations: 4096,
      random: () => Buffer.from(salt, "base64"),
      pool,
    });
    const { context } = server({ tls: undefined, credentials });
    const exchange = scram(hash, false, context, () => nonce);
    expect(await exchange.step(Buffer.from(clientFirst))).toEqual({ is: "challenge", data: Buffer.from(serverFirst) });
    expect(await exchange.step(Buffer.from(clientFinal))).toEqual({
      is: "success",
      name: "user",
      account: { id: 1 },
      data: Buffer.from(serverFinal),
    });
  });
});

describe.each(hashNames)("a client with %s", (hash) => {
  const mechanism = hashes[hash].mechanism;

  test("logs in and can trust the server", async () => {
    const { exchange, attempts } = begin(mechanism);
    const { step, verified } = await login(exchange, { hash });
    expect(step).toMatchObject({ is: "success", name: "user", account: { id: 1 } });
    expect(verified).toBe(true);
    expect(attempts).toEqual(["+user"]);
  });

  test.each(["tls-exporter", "tls-server-end-point"] as const)("binds its login to TLS by %s", async (type) => {
    const binding = (type === "tls-exporter" ? tls.exporter : tls.endPoint) ?? Buffer.alloc(0);
    const { step, verified } = await login(begin(`${mechanism}-PLUS`).exchange, { hash, gs2: `p=${type},,`, binding });
    expect(step.is).toBe("success");
    expect(verified).toBe(true);
  });

  test("is refused on another TLS connection than its own", async () => {
    const { exchange, attempts } = begin(`${mechanism}-PLUS`);
    const { step } = await login(exchange, { hash, gs2: "p=tls-exporter,,", binding: Buffer.alloc(32, 8) });
    expect(refused(step)).toBe("not-authorized");
    expect(attempts).toEqual(["-user"]);
  });

  test("is refused with a wrong password", async () => {
    const { exchange, attempts } = begin(mechanism);
    expect(refused((await login(exchange, { hash, password: "pencils" })).step)).toBe("not-authorized");
    expect(attempts).toEqual(["-user"]);
  });
});

describe("names", () => {
  test.each(["user@example.org", "USER"])("%s is understood by the provider", async (user) => {
    expect((await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", user })).step).toMatchObject({
      name: "user",
    });
  });

  test("commas and equals signs are escaped", async () => {
    const { context } = server();
    const asked: string[] = [];
    const accounts = { credentialsOf: async (name: string) => void asked.push(name) };
    const exchange = start("SCRAM-SHA-1", { ...context, accounts: accounts as never });
    await exchange?.step(Buffer.from("n,,n=a=2Cb=3Dc,r=x"));
    expect(asked).toEqual(["a,b=c"]);
  });

  test("the account's own address is an authorization identity, no other is", async () => {
    const own = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", gs2: "n,a=user@example.org," });
    expect(own.step.is).toBe("success");
    for (const authzid of ["admin@example.org", "user@example.com", "user"]) {
      const other = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", gs2: `n,a=${authzid},` });
      expect(refused(other.step)).toBe("invalid-authzid");
    }
    const wrong = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", gs2: "n,a=x@y,", password: "no" });
    expect(refused(wrong.step)).toBe("not-authorized");
  });
});

describe("tampering", () => {
  const flipLast = (text: string) => text.replace(/p=(.)/, (_, letter) => `p=${letter === "A" ? "B" : "A"}`);
  const firsts: [string, (text: string) => string][] = [
    ["a reserved extension", (text) => text.replace("n,,", "n,,m=x,")],
    ["no name", (text) => text.replace("n=user", "n=")],
    ["an unescaped equals sign", (text) => text.replace("n=user", "n=us=er")],
    ["an escape in lower case", (text) => text.replace("n=user", "n=us=2cer")],
    ["no nonce", (text) => text.replace(/r=.*/, "r=")],
    ["a nonce with a space", (text) => `${text} `],
    ["no GS2 header", (text) => text.replace("n,,", "")],
    ["another flag", (text) => text.replace("n,,", "x,,")],
    ["a second name behind the nonce", (text) => `${text},n=admin`],
    ["an empty extension", (text) => `${text},`],
    ["a NUL", (text) => text.replace("user", "us\0er")],
    ["an empty authzid attribute", (text) => text.replace("n,,", "n,a=,")],
    ["attributes in another order", (text) => text.replace(/n=user,(r=.*)/, "$1,n=user")],
  ];
  test.each(firsts)("of the first message: %s", async (_, first) => {
    const { step } = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", first });
    expect(refused(step)).toBe("malformed-request");
  });

  test("of the first message: broken UTF-8", async () => {
    const step = await begin("SCRAM-SHA-256").exchange.step(Buffer.from("n,,n=us\xffer,r=abc", "latin1"));
    expect(refused(step)).toBe("malformed-request");
  });

  test("of the first message: what the client did not sign", async () => {
    const { step } = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", first: (text) => `${text},x=1` });
    expect(refused(step)).toBe("not-authorized");
  });

  const finals: [string, string, (text: string) => string][] = [
    ["another proof", "not-authorized", flipLast],
    ["another nonce", "not-authorized", (text) => text.replace(/,p=/, "A,p=")],
    ["another GS2 header", "not-authorized", (text) => text.replace("c=biws", "c=eSws")],
    ["an extension the client did not sign", "not-authorized", (text) => text.replace(",p=", ",x=1,p=")],
    ["a short proof", "malformed-request", (text) => text.replace(/p=.*/, "p=AAAA")],
    ["an empty proof", "malformed-request", (text) => text.replace(/p=.*/, "p=")],
    ["base64 with bits to spare", "malformed-request", (text) => text.replace("c=biws", "c=biwt=")],
    ["no proof", "malformed-request", (text) => text.replace(/,p=.*/, "")],
    ["something behind the proof", "malformed-request", (text) => `${text},x=1`],
    ["a second nonce", "malformed-request", (text) => text.replace(",p=", ",r=abc,p=")],
    ["no binding", "malformed-request", (text) => text.replace("c=biws,", "")],
  ];
  test.each(finals)("of the final message: %s", async (_, condition, final) => {
    const { step } = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", final });
    expect(refused(step)).toBe(condition);
  });

  test("extensions that the client signed are ignored", async () => {
    const { exchange } = begin("SCRAM-SHA-256");
    const signed = (text: string) => `${text},y=2`;
    const { step, verified } = await login(exchange, { hash: "sha256", extra: ",x=later", signed });
    expect([step.is, verified]).toEqual(["success", true]);
  });

  test("a nonce that is not ours is refused although the client signed it", async () => {
    const signed = (text: string) => text.replace(/r=.*/, "r=chosenByTheClient");
    const { step } = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", signed });
    expect(refused(step)).toBe("not-authorized");
  });

  test.each([
    ["an authorization identity is put in", "n,,", "n,a=user@example.org,"],
    ["an authorization identity is taken out", "n,a=user@example.org,", "n,,"],
    ["the flag is changed", "y,,", "n,,"],
  ])("the GS2 header is changed on its way: %s", async (_, gs2, changed) => {
    const first = (text: string) => text.replace(gs2, changed);
    const { step } = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", gs2, first });
    expect(refused(step)).toBe("not-authorized");
  });

  test("every byte of the final message counts", async () => {
    const { context } = server({ tls: undefined });
    const make = () => scram("sha1", false, context, () => "fixed");
    let final = "";
    const first = await login(make(), { hash: "sha1", final: (text) => (final = text) });
    expect(first.step.is).toBe("success");
    for (let at = 0; at < final.length; at += 1) {
      const changed = (text: string) => `${text.slice(0, at)}${text[at] === "B" ? "C" : "B"}${text.slice(at + 1)}`;
      const { step } = await login(make(), { hash: "sha1", final: changed });
      expect(step.is, `byte ${at}`).toBe("failure");
    }
  });

  test("a finished exchange stays finished", async () => {
    const { exchange } = begin("SCRAM-SHA-256");
    expect((await login(exchange, { hash: "sha256" })).step.is).toBe("success");
    expect(refused((await login(exchange, { hash: "sha256" })).step)).toBe("malformed-request");
    const failed = begin("SCRAM-SHA-256").exchange;
    await login(failed, { hash: "sha256", password: "no" });
    expect(refused((await login(failed, { hash: "sha256" })).step)).toBe("malformed-request");
  });

  test("two messages in flight are refused", async () => {
    const { exchange } = begin("SCRAM-SHA-256");
    const both = await Promise.all([
      exchange.step(Buffer.from("n,,n=user,r=abc")),
      exchange.step(Buffer.from("n,,n=other,r=abc")),
    ]);
    expect(both.map(refused)).toEqual(["challenge", "malformed-request"]);
  });

  test("a proof replayed in another exchange is refused", async () => {
    let final = "";
    await login(begin("SCRAM-SHA-1").exchange, { hash: "sha1", final: (text) => (final = text) });
    const { step } = await login(begin("SCRAM-SHA-1").exchange, { hash: "sha1", final: () => final });
    expect(refused(step)).toBe("not-authorized");
  });
});

describe("downgrades", () => {
  test("a client that saw no -PLUS although it was offered is refused", async () => {
    const { step } = await login(begin("SCRAM-SHA-256").exchange, { hash: "sha256", gs2: "y,," });
    expect(refused(step)).toBe("not-authorized");
  });

  test("without TLS that can be bound, such a client logs in", async () => {
    const { step } = await login(begin("SCRAM-SHA-256", { tls: {} }).exchange, { hash: "sha256", gs2: "y,," });
    expect(step.is).toBe("success");
  });

  test("binding and mechanism must agree", async () => {
    const plus = await login(begin("SCRAM-SHA-256-PLUS").exchange, { hash: "sha256", gs2: "n,," });
    const bare = await login(begin("SCRAM-SHA-256").exchange, {
      hash: "sha256",
      gs2: "p=tls-exporter,,",
      binding: Buffer.alloc(32, 7),
    });
    expect([plus, bare].map(({ step }) => refused(step))).toEqual(["malformed-request", "malformed-request"]);
  });

  test.each(["tls-unique", "tls-exporter", "constructor"])("a binding type that was not offered: %s", async (type) => {
    const { exchange } = begin("SCRAM-SHA-256-PLUS", { tls: { endPoint: Buffer.alloc(32, 9) } });
    const { step } = await login(exchange, { hash: "sha256", gs2: `p=${type},,`, binding: Buffer.alloc(32, 9) });
    expect(refused(step)).toBe("not-authorized");
  });
});

describe("accounts that are not there", () => {
  const challengeOf = async (user: string, setup?: Setup, mechanism = "SCRAM-SHA-256") => {
    const step = await begin(mechanism, setup).exchange.step(Buffer.from(`n,,n=${user},r=abc`));
    if (step.is !== "challenge") throw new Error("no challenge");
    return step.data.toString().replace(/^r=[^,]*,/, "");
  };

  test("show the same salt each time, whatever their spelling, and another one for each name and hash", async () => {
    const salt = await challengeOf("nobody");
    expect(salt).toMatch(/^s=[A-Za-z0-9+/]{22}==,i=4096$/);
    expect(await challengeOf("nobody")).toBe(salt);
    expect(await challengeOf("NoBody@example.org")).toBe(salt);
    expect(await challengeOf("nobody2")).not.toBe(salt);
    expect(await challengeOf("nobody", {}, "SCRAM-SHA-1")).not.toBe(salt);
  });

  test("show the iteration count of new keys", async () => {
    expect(await challengeOf("nobody", { iterations: 9000 })).toMatch(/,i=9000$/);
  });

  test("look like existing ones and fail in the same words", async () => {
    expect((await challengeOf("nobody")).length).toBe((await challengeOf("user")).length);
    const unknown = begin("SCRAM-SHA-256");
    const wrong = begin("SCRAM-SHA-256");
    const first = await login(unknown.exchange, { hash: "sha256", user: "nobody" });
    const second = await login(wrong.exchange, { hash: "sha256", password: "no" });
    expect({ ...first.step, name: "" }).toEqual({ ...second.step, name: "" });
    expect(unknown.attempts).toEqual(["-nobody"]);
  });

  test("an account without keys of the hash cannot log in with it", async () => {
    const only = { sha1: pencil.sha1 };
    const strong = await login(begin("SCRAM-SHA-256", { credentials: only }).exchange, { hash: "sha256" });
    const weak = await login(begin("SCRAM-SHA-1", { credentials: only }).exchange, { hash: "sha1" });
    expect([refused(strong.step), weak.step.is]).toEqual(["not-authorized", "success"]);
  });
});

describe("accounts that may not", () => {
  test("a disabled account is told so only when the password was right", async () => {
    const right = await login(begin("SCRAM-SHA-256", { disabled: true }).exchange, { hash: "sha256" });
    const wrong = await login(begin("SCRAM-SHA-256", { disabled: true }).exchange, { hash: "sha256", password: "no" });
    expect([refused(right.step), refused(wrong.step)]).toEqual(["account-disabled", "not-authorized"]);
  });

  test("who is refused by the slow-down is not judged", async () => {
    const { exchange, attempts } = begin("SCRAM-SHA-256", { refuse: true });
    expect(refused((await login(exchange, { hash: "sha256" })).step)).toBe("temporary-auth-failure");
    expect(attempts).toEqual([]);
  });
});

test("an empty <auth/> is asked for the first message", async () => {
  const { exchange } = begin("SCRAM-SHA-256");
  expect(await exchange.step(undefined)).toEqual({ is: "challenge", data: Buffer.alloc(0) });
  expect((await login(exchange, { hash: "sha256" })).step.is).toBe("success");
});
