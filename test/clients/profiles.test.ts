/** Seeds B16: what a person sets as his picture and name in one program is seen in another: Pidgin's users missed that. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { until } from "../support/processes.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { patienceMs } from "./real-client.ts";
import { slixmpp } from "./slixmpp.ts";

// One pixel.
const icon = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const hash = createHash("sha1").update(icon).digest("hex");
const domain = "old.example";
const missing = await slixmpp.missing();

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ domain, users: ["alice", "bob"] });
  const [one, other] = [await core.login("alice"), await core.login("bob")];
  for (const client of [one, other]) {
    await client.roster();
    client.presence();
    await client.ping();
  }
  one.presence("", `type='subscribe' to='bob@${domain}'`);
  await other.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  other.presence("", `type='subscribed' to='alice@${domain}'`);
  other.presence("", `type='subscribe' to='alice@${domain}'`);
  await one.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  one.presence("", `type='subscribed' to='bob@${domain}'`);
  await other.next("presence", (stanza) => stanza.attrs.type === "subscribed");
  await one.close();
  await other.close();
});
afterAll(async () => {
  XmppClient.dropAll();
  await core?.close();
});

type Seen = { event: string; sender?: string; nick?: string; pep?: string; vcard?: string };

/** Somebody with slixmpp, and what it sees. */
function person(
  user: string,
  sets: { photo?: string; nick?: string } = {},
): { seen: Seen[]; log: () => string; stop: () => Promise<void> } {
  const script = fileURLToPath(new URL("slixmpp-profile.py", import.meta.url));
  const child = spawn("/usr/bin/python3", [script], { stdio: "pipe" });
  const seen: Seen[] = [];
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log = (log + text).slice(-20_000);
  });
  createInterface({ input: child.stdout }).on("line", (line) => seen.push(JSON.parse(line) as Seen));
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const login = { ...sets, jid: `${user}@${domain}/look`, password: user, host: "127.0.0.1", port: core.port };
  child.stdin.write(`${JSON.stringify(login)}\n`);
  return {
    seen,
    log: () => log,
    async stop() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await exited;
      clearTimeout(timer);
    },
  };
}

test.skipIf(missing !== undefined)(
  "a picture and a name that one sets are seen by the other, by PEP and by vCard",
  async () => {
    const bob = person("bob");
    const alice = person("alice", { photo: icon.toString("base64"), nick: "Ally" });
    try {
      const saw = (what: string) => () => bob.seen.some(({ event }) => event === what);
      await until(saw("avatar"), patienceMs, () => `slixmpp saw no avatar\n${bob.log()}\n${alice.log()}`);
      expect(bob.seen.find(({ event }) => event === "avatar")).toEqual({
        ...{ event: "avatar", sender: `alice@${domain}`, pep: hash, vcard: hash },
      });
      await until(saw("nick"), patienceMs, () => `slixmpp saw no nickname\n${bob.log()}`);
      expect(bob.seen.find(({ event }) => event === "nick")).toMatchObject({ sender: `alice@${domain}`, nick: "Ally" });
      const raw = await core.login("bob", { resource: "raw" });
      raw.presence();
      await raw.next("presence", (one) => one.getChild("x", "vcard-temp:x:update")?.getChildText("photo") === hash);
    } finally {
      await alice.stop();
      await bob.stop();
    }
  },
);
