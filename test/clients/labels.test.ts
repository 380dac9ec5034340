/** A security label (XEP-0258) as slixmpp's own plugin writes it, to a client that keeps the bytes. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startTestCore } from "../support/core.ts";
import { readArchive } from "../support/mam.ts";
import { slixmpp } from "./slixmpp.ts";

const missing = await slixmpp.missing();
const script = fileURLToPath(new URL("slixmpp-label.py", import.meta.url));

/** Lets slixmpp send it; resolves with the label as it went out. */
function sendLabel(order: Record<string, string | number>): Promise<string> {
  const child = spawn("/usr/bin/python3", [script], { stdio: ["pipe", "pipe", "pipe"] });
  let [out, log] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  child.stdin.end(`${JSON.stringify(order)}\n`);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => {
      try {
        resolve((JSON.parse(out) as { label: string }).label);
      } catch {
        reject(new Error(`slixmpp sent nothing:\n${out}${log}`));
      }
    });
  });
}

test.skipIf(missing !== undefined)(
  "a label of slixmpp arrives byte for byte, live and from both archives",
  async () => {
    const core = await startTestCore({ users: ["alice", "bob"] });
    try {
      const bob = await core.login("bob");
      bob.presence();
      await bob.next("presence");
      const account = { jid: "alice@localhost", password: "alice", host: "127.0.0.1", port: core.port };
      const label = await sendLabel({ ...account, to: "bob@localhost" });
      expect(label).toContain("FOR &lt;OUR&gt; EYES – &amp; only");
      await bob.next("message");
      const times = (client: typeof bob) => client.transcript().split(label).length - 1;
      expect(times(bob), bob.transcript()).toBe(1);
      await readArchive(bob);
      expect(times(bob)).toBe(2);
      const alice = await core.login("alice");
      await readArchive(alice);
      expect(times(alice)).toBe(1);
    } finally {
      await core.close();
    }
  },
);
