/** Behind a real nginx that forwards TCP with the PROXY protocol: sessions, limits and the log show the client. docs/network.md */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connectAgent, type TestAgent } from "../support/agent.ts";
import { type Child, startChild } from "../support/child.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type Login, XmppClient } from "../support/xmpp-client.ts";

const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so";
const missing =
  existsSync("/usr/sbin/nginx") && existsSync(streamModule)
    ? undefined
    : "nginx with its stream module is not installed";
if (missing !== undefined) console.warn(`test/network/proxy-protocol.test.ts is skipped: ${missing}`);

describe.skipIf(missing !== undefined)("behind nginx", () => {
  let core: TestCore;
  let agent: TestAgent;
  let nginx: Child;
  let folder: string;
  let ports: { plain: number; tls: number; console: number };
  let consolePort: number;
  const refusals: Record<string, unknown>[] = [];

  beforeAll(async () => {
    ports = { plain: await freePort(), tls: await freePort(), console: await freePort() };
    consolePort = await freePort();
    core = await startTestCore({
      users: ["alice", "bob"],
      properties: {
        "firekeeper.client.proxy-protocol-from": "127.0.0.9",
        "firekeeper.admin.proxy-protocol-from": "127.0.0.9",
        "adminConsole.port": String(consolePort),
        "firekeeper.client.connections-per-address": "2",
        "xmpp.ratelimit.newconnections.logging.suppress": "0",
      },
      gate: {
        report: (_level, event, fields) => {
          if (event === "connections-refused") refusals.push(fields ?? {});
        },
      },
    });
    agent = await connectAgent(core);
    folder = await mkdtemp(join(tmpdir(), "firekeeper-nginx-"));
    const forward = (from: number, to: number) =>
      `server { listen 127.0.0.1:${from}; proxy_pass 127.0.0.1:${to}; proxy_protocol on; proxy_bind 127.0.0.9; }`;
    const config = [
      `load_module ${streamModule};`,
      `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr notice;`,
      "events {}",
      "stream {",
      forward(ports.plain, core.port),
      forward(ports.tls, core.directPort),
      forward(ports.console, consolePort),
      "}",
    ];
    await writeFile(join(folder, "nginx.conf"), config.join("\n"));
    nginx = startChild("/usr/sbin/nginx", ["-p", folder, "-c", join(folder, "nginx.conf")]);
    await nginx.printed(/start worker process \d/);
  });
  afterEach(() => XmppClient.dropAll());
  afterAll(async () => {
    await nginx?.stop();
    await agent?.target.close();
    await core?.close();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  const login = (user: string, from: string, more: Partial<Login> = {}) =>
    XmppClient.login({
      host: "127.0.0.1",
      port: ports.plain,
      domain: "localhost",
      user,
      password: user,
      from,
      ...more,
    });

  test("a session has the client's address, over STARTTLS and over direct TLS", async () => {
    await login("alice", "127.0.0.5");
    await login("bob", "127.0.0.6", { tls: "direct", port: ports.tls });
    const remotes = (await agent.target.sessions()).map(({ account, remote }) => `${account} ${remote.split(" ")[0]}`);
    expect(remotes.sort()).toEqual(["alice 127.0.0.5", "bob 127.0.0.6"]);
  });

  test("a limit meets the client that has too much, not the others behind the same proxy, and the log names it", async () => {
    await login("alice", "127.0.0.5", { resource: "one" });
    await login("alice", "127.0.0.5", { resource: "two" });
    await expect(login("alice", "127.0.0.5", { resource: "three" })).rejects.toThrow();
    await login("bob", "127.0.0.6");
    expect(refusals.at(-1)).toMatchObject({ listener: "c2s", address: "127.0.0.5", limit: "per-address" });
  });

  test("the console knows who asks: plain HTTP is for this machine only", async () => {
    const first = async (port: number, from: string): Promise<string> => {
      const socket = connect({ port, host: "127.0.0.1", localAddress: from });
      socket.write("GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
      const [chunk] = (await once(socket, "data")) as [Buffer];
      socket.destroy();
      return chunk.toString().split("\r\n")[0] ?? "";
    };
    expect(await first(ports.console, "127.0.0.5")).toContain("200");
    const elsewhere = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find(({ internal, family }) => !internal && family === "IPv4")?.address;
    // To the console nginx is this machine; without the header everybody behind it would be.
    if (elsewhere !== undefined) expect(await first(ports.console, elsewhere)).toContain("403");
  });

  test("who goes round the proxy and says to be somebody else is refused", async () => {
    const socket = connect({ port: core.port, host: "127.0.0.1", localAddress: "127.0.0.7" });
    socket.write("PROXY TCP4 192.0.2.1 198.51.100.7 50000 5222\r\n<stream:stream to='localhost'>");
    let heard = "";
    for await (const chunk of socket) heard += String(chunk);
    expect(heard).toContain("<stream:error>");
    expect((await agent.target.sessions()).map(({ remote }) => remote).join()).not.toContain("192.0.2.1");
  });
});
