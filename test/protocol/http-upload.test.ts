import { randomBytes } from "node:crypto";
import { mkdir, readdir, stat, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { resolverAt } from "../../agent/doctor/dns.ts";
import type { Facts } from "../../agent/doctor/facts.ts";
import { checkReachability } from "../../agent/doctor/reachability.ts";
import { connectAgent } from "../support/agent.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type ManualClock, manualClock } from "../support/manual-clock.ts";
import { askSlot, http, slotOf, upload, uploaded } from "../support/uploads.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0363: HTTP File Upload
const hour = 3600_000;
const day = 24 * hour;
const mib = 1024 * 1024;
/** A machine that is busy with other tests writes to its disk in its own time. */
const soon = { timeout: 20_000 };
let core: TestCore;
let clock: ManualClock;
let alice: XmppClient;
let port: number;
let secure: number;
beforeAll(async () => {
  clock = manualClock();
  [port, secure] = [await freePort(), await freePort()];
  const web = {
    "httpbind.port.plain": String(port),
    "httpbind.port.secure": String(secure),
    "httpbind.enabled": "true",
  };
  const properties = { ...web, "xmpp.client.idle": "-1", "firekeeper.upload.keep-free-bytes": "0" };
  core = await startTestCore({ users: ["admin", "alice", "bob"], clock, properties });
  alice = await core.login("alice", { resource: "a" });
});
afterAll(() => core.close());
const changed: Record<string, null> = {};
afterEach(() => core.set(changed));
async function set(properties: Record<string, string>): Promise<void> {
  for (const key of Object.keys(properties)) changed[key] = null;
  await core.set(properties);
}

/** Files on disk, without those that are still coming in. */
async function onDisk(): Promise<string[]> {
  const names = await readdir(join(core.home, "uploads"), { recursive: true });
  return names.filter((name) => /[0-9a-f]{32}$/.test(name));
}
const errorOf = (answer: Awaited<ReturnType<typeof askSlot>>) => answer.getChild("error");

test("the service is found, with what it takes and how much of it", async () => {
  const items = await alice.get("<query xmlns='http://jabber.org/protocol/disco#items'/>", "localhost");
  expect(items.toString()).toContain('jid="upload.localhost"');
  const info = await alice.get("<query xmlns='http://jabber.org/protocol/disco#info'/>", "upload.localhost");
  const query = info.getChild("query");
  expect(query?.getChild("identity")?.attrs).toMatchObject({ category: "store", type: "file" });
  const features = query?.getChildren("feature").map(({ attrs }) => attrs.var);
  expect(features).toEqual(
    expect.arrayContaining([
      ...[upload, "urn:xmpp:http:upload"],
      ...["message", "profile", "ephemeral", "permanent"].map((name) => `urn:xmpp:http:upload:purpose:0#${name}`),
    ]),
  );
  const forms = query
    ?.getChildren("x", "jabber:x:data")
    .map((form) => form.getChildren("field").map(({ attrs, children }) => [attrs.var, children.map(String).join()]));
  expect(forms).toEqual(
    [upload, "urn:xmpp:http:upload"].map((type) => [
      ["FORM_TYPE", `<value>${type}</value>`],
      ["max-file-size", `<value>${50 * mib}</value>`],
    ]),
  );
});

test("a file goes up by its slot and comes down as it was", async () => {
  const content = randomBytes(300_000);
  const slot = slotOf(await askSlot(alice, { name: "très cool.jpg", size: content.length, type: "image/jpeg" }));
  expect(slot.get).toMatch(new RegExp(`^https://localhost:${secure}/upload/[\\w-]{22}/tr%C3%A8s%20cool\\.jpg$`));
  expect(slot.put).toBe(slot.get);
  expect(Object.keys(slot.headers)).toEqual(["Authorization"]);
  expect((await http("GET", slot.get)).status).toBe(404);
  const headers = { ...slot.headers, "content-type": "image/jpeg" };
  expect((await http("PUT", slot.put, { headers, body: content })).status).toBe(201);
  const got = await http("GET", slot.get);
  expect(got.status).toBe(200);
  expect(got.body.equals(content)).toBe(true);
  expect(got.headers).toMatchObject({
    "content-type": "image/jpeg",
    "content-length": String(content.length),
    "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "content-disposition": `inline; filename="tr_s cool.jpg"; filename*=UTF-8''tr%C3%A8s%20cool.jpg`,
    "x-content-type-options": "nosniff",
    "accept-ranges": "bytes",
  });
  const [name] = await onDisk();
  const { mode, size } = await stat(join(core.home, "uploads", name ?? ""));
  expect([mode & 0o777, size]).toEqual([0o600, content.length]);
  expect(await readdir(join(core.home, "uploads", "incoming"))).toEqual([]);
});

test("programs that speak a version before 0.3 are answered in it", async () => {
  const wish = "<filename>old.txt</filename><size>3</size><content-type>text/plain</content-type>";
  const answer = await alice.get(`<request xmlns='urn:xmpp:http:upload'>${wish}</request>`, "upload.localhost");
  const slot = answer.getChild("slot", "urn:xmpp:http:upload");
  const [put, get] = [slot?.getChildText("put") ?? "", slot?.getChildText("get") ?? ""];
  expect((await http("PUT", get, { body: "old" })).status).toBe(403);
  expect((await http("PUT", put, { body: "old" })).status).toBe(201);
  expect((await http("GET", get)).body.toString()).toBe("old");
});

describe("a slot", () => {
  const put = (slot: ReturnType<typeof slotOf>, body: string | Buffer, headers: Record<string, string> = {}) =>
    http("PUT", slot.put, { headers: { ...slot.headers, ...headers }, body });

  test("is filled once, by who has its header, with as much as was announced", async () => {
    const slot = slotOf(await askSlot(alice, { size: 5 }));
    const refused = [
      await http("PUT", slot.put, { body: "12345" }),
      await put({ ...slot, headers: { authorization: "Bearer 5.zzzzzzzz.AAAAAAAAAAAAAAAAAAAAAA" } }, "12345"),
      await put(slot, "123456"),
      await put(slot, "1234"),
      await put(slot, "", { "transfer-encoding": "chunked" }),
    ];
    expect(refused.map(({ status }) => status)).toEqual([
      403,
      403,
      413,
      400,
      expect.toSatisfy((s) => [400, 411].includes(s)),
    ]);
    expect((await put(slot, "12345")).status).toBe(201);
    expect((await put(slot, "54321")).status).toBe(409);
    expect((await http("GET", slot.get)).body.toString()).toBe("12345");
  });

  test("belongs to its own address", async () => {
    const [one, other] = [slotOf(await askSlot(alice, { size: 1 })), slotOf(await askSlot(alice, { size: 1 }))];
    expect((await put({ ...one, headers: other.headers }, "x")).status).toBe(403);
  });

  test("is for the type that was announced", async () => {
    const slot = slotOf(await askSlot(alice, { size: 1, type: "image/png" }));
    expect((await put(slot, "x", { "content-type": "text/html" })).status).toBe(415);
    expect((await put(slot, "x", { "content-type": "Image/PNG; x=y" })).status).toBe(201);
  });

  test("is void when it was not used within five minutes, and counts no more", async () => {
    await set({ "firekeeper.upload.user-bytes": String(10 * mib) });
    const slot = slotOf(await askSlot(alice, { size: 9 * mib }));
    expect(errorOf(await askSlot(alice, { size: 9 * mib }))?.getChild("resource-constraint")).toBeDefined();
    clock.pass(300_000);
    expect((await put(slot, Buffer.alloc(9 * mib))).status).toBe(403);
    await expect.poll(async () => (await askSlot(alice, { size: 9 * mib })).attrs.type, soon).toBe("result");
    clock.pass(300_000);
  });

  test("that nobody fills takes what a killed server left of its file with it", async () => {
    const slot = slotOf(await askSlot(alice, { size: 3 }));
    const name = Buffer.from(new URL(slot.put).pathname.split("/")[2] ?? "", "base64url").toString("hex");
    const folder = join(core.home, "uploads", name.slice(0, 2));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, name), "abc");
    expect((await http("GET", slot.get)).status).toBe(404);
    clock.pass(300_000);
    await expect.poll(onDisk, soon).not.toContain(join(name.slice(0, 2), name));
  });

  test("may be used again when an upload was cut", async () => {
    const before = await onDisk();
    const slot = slotOf(await askSlot(alice, { size: 100_000 }));
    const { pathname } = new URL(slot.put);
    const socket = connect(port, "127.0.0.1");
    const head = `PUT ${pathname} HTTP/1.1\r\nHost: x\r\nAuthorization: ${slot.headers.Authorization}\r\nContent-Length: 100000\r\n\r\n`;
    socket.write(head);
    socket.write(Buffer.alloc(50_000));
    await expect.poll(() => readdir(join(core.home, "uploads", "incoming")), soon).toHaveLength(1);
    expect((await put(slot, Buffer.alloc(100_000))).status).toBe(409);
    socket.destroy();
    await expect.poll(() => readdir(join(core.home, "uploads", "incoming")), soon).toEqual([]);
    expect(await onDisk()).toEqual(before);
    await expect.poll(async () => (await put(slot, Buffer.alloc(100_000))).status, soon).toBe(201);
  });
});

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

