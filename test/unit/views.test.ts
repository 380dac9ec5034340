import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseDocument } from "../../xmpp-core/xml/document.ts";
import { limitsAfterLogin } from "../../xmpp-core/xml/limits.ts";
import { serialise } from "../../xmpp-core/xml/writer.ts";
import { startTestCore, type TestCore } from "../support/core.ts";

/**
 * Payloads as templates: `{D}` stands where an address of ours is to be shown under the reader's name, `{W}` where the
 * name it was written under must stay as it is. The reference is plain text substitution; the renderer works on trees.
 */
const corpus = [
  "<body>write to bob@{W}</body>",
  '<body>a &amp; b &lt;c&gt; &quot;bob@{W}&quot;</body><x xmlns="jabber:x:conference" jid="proxy.{D}"/>',
  '<delay xmlns="urn:xmpp:delay" from="{D}" stamp="2026-01-01T00:00:00Z"/>',
  '<stanza-id xmlns="urn:xmpp:sid:0" by="bob@{D}" id="1"/>',
  '<forwarded xmlns="urn:xmpp:forward:0"><delay xmlns="urn:xmpp:delay" from="{D}" stamp="x"/><message xmlns="jabber:client" from="alice@{D}/desk" to="bob@{D}"><body>bob@{W}</body><delay xmlns="urn:xmpp:delay" from="bob@{D}/x" stamp="y"/></message></forwarded>',
  '<x xmlns="http://jabber.org/protocol/muc#user"><invite from="alice@{D}"><reason>alice@{W}</reason></invite></x>',
  '<addresses xmlns="http://jabber.org/protocol/address"><address type="to" jid="bob@{D}"/><address type="cc" jid="bob@elsewhere.example"/></addresses>',
  '<encrypted xmlns="eu.siacs.conversations.axolotl"><header sid="bob@{W}"/><payload>Ym9i</payload></encrypted>',
  '<unknown xmlns="urn:example:unknown" jid="bob@{W}"><delay xmlns="urn:xmpp:delay" from="bob@{W}" stamp="z"/></unknown>',
  '<reply xmlns="urn:xmpp:reply:0" to="bob@{D}/phone" id="7"/><body>ünïcödé ☃ {W}</body>',
  '<x xmlns="jabber:x:conference" jid="room@not{W}"/>',
  "",
];
const oldName = "old.example";
const newName = "new.example";

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({ domain: oldName });
});
afterAll(() => core.close());

/** One spelling of the same XML: a quote in text may be written in two ways. */
const same = (payload: string) =>
  serialise(parseDocument(`<m xmlns="jabber:client">${payload}</m>`, limitsAfterLogin), "jabber:client");
const written = (template: string, under: string, seen = under) =>
  template.replaceAll("{D}", seen).replaceAll("{W}", under);

describe("a payload written under one name, seen under another", () => {
  beforeAll(() => core.rename(newName, null));
  for (const [from, to] of [
    [oldName, newName],
    [newName, oldName],
    [newName, newName],
  ] as const)
    test.each(corpus)(`${from} as ${to}: %s`, (template) => {
      const { views } = core.server.router;
      const payload = Buffer.from(written(template, from));
      expect(same(views.payload(payload, from, to).toString())).toBe(same(written(template, from, to)));
    });

  test("the other name of ours in a payload is understood too", () => {
    const { views } = core.server.router;
    const mixed = Buffer.from(`<delay xmlns="urn:xmpp:delay" from="bob@${newName}"/>`);
    expect(views.payload(mixed, newName, oldName).toString()).toBe(
      `<delay xmlns="urn:xmpp:delay" from="bob@${oldName}"/>`,
    );
  });

  test("what was written under a name that is no longer ours is still shown under the reader's", async () => {
    const { names, router } = core.server;
    await core.rename("third.example", 3);
    await names.expire(4);
    expect(names.host(newName)).toBeUndefined();
    const payload = Buffer.from(`<delay xmlns="urn:xmpp:delay" from="bob@${newName}"/>`);
    expect(router.views.payload(payload, newName, "third.example").toString()).toBe(
      '<delay xmlns="urn:xmpp:delay" from="bob@third.example"/>',
    );
    expect(names.successorOf(newName)).toBe("third.example");
  });
});

test("stored addresses are relative, and come back under any view", () => {
  const { names } = core.server;
  const address = (local: string, domain: string, resource = "") => ({ local, domain, resource });
  const rows: [ReturnType<typeof address>, string][] = [
    [address("bob", "third.example"), "bob@"],
    [address("bob", "third.example", "a@b/c"), "bob@/a@b/c"],
    [address("", "third.example"), "@"],
    [address("", "proxy.third.example"), "@proxy."],
    [address("bob", "elsewhere.example", "x"), "bob@elsewhere.example/x"],
    [address("", "elsewhere.example"), "elsewhere.example"],
  ];
  for (const [jid, stored] of rows) {
    expect(names.relative(jid)).toBe(stored);
    const { local, domain, resource } = jid;
    const text = `${local === "" ? "" : `${local}@`}${domain}${resource === "" ? "" : `/${resource}`}`;
    expect(names.absolute(stored, "third.example")).toBe(text);
    expect(names.absolute(stored, oldName)).toBe(text.replace("third.example", oldName));
  }
});
