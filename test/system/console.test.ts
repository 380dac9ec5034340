/** The console in a real browser. */
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from "vitest";
import { builtConsole } from "../../xmpp-core/admin/console-files.ts";
import { type ConsoleAgent, connectConsoleAgent, plannedOutcome } from "../support/console-agent.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const missing =
  executablePath === undefined
    ? "no Chromium here (apt-get install chromium)"
    : existsSync(builtConsole())
      ? undefined
      : "the console is not built (npm run build)";
if (missing !== undefined) console.warn(`console.test.ts is skipped: ${missing}`);

const change = {
  subject: "group Sales",
  action: "members",
  from: null,
  to: "alice, bob",
  impact: "live",
  source: "roles: Sales",
};
const heavy = {
  subject: "property xmpp.client.idle",
  action: "set",
  from: "360000",
  to: "600000",
  impact: "listener",
  source: "sys.xmpp.properties.xmpp.client.idle",
};

describe.skipIf(missing !== undefined)("the console", () => {
  let core: TestCore;
  let agent: ConsoleAgent;
  let browser: Browser;
  let port: number;

  beforeAll(async () => {
    const securePort = await freePort();
    port = securePort;
    core = await startTestCore({
      users: ["admin", "alice", "bob"],
      properties: { "adminConsole.port": String(await freePort()), "adminConsole.securePort": String(securePort) },
    });
    agent = await connectConsoleAgent(core);
    browser = await chromium.launch({
      ...(executablePath === undefined ? {} : { executablePath }),
      args: ["--no-sandbox"],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await agent?.close();
    await core?.close();
  });

  /** A page that is logged in; whatever the browser complains about fails the test. */
  async function open(options: { width?: number; dark?: boolean; locale?: string } = {}) {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      viewport: { width: options.width ?? 1280, height: 900 },
      colorScheme: options.dark === true ? "dark" : "light",
      locale: options.locale ?? "en-GB",
    });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      // The first question of a browser that is not logged in.
      if (message.type() === "error" && !/status of 401/.test(message.text())) complaints.push(message.text());
    });
    onTestFailed(async () => {
      console.error(complaints, await page.locator("body").textContent());
    });
    await page.goto(`https://127.0.0.1:${port}/`);
    return { page, complaints, close: () => context.close() };
  }

  async function logIn(page: Page, labels = { name: "Name", password: "Password", button: "Log in" }) {
    await page.getByLabel(labels.name).fill("admin");
    await page.getByLabel(labels.password).fill("admin");
    await page.getByRole("button", { name: labels.button }).click();
  }

  test("the admin logs in, sees how the server is, reads the plan and applies it", async () => {
    let applied: Record<string, unknown> | undefined;
    agent.answer = (asked) => {
      if (asked.ask === "apply") {
        applied = { admin: asked.admin, ...asked.with };
        return plannedOutcome([change, heavy], { is: "applied", revision: 8, done: ["2 roster pushes."] });
      }
      return applied === undefined
        ? plannedOutcome([change, heavy], { why: ["2 changes wait for firekeeper apply."] })
        : plannedOutcome([]);
    };
    await agent.tell({ pending: 2 });
    const { page, complaints, close } = await open();
    await logIn(page);
    await page.getByText("Users can log in").waitFor();
    await expect(page.getByRole("region", { name: "Ports" }).textContent()).resolves.toContain(String(core.port));
    await expect(page.getByRole("region", { name: "Certificates" }).textContent()).resolves.toContain("self-signed");
    await page.getByRole("link", { name: "Changes 2" }).click();
    const plan = page.getByRole("region", { name: "2 changes wait" });
    await plan.getByText("group Sales").waitFor();
    const shown = await plan.textContent();
    for (const text of ["alice, bob", "360000", "600000", "roles: Sales", "2 changes wait for firekeeper apply."])
      expect(shown).toContain(text);
    await plan.getByRole("button", { name: "Apply" }).click();
    await page.getByText("Applied and verified: revision 8 is in force.").waitFor();
    await page.getByText("The server is as the host wants it.").waitFor();
    expect(applied).toEqual({ admin: "admin@localhost", snapshot: "sha256:aaaa" });
    expect(complaints).toEqual([]);
    await close();
  });
});
