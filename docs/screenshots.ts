/**
 * Makes the pictures in docs/images/ again, from the built program on free ports of its own:
 * `npm run build && npx tsx docs/screenshots.ts [FOLDER]`. Needs Chromium, and ImageMagick's `convert`.
 */
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { startService } from "../test/support/processes.ts";

const folder = process.argv[2] ?? fileURLToPath(new URL("images", import.meta.url));
const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const users = ["admin", "alice", "bob"].map((name) => ({ name, password: `${name}-secret` }));
const mostBytes = 150_000;

const service = await startService({ host: { users }, env: { FIREKEEPER_APPLY: "manual" } });
const ports = {
  "xmpp.socket.plain.port": service.ports.plain,
  "xmpp.socket.ssl.port": service.ports.tls,
  "adminConsole.port": service.ports.console,
  "adminConsole.securePort": service.ports.secureConsole,
  "xmpp.proxy.port": service.ports.proxy,
};
const settings = {
  "sys.xmpp.domain": "localhost",
  ...Object.fromEntries(Object.entries(ports).map(([key, value]) => [`sys.xmpp.properties.${key}`, value])),
};
let browser: Browser | undefined;
try {
  browser = await chromium.launch({ ...(executablePath ? { executablePath } : {}), args: ["--no-sandbox"] });
  await service.writeHost({
    users,
    roles: [
      { name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"] },
      { name: "Managers", types: ["xmpp.supervisor"], members: ["alice"] },
    ],
    settings: { ...settings, "sys.xmpp.properties.xmpp.client.idle": 120_000 },
  });
  await service.run(["status"]);
  const wide = await open(browser, 1120, 760);
  await wide.getByText("Users can log in").waitFor();
  await picture(wide, "console-status.png");
  await wide.getByRole("link", { name: /^Changes/ }).click();
  await wide.getByText("group Sales").first().waitFor();
  await picture(wide, "console-changes.png");
  const narrow = await open(browser, 360, 740);
  await narrow
    .getByRole("navigation")
    .getByRole("link", { name: /^Changes/ })
    .click();
  await narrow.getByText("group Sales").first().waitFor();
  await picture(narrow, "console-changes-360.png");
  await wide.getByRole("button", { name: "Apply" }).click();
  await wide.getByText(/Applied and verified/).waitFor();
  // The number beside it goes with the next look at the status.
  await wide.getByRole("link", { name: "Changes", exact: true }).waitFor();
  await picture(wide, "console-applied.png");
  await wide.getByRole("link", { name: "History" }).click();
  await wide.getByRole("button", { name: /^Return to this revision 1$/i }).click();
  await wide.getByRole("button", { name: /^Really return to 1/i }).waitFor();
  await picture(wide, "console-history.png");
} finally {
  await browser?.close();
  await service.stop();
}

async function open(from: Browser, width: number, height: number): Promise<Page> {
  const context = await from.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width, height },
    colorScheme: "light",
    locale: "en-GB",
  });
  const page = await context.newPage();
  await page.goto(`https://127.0.0.1:${service.ports.secureConsole}/`);
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill("admin-secret");
  await page.getByRole("button", { name: "Log in" }).click();
  return page;
}

async function picture(page: Page, name: string): Promise<void> {
  const path = join(folder, name);
  await page.screenshot({ path, animations: "disabled" });
  execFileSync("convert", [path, "-strip", "+dither", "-colors", "64", `PNG8:${path}`]);
  const { size } = statSync(path);
  if (size > mostBytes) throw new Error(`${name} has ${size} bytes, more than ${mostBytes}`);
  console.log(`${name} ${size}`);
}
