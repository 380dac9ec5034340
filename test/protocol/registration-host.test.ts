/** Users of the host who give up their accounts, with the real agent between core and host file. XEP-0077 §3.2 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { OutcomeDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import type { AgentProcess } from "../../agent/start.ts";
import { startAgentOn } from "../support/agent-on-core.ts";
import { explained } from "../support/commands.ts";
import { credentialsOf, freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type PretendHost, pretendHost } from "../support/host-http.ts";
import { browser } from "../support/pages.ts";
import { errorCondition } from "../support/stanzas.ts";

const removal = "<query xmlns='jabber:iq:register'><remove/></query>";
const names = ["admin", "zoe", "yves", "xena"];
let core: TestCore;
let agent: AgentProcess;
let port: number;
const hostFile = () => join(core.home, "host.yaml");
const ask = (what: string, params?: Record<string, unknown>) =>
  askAgent(core.home, what, params) as Promise<OutcomeDocument>;

async function hostDocument(allowed: boolean, more: Record<string, string> = {}) {
  const properties = {
    ...{ "network.interface": "127.0.0.1", "xmpp.proxy.enabled": "false" },
    ...{ "xmpp.socket.plain.port": String(core.port), "xmpp.socket.ssl.port": String(core.directPort) },
    ...{ "adminConsole.port": "-1", "adminConsole.securePort": "-1", "httpbind.port.plain": "-1" },
    ...{ "httpbind.enabled": "true", "httpbind.port.secure": String(port) },
    ...(allowed && { "firekeeper.register.removal": "all" }),
    ...more,
  };
  const prefixed = Object.entries(properties).map(([key, value]) => [`sys.xmpp.properties.${key}`, value]);
  const users = await Promise.all(
    names.map(async (name) => {
      const { sha1, sha256, sha512 } = await credentialsOf(name);
      return { name, credentials: { sha1, sha256, sha512 } };
    }),
  );
  const settings = { "sys.xmpp.domain": "localhost", ...Object.fromEntries(prefixed) };
  return { settings, roles: [], users };
}

async function hostText(allowed: boolean, more?: Record<string, string>): Promise<string> {
  return `# kept by hand\n${stringify(await hostDocument(allowed, more))}...\n`;
}

beforeAll(async () => {
  core = await startTestCore();
  port = await freePort();
  await writeFile(hostFile(), await hostText(false), { mode: 0o600 });
  agent = await startAgentOn(core, 50);
});
afterAll(async () => {
  await agent.stop("test");
  await core.close();
});

test("not unless it is allowed; then the store loses the user at once, the journal says who, and nothing is left to plan", async () => {
  const zoe = await core.login("zoe", { resource: "desk" });
  const refused = await zoe.set(removal, core.domain);
  expect([errorCondition(refused), explained(refused)]).toEqual([
    "not-allowed",
    expect.stringContaining("host application"),
  ]);
  await writeFile(hostFile(), await hostText(true));
  await ask("apply");
  const phone = await core.login("zoe", { resource: "phone" });
  expect((await zoe.set(removal, core.domain)).attrs.type).toBe("result");
  expect([await zoe.streamError(), await phone.streamError()]).toEqual(["not-authorized", "not-authorized"]);
  await expect(core.login("zoe")).rejects.toThrow("account-disabled");
  const text = await readFile(hostFile(), "utf8");
  expect([text.includes("# kept by hand"), text.includes("name: zoe"), text.includes("name: yves")]).toEqual([
    ...[true, false, true],
  ]);
  expect((await ask("plan")).plan.changes).toEqual([]);
  const journal = await readFile(join(core.home, "journal.jsonl"), "utf8");
  expect(journal).toContain("zoe gave up the own account.");
  // What is kept comes back if the host has the user again.
  const account = core.server.accounts.get(core.server.names.primary.id, "zoe");
  expect(account?.keptUntil).toBeGreaterThan(Date.now());
});

test("on the page too; and the last admin stays", async () => {
  const send = (name: string) => browser(port).send("/account/delete", { name, password: name, sure: "yes" });
  expect((await send("yves")).body).toContain("Your account is gone");
  await expect(core.login("yves")).rejects.toThrow("account-disabled");
  expect(await readFile(hostFile(), "utf8")).not.toContain("name: yves");
  const last = await send("admin");
  expect(last.status).toBe(403);
  await core.login("admin");
});

test("without an agent it is refused, and the account stays", async () => {
  await agent.stop("test");
  const xena = await core.login("xena");
  expect((await xena.set(removal, core.domain)).attrs.type).toBe("error");
  await xena.ping();
  agent = await startAgentOn(core, 50);
});

test("where the host manages the users, the plan says whose the accounts are that people would make", async () => {
  const more = { "register.inband": "true", "firekeeper.invitations.accounts": "admins" };
  const spoken = async () =>
    (await ask("plan")).plan.notices.map(({ message }) => message).filter((one) => /belong to this server/.test(one));
  expect(await spoken()).toEqual([]);
  await writeFile(hostFile(), await hostText(true, more));
  expect((await spoken()).map((one) => one.split(":")[0])).toEqual([
    "sys.xmpp.properties.firekeeper.invitations.accounts",
    "sys.xmpp.properties.register.inband",
  ]);
  await writeFile(hostFile(), await hostText(true));
});

describe("a store that takes no removals", () => {
  let host: PretendHost;
  let http: Record<string, string>;
  let json: Record<string, string>;
  beforeAll(async () => {
    await agent.stop("test");
    const document = await hostDocument(true);
    const file = join(core.home, "host.json");
    await writeFile(file, JSON.stringify(document), { mode: 0o600 });
    json = { FIREKEEPER_STORE: file };
    host = await pretendHost();
    host.document("/xmpp", document);
    const config = join(core.home, "http.yaml");
    await writeFile(config, stringify({ pollMs: 60_000, write: { password: { url: "/password" } } }), { mode: 0o600 });
    http = { FIREKEEPER_STORE: `${host.origin}/xmpp`, FIREKEEPER_STORE_CONFIG: config };
  });
  afterAll(() => host.close());

  test.each([
    ["a file of another kind", () => json],
    ["a host over HTTP that takes new passwords", () => http],
  ])("%s: who is the host's stays, and is told where to go", async (_what, store) => {
    agent = await startAgentOn(core, 50, store());
    await ask("apply");
    const xena = await core.login("xena");
    const refused = await xena.set(removal, core.domain);
    expect([errorCondition(refused), explained(refused)]).toEqual([
      "not-allowed",
      "This account belongs to the host application that manages the users: remove it there.",
    ]);
    expect((await browser(port).send("/account/delete", { name: "xena", password: "xena", sure: "yes" })).status).toBe(
      403,
    );
    await xena.ping();
    await agent.stop("test");
  });
});
