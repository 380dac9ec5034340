import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { auth, guess, guessFor, plain, response, say, scramLogin } from "./sasl.ts";

/** Guessing, lying and downgrading at login. RFC 6120 §6, RFC 5802 §6, XEP-0440; checklist "Failed logins are slowed". */

let core: TestCore;
let clock: ManualClock;
const properties = {
  "sasl.mechs": "SCRAM-SHA-512-PLUS,SCRAM-SHA-256-PLUS,SCRAM-SHA-1-PLUS,SCRAM-SHA-256,SCRAM-SHA-1,PLAIN",
  "sasl.scram-sha-1.iteration-count": "64",
  "xmpp.client.tls.policy": "required",
};
async function start(): Promise<void> {
  clock = manualClock();
  core = await startTestCore({ users: ["alice", "bob"], clock, properties });
}

const connect = (more: { from?: string; tls?: "none" | "direct"; maxVersion?: "TLSv1.2" } = {}) =>
  XmppClient.connect({
    host: "127.0.0.1",
    port: more.tls === "direct" ? core.directPort : core.port,
    domain: "localhost",
    ...more,
  });

/** Guesses on as many streams as it takes; each must be judged at once. */
async function guessInVain(user: string | ((i: number) => string), count: number, from?: string): Promise<void> {
  let client: XmppClient | undefined;
  for (let i = 0; i < count; i++) {
    // Four a stream are allowed, three leave it open.
    if (i % 3 === 0) {
      client?.drop();
      client = await connect({ ...(from === undefined ? {} : { from }) });
    }
    expect(await guess(client as XmppClient, typeof user === "string" ? user : user(i))).toBe("not-authorized");
  }
  client?.drop();
}

/** How long the server makes this attempt wait, ms; 0 if it answers at once. */
async function waitFor(attempt: Promise<string>): Promise<number> {
  const before = clock.waits().length;
  const answered = attempt.then(() => true as const);
  while (clock.waits().length === before)
    if ((await Promise.race([answered, new Promise((resolve) => setImmediate(resolve, false))])) === true) return 0;
  // The newest is this attempt's: other parts of the server wait for things of their own.
  const wait = clock.waits().at(-1) ?? 0;
  clock.pass(wait);
  await attempt;
  return wait;
}

describe("wrong passwords", () => {
  beforeEach(start);
  afterEach(() => core.close());

  test("for one account are slowed wherever they come from, then refused; time forgives", async () => {
    await guessInVain("alice", 5);
    const elsewhere = await connect({ from: "127.9.9.9" });
    expect(await waitFor(guess(elsewhere, "alice"))).toBe(10_000);
    expect(await waitFor(guess(elsewhere, "bob"))).toBe(0);
    // Attempts at once wait one behind the other, and whoever would wait too long is refused without being judged.
    const crowd = await Promise.all([1, 2, 3, 4].map((i) => connect({ from: `127.8.${i}.1` })));
    const outcomes: string[] = [];
    const guesses = crowd.map((client) => guess(client, "alice").then((outcome) => outcomes.push(outcome)));
    await expect.poll(() => outcomes).toEqual(["temporary-auth-failure", "temporary-auth-failure"]);
    expect(clock.waits().sort((a, b) => a - b)).toEqual([10_000, 20_000]);
    clock.pass(20_000);
    await Promise.all(guesses);
    // Now even the right password is refused, or guessing would be told from knowing.
    const owner = await connect({ from: "127.7.7.7" });
    expect(await waitFor(scramLogin(owner, { user: "alice" }))).toBeGreaterThan(0);
    clock.pass(600_000);
    await (await core.login("alice")).ping();
  });

  test("lock nobody out of the network where he logged in before", async () => {
    await core.login("alice", { from: "127.5.5.5" });
    await guessInVain("alice", 5, "127.6.6.6");
    expect(await waitFor(guess(await connect({ from: "127.6.6.6" }), "alice"))).toBeGreaterThan(0);
    const home = await connect({ from: "127.5.5.5" });
    expect(await waitFor(scramLogin(home, { user: "alice" }))).toBe(0);
  });

  test("from one address are slowed whatever the account", async () => {
    await guessInVain((i) => `user${i}`, 10, "127.2.2.2");
    expect(await waitFor(guess(await connect({ from: "127.2.2.2" }), "another"))).toBe(5_000);
    expect(await waitFor(guess(await connect({ from: "127.2.2.3" }), "another"))).toBe(0);
  });

  test("from one network are slowed whatever the address", async () => {
    for (let host = 1; host <= 5; host++) await guessInVain((i) => `user${host}-${i}`, 10, `127.3.3.${host}`);
    expect(await waitFor(guess(await connect({ from: "127.3.3.99" }), "another"))).toBe(1_000);
    expect(await waitFor(guess(await connect({ from: "127.3.4.99" }), "another"))).toBe(0);
  });

  test("with PLAIN count like those with SCRAM", async () => {
    for (let i = 0; i < 5; i++) {
      const client = await connect();
      expect((await say(client, plain("alice", "wrong"))).condition).toBe("not-authorized");
      client.drop();
    }
    expect(await waitFor(guess(await connect({ from: "127.9.9.9" }), "alice"))).toBe(10_000);
  });

  test("from trusted networks are not slowed", async () => {
    await core.set({ "firekeeper.client.trusted-networks": "127.4.0.0/16" });
    await guessInVain("alice", 30, "127.4.4.4");
  });

  test("four on one stream end it", async () => {
    const client = await connect();
    for (let i = 0; i < 4; i++) expect(await guess(client, "alice")).toBe("not-authorized");
    expect(await client.streamError()).toBe("policy-violation");
    expect((await client.ended).streamEnded).toBe(true);
  });
});

