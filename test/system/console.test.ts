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
    expect(applied).toEqual({ admin: "admin@localhost", snapshot: "sha256:aaaa", from: "127.0.0.1" });
    expect(complaints).toEqual([]);
    await close();
  });

  test("many removals want their number typed", async () => {
    const why = ["This removes 12 of 40 accounts.", "If that is meant: firekeeper apply --removals 12"];
    let removals: unknown;
    agent.answer = ({ ask, with: given }) => {
      if (ask === "apply") removals = given.removals;
      return plannedOutcome([change], ask === "apply" ? { is: "applied", revision: 9 } : { why });
    };
    const { page, complaints, close } = await open();
    await logIn(page);
    await page.getByRole("link", { name: /^Changes/ }).click();
    const apply = page.getByRole("button", { name: "Apply" });
    await page.getByLabel("This removes 12. Type the number to confirm it.").fill("11");
    expect(await apply.isDisabled()).toBe(true);
    await page.getByLabel("This removes 12. Type the number to confirm it.").fill("12");
    await apply.click();
    await page.getByText("Applied and verified: revision 9 is in force.").waitFor();
    expect(removals).toBe(12);
    expect(complaints).toEqual([]);
    await close();
  });

  test("a session is ended, a property set, a revision returned to", async () => {
    const old = {
      at: "2026-11-20T08:00:00Z",
      by: "agent",
      cause: "host.yaml changed",
      impact: "live",
      changes: [change],
    };
    let returned: unknown;
    agent.answer = ({ ask, with: given }) => {
      if (ask === "history") return [{ ...old, revision: 5, result: "proven" }];
      if (ask === "rollback") returned = given;
      return plannedOutcome([], { is: "applied", revision: 6 });
    };
    const { page, complaints, close } = await open();
    await logIn(page);
    const alice = await core.login("alice", { resource: "desk" });
    await page.getByRole("link", { name: "Sessions" }).click();
    await page.getByRole("button", { name: `End ${alice.jid}` }).click();
    await page.getByRole("button", { name: `Really end? ${alice.jid}` }).click();
    await page.getByText(`The session of ${alice.jid} has ended.`).waitFor();
    expect(await alice.ended).toMatchObject({ streamEnded: true });

    await page.getByRole("link", { name: "Properties" }).click();
    await page.getByRole("searchbox", { name: "Search" }).fill("xmpp.client.idle");
    await page.getByRole("button", { name: "Edit xmpp.client.idle", exact: true }).click();
    await page.getByLabel("Value (milliseconds)").fill("10 minutes");
    await page.getByRole("button", { name: "Save" }).first().click();
    await page.getByText("10 minutes would be 600000.").waitFor();
    await page.getByLabel("Value (milliseconds)").fill("600000");
    await page.getByRole("button", { name: "Save" }).first().click();
    await page.getByText("Saved: xmpp.client.idle.").waitFor();
    expect(core.server.settings.local("property:xmpp.client.idle")).toBe("600000");
    await page.getByRole("searchbox", { name: "Search" }).fill("adminConsole.securePort");
    await page.getByRole("button", { name: "Edit adminConsole.securePort" }).click();
    await page.getByText("The host sets this (sys.xmpp.properties.adminConsole.securePort).").waitFor();

    await page.getByRole("link", { name: "History" }).click();
    await page.getByRole("button", { name: "Return to this revision 5", exact: false }).click();
    await page.getByRole("button", { name: /^Really return to 5/ }).click();
    await page.getByText("Revision 6 is in force").waitFor();
    expect(returned).toEqual({ revision: 5, accounts: false, from: "127.0.0.1" });
    // The browser itself writes down that the first value was refused.
    expect(complaints.filter((each) => !/status of 422/.test(each))).toEqual([]);
    await close();
  });

  test("the fleet page shows branches, conflicts first; the overview what certificates and windows are", async () => {
    const report = {
      ...{ domain: "branch.example.org", aliases: [], revision: 7, proven: 6, pending: 2, rejected: 0, held: true },
      ...{ frozen: true, error: null, certificateDays: 12, sessions: 3, accounts: 9, program: "1.0.0" },
    };
    const conflict = "branch.example.org is served by north and south. Give all but one another sys.xmpp.domain.";
    const branches = [
      { branch: "north", heard: "2026-11-21T08:00:00.000Z", stale: true, report },
      { branch: "south", heard: null, stale: true, report: null },
    ];
    agent.answer = () => ({ branches, conflicts: [conflict], warnings: ["Branches run different versions."] });
    await agent.tell({ window: "maintenance window 0 2 * * * for 2h (UTC) for restart: opens at 02:00" });
    const { page, complaints, close } = await open({ width: 360 });
    await page.route("**/api/status", async (route) => {
      const response = await route.fetch();
      const status = await response.json();
      const ordered = { selfSigned: false, source: "acme", daysLeft: 5, renewal: "2026-12-24T12:00:00Z" };
      Object.assign(status.server.certificates[0], ordered);
      await route.fulfill({ response, json: status });
    });
    await logIn(page);
    await page.getByText("opens at 02:00").waitFor();
    const certificates = await page.getByRole("region", { name: "Certificates" }).textContent();
    for (const text of ["5 days left", "Comes from: ACME", "Renewed from Dec 24, 2026"])
      expect(certificates).toContain(text);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await page.getByRole("link", { name: "Fleet" }).press("Enter");
    await page.getByRole("alert").getByText(conflict).waitFor();
    await page.getByRole("status").getByText("Branches run different versions.").waitFor();
    expect(await page.evaluate("document.activeElement?.tagName")).toBe("H1");
    const row = page.getByRole("row", { name: /north/ });
    const shown = await row.textContent();
    for (const text of ["branch.example.org", "not proven, 6 is", "2 changes wait", "holds", "frozen", "12 days left"])
      expect(shown).toContain(text);
    expect(shown).toContain("silent");
    expect(await row.locator("th[scope=row]").textContent()).toBe("north");
    await expect(page.getByRole("row", { name: /south/ }).textContent()).resolves.toContain("never");
    // Below one another, with their labels.
    const places = await page.evaluate(
      `[...document.querySelectorAll("tbody tr:first-child td")].map((each) => each.getBoundingClientRect().top)`,
    );
    expect(new Set(places as number[]).size).toBeGreaterThan(2);
    expect(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")).toBe(true);
    expect(complaints).toEqual([]);
    await close();
  });

  test("it can be used at 360 px, in the dark, in German, and everything has a name", async () => {
    agent.answer = ({ ask }) => (ask === "history" ? [] : ask === "fleet" ? null : plannedOutcome([change, heavy]));
    const { page, complaints, close } = await open({ width: 360, dark: true, locale: "de-DE" });
    const fits = () => page.evaluate("document.documentElement.scrollWidth <= window.innerWidth");
    const nameless = () =>
      page.evaluate(`[...document.querySelectorAll("button, a, input, select, summary")]
        .filter((each) => !(each.getAttribute("aria-label") || each.labels?.length || each.textContent.trim()))
        .map((each) => each.outerHTML)`);
    expect(await page.locator("html").getAttribute("lang")).toBe("de");
    expect(await page.locator("html").getAttribute("data-bs-theme")).toBe("dark");
    await logIn(page, { name: "Name", password: "Passwort", button: "Anmelden" });
    for (const [link, text] of [
      ["Übersicht", "Benutzer können sich anmelden"],
      ["Änderungen", "2 Änderungen warten"],
      ["Sitzungen", "Niemand ist online."],
      ["Verlauf", "Es wurde noch nichts angewendet."],
      ["Eigenschaften", "adminConsole.port"],
      ["Filialen", "Hier meldet sich keine Filiale."],
    ] as const) {
      await page.getByRole("navigation").getByRole("link", { name: link }).click();
      await page.getByText(text).first().waitFor();
      expect(await page.locator("h1").textContent()).toBe(link);
      expect(await fits(), link).toBe(true);
      expect(await nameless(), link).toEqual([]);
    }
    expect(complaints).toEqual([]);
    await close();
  });

  test("by keyboard: a wrong password is told, the right one enters; who is no longer admin is told why", async () => {
    const { page, close } = await open();
    await page.getByLabel("Name").focus();
    await page.keyboard.type("admin");
    await page.keyboard.press("Tab");
    await page.keyboard.type("nimda");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("Name or password is wrong.").waitFor();
    await page.getByLabel("Password").fill("admin");
    await page.keyboard.press("Enter");
    await page.getByText("Users can log in").waitFor();
    const { revision } = await agent.target.revisions();
    const change = { kind: "setting", setting: "admin", to: "bob" } as const;
    const apply = (to: string | null, expected: number) =>
      agent.target.apply({ expected, revision: expected + 1, by: "test", changes: [{ ...change, to }], aliasDays: 90 });
    await apply("bob", revision);
    await page.getByText("Only the admin of this service may enter.").waitFor();
    await page.getByRole("button", { name: "Log in" }).waitFor();
    await apply(null, revision + 1);
    await close();
  });
});
