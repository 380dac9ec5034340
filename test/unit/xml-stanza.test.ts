import { expect, test } from "vitest";
import { parseDocument, parseStanza } from "../../xmpp-core/xml/document.ts";
import { XmlFault } from "../../xmpp-core/xml/fault.ts";
import { limitsAfterLogin, xmlReader } from "../../xmpp-core/xml/reader.ts";
import type { Stanza } from "../../xmpp-core/xml/stanza.ts";
import {
  escapeAttribute,
  escapeText,
  nothing,
  openTag,
  rawXml,
  serialise,
  text,
  writeStanza,
  x,
} from "../../xmpp-core/xml/writer.ts";

const client = "jabber:client";
const stanza = (xml: string) => parseStanza(xml, client, limitsAfterLogin);

/** A stanza of a stream whose header declares more than usual. */
function inStream(xml: string): Stanza {
  const found: Stanza[] = [];
  const reader = xmlReader(
    {
      header: () => {},
      stanza: (one) => found.push(one),
      closed: () => {},
      failed: (error) => expect(error).toBeUndefined(),
    },
    limitsAfterLogin,
  );
  reader.push(
    Buffer.from(`<s:stream xmlns='${client}' xmlns:s='http://etherx.jabber.org/streams' xmlns:r='urn:root'>${xml}`),
  );
  return found[0] as Stanza;
}

const chat =
  "<message to='bob@example.org/x' type=\"chat\" id='&lt;1&gt;' xml:lang='de' xmlns='jabber:client'><body>hé &amp; llo\r\nyou</body><active xmlns='http://jabber.org/protocol/chatstates'/><r:x xmlns:r='urn:r' r:y='1'><z/></r:x></message>";

test("a stanza says what routing needs", () => {
  const one = stanza(chat);
  expect(one).toMatchObject({
    name: "message",
    ns: client,
    to: "bob@example.org/x",
    type: "chat",
    id: "<1>",
    lang: "de",
  });
  expect(one.from).toBeUndefined();
  expect(one.canonical).toBe(true);
  expect(one.children.map(({ name, ns }) => [name, ns])).toEqual([
    ["body", client],
    ["active", "http://jabber.org/protocol/chatstates"],
    ["x", "urn:r"],
  ]);
  expect(one.children.map(({ start, end }) => one.bytes.toString("utf8", start, end))).toEqual([
    "<body>hé &amp; llo\r\nyou</body>",
    "<active xmlns='http://jabber.org/protocol/chatstates'/>",
    "<r:x xmlns:r='urn:r' r:y='1'><z/></r:x>",
  ]);
  expect(one.has("urn:r")).toBe(true);
  expect(one.has("urn:r", "y")).toBe(false);
});

test("values are unescaped and normalised", () => {
  const one = stanza("<a to='1\r\n2\t3&#10;4&#x9;5' id='\u{1f525}&#x1F525;'>\r\na\rb&#13;</a>");
  expect(one.to).toBe("1 2 3\n4\t5");
  expect(one.id).toBe("\u{1f525}\u{1f525}");
  expect(one.element().getText()).toBe("\na\nb\r");
  expect(one.element().attrs.to).toBe("1 2 3\n4\t5");
});

test("trees carry the namespaces that stand outside of them", () => {
  const one = stanza(chat);
  expect(one.child(client, "body")?.attrs.xmlns).toBe(client);
  expect(one.child(client, "body")?.getText()).toBe("hé & llo\nyou");
  expect(one.child("urn:r")?.getChild("z")?.getNS()).toBe(client);
  expect(one.child("urn:none")).toBeUndefined();
  expect(one.element()).toBe(one.element());
  expect(inStream("<a><r:b/></a>").element().getChild("b", "urn:root")).toBeDefined();
  expect(inStream("<a><r:b/></a>").child("urn:root", "b")?.getNS()).toBe("urn:root");
  expect(inStream("<s:features/>").element().getNS()).toBe("http://etherx.jabber.org/streams");
});

test("CDATA is text, also beside other text", () =>
  expect(stanza("<a>1<![CDATA[<2>&]]>3<![CDATA[]]></a>").element().children).toEqual(["1<2>&3"]));

test("attribute names that mean something to JavaScript stay attributes", () => {
  const tree = stanza("<a __proto__='1' constructor='2'/>").element();
  expect(Object.entries(tree.attrs)).toEqual(
    expect.arrayContaining([
      ["__proto__", "1"],
      ["constructor", "2"],
    ]),
  );
  expect(serialise(tree, client)).toBe('<a __proto__="1" constructor="2"/>');
});

test.each<[string, string, boolean]>([
  ["plain", "<a><b/></a>", true],
  ["own prefixes", "<a><p:b xmlns:p='u'><p:c/></p:b></a>", true],
  ["CDATA", "<a><![CDATA[b]]></a>", false],
  ["a prefix of the stanza", "<a xmlns:p='u'><p:b/></a>", false],
  ["a prefix of the stanza, deeper", "<a xmlns:p='u'><b><c p:d=''/></b></a>", false],
  ["an unused prefix of the stanza", "<a xmlns:p='u'><b/></a>", true],
  ["a prefix of the stream", "<a><r:b/></a>", false],
  ["a prefix of the stream, shadowed", "<a><r:b xmlns:r='u'/></a>", true],
  ["another default namespace", "<a xmlns='urn:other'><b/></a>", false],
  ["the content namespace, spelt out", "<a xmlns='jabber:client'><b/></a>", true],
  ["a child that spells it out", "<a><b xmlns='jabber:client'/></a>", false],
  ["the content namespace by prefix", "<c:a xmlns:c='jabber:client'><b/></c:a>", true],
  ["xml:lang inside", "<a><b xml:lang='en'/></a>", true],
])("canonical or not: %s", (_, xml, canonical) => expect(inStream(xml).canonical).toBe(canonical));

