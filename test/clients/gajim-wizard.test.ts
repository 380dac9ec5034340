/** Gajim's account wizard, page by page in English, with the host typed by hand and a self-signed certificate: rows B18 to B20 of the hosts' needs. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { succeeds } from "../peers/peer.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { until } from "../support/processes.ts";
import { type Desktop, startDesktop } from "./desktop.ts";
import { gajim } from "./gajim.ts";
import { setIterations } from "./people.ts";
import { startMs } from "./real-client.ts";
import { keep, results } from "./results.ts";

const domain = "chat.example";
const script = fileURLToPath(new URL("gajim-wizard.py", import.meta.url));
const bridge = ["/usr/bin/python3", "-c", "import gi; gi.require_version('Atspi', '2.0')"] as const;
const missing =
  (await gajim.missing()) ??
  ((await succeeds(...bridge)) ? undefined : "apt-get install at-spi2-core gir1.2-atspi-2.0");
const result = results("Gajim", gajim, missing);

let core: TestCore;
let desktop: Desktop;
beforeAll(async () => {
  if (missing !== undefined) return;
  core = await startTestCore({ domain, users: ["alice"] });
  await setIterations(core, "alice");
  desktop = await startDesktop("gajim-wizard", { accessible: true });
});
afterAll(async () => {
  await desktop?.stop();
  await core?.close();
  await keep(result);
});

test.skipIf(missing !== undefined)("an account is added through the wizard and comes online", () =>
  result.step("wizard", async () => {
    const program = desktop.start("gajim", ["-c", join(desktop.home, "profile")]);
    // The desktop belongs to somebody who may not read this folder.
    await copyFile(script, join(desktop.home, "wizard.py"));
    const wizard = desktop.start("/usr/bin/python3", [join(desktop.home, "wizard.py")]);
    const account = { address: `alice@${domain}`, password: "alice", host: "127.0.0.1", port: core.port };
    wizard.child.stdin?.end(`${JSON.stringify(account)}\n`);
    await wizard.ended;
    await desktop.picture("wizard");
    expect(wizard.child.exitCode, `${wizard.output()}\n${program.output()}`).toBe(0);
    const online = () => [...core.server.sessions.all()].some((one) => one.account.name === "alice");
    await until(online, startMs, () => `Gajim does not come online\n${program.output()}`);
  }),
);
