/** The bundled web chat in a real browser: over WebSocket and over BOSH, with nothing from other hosts. */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from "vitest";
import { deriveCredentials, formatCredentials } from "../../xmpp-core/auth/keys.ts";
import { derivationPool } from "../../xmpp-core/auth/pool.ts";
import { openConverse } from "../../xmpp-core/modules/web-chat/converse-files.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const missing =
  executablePath === undefined
    ? "no Chromium here (apt-get install chromium)"
    : (await openConverse()) === undefined
      ? "converse.js is not installed"
      : undefined;
if (missing !== undefined) console.warn(`web-chat.test.ts is skipped: ${missing}`);

describe.skipIf(missing !== undefined)("the web chat", () => {
  let core: TestCore;
  let browser: Browser;
  let bob: XmppClient;
  /** Another program of alice's, to which nothing is said: it sees when the browser is there. */
  let watcher: XmppClient;
  let port: number;

  beforeAll(async () => {
    port = await freePort();
    core = await startTestCore({
      users: ["alice", "bob"],
      properties: {
        "httpbind.enabled": "true",
        "httpbind.port.plain": "-1",
        "httpbind.port.secure": String(port),
        "firekeeper.webchat.enabled": "true",
      },
    });
    await browsersPassword("alice");
    browser = await chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      args: ["--no-sandbox"],
    });
    bob = await core.login("bob");
    bob.presence();
    watcher = await core.login("alice", { resource: "watcher" });
    watcher.presence("<priority>-1</priority>");
  });
  afterAll(async () => {
    await browser?.close();
    await core?.close();
  });

  /** Strophe does not log in with fewer iterations than RFC 5802 asks for. */
  async function browsersPassword(name: string): Promise<void> {
    const { accounts, names, storage } = core.server;
    const account = accounts.get(names.primary.id, name);
    if (account === undefined) throw new Error(name);
    const keys = await deriveCredentials(name, { iterations: 4096, random: randomBytes, pool: derivationPool() });
    await storage.write(accounts.setCredentials(account, formatCredentials(keys), "test:browser"));
  }

  /** A browser with the login form; whatever it complains about, and whatever leaves the host, fails the test. */
  async function open(options: { locale?: string; withoutWebSocket?: boolean } = {}) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: options.locale ?? "en-GB" });
    const page = await context.newPage();
    const complaints: string[] = [];
    const asked = new Set<string>();
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("request", (request) => {
      const { protocol, host } = new URL(request.url());
      if (protocol !== "data:" && protocol !== "blob:") asked.add(host);
    });
    page.on("websocket", (socket) => asked.add(new URL(socket.url()).host));
    onTestFailed(async () => console.error(complaints, await page.locator("body").textContent()));
    if (options.withoutWebSocket === true)
      await page.routeWebSocket(/.*/, (socket) => void socket.close({ code: 1006 }));
    await page.goto(`https://localhost:${port}/chat/`);
    const close = async () => {
      expect([...asked]).toEqual([`localhost:${port}`]);
      expect(complaints).toEqual([]);
      await context.close();
    };
    return { page, close };
  }

  async function logIn(page: Page): Promise<void> {
    await page.locator("input[name=jid]").fill("alice");
    await page.locator("input[name=password]").fill("alice");
    await page.locator("form#converse-login [type=submit]").click();
  }

  const seen = new Set<string>();
  /** Before it is available, what is said to her goes elsewhere. */
  async function arrive(page: Page): Promise<void> {
    await logIn(page);
    const isNew = (from: string, type?: string) => /\/converse/.test(from) && type === undefined && !seen.has(from);
    const { attrs } = await watcher.next("presence", (stanza) => isNew(stanza.attrs.from ?? "", stanza.attrs.type));
    seen.add(attrs.from ?? "");
    await page.locator("converse-user-profile").waitFor();
  }

  const titled = (page: Page, title: string) =>
    page.locator(`xpath=/html/head/title[.="${title}"]`).waitFor({ state: "attached" });
  const said = (page: Page, words: string) =>
    page.locator("converse-chat-message-body").getByText(words, { exact: true });
  const say = (body: string, id: string) =>
    bob.send(`<message to='alice@localhost' type='chat' id='${id}'><body>${body}</body></message>`);
  const openBob = (page: Page) => page.locator("converse-roster").getByText("bob@localhost").first().click();
  const heard = (client: XmppClient, words: string) =>
    client.next("message", (stanza) => stanza.getChildText("body") === words);

  test("speaks the browser's language, logs in, and shows in the title what is unread", async () => {
    const { page, close } = await open({ locale: "fr-FR" });
    await page.getByText("Mot de passe").first().waitFor();
    await arrive(page);
    expect(await page.title()).toBe("localhost");
    say("guten Morgen", "w1");
    await titled(page, "(1) localhost");
    await openBob(page);
    await said(page, "guten Morgen").waitFor();
    await titled(page, "localhost");
    await close();
  });

  test("Enter sends, Shift+Enter breaks the line", async () => {
    const { page, close } = await open();
    await arrive(page);
    say("are you there?", "w2");
    await openBob(page);
    const field = page.locator("textarea.chat-textarea");
    await field.fill("first line");
    await field.press("Shift+Enter");
    await field.pressSequentially("second line");
    await field.press("Enter");
    const message = await heard(bob, "first line\nsecond line");
    expect(message.attrs.from).toContain("alice@localhost/");
    await close();
  });

  test("B1: is in step with another program of the same account, also after a reload", async () => {
    const { page, close } = await open();
    await arrive(page);
    const other = await core.login("alice");
    other.presence();
    await other.set("<enable xmlns='urn:xmpp:carbons:2'/>");
    say("to both of you", "w3");
    await heard(other, "to both of you");
    await openBob(page);
    await said(page, "to both of you").waitFor();
    other.send("<message to='bob@localhost' type='chat' id='w4'><body>from the other one</body></message>");
    await said(page, "from the other one").waitFor();
    await page.reload();
    await logIn(page);
    await page.locator("converse-user-profile").waitFor();
    say("after the reload", "w5");
    await openBob(page);
    for (const words of ["to both of you", "from the other one", "after the reload"]) await said(page, words).waitFor();
    other.drop();
    await close();
  });

  test("over BOSH where nothing lets WebSocket through", async () => {
    const { page, close } = await open({ withoutWebSocket: true });
    await arrive(page);
    say("by long polling", "w6");
    await openBob(page);
    await said(page, "by long polling").waitFor();
    await page.locator("textarea.chat-textarea").fill("I hear you");
    await page.locator("textarea.chat-textarea").press("Enter");
    await heard(bob, "I hear you");
    await close();
  });
});
