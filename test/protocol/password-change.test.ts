/** A password that is changed in a client, with the real agent between core and host file. XEP-0077, XEP-0050, XEP-0133. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stringify } from "yaml";
import type { OutcomeDocument, StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import type { AgentProcess } from "../../agent/start.ts";
import type { LoginCheck } from "../../xmpp-core/control/contract.ts";
import { startAgentOn } from "../support/agent-on-core.ts";
import { credentialsOf, startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition, ns } from "../support/stanzas.ts";
import type { LoginRefused, XmppClient } from "../support/xmpp-client.ts";

const register = "jabber:iq:register";
const commands = "http://jabber.org/protocol/commands";
const command = "http://jabber.org/protocol/admin#change-user-password";
/** crypt(3) of "pencil sharpener". */
const bcrypt = "$2b$05$abcdefghijklmnopqrstuuVIZcMPNyQUReFT5NuGG3D77zsScsTOe";

let core: TestCore;
let agent: AgentProcess;
const hostFile = () => join(core.home, "host.yaml");
const ask = <T = OutcomeDocument>(what: string, params?: Record<string, unknown>) =>
  askAgent(core.home, what, params) as Promise<T>;

async function host(change: {
  users?: object[];
  roles?: object[];
  settings?: Record<string, string>;
}): Promise<string> {
  const properties = {
    "network.interface": "127.0.0.1",
    "xmpp.socket.plain.port": String(core.port),
    "xmpp.socket.ssl.port": String(core.directPort),
    "xmpp.proxy.enabled": "false",
    "httpbind.enabled": "false",
    "adminConsole.port": "-1",
    "adminConsole.securePort": "-1",
  };
  const prefixed = Object.entries(properties).map(([key, value]) => [`sys.xmpp.properties.${key}`, value]);
  const settings = { "sys.xmpp.domain": "localhost", ...Object.fromEntries(prefixed), ...change.settings };
  const content = { settings, roles: change.roles ?? [], users: change.users ?? [] };
  return `# kept by hand\n${stringify(content)}...\n`;
}

beforeAll(async () => {
  core = await startTestCore();
  const { sha1, sha256, sha512 } = await credentialsOf("zoe");
  const users = [
    { name: "zoe", credentials: { sha1, sha256, sha512 } },
    { name: "Olsen", passwordHash: bcrypt },
    { name: "lena", passwordFrom: "ldap" },
    { name: "rita", password: "the mail one", chatPasswordHash: bcrypt },
    { name: "mona", chatPassword: "chat for mona", passwordHash: bcrypt },
  ];
  await writeFile(hostFile(), await host({ users }), { mode: 0o600 });
  agent = await startAgentOn(core, 50);
});
afterAll(async () => {
  await agent.stop("test");
  await core.close();
});

const plain = (user: string, password: string, resource?: string) =>
  core.login(user, { password, mechanism: "PLAIN", ...(resource === undefined ? {} : { resource }) });
const condition = (login: Promise<XmppClient>) =>
  login.then(
    () => "in",
    (error: LoginRefused) => error.condition,
  );
const change = (client: XmppClient, name: string, password: string) =>
  client.set(
    `<query xmlns='${register}'><username>${name}</username><password>${password}</password></query>`,
    "localhost",
  );
const disco = async (client: XmppClient) =>
  (await client.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "localhost"))
    .getChild("query")
    ?.getChildren("feature")
    .map((one) => one.attrs.var as string);
const listed = async (client: XmppClient) =>
  (await client.get(`<query xmlns='http://jabber.org/protocol/disco#items' node='${commands}'/>`, "localhost"))
    .getChild("query")
    ?.getChildren("item")
    .map((one) => one.attrs.node as string);

test("the plan names who has no keys, at its head, and nothing is left to do", async () => {
  const { plan } = await ask("plan");
  expect(plan.changes).toEqual([]);
  expect(plan.notices[0]).toMatchObject({ code: "plan/plain-only" });
  expect(plan.notices[0]?.message).toMatch(/2 accounts have only a hash.*1 account has the password in a directory/s);
});

