import { readFile } from "node:fs/promises";
import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import {
  authenticate,
  bindElement,
  condition,
  laptop,
  phone,
  requestToken,
  type Sasl2Login,
  sasl2,
  tokenOf,
  verifyResponder,
} from "../support/sasl2.ts";
import { type Where, XmppClient } from "../support/xmpp-client.ts";

/** Tokens instead of passwords: XEP-0484. */

const dayMs = 24 * 3600 * 1000;
let core: TestCore;
let clock: ManualClock;
let people = 0;
let failing = false;
beforeAll(async () => {
  clock = manualClock();
  const properties = { "xmpp.client.idle": "-1" };
  core = await startTestCore({ domain: "chat.example", clock, properties, testing: { failWrites: () => failing } });
});
afterEach(async () => {
  XmppClient.dropAll();
  await core.set({ "firekeeper.login-tokens.days": null, "firekeeper.sasl.plain-alone": null });
});
afterAll(() => core.close());

/** Somebody whom no other test knows. */
async function person(): Promise<string> {
  const name = `person${++people}`;
  await core.addUser(name);
  return name;
}
function accountOf(name: string) {
  const account = core.server.accounts.get(core.server.names.primary.id, name);
  if (account === undefined) throw new Error(`no ${name}`);
  return account;
}
const connect = (more: Partial<Where> = {}) =>
  XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "chat.example", ...more });

async function byPassword(user: string, more: Partial<Sasl2Login> = {}): Promise<Element> {
  const client = await connect();
  const outcome = await authenticate(client, { user, agent: phone, inside: requestToken(), ...more });
  client.drop();
  return outcome;
}
async function tokenFor(user: string, mechanism = "HT-SHA-256-EXPR", agent = phone): Promise<string> {
  const token = tokenOf(await byPassword(user, { agent, inside: requestToken(mechanism) }));
  if (token === undefined) throw new Error("no token");
  return token;
}
/** A login by token on a connection of its own. */
async function byToken(user: string, token: string, more: Partial<Sasl2Login> = {}): Promise<Element> {
  const client = await connect();
  const outcome = await authenticate(client, { user, token, mechanism: "HT-SHA-256-EXPR", agent: phone, ...more });
  if (outcome.getName() === "success") verifyResponder(client, more.mechanism ?? "HT-SHA-256-EXPR", token, outcome);
  client.drop();
  return outcome;
}

