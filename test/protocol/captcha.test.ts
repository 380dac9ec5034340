/** Letters to copy before an account is made. XEP-0158 §4, XEP-0221, XEP-0231. */
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import type { Element } from "ltx";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { alphabet, picture } from "../../xmpp-core/modules/captcha/picture.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { browser } from "../support/pages.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

const register = "jabber:iq:register";
let core: TestCore;
let port: number;
/** Random bytes are zero while letters are chosen, so that they are known: the first of the alphabet. */
const letters = (alphabet[0] ?? "").repeat(6);
let random: (bytes: number) => Buffer;

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice"],
    properties: {
      ...{ "register.inband": "true", "httpbind.enabled": "true", "httpbind.port.secure": String(port) },
      ...{ "httpbind.port.plain": "-1", "firekeeper.client.trusted-networks": "127.0.0.1" },
    },
  });
  random = core.server.core.random;
});
afterAll(() => core.close());
beforeEach(() => core.set({ "firekeeper.register.question": null, "firekeeper.register.answer": null }));

const stranger = () => XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain });

async function form(client: XmppClient): Promise<Element> {
  // Letters are chosen byte by byte; all else is as random as ever.
  Object.assign(core.server.core, { random: (bytes: number) => (bytes === 1 ? Buffer.alloc(1) : random(bytes)) });
  const answer = await client.get(`<query xmlns='${register}'/>`, core.domain);
  Object.assign(core.server.core, { random });
  const query = answer.getChild("query", register);
  if (query === undefined) throw new Error(answer.toString());
  return query;
}

const fieldsOf = (query: Element): Element[] => query.getChild("x", "jabber:x:data")?.getChildren("field") ?? [];
const challengeOf = (query: Element): string =>
  fieldsOf(query)
    .find((field) => field.attrs.var === "challenge")
    ?.getChildText("value") ?? "";

const submit = (fields: Record<string, string>): string =>
  `<query xmlns='${register}'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${register}</value></field>${Object.entries(
    fields,
  )
    .map(([name, value]) => `<field var='${name}'><value>${value}</value></field>`)
    .join("")}</x></query>`;
const wanted = (username: string, more: Record<string, string>) =>
  submit({ username, password: "correct horse", ...more });

test("the form holds the picture itself and where it is on the web, and both are the same", async () => {
  const query = await form(await stranger());
  const names = fieldsOf(query).map((field) => field.attrs.var);
  expect(names).toEqual(["FORM_TYPE", "challenge", "ocr", "username", "password", "email"]);
  const media = fieldsOf(query)[2]?.getChild("media", "urn:xmpp:media-element");
  expect(media?.attrs).toMatchObject({ width: "216", height: "72" });
  const [cid = "", web = ""] = media?.getChildren("uri").map((uri) => uri.getText()) ?? [];
  const data = query.getChild("data", "urn:xmpp:bob");
  const bytes = Buffer.from(data?.getText() ?? "", "base64");
  expect(cid).toBe(`cid:sha1+${createHash("sha1").update(bytes).digest("hex")}@bob.xmpp.org`);
  expect(data?.attrs).toMatchObject({ cid: cid.slice(4), type: "image/png" });
  const page = await browser(port).get(new URL(web).pathname);
  expect([page.status, page.headers["content-type"]]).toEqual([200, "image/png"]);
  expect(page.bytes.equals(bytes)).toBe(true);
  expect(query.getChild("x", "jabber:x:oob")?.getChildText("url")).toBe(`https://localhost:${port}/account/register`);
  expect((await browser(port).get("/captcha/nothing")).status).toBe(404);
});

