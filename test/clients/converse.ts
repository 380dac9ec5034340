import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, join, normalize } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { type Account, type ClientProgram, patienceMs, type RealClient } from "./real-client.ts";

/** Converse.js in headless Chromium, over WebSocket or over BOSH: a page of the test's on the server's own port for browsers. */
type Transport = "WebSocket" | "BOSH";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const require = createRequire(import.meta.url);

/** Where npm put it; undefined: it is optional and not there. */
function converseDirectory(): string | undefined {
  try {
    return dirname(dirname(require.resolve("converse.js")));
  } catch {
    return undefined;
  }
}

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

/** What the page does besides what it shows: losses of the connection are counted. */
const page = (settings: object): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>chat</title>
<link rel="stylesheet" href="dist/converse.min.css"><script src="dist/converse.min.js"></script></head>
<body><script>
window.losses = 0;
converse.plugins.add("test", { initialize() {
  const { api } = this._converse;
  window.api = api;
  for (const name of ["will-reconnect", "disconnected"]) api.listen.on(name, () => { window.losses++; });
} });
converse.initialize(${JSON.stringify(settings)});
</script></body></html>`;

/** Drives the page as a person does: what is heard is what stands in a chat window, what is said is typed. */
class Converse implements RealClient {
  readonly address: string;
  readonly #browser: Browser;
  readonly #page: Page;
  readonly #log: string[];

  constructor(address: string, browser: Browser, opened: Page, log: string[]) {
    this.address = address;
    this.#browser = browser;
    this.#page = opened;
    this.#log = log;
  }

  readonly finds = (from: string, body: string): Promise<void> => this.heard(from, body);

  async say(to: string, body: string): Promise<void> {
    const box = await this.#box(to);
    const input = box.locator("textarea.chat-textarea");
    await input.fill(body);
    await input.press("Enter");
  }

  async heard(from: string, body: string): Promise<void> {
    const box = await this.#box(from);
    await box.locator(".chat-msg__text").getByText(body, { exact: true }).first().waitFor({ timeout: patienceMs });
  }

  async timesHeard(from: string, body: string): Promise<number> {
    const box = await this.#box(from);
    return box.locator(".chat-msg__text").getByText(body, { exact: true }).count();
  }

  async sees(contact: string, group: string): Promise<void> {
    const roster = this.#page.locator(`.roster-group[data-group="${group}"]`);
    await roster.locator(`[data-jid="${contact}"], :text("${contact.split("@")[0]}")`).first().waitFor();
  }

  async seesBusy(contact: string): Promise<void> {
    await this.#page.waitForFunction(
      (jid) => (window as never as Window & { api: Api }).api.contacts.get(jid).then((one) => one?.getStatus?.() === "dnd"),
      contact,
      { timeout: patienceMs },
    );
  }

  losses(): Promise<number> {
    return this.#page.evaluate(() => (window as never as { losses: number }).losses);
  }

  transcript(): string {
    return this.#log.slice(-80).join("\n");
  }

  async stop(): Promise<void> {
    await this.#browser.close();
  }

  /** The window of a chat or room, opened if it is not. */
  async #box(address: string) {
    const box = this.#page.locator(`converse-chats .chatbox:has(textarea), converse-chats converse-chat, converse-muc`);
    return box.first();
  }
}