describe("a token", () => {
  test.each(["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"])(
    "logs in by %s, again and again",
    async (mechanism) => {
      const user = await person();
      const token = await tokenFor(user, mechanism);
      for (let login = 0; login < 2; login++) {
        const client = await connect();
        const success = await authenticate(client, { user, token, mechanism, agent: phone, inside: bindElement() });
        verifyResponder(client, mechanism, token, success);
        expect(success.getChildText("authorization-identifier")).toBe(client.jid);
        expect(tokenOf(success)).toBeUndefined();
        await client.ping();
        client.drop();
      }
    },
  );

  test("comes with the time at which it ends", async () => {
    const success = await byPassword(await person());
    const { token, expiry } = success.getChild("token", sasl2.fast)?.attrs ?? {};
    expect(Buffer.from(token, "base64url").length).toBe(32);
    expect(expiry).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(Math.round((Date.parse(expiry) - clock.now()) / dayMs)).toBe(21);
  });

  test("belongs to a device: without the id of one there is none", async () => {
    const user = await person();
    for (const agent of [undefined, "", "no-uuid", `${phone}0`])
      expect(tokenOf(await byPassword(user, { agent }))).toBeUndefined();
    expect(tokenOf(await byPassword(user, { agent: phone.toUpperCase() }))).toBeDefined();
  });

  test("is given for mechanisms that this connection has, not for others", async () => {
    const user = await person();
    for (const mechanism of ["HT-SHA-256-UNIQ", "SCRAM-SHA-256", ""])
      expect(tokenOf(await byPassword(user, { inside: requestToken(mechanism) }))).toBeUndefined();
    const older = await connect({ maxVersion: "TLSv1.2" });
    const login = { user, agent: phone, binding: "tls-server-end-point" } as const;
    expect(tokenOf(await authenticate(older, { ...login, inside: requestToken() }))).toBeUndefined();
  });

  test("is not given to who is not let in", async () => {
    const failure = await byPassword(await person(), { password: "wrong" });
    expect(failure.toString()).not.toContain(sasl2.fast);
  });

  test("is written nowhere: the database alone lets nobody in", async () => {
    const user = await person();
    const token = await tokenFor(user);
    await byToken(user, token);
    const files = await Promise.all(
      ["core.db", "core.db-wal"].map((name) => readFile(`${core.home}/${name}`).catch(() => Buffer.alloc(0))),
    );
    for (const file of files)
      for (const secret of [token, Buffer.from(token, "base64url"), phone]) expect(file.includes(secret)).toBe(false);
  });

  test("resumes a session in one step", async () => {
    const user = await person();
    const client = await connect();
    const enable = `<enable xmlns='${sasl2.sm}' resume='true'/>`;
    const inside = requestToken() + bindElement(enable);
    const success = await authenticate(client, { user, agent: phone, inside });
    const id = success.getChild("bound", sasl2.bind)?.getChild("enabled", sasl2.sm)?.attrs.id;
    client.drop();
    const resume = `<resume xmlns='${sasl2.sm}' previd='${id}' h='0'/>${bindElement()}`;
    const again = await byToken(user, tokenOf(success) ?? "", { inside: resume });
    expect(again.getChild("resumed", sasl2.sm)?.attrs.previd).toBe(id);
    expect(again.getChildText("authorization-identifier")).toBe(client.jid);
  });
});

