/** A host application behind HTTP, from outside: a real server that answers as a host might, well or badly. */
import { createHmac } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { openReport } from "../../agent/report.ts";
import type { HostStore, StoreError } from "../../agent/store/host-store.ts";
import { hostClient } from "../../agent/store/http/client.ts";
import { readHttpConfiguration } from "../../agent/store/http/configuration.ts";
import { hostReader } from "../../agent/store/http/read-host.ts";
import type { OpenedStore } from "../../agent/store/open.ts";
import { openStore } from "../../agent/store/open.ts";
import { makeCertificate } from "../protocol/gate-fixture.ts";
import { type PretendHost, pretendHost, type Responder } from "../support/host-http.ts";
import { agentFixture } from "./agent-fixture.ts";

const secret = "s3cret-token-of-the-host";
const keys = `SCRAM-SHA-256$4096:${Buffer.alloc(16).toString("base64")}$${Buffer.alloc(32).toString("base64")}:${Buffer.alloc(32).toString("base64")}`;
const person = (name: string) => ({ name, credentials: { sha256: keys } });
const world = {
  settings: { "sys.xmpp.domain": "localhost", "sys.xmpp.properties.xmpp.client.idle": 5 },
  roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice"], teams: [7] }],
  users: [person("admin"), person("alice")],
  teams: [{ id: 7, name: "Support", kind: "queue", members: ["alice"] }],
};

const ending: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

interface Fixture {
  readonly host: PretendHost;
  readonly store: HostStore;
  readonly home: string;
}

async function aHost(tls?: { key: string; cert: string }): Promise<PretendHost> {
  const host = await pretendHost(tls);
  ending.push(() => host.close());
  return host;
}

/** A store on a pretend host that serves `world` at /xmpp and wants the token. */
async function fixture(config: Record<string, unknown> = {}, path = "/xmpp"): Promise<Fixture> {
  const host = await aHost();
  host.document("/xmpp", world);
  host.demand(`Bearer ${secret}`);
  const home = await mkdtemp(join(tmpdir(), "firekeeper-http-"));
  ending.push(() => rm(home, { recursive: true, force: true }));
  const opened = await opening(host, home, config, path);
  return { host, home, store: opened.store };
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function opening(host: PretendHost, home: string, config: object, path = "/xmpp"): Promise<OpenedStore> {
  const file = join(home, "http.yaml");
  const basics = { token: secret, pollMs: 60_000, retryMs: 20, timeoutMs: 5000 };
  await writeFile(file, stringify({ ...basics, ...config }), { mode: 0o600 });
  const opened = await openStore({ at: host.origin + path, config: file }, { home });
  ending.push(() => opened.close());
  return opened;
}

const failure = (reading: Promise<unknown>): Promise<StoreError> =>
  reading.then(
    () => expect.unreachable("it was read"),
    (error: StoreError) => error,
  );

/** Everything a person or a log could see of an error. */
const shown = (error: StoreError) => `${inspect(error, { depth: 20, showHidden: true })} ${JSON.stringify(error)}`;

describe("a document", () => {
  test("is read whole, and costs no body while its ETag stays", async () => {
    const { host, store } = await fixture();
    const first = await store.read();
    expect([...first.settings]).toEqual([
      ["sys.xmpp.domain", "localhost"],
      ["sys.xmpp.properties.xmpp.client.idle", "5"],
    ]);
    expect(first.roles).toMatchObject([{ name: "Sales", members: ["alice"], teams: ["7"] }]);
    expect(first.users).toMatchObject([{ name: "admin", enabled: true }, { name: "alice" }]);
    expect(first.teams).toMatchObject([{ id: "7", name: "Support", kind: "queue" }]);
    expect(first.source).toBe(`the host at ${host.origin}/xmpp`);
    expect(await store.read()).toBe(first);
    expect(await store.read()).toBe(first);
    expect(host.asked("/xmpp").map((one) => [one.status, one.bytes ?? 0])).toEqual([
      [200, JSON.stringify(world).length],
      [304, 0],
      [304, 0],
    ]);
    expect(host.requests.every((one) => one.headers.authorization === `Bearer ${secret}`)).toBe(true);
    host.document("/xmpp", { ...world, users: [person("admin")] });
    expect((await store.read()).users).toHaveLength(1);
  });

  test("without an ETag is compared by its content", async () => {
    const { host, store } = await fixture();
    host.on("/xmpp", (_, response) =>
      response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(world)),
    );
    const first = await store.read();
    expect(await store.read()).toBe(first);
    expect(host.asked("/xmpp").map((one) => one.status)).toEqual([200, 200]);
  });

  test("that was read but not taken comes again whole", async () => {
    const host = await aHost();
    host.document("/xmpp", world);
    const { read, ...wire } = await readHttpConfiguration({ at: `${host.origin}/xmpp`, config: undefined });
    const client = hostClient(wire);
    ending.push(async () => client.close());
    const readHost = hostReader(client, { ...wire, read }, async () => {});
    const first = await readHost(undefined);
    expect(await readHost(undefined)).toEqual(first);
    expect(await readHost(first === "unchanged" ? "" : first.tag)).toBe("unchanged");
  });

  test("that is suddenly empty is a smaller world, which is the brake's matter, and a foreign one is an error", async () => {
    const { host, store } = await fixture();
    await store.read();
    host.document("/xmpp", { data: world });
    expect(await failure(store.read())).toMatchObject({ code: "store/bad-value" });
    host.document("/xmpp", {});
    expect((await store.read()).users).toEqual([]);
  });

  test("with a slip of the pen is read, and the slip is named", async () => {
    const { host, store } = await fixture();
    host.document("/xmpp", { ...world, users: [{ ...person("admin"), pasword: "x", department: "y" }] });
    const { warnings } = await store.read();
    expect(warnings).toMatchObject([{ code: "store/unknown-key", hint: "Did you mean password?" }]);
  });

  test("asks by name and password too", async () => {
    const host = await aHost();
    host.document("/xmpp", world);
    host.demand(`Basic ${Buffer.from("agent:päss:word").toString("base64")}`);
    const home = await mkdtemp(join(tmpdir(), "firekeeper-http-"));
    ending.push(() => rm(home, { recursive: true, force: true }));
    await writeFile(join(home, "password"), "päss:word\n");
    const { store } = await opening(host, home, { token: undefined, user: "agent", passwordFile: "password" });
    expect((await store.read()).users).toHaveLength(2);
  });
});