test("it goes back to the host, is valid at once in manual mode too, and only it; the other sessions end", async () => {
  const desk = await plain("olsen", "pencil sharpener", "desk");
  const phone = await plain("OLSEN", "pencil sharpener", "phone");
  expect(await disco(desk)).toContain(register);
  const form = (await desk.get(`<query xmlns='${register}'/>`, "localhost")).getChild("query", register);
  expect(form?.getChildElements().map((child) => child.getName())).toEqual(["registered", "username", "password"]);
  expect(errorCondition(await change(desk, "olsen", "seven77"))).toBe("not-acceptable");
  // Something else waits in the store; it must go on waiting.
  const text = await readFile(hostFile(), "utf8");
  await writeFile(hostFile(), text.replace("- name: zoe", "- name: zoe\n    displayName: Zoe Waits"));
  expect((await change(desk, "olsen", "ein neues Wort")).attrs.type).toBe("result");
  expect(await phone.streamError()).toBe("not-authorized");
  await desk.ping();
  expect(await condition(plain("olsen", "pencil sharpener"))).toBe("not-authorized");
  await (await plain("olsen", "ein neues Wort")).close();
  const written = await readFile(hostFile(), "utf8");
  expect(written).toContain("# kept by hand");
  expect(written).toMatch(/name: Olsen\n\s+credentials:\n\s+sha1: SCRAM/);
  const { pending } = await ask<StatusDocument>("status");
  expect(pending.map(({ subject }) => subject)).toEqual(["account zoe"]);
  // A full reconcile changes nothing about it.
  const applied = await ask("apply");
  expect(applied.applied?.map(({ subject }) => subject)).toEqual(["account zoe"]);
  await (await plain("olsen", "ein neues Wort")).close();
  expect((await ask("plan")).plan.changes).toEqual([]);
});

test("by the command: the present password is asked for, and who guesses it is stopped", async () => {
  const zoe = await core.login("zoe", { mechanism: "PLAIN" });
  expect(await listed(zoe)).toContain(command);
  const begin = () => zoe.set(`<command xmlns='${commands}' node='${command}' action='execute'/>`, "localhost");
  const idOf = (step: Awaited<ReturnType<typeof begin>>) =>
    step.getChild("command", commands)?.attrs.sessionid as string;
  const first = await begin();
  let id = idOf(first);
  const fields = first.getChild("command", commands)?.getChild("x", "jabber:x:data")?.getChildren("field");
  expect(fields?.map((field) => field.attrs.var)).toEqual(["FORM_TYPE", "old_password", "password"]);
  const submit = (old: string, fresh: string) =>
    zoe.set(
      `<command xmlns='${commands}' node='${command}' action='complete' sessionid='${id}'><x xmlns='jabber:x:data' type='submit'>` +
        `<field var='old_password'><value>${old}</value></field><field var='password'><value>${fresh}</value></field></x></command>`,
      "localhost",
    );
  expect(errorCondition(await submit("wrong", "zoe's new one"))).toBe("not-authorized");
  expect(errorCondition(await submit("zoe", "short"))).toBe("not-acceptable");
  const done = (await submit("zoe", "zoe's new one")).getChild("command", commands);
  expect(done?.attrs.status).toBe("completed");
  await (await plain("zoe", "zoe's new one")).close();
  expect(await condition(plain("zoe", "zoe"))).toBe("not-authorized");
  id = idOf(await begin());
  for (let guess = 0; guess < 5; guess++) await submit(`guess${guess}`, "whatever it is");
  expect(errorCondition(await submit("zoe's new one", "whatever it is"))).toBe("resource-constraint");
});

test("a separate password for chat is the only one that works, and the one that is changed", async () => {
  expect(await condition(plain("rita", "the mail one"))).toBe("not-authorized");
  const rita = await plain("rita", "pencil sharpener");
  expect(await condition(plain("mona", "pencil sharpener"))).toBe("not-authorized");
  await (await plain("mona", "chat for mona")).close();
  expect((await change(rita, "rita", "only for chatting")).attrs.type).toBe("result");
  await (await plain("rita", "only for chatting")).close();
  expect(await condition(plain("rita", "the mail one"))).toBe("not-authorized");
  const written = await readFile(hostFile(), "utf8");
  expect(written).toMatch(/name: rita\n\s+password: the mail one\n\s+chatCredentials:/);
  expect(written).toMatch(/name: mona\n\s+chatCredentials:/);
});

