import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { command, commandNote, commandStatus, explained, formFields, runCommand } from "../support/commands.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import { LoginRefused, type XmppClient } from "../support/xmpp-client.ts";

// XEP-0133
const admin = "http://jabber.org/protocol/admin";
let core: TestCore;
let boss: XmppClient;
let uses: string[] = [];
let stopped = 0;
beforeAll(async () => {
  core = await startTestCore({
    users: ["admin", "alice", "bob"],
    properties: { "firekeeper.password.least-length": "4" },
    onStop: () => stopped++,
  });
  core.server.rights.onUsed(({ who, what, on }) => uses.push(`${who} ${what} ${on}`));
  boss = await core.login("admin");
});
afterEach(() => {
  uses = [];
});
afterAll(() => core.close());

const run = (node: string, fields: Record<string, readonly string[]>, by = boss) =>
  runCommand(by, `${admin}#${node}`, fields);
const ask = (node: string, by = boss) => command(by, `${admin}#${node}`);
const newUser = (name: string, password = name, more: Record<string, readonly string[]> = {}) =>
  run("add-user", { accountjid: [`${name}@localhost`], password: [password], "password-verify": [password], ...more });
const remove = (...names: string[]) => run("delete-user", { accountjids: names.map((name) => `${name}@localhost`) });
const refused = async (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => "",
    (error: unknown) => (error instanceof LoginRefused ? error.condition : String(error)),
  );

async function online(user: string, presence = ""): Promise<XmppClient> {
  const client = await core.login(user);
  client.presence(presence);
  await client.next("presence", (stanza) => stanza.attrs.from === client.jid);
  return client;
}

describe("users", () => {
  test("the admin makes a user who can log in, though registration is closed, and removes him with everything", async () => {
    const form = await ask("add-user");
    expect([...formFields(form).keys()]).toEqual([
      ...["FORM_TYPE", "accountjid", "password", "password-verify", "email", "given_name", "surname"],
    ]);
    const made = await newUser("juliet", "R0m30", { given_name: ["Juliet"], surname: ["Capulet"] });
    expect(commandStatus(made)).toBe("completed");
    expect(uses).toEqual(["admin@localhost add user juliet"]);
    const juliet = await core.login("juliet", { password: "R0m30" });
    const account = core.server.accounts.get(1, "juliet");
    expect(account).toMatchObject({ origin: "local", displayName: "Juliet Capulet", enabled: true });
    expect(commandStatus(await remove("juliet"))).toBe("completed");
    await juliet.ended;
    expect(await refused(core.login("juliet", { password: "R0m30" }))).toBe("not-authorized");
    expect(core.server.accounts.get(1, "juliet")).toBeUndefined();
    // The name is free for another person.
    expect(commandStatus(await newUser("juliet"))).toBe("completed");
    await remove("juliet");
  });

  test("what cannot be a user is refused with its reason", async () => {
    expect(errorCondition(await newUser("alice"))).toBe("conflict");
    expect(explained(await newUser("alice"))).toContain("host application");
    expect(errorCondition(await newUser("shorty", "abc"))).toBe("not-acceptable");
    const differ = { accountjid: ["d@localhost"], password: ["secret1"], "password-verify": ["secret2"] };
    expect(explained(await run("add-user", differ))).toContain("differ");
    for (const accountjid of ["d@elsewhere.example", "localhost", "d@localhost/desk", "@", "d@proxy.localhost"]) {
      const fields = { accountjid: [accountjid], password: ["secret"], "password-verify": ["secret"] };
      expect(errorCondition(await run("add-user", fields)), accountjid).toBe("bad-request");
    }
    expect(core.server.accounts.get(1, "d")).toBeUndefined();
    expect(uses).toEqual([]);
  });

  test("users of the host, and the own account, are left alone, and then so are all others named", async () => {
    await newUser("local1");
    for (const node of ["delete-user", "disable-user"]) {
      const answer = await run(node, { accountjids: ["local1@localhost", "bob@localhost"] });
      expect(errorCondition(answer), node).toBe("not-allowed");
      expect(explained(answer)).toContain("host application");
    }
    expect(explained(await remove("admin"))).toContain("your own account");
    expect(explained(await remove("local1", "nobody"))).toContain("no user nobody");
    await (await core.login("local1")).close();
    await remove("local1");
  });

  test("a disabled user is out and stays out until he is enabled again", async () => {
    await newUser("iago");
    const iago = await core.login("iago");
    const jid = { accountjids: ["iago@localhost"] };
    expect(commandStatus(await run("disable-user", jid))).toBe("completed");
    await iago.ended;
    expect(await refused(core.login("iago"))).not.toBe("");
    expect(formFields(await ask("get-disabled-users-num")).get("disabledusersnum")).toEqual(["1"]);
    const listed = await run("get-disabled-users-list", { max_items: ["25"] });
    expect(formFields(listed).get("disableduserjids")).toEqual(["iago@localhost"]);
    expect(commandStatus(await run("reenable-user", jid))).toBe("completed");
    await (await core.login("iago")).close();
    await remove("iago");
  });

  test("the admin sets a password without knowing the former one; of the host's users he does not", async () => {
    await newUser("ophelia");
    const before = await core.login("ophelia");
    const to = (name: string, password: string, by = boss) =>
      command(by, `${admin}#change-user-password`, { accountjid: [`${name}@localhost`], password: [password] });
    expect(commandStatus(await to("ophelia", "another"))).toBe("completed");
    await before.ended;
    expect(await refused(core.login("ophelia"))).toBe("not-authorized");
    const ophelia = await core.login("ophelia", { password: "another" });
    expect(explained(await to("bob", "another"))).toContain("host application");
    // Anybody else who names an account means his own, and has to prove it.
    expect(errorCondition(await to("admin", "stolen", ophelia))).toBe("not-authorized");
    await remove("ophelia");
  });
});