const json = { "Content-Type": "application/json" };
const text = JSON.stringify(world);
const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024, " "));
const cutGzip = gzipSync(text).subarray(0, -12);
const wrongAnswers: readonly (readonly [string, Responder, string, RegExp])[] = [
  ["401", (_, to) => to.writeHead(401).end(), "store/unauthorised", /credentials/],
  ["403", (_, to) => to.writeHead(403).end(), "store/unauthorised", /403/],
  ["404", (_, to) => to.writeHead(404).end(), "store/missing", /404/],
  ["410", (_, to) => to.writeHead(410).end(), "store/missing", /410/],
  ["429", (_, to) => to.writeHead(429, { "Retry-After": "3" }).end(), "store/busy", /wait 3 s/],
  ["500", (_, to) => to.writeHead(500).end(secret), "store/host-failed", /500/],
  ["503", (_, to) => to.writeHead(503, { "Retry-After": "3" }).end(), "store/busy", /wait 3 s/],
  ["204", (_, to) => to.writeHead(204).end(), "store/host-failed", /204/],
  ["304 that nobody asked for", (_, to) => to.writeHead(304).end(), "store/host-failed", /304/],
  ["a page", (_, to) => to.writeHead(200, { "Content-Type": "text/html" }).end("<p>"), "store/not-json", /text\/html/],
  [
    "another character set",
    (_, to) => to.writeHead(200, { "Content-Type": "application/json; charset=latin1" }).end(text),
    "store/not-json",
    /latin1/,
  ],
  [
    "bytes that are no UTF-8",
    (_, to) => to.writeHead(200, json).end(Buffer.of(0x22, 0xff, 0x22)),
    "store/not-utf8",
    /UTF-8/,
  ],
  ["a key twice", (_, to) => to.writeHead(200, json).end('{"users":[],"users":[]}'), "store/not-json", /stands twice/],
  [
    "half a document in a whole answer",
    (_, to) => to.writeHead(200, json).end(text.slice(0, 99)),
    "store/not-json",
    /JSON/,
  ],
  [
    "fewer bytes than promised",
    (_, to) =>
      to.writeHead(200, { ...json, "Content-Length": text.length }).write(text.slice(0, 99), () => to.destroy()),
    "store/cut-short",
    /broke off/,
  ],
  [
    "chunks without a last one",
    (_, to) => to.writeHead(200, json).write(text, () => to.destroy()),
    "store/cut-short",
    /broke off/,
  ],
  [
    "half a gzip in a whole answer",
    (_, to) => to.writeHead(200, { ...json, "Content-Encoding": "gzip" }).end(cutGzip),
    "store/cut-short",
    /broke off/,
  ],
  ["a reset", (_, to) => to.destroy(), "store/unreachable", /cannot be reached/],
  [
    "too many bytes",
    (_, to) => to.writeHead(200, json).end(Buffer.alloc(2 ** 21, " ")),
    "store/too-large",
    /1048576 bytes/,
  ],
  [
    "a gzip bomb",
    (_, to) => to.writeHead(200, { ...json, "Content-Encoding": "gzip" }).end(bomb),
    "store/too-large",
    /1048576 bytes/,
  ],
  [
    "an encoding nobody asked for",
    (_, to) => to.writeHead(200, { ...json, "Content-Encoding": "br" }).end(text),
    "store/not-json",
    /br/,
  ],
  ["a body that never ends", (_, to) => to.writeHead(200, json).write("{"), "store/slow", /whole within 300 ms/],
  ["silence", () => {}, "store/slow", /whole within 300 ms/],
  ["a circle", (_, to) => to.writeHead(302, { Location: "/xmpp" }).end(), "store/redirected", /more than 5/],
  ["a redirect to nowhere", (_, to) => to.writeHead(301).end(), "store/redirected", /nowhere/],
];

