import { randomBytes } from "node:crypto";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { TestCore } from "../support/core.ts";
import type { ManualClock } from "../support/manual-clock.ts";
import {
  askSlot,
  errorOf,
  http,
  mib,
  slotOf,
  soon,
  startUploads,
  type Uploads,
  upload,
  uploaded,
} from "../support/uploads.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0363: HTTP File Upload
let core: TestCore;
let clock: ManualClock;
let alice: XmppClient;
let port: number;
let secure: number;
let set: Uploads["set"];
let reset: Uploads["reset"];
let onDisk: Uploads["onDisk"];
beforeAll(async () => {
  ({ core, clock, alice, port, secure, set, reset, onDisk } = await startUploads());
});
afterAll(() => core.close());
afterEach(() => reset());

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

  test("is one of a hundred that one person has at the same time", async () => {
    const bob = await core.login("bob");
    const ask = () => askSlot(bob, { size: 1 });
    const began = clock.now();
    const all = (await Promise.all(Array.from({ length: 100 }, ask))).map(slotOf);
    const beyond = async () => errorOf(await ask())?.getChild("retry", upload)?.attrs.stamp;
    const again = new Date(began + 300_000).toISOString();
    expect([await beyond(), await beyond()]).toEqual([again, again]);
    expect((await put(all[5] ?? slotOf(await ask()), "x")).status).toBe(201);
    expect((await ask()).attrs.type).toBe("result");
    expect(await beyond()).toBe(again);
    clock.pass(300_000);
    await expect.poll(async () => (await ask()).attrs.type, soon).toBe("result");
    await bob.close();
  });

  test("that is refused costs who asked before sending no byte; what is taken is asked for", async () => {
    const slot = slotOf(await askSlot(alice, { size: 5 }));
    const say = (length: number, credential: string | undefined) =>
      new Promise<string[]>((resolve) => {
        const socket = connect(port, "127.0.0.1");
        const lines: string[] = [];
        const heard = (text: string) => {
          lines.push(...text.split("\r\n").filter((line) => line.startsWith("HTTP/1.1 ")));
          if (lines.at(-1) === "HTTP/1.1 100 Continue") socket.write("12345");
        };
        socket.setEncoding("utf8").on("data", heard);
        socket.once("close", () => resolve(lines));
        const head = `PUT ${new URL(slot.put).pathname} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n`;
        socket.write(`${head}Authorization: ${credential}\r\nContent-Length: ${length}\r\n\r\n`);
      });
    expect(await say(5, "Bearer x")).toEqual(["HTTP/1.1 403 Forbidden"]);
    expect(await say(6, slot.headers.Authorization)).toEqual(["HTTP/1.1 413 Payload Too Large"]);
    expect(await say(5, slot.headers.Authorization)).toEqual(["HTTP/1.1 100 Continue", "HTTP/1.1 201 Created"]);
    expect(await say(5, slot.headers.Authorization)).toEqual(["HTTP/1.1 409 Conflict"]);
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
