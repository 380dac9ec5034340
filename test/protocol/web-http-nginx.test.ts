/** What docs/web.md tells the web server of a domain to pass on, by a real nginx. */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";
import { ask } from "../support/bosh.ts";
import { type Child, startChild } from "../support/child.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const program = "/usr/sbin/nginx";
const missing = !existsSync(program);
if (missing) console.warn("web-http-nginx.test.ts is skipped: nginx is not installed");

describe.skipIf(missing)("behind nginx", () => {
  let core: TestCore;
  let nginx: Child;
  let folder: string;
  let port: number;

  beforeAll(async () => {
    const plain = await freePort();
    port = await freePort();
    core = await startTestCore({
      users: ["alice", "bob"],
      properties: {
        "httpbind.enabled": "true",
        "httpbind.port.plain": String(plain),
        "httpbind.port.secure": "-1",
        "httpbind.forwarded.enabled": "true",
        "httpbind.forwarded.trusted.proxies": "127.0.0.1",
        "firekeeper.web.address": `https://localhost:${port}`,
      },
    });
    folder = await mkdtemp(join(tmpdir(), "firekeeper-nginx-"));
    const guide = await readFile(new URL("../../docs/web.md", import.meta.url), "utf8");
    const location = /```nginx\n([\s\S]*?)```/.exec(guide)?.[1]?.replace("127.0.0.1:7070", `127.0.0.1:${plain}`);
    const key = newKey();
    const certificate = await selfSigned({ domain: "localhost", extra: [] }, key, new Date());
    await writeFile(join(folder, "certificate.pem"), certificate);
    await writeFile(join(folder, "key.pem"), key);
    const config = `
      daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr notice;
      events {}
      http {
        access_log off;
        client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/f;
        uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
        server {
          listen 127.0.0.1:${port} ssl;
          ssl_certificate ${folder}/certificate.pem; ssl_certificate_key ${folder}/key.pem;
          ${location}
        }
      }`;
    await writeFile(join(folder, "nginx.conf"), config);
    nginx = startChild(program, ["-c", join(folder, "nginx.conf")]);
    await nginx.printed(/start worker process/);
  });
  afterAll(async () => {
    await nginx?.stop();
    await core?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test("a browser that knows the domain finds WebSocket and BOSH, and people log in over both", async () => {
    const to = { host: "127.0.0.1", port };
    const { text, headers } = await ask(to, { method: "GET", path: "/.well-known/host-meta.json" });
    expect(text).toContain(`wss://localhost:${port}/ws/`);
    expect(text).toContain(`https://localhost:${port}/http-bind/`);
    expect(headers["access-control-allow-origin"]).toBe("*");
    const from = "127.0.0.7";
    const people = await Promise.all(
      (["websocket", "bosh"] as const).map((via, at) => {
        const user = ["alice", "bob"][at] ?? "";
        // What the client writes itself is not passed on.
        const headers = { forwarded: "for=192.0.2.66;proto=http", "x-forwarded-for": "192.0.2.66" };
        return XmppClient.login({ ...to, domain: "localhost", via, user, password: user, headers, from });
      }),
    );
    const [alice, bob] = people as [XmppClient, XmppClient];
    alice.message(bob.jid, "through nginx");
    expect((await bob.next("message")).getChildText("body")).toBe("through nginx");
    for (const session of core.server.sessions.all()) expect(session.carrier?.remote.address).toBe(from);
    expect((await ask(to, { method: "GET", path: "/status/bob" })).status).toBe(404);
  });
});
