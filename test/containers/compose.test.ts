import { existsSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  DockerComposeEnvironment,
  getContainerRuntimeClient,
  type StartedDockerComposeEnvironment,
  Wait,
} from "testcontainers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** docker-compose.yml as it is: built, started, used through published ports and `docker compose exec`. */

const missing = await whyNot();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

async function whyNot(): Promise<string | undefined> {
  const socket = process.env.DOCKER_HOST?.replace(/^unix:\/\//, "") ?? "/var/run/docker.sock";
  if (socket.startsWith("/") && !existsSync(socket)) return `no container engine at ${socket}`;
  try {
    await getContainerRuntimeClient();
    return undefined;
  } catch (error) {
    return `the container engine cannot be used: ${error instanceof Error ? error.message : error}`;
  }
}

describe.skipIf(missing !== undefined)("the compose stack", () => {
  let stack: StartedDockerComposeEnvironment;
  const container = (service: string) => stack.getContainer(`${service}-1`);
  const firekeeper = async (...words: string[]) => {
    const { output, exitCode } = await container("agent").exec(["firekeeper", ...words]);
    return { output, exitCode };
  };

  beforeAll(async () => {
    const root = new URL("../../", import.meta.url).pathname;
    stack = await new DockerComposeEnvironment(root, "docker-compose.yml")
      .withBuild()
      .withWaitStrategy("core-1", Wait.forHealthCheck())
      .withWaitStrategy("agent-1", Wait.forHealthCheck())
      .up();
  });
  afterAll(async () => {
    await stack?.down({ removeVolumes: true });
  });

  test("is in step with the store that the agent made", async () => {
    expect(await firekeeper("plan")).toMatchObject({ exitCode: 0 });
    const status = JSON.parse((await firekeeper("status", "--json")).output);
    expect(status).toMatchObject({ pending: [], server: { domain: "localhost", storage: "ok" } });
  });

  test("runs as a user without rights, keeps secrets to itself and out of its logs", async () => {
    expect((await container("core").exec(["id", "-u"])).output.trim()).toBe("1000");
    const modes = await container("agent").exec(["stat", "-c", "%a", "/data", "/data/initial-admin-password"]);
    expect(modes.output.split("\n").slice(0, 2)).toEqual(["700", "600"]);
    const password = (await container("agent").exec(["cat", "/data/initial-admin-password"])).output.trim();
    expect(password.length).toBeGreaterThan(8);
    for await (const line of await container("agent").logs()) {
      expect(String(line)).not.toContain(password);
      if (String(line).includes("next ")) break;
    }
  });

  test("takes a user, and clients reach it on both ports", async () => {
    expect(await firekeeper("users", "add", "alice", "--generate")).toMatchObject({ exitCode: 0 });
    const host = container("core").getHost();
    const secure = connectTls({
      ...{ host, port: container("core").getMappedPort(5223), servername: "localhost" },
      ...{ rejectUnauthorized: false, ALPNProtocols: ["xmpp-client"] },
    });
    expect(await features(secure)).toContain("SCRAM-SHA-256-PLUS");
    expect(await features(connect(container("core").getMappedPort(5222), host))).toContain("starttls");
  });

  test("goes on without its agent, and the agent finds it again", async () => {
    const before = JSON.parse((await firekeeper("status", "--json")).output);
    await container("agent").restart();
    const after = JSON.parse((await firekeeper("status", "--json")).output);
    expect(after.server.startedAt).toBe(before.server.startedAt);
    expect(await firekeeper("plan")).toMatchObject({ exitCode: 0 });
  });

  test("replaces its core on request", async () => {
    const before = JSON.parse((await firekeeper("status", "--json")).output);
    expect(await firekeeper("restart")).toMatchObject({ exitCode: 0 });
    const after = JSON.parse((await firekeeper("status", "--json")).output);
    expect(after.server.startedAt).not.toBe(before.server.startedAt);
  });
});

/** What a server offers to a stream that is opened on this connection. */
async function features(socket: ReturnType<typeof connect>): Promise<string> {
  socket.write(
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
  );
  let heard = "";
  for await (const chunk of socket) {
    heard += String(chunk);
    if (heard.includes("</stream:features>")) break;
  }
  socket.destroy();
  return heard;
}