test("what a host may answer wrongly has its own error, shows no secret, and leaves the last good state", async () => {
  const { host, store } = await fixture({ maxBytes: 2 ** 20, timeoutMs: 300 });
  const good = await store.read();
  for (const [name, respond, code, message] of wrongAnswers) {
    const { host, store } = await fixture({ maxBytes: 2 ** 20, timeoutMs: 300 });
    host.on("/xmpp", respond);
    const error = await failure(store.read());
    expect([name, error.code]).toEqual([name, code]);
    expect(error.message, name).toMatch(message);
    expect(error.hint, name).toBeTruthy();
    expect(shown(error), name).not.toContain(secret);
    expect(shown(error), name).not.toMatch(/authorization/i);
  }
  host.on("/xmpp", (_, response) => response.destroy());
  await failure(store.read());
  expect(await store.lastGood()).toBe(good);
});

test("a good document may come compressed, and by redirects within the host", async () => {
  const { host, store } = await fixture();
  host.on("/xmpp", (_, to) => to.writeHead(307, { Location: "/moved?a=1" }).end());
  host.on("/moved", (_, to) => to.writeHead(200, { ...json, "Content-Encoding": "gzip" }).end(gzipSync(text)));
  expect((await store.read()).users).toHaveLength(2);
  expect(host.requests.map(({ url, headers }) => [url, headers.authorization])).toEqual([
    ["/xmpp", `Bearer ${secret}`],
    ["/moved?a=1", `Bearer ${secret}`],
  ]);
});

test("a redirect to another host is refused, and that host hears nothing", async () => {
  const { host, store } = await fixture();
  const other = await aHost();
  other.document("/xmpp", world);
  host.on("/xmpp", (_, to) => to.writeHead(302, { Location: `${other.origin}/xmpp` }).end());
  expect(await failure(store.read())).toMatchObject({ code: "store/redirected" });
  expect(other.requests).toEqual([]);
});

test("a certificate counts only if its authority is trusted, or given", async () => {
  const { key, chain } = await makeCertificate("host.example");
  const host = await aHost({ key, cert: chain });
  host.document("/xmpp", world);
  const home = await mkdtemp(join(tmpdir(), "firekeeper-http-"));
  ending.push(() => rm(home, { recursive: true, force: true }));
  await writeFile(join(home, "ca.pem"), chain);
  const wary = await opening(host, home, {});
  expect(await failure(wary.store.read())).toMatchObject({ code: "store/untrusted" });
  expect(host.requests).toEqual([]);
  const { store } = await opening(host, home, { ca: "ca.pem" });
  expect((await store.read()).users).toHaveLength(2);
});

test("a host that asks for patience is left alone until then, whoever asks", async () => {
  const { host, store } = await fixture();
  host.on("/xmpp", (_, to) => to.writeHead(429, { "Retry-After": "100" }).end());
  await failure(store.read());
  expect(await failure(store.read())).toMatchObject({ code: "store/busy" });
  expect(host.requests).toHaveLength(1);
});