test("writing on replaces the start tag and copies the payload", () => {
  const one = stanza(
    "<message to='a' from='evil' id='1' type='chat' xml:lang='fr' evil='1' xmlns:p='u'><body>x &#65;</body></message>",
  );
  expect(writeStanza(one, { from: "me<'\">", to: undefined, id: null, append: x("y") }).toString()).toBe(
    `<message to="a" from="me&lt;&apos;&quot;&gt;" type="chat" xml:lang="fr"><body>x &#65;</body><y/></message>`,
  );
  expect(writeStanza(stanza("<presence/>")).toString()).toBe("<presence/>");
  expect(writeStanza(stanza("<presence></presence>"), { to: "ü" }).toString()).toBe('<presence to="ü"/>');
  expect(writeStanza(one, { payload: Buffer.from("<é/>"), append: Buffer.from("<b/>") }).toString()).toContain(
    "><é/><b/></message>",
  );
});

test.each(["", "<![CDATA[]]>"])("children can be left out, canonical or not (%s)", (cdata) => {
  const one = stanza(`<m>1<a/>2<b xmlns='u'><a/></b>3<a/>${cdata}</m>`);
  expect(one.canonical).toBe(cdata === "");
  expect(
    writeStanza(one, { without: (child) => child.name === "a" })
      .toString()
      .replaceAll("'", '"'),
  ).toBe('<m>12<b xmlns="u"><a/></b>3</m>');
});

test("a payload that leans on its surroundings is spelt out", () => {
  const one = inStream("<a xmlns:p='urn:p'><r:b p:c='1'><r:d/><e/></r:b></a>");
  expect(writeStanza(one).toString()).toBe(
    '<a><b xmlns="urn:root" xmlns:p="urn:p" p:c="1"><d/><e xmlns="jabber:client"/></b></a>',
  );
  expect(writeStanza(inStream("<a xmlns='urn:o'><b/></a>")).toString()).toBe('<a><b xmlns="urn:o"/></a>');
});

test("the builder escapes everything", () => {
  expect(
    x("a", { b: "<'\"&>\t\n", c: undefined, d: 1, e: true }, text("<&>]]>"), undefined, false, nothing, [
      x("f"),
      x("g"),
    ]),
  ).toBe('<a b="&lt;&apos;&quot;&amp;&gt;&#9;&#10;" d="1" e="true">&lt;&amp;&gt;]]&gt;<f/><g/></a>');
  expect(x("a", {}, rawXml(Buffer.from("<é/>")))).toBe("<a><é/></a>");
  expect(openTag("stream:stream", { to: "a" })).toBe('<stream:stream to="a">');
});

test.each(["", "a b", "1a", "a>", "a:b:c", "a/"])("the builder refuses %j as a name", (name) => {
  expect(() => x(name)).toThrow(TypeError);
  expect(() => x("a", { [name]: "1" })).toThrow(TypeError);
  expect(() => openTag(name)).toThrow(TypeError);
});

test("characters that XML cannot hold are left out", () => {
  expect(escapeText("a\u0000\u001f\ufffe\ud800b\udc00\r\n\t\u{1f525}")).toBe("ab&#13;\n\t\u{1f525}");
  expect(escapeAttribute("a\u0000\u001f\uffff\udfffb\r")).toBe("ab&#13;");
});

test("trees with impossible names or prefixes are not written", () => {
  const tree = () => parseDocument("<a xmlns:p='u'><p:b c='1'/></a>", limitsAfterLogin);
  const broken = [tree(), tree(), tree(), tree()];
  const [name, attribute, prefix, declaration] = broken.map(
    (root) => root.getChildElements()[0] as NonNullable<ReturnType<typeof root.getChild>>,
  );
  if (!name || !attribute || !prefix || !declaration) throw new Error("no tree");
  name.name = "b onload='x'";
  attribute.attrs["c='1'><evil"] = "1";
  prefix.name = "q:b";
  declaration.attrs["xmlns:xml"] = "urn:x";
  for (const root of broken) expect(() => serialise(root, "")).toThrow(TypeError);
  expect(serialise(tree(), "")).toBe('<a xmlns:p="u"><b xmlns="u" c="1"/></a>');
});

test("a subtree is written with the declarations of its parents", () => {
  const tree = parseDocument("<a xmlns='urn:d' xmlns:p='urn:p'><b p:c='1'/></a>", limitsAfterLogin);
  expect(serialise(tree.getChildElements()[0] as typeof tree, "")).toBe('<b xmlns="urn:d" xmlns:p="urn:p" p:c="1"/>');
});

test("a deep tree is written without recursion", () => {
  const deep = `${"<a>".repeat(20_000)}${"</a>".repeat(20_000)}`;
  const limits = { ...limitsAfterLogin, depth: 30_000, elements: 30_000 };
  expect(serialise(parseDocument(deep, limits), "")).toBe(deep.replace("<a></a>", "<a/>"));
});

test.each<[string, string]>([
  ["two elements", "<a/><b/>"],
  ["an unfinished element", "<a><b/>"],
  ["text", "hello"],
  ["nothing", " "],
  ["an XML declaration", "<?xml version='1.0'?><a/>"],
  ["text behind", "<a/>b"],
  ["too many bytes", `<a>${"x".repeat(limitsAfterLogin.stanzaBytes)}</a>`],
])("one document only: %s", (_, xml) => expect(() => stanza(xml)).toThrow(XmlFault));

test("one document: whitespace around it is fine", () =>
  expect(stanza("\n <open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a'/> ")).toMatchObject({
    name: "open",
    ns: "urn:ietf:params:xml:ns:xmpp-framing",
    to: "a",
  }));
