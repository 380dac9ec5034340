import { client, xml } from "@xmpp/client";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";

/** A client library that others wrote logs in in one step, as it does with any server: XEP-0388, XEP-0386, XEP-0484, XEP-0198 §9. */

let core: TestCore;
beforeAll(async () => {
  // It has no option for a self-signed certificate; Node reads this when a connection is made.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  core = await startTestCore({ users: ["alice"] });
});
afterAll(() => core.close());

test("@xmpp/client logs in by SASL2 and Bind 2, comes back with its token, and resumes in the same breath", async () => {
  const service = `xmpp://127.0.0.1:${core.port}`;
  const entity = client({ service, domain: core.domain, username: "alice", password: "alice" });
  // Each attempt is asked for below, none begins while the server is away.
  entity.reconnect.stop();
  entity.timeout = 60_000;
  const said: string[] = [];
  const heard: string[] = [];
  entity.on("error", () => undefined);
  entity.on("send", (element) => said.push(String(element)));
  entity.on("element", (element) => heard.push(String(element)));
  const address = String(await entity.start());
  const success = heard.find((element) => element.startsWith("<success")) ?? "";
  expect(success).toContain(`<authorization-identifier>${address}</authorization-identifier>`);
  expect(success).toMatch(/<bound .*<enabled .*<token /);
  expect(said.filter((element) => /^<(auth|iq|enable)[ >]/.test(element))).toEqual([]);
  said.length = 0;
  const gone = new Promise((resolve) => entity.once("disconnect", resolve));
  await core.crash();
  await gone;
  const back = new Promise((resolve) => entity.streamManagement.once("resumed", resolve));
  await entity.reconnect.reconnect();
  await back;
  expect(said.find((element) => element.startsWith("<authenticate"))).toContain('mechanism="HT-SHA-256-NONE"');
  const again = heard.filter((element) => element.startsWith("<success")).at(-1);
  expect(again).toContain(`<authorization-identifier>${address}</authorization-identifier>`);
  expect(again).toContain("<resumed ");
  await entity.iqCaller.request(xml("iq", { type: "get" }, xml("query", { xmlns: "jabber:iq:roster" })));
  await entity.stop();
});
