/** The pages of accounts in a real browser: forms, language, narrow and dark screens. */
import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alphabet } from "../../xmpp-core/modules/captcha/picture.ts";
import { command, formFields } from "../support/commands.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
if (executablePath === undefined) console.warn("account-pages.test.ts is skipped: no Chromium here");
const password = "correct horse";

describe.skipIf(executablePath === undefined)("pages of accounts", () => {
  let core: TestCore;
  let browser: Browser;
  let port: number;

  beforeAll(async () => {
    port = await freePort();
    core = await startTestCore({
      users: ["alice"],
      properties: {
        ...{ "register.inband": "true", "firekeeper.accounts.notice": "Be kind to each other." },
        ...{ "httpbind.enabled": "true", "httpbind.port.secure": String(port), "httpbind.port.plain": "-1" },
        ...{ "firekeeper.web.address": `https://127.0.0.1:${port}`, "firekeeper.client.trusted-networks": "127.0.0.1" },
      },
    });
    browser = await chromium.launch({ ...(executablePath && { executablePath }), args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser?.close();
    await core?.close();
  });

  async function open(path: string, { locale = "en-GB", width = 360 } = {}) {
    const context = await browser.newContext({
      ...{ ignoreHTTPSErrors: true, viewport: { width, height: 800 }, colorScheme: "dark", locale },
    });
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" && !/favicon|status of 4/.test(message.text())) complaints.push(message.text());
    });
    await page.goto(`https://127.0.0.1:${port}${path}`);
    return { page, complaints, close: () => context.close() };
  }

  /** What everybody must be able to use: labels, a language, one heading, no scrolling sideways, readable colours. */
  async function usable(page: Page): Promise<void> {
    const found = await page.evaluate(`(() => {
      const shade = (text) => (text.match(/[0-9.]+/g) ?? []).slice(0, 3).map(Number).map((v) => v / 255)
        .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
      const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const paper = shade(getComputedStyle(document.body).backgroundColor);
      const shown = [...document.querySelectorAll("h1, h2, p, label, small, a, li")]
        .filter((one) => !one.classList.contains("button"));
      return {
        unlabelled: [...document.querySelectorAll("input:not([type=hidden])")].filter((one) => one.labels.length === 0).length,
        pictures: [...document.querySelectorAll("img:not([alt])")].length,
        headings: document.querySelectorAll("h1").length,
        wide: document.documentElement.scrollWidth > window.innerWidth,
        faint: shown.filter((one) => contrast(paper, shade(getComputedStyle(one).color)) < 4.5).map((one) => one.textContent),
        styled: document.styleSheets.length,
      };
    })()`);
    expect(found).toEqual({ unlabelled: 0, pictures: 0, headings: 1, wide: false, faint: [], styled: 1 });
  }

  test("an account is made with the letters of the picture, by keyboard alone, on a narrow dark screen", async () => {
    const { random } = core.server.core;
    Object.assign(core.server.core, { random: (bytes: number) => (bytes === 1 ? Buffer.alloc(1) : random(bytes)) });
    const { page, complaints, close } = await open("/account/register");
    Object.assign(core.server.core, { random });
    await usable(page);
    expect(await page.evaluate("document.images[0].naturalWidth")).toBe(216);
    await page.getByLabel("User name").focus();
    for (const typed of ["bella", password, password, "", (alphabet[0] ?? "").repeat(6)]) {
      await page.keyboard.type(typed);
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.getByText("bella@localhost").waitFor();
    await usable(page);
    expect(complaints).toEqual([]);
    await core.login("bella", { password });
    await close();
  });

  test("an invitation in German: the button for clients, the code for the phone, the form below", async () => {
    const alice = await core.login("alice");
    const fields = formFields(await command(alice, "urn:xmpp:invite#invite"));
    const path = new URL(fields.get("landing-url")?.[0] ?? "").pathname;
    const { page, complaints, close } = await open(path, { locale: "de-DE" });
    await usable(page);
    await expect(page.getByRole("heading", { level: 1 }).textContent()).resolves.toBe(
      "alice@localhost lädt Sie zum Chat ein",
    );
    const link = await page.getByRole("link", { name: "Einladung öffnen" }).getAttribute("href");
    expect(link).toBe(fields.get("uri")?.[0]);
    await page.getByRole("img", { name: "Diese Seite auf dem Telefon öffnen" }).waitFor();
    await page.getByLabel("Benutzername").fill("carlo");
    await page.getByLabel("Passwort", { exact: true }).fill(password);
    await page.getByLabel("Dasselbe Passwort noch einmal").fill("verschrieben");
    await page.getByRole("button", { name: "Konto anlegen" }).click();
    await expect(page.getByRole("alert").textContent()).resolves.toBe("Die beiden Passwörter sind verschieden.");
    await page.getByLabel("Passwort", { exact: true }).fill(password);
    await page.getByLabel("Dasselbe Passwort noch einmal").fill(password);
    await page.getByRole("button", { name: "Konto anlegen" }).click();
    await page.getByText("carlo@localhost").waitFor();
    expect(complaints).toEqual([]);
    await close();
  });

  test("password, removal and overview can be used as they are", async () => {
    const { page, complaints, close } = await open("/account", { locale: "fr-FR" });
    await usable(page);
    for (const path of ["/account/password", "/account/delete", "/account/nothing"]) {
      await page.goto(`https://127.0.0.1:${port}${path}`);
      await usable(page);
      expect([path, complaints]).toEqual([path, []]);
    }
    await close();
  });
});
