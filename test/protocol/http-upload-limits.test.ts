import { mkdir, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { resolverAt } from "../../agent/doctor/dns.ts";
import type { Facts } from "../../agent/doctor/facts.ts";
import { checkReachability } from "../../agent/doctor/reachability.ts";
import { connectAgent } from "../support/agent.ts";
import { freePort, type TestCore } from "../support/core.ts";
import type { ManualClock } from "../support/manual-clock.ts";
import { askSlot, errorOf, http, mib, soon, startUploads, type Uploads, upload, uploaded } from "../support/uploads.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0363: what is refused, how long files are kept, and where people are sent instead
const hour = 3600_000;
const day = 24 * hour;
let core: TestCore;
let clock: ManualClock;
let alice: XmppClient;
let secure: number;
let set: Uploads["set"];
let reset: Uploads["reset"];
let onDisk: Uploads["onDisk"];
beforeAll(async () => {
  ({ core, clock, alice, secure, set, reset, onDisk } = await startUploads());
});
afterAll(() => core.close());
afterEach(() => reset());

describe("refused are", () => {
  test("files beyond the limit, which the error names (seeds G15)", async () => {
    await set({ "plugin.httpfileupload.maxFileSize": String(5 * mib) });
    const error = errorOf(await askSlot(alice, { size: 6 * mib }));
    expect(error?.attrs.type).toBe("modify");
    expect(error?.getChild("not-acceptable")).toBeDefined();
    expect(error?.getChild("file-too-large", upload)?.getChildText("max-file-size")).toBe(String(5 * mib));
    expect(error?.getChildText("text")).toContain("5 MiB");
    // What encryption adds to a file of the largest size.
    expect((await askSlot(alice, { size: 5 * mib + 16 })).attrs.type).toBe("result");
    expect((await askSlot(alice, { size: 5 * mib + 17 })).attrs.type).toBe("error");
    clock.pass(300_000);
  });

  test("more than one user may keep, or upload in a day, with the time when it fits again", async () => {
    const bob = await core.login("bob");
    await set({ "firekeeper.upload.user-bytes": String(1000), "firekeeper.upload.days": "30" });
    const first = clock.now();
    const link = await uploaded(bob, Buffer.alloc(900));
    clock.pass(hour);
    const kept = errorOf(await askSlot(bob, { size: 200 }));
    expect(kept?.attrs.type).toBe("wait");
    expect(kept?.getChild("resource-constraint")).toBeDefined();
    expect(kept?.getChild("retry", upload)?.attrs.stamp).toBe(new Date(first + 30 * day).toISOString());
    await set({ "firekeeper.upload.user-bytes": "-1", "firekeeper.upload.day-bytes": "1000" });
    const daily = errorOf(await askSlot(bob, { size: 200 }));
    expect(daily?.getChild("retry", upload)?.attrs.stamp).toBe(new Date(first + day).toISOString());
    clock.pass(day - hour);
    expect((await askSlot(bob, { size: 200 })).attrs.type).toBe("result");
    expect((await http("GET", link)).status).toBe(200);
    clock.pass(300_000);
    await bob.close();
  });

  test("what the server has no space for", async () => {
    await set({ "firekeeper.upload.all-bytes": "1" });
    expect(errorOf(await askSlot(alice, { size: 1 }))?.getChild("resource-constraint")).toBeDefined();
    await set({ "firekeeper.upload.all-bytes": "-1", "firekeeper.upload.keep-free-bytes": String(2 ** 49) });
    expect(errorOf(await askSlot(alice, { size: 1 }))?.getChild("resource-constraint")).toBeDefined();
  });

  test("requests that say no name, size or type", async () => {
    const ask = (attributes: string) => alice.get(`<request xmlns='${upload}' ${attributes}/>`, "upload.localhost");
    const answers = await Promise.all([
      ask("size='1'"),
      ask("filename='a'"),
      ask("filename='a' size='0'"),
      ask("filename='a' size='-1'"),
      ask("filename='a' size='1e3'"),
      ask("filename='a' size='1' content-type='text'"),
    ]);
    for (const answer of answers) expect(errorOf(answer)?.getChild("bad-request"), answer.toString()).toBeDefined();
  });
});

describe("what a file is for", () => {
  const purpose = (name: string, more = "") => `<${name} xmlns='urn:xmpp:http:upload:purpose:0'${more}/>`;

  test("decides how long it is kept (seeds G15)", async () => {
    await set({ "firekeeper.upload.days": "7" });
    const message = await uploaded(alice, "message");
    const profile = await uploaded(alice, "profile", { purpose: purpose("profile") });
    const permanent = await uploaded(alice, "permanent", { purpose: purpose("permanent") });
    const until = new Date(clock.now() + day).toISOString();
    const story = await uploaded(alice, "story", { purpose: purpose("ephemeral", ` expire-before='${until}'`) });
    const found = async () =>
      Promise.all([message, profile, permanent, story].map(async (link) => (await http("GET", link)).status));
    expect(await found()).toEqual([200, 200, 200, 200]);
    const before = (await onDisk()).length;
    clock.pass(day);
    expect(await found()).toEqual([200, 200, 200, 404]);
    await expect.poll(async () => (await onDisk()).length, soon).toBeLessThan(before);
    clock.pass(6 * day);
    expect(await found()).toEqual([404, 200, 200, 404]);
    const page = await http("GET", message, { headers: { accept: "text/html", "accept-language": "fr-CH, en;q=0.5" } });
    expect([page.status, page.headers["content-language"]]).toEqual([404, "fr"]);
    expect(page.body.toString()).toContain("supprimés ici après 7 jours");
  });

  test("has its own limit, and is refused where none is given for it", async () => {
    await set({ "firekeeper.upload.profile-bytes": "100", "firekeeper.upload.permanent-bytes": "0" });
    const large = errorOf(await askSlot(alice, { size: 200, purpose: purpose("profile") }));
    expect(large?.getChild("file-too-large", upload)?.getChildText("max-file-size")).toBe("100");
    for (const wish of [purpose("permanent"), purpose("weather")])
      expect(errorOf(await askSlot(alice, { size: 1, purpose: wish }))?.getChild("not-acceptable")).toBeDefined();
    const past = purpose("ephemeral", ` expire-before='2020-01-01T00:00:00Z'`);
    expect(errorOf(await askSlot(alice, { size: 1, purpose: past }))?.getChild("bad-request")).toBeDefined();
  });
});

test("a file that nothing is known of goes, once it has been there for a day", async () => {
  const stray = join("00", `00${"f".repeat(30)}`);
  const link = await uploaded(alice, "known");
  await mkdir(join(core.home, "uploads", "00"), { recursive: true });
  await writeFile(join(core.home, "uploads", stray), "stray");
  await utimes(join(core.home, "uploads", stray), clock.now() / 1000, clock.now() / 1000);
  clock.pass(1000);
  expect(await onDisk()).toContain(stray);
  clock.pass(day);
  await expect.poll(onDisk, soon).not.toContain(stray);
  expect((await http("GET", link)).body.toString()).toBe("known");
});

test("what cannot be had is explained in the reader's language, or as JSON", async () => {
  const link = `https://localhost:${secure}/upload/${"A".repeat(22)}/x`;
  const get = (headers: Record<string, string>) => http("GET", link, { headers });
  const html = await get({ accept: "text/html", "accept-language": "de-AT,de;q=0.9,en;q=0.8" });
  expect(html.body.toString()).toContain("Dateien werden hier nach 90 Tagen gelöscht");
  expect((await get({ accept: "text/html", "accept-language": "ja" })).body.toString()).toContain("after 90 days");
  const json = await get({ accept: "application/json" });
  expect(JSON.parse(json.body.toString())).toMatchObject({ error: { code: "upload/gone", days: 90 } });
  const put = await http("PUT", link, { headers: { accept: "text/html", "accept-language": "fr" }, body: "x" });
  expect([put.status, put.body.toString()]).toEqual([403, expect.stringContaining("Interdit")]);
});

test("the address that programs are told is asked whether it leads here, and status says so if it does not", async () => {
  const agent = await connectAgent(core);
  const status = async () => (await agent.target.status()).uploads;
  const doctor = async () => {
    const server = await agent.target.status();
    const nothing = { absent: undefined, settings: new Map(), external: [], listeners: [], from: [] };
    const known = { ...nothing, server, place: { home: core.home } } as unknown as Facts;
    const verdicts = await checkReachability(known, resolverAt(undefined));
    return verdicts.filter(({ check }) => check === "reachability.uploads").map(({ standing }) => standing);
  };
  clock.pass(60_000);
  await expect.poll(status, soon).toEqual({ address: `https://localhost:${secure}` });
  expect(await doctor()).toEqual(["ok"]);
  const closed = await freePort();
  await set({ "firekeeper.web.address": `https://127.0.0.1:${closed}` });
  clock.pass(60_000);
  await expect.poll(async () => (await status())?.problem, soon).toBe("ECONNREFUSED");
  expect(await doctor()).toEqual(["fail"]);
  expect((await agent.target.status()).notices.join()).toContain(`https://127.0.0.1:${closed}: ECONNREFUSED`);
  // A server that answers everything alike is not this one.
  const other = createServer((_, response) => response.end('{"is":"firekeeper uploads","proof":"x"}'));
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  const { port: otherPort } = other.address() as AddressInfo;
  const host = { "plugin.httpfileupload.announcedWebHost": "127.0.0.1" };
  const rest = {
    "plugin.httpfileupload.announcedWebProtocol": "http",
    "plugin.httpfileupload.announcedWebPort": String(otherPort),
  };
  await set({ ...host, ...rest });
  clock.pass(60_000);
  await expect.poll(async () => (await status())?.problem, soon).toBe("another server answers there");
  other.close();
  await agent.target.close();
});
