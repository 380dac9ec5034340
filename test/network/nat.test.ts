/**
 * A service behind a real NAT whose public address changes while it runs: it finds the new one by STUN, what is under way
 * goes on, and the next file transfer is offered the new address. docs/network.md
 */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { OutcomeDocument, StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { type Child, startChild } from "../support/child.ts";
import { type NatNetwork, natNetwork, whyNoNamespaces } from "../support/namespaces.ts";
import { until } from "../support/processes.ts";
import { socksServer, type TestSocksServer } from "../support/socks5-server.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const stunPort = 3478;
const program = fileURLToPath(new URL("../../dist/agent/main.js", import.meta.url));
const missing =
  (await whyNoNamespaces()) ??
  (existsSync("/usr/bin/turnserver") ? undefined : "coturn is not installed") ??
  (existsSync(program) ? undefined : `${program} does not exist: npm run build`);
if (missing !== undefined) console.warn(`test/network/nat.test.ts is skipped: ${missing}`);

const ns = "http://jabber.org/protocol/bytestreams";

describe.skipIf(missing !== undefined)("behind a NAT", () => {
  let net: NatNetwork;
  let home: string;
  let agent: Child;
  let stun: Child[];
  let vantage: TestSocksServer;

  beforeAll(async () => {
    net = await natNetwork([5222, 5223, 7777]);
    await net.translateTo(net.public[0]);
    home = await mkdtemp(join(tmpdir(), "firekeeper-nat-"));
    vantage = await socksServer(net.outside[3]);
    stun = net.outside.slice(0, 3).map((address, place) => {
      const own = [
        "--log-file",
        "stdout",
        "--pidfile",
        join(home, `stun-${place}.pid`),
        "--userdb",
        join(home, `stun-${place}.db`),
      ];
      const argv = [
        "-n",
        "--stun-only",
        "-L",
        address,
        "-p",
        String(stunPort),
        "--no-cli",
        "--no-tls",
        "--no-dtls",
        ...own,
      ];
      return startChild("turnserver", argv);
    });
    await Promise.all(stun.map((server) => server.printed(/Total General servers|auth thread/)));
    await write("auto");
    agent = net.inside(process.execPath, [program], {
      cwd: home,
      env: {
        FIREKEEPER_HOME: home,
        // The address moves without a person in this mode too.
        FIREKEEPER_APPLY: "manual",
        FIREKEEPER_STUN: net.outside.slice(0, 3).join(","),
        FIREKEEPER_STUN_EVERY: "1",
        FIREKEEPER_PROBE_FROM: `socks5://${net.outside[3]}:${vantage.port}`,
      },
    });
    await agent.printed(/^(Firekeeper serves|Not ready)/m, 60_000);
  });

  afterEach(() => XmppClient.dropAll());

  afterAll(async () => {
    vantage?.close();
    await Promise.all((stun ?? []).map((server) => server.stop()));
    await net?.close();
    if (home !== undefined) await rm(home, { recursive: true, force: true });
  });

  const users = ["alice", "bob"].map((name) => ({ name, password: name }));
  async function write(externalip: string): Promise<void> {
    const host = { settings: { "sys.xmpp.domain": "localhost", "sys.xmpp.externalip": externalip }, users };
    await writeFile(join(home, "host.yaml"), `${stringify(host)}...\n`, { mode: 0o600 });
  }
  const logs = () => agent.output();
  const login = (user: string, host: string) =>
    XmppClient.login({ host, port: 5222, domain: "localhost", user, password: user });
  const status = async () => (await askAgent(home, "status")) as StatusDocument;
  const journal = () => readFile(join(home, "journal.jsonl"), "utf8");

  async function offered(client: XmppClient): Promise<string[]> {
    const answer = await client.get(`<query xmlns='${ns}'/>`, "proxy.localhost");
    const hosts = answer.getChild("query", ns)?.getChildren("streamhost") ?? [];
    return hosts.map((each) => String(each.attrs.host));
  }

  /** A transfer through the proxy at `host`, both sides connected and activated. */
  async function transfer(sid: string, host: string, from: XmppClient, to: XmppClient) {
    const name = createHash("sha1").update(`${sid}${from.jid}${to.jid}`).digest("hex");
    const side = async (): Promise<Socket> => {
      const socket = connect(7777, host);
      await once(socket, "connect");
      socket.write(Buffer.from([5, 1, 0]));
      await read(socket, 2);
      socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3, 40]), Buffer.from(name), Buffer.from([0, 0])]));
      await read(socket, 47);
      return socket;
    };
    const [receiver, sender] = [await side(), await side()];
    const activate = `<query xmlns='${ns}' sid='${sid}'><activate>${to.jid}</activate></query>`;
    expect((await from.set(activate, "proxy.localhost")).attrs.type).toBe("result");
    const received: Buffer[] = [];
    receiver.on("data", (chunk: Buffer) => received.push(chunk));
    const bytes = () => received.reduce((sum, chunk) => sum + chunk.length, 0);
    return { sender, received, bytes, ended: once(receiver, "end") };
  }

  test("the address changes during a transfer: it arrives whole, and the next offer has the new address", async () => {
    const [first, second] = net.public;
    const [alice, bob] = await Promise.all([login("alice", first), login("bob", first)]);
    expect(await offered(alice), logs()).toEqual([first]);

    const file = randomBytes(20_000_000);
    const under = await transfer("one", first, alice, bob);
    under.sender.write(file.subarray(0, 10_000_000));
    await until(() => under.bytes() >= 10_000_000, 20_000, logs);

    // One STUN server is away as well: two of three are enough.
    await stun[2]?.stop();
    await net.translateTo(second);
    await until(async () => (await offered(alice))[0] === second, 30_000, logs);

    under.sender.end(file.subarray(10_000_000));
    await under.ended;
    expect(Buffer.concat(under.received).equals(file)).toBe(true);

    const next = await transfer("two", second, alice, bob);
    next.sender.end(file.subarray(0, 1_000_000));
    await next.ended;
    expect(Buffer.concat(next.received).equals(file.subarray(0, 1_000_000))).toBe(true);

    // A live change without a person, in the journal with who has seen it.
    const { mode, pending, held } = await status();
    expect({ mode, pending, held }).toEqual({ mode: "manual", pending: [], held: null });
    const entry = (await journal()).split("\n").find((line) => line.includes(second) && line.includes('"intent"'));
    expect(entry).toContain(`"from":"${first}","to":"${second}"`);
    expect(entry).toContain("sys.xmpp.externalip (auto, seen by 2 of 3 STUN servers)");
    // Verify looks from outside as well.
    await until(() => vantage.asked.includes(`${second}:7777`), 20_000, logs);
    expect(vantage.asked).toEqual(expect.arrayContaining([`${first}:5222`, `${second}:5222`]));
    await until(
      async () => (await journal()).trimEnd().split("\n").at(-1)?.includes('"proven"') === true,
      20_000,
      logs,
    );
  });

  test("an address that changes again at once is not followed at once, and status says when", async () => {
    const [first, second] = net.public;
    await net.translateTo(first);
    await until(async () => (await status()).notices.some(({ code }) => code === "network/address-held"), 30_000, logs);
    const alice = await login("alice", first);
    expect(await offered(alice)).toEqual([second]);
    await net.translateTo(second);
    await until(
      async () => (await status()).notices.every(({ code }) => code !== "network/address-held"),
      30_000,
      logs,
    );
    expect(await offered(alice)).toEqual([second]);
  });

  test("an address that does not lead here is taken back, and the reason names who looked", async () => {
    const [, second] = net.public;
    const elsewhere = net.outside[0] ?? "";
    await write(elsewhere);
    const outcome = (await askAgent(home, "apply", { by: "test" })) as OutcomeDocument;
    expect(outcome.is, JSON.stringify(outcome)).toBe("rolled back");
    expect(outcome.why?.join()).toContain(
      `c2s from socks5://${net.outside[3]}:${vantage.port}: ${elsewhere} port 5222 is not reached: the connection is refused`,
    );
    expect(await offered(await login("alice", second))).toEqual([second]);
    expect((await status()).held).toContain(elsewhere);
  });
});

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = socket.read(bytes);
    if (chunk !== null) return chunk;
    await once(socket, "readable");
  }
}
