/** Who guesses tokens, makes accounts in numbers, or passes by the letters. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { command, explained, formFields } from "../support/commands.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { browser } from "../support/pages.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const register = "jabber:iq:register";
let core: TestCore;
let port: number;
const lines: string[] = [];

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice"],
    properties: {
      ...{ "firekeeper.invitations.accounts": "everybody", "firekeeper.password.least-length": "1" },
      ...{ "firekeeper.register.captcha": "false", "register.inband": "true" },
      ...{ "httpbind.enabled": "true", "httpbind.port.secure": String(port), "httpbind.port.plain": "-1" },
    },
  });
  const { log } = core.server.report;
  log.level = "trace";
  for (const level of ["trace", "debug", "info", "warn", "error"] as const)
    Object.assign(log, { [level]: (...said: unknown[]) => lines.push(JSON.stringify(said)) });
});
afterAll(() => core.close());

let lastAddress = 10;
/** From an address of its own, in a network of its own. */
const somewhere = (): string => `127.${lastAddress++}.0.1`;
const stranger = (from: string) =>
  XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain, from });
const show = (client: XmppClient, token: string) =>
  client.set(`<preauth xmlns='urn:xmpp:pars:0' token='${token}'/>`, core.domain);
const make = (client: XmppClient, name: string) =>
  client.set(
    `<query xmlns='${register}'><username>${name}</username><password>${name}</password></query>`,
    core.domain,
  );

async function invitation(): Promise<{ token: string; path: string }> {
  const alice = await core.login("alice");
  const fields = formFields(await command(alice, "urn:xmpp:invite#invite"));
  await alice.close();
  return {
    token: /preauth=([\w-]+)/.exec(fields.get("uri")?.[0] ?? "")?.[1] ?? "",
    path: new URL(fields.get("landing-url")?.[0] ?? "").pathname,
  };
}

test("guesses over the protocol: each is answered alike, and soon not at all", async () => {
  const from = somewhere();
  const { token } = await invitation();
  const near = `${token.slice(0, -1)}${token.endsWith("A") ? "Q" : "A"}`;
  const said = new Set<string>();
  let refused = 0;
  for (let streams = 0; streams < 4; streams++) {
    const client = await stranger(from);
    for (const guess of [near, "", "x".repeat(4000), "__proto__", "AAAAAAAAAAAAAAAAAAAAAA", token.toLowerCase()]) {
      const answer = await show(client, guess);
      if (errorCondition(answer) === "resource-constraint") refused++;
      else said.add(`${errorCondition(answer)} ${explained(answer)}`);
    }
    await client.close();
  }
  expect([...said]).toEqual(["item-not-found The provided token is invalid or expired."]);
  expect(refused).toBe(24 - 20);
  // Also for the right one, from there; from elsewhere it is good.
  expect(errorCondition(await show(await stranger(from), token))).toBe("resource-constraint");
  expect((await show(await stranger(somewhere()), token)).attrs.type).toBe("result");
});

test("guesses on the web: one page for all that open nothing, then a pause, also for the right one", async () => {
  const { path } = await invitation();
  const visit = browser(port, somewhere());
  const bodies = new Set<string>();
  for (let guesses = 0; guesses < 60; guesses++) {
    const page = await visit.get(`/invite/${"guess".padEnd(22, String(guesses))}`);
    bodies.add(`${page.status} ${page.body}`);
  }
  expect(bodies.size).toBe(1);
  expect((await visit.get(path)).status).toBe(429);
  expect((await browser(port, somewhere()).get(path)).status).toBe(200);
});

test("accounts in numbers: by address, and by network", async () => {
  const from = somewhere();
  const results: string[] = [];
  for (let made = 0; made < 12; made++)
    results.push(errorCondition(await make(await stranger(from), `flood-${made}z`)));
  expect(results).toEqual([...Array(10).fill(""), "resource-constraint", "resource-constraint"]);
  // The page counts with the protocol.
  const page = await browser(port, from).send("/account/register", { name: "paged", password: "p", again: "p" });
  expect([page.status, page.body]).toEqual([400, expect.stringContaining("Too many accounts")]);
  const network = lastAddress++;
  let network24 = 0;
  for (let address = 1; address <= 12; address++) {
    const client = await stranger(`127.${network}.0.${address}`);
    for (let each = 0; each < 9; each++)
      if (errorCondition(await make(client, `al!ce${"@"}`)) === "resource-constraint") network24++;
    await client.close();
  }
  expect(network24).toBeGreaterThan(0);
});

test("one invitation, many at once over both ways: one account", async () => {
  const { token, path } = await invitation();
  const clients = await Promise.all([1, 2].map(() => stranger(somewhere())));
  for (const client of clients) await show(client, token);
  const visits = [browser(port, somewhere()), browser(port, somewhere())];
  const outcomes = await Promise.all([
    ...clients.map(async (client, place) => (await make(client, `wire-${"ab"[place]}`)).attrs.type === "result"),
    ...visits.map(async (visit, place) => {
      const name = `page-${"cd"[place]}`;
      const page = await visit.send(path, { name, password: name, again: name, email: "" });
      return page.body.includes("Your account is ready");
    }),
  ]);
  expect(outcomes.filter((made) => made)).toHaveLength(1);
});

test("no token is in the log", async () => {
  const { token, path } = await invitation();
  const visit = browser(port, somewhere());
  await visit.get(path);
  await visit.get(`${path}/more`);
  await visit.send(path, { name: "logged", password: "logged", again: "logged", email: "" });
  await show(await stranger(somewhere()), token);
  expect(lines.some((line) => line.includes("logged"))).toBe(true);
  expect(lines.filter((line) => line.includes(token))).toEqual([]);
});