test("a host that is away and comes back is found again without anybody asking", async () => {
  const { host, store } = await fixture();
  const good = await store.read();
  await host.away();
  expect(await failure(store.read())).toMatchObject({ code: "store/unreachable" });
  const found = new Promise<void>((resolve) => {
    const stop = store.watch(() => {
      store.read().then(
        () => resolve(stop()),
        () => host.back().catch(() => {}),
      );
    });
    // The watch is young: the failure after it arms the retry.
    void store.read().catch(() => {});
  });
  await found;
  expect(await store.read()).toBe(good);
});

test("a connection that the host closed while it was idle is no failure", async () => {
  const { host, store } = await fixture();
  await store.read();
  await host.away();
  await host.back();
  host.document("/xmpp", { ...world, teams: [] });
  expect((await store.read()).teams).toEqual([]);
});

const apart = { settings: "/s", roles: "/r", teams: "/t", users: "/u" };
function serveApart(host: PretendHost, snapshot?: string | number): void {
  const more = snapshot === undefined ? {} : { snapshot };
  host.document("/s", { settings: world.settings, ...more });
  host.document("/r", { roles: world.roles, ...more });
  host.document("/t", { teams: world.teams, ...more });
  host.document("/u", { users: world.users, ...more });
}

describe("parts apart", () => {
  test("without a snapshot are taken when two rounds agree, and then cost one round without bodies", async () => {
    const { host, store } = await fixture(apart);
    serveApart(host);
    const first = await store.read();
    expect([first.settings.size, first.roles.length, first.teams?.length, first.users.length]).toEqual([2, 1, 1, 2]);
    const statuses = () => host.requests.splice(0).map(({ url, status }) => `${url} ${status}`);
    expect(statuses()).toEqual(["/s 200", "/r 200", "/t 200", "/u 200", "/s 304", "/r 304", "/t 304", "/u 304"]);
    expect(await store.read()).toBe(first);
    expect(statuses()).toEqual(["/s 304", "/r 304", "/t 304", "/u 304"]);
    host.document("/u", [person("admin")]);
    expect((await store.read()).users).toHaveLength(1);
    expect(statuses().filter((one) => one.endsWith("200"))).toEqual(["/u 200"]);
  });

  test("that change while they are read are never mixed", async () => {
    const { host, store } = await fixture(apart);
    serveApart(host);
    let moved = false;
    host.on("/t", (_, to) => {
      // Roles were read before, users come after: bob is in both or in neither.
      if (!moved) {
        host.document("/r", { roles: [{ name: "Sales", types: ["xmpp.group"], members: ["bob"] }] });
        host.document("/u", { users: [person("admin"), person("bob")] });
      }
      moved = true;
      to.writeHead(200, json).end('{"teams":[]}');
    });
    const { roles, users } = await store.read();
    expect([roles[0]?.members, users.map(({ name }) => name)]).toEqual([["bob"], ["admin", "bob"]]);
  });

  test("of one snapshot are taken at once, by field or header", async () => {
    const { host, store } = await fixture(apart);
    serveApart(host, 41);
    host.document("/s", world.settings, { "X-Firekeeper-Snapshot": "41" });
    expect((await store.read()).users).toHaveLength(2);
    expect(host.requests).toHaveLength(4);
  });

  test("of different snapshots are read again, whole, and refused when that never ends", async () => {
    const { host, store } = await fixture(apart);
    serveApart(host, 1);
    await store.read();
    serveApart(host, 2);
    // The settings are as they were, under a tag of their own, and say which snapshot they are of in their body only.
    const settings =
      (version: number): Responder =>
      (request, to) =>
        request.headers["if-none-match"] === '"same"'
          ? to.writeHead(304, { ETag: '"same"' }).end()
          : to.writeHead(200, { ...json, ETag: '"same"' }).end(JSON.stringify({ settings: world.settings, version }));
    host.on("/s", settings(2));
    await store.read();
    serveApart(host, 3);
    host.on("/s", settings(3));
    host.document("/u", { users: [person("admin")], snapshot: 3 });
    expect((await store.read()).users).toHaveLength(1);
    host.document("/s", { settings: world.settings, version: 4 });
    expect(await failure(store.read())).toMatchObject({ code: "store/never-quiet" });
  });

  test("may have users on many pages, on the same host only and without a circle", async () => {
    const { host, store } = await fixture({ settings: "/s", users: "/u" });
    serveApart(host);
    const names = ["admin", "bob", "carol"];
    const pages: Responder = ({ url }, to) => {
      const page = Number(/page=(\d)/.exec(url)?.[1] ?? 0);
      const link = page < 2 ? { Link: `</u?page=${page + 1}>; rel="next"` } : {};
      to.writeHead(200, { ...json, ...link }).end(JSON.stringify([person(names[page] ?? "")]));
    };
    host.on("/u", pages);
    expect((await store.read()).users.map(({ name }) => name)).toEqual(names);
    host.on("/u", (_, to) => to.writeHead(200, { ...json, Link: '</u>; rel="next"' }).end("[]"));
    expect(await failure(store.read())).toMatchObject({ code: "store/bad-value" });
    const other = await aHost();
    host.on("/u", (_, to) => to.writeHead(200, { ...json, Link: `<${other.origin}/u>; rel="next"` }).end("[]"));
    expect(await failure(store.read())).toMatchObject({ code: "store/bad-value" });
    expect(other.requests).toEqual([]);
  });

  test("of which one fails are an error, never a smaller world", async () => {
    const { host, store } = await fixture(apart);
    serveApart(host);
    const good = await store.read();
    host.on("/u", (_, to) => to.writeHead(500).end());
    expect(await failure(store.read())).toMatchObject({ code: "store/host-failed" });
    expect(await store.lastGood()).toBe(good);
  });
});

