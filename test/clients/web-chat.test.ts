/** The bundled web chat in a real browser: over WebSocket and over BOSH, with nothing from other hosts. */
import { existsSync } from "node:fs";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from "vitest";
import { openConverse } from "../../xmpp-core/modules/web-chat/converse-files.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { until } from "../support/processes.ts";
import type { XmppClient } from "../support/xmpp-client.ts";
import { finch } from "./finch.ts";
import { befriend, setIterations } from "./people.ts";
import { profanity } from "./profanity.ts";
import { patienceMs } from "./real-client.ts";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const missing =
  executablePath === undefined
    ? "no Chromium here (apt-get install chromium)"
    : (await openConverse()) === undefined
      ? "converse.js is not installed"
      : undefined;

const desks = await Promise.all(
  [
    { program: finch, copies: false },
    { program: profanity, copies: true },
  ].map(async (one) => ({ ...one, absent: await one.program.missing() })),
);

/** Whether its middle is what somebody sees at that place; what is further on is not in the page at all. */
async function inSight(of: Locator): Promise<boolean> {
  if ((await of.count()) === 0) return false;
  return of.first().evaluate((element) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    const there = element.ownerDocument.elementFromPoint(left + width / 2, top + height / 2);
    return there !== null && (element.contains(there) || there.contains(element));
  });
}

