import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from "testcontainers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { OutcomeDocument, StatusDocument } from "../../agent/agent.ts";
import { askAgent } from "../../agent/agent-socket-client.ts";
import { readEnvironment } from "../../agent/environment.ts";
import { openReport } from "../../agent/report.ts";
import { type AgentProcess, startAgent } from "../../agent/start.ts";

/**
 * A real Openfire from its own image, set up unattended, with the REST API plugin of the project's site. Other versions
 * by FIREKEEPER_TEST_OPENFIRE_IMAGE and FIREKEEPER_TEST_RESTAPI_JAR (a URL).
 */

const image = process.env.FIREKEEPER_TEST_OPENFIRE_IMAGE ?? "ghcr.io/igniterealtime/openfire:v5.0.1";
const jarUrl =
  process.env.FIREKEEPER_TEST_RESTAPI_JAR ??
  "https://www.igniterealtime.org/projects/openfire/plugins/1.12.0/restAPI.jar";
const domain = "example.test";
const secret = randomBytes(12).toString("hex");

let jar: Buffer | undefined;
const missing = await whyNot();
if (missing !== undefined) console.warn(`skipped: ${missing}`);

async function whyNot(): Promise<string | undefined> {
  const socket = process.env.DOCKER_HOST?.replace(/^unix:\/\//, "") ?? "/var/run/docker.sock";
  if (socket.startsWith("/") && !existsSync(socket)) return `no container engine at ${socket}`;
  try {
    await getContainerRuntimeClient();
    const answer = await fetch(jarUrl);
    if (!answer.ok) return `${jarUrl} answers ${answer.status}`;
    jar = Buffer.from(await answer.arrayBuffer());
    return undefined;
  } catch (error) {
    return `the container engine or ${jarUrl} cannot be used: ${error instanceof Error ? error.message : error}`;
  }
}

/** Read once at the first start: Openfire moves what is no bootstrap setting into its database. */
const bootstrap = `<?xml version="1.0" encoding="UTF-8"?>
<jive>
  <adminConsole><port>9090</port><securePort>9091</securePort></adminConsole>
  <connectionProvider><className>org.jivesoftware.database.EmbeddedConnectionProvider</className></connectionProvider>
  <autosetup>
    <run>true</run>
    <locale>en</locale>
    <xmpp><domain>${domain}</domain><fqdn>${domain}</fqdn></xmpp>
    <database><mode>embedded</mode></database>
    <admin><email>admin@${domain}</email><password>admin</password></admin>
    <authprovider><mode>default</mode></authprovider>
  </autosetup>
  <plugin><restapi><enabled>true</enabled><httpAuth>secret</httpAuth><secret>${secret}</secret></restapi></plugin>
</jive>
`;

const host = {
  settings: {
    "sys.xmpp.domain": domain,
    "sys.xmpp.adminuser": "alice",
    "sys.xmpp.properties.xmpp.client.idle": "120000",
  } as Record<string, string>,
  roles: [{ name: "Sales", types: ["xmpp.group"], members: ["alice", "bob"] }],
  users: [
    { name: "alice", password: "wonderland" },
    { name: "bob", password: "builder" },
  ],
};

describe.skipIf(missing !== undefined)(`a real Openfire (${image})`, () => {
  let openfire: StartedTestContainer;
  let home: string;
  let agent: AgentProcess;
  const ask = async <T = OutcomeDocument>(what: string, params?: Record<string, unknown>) =>
    (await askAgent(home, what, params)) as T;
  const write = (next: typeof host) => writeFile(join(home, "host.yaml"), `${stringify(next)}...\n`, { mode: 0o600 });
  const rest = (path: string, init: RequestInit = {}) =>
    fetch(`http://${openfire.getHost()}:${openfire.getMappedPort(9090)}/plugins/restapi/v1${path}`, {
      ...init,
      headers: { authorization: secret, accept: "application/json", "content-type": "application/json" },
    });

  beforeAll(async () => {
    openfire = await new GenericContainer(image)
      .withCopyContentToContainer([
        { content: bootstrap, target: "/usr/local/openfire/conf_org/openfire.xml" },
        { content: jar ?? Buffer.alloc(0), target: "/opt/plugins/restAPI.jar" },
      ])
      .withExposedPorts(9090)
      .withWaitStrategy(Wait.forHttp("/plugins/restapi/v1/system/readiness", 9090).forStatusCode(200))
      .withStartupTimeout(300_000)
      .start();
    home = await mkdtemp(join(tmpdir(), "firekeeper-real-openfire-"));
    await writeFile(join(home, "secret"), secret, { mode: 0o600 });
    await write(host);
    const environment = readEnvironment(
      {
        FIREKEEPER_HOME: home,
        FIREKEEPER_TARGET: "openfire",
        FIREKEEPER_OPENFIRE_URL: `http://${openfire.getHost()}:${openfire.getMappedPort(9090)}`,
        FIREKEEPER_OPENFIRE_SECRET_FILE: join(home, "secret"),
        FIREKEEPER_RECONCILE: "0 0 1 1 *",
      },
      { dotenvPath: join(home, "none") },
    );
    agent = await startAgent(environment, { report: openReport("silent"), quietMs: 50 });
    await agent.settled;
  });
  afterAll(async () => {
    await agent?.stop("test");
    await openfire?.stop();
    if (home) await rm(home, { recursive: true, force: true });
  });

  test("is greeted by its version, and its own settings are no change", async () => {
    const { server } = await ask<StatusDocument>("status");
    expect(server).toMatchObject({
      domain,
      version: expect.stringMatching(/^Openfire 5\.\S+, REST API plugin 1\.1\d/),
    });
  });

  test("takes what the host wants, and then there is nothing to do", async () => {
    expect(await ask("apply")).toMatchObject({ is: "applied", revision: 1 });
    expect((await ask("plan")).plan.changes).toEqual([]);
    const group = (await (await rest("/groups/Sales")).json()) as { members: string[]; shared: boolean };
    expect(group).toMatchObject({ shared: true });
    expect(group.members.sort()).toEqual([`alice@${domain}`, `bob@${domain}`]);
  });

  test("shows what somebody changed behind the agent's back, and takes it back", async () => {
    await rest("/system/properties", {
      method: "POST",
      body: JSON.stringify({ key: "xmpp.client.idle", value: "5000" }),
    });
    const { plan } = await ask("plan");
    expect(plan.notices).toContainEqual(expect.objectContaining({ code: "plan/drift" }));
    expect(await ask("apply")).toMatchObject({ is: "applied" });
  });

  test("locks who vanished, and rolls back", async () => {
    await write({ ...host, users: host.users.slice(0, 1) });
    expect(await ask("apply", { removals: 2 })).toMatchObject({ is: "applied" });
    expect((await rest("/users/bob")).status).toBe(200);
    expect(await ask("rollback", { accounts: true })).toMatchObject({ is: "applied" });
    expect((await ask<StatusDocument>("status")).server).toMatchObject({ domain });
  });
});
