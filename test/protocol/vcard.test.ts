import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

// XEP-0054
const get = "<vCard xmlns='vcard-temp'/>";
const card = (inside: string) => `<vCard xmlns='vcard-temp'>${inside}</vCard>`;
let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
beforeEach(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  alice = await core.login("alice");
  bob = await core.login("bob");
});
afterEach(() => core.close());

const shown = async (client: XmppClient, to = "") =>
  (await client.get(get, to)).getChild("vCard", "vcard-temp")?.children.map(String).join("");

test("who has none has an empty one; what was set is read back by its owner and by others, also after a crash", async () => {
  expect(await shown(alice)).toBe("");
  const written = "<FN>Alice &amp; Co</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORw0KGgo=</BINVAL></PHOTO>";
  const answer = await alice.set(card(written));
  expect([answer.attrs.type, answer.attrs.from]).toEqual(["result", "alice@localhost"]);
  expect(await shown(alice)).toBe(written);
  expect(await shown(bob, "alice@localhost")).toBe(written);
  await alice.set(card("<FN>Alice</FN>"));
  await core.crash();
  bob = await core.login("bob");
  expect(await shown(bob, "alice@localhost")).toBe("<FN>Alice</FN>");
});

test("nobody writes somebody else's", async () => {
  expect((await bob.set(card("<FN>forged</FN>"), "alice@localhost")).attrs.type).toBe("error");
  expect(await shown(alice)).toBe("");
});

test("what the host knows stands in a person's card, whatever he writes there", async () => {
  const { accounts, names } = core.server;
  await core.addUser("carol", { displayName: "Carol <Smith>" });
  const account = accounts.get(names.primary.id, "carol");
  if (account === undefined) throw new Error("no carol");
  account.email = "carol@example.org";
  const host = "<FN>Carol &lt;Smith&gt;</FN><EMAIL><INTERNET/><USERID>carol@example.org</USERID></EMAIL>";
  expect(await shown(alice, "carol@localhost")).toBe(host);
  const carol = await core.login("carol");
  expect(await shown(carol)).toBe(host);
  const written = "<FN>Queen</FN><NICKNAME>caro</NICKNAME><EMAIL><USERID>queen@example.org</USERID></EMAIL>";
  expect((await carol.set(card(written))).attrs.type).toBe("result");
  expect(await shown(alice, "carol@localhost")).toBe(`${host}<NICKNAME>caro</NICKNAME>`);
  // The host says nothing of it any more: what was written meanwhile does not come up.
  account.email = undefined;
  expect(await shown(carol)).toBe("<FN>Carol &lt;Smith&gt;</FN><NICKNAME>caro</NICKNAME>");
});

test("an account of the server itself has its own facts until it writes a card", async () => {
  await core.addUser("dave", { displayName: "Dave" });
  const account = core.server.accounts.get(core.server.names.primary.id, "dave");
  if (account === undefined) throw new Error("no dave");
  account.origin = "local";
  const dave = await core.login("dave");
  expect(await shown(dave)).toBe("<FN>Dave</FN>");
  await dave.set(card("<NICKNAME>d</NICKNAME>"));
  expect(await shown(alice, "dave@localhost")).toBe("<NICKNAME>d</NICKNAME>");
});

test("a card that is too large is refused, and the former stays", async () => {
  await alice.set(card("<FN>Alice</FN>"));
  const answer = await alice.set(card(`<DESC>${"x".repeat(256 * 1024)}</DESC>`));
  expect(errorCondition(answer)).toBe("policy-violation");
  expect(await shown(alice)).toBe("<FN>Alice</FN>");
  expect((await alice.set(card(`<DESC>${"x".repeat(255 * 1024)}</DESC>`))).attrs.type).toBe("result");
});

test("it does not tell who exists: a person without a card and nobody are answered alike", async () => {
  const answers = [];
  for (const to of ["bob@localhost", "nobody@localhost"]) {
    const answer = await alice.get(get, to);
    answers.push([answer.attrs.type, answer.children.map(String)]);
    const refused = await alice.set(card(""), to);
    answers.push([refused.attrs.type, refused.children.map(String)]);
  }
  expect(answers[0]).toEqual(answers[2]);
  expect(answers[1]).toEqual(answers[3]);
});

test("the own address in a card follows a change of the domain", async () => {
  await alice.set(card("<JABBERID>alice@localhost</JABBERID><DESC>alice@localhost</DESC>"));
  await core.rename("new.example", null);
  bob = await core.login("bob", { domain: "new.example" });
  expect(await shown(bob, "alice@new.example")).toBe(
    "<JABBERID>alice@new.example</JABBERID><DESC>alice@localhost</DESC>",
  );
});
