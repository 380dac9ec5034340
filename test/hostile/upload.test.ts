/** What attackers send to the way of files. docs/uploads.md */
import { createHmac } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../xmpp-core/clock.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { askSlot, http, slotOf, upload, uploaded } from "../support/uploads.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let alice: XmppClient;
let port: number;
/** Ends the patience of the server with slow clients. */
const impatience = new Set<() => void>();
beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: {
      "httpbind.port.plain": String(port),
      "httpbind.port.secure": String(await freePort()),
      "httpbind.enabled": "true",
      "firekeeper.upload.keep-free-bytes": "0",
    },
    clock: {
      ...systemClock,
      after(ms, work) {
        if (ms !== 30_000) return systemClock.after(ms, work);
        impatience.add(work);
        return () => impatience.delete(work);
      },
    },
  });
  alice = await core.login("alice");
});
afterAll(() => core.close());

const soon = { timeout: 20_000 };
const incoming = () => readdir(join(core.home, "uploads", "incoming"));
const here = (path: string) => `http://127.0.0.1:${port}${path}`;
const pathOf = (link: string) => new URL(link).pathname;

/** Bytes as they are on one connection, and everything that came back once it is closed. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let heard = "";
    socket.on("data", (chunk) => {
      heard += chunk.toString();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(heard));
  });
}
const statusOf = (answer: string) => Number(answer.split(" ")[1] ?? 0);

describe("a file that would run in a browser", () => {
  const script = "<script>alert(document.domain)</script>";
  const gif = `GIF89a/*${"\0".repeat(20)}*/=1;alert(1)`;
  const files: [name: string, type: string, content: string][] = [
    ["a.html", "text/html", script],
    ["a.htm", "TEXT/HTML; charset=utf-7", script],
    ["a.xhtml", "application/xhtml+xml", script],
    ["a.svg", "image/svg+xml", `<svg xmlns='http://www.w3.org/2000/svg'>${script}</svg>`],
    ["a.xml", "text/xml", `<?xml-stylesheet href='x.xsl'?><a/>`],
    ["a.js", "text/javascript", "alert(1)"],
    ["a.mjs", "application/ecmascript", "alert(1)"],
    ["a.swf", "application/x-shockwave-flash", "FWS"],
    ["a.mht", "multipart/related", script],
    ["a.eml", "message/rfc822", script],
    ["a.wasm", "application/wasm", "\0asm"],
    ["a.pdf", "application/pdf", "%PDF-1.4"],
    ["a", "", script],
  ];

  test.each(files)("%s as %s is only offered for saving", async (name, type, content) => {
    const link = await uploaded(alice, content, { name, ...(type !== "" && { type }) });
    const { headers } = await http("GET", here(pathOf(link)));
    expect(headers["content-disposition"]).toMatch(/^attachment; /);
    expect(headers["content-type"]).toMatch(/^application\/(octet-stream|pdf|wasm)$/);
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["content-security-policy"]).toBe("default-src 'none'; sandbox; frame-ancestors 'none'");
  });

  test("and that is a picture as well is a picture, and nothing else is seen in it", async () => {
    const link = await uploaded(alice, gif, { name: "a.html", type: "image/gif" });
    const { headers } = await http("GET", here(pathOf(link)));
    expect(headers).toMatchObject({ "content-type": "image/gif", "x-content-type-options": "nosniff" });
  });
});

describe("names and paths", () => {
  test.each([
    "../../core.db",
    "..\\..\\core.db",
    "/etc/passwd",
    "..",
    ".",
    "a\tb",
    'a"; filename="b.html',
    "%2e%2e%2fcore.db",
    "nul",
    "a".repeat(5000),
    "\u202efdp.exe",
    "é̂😀\u0378",
  ])("a file called %j lies by its token alone, and comes back", async (name) => {
    const link = await uploaded(alice, "content", { name: name.replaceAll("\t", "&#9;") });
    const got = await http("GET", here(pathOf(link)));
    expect(got.body.toString()).toBe("content");
    expect(got.headers["content-disposition"]).toMatch(/^attachment; filename="[ -~]*"; filename\*=UTF-8''[\w.~%-]*$/);
    expect(String(got.headers["content-disposition"]).split('"')).toHaveLength(3);
    const names = await readdir(join(core.home, "uploads"), { recursive: true });
    expect(names.filter((one) => !/^(incoming|[0-9a-f]{2}(\/[0-9a-f]{32})?)$/.test(one))).toEqual([]);
  });

  test("no path leads out of what was uploaded, or tells what is there", async () => {
    const paths = [
      ...["/upload", "/upload/", "/upload/..", "/upload/../core.db", "/upload/%2e%2e/core.db", "/upload/..%2fcore.db"],
      ...["/upload/incoming", "/upload/00", `/upload/${"0".repeat(32)}`, `/upload/${"A".repeat(22)}`, "/upload/a/b/c"],
      ...[`/upload/${"A".repeat(22)}/x`, `/upload/${"A".repeat(21)}g/x`, `/upload/${"A".repeat(22)}/core.db%00`],
    ];
    const answers = await Promise.all(
      paths.map(async (path) => raw(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)),
    );
    expect(answers.map(statusOf)).toEqual(paths.map(() => 404));
    // Well-formed guesses are all answered alike.
    const guessed = answers.slice(-3, -1).map((answer) => answer.replace(/^date: .*$/im, ""));
    expect(new Set(guessed).size).toBe(1);
  });
});

describe("an upload without a right to it", () => {
  test("is refused before a byte of it is read", async () => {
    const link = `/upload/${"A".repeat(22)}/x`;
    const tries = [
      "",
      "Authorization: Bearer x",
      `Authorization: Bearer 5.zzzzzzzz.${"A".repeat(22)}`,
      "Authorization: Basic YTpi",
    ];
    for (const header of tries) {
      const answer = await raw(
        `PUT ${link} HTTP/1.1\r\nHost: x\r\n${header === "" ? "" : `${header}\r\n`}Content-Length: 1000000\r\n\r\n`,
      );
      expect(statusOf(answer)).toBe(403);
    }
    expect(await incoming()).toEqual([]);
  });

  test("cannot change what was signed", async () => {
    const slot = slotOf(await askSlot(alice, { size: 5 }));
    const [size = "", until = "", signed = ""] = (slot.headers.Authorization ?? "").replace("Bearer ", "").split(".");
    const own = createHmac("sha256", "guess").update("x").digest().subarray(0, 16).toString("base64url");
    const put = (claim: string, body: string) =>
      http("PUT", here(pathOf(slot.put)), { headers: { authorization: `Bearer ${claim}` }, body });
    const answers = await Promise.all([
      put(`6.${until}.${signed}`, "123456"),
      put(`${size}.${(Number.parseInt(until, 36) + 1).toString(36)}.${signed}`, "12345"),
      put(`${size}.${until}.${own}`, "12345"),
      put(`${size}.${until}`, "12345"),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403]);
  });

  test("by another person's slot after it was used changes nothing", async () => {
    const slot = slotOf(await askSlot(alice, { size: 4 }));
    const put = (body: string) => http("PUT", here(pathOf(slot.put)), { headers: slot.headers, body });
    const first = await Promise.all(["one!", "two!", "six!"].map(put));
    expect(first.map(({ status }) => status).sort()).toEqual([201, 409, 409]);
    const kept = (await http("GET", here(pathOf(slot.get)))).body.toString();
    expect((await put("new!")).status).toBe(409);
    expect((await http("GET", here(pathOf(slot.get)))).body.toString()).toBe(kept);
  });
});

describe("an upload that lies about its length", () => {
  const begin = async (size: number, head: string, rest = "") => {
    const slot = slotOf(await askSlot(alice, { size }));
    const credential = `Authorization: ${slot.headers.Authorization}\r\n`;
    return { slot, answer: raw(`PUT ${pathOf(slot.put)} HTTP/1.1\r\nHost: x\r\n${credential}${head}\r\n\r\n${rest}`) };
  };

  test.each([
    ["more than the slot", "Content-Length: 6", "123456", 413],
    ["far more than the slot", "Content-Length: 999999999999", "123456", 413],
    ["less than the slot", "Content-Length: 4", "1234", 400],
    ["nothing", "X-Length: 5", "", 411],
    ["in chunks", "Transfer-Encoding: chunked", "5\r\n12345\r\n0\r\n\r\n", 411],
    ["in chunks and with a length", "Transfer-Encoding: chunked\r\nContent-Length: 5", "5\r\n12345\r\n0\r\n\r\n", 400],
    ["twice", "Content-Length: 5\r\nContent-Length: 6", "12345", 400],
    ["below nothing", "Content-Length: -5", "12345", 400],
  ])("%s", async (_, head, rest, status) => {
    const { slot, answer } = await begin(5, `Connection: close\r\n${head}`, rest);
    expect(statusOf(await answer)).toBe(status);
    expect((await http("GET", here(pathOf(slot.get)))).status).toBe(404);
    expect(await incoming()).toEqual([]);
  });

  test("what follows the announced length is another request, not a part of the file", async () => {
    const { slot, answer } = await begin(
      5,
      "Content-Length: 5",
      "12345GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    const said = await answer;
    expect([statusOf(said), said.includes("404 Not Found")]).toEqual([201, true]);
    expect((await http("GET", here(pathOf(slot.get)))).body.toString()).toBe("12345");
  });
});

test("who sends a byte now and then is cut, who sends enough is not", async () => {
  const size = 1_000_000;
  const begin = async () => {
    const slot = slotOf(await askSlot(alice, { size }));
    const socket = connect(port, "127.0.0.1");
    const over = new Promise<string>((resolve) => {
      let heard = "";
      socket.on("data", (chunk) => {
        heard += chunk.toString();
      });
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(heard));
    });
    const head = `Authorization: ${slot.headers.Authorization}\r\nContent-Length: ${size}\r\nConnection: close`;
    socket.write(`PUT ${pathOf(slot.put)} HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
    return { socket, over };
  };
  const [slow, fast] = [await begin(), await begin()];
  await expect.poll(incoming, soon).toHaveLength(2);
  const waiting = [...impatience];
  slow.socket.write("x");
  fast.socket.write(Buffer.alloc(600_000));
  // What the server has read is written in batches.
  const written = async () => {
    const sizes = (await incoming()).map(
      async (name) => (await stat(join(core.home, "uploads", "incoming", name))).size,
    );
    return Math.max(...(await Promise.all(sizes)));
  };
  await expect.poll(written, soon).toBeGreaterThan(200_000);
  for (const work of waiting) work();
  expect(await slow.over).toBe("");
  await expect.poll(incoming, soon).toHaveLength(1);
  fast.socket.write(Buffer.alloc(400_000));
  expect(statusOf(await fast.over)).toBe(201);
});