/** Watches; `next` resolves with the cause of the next look, counted from the last call. */
function watching(store: HostStore) {
  const causes: string[] = [];
  let waiting: { fits: RegExp; found: (cause: string) => void } | undefined;
  const settle = () => {
    const at = causes.findIndex((cause) => waiting?.fits.test(cause));
    if (at < 0) return;
    const [cause = ""] = causes.splice(0, at + 1).slice(-1);
    waiting?.found(cause);
    waiting = undefined;
  };
  const stop = store.watch((cause) => {
    causes.push(cause);
    settle();
  });
  ending.push(stop);
  return {
    causes,
    stop,
    next: (fits: RegExp) =>
      new Promise<string>((found) => {
        waiting = { fits, found };
        settle();
      }),
  };
}

describe("look again", () => {
  test("says a long poll, once for each change and not for its lapse", async () => {
    const { host, store } = await fixture({ changes: { longPoll: "/changes", waitSeconds: 7 } });
    const feed = host.longPoll("/changes");
    const seen = watching(store);
    await host.next((one) => one.headers["if-none-match"] === '"v1"');
    // What was said before the first read makes a second one, since the first may have been too early.
    expect(seen.causes).toEqual([]);
    await store.read();
    await seen.next(/\/changes says/);
    feed.lapse();
    await host.next((one) => one.headers["if-none-match"] === '"v1"');
    feed.change();
    await seen.next(/\/changes says/);
    await host.next((one) => one.headers["if-none-match"] === '"v2"');
    expect(host.asked("/changes")[0]).toMatchObject({
      url: "/changes?wait=7",
      headers: { prefer: "wait=7", authorization: `Bearer ${secret}` },
    });
    await seen.stop();
  });

  test("says an event stream, which is opened again with the last id when it ends or falls silent", async () => {
    const { host, store } = await fixture({ changes: { events: "/events", silenceMs: 400 } });
    const feed = host.eventStream("/events");
    await store.read();
    const seen = watching(store);
    await seen.next(/is followed/);
    feed.send("id: 9\nevent: change\ndata: x\n\n");
    await seen.next(/sent an event/);
    const again = host.next((one) => one.url === "/events");
    feed.hangUp();
    expect((await again).headers).toMatchObject({ "last-event-id": "9", accept: "text/event-stream" });
    await seen.next(/is followed/);
    // From now on it says nothing: first a stream that began, then one without a single byte.
    host.on("/events", (_, to) => to.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders());
    for (let silent = 1; silent <= 2; silent++) {
      await host.next((one) => one.url === "/events");
      await seen.next(/is followed/);
    }
    await seen.stop();
  });

  test("says the regular question where nothing else does, and people are told that a feed is away", async () => {
    const { host, store } = await fixture({ changes: { events: "/events" }, pollMs: 100 });
    host.on("/events", (_, to) => to.writeHead(500).end());
    const first = await store.read();
    const seen = watching(store);
    await seen.next(/cannot be followed/);
    await seen.next(/asked regularly/);
    const told = await store.read();
    expect(told.hash).toBe(first.hash);
    expect(told.warnings).toMatchObject([{ code: "store/feed-away", message: expect.stringContaining("(500)") }]);
    host.eventStream("/events");
    await seen.next(/can be followed again/);
    expect((await store.read()).warnings).toEqual([]);
  });
});

