/** docs/grafana/firekeeper.json and docs/metrics.md against what server and agent really tell. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { consoleClient } from "../support/console-client.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type AgentFixture, agentFixture } from "../system/agent-fixture.ts";

type Panel = { title: string; targets: { expr: string }[] };
const dashboard = JSON.parse(readFileSync(new URL("../../docs/grafana/firekeeper.json", import.meta.url), "utf8")) as {
  templating: { list: { query: string }[] };
  panels: Panel[];
};
const page = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");

let core: TestCore;
let agent: AgentFixture;
/** Name to its labels and type, from both /metrics. */
let told: Map<string, string>;

beforeAll(async () => {
  const [port, agentPort] = [await freePort(), await freePort()];
  core = await startTestCore({ users: ["alice"], properties: { "adminConsole.port": String(port) } });
  agent = await agentFixture(
    { users: [{ name: "alice", password: "known" }] },
    { FIREKEEPER_METRICS: `127.0.0.1:${agentPort}` },
  );
  await agent.start();
  const texts = [
    (await consoleClient(port).get("/metrics")).text,
    await (await fetch(`http://127.0.0.1:${agentPort}/metrics`)).text(),
  ];
  told = new Map(
    texts.flatMap((text) =>
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = "", type = ""]) => [name, type]),
    ),
  );
});
afterAll(async () => {
  await agent?.close();
  await core?.close();
});

test("every metric that the dashboard names is told, and a histogram by its buckets", () => {
  const expressions = [
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    ...dashboard.templating.list.map(({ query }) => query),
  ];
  const named = new Set(expressions.flatMap((one) => one.match(/firekeeper_\w+/g) ?? []));
  expect(named.size).toBeGreaterThan(20);
  const known = new Set([...told].map(([name, type]) => (type === "histogram" ? `${name}_bucket` : name)));
  expect([...named].filter((name) => !known.has(name))).toEqual([]);
});

test("a counter is shown by its growth, everything else as it is", () => {
  for (const { title, targets } of dashboard.panels)
    for (const { expr } of targets)
      for (const [, before = "", name = ""] of expr.matchAll(/(\w*\(?)(firekeeper_\w+)/g)) {
        const grows = told.get(name) === "counter" || name.endsWith("_bucket");
        expect(/^(rate|increase)\($/.test(before), `${title}: ${name}`).toBe(grows);
      }
});

test("docs/metrics.md lists what is told, and nothing else", () => {
  const listed = [...page.matchAll(/^\| `(firekeeper_\w+)/gm)].map(([, name]) => name);
  expect(listed.toSorted()).toEqual([...told.keys()].sort());
});

test("a message and its way to the disk are counted", async () => {
  const alice = await core.login("alice", { resource: "desk" });
  const metric = (name: string) => core.server.report.metrics.getSingleMetricAsString(name);
  const sent = async () =>
    Number(/^firekeeper_messages_total (\d+)$/m.exec(await metric("firekeeper_messages_total"))?.[1]);
  const before = await sent();
  alice.send("<presence/>");
  alice.send(`<message to='${alice.jid}' id='m1' type='chat'><body>hi</body></message>`);
  await alice.next("message", (m) => m.attrs.id === "m1");
  expect(await sent()).toBe(before + 1);
  expect(Number(/_count (\d+)/.exec(await metric("firekeeper_commit_seconds"))?.[1])).toBeGreaterThan(0);
  expect(await metric("firekeeper_process_open_descriptors")).toMatch(/\{process="core"\} [1-9]/);
});