test("a download goes on where it stopped, and is not repeated", async () => {
  const link = await uploaded(alice, "0123456789");
  const get = (headers: Record<string, string>, method = "GET") => http(method, link, { headers });
  const part = await get({ range: "bytes=2-4" });
  expect([part.status, part.headers["content-range"], part.body.toString()]).toEqual([206, "bytes 2-4/10", "234"]);
  expect((await get({ range: "bytes=-3" })).body.toString()).toBe("789");
  expect((await get({ range: "bytes=8-99" })).body.toString()).toBe("89");
  const beyond = await get({ range: "bytes=10-" });
  expect([beyond.status, beyond.headers["content-range"]]).toEqual([416, "bytes */10"]);
  const tag = part.headers.etag ?? "";
  expect((await get({ range: "bytes=2-4", "if-range": tag })).status).toBe(206);
  expect((await get({ range: "bytes=2-4", "if-range": '"other"' })).status).toBe(200);
  expect((await get({ "if-none-match": `"other", W/${tag}` })).status).toBe(304);
  const head = await get({}, "HEAD");
  expect([head.status, head.headers["content-length"], head.body.length]).toEqual([200, "10", 0]);
});

test("pages of every origin may upload and read, and see why they may not", async () => {
  const slot = slotOf(await askSlot(alice, { size: 1 }));
  const origin = { origin: "https://app.example.org" };
  const preflight = await http("OPTIONS", slot.put, { headers: { ...origin, "access-control-request-method": "PUT" } });
  expect(preflight.headers["access-control-allow-methods"]).toContain("PUT");
  expect(preflight.headers["access-control-allow-headers"]).toContain("authorization");
  const seen = [
    preflight,
    await http("PUT", slot.put, { headers: origin, body: "x" }),
    await http("PUT", slot.put, { headers: { ...origin, ...slot.headers }, body: "x" }),
    await http("GET", slot.get, { headers: origin }),
    await http("HEAD", slot.get, { headers: origin }),
    await http("GET", `${slot.get.slice(0, -27)}${"A".repeat(22)}/x`, { headers: origin }),
  ];
  expect(seen.map(({ status }) => status)).toEqual([204, 403, 201, 200, 200, 404]);
  for (const { headers } of seen) expect(headers["access-control-allow-origin"]).toBe("*");
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

describe("addresses", () => {
  test("are new at once when the external name changes, and old ones stay", async () => {
    const old = await uploaded(alice, "old");
    await set({ "firekeeper.web.address": "https://files.example.org/chat" });
    expect(slotOf(await askSlot(alice, { size: 1 })).get).toMatch(/^https:\/\/files\.example\.org\/chat\/upload\//);
    await set({
      "plugin.httpfileupload.announcedWebHost": "up.example.org",
      "plugin.httpfileupload.announcedWebPort": "8443",
    });
    expect(slotOf(await askSlot(alice, { size: 1 })).get).toMatch(/^https:\/\/up\.example\.org:8443\/chat\/upload\//);
    expect((await http("GET", old)).body.toString()).toBe("old");
  });

  test("lead to the file under every name of the server", async () => {
    const { pathname } = new URL(await uploaded(alice, "same"));
    const got = await http("GET", `http://127.0.0.1:${port}${pathname}`, { headers: { host: "former.example.org" } });
    expect(got.body.toString()).toBe("same");
  });

  test("hold any name, bounded and with its ending", async () => {
    const link = await uploaded(alice, "x", { name: `../${"雪".repeat(200)}\u202egpj.exe` });
    const name = decodeURIComponent(link.split("/").at(-1) ?? "");
    expect(name).toMatch(/^\.\._雪+gpj\.exe$|^\.\._雪+\.exe$/);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(240);
    expect((await http("GET", link)).status).toBe(200);
  });
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