describe("what is known", () => {
  test("numbers and lists of users", async () => {
    const alice = await online("alice", "<show>away</show>");
    const bob = await online("bob");
    const count = async (kind: string) => formFields(await ask(`get-${kind}-users-num`)).get(`${kind}usersnum`)?.[0];
    expect(await count("registered")).toBe("3");
    expect([await count("online"), await count("active"), await count("idle")]).toEqual(["2", "1", "1"]);
    const list = async (node: string, field: string, most = "none") =>
      formFields(await run(node, { max_items: [most] })).get(field);
    expect(await list("get-registered-users-list", "registereduserjids", "2")).toEqual([
      ...["admin@localhost", "alice@localhost"],
    ]);
    expect(await list("get-registered-users-list", "registereduserjids", "25")).toEqual([
      ...["admin@localhost", "alice@localhost", "bob@localhost"],
    ]);
    expect(await list("get-active-users", "activeuserjids")).toEqual(["bob@localhost"]);
    expect(await list("get-idle-users", "idleuserjids")).toEqual(["alice@localhost"]);
    await Promise.all([alice.close(), bob.close()]);
  });

  test("roster, last login and statistics of one user", async () => {
    const alice = await online("alice");
    await alice.set("<query xmlns='jabber:iq:roster'><item jid='romeo@example.net' name='Romeo'/></query>");
    const roster = await run("get-user-roster", { accountjids: ["alice@localhost"] });
    const item = roster
      .getChild("command")
      ?.getChild("x", "jabber:x:data")
      ?.getChild("query", "jabber:iq:roster")
      ?.getChild("item");
    expect(item?.attrs).toMatchObject({ jid: "romeo@example.net", name: "Romeo" });
    const [login = ""] =
      formFields(await run("get-user-lastlogin", { accountjids: ["alice@localhost"] })).get("lastlogin") ?? [];
    expect(Math.abs(Date.parse(login) - Date.now())).toBeLessThan(60_000);
    const stats = formFields(await run("user-stats", { accountjid: ["alice@localhost"] }));
    expect(stats.get("ipaddresses")).toEqual(["127.0.0.1"]);
    expect(stats.get("rostersize")).toEqual(["1"]);
    expect(stats.get("onlineresources")).toEqual([alice.jid.split("/")[1]]);
    expect(uses.length).toBe(3);
    await alice.close();
  });
});

