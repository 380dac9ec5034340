/** XEP-0077 by a program that people register with. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { openProfanity, profanity } from "./profanity.ts";
import type { Terminal } from "./terminal.ts";

const missing = await profanity.missing();
if (missing !== undefined) console.warn(`skipped: ${missing}`);
const password = "correct horse";

let core: TestCore;
let terminal: Terminal | undefined;
beforeAll(async () => {
  core = await startTestCore({
    users: ["alice"],
    properties: { "register.inband": "true", "firekeeper.register.captcha": "false" },
  });
});
afterEach(async () => {
  await terminal?.stop();
  terminal = undefined;
});
afterAll(() => core?.close());

/** `/register` in Profanity, up to what it shows of the answer. */
async function register(name: string, outcome: RegExp): Promise<void> {
  terminal = await openProfanity();
  await terminal.type(`/register ${name} ${core.domain} port ${core.port} tls trust`);
  for (const asked of [/Enter password:/, /Confirm password:/]) {
    await terminal.shows(asked);
    await terminal.type(password);
  }
  await terminal.shows(outcome);
}

test.skipIf(missing !== undefined)("Profanity makes an account, and logs in with it", async () => {
  await register("newbie", /Registration successful/);
  await core.login("newbie", { password });
  const { port, domain } = core;
  const client = await profanity.login({ host: "127.0.0.1", port, domain, user: "newbie", password });
  await client.stop();
});

test.skipIf(missing !== undefined)("and shows why it gets none of a name that is taken", async () => {
  await register("alice", /The name alice is taken\./);
  await expect(core.login("alice", { password })).rejects.toThrow("not-authorized");
});
