/**
 * Makes the pictures of the public pages and of the web chat in docs/images/ again: `npx tsx docs/web-screenshots.ts [FOLDER]`.
 * Needs Chromium, and ImageMagick's `convert`.
 */
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Page } from "playwright-core";
import { befriend, setIterations } from "../test/clients/people.ts";
import { freePort, startTestCore } from "../test/support/core.ts";
import { XmppClient } from "../test/support/xmpp-client.ts";

const folder = process.argv[2] ?? fileURLToPath(new URL("images", import.meta.url));
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const mostBytes = 120_000;
const port = await freePort();

const core = await startTestCore({
  domain: "chat.example.org",
  users: ["alice", "bob"],
  properties: {
    fqdn: "host.example.org",
    "httpbind.enabled": "true",
    "httpbind.port.plain": "-1",
    "httpbind.port.secure": String(port),
    "firekeeper.web.address": "https://host.example.org:7443",
    "firekeeper.webchat.enabled": "true",
    "firekeeper.contact.support": "mailto:help@example.org",
  },
});
const browser = await chromium.launch({ ...(executablePath ? { executablePath } : {}), args: ["--no-sandbox"] });
try {
  await setIterations(core, "alice");
  await picture(await open("/", "en-GB", 900, 900), "portal.png");
  await picture(await open("/guide/thunderbird", "fr-FR", 360, 900), "guide-360.png");

  const bob = await core.login("bob");
  bob.presence();
  await befriend(core, "alice", bob);
  const chat = await open("/chat/", "en-GB", 1000, 600);
  await chat.locator("input[name=jid]").fill("alice");
  await chat.locator("input[name=password]").fill("alice");
  await chat.locator("input[name=password]").press("Enter");
  await bob.next("presence", ({ attrs }) => /^alice@.*\/converse/.test(attrs.from ?? "") && attrs.type === undefined);
  await chat.locator("converse-user-profile").waitFor();
  await chat.locator('a.open-chat[data-jid^="bob@"]').first().click();
  const field = chat.locator("textarea.chat-textarea");
  await field.fill("Are you in the office tomorrow?");
  await field.press("Enter");
  await bob.next("message", (stanza) => stanza.getChildText("body") !== null);
  bob.message("alice@chat.example.org", "From nine. Shall we have lunch together?");
  await chat.locator("converse-chat-message-body").getByText("From nine.").waitFor();
  await picture(chat, "web-chat.png");
} finally {
  await browser.close();
  XmppClient.dropAll();
  await core.close();
}

async function open(path: string, locale: string, width: number, height: number): Promise<Page> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width, height }, locale });
  const page = await context.newPage();
  await page.goto(`https://localhost:${port}${path}`);
  return page;
}

async function picture(page: Page, name: string): Promise<void> {
  const path = join(folder, name);
  await page.screenshot({ path, animations: "disabled" });
  execFileSync("convert", [path, "-strip", "-colors", "64", path]);
  const { size } = statSync(path);
  console.log(`${name}: ${size} bytes`);
  if (size > mostBytes) throw new Error(`${name} has ${size} bytes, more than ${mostBytes}`);
}
