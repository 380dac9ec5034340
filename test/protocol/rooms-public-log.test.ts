import { afterAll, beforeAll, expect, test } from "vitest";
import { type ConsoleClient, consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { configure, makeRoom, say } from "../support/rooms.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// seeds G13: public pages of what was said, only if the room says so; docs/rooms.md
const room = "town-hall@conference.localhost";
let core: TestCore;
let ann: XmppClient;
let web: ConsoleClient;
beforeAll(async () => {
  const port = await freePort();
  core = await startTestCore({ users: ["ann"], properties: { "adminConsole.port": String(port) } });
  web = consoleClient(port);
  ann = await core.login("ann", { resource: "at-home" });
  ann.presence();
  await makeRoom(ann, room, "Ann", { persistentroom: "1", roomname: "Town <Hall>", whois: "moderators" });
  await say(ann, room, "hello <script>alert(1)</script> & all");
});
afterAll(() => core.close());

const page = (path: string) => web.get(`/logs/${path}`);
const today = () => new Date().toISOString().slice(0, 10);
const day = (days: number) => new Date(Date.now() - days * 24 * 3600 * 1000).toISOString().slice(0, 10);
const logged = (on: boolean) => configure(ann, room, { "firekeeper#publiclog": on ? "1" : "0" });
const places = async () =>
  (await ann.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", room)).toString().includes("roominfo_logs");

test("what is said is on a page only where the server allows it and the owner asks for it", async () => {
  expect(errorCondition(await logged(true))).toBe("not-acceptable");
  await core.set({ "firekeeper.muc.public-logs": "true" });
  expect((await page("town-hall")).status).toBe(404);
  expect((await logged(true)).attrs.type).toBe("result");
  const shown = await page("town-hall");
  expect(shown.status).toBe(200);
  expect(shown.text).toContain(`<h1>Town &lt;Hall&gt;, ${today()}</h1>`);
  expect(shown.text).toContain("Ann</dt><dd>hello &lt;script&gt;alert(1)&lt;/script&gt; &amp; all</dd>");
  expect(shown.text).not.toContain("at-home");
  expect((await page(`town-hall/${today()}`)).text).toBe(shown.text);
  expect((await page(`town-hall/${day(2)}`)).text).toContain("Nothing was said.");
});

test.each([
  "nowhere",
  "TOWN%20hall",
  "town-hall/tomorrow",
  "town-hall/2026-99-99",
  "__proto__",
  "town-hall@nowhere",
  "%2e%2e",
])("%s is no page", async (path) => {
  expect((await page(path)).status).toBe(404);
});

test.each<[string, Record<string, string>, Record<string, string>]>([
  ["for members only", { membersonly: "1" }, { membersonly: "0" }],
  ["with a password", { passwordprotectedroom: "1", roomsecret: "sesame" }, { passwordprotectedroom: "0" }],
  ["without an archive", { enablelogging: "0" }, { enablelogging: "1" }],
])("a room %s has none", async (_, close, open) => {
  expect((await configure(ann, room, close)).attrs.type).toBe("result");
  expect((await page("town-hall")).status).toBe(404);
  expect((await configure(ann, room, open)).attrs.type).toBe("result");
  expect((await page("town-hall")).status).toBe(200);
});

test("the owner takes it back, and the server turns it off for all", async () => {
  await logged(false);
  expect((await page("town-hall")).status).toBe(404);
  await logged(true);
  await core.set({ "firekeeper.muc.public-logs": null });
  expect((await page("town-hall")).status).toBe(404);
  expect(await places()).toBe(false);
});
