/** slixmpp as a telephone: nobody looks at it, it is called, it comes back. XEP-0352, 0357, 0198 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { takesComponents } from "../support/component.ts";
import { subscribe } from "../support/contacts.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { until } from "../support/processes.ts";
import { PushService } from "../support/push-service.ts";
import { patienceMs } from "./real-client.ts";
import { slixmpp } from "./slixmpp.ts";

const missing = await slixmpp.missing();
if (missing !== undefined) console.log(`skipped: ${missing}`);

interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}
let core: TestCore;
let service: PushService;
let phone: ChildProcessWithoutNullStreams;
const events: Event[] = [];
let log = "";

beforeAll(async () => {
  if (missing !== undefined) return;
  const port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: {
      ...takesComponents(port, "secret"),
    },
  });
  service = await PushService.join(port, "secret");
  await subscribe(core, "alice", "bob");
  phone = spawn("/usr/bin/python3", [fileURLToPath(new URL("slixmpp-phone.py", import.meta.url))], { stdio: "pipe" });
  phone.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-30_000);
  });
  createInterface({ input: phone.stdout }).on("line", (line) => events.push(JSON.parse(line) as Event));
  order({ jid: "alice@localhost/phone", password: "alice", host: "127.0.0.1", port: core.port });
});
afterAll(async () => {
  if (missing !== undefined) return;
  const ended = new Promise((resolve) => phone.once("close", resolve));
  phone.stdin.end();
  await ended;
  await service.leave();
  await core.close();
});

const order = (what: object): void => void phone.stdin.write(`${JSON.stringify(what)}\n`);
/** The first such event, and forgets what came before it. */
async function next(name: string, matches: (event: Event) => boolean = () => true): Promise<Event> {
  let at = -1;
  await until(
    () => {
      at = events.findIndex((event) => event.event === name && matches(event));
      return at >= 0;
    },
    patienceMs,
    () => `no ${name}\n${events.map((event) => JSON.stringify(event)).join("\n")}\n${log}`,
  );
  return events.splice(0, at + 1)[at] as Event;
}
async function does(what: string, more: object = {}): Promise<void> {
  order({ do: what, ...more });
  await next("done", (event) => event.what === what);
}

test.skipIf(missing !== undefined)(
  "slixmpp sleeps while nobody looks, is called, and has everything once",
  async () => {
    expect((await next("online")).csi).toBe(true);
    await does("push", { jid: "push.localhost" });
    await does("inactive");
    const bob = await core.login("bob", { resource: "bob" });
    bob.presence("<show>away</show>");
    bob.presence("<show>dnd</show>");
    await bob.ping();
    const { accounts, names, sessions } = core.server;
    const account = accounts.get(names.primary.id, "alice");
    const session = account && sessions.get(account, "phone");
    expect(session?.outbound.heldBack).toHaveLength(1);
    expect(events.filter(({ event }) => event === "presence")).toEqual([]);
    // What is said comes behind it, and calls the app.
    bob.message("alice@localhost", "hello");
    expect((await next("presence")).show).toBe("dnd");
    expect((await next("message")).body).toBe("hello");
    expect((await service.call()).node).toBe("phone");
    bob.presence("<show>xa</show>");
    await does("active");
    expect(session?.outbound.heldBack).toEqual([]);
    // The connection breaks: what is said meanwhile calls it, and is there once it is back in its session.
    order({ do: "break" });
    await until(
      () => session?.carrier === undefined,
      patienceMs,
      () => `still there\n${log}`,
    );
    bob.message("alice@localhost", "while you were away");
    await service.call();
    order({ do: "back" });
    await next("resumed");
    expect((await next("message")).body).toBe("while you were away");
    await does("active");
    expect(sessions.get(account as NonNullable<typeof account>, "phone")).toBe(session);
    expect(events.filter(({ event }) => event === "message")).toEqual([]);
  },
);
