/** The XMPP Compliance Suites (XEP-0479), asked of the running server: Core, Web, IM, Mobile and A/V Calling at Advanced. */
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { declared, required, type Suite } from "../../docs/compliance.ts";
import { freePort, startTestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { probes } from "./compliance-probes.ts";
import type { Stage } from "./compliance-stage.ts";

const suite = JSON.parse(await readFile(new URL("./compliance.json", import.meta.url), "utf8")) as Suite;
const wanted = [...new Set(required(suite).map(({ spec }) => spec))];

let stage: Stage;
beforeAll(async () => {
  const [webPort, componentPort] = [await freePort(), await freePort()];
  const core = await startTestCore({
    users: ["alice", "bob", "carol", "dave"],
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.plain": "-1",
      "httpbind.port.secure": String(webPort),
      "xmpp.component.socket.active": "true",
      "xmpp.component.socket.port": String(componentPort),
      "xmpp.component.defaultSecret": "secret",
      "firekeeper.turn.secret": "a secret of more than twenty",
    },
  });
  stage = { core, webPort, componentPort };
});
afterEach(() => XmppClient.dropAll());
afterAll(() => stage.core.close());

test("every specification that the suites ask for has a probe, and no probe is left of one that they do not", () => {
  expect(Object.keys(probes).sort()).toEqual([...wanted].sort());
  expect(wanted.length).toBeGreaterThan(25);
});

test("the suites are taken whole: what they name at Advanced for servers is what is asked", () => {
  for (const [category, levels] of Object.entries(suite.server_summary)) {
    const asked = required(suite).filter((each) => each.category === category);
    expect([...new Set(asked.map(({ spec }) => spec))].sort()).toEqual([...levels.Advanced].sort());
  }
});

test("what the server does is what it declares", () => {
  const specs = declared();
  expect(wanted.filter((spec) => !specs.has(spec))).toEqual([]);
});

test.each(wanted)("%s", (spec) => probes[spec]?.(stage));