test("a webhook whose port is taken is told, and opened when the port is free; without a watch nothing listens", async () => {
  const taken = createServer();
  const port = await freePort();
  const webhook = { path: "/hook", secret: "the-secret-of-the-webhook", port };
  const { store } = await fixture({ webhook, pollMs: 100 });
  await store.read();
  await new Promise<void>((resolve) => taken.listen(port, "127.0.0.1", resolve));
  const seen = watching(store);
  await seen.next(/webhook cannot listen/);
  expect((await store.read()).warnings).toMatchObject([{ code: "store/webhook-port" }]);
  await new Promise((resolve) => taken.close(resolve));
  const open = () => fetch(`http://127.0.0.1:${port}/`).then(({ status }) => status);
  await expect.poll(() => open().catch(() => 0)).toBe(404);
  await seen.stop();
  await expect(open()).rejects.toThrow();
});

describe("a password that a user changed", () => {
  const change = { kind: "user-password", name: "alice", password: "n3w-pässword" } as const;
  const write = { write: { password: { url: "/passwords" } } };

  test("goes to the host, and the store is read again", async () => {
    const { host, store } = await fixture(write);
    expect([store.writable, (await store.read()).users.length]).toEqual([true, 2]);
    host.on("/passwords", ({ body }, to) => {
      const { name } = JSON.parse(body);
      host.document("/xmpp", { ...world, users: [person("admin"), { ...person(name), displayName: "new" }] });
      to.writeHead(204).end();
    });
    const { summary, snapshot } = await store.edit(change);
    expect(snapshot.users[1]?.displayName).toBe("new");
    const [asked] = host.asked("/passwords");
    expect(asked).toMatchObject({ method: "POST", headers: { authorization: `Bearer ${secret}` } });
    expect(JSON.parse(asked?.body ?? "")).toEqual({ name: "alice", password: "n3w-pässword" });
    expect(summary).toBe("Changed the password of alice in the host.");
  });

  test("is refused in the host's words, without what must not be shown", async () => {
    const { host, store } = await fixture(write);
    const refusing = async (status: number, body: string, location = {}) => {
      host.on("/passwords", (_, to) => to.writeHead(status, location).end(body));
      const error = await failure(store.edit(change));
      expect(shown(error)).not.toContain(change.password);
      expect(shown(error)).not.toContain(secret);
      return error;
    };
    expect(await refusing(422, '{"message":"Too\\nshort\\u001b[0m."}')).toMatchObject({
      code: "store/refused",
      message: "The host refused the password of alice: Too short [0m.",
    });
    expect(await refusing(400, JSON.stringify({ message: `${change.password} is bad` }))).toMatchObject({
      code: "store/refused",
      message: expect.stringContaining("without a reason"),
    });
    expect((await refusing(400, JSON.stringify({ message: "x".repeat(9999) }))).message.length).toBeLessThan(300);
    expect(await refusing(401, '{"message":"no"}')).toMatchObject({ code: "store/unauthorised" });
    expect(await refusing(400, "<p>")).toMatchObject({ code: "store/host-failed" });
    expect(await refusing(500, '{"message":"no"}')).toMatchObject({ code: "store/host-failed" });
    const other = await aHost();
    expect(await refusing(307, "", { Location: `${other.origin}/passwords` })).toMatchObject({
      code: "store/host-failed",
    });
    expect(other.requests).toEqual([]);
  });

  test("is the only thing that goes back, and that only where the host takes it", async () => {
    const { host, store } = await fixture(write);
    expect(await failure(store.edit({ kind: "user-remove", name: "alice" }))).toMatchObject({
      code: "store/read-only",
    });
    const reading = await fixture();
    expect(await failure(reading.store.edit(change))).toMatchObject({ code: "store/read-only" });
    expect([...host.requests, ...reading.host.requests].filter((one) => one.method !== "GET")).toEqual([]);
  });
});

