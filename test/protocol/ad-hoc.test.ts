import type { Element } from "ltx";
import { afterEach, beforeEach, expect, test } from "vitest";
import { formElement } from "../../xmpp-core/formats/data-form.ts";
import { stanzaError } from "../../xmpp-core/formats/stanza-error.ts";
import { type CommandAsk, commands } from "../../xmpp-core/modules/points.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0050
const ns = "http://jabber.org/protocol/commands";
let core: TestCore;
let alice: XmppClient;
let admin: XmppClient;
let ahead: number;
beforeEach(async () => {
  ahead = 0;
  const clock = {
    now: () => Date.now() + ahead,
    after: (ms: number, work: () => void) => {
      const timer = setTimeout(work, ms);
      return () => clearTimeout(timer);
    },
    every: () => () => undefined,
  };
  core = await startTestCore({ users: ["alice", "admin"], clock, properties: { "xmpp.client.idle": "-1" } });
  const form = formElement({ type: "form", fields: [{ name: "word", type: "text-single", values: [] }] });
  // Two questions, each answered with what the step before has kept.
  core.server.core.offer(commands, {
    node: "survey",
    name: "A survey",
    by: "anyone",
    run({ action, form: given, kept }: CommandAsk) {
      const answers = (kept as string[] | undefined) ?? [];
      const said = given?.getChild("field")?.getChildText("value");
      if (said === "forbidden word") return { is: "error", error: stanzaError("not-acceptable") };
      const all = action === "prev" ? answers.slice(0, -1) : said == null ? answers : [...answers, said];
      if (all.length === 2) return { is: "completed", note: all.join(" and ") };
      return { is: "form", form, keep: all, final: all.length === 1 };
    },
  });
  core.server.core.offer(commands, {
    node: "for-admins",
    name: "For admins",
    by: "admin",
    run: () => ({ is: "completed", note: "done" }),
  });
  alice = await core.login("alice");
  admin = await core.login("admin");
});
afterEach(() => core.close());

interface Step {
  readonly node?: string;
  readonly action?: string;
  readonly id?: string | undefined;
  readonly says?: string;
}
async function ask(client: XmppClient, { node = "survey", action, id, says }: Step = {}): Promise<Element> {
  const attributes = [
    `node='${node}'`,
    action === undefined ? "" : `action='${action}'`,
    id === undefined ? "" : `sessionid='${id}'`,
  ].join(" ");
  const form =
    says === undefined
      ? ""
      : `<x xmlns='jabber:x:data' type='submit'><field var='word'><value>${says}</value></field></x>`;
  return client.set(`<command xmlns='${ns}' ${attributes}>${form}</command>`, "localhost");
}
const step = (answer: Element): Element => {
  const found = answer.getChild("command", ns);
  if (found === undefined) throw new Error(`no command in ${answer.toString()}`);
  return found;
};
const idOf = (answer: Element): string => step(answer).attrs.sessionid;
const actionsOf = (answer: Element): string[] =>
  (step(answer).getChild("actions")?.getChildElements() ?? []).map((child) => child.getName());
/** The condition of XEP-0050 §4.4 beside the stanza's own. */
const condition = (answer: Element): (string | undefined)[] => [
  errorCondition(answer),
  answer
    .getChild("error")
    ?.getChildElements()
    .find((child) => child.getNS() === ns)
    ?.getName(),
];

test("a command is asked for step by step: form, next form, result", async () => {
  const first = await ask(alice, { action: "execute" });
  expect(step(first).attrs).toMatchObject({ node: "survey", status: "executing" });
  expect(step(first).getChild("x", "jabber:x:data")?.attrs.type).toBe("form");
  expect(actionsOf(first)).toEqual(["next", "complete"]);
  const second = await ask(alice, { id: idOf(first), action: "next", says: "one" });
  expect([idOf(second), step(second).attrs.status, actionsOf(second)]).toEqual([
    idOf(first),
    "executing",
    ["complete"],
  ]);
  const last = await ask(alice, { id: idOf(first), action: "complete", says: "two" });
  expect([step(last).attrs.status, step(last).getChildText("note")]).toEqual(["completed", "one and two"]);
  expect(condition(await ask(alice, { id: idOf(first), says: "again" }))).toEqual(["bad-request", "bad-sessionid"]);
});