describe("texts", () => {
  test("the message of the day reaches everybody once, those who come later too; a corrected one is not told again", async () => {
    const alice = await online("alice");
    await run("set-motd", { motd: ["Tea at five.", "--The staff"] });
    const first = await alice.next("message");
    expect([first.attrs.from, first.getChildText("body")]).toEqual(["localhost", "Tea at five.\n--The staff"]);
    const bob = await online("bob");
    expect((await bob.next("message")).getChildText("body")).toContain("Tea");
    const [edited] = [formFields(await ask("edit-motd")).get("motd")];
    expect(edited).toEqual(["Tea at five.", "--The staff"]);
    await run("edit-motd", { motd: ["Tea at six."] });
    await alice.close();
    const again = await online("alice");
    await again.none("message");
    expect(commandStatus(await ask("delete-motd"))).toBe("completed");
    expect(errorCondition(await ask("delete-motd"))).toBe("item-not-found");
    await Promise.all([again.close(), bob.close()]);
  });

  test("a welcome is for newcomers, at their first login", async () => {
    await run("set-welcome", { welcome: ["Welcome!"] });
    await newUser("newcomer");
    const newcomer = await online("newcomer");
    expect((await newcomer.next("message")).getChildText("body")).toBe("Welcome!");
    await newcomer.close();
    const again = await online("newcomer");
    await again.none("message");
    const old = await online("bob");
    await old.none("message");
    await ask("delete-welcome");
    await Promise.all([old.close(), remove("newcomer")]);
  });
});

describe("the service", () => {
  test("the admins are shown and not changed: the host names them", async () => {
    expect(formFields(await ask("edit-admin")).get("adminjids")).toEqual(["admin@localhost"]);
    const answer = await run("edit-admin", { adminjids: ["alice@localhost"] });
    expect([errorCondition(answer), explained(answer)]).toEqual([
      "not-allowed",
      expect.stringContaining("sys.xmpp.adminuser"),
    ]);
  });

  test("a shutdown is announced, can be called off, and stops the service when its time has come", async () => {
    const alice = await online("alice");
    const fields = { delay: ["300"], announcement: ["Back at noon."] };
    expect(commandNote(await run("shutdown", fields))).toContain("300 seconds");
    expect((await alice.next("message")).getChildText("body")).toBe("Back at noon.");
    expect(errorCondition(await run("restart", { delay: ["30"] }))).toBe("conflict");
    await command(boss, "urn:firekeeper:admin#call-off");
    expect((await alice.next("message")).getChildText("body")).toContain("called off");
    expect(errorCondition(await command(boss, "urn:firekeeper:admin#call-off"))).toBe("item-not-found");
    expect(errorCondition(await run("shutdown", { delay: ["soon"] }))).toBe("bad-request");
    await run("shutdown", { delay: ["0"] });
    await expect.poll(() => stopped).toBe(1);
    await command(boss, "urn:firekeeper:admin#call-off");
    await alice.close();
  });

  test("nobody else may do any of it, or is shown it", async () => {
    const bob = await core.login("bob");
    const listed = (client: XmppClient) =>
      client.get(
        "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
        "localhost",
      );
    const nodes =
      (await listed(boss))
        .getChild("query")
        ?.getChildren("item")
        .map(({ attrs }) => String(attrs.node)) ?? [];
    const ofAdmin = nodes.filter((node) => node.startsWith(admin) && !node.endsWith("#change-user-password"));
    expect(ofAdmin.length).toBeGreaterThan(25);
    const seen =
      (await listed(bob))
        .getChild("query")
        ?.getChildren("item")
        .map(({ attrs }) => attrs.node) ?? [];
    expect(ofAdmin.filter((node) => seen.includes(node))).toEqual([]);
    for (const node of ofAdmin) {
      const fields = { accountjid: ["x@localhost"], accountjids: ["alice@localhost"], delay: ["0"], motd: ["x"] };
      expect(errorCondition(await command(bob, node, fields)), node).toBe("forbidden");
    }
    expect(uses).toEqual([]);
    await bob.close();
  });

  test("a restart keeps everybody connected", async () => {
    const alice = await online("alice");
    await run("restart", { delay: ["0"], announcement: ["One moment."] });
    await alice.next("message");
    await expect.poll(() => core.restarted().then(() => core.server.sessions.size)).toBeGreaterThan(1);
    await alice.ping();
    await boss.ping();
  });
});