describe("on one server, whose debts time forgives", () => {
  beforeAll(start);
  afterAll(() => core.close());
  afterEach(async () => {
    XmppClient.dropAll();
    clock.pass(3_600_000);
    await core.set(properties);
  });

  describe("what counts", () => {
    test.each([
      ["an aborted exchange", `<abort xmlns='${ns.sasl}'/>`, "aborted"],
      ["an unknown mechanism", auth("X-NONE", ""), "invalid-mechanism"],
      ["a response to nothing", response("x"), "malformed-request"],
      ["bad base64", `<auth xmlns='${ns.sasl}' mechanism='PLAIN'>!!!</auth>`, "incorrect-encoding"],
      ["an empty password", plain("alice", ""), "malformed-request"],
      ["a name that nobody can have", plain("a b@c@d", "x"), "not-authorized"],
    ])("%s counts as an attempt too", async (_name, xml, condition) => {
      const client = await connect();
      for (let i = 0; i < 4; i++) expect((await say(client, xml)).condition).toBe(condition);
      expect(await client.streamError()).toBe("policy-violation");
    });

    test("an exchange begun and left for another is an attempt too", async () => {
      const client = await connect();
      const first = auth("SCRAM-SHA-1", "n,,n=alice,r=abc");
      for (let i = 0; i < 4; i++) expect((await say(client, first)).is).toBe("challenge");
      client.send(first);
      expect(await client.streamError()).toBe("policy-violation");
    });
  });

  describe("nobody learns which accounts exist", () => {
    const parts = (challenge: string) => {
      const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge) ?? [];
      return { nonce: nonce?.length, saltBytes: Buffer.from(salt ?? "", "base64").length, iterations, salt };
    };
    const challengeFor = async (user: string, mechanism: string) => {
      const client = await connect();
      const { data } = await say(client, auth(mechanism, `n,,n=${user},r=abc`));
      const final = await say(client, response(guessFor(data, mechanism)));
      client.drop();
      return { ...parts(data), final };
    };

    test.each(["SCRAM-SHA-1", "SCRAM-SHA-256"])(
      "%s: the same shape, the same salt each time, the same refusal",
      async (m) => {
        const known = await challengeFor("alice", m);
        const unknown = await challengeFor("nobody", m);
        expect({ ...unknown, salt: "" }).toEqual({ ...known, salt: "" });
        expect(unknown.final).toEqual({ is: "failure", condition: "not-authorized", data: "" });
        clock.pass(3_600_000);
        expect((await challengeFor("NoBody@localhost", m)).salt).toBe(unknown.salt);
        expect((await challengeFor("somebody", m)).salt).not.toBe(unknown.salt);
        expect((await challengeFor("alice", m)).salt).toBe(known.salt);
        await core.restart();
        expect((await challengeFor("nobody", m)).salt).toBe(unknown.salt);
      },
    );

    test("PLAIN refuses in the same words", async () => {
      const client = await connect();
      expect(await say(client, plain("nobody", "x"))).toEqual(await say(client, plain("alice", "x")));
    });

    test("a disabled account says so only to who knows the password", async () => {
      const { accounts, names } = core.server;
      const bob = accounts.get(names.primary.id, "bob");
      if (bob === undefined) throw new Error("no bob");
      bob.enabled = false;
      const client = await connect();
      expect(await scramLogin(client, { user: "bob", password: "wrong" })).toBe("not-authorized");
      expect(await scramLogin(client, { user: "bob" })).toBe("account-disabled");
      expect((await say(client, plain("bob", "bob"))).condition).toBe("account-disabled");
      bob.enabled = true;
    });
  });

  describe("mechanisms", () => {
    test.each(["DIGEST-MD5", "CRAM-MD5", "ANONYMOUS", "EXTERNAL", "SCRAM-SHA-512", "scram-sha-1", ""])(
      "%j was not offered and does not start",
      async (mechanism) => {
        expect((await say(await connect(), auth(mechanism, "n,,n=alice,r=abc"))).condition).toBe("invalid-mechanism");
      },
    );

    test.each(["required", "optional", "disabled"])(
      "PLAIN does not start before TLS when the policy is %s, though sasl.mechs names it",
      async (policy) => {
        await core.set({ "xmpp.client.tls.policy": policy });
        const client = await connect({ tls: "none" });
        expect(client.features?.toString()).not.toContain("PLAIN");
        expect((await say(client, plain("alice", "alice"))).condition).toBe(
          policy === "required" ? "encryption-required" : "invalid-mechanism",
        );
        const scrammed = await connect({ tls: "none" });
        expect(await scramLogin(scrammed, { user: "alice" })).toBe(
          policy === "required" ? "encryption-required" : "success",
        );
      },
    );

    test("a login that TLS must come before is an attempt too", async () => {
      const client = await connect({ tls: "none" });
      for (let i = 0; i < 4; i++)
        expect((await say(client, plain("alice", "alice"))).condition).toBe("encryption-required");
      expect(await client.streamError()).toBe("policy-violation");
    });
  });

  describe("the authorization identity", () => {
    test.each([
      ["alice@localhost", "success"],
      ["ALICE@localhost", "success"],
      ["bob@localhost", "invalid-authzid"],
      ["admin@localhost", "invalid-authzid"],
      ["localhost", "invalid-authzid"],
      ["alice@elsewhere.example", "invalid-authzid"],
      ["alice@localhost/desk", "invalid-authzid"],
      ["@localhost", "invalid-authzid"],
    ])("%s is judged alike by PLAIN and SCRAM, and only behind the password: %s", async (authzid, outcome) => {
      const saidPlain = await say(await connect(), plain("alice", "alice", authzid));
      expect(saidPlain.is === "success" ? "success" : saidPlain.condition).toBe(outcome);
      expect(await scramLogin(await connect(), { user: "alice", authzid })).toBe(outcome);
      expect((await say(await connect(), plain("alice", "wrong", authzid))).condition).toBe("not-authorized");
      expect(await scramLogin(await connect(), { user: "alice", password: "wrong", authzid })).toBe("not-authorized");
    });
  });

  describe("downgrades", () => {
    test("a client that saw no -PLUS although it was offered is refused, one that cannot bind is not", async () => {
      expect(await scramLogin(await connect(), { user: "alice", flag: "y" })).toBe("not-authorized");
      expect(await scramLogin(await connect(), { user: "alice", flag: "n" })).toBe("success");
    });

    test("where nothing can be bound such a client is right", async () => {
      await core.set({ "sasl.mechs": "SCRAM-SHA-256,SCRAM-SHA-1" });
      expect(await scramLogin(await connect(), { user: "alice", flag: "y" })).toBe("success");
    });

    test.each(["tls-exporter", "tls-server-end-point"] as const)(
      "%s of another connection does not bind",
      async (binding) => {
        const mechanism = "SCRAM-SHA-256-PLUS";
        expect(await scramLogin(await connect(), { user: "alice", mechanism, binding })).toBe("success");
        const data = Buffer.alloc(32, 7);
        expect(await scramLogin(await connect(), { user: "alice", mechanism, binding, data })).toBe("not-authorized");
      },
    );

    test("mechanism, flag and type must agree", async () => {
      const refused = (more: object) => connect().then((client) => scramLogin(client, { user: "alice", ...more }));
      expect(await refused({ mechanism: "SCRAM-SHA-1", flag: "p=tls-exporter" })).toBe("malformed-request");
      expect(await refused({ mechanism: "SCRAM-SHA-1-PLUS", flag: "n" })).toBe("malformed-request");
      expect(await refused({ mechanism: "SCRAM-SHA-1-PLUS", flag: "y" })).toBe("malformed-request");
      expect(await refused({ mechanism: "SCRAM-SHA-1-PLUS", flag: "p=tls-none" })).toBe("not-authorized");
    });

    test("TLS 1.2 has no exporter: that type is neither listed nor taken there", async () => {
      const client = await connect({ tls: "direct", maxVersion: "TLSv1.2" });
      expect(client.features?.toString()).not.toContain("tls-exporter");
      const lie = { user: "alice", mechanism: "SCRAM-SHA-1-PLUS", flag: "p=tls-exporter", data: Buffer.alloc(32) };
      expect(await scramLogin(client, lie)).toBe("not-authorized");
      const binding = "tls-server-end-point" as const;
      expect(await scramLogin(client, { user: "alice", mechanism: "SCRAM-SHA-1-PLUS", binding })).toBe("success");
    });

    test("a message of one exchange is worth nothing in another", async () => {
      const [one, other] = [await connect(), await connect()];
      const first = auth("SCRAM-SHA-1", "n,,n=alice,r=abc");
      const { data } = await say(one, first);
      await say(other, first);
      expect((await say(other, response(guessFor(data)))).condition).toBe("not-authorized");
    });
  });
});
