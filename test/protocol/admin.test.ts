import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";

let core: TestCore;
let agent: TestAgent;
let plainPort: number;
let securePort: number;
beforeAll(async () => {
  [plainPort, securePort] = [await freePort(), await freePort()];
  core = await startTestCore({
    users: ["admin", "alice", "bob"],
    properties: { "adminConsole.port": String(plainPort), "adminConsole.securePort": String(securePort) },
  });
  agent = await connectAgent(core);
});
afterAll(async () => {
  await agent.target.close();
  await core.close();
});

/** Lets the test's agent answer the next question of the console. */
async function answering(ask: string, ok: unknown): Promise<Record<string, unknown>> {
  const asked = await agent.next((event) => event.event === "console" && event.ask === ask);
  if (asked.event !== "console") throw new Error("unreachable");
  await agent.target.answer(asked.number, { ok });
  return { admin: asked.admin, ...asked.with };
}

describe("login", () => {
  test.each([
    ["admin", false],
    ["ADMIN", true],
    ["admin@localhost", true],
  ])("the admin enters as %s", async (user, secure) => {
    const browser = consoleClient(secure ? securePort : plainPort, { secure });
    const reply = await browser.login(user, "admin");
    expect(reply.json).toMatchObject({ admin: "admin@localhost", name: "admin" });
    const name = secure ? "__Host-firekeeper-session" : "firekeeper-session";
    const cookie = String(reply.headers["set-cookie"]);
    expect(cookie).toMatch(new RegExp(`${name}=[A-Za-z0-9_-]{43}; Path=/; HttpOnly;.*SameSite=Strict`));
    expect(/; Secure/.test(cookie)).toBe(secure);
    expect((await browser.get("/api/me")).json.admin).toBe("admin@localhost");
  });
});
