/** The parts of the HTTP store that are functions: configuration, JSON, event streams, waits, signatures. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { signatureOf } from "../../agent/network/signed-request.ts";
import type { StoreError } from "../../agent/store/host-store.ts";
import { printable } from "../../agent/store/http/client.ts";
import { isLoopback, readHttpConfiguration } from "../../agent/store/http/configuration.ts";
import { eventReader } from "../../agent/store/http/event-stream.ts";
import { retryAfterMs } from "../../agent/store/http/failures.ts";
import { backoffMs } from "../../agent/store/http/look-again.ts";
import { nextPage } from "../../agent/store/http/read-host.ts";
import { strictJson } from "../../agent/store/http/strict-json.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "firekeeper-http-"));
  await writeFile(join(directory, "token"), "from-the-file\n");
  await writeFile(join(directory, "two-words"), "two words\n");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function configured(text: string, at = "https://host.example/api/xmpp?key=hush") {
  const config = join(directory, "store.yaml");
  await writeFile(config, text);
  return readHttpConfiguration({ at, config });
}

describe("configuration", () => {
  test("without a file there is one document and no credentials", async () => {
    const read = await readHttpConfiguration({ at: "https://host.example/api/xmpp?key=hush", config: undefined });
    expect(read).toMatchObject({ place: "https://host.example/api/xmpp", warnings: [], webhook: undefined });
    expect("document" in read.read && read.read.document.href).toBe("https://host.example/api/xmpp?key=hush");
    expect(await read.authorization()).toBeUndefined();
  });

  test("URLs are relative to the store's, secrets to the file", async () => {
    const read = await configured("users: xmpp/users\nsettings: /s\ntokenFile: token\nchanges: { events: /e }\n");
    expect("split" in read.read && read.read.split.map(([part, url]) => [part, url.href])).toEqual([
      ["settings", "https://host.example/s"],
      ["users", "https://host.example/api/xmpp/users"],
    ]);
    expect(await read.authorization()).toBe("Bearer from-the-file");
    expect(read.events?.url.href).toBe("https://host.example/e");
    expect(await (await configured("user: jo\npassword: pä:ss\n")).authorization()).toBe(
      `Basic ${Buffer.from("jo:pä:ss").toString("base64")}`,
    );
  });

  test.each([
    ["tokn: x", /tokn means nothing.*Did you mean token\?/],
    ["changes: { longpoll: /x }", /changes\.longpoll means nothing.*longPoll/],
    ["write: { password: { url: /x, verb: PUT } }", /write\.password\.verb means nothing/],
    ["document: /x\nusers: /y", /document must be absent/],
    ["users: https://other.example/users", /users must be a URL at https:\/\/host\.example/],
    ["users: http://host.example/users", /users must be a URL at https:\/\/host\.example/],
    ["users: https://a:hush@host.example/users", /users must be a URL without user and password/],
    ["token: a\nuser: b", /user must be absent/],
    ["password: hush", /user must be given/],
    ["user: a\npassword: hush\npasswordFile: token", /passwordFile must be absent/],
    ["changes: {}", /either longPoll or events/],
    ["changes: { longPoll: /a, events: /b }", /either longPoll or events/],
    ["webhook: { path: hook, secret: hushhushhushhush }", /webhook\.path must be a path/],
    ["webhook: { path: /hook }", /either secret or secretFile/],
    ["ca: not-there.pem", /ca: .*not-there\.pem cannot be read \(ENOENT\)/],
    ["pollMs: soon", /pollMs must be a whole number of milliseconds/],
    ["token: [hush", /store\.yaml:\d+: /],
  ])("%j is refused with the key and the rule, and no secret", async (text, message) => {
    const error: StoreError = await configured(`${text}\n`).then(
      () => expect.unreachable(),
      (refused) => refused,
    );
    expect(error.code).toBe("store/config");
    expect(`${error.message} ${error.hint}`).toMatch(message);
    expect(`${error.message} ${error.hint} ${error.cause}`).not.toContain("hush");
  });

  test("secrets that cannot be used are refused when they are read", async () => {
    await expect((await configured("tokenFile: two-words\n")).authorization()).rejects.toThrow(/tokenFile must be one/);
    const short = await configured("webhook: { path: /h, secret: short }\n");
    await expect(short.webhook?.secret()).rejects.toThrow(/16 characters/);
  });

  test("without TLS only this machine is read, unless somebody says so, and passwords go back by TLS only", async () => {
    const at = "http://host.example/api";
    await expect(configured("{}\n", at)).rejects.toThrow(/without TLS/);
    expect((await configured("allowPlainHttp: true\n", at)).warnings).toMatchObject([{ code: "store/plain-http" }]);
    const write = "write: { password: { url: /p } }\n";
    await expect(configured(`allowPlainHttp: true\n${write}`, at)).rejects.toThrow(/https only/);
    expect((await configured(write, "http://127.0.0.1:8080/api")).passwordWrite?.method).toBe("POST");
    await expect(configured("{}\n", "https://jo:hush@host.example/")).rejects.not.toThrow(/hush/);
    expect(["localhost", "a.localhost", "127.8.9.1", "[::1]"].filter((one) => !isLoopback(one))).toEqual([]);
    expect(["127.0.0.1.example", "localhost.example", "10.0.0.1"].filter(isLoopback)).toEqual([]);
  });
});

describe("JSON", () => {
  test("is what JSON.parse reads, whatever it holds", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes('"__proto__"') && !/\d{16}/.test(text));
        expect(strictJson(text, "x")).toEqual(JSON.parse(text));
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['{"a":1,"a":2}', /"a" stands twice/],
    ['{"x":[{"k":"\\"}"},{"k":1,"\\u006b":2}]}', /"k" stands twice/],
    ['{"a":{"b":1},"c":{"b":1},"a":0}', /"a" stands twice/],
    ['{"__proto__":{}}', /__proto__/],
    ['{"id":12345678901234567890}', /too large/],
    ["<html>", /did not answer with JSON/],
    ['{"password":"hush', /did not answer with JSON/],
    ['{"password": hush}', /did not answer with JSON/],
    ["", /did not answer with JSON/],
  ])("%j is refused", (text, message) => {
    const read = () => strictJson(text, "the host");
    expect(read).toThrow(message);
    expect(read).not.toThrow(/hush/);
  });

  test("the same key in two objects and the same text as key and value are fine", () => {
    expect(strictJson('[{"a":"a"},{"a":["a","a",{"a":-1.5e3}]}]', "x")).toEqual([
      { a: "a" },
      { a: ["a", "a", { a: -1500 }] },
    ]);
  });
});

describe("an event stream", () => {
  const stream =
    "\uFEFF: hello\r\nevent: change\rdata: eins\ndata:zwei – ü\nid: 7\n\nretry: 250\nid\ndata\n\nnothing: x\n\nevent: lost\n\ndata: last\n\ndata: unfinished\n";
  const wanted = [
    { type: "change", data: "eins\nzwei – ü" },
    { type: "message", data: "" },
    { type: "message", data: "last" },
  ];

  test("is read the same however its bytes are cut", () => {
    const bytes = Buffer.from(stream);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
        const reader = eventReader("before");
        const ends = [...cuts, bytes.length].sort((a, b) => a - b);
        const events = ends.flatMap((end, index) => reader.read(bytes.subarray(ends[index - 1] ?? 0, end)));
        expect(events).toEqual(wanted);
        expect([reader.lastId, reader.retryMs]).toEqual(["", 250]);
      }),
    );
  });

  test("keeps the id of the last whole event", () => {
    const reader = eventReader("41");
    reader.read(Buffer.from("id: 42\ndata: x\n\nid: 43\ndata: y\n"));
    expect(reader.lastId).toBe("42");
  });

  test("without an end is refused before it fills the memory", () => {
    expect(() => eventReader().read(Buffer.alloc(70_000, "x"))).toThrow(RangeError);
    expect(() => eventReader().read(Buffer.from("data: xxxxxxxxx\n".repeat(8000)))).toThrow(RangeError);
  });
});

test("waits double, spread and have a limit", () => {
  expect([0, 1, 2, 3].map((attempt) => backoffMs(attempt, 1000, () => 1))).toEqual([1000, 2000, 4000, 8000]);
  expect(backoffMs(3, 1000, () => 0)).toBe(4000);
  expect(backoffMs(1000, 1000, () => 1)).toBe(300_000);
});

test("Retry-After is seconds or a date, and has a limit", () => {
  const now = Date.UTC(2026, 0, 1);
  expect(retryAfterMs("7", now)).toBe(7000);
  expect(retryAfterMs("Thu, 01 Jan 2026 00:00:30 GMT", now)).toBe(30_000);
  expect(retryAfterMs("Thu, 01 Jan 2020 00:00:30 GMT", now)).toBe(0);
  expect(retryAfterMs("999999", now)).toBe(600_000);
  expect([retryAfterMs("soon", now), retryAfterMs(undefined, now)]).toEqual([undefined, undefined]);
});

test("the next page is the one called next, on the same origin", () => {
  const from = new URL("https://host.example/users?page=1");
  expect(nextPage('</users?page=0>; rel="prev", </users?page=2>; title="a"; rel="next"', from)?.href).toBe(
    "https://host.example/users?page=2",
  );
  expect(nextPage("<?page=2>; rel=next", from)?.href).toBe("https://host.example/users?page=2");
  expect([nextPage(undefined, from), nextPage('<?page=9>; rel="last"', from)]).toEqual([undefined, undefined]);
  expect(() => nextPage('<https://other.example/>; rel="next"', from)).toThrow(/https:\/\/host\.example/);
});

test("a signature header is read strictly", () => {
  const hex = "ab".repeat(32);
  expect(signatureOf(`t=17,v1=${hex}`)).toMatchObject({ time: "17", at: 17, signatures: [Buffer.from(hex, "hex")] });
  expect(signatureOf(`v1=${hex}, v0=old, t=17, v1=${hex}`)?.signatures).toHaveLength(2);
  for (const bad of [
    undefined,
    "",
    "t=17",
    `v1=${hex}`,
    `t=x,v1=${hex}`,
    `t=1,t=2,v1=${hex}`,
    "t=1,v1=ab",
    `t=1;v1=${hex}`,
  ])
    expect(signatureOf(bad), String(bad)).toBeUndefined();
  expect(signatureOf(`t=1${`,v1=${hex}`.repeat(5)}`)).toBeUndefined();
});

test("what a host says is shown without control characters and not without end", () => {
  expect(printable("too\nshort\u001b[31m\u202e!")).toBe("too short [31m !");
  expect(printable("x".repeat(500))).toHaveLength(201);
});