test("where a directory has the password it is not changed here, not advertised, and the refusal says where", async () => {
  const lena = core.server.accounts.get(core.server.names.primary.id, "lena");
  if (lena === undefined) throw new Error("no lena");
  const standing = lena.password;
  // Let in by keys for a moment, since there is no directory here; whose password it is stays.
  await core.server.storage.write(core.server.accounts.setCredentials(lena, await credentialsOf("lena"), "test"));
  const client = await core.login("lena");
  lena.password = standing;
  expect(await disco(client)).not.toContain(register);
  expect(await listed(client)).not.toContain(command);
  const answer = await change(client, "lena", "a new password");
  expect(errorCondition(answer)).toBe("not-allowed");
  expect(answer.getChild("error")?.getChildText("text", ns.stanzas)).toContain("directory of your organisation");
  const run = await client.set(`<command xmlns='${commands}' node='${command}' action='execute'/>`, "localhost");
  expect(errorCondition(run)).toBe("not-allowed");
  await ask("apply", { scope: "roster" });
});

test("chat is opened to a role: others are shut out with a word, and a slip in the role's name changes nothing (B23)", async () => {
  const text = await readFile(hostFile(), "utf8");
  const roles =
    "roles:\n  - { name: Instant messaging, types: [host.chat], members: [zoe, olsen, rita, mona, lena] }\n";
  const opened = (names: string, members = roles) =>
    text
      .replace(/^roles:.*$/m, members.trimEnd())
      .replace("settings:\n", `settings:\n  sys.xmpp.allowedroles: ${names}\n`);
  await writeFile(hostFile(), opened("Instant messaging", roles.replace(", rita", "")));
  await ask("apply");
  expect(await condition(plain("rita", "only for chatting"))).toBe("account-disabled");
  expect(await condition(plain("rita", "wrong"))).toBe("not-authorized");
  await (await plain("zoe", "zoe's new one")).close();
  await writeFile(hostFile(), opened("Instant mesaging"));
  const slip = await ask("plan");
  expect(slip.plan.changes).toEqual([]);
  expect(slip.plan.rejected).toMatchObject([
    { key: "sys.xmpp.allowedroles", hint: expect.stringContaining("Did you mean Instant messaging?") },
  ]);
  await writeFile(hostFile(), opened("Instant messaging"));
  await ask("apply");
  await (await plain("rita", "only for chatting")).close();
});

test("what stands between a person and a login is told from the store to the server", async () => {
  const failing = async (name: string, password?: string) => {
    const checks = await ask<LoginCheck[]>("check-login", { name, ...(password === undefined ? {} : { password }) });
    return checks.filter(({ ok }) => !ok).map(({ check }) => check);
  };
  expect(await failing("Olsen@localhost", "ein neues Wort")).toEqual([]);
  expect(await failing("olsen", "pencil sharpener")).toEqual(["password"]);
  expect(await failing("nobody")).toEqual(["store", "account"]);
  expect(await failing("lena", "whatever it is")).toEqual(["directory", "password"]);
});

test("a host that cannot be written takes no password back, and does not offer to", async () => {
  const { control } = core.server;
  const agentState = control()?.agent();
  if (agentState === undefined) throw new Error("no agent");
  const zoe = await plain("zoe", "zoe's new one");
  Object.assign(agentState, { takesPasswords: false });
  expect(await disco(zoe)).not.toContain(register);
  const answer = await change(zoe, "zoe", "another new one");
  expect(errorCondition(answer)).toBe("not-allowed");
  expect(answer.getChild("error")?.getChildText("text", ns.stanzas)).toContain("host application");
});

test("no password stands in clear in anything that was written but where the host keeps it itself", async () => {
  const secrets = ["ein neues Wort", "zoe's new one", "only for chatting", "chat for mona", "pencil sharpener"];
  const files = await readdir(core.home, { recursive: true, withFileTypes: true });
  const contents = await Promise.all(
    files
      .filter((file) => file.isFile())
      .map(async (file) => [file.name, await readFile(join(file.parentPath, file.name), "latin1")] as const),
  );
  expect(contents.map(([name]) => name)).toEqual(expect.arrayContaining(["journal.jsonl", "core.db"]));
  for (const secret of secrets)
    expect(contents.filter(([, content]) => content.includes(secret)).map(([name]) => name)).toEqual([]);
  const mail = contents.filter(([, content]) => content.includes("the mail one")).map(([name]) => name);
  expect(mail).toEqual(["host.yaml"]);
  const journal = contents.find(([name]) => name === "journal.jsonl")?.[1] ?? "";
  expect(journal).toContain("olsen changed the own password in a client.");
  expect(journal).not.toContain("SCRAM-SHA");
  expect(journal).not.toContain("$2b$");
});