test("the picture is a whole PNG, differs from draw to draw, and follows from letters and seed alone", () => {
  const drawn = picture("KE7WRA", 1);
  expect(drawn.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  const start = drawn.indexOf("IDAT");
  const pixels = inflateSync(drawn.subarray(start + 4, start + 4 + drawn.readUInt32BE(start - 4)));
  expect(pixels).toHaveLength(217 * 72);
  const dark = pixels.filter((shade) => shade > 0 && shade < 120).length;
  expect(dark).toBeGreaterThan(700);
  expect(dark).toBeLessThan(7000);
  expect(picture("KE7WRA", 1).equals(drawn)).toBe(true);
  expect(picture("KE7WRA", 2).equals(drawn)).toBe(false);
});

test("right letters make an account, in whatever case and spacing; the challenge is then used up", async () => {
  const client = await stranger();
  const challenge = challengeOf(await form(client));
  const typed = `${letters.slice(0, 3).toLowerCase()} ${letters.slice(3)}`;
  expect((await client.set(wanted("copied", { challenge, ocr: typed }))).attrs.type).toBe("result");
  await core.login("copied", { password: "correct horse" });
  expect(errorCondition(await client.set(wanted("again", { challenge, ocr: typed })))).toBe("not-acceptable");
  await expect(core.login("again", { password: "correct horse" })).rejects.toThrow("not-authorized");
});

test("wrong letters spend the challenge, a name that is taken does not", async () => {
  const client = await stranger();
  const spent = challengeOf(await form(client));
  expect(errorCondition(await client.set(wanted("guess", { challenge: spent, ocr: "WRONG7" })))).toBe("not-acceptable");
  expect(errorCondition(await client.set(wanted("guess", { challenge: spent, ocr: letters })))).toBe("not-acceptable");
  const challenge = challengeOf(await form(client));
  expect(errorCondition(await client.set(wanted("alice", { challenge, ocr: letters })))).toBe("conflict");
  expect((await client.set(wanted("alison", { challenge, ocr: letters }))).attrs.type).toBe("result");
});

test("one right answer is good for a few corrections, not for trying all names", async () => {
  const client = await stranger();
  const challenge = challengeOf(await form(client));
  const answers: string[] = [];
  for (let tried = 0; tried < 7; tried++)
    answers.push(errorCondition(await client.set(wanted("alice", { challenge, ocr: letters }))));
  expect(answers).toEqual([...Array(5).fill("conflict"), "not-acceptable", "not-acceptable"]);
});

test("it cannot be skipped: no form, no challenge, an empty answer, one of another's making", async () => {
  const client = await stranger();
  const challenge = challengeOf(await form(client));
  for (const xml of [
    `<query xmlns='${register}'><username>skip</username><password>correct horse</password></query>`,
    wanted("skip", {}),
    wanted("skip", { ocr: letters }),
    wanted("skip", { challenge: "__proto__", ocr: letters }),
    wanted("skip", { challenge: "AAAAAAAAAAAAAAAAAAAAAA", ocr: letters }),
    wanted("skip", { challenge, qa: "" }),
  ])
    expect(errorCondition(await client.set(xml)), xml).toBe("not-acceptable");
  await expect(core.login("skip", { password: "correct horse" })).rejects.toThrow("not-authorized");
});

test("an answer is good for a quarter of an hour", async () => {
  const client = await stranger();
  const [soon, late] = [challengeOf(await form(client)), challengeOf(await form(client))];
  const { clock } = core.server.core;
  const at = (ms: number) => Object.assign(core.server.core, { clock: { ...clock, now: () => clock.now() + ms } });
  at(14 * 60_000);
  expect((await client.set(wanted("punctual", { challenge: soon, ocr: letters }))).attrs.type).toBe("result");
  at(15 * 60_000);
  expect(errorCondition(await client.set(wanted("tardy", { challenge: late, ocr: letters })))).toBe("not-acceptable");
  expect((await browser(port).get(`/captcha/${late}`)).status).toBe(404);
  Object.assign(core.server.core, { clock });
});

test("one address is given sixty at once", async () => {
  const flood = () =>
    XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: core.domain, from: "127.0.0.2" });
  // The clock stands still: nothing is earned back however long it takes.
  const { clock } = core.server.core;
  const now = clock.now();
  Object.assign(core.server.core, { clock: { ...clock, now: () => now } });
  const answers: string[] = [];
  for (let streams = 0; streams < 7; streams++) {
    const client = await flood();
    for (let asked = 0; asked < 10; asked++) {
      const answer = await client.get(`<query xmlns='${register}'/>`);
      answers.push(answer.attrs.type === "result" ? "form" : errorCondition(answer));
    }
  }
  Object.assign(core.server.core, { clock });
  expect(answers).toEqual([...Array(60).fill("form"), ...Array(10).fill("resource-constraint")]);
});

test("two who use one answer at the same time: one account", async () => {
  const [one, other] = [await stranger(), await stranger()];
  const challenge = challengeOf(await form(one));
  const answers = await Promise.all([
    one.set(wanted("racer", { challenge, ocr: letters })),
    other.set(wanted("runner", { challenge, ocr: letters })),
  ]);
  expect(answers.map((answer) => answer.attrs.type).sort()).toEqual(["error", "result"]);
});

test("a question helps those who see no picture, once question and answer are set", async () => {
  const client = await stranger();
  await core.set({ "firekeeper.register.question": "Which colour has snow?" });
  expect(fieldsOf(await form(client)).map((field) => field.attrs.var)).not.toContain("qa");
  await core.set({ "firekeeper.register.answer": "white" });
  const query = await form(client);
  expect(fieldsOf(query).find((field) => field.attrs.var === "qa")?.attrs.label).toBe("Which colour has snow?");
  const challenge = challengeOf(query);
  expect((await client.set(wanted("listener", { challenge, qa: " White " }))).attrs.type).toBe("result");
  const wrong = challengeOf(await form(client));
  expect(errorCondition(await client.set(wanted("deaf", { challenge: wrong, qa: "black" })))).toBe("not-acceptable");
});
