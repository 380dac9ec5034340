import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { openJournal } from "../../agent/apply/journal.ts";
import { startChild } from "../support/child.ts";
import { type Service, startService } from "../support/processes.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/** A service that people use is backed up, and made again elsewhere, under its own name and under another. */

const program = fileURLToPath(new URL("../../dist/agent/main.js", import.meta.url));

let service: Service;
let place: string;
let passphrase: string;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "firekeeper-backups-"));
  passphrase = join(place, "passphrase");
  await writeFile(passphrase, "correct horse battery staple\n");
  service = await startService({
    domain: "old.example",
    host: {
      users: ["alice", "bob"].map((name) => ({ name, password: name })),
      roles: [{ name: "Sales", types: ["xmpp.group"], members: "all" }],
    },
  });
}, 60_000);
afterAll(async () => {
  await service.stop();
  await rm(place, { recursive: true });
});

const login = (user: string, domain: string) =>
  XmppClient.login({ host: service.host, port: service.ports.plain, domain, user, password: user });

/** Bodies and senders of an account's archive. */
async function archive(client: XmppClient): Promise<{ from: string; body: string }[]> {
  const found: { from: string; body: string }[] = [];
  const done = client.set("<query xmlns='urn:xmpp:mam:2' queryid='q'/>");
  await done;
  for (const stanza of client.connection.inbox) {
    const message = stanza
      .getChild("result", "urn:xmpp:mam:2")
      ?.getChild("forwarded", "urn:xmpp:forward:0")
      ?.getChild("message");
    if (message) found.push({ from: String(message.attrs.from), body: message.getChildText("body") ?? "" });
  }
  return found;
}

/** Starts what a restore made, on the ports of the service that was backed up. */
async function running(home: string, work: () => Promise<void>): Promise<void> {
  const agent = startChild(process.execPath, [program], { cwd: home, env: { FIREKEEPER_HOME: home } });
  try {
    await agent.printed(/^(Firekeeper serves|Not ready)/m, 30_000);
    await work();
  } finally {
    await agent.stop();
  }
}

test("what was acknowledged is in the backup, and serves again under the same name and under another", {
  timeout: 120_000,
}, async () => {
  const alice = await login("alice", "old.example");
  const bob = await login("bob", "old.example");
  bob.presence();
  await bob.ping();
  alice.message("bob@old.example", "before the backup");
  await bob.next("message", (one) => one.getChildText("body") === "before the backup");
  await alice.ping();

  const open = join(place, "open.tar.gz");
  const sealed = join(place, "sealed");
  // People go on while it is taken.
  const chatting = (async () => {
    for (let at = 0; at < 50; at++) {
      alice.message("bob@old.example", `meanwhile ${at}`);
      await bob.next("message", (one) => one.getChildText("body") === `meanwhile ${at}`);
    }
  })();
  expect(await service.run(["backup", "create", open])).toContain("old.example");
  await chatting;
  await service.run(["backup", "create", sealed, "--passphrase-file", passphrase]);
  expect(await service.run(["backup", "verify", open])).toContain("is whole");
  const wrong = await service.cli(["backup", "verify", sealed]);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("passphrase")]);
  expect((await readFile(sealed)).includes("old.example")).toBe(false);

  const status = (await askAgent(service.home, "status")) as { server: { certificates: { sha256: string }[] } };
  const fingerprint = status.server.certificates[0]?.sha256;
  const same = join(place, "same");
  const other = join(place, "other");
  await service.run(["restore", open, "--home", same]);
  await service.run(["restore", sealed, "--home", other, "--domain", "new.example", "--passphrase-file", passphrase]);
  const used = await service.cli(["restore", open, "--home", same]);
  expect([used.code, used.stderr]).toEqual([1, expect.stringContaining("not empty")]);
  await alice.close();
  await bob.close();
  await service.kill("agent", "SIGTERM");
  await service.dead();

  await running(same, async () => {
    const again = await login("bob", "old.example");
    expect((await archive(again))[0]).toMatchObject({ body: "before the backup" });
    const now = (await askAgent(same, "status")) as typeof status;
    expect(now.server.certificates[0]?.sha256).toBe(fingerprint);
    await again.close();
  });

  await running(other, async () => {
    const again = await login("bob", "new.example");
    const [first] = await archive(again);
    expect(first?.body).toBe("before the backup");
    expect(first?.from).toMatch(/^alice@new\.example\//);
    expect([...(await again.roster()).contacts.keys()]).toContain("alice@new.example");
    await again.close();
    expect(((await askAgent(other, "status")) as { held: unknown; pending: unknown[] }).held).toBeNull();
  });
  const journal = await openJournal(other);
  expect(journal.history()[0]).toMatchObject({ cause: "restored as new.example", by: "restore", result: "proven" });
  await journal.close();
});
