/** The component of docs/components.md, run as written there. Rows M20 and M36 of the host's needs. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Element } from "ltx";
import { afterAll, beforeAll, expect, test } from "vitest";
import { takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

const example = join(import.meta.dirname, "../../docs/examples/telephone.mjs");
let core: TestCore;
let component: ChildProcess;

beforeAll(async () => {
  const port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: {
      ...takesComponents(port, "s3cret"),
      "firekeeper.component.grants":
        "pbx:virtual-presence,pbx:delegate=http://www.pascom.net/mobydick,pbx:setting=roster.shownumbers",
    },
  });
  const environment = { COMPONENT_PORT: String(port), COMPONENT_SECRET: "s3cret", TELEPHONES: "alice,bob" };
  component = spawn(process.execPath, [example], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise<void>((resolve) => component.stdout?.once("data", () => resolve()));
});
afterAll(async () => {
  component.kill();
  await core.close();
});

const cmd = (inside: string): string => `<cmd xmlns='http://www.pascom.net/mobydick' module='base'>${inside}</cmd>`;
const phone = (stanza: Element): boolean => stanza.is("presence") && stanza.attrs.from === "bob@localhost/phone";
async function befriend(one: XmppClient, other: XmppClient): Promise<void> {
  one.presence("", `type='subscribe' to='${other.bare}'`);
  await other.next("presence", (stanza) => stanza.attrs.type === "subscribe");
  other.presence("", `type='subscribed' to='${one.bare}'`);
  await one.next("presence", (stanza) => stanza.attrs.type === "subscribed");
}

test("a colleague sees who is on the phone, and with whom if the host says so", async () => {
  const [alice, bob] = [await core.login("alice"), await core.login("bob")];
  for (const each of [alice, bob]) {
    await each.roster();
    each.presence();
  }
  await befriend(alice, bob);
  const before = await alice.next(phone);
  expect(before.getChild("show")).toBeUndefined();
  const dialled = await bob.get(cmd("<Dial target='0891' prefix='auto'/>"));
  expect(dialled.getChild("cmd")?.getChild("Success")?.getChildText("message")).toBe("dialling");
  const busy = await alice.next(phone);
  expect(busy.getChildText("show")).toBe("dnd");
  expect(busy.getChildText("status")).toBe("on the phone");
  await core.set({ "roster.shownumbers": "true" });
  expect((await alice.next(phone)).getChildText("status")).toBe("on the phone with 0891");
  await core.set({ "roster.shownumbers": "false" });
  expect((await alice.next(phone)).getChildText("status")).toBe("on the phone");
  await bob.get(cmd("<Hangup/>"));
  expect((await alice.next(phone)).getChild("show")).toBeUndefined();
});

test("killed, it takes its telephones with it", async () => {
  const alice = await core.login("alice");
  alice.presence();
  await alice.next(phone);
  component.kill();
  expect((await alice.next(phone)).attrs.type).toBe("unavailable");
});