describe("it is refused", () => {
  test.each([
    ["of another device", { agent: laptop }, "not-authorized"],
    ["with a mechanism it was not given for", { mechanism: "HT-SHA-256-NONE" }, "credentials-expired"],
    ["bound more loosely than it was given for", { mechanism: "HT-SHA-256-ENDP" }, "credentials-expired"],
    ["without a device", { agent: undefined }, "malformed-request"],
    ["with a count that is no number", { fast: "count='many'" }, "malformed-request"],
  ] as const)("%s", async (_why, more, expected) => {
    const user = await person();
    const token = await tokenFor(user);
    expect(condition(await byToken(user, token, more))).toBe(expected);
    expect(condition(await byToken(user, token))).toBe("success");
  });

  test("of another person, and of nobody", async () => {
    const [owner, other] = [await person(), await person()];
    const token = await tokenFor(owner);
    await tokenFor(other);
    expect(condition(await byToken(other, token))).toBe("not-authorized");
    expect(condition(await byToken("nobody", token))).toBe("not-authorized");
  });

  test("on a connection that it is not bound to", async () => {
    const user = await person();
    const token = await tokenFor(user, "HT-SHA-256-EXPR");
    const older = await connect({ maxVersion: "TLSv1.2" });
    const fast = { user, token, mechanism: "HT-SHA-256-EXPR", agent: phone };
    await expect(authenticate(older, fast)).resolves.toSatisfy(
      (one: Element) => condition(one) === "invalid-mechanism",
    );
  });

  test("when it has ended, and the password is taken on the same stream", async () => {
    const user = await person();
    const token = await tokenFor(user);
    clock.pass(21 * dayMs + 1000);
    const client = await connect();
    const fast = { user, token, mechanism: "HT-SHA-256-EXPR", agent: phone };
    expect(condition(await authenticate(client, fast))).toBe("credentials-expired");
    const success = await authenticate(client, { user, agent: phone, inside: requestToken() });
    expect(condition(await byToken(user, tokenOf(success) ?? ""))).toBe("success");
  });

  test("with another password, whoever set it", async () => {
    const user = await person();
    const token = await tokenFor(user);
    const { accounts, storage } = core.server;
    const keys = await accounts.credentials(accountOf(user));
    await storage.write(accounts.setCredentials(accountOf(user), keys, "another"));
    expect(condition(await byToken(user, token))).toBe("credentials-expired");
    expect(condition(await byPassword(user))).toBe("success");
  });

  test("while the account is disabled, and also when it is enabled again", async () => {
    const user = await person();
    const token = await tokenFor(user);
    const account = accountOf(user);
    const change = async (enabled: boolean): Promise<void> => {
      account.enabled = enabled;
      await core.server.storage.write(core.server.accounts.save(account));
      for (const { account: handlers } of core.server.handlers) handlers?.changed?.(account);
    };
    await change(false);
    expect(condition(await byToken(user, token))).not.toBe("success");
    await change(true);
    expect(condition(await byToken(user, token))).toBe("not-authorized");
    expect(condition(await byPassword(user))).toBe("success");
  });

  test("when the account was disabled just before a crash", async () => {
    const user = await person();
    const token = await tokenFor(user);
    accountOf(user).enabled = false;
    await core.server.storage.write(core.server.accounts.save(accountOf(user)));
    await core.crash();
    accountOf(user).enabled = true;
    expect(condition(await byToken(user, token))).toBe("not-authorized");
  });

  test("where tokens are off, for those that were given too", async () => {
    const user = await person();
    const token = await tokenFor(user);
    await core.set({ "firekeeper.login-tokens.days": "0" });
    const client = await connect();
    expect(client.features?.toString()).not.toContain(sasl2.fast);
    expect(condition(await byToken(user, token))).toBe("invalid-mechanism");
    expect(tokenOf(await byPassword(user))).toBeUndefined();
  });

  test("where a directory judges the passwords: none is given", async () => {
    const user = await person();
    const { accounts, storage } = core.server;
    const token = await tokenFor(user);
    const account = accountOf(user);
    const { credentialsHash } = account;
    const keys = await accounts.credentials(account);
    await storage.write(accounts.setCredentials(account, { passwordFrom: "ldap" }, credentialsHash));
    expect(condition(await byToken(user, token))).toBe("credentials-expired");
    await storage.write(accounts.setCredentials(account, keys, credentialsHash));
    // Nor does one who has just been let in get one.
    await core.set({ "firekeeper.sasl.plain-alone": "never" });
    account.password = { hasKeys: true, cost: undefined, from: "ldap", lacks: [] };
    const success = await byPassword(user);
    expect([condition(success), tokenOf(success)]).toEqual(["success", undefined]);
    await storage.write(accounts.setCredentials(account, keys, credentialsHash));
  });
});

describe("rotation", () => {
  test("after a day a new one comes; the old one works until that is used", async () => {
    const user = await person();
    const first = await tokenFor(user);
    clock.pass(dayMs + 60_000);
    const second = tokenOf(await byToken(user, first));
    expect(second).toBeDefined();
    // The answer was lost: the former one works, and a new one takes the place of the one that nobody has.
    const third = tokenOf(await byToken(user, first));
    expect(third).toBeDefined();
    expect(condition(await byToken(user, second ?? ""))).toBe("not-authorized");
    expect(condition(await byToken(user, third ?? ""))).toBe("success");
    expect(condition(await byToken(user, first))).toBe("not-authorized");
  });

  test("a token that is asked for again takes the place of the one that was not used", async () => {
    const user = await person();
    const [first, second] = [await tokenFor(user), await tokenFor(user)];
    expect(condition(await byToken(user, first))).toBe("not-authorized");
    expect(condition(await byToken(user, second))).toBe("success");
  });

  test("one may be asked for with one", async () => {
    const user = await person();
    const first = await tokenFor(user);
    const success = await byToken(user, first, { inside: requestToken("HT-SHA-256-NONE") });
    const second = tokenOf(success) ?? "";
    expect(condition(await byToken(user, second, { mechanism: "HT-SHA-256-NONE" }))).toBe("success");
    expect(condition(await byToken(user, first))).toBe("not-authorized");
  });

  test("devices do not disturb each other", async () => {
    const user = await person();
    const first = await tokenFor(user, "HT-SHA-256-EXPR", phone);
    const second = await tokenFor(user, "HT-SHA-256-EXPR", laptop);
    expect(condition(await byToken(user, first))).toBe("success");
    expect(condition(await byToken(user, second, { agent: laptop }))).toBe("success");
  });

  test.each(["true", "1"])("invalidate='%s' logs in for the last time", async (value) => {
    const user = await person();
    const token = await tokenFor(user);
    clock.pass(dayMs + 60_000);
    const success = await byToken(user, token, { fast: `invalidate='${value}'` });
    expect(tokenOf(success)).toBeUndefined();
    expect(condition(await byToken(user, token))).toBe("not-authorized");
  });

  test("unless a new one is asked for at the same time", async () => {
    const user = await person();
    const token = await tokenFor(user);
    const success = await byToken(user, token, { fast: "invalidate='true'", inside: requestToken() });
    expect(condition(await byToken(user, token))).toBe("not-authorized");
    expect(condition(await byToken(user, tokenOf(success) ?? ""))).toBe("success");
  });
});