const heightOf = async (of: Locator): Promise<number> => (await of.boundingBox())?.y ?? Number.NaN;

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
    // Strophe does not log in with fewer iterations than RFC 5802 asks for.
    await setIterations(core, "alice");
    browser = await chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      args: ["--no-sandbox"],
    });
    bob = await core.login("bob");
    bob.presence();
    await befriend(core, "alice", bob);
    watcher = await core.login("alice", { resource: "watcher" });
    watcher.presence("<priority>-1</priority>");
  });
  afterAll(async () => {
    await browser?.close();
    await core?.close();
  });

  /** A browser with the login form; whatever it complains about, and whatever leaves the host, fails the test. */
  async function open(options: { locale?: string; withoutWebSocket?: boolean } = {}) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: options.locale ?? "en-GB" });
    context.setDefaultTimeout(patienceMs);
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

  /** Its session is resumed, so nobody sees it come. */
  async function reload(page: Page): Promise<void> {
    await page.reload();
    await logIn(page);
    await page.locator("converse-user-profile").waitFor();
  }

  const titled = (page: Page, title: string) =>
    page.locator(`xpath=/html/head/title[.="${title}"]`).waitFor({ state: "attached" });
  const said = (page: Page, words: string) =>
    page.locator("converse-chat-message-body").getByText(words, { exact: true });
  const say = (body: string, id: string) =>
    bob.send(`<message to='alice@localhost' type='chat' id='${id}'><body>${body}</body></message>`);
  const field = (page: Page): Locator => page.locator("textarea.chat-textarea");
  async function openBob(page: Page): Promise<void> {
    const contact = page.locator('a.open-chat[data-jid="bob@localhost"]').first();
    const deadline = Date.now() + patienceMs;
    // The list is drawn anew with each message, and a click may fall between two drawings.
    do {
      await contact.click({ timeout: patienceMs });
      await field(page)
        .waitFor({ timeout: 5000 })
        .catch(() => undefined);
    } while (!(await field(page).isVisible()) && Date.now() < deadline);
  }
  async function write(page: Page, words: string): Promise<void> {
    await field(page).fill(words);
    await field(page).press("Enter");
  }
  const heard = (client: XmppClient, words: string) =>
    client.next("message", (stanza) => stanza.getChildText("body") === words);

  test("B29: speaks the browser's language; title and icon show what is unread", async () => {
    const { page, close } = await open({ locale: "fr-FR" });
    await page.getByText("Mot de passe").first().waitFor();
    await arrive(page);
    expect(await page.title()).toBe("localhost");
    const icon = () => page.locator("link[rel=icon]").getAttribute("href");
    const quiet = await icon();
    say("guten Morgen", "w1");
    await titled(page, "(1) localhost");
    // The number is painted over it.
    await page.locator('link[rel=icon][href^="data:image/png"]').waitFor({ state: "attached" });
    expect(quiet).toMatch(/favicon/);
    await openBob(page);
    await said(page, "guten Morgen").waitFor();
    await titled(page, "localhost");
    await close();
  });

  test("B29: Enter sends, Shift+Enter breaks the line", async () => {
    const { page, close } = await open();
    await arrive(page);
    say("are you there?", "w2");
    await openBob(page);
    await field(page).fill("first line");
    await field(page).press("Shift+Enter");
    await field(page).pressSequentially("second line");
    await field(page).press("Enter");
    const message = await heard(bob, "first line\nsecond line");
    expect(message.attrs.from).toContain("alice@localhost/");
    await close();
  });

  test("B29: who reads what is older goes on reading, and a ribbon leads to the newest", async () => {
    const { page, close } = await open();
    await arrive(page);
    // Fewer than Converse.js keeps in the page at once, on a window that shows a part of them.
    await page.setViewportSize({ width: 1000, height: 480 });
    say("line 0", "line-0");
    await openBob(page);
    await said(page, "line 0").waitFor();
    // What comes out of the archive comes before, and moves the rest.
    await page.evaluate("document.querySelector('converse-chat').model.messages.fetched");
    for (let line = 1; line <= 30; line++) say(`line ${line}`, `line-${line}`);
    await said(page, "line 30").waitFor();
    const above = said(page, "line 8");
    await above.scrollIntoViewIfNeeded();
    // From here on the chat knows that it is not at its end.
    const aside = () => page.evaluate("document.querySelector('converse-chat').model.ui.get('scrolled') === true");
    await until(
      async () => (await aside()) === true,
      patienceMs,
      () => "the chat does not notice that it is scrolled",
    );
    const place = await heightOf(above);
    say("the newest", "line-31");
    const ribbon = page.locator(".new-msgs-indicator");
    await ribbon.waitFor();
    // Not a line further than where it was.
    expect(Math.abs((await heightOf(above)) - place)).toBeLessThan(10);
    expect(await inSight(said(page, "the newest"))).toBe(false);
    await ribbon.click();
    await until(
      () => inSight(said(page, "the newest")),
      patienceMs,
      () => "the ribbon does not lead there",
    );
    await ribbon.waitFor({ state: "detached" });
    await close();
  });

  test("B29: a closed window ends no conversation, neither that of the chat nor that of the browser", async () => {
    const first = await open();
    await arrive(first.page);
    await openBob(first.page);
    await write(first.page, "until later");
    await heard(bob, "until later");
    const heading = first.page.locator("converse-chat-heading");
    await heading.locator("converse-dropdown button").first().click();
    await heading.locator(".close-chatbox-button").click();
    await field(first.page).waitFor({ state: "hidden" });
    say("are you still there?", "closed-1");
    await titled(first.page, "(1) localhost");
    await openBob(first.page);
    for (const words of ["until later", "are you still there?"]) await said(first.page, words).waitFor();
    await first.close();
    say("while nobody looked", "closed-2");
    const second = await open();
    await arrive(second.page);
    await openBob(second.page);
    for (const words of ["until later", "are you still there?", "while nobody looked"])
      await said(second.page, words).waitFor();
    await second.close();
  });

  // Finch has neither carbons nor an archive: it shows what it wrote itself and what others write to both.
  describe.each(desks)("beside $program.name", ({ program, copies, absent }) => {
    test.skipIf(absent !== undefined)("B1: both show the same dialogue, also after a reload", async () => {
      const name = program.name;
      const account = { domain: "localhost", user: "alice", password: "alice" };
      const desk = await program.login({ ...account, host: "127.0.0.1", port: core.port });
      try {
        const { page, close } = await open();
        await arrive(page);
        say(`to both, ${name}`, `${name}-1`);
        await desk.heard("bob@localhost", `to both, ${name}`);
        await openBob(page);
        await said(page, `to both, ${name}`).waitFor();
        await desk.say("bob@localhost", `from ${name}`);
        await heard(bob, `from ${name}`);
        await said(page, `from ${name}`).waitFor();
        await write(page, `beside ${name}`);
        await heard(bob, `beside ${name}`);
        if (copies) await desk.heard("bob@localhost", `beside ${name}`);
        await reload(page);
        say(`after the reload, ${name}`, `${name}-2`);
        await desk.heard("bob@localhost", `after the reload, ${name}`);
        await openBob(page);
        for (const words of ["to both,", "from", "beside", "after the reload,"])
          await said(page, `${words} ${name}`).waitFor();
        await close();
      } finally {
        await desk.stop();
      }
    });
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
    await reload(page);
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
    await write(page, "I hear you");
    await heard(bob, "I hear you");
    await close();
  });
});
