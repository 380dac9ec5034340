import { readdir, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eraseLocal } from "../../xmpp-core/modules/local-accounts.ts";
import { command, commandNote, formFields } from "../support/commands.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { askSlot, http, type Slot, slotOf, uploaded } from "../support/uploads.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// What becomes of uploaded files when the server, an account or a disk goes. docs/uploads.md
/** A machine that is busy with other tests writes to its disk in its own time. */
const soon = { timeout: 20_000 };
let core: TestCore;
let full = false;
let hold: Promise<void> | undefined;
let port: number;
beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["admin", "alice"],
    properties: {
      "httpbind.port.plain": String(port),
      "httpbind.port.secure": String(await freePort()),
      "httpbind.enabled": "true",
      "firekeeper.upload.keep-free-bytes": "0",
    },
    testing: { failWrites: () => full, holdWrites: () => hold },
  });
});
afterAll(() => core.close());

const path = (...names: string[]) => join(core.home, "uploads", ...names);
async function onDisk(): Promise<string[]> {
  return (await readdir(path(), { recursive: true })).filter((name) => /[0-9a-f]{32}$/.test(name)).sort();
}

async function person(name: string): Promise<XmppClient> {
  await core.addUser(name);
  return core.login(name);
}

/** As when a person gives up the account. */
async function erase(name: string): Promise<void> {
  const { accounts, names } = core.server;
  const account = accounts.get(names.primary.id, name);
  if (account !== undefined) expect(await eraseLocal(core.server.core, account)).toBe(true);
}

