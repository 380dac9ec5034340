/** Calls through Debian's coturn with docs/examples/turnserver.conf and credentials from the server. XEP-0215 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../xmpp-core/clock.ts";
import { type Child, startChild } from "../support/child.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const missing = ["turnserver", "turnutils_uclient"].find((program) => !existsSync(`/usr/bin/${program}`));
if (missing !== undefined) console.warn(`skipped: ${missing} is not installed; .ci/run installs coturn`);

const ns = "urn:xmpp:extdisco:2";
/** What a client is told of a relay. */
type Relay = Record<"host" | "port" | "transport" | "username" | "password", string>;
const secret = "a secret that two programs share";
/** Where clients and relays of this test are: the one loopback address that relays may reach. */
const here = "127.0.0.1";

describe.skipIf(missing !== undefined)("coturn as the companion", () => {
  let core: TestCore;
  let turn: Child;
  let home: string;
  let port: number;
  /** How far the server's clock is behind, ms. */
  let behind = 0;

  beforeAll(async () => {
    port = await freePort();
    home = await mkdtemp(join(tmpdir(), "firekeeper-turn-"));
    const ours = [
      `listening-ip=${here}`,
      `relay-ip=${here}`,
      `listening-port=${port}`,
      `static-auth-secret=${secret}`,
      `pidfile=${join(home, "pid")}`,
      `userdb=${join(home, "turndb")}`,
      "log-file=stdout",
      "allow-loopback-peers",
      `allowed-peer-ip=${here}`,
    ];
    const example = await readFile(new URL("../../docs/examples/turnserver.conf", import.meta.url), "utf8");
    // The last of two ports would win, but two of them listen.
    const kept = example.replace(/^listening-port=.*$/m, "");
    await writeFile(join(home, "turnserver.conf"), `${kept}\n${ours.join("\n")}\n`, { mode: 0o600 });
    turn = startChild("turnserver", ["-c", join(home, "turnserver.conf")]);
    await turn.printed(/Total General servers/);
    core = await startTestCore({
      users: ["alice", "bob", "carol", "dave"],
      clock: { ...systemClock, now: () => Date.now() - behind },
      properties: {
        "firekeeper.turn.secret": secret,
        "firekeeper.turn.host": here,
        "firekeeper.turn.ttl": "600",
        "firekeeper.turn.port.udp": String(port),
        "firekeeper.turn.port.tcp": String(port),
        "firekeeper.stun.port.udp": String(port),
      },
    });
  });
  afterAll(async () => {
    await core?.close();
    await turn?.stop();
    await rm(home, { recursive: true, force: true });
  });

  async function relayOf(user: string, transport = "udp"): Promise<Relay> {
    const client = await core.login(user);
    const answer = await client.get(`<services xmlns='${ns}'/>`, "localhost");
    await client.close();
    const services = answer.getChild("services", ns)?.getChildren("service") ?? [];
    const found = services.find(({ attrs }) => attrs.type === "turn" && attrs.transport === transport);
    if (found === undefined) throw new Error(`no relay in ${answer}`);
    return found.attrs as Relay;
  }

  /** What coturn's own client says, asked with exactly what a chat client was told. */
  async function call(relay: Relay, ...more: string[]): Promise<string> {
    const where = ["-p", relay.port, ...(relay.transport === "tcp" ? ["-t"] : [])];
    const who = ["-u", relay.username, "-w", relay.password];
    const client = startChild("turnutils_uclient", [...where, ...who, "-c", ...more, relay.host]);
    await client.exited;
    return client.output();
  }
  const bothWays = ["-y", "-n", "3"];
  const toPeer = (peer: string) => ["-e", peer, "-r", "80", "-n", "1"];

  test.each(["udp", "tcp"])("what is said at one end is heard at the other, over %s", async (transport) => {
    const said = await call(await relayOf(transport === "udp" ? "alice" : "bob", transport), ...bothWays);
    expect(said).toContain("tot_send_msgs=6, tot_recv_msgs=6");
  });

  test("credentials that ended, belong to another or were made up open nothing", async () => {
    behind = 3_600_000;
    const ended = await relayOf("carol");
    behind = 0;
    const fresh = await relayOf("carol");
    const [until, who] = fresh.username.split(":");
    const forged = { ...fresh, username: `${Number(until) + 86_400}:${who}` };
    const strange = { ...fresh, password: (await relayOf("alice")).password };
    for (const each of [ended, forged, strange]) {
      const said = await call(each, ...bothWays);
      expect(said).toContain("Cannot complete Allocation");
      expect(said).not.toContain("tot_recv_msgs=6");
    }
  });

  test.each([
    ["the cloud's metadata", "169.254.169.254"],
    ["another loopback address", "127.0.0.2"],
    ["a private network", "10.0.0.1"],
    ["the network at home", "192.168.1.1"],
    ["a carrier's network", "100.64.0.1"],
    ["everybody", "255.255.255.255"],
    ["nobody", "0.0.0.0"],
  ])("no relay to %s, %s", async (_what, peer) => {
    const said = await call(await relayOf("dave"), ...toPeer(peer));
    expect(said).toMatch(/403 \(Forbidden IP\)/);
  });

  test("the secret is not in what coturn writes", () => {
    XmppClient.dropAll();
    expect(turn.output()).not.toContain(secret);
  });
});