test("a list of ten thousand ranges is answered with the file, once", async () => {
  const link = pathOf(await uploaded(alice, "0123456789"));
  const many = `bytes=${Array.from({ length: 1000 }, () => "0-9").join(",")}`;
  const got = await http("GET", here(link), { headers: { range: many } });
  expect([got.status, got.body.length]).toEqual([200, 10]);
  for (const range of ["bytes=9-0", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-99999999999999999999", "bytes=--1"])
    expect((await http("GET", here(link), { headers: { range } })).status, range).toBe(200);
});

describe("a flood", () => {
  // A second of work for the two of them, and many for a machine that does thirty other things.
  test("of slot requests is bounded, costs one person's places only, and the service goes on", {
    timeout: 120_000,
  }, async () => {
    const bob = await core.login("bob");
    const wish = `to='upload.localhost'><request xmlns='${upload}' filename='a' size='1'/></iq>`;
    const floods = 10_000;
    const answers = { result: 0, error: 0 };
    const retry = await new Promise<string>((resolve) => {
      // Whoever floods does not look at the answers one by one either.
      bob.connection.onStanza = (stanza) => {
        answers[stanza.attrs.type === "result" ? "result" : "error"]++;
        if (answers.result + answers.error === floods)
          resolve(stanza.getChild("error")?.getChild("retry", upload)?.attrs.stamp ?? "");
        return false;
      };
      for (let n = 0; n < floods; n += 500)
        bob.send(Array.from({ length: 500 }, (_, at) => `<iq type='get' id='f${n + at}' ${wish}`).join(""));
    });
    expect(answers).toEqual({ result: 100, error: 9900 });
    expect(Date.parse(retry)).toBeGreaterThan(Date.now());
    expect((await askSlot(alice, { size: 1 })).attrs.type).toBe("result");
    await bob.close();
  });

  test("of HEAD and OPTIONS leaves no file open and nobody waiting", async () => {
    const link = pathOf(await uploaded(alice, Buffer.alloc(100_000)));
    const before = (await readdir("/proc/self/fd")).length;
    const one = (method: string) => `${method} ${link} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const last = `OPTIONS ${link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => raw(`${one("HEAD").repeat(50)}${one("OPTIONS").repeat(50)}${last}`)),
    );
    for (const answer of answers) expect(answer.split("HTTP/1.1 20").length - 1).toBe(101);
    await expect.poll(async () => (await readdir("/proc/self/fd")).length, soon).toBeLessThan(before + 10);
  });

  test("of downloads that are broken off leaves no file open", async () => {
    const link = pathOf(await uploaded(alice, Buffer.alloc(2_000_000)));
    const before = (await readdir("/proc/self/fd")).length;
    await Promise.all(
      Array.from(
        { length: 50 },
        () =>
          new Promise<void>((resolve) => {
            const socket = connect(port, "127.0.0.1", () => socket.write(`GET ${link} HTTP/1.1\r\nHost: x\r\n\r\n`));
            socket.once("data", () => socket.destroy());
            socket.once("close", () => resolve());
          }),
      ),
    );
    await expect.poll(async () => (await readdir("/proc/self/fd")).length, soon).toBeLessThan(before + 10);
  });
});