/** An upload whose second half is never sent. */
async function halfWay(slot: Slot, size: number) {
  const asked = request({
    ...{ host: "127.0.0.1", port, method: "PUT", path: new URL(slot.put).pathname, agent: false },
    headers: { ...slot.headers, "content-length": String(size) },
  });
  const over = new Promise<number | string>((resolve) => {
    asked.once("response", (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asked.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
  });
  asked.write(Buffer.alloc(size / 2));
  await expect.poll(async () => (await readdir(path("incoming"))).length, soon).toBe(1);
  const [partial = ""] = await readdir(path("incoming"));
  // What is gathered is written in batches.
  await expect.poll(async () => (await stat(path("incoming", partial))).size, soon).toBeGreaterThan(0);
  return { over };
}

describe("an upload that is under way", () => {
  const size = 2 * 1024 * 1024;

  test("fails cleanly when the server restarts, and the slot may be used again", async () => {
    const alice = await core.login("alice", { sm: true });
    const slot = slotOf(await askSlot(alice, { size }));
    const kept = await uploaded(alice, "kept");
    const { over } = await halfWay(slot, size);
    await core.restart();
    expect(await over).toBe(503);
    expect(await readdir(path("incoming"))).toEqual([]);
    expect((await http("PUT", slot.put, { headers: slot.headers, body: Buffer.alloc(size) })).status).toBe(201);
    expect((await http("GET", kept)).body.toString()).toBe("kept");
    await alice.ping();
    await alice.close();
  });

  test("leaves nothing when the server is killed", async () => {
    const alice = await core.login("alice");
    const slot = slotOf(await askSlot(alice, { size }));
    const before = await onDisk();
    const { over } = await halfWay(slot, size);
    // What a process that dies at once does not clean away.
    await writeFile(path("incoming", "f".repeat(32)), "half");
    await core.crash();
    expect(await over).not.toBe(201);
    expect(await readdir(path("incoming"))).toEqual([]);
    expect(await onDisk()).toEqual(before);
    expect((await http("PUT", slot.put, { headers: slot.headers, body: Buffer.alloc(size) })).status).toBe(201);
  });

  test("is refused at its end when the account has gone meanwhile, and nothing stays", async () => {
    const carol = await person("carol");
    const before = await onDisk();
    const slot = slotOf(await askSlot(carol, { size: 4 }));
    let go: () => void = () => undefined;
    const asked = request({
      ...{ host: "127.0.0.1", port, method: "PUT", path: new URL(slot.put).pathname, agent: false },
      headers: { ...slot.headers, "content-length": "4" },
    });
    const status = new Promise<number>((resolve) => {
      asked.once("response", (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      });
    });
    asked.write("ab");
    await expect.poll(async () => (await readdir(path("incoming"))).length, soon).toBe(1);
    await erase("carol");
    hold = new Promise((resolve) => {
      go = resolve;
    });
    asked.end("cd");
    go();
    expect(await status).toBe(403);
    hold = undefined;
    await expect.poll(onDisk, soon).toEqual(before);
  });
});

test("an upload is acknowledged only when its row is on disk; a disk that fails is said and leaves no file", async () => {
  const alice = await core.login("alice");
  const slot = slotOf(await askSlot(alice, { size: 4 }));
  const before = await onDisk();
  full = true;
  expect((await http("PUT", slot.put, { headers: slot.headers, body: "abcd" })).status).toBe(500);
  expect(await onDisk()).toEqual(before);
  full = false;
  await expect.poll(() => core.server.storage.health, soon).toBe("ok");
  expect((await http("PUT", slot.put, { headers: slot.headers, body: "abcd" })).status).toBe(201);
  expect((await http("GET", slot.get)).body.toString()).toBe("abcd");
});

test("who is removed leaves no file", async () => {
  const dora = await person("dora");
  const alice = await core.login("alice");
  const before = (await onDisk()).length;
  const links = [await uploaded(dora, "one"), await uploaded(dora, "two"), await uploaded(alice, "three")];
  await askSlot(dora, { size: 1 });
  expect(await onDisk()).toHaveLength(before + 3);
  await erase("dora");
  await expect.poll(onDisk, soon).toHaveLength(before + 1);
  const found = await Promise.all(links.map(async (link) => (await http("GET", link)).status));
  expect(found).toEqual([404, 404, 200]);
});

test("people see what they uploaded and delete it; admins do it for them", async () => {
  const bob = await person("bob");
  const links = [await uploaded(bob, "one", { name: "one.txt" }), await uploaded(bob, "two", { name: "two.txt" })];
  const own = "urn:firekeeper:uploads";
  const shown = await command(bob, own);
  expect(shown.toString()).toContain("one.txt, 3 bytes");
  const chosen = new URL(links[0] ?? "").pathname.split("/")[2] ?? "";
  const session = shown.getChild("command")?.attrs.sessionid;
  expect(commandNote(await command(bob, own, { files: [chosen] }, session))).toBe("Deleted: 1.");
  const found = () => Promise.all(links.map(async (link) => (await http("GET", link)).status));
  expect(await found()).toEqual([404, 200]);
  expect((await command(bob, `${own}#of`)).attrs.type).toBe("error");
  const admin = await core.login("admin");
  const asked = (await command(admin, `${own}#of`)).getChild("command")?.attrs.sessionid;
  const listed = await command(admin, `${own}#of`, { accountjid: ["bob@localhost"] }, asked);
  expect(formFields(listed).has("files")).toBe(true);
  expect(commandNote(await command(admin, `${own}#of`, { all: ["1"] }, asked))).toMatch(/^Deleted: \d+\.$/);
  expect(await found()).toEqual([404, 404]);
  await Promise.all([bob.close(), admin.close()]);
});

test("turned off, it is no service, and what was uploaded can still be read", async () => {
  const alice = await core.login("alice");
  const link = await uploaded(alice, "stays");
  const slot = slotOf(await askSlot(alice, { size: 1 }));
  await core.set({ "firekeeper.upload.enabled": "false" });
  expect((await askSlot(alice, { size: 1 })).attrs.type).toBe("error");
  expect((await http("PUT", slot.put, { headers: slot.headers, body: "x" })).status).toBe(403);
  expect((await http("GET", link)).body.toString()).toBe("stays");
  await core.set({ "firekeeper.upload.enabled": null });
});

// The last one: the server is called otherwise from here on.
test("files stay over a change of domain: new addresses under the new name, old ones lead to them still", async () => {
  const alice = await core.login("alice");
  const link = await uploaded(alice, "moved");
  await core.rename("chat.example.org", null);
  const later = await core.login("alice", { domain: "chat.example.org", resource: "later" });
  const slot = slotOf(await askSlot(later, { size: 1, to: "upload.chat.example.org" }));
  expect(new URL(slot.get).hostname).toBe("chat.example.org");
  // The other one is known by its former name.
  expect(new URL(slotOf(await askSlot(alice, { size: 1 })).get).hostname).toBe("localhost");
  const { pathname } = new URL(link);
  const got = await http("GET", `http://127.0.0.1:${port}${pathname}`, { headers: { host: "chat.example.org" } });
  expect(got.body.toString()).toBe("moved");
});
