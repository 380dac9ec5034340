import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { type Account, type ClientProgram, patienceMs, type RealClient } from "./real-client.ts";

/** Converse.js in headless Chromium: the server's own web chat, used as a person uses it, over WebSocket or over BOSH. */
type Way = "WebSocket" | "BOSH";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const converse = new URL("../../node_modules/converse.js/package.json", import.meta.url);

async function missing(): Promise<string | undefined> {
  if (executablePath === undefined) return "no chromium";
  return existsSync(converse) ? undefined : "converse.js was not installed by npm";
}

async function version(): Promise<string> {
  return (JSON.parse(await readFile(converse, "utf8")) as { version: string }).version;
}

/** Opens the page in a browser of its own, which remembers nothing, and logs in through its form. */
async function login(way: Way, account: Account): Promise<RealClient> {
  const { host, web, user, password, domain } = account;
  if (web === undefined || executablePath === undefined) throw new Error("a port for browsers and Chromium are needed");
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1400, height: 900 } });
    const page = await context.newPage();
    const heard = listen(page);
    // As where a proxy on the way knows no WebSocket.
    if (way === "BOSH") await page.addInitScript("window.WebSocket = class { constructor() { throw new Error(); } }");
    await page.goto(`https://${host}:${web}/chat/`);
    await page.locator("input[name=jid]").fill(user);
    await page.locator("input[name=password]").fill(password);
    await page.locator("input[name=password]").press("Enter");
    await page.locator("converse-roster").first().waitFor({ timeout: patienceMs });
    if (account.room !== undefined) await roomItem(page, account.room.address).waitFor({ timeout: patienceMs });
    if (heard.connections[way] === 0) throw new Error(`not over ${way}\n${heard.transcript()}`);
    return client(`${user}@${domain}`, browser, page, { ...heard, way });
  } catch (error) {
    await browser.close();
    throw error;
  }
}

/** What the page says to the server and to itself. */
function listen(page: Page) {
  const lines: string[] = [];
  const connections = { WebSocket: 0, BOSH: 0 };
  let tried = 0;
  page.on("console", (message) => lines.push(message.text()));
  page.on("pageerror", (error) => lines.push(`page error: ${error.message}`));
  page.on("websocket", (socket) => {
    // The first only finds out whether there is a way.
    if (tried++ > 0) connections.WebSocket++;
    socket.on("framesent", ({ payload }) => lines.push(`> ${payload}`));
    socket.on("framereceived", ({ payload }) => lines.push(`< ${payload}`));
    socket.on("close", () => lines.push("the WebSocket closed"));
  });
  page.on("request", (request) => {
    if (!request.url().endsWith("/http-bind/")) return;
    const body = request.postData() ?? "";
    lines.push(`> ${body}`);
    if (/^<body\b/.test(body) && !/^<body\b[^>]* sid=/.test(body)) connections.BOSH++;
  });
  return { connections, transcript: () => lines.slice(-60).join("\n").slice(-10_000) };
}

const contactItem = (page: Page, jid: string): Locator => page.locator(`a.open-chat[data-jid="${jid}"]`).first();
const roomItem = (page: Page, jid: string): Locator => page.locator(`a.open-room[data-room-jid="${jid}"]`).first();

function client(
  address: string,
  browser: Browser,
  page: Page,
  seen: ReturnType<typeof listen> & { readonly way: Way },
): RealClient {
  const before = seen.connections[seen.way];

  /** The window of a chat or room, brought to the front by a click in the list on the left. */
  async function box(of: string): Promise<Locator> {
    const opened = page.locator(`.chatbox[jid="${of}"]`);
    const item = of.includes("@conference.") ? roomItem(page, of) : contactItem(page, of);
    // The list is drawn anew with each message, and a click may fall between two drawings.
    const shown = opened.locator("textarea.chat-textarea");
    const until = Date.now() + patienceMs;
    while (!(await shown.isVisible())) {
      if (Date.now() > until) throw new Error(`no window for ${of}\n${seen.transcript()}`);
      await item.click({ timeout: patienceMs });
      await shown.waitFor({ timeout: 2000 }).catch(() => undefined);
    }
    return opened;
  }
  const messages = async (of: string, body: string): Promise<Locator> =>
    (await box(of)).locator(`.chat-msg[data-from^="${of}"] .chat-msg__text`).getByText(body, { exact: true });
  const heard = async (from: string, body: string): Promise<void> =>
    (await messages(from, body)).first().waitFor({ timeout: patienceMs });
  const inRoster = (contact: string, where: string): Locator =>
    page.locator(`converse-roster ${where}`).filter({ has: page.locator(`[data-jid="${contact}"]`) });

  return {
    address,
    heard,
    // The archive is asked when a chat is opened.
    finds: heard,
    async say(to, body) {
      const input = (await box(to)).locator("textarea.chat-textarea");
      await input.fill(body);
      await input.press("Enter");
    },
    timesHeard: async (from, body) => (await messages(from, body)).count(),
    sees: (contact, group) =>
      inRoster(contact, `.roster-group[data-group="${group}"]`).waitFor({ timeout: patienceMs }),
    seesBusy: (contact) => inRoster(contact, '.list-item[data-status="dnd"]').first().waitFor({ timeout: patienceMs }),
    losses: async () => seen.connections[seen.way] - before,
    transcript: seen.transcript,
    stop: () => browser.close(),
  };
}

const program = (way: Way): ClientProgram => ({
  name: `Converse.js over ${way}`,
  missing,
  version,
  login: (account) => login(way, account),
});

export const converseOverWebSocket = program("WebSocket");
export const converseOverBosh = program("BOSH");