/** Where the store's configuration is, with a webhook. */
async function agentOn(host: PretendHost, config: object, env: Record<string, string> = {}) {
  const directory = await mkdtemp(join(tmpdir(), "firekeeper-http-"));
  ending.push(() => rm(directory, { recursive: true, force: true }));
  const file = join(directory, "http.yaml");
  await writeFile(file, stringify({ token: secret, pollMs: 60_000, retryMs: 20, ...config }), { mode: 0o600 });
  const agent = await agentFixture(
    {},
    { FIREKEEPER_STORE: `${host.origin}/xmpp`, FIREKEEPER_STORE_CONFIG: file, ...env },
  );
  ending.push(() => agent.close());
  return agent;
}

describe("an agent", () => {
  test("takes the host's first state at once and waits with the next for a person", async () => {
    const host = await aHost();
    host.document("/xmpp", world);
    host.demand(`Bearer ${secret}`);
    const agent = await agentOn(host, {});
    await agent.start();
    expect(agent.core.stored.world.accounts.map(({ name }) => name).sort()).toEqual(["admin", "alice"]);
    host.document("/xmpp", { ...world, users: [...world.users, person("bob")] });
    expect(await agent.ask("plan")).toMatchObject({ is: "waiting", plan: { changes: [{ subject: "account bob" }] } });
    expect(agent.core.stored.revision).toBe(1);
    expect(await agent.ask("apply")).toMatchObject({ is: "applied", revision: 2 });
    expect(agent.core.stored.world.accounts).toHaveLength(3);
    // The host is away: what is in force stays, and people are told.
    await host.away();
    const { plan } = await agent.ask("plan");
    expect(plan.changes).toEqual([]);
    expect(plan.notices.map((one) => one.code)).toContain("store/unreachable");
  });

  test("in auto mode applies what the webhook announces, and no secret is in any log, journal, file or answer", async () => {
    const host = await aHost();
    host.document("/xmpp", world);
    host.demand(`Bearer ${secret}`);
    const hookSecret = "the-secret-of-the-webhook";
    const port = await freePort();
    const webhook = { path: "/hook", secret: hookSecret, port };
    const write = { password: { url: "/passwords" } };
    const agent = await agentOn(host, { webhook, write, timeoutMs: 300 }, { FIREKEEPER_APPLY: "auto" });
    const logged: unknown[] = [];
    const report = new Proxy(openReport("silent"), {
      get:
        () =>
        (...facts: unknown[]) =>
          void logged.push(...facts),
    });
    await agent.start({ report });
    const committed = new Promise<void>((resolve) => {
      agent.core.hooks.afterCommit = resolve;
    });
    host.document("/xmpp", { ...world, users: [...world.users, person("bob")] });
    const call = (time: number, key = hookSecret) => {
      const v1 = createHmac("sha256", key).update(`${time}.{}`).digest("hex");
      const headers = { "X-Firekeeper-Signature": `t=${time},v1=${v1}` };
      return fetch(`http://127.0.0.1:${port}/hook`, { method: "POST", body: "{}", headers });
    };
    expect((await call(Math.floor(Date.now() / 1000))).status).toBe(202);
    await committed;
    expect(agent.core.stored.world.accounts.map(({ name }) => name)).toContain("bob");
    // Everything that can go wrong, once.
    expect((await call(Math.floor(Date.now() / 1000), "another secret, of somebody")).status).toBe(401);
    const password = "n3w-password-of-bob";
    host.on("/passwords", (_, to) => to.writeHead(422).end('{"message":"no"}'));
    const change = { kind: "user-password", name: "bob", password };
    const answers: unknown[] = [await agent.ask("store-edit", { change }).catch((error: unknown) => error)];
    for (const [, respond, code] of wrongAnswers) {
      // After that one the host is not asked for a while.
      if (code === "store/busy") continue;
      host.on("/xmpp", respond);
      answers.push(await agent.ask("plan").catch((error: unknown) => error));
    }
    answers.push(await agent.status(), await agent.journal());
    const everything = inspect([logged, answers], { depth: 30, maxArrayLength: null, maxStringLength: null });
    expect(everything).toMatch(/store\/refused/);
    expect(everything).toMatch(/store\/webhook-refused/);
    const files = await readdir(agent.home, { recursive: true, withFileTypes: true });
    const texts = files.flatMap((one) => (one.isFile() ? [readFile(join(one.parentPath, one.name), "latin1")] : []));
    for (const place of [everything, ...(await Promise.all(texts))])
      for (const hidden of [secret, hookSecret, password, "uthorization:"]) expect(place).not.toContain(hidden);
  });
});