test("one can go back, correct what was refused, and give up", async () => {
  const id = idOf(await ask(alice));
  await ask(alice, { id, says: "mistake" });
  await ask(alice, { id, action: "prev" });
  expect(errorCondition(await ask(alice, { id, says: "forbidden word" }))).toBe("not-acceptable");
  await ask(alice, { id, says: "one" });
  expect(step(await ask(alice, { id, says: "two" })).getChildText("note")).toBe("one and two");
  const other = idOf(await ask(alice));
  expect(step(await ask(alice, { id: other, action: "cancel" })).attrs.status).toBe("canceled");
  expect(condition(await ask(alice, { id: other, says: "one" }))).toEqual(["bad-request", "bad-sessionid"]);
});

test("an id is of one command and one session, and is forgotten after half an hour", async () => {
  const id = idOf(await ask(alice));
  const bad = ["bad-request", "bad-sessionid"];
  expect(condition(await ask(admin, { id, says: "stolen" }))).toEqual(bad);
  expect(condition(await ask(admin, { node: "for-admins", id }))).toEqual(bad);
  for (const action of ["cancel", "prev"]) expect(condition(await ask(alice, { action }))).toEqual(bad);
  expect(condition(await ask(alice, { id: "made up" }))).toEqual(bad);
  expect(step(await ask(alice, { id, says: "one" })).attrs.status).toBe("executing");
  ahead += 31 * 60_000;
  expect(condition(await ask(alice, { id, says: "two" }))).toEqual(bad);
});

test("one session runs a bounded number at once", async () => {
  const ids: string[] = [];
  await core.set({ "xmpp.command.limit": "5" });
  for (let begun = 0; begun < 5; begun++) ids.push(idOf(await ask(alice)));
  expect(errorCondition(await ask(alice))).toBe("resource-constraint");
  expect(step(await ask(alice, { id: ids[0], says: "one" })).attrs.status).toBe("executing");
  await ask(alice, { id: ids[1], action: "cancel" });
  expect(step(await ask(alice)).attrs.status).toBe("executing");
});

test("commands that one may not run are neither listed nor explained nor run", async () => {
  const listed = async (client: XmppClient) =>
    (await client.get(`<query xmlns='http://jabber.org/protocol/disco#items' node='${ns}'/>`, "localhost"))
      .getChild("query")
      ?.getChildren("item")
      .map(({ attrs }) => attrs.node);
  const info = (client: XmppClient, node: string) =>
    client.get(`<query xmlns='http://jabber.org/protocol/disco#info' node='${node}'/>`, "localhost");
  const hers = (await listed(alice))?.filter((node) => !String(node).startsWith("urn:"));
  expect(hers).toEqual(["survey"]);
  expect(await listed(admin)).toEqual(expect.arrayContaining(["survey", "for-admins"]));
  expect(errorCondition(await info(alice, "for-admins"))).toBe("item-not-found");
  for (const [client, node] of [
    [alice, "survey"],
    [admin, "for-admins"],
  ] as const) {
    const query = (await info(client, node)).getChild("query");
    expect(query?.getChild("identity")?.attrs).toMatchObject({ category: "automation", type: "command-node" });
    expect(query?.getChildren("feature").map(({ attrs }) => attrs.var)).toEqual([ns, "jabber:x:data"]);
  }
  expect((await info(alice, ns)).getChild("query")?.getChild("identity")?.attrs.type).toBe("command-list");
  expect(errorCondition(await ask(alice, { node: "for-admins" }))).toBe("forbidden");
  expect(step(await ask(admin, { node: "for-admins" })).attrs.status).toBe("completed");
});

test("requests that mean nothing are refused", async () => {
  expect(errorCondition(await ask(alice, { node: "none" }))).toBe("item-not-found");
  expect(condition(await ask(alice, { action: "explode" }))).toEqual(["bad-request", "malformed-action"]);
  expect(errorCondition(await alice.set(`<command xmlns='${ns}'/>`, "localhost"))).toBe("bad-request");
});