describe("counted", () => {
  test("each count is taken once, and only upwards", async () => {
    const user = await person();
    const token = await tokenFor(user);
    const login = async (count: number) => condition(await byToken(user, token, { fast: `count='${count}'` }));
    expect(await login(3)).toBe("success");
    expect(await login(3)).toBe("credentials-expired");
    expect(await login(2)).toBe("credentials-expired");
    // Who has begun to count cannot leave it out.
    expect(condition(await byToken(user, token))).toBe("credentials-expired");
    expect(await login(4)).toBe("success");
  });

  test("of two at once one gets in", async () => {
    const user = await person();
    const token = await tokenFor(user);
    const login = () => byToken(user, token, { fast: "count='7'" });
    const outcomes = await Promise.all([login(), login(), login()]);
    expect(outcomes.map(condition).sort()).toEqual(["credentials-expired", "credentials-expired", "success"]);
  });

  test("also after a crash", async () => {
    const user = await person();
    const token = await tokenFor(user);
    expect(condition(await byToken(user, token, { fast: "count='5'" }))).toBe("success");
    await core.crash();
    expect(condition(await byToken(user, token, { fast: "count='5'" }))).toBe("credentials-expired");
    expect(condition(await byToken(user, token, { fast: "count='6'" }))).toBe("success");
  });
});

describe("while the disk takes nothing", () => {
  test("people get in, no token is given that would not be known, and no count is taken that would be forgotten", async () => {
    const user = await person();
    const token = await tokenFor(user);
    failing = true;
    try {
      const success = await byPassword(user, { agent: laptop, inside: requestToken() + bindElement() });
      expect([condition(success), tokenOf(success)]).toEqual(["success", undefined]);
      expect(condition(await byToken(user, token))).toBe("success");
      expect(condition(await byToken(user, token, { fast: "count='1'" }))).toBe("temporary-auth-failure");
    } finally {
      failing = false;
    }
    const health = () => {
      clock.pass(1000);
      return core.server.storage.health;
    };
    await expect.poll(health, { timeout: 10_000 }).toBe("ok");
    expect(condition(await byToken(user, token, { fast: "count='1'" }))).toBe("success");
  });
});

describe("it stays", () => {
  test("over a restart and a crash", async () => {
    const user = await person();
    const token = await tokenFor(user);
    await core.restart();
    expect(condition(await byToken(user, token))).toBe("success");
    await core.crash();
    expect(condition(await byToken(user, token))).toBe("success");
  });

  test("with a person who is given another name, and under both names of the domain", async () => {
    const user = await person();
    const token = await tokenFor(user);
    const { accounts, storage } = core.server;
    await storage.write(accounts.rename(accountOf(user), "renamed"));
    await core.rename("new.example", null);
    for (const name of [user, "renamed", "renamed@new.example", `${user}@chat.example`]) {
      const success = await byToken(name, token);
      expect(success.getChildText("authorization-identifier")).toBe("renamed@chat.example");
    }
  });
});
