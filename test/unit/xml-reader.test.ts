import { expect, test } from "vitest";
import { XmlFault } from "../../xmpp-core/xml/fault.ts";
import {
  type Limits,
  limitsAfterLogin,
  type ReaderError,
  type StreamHeader,
  type XmlReader,
  xmlReader,
} from "../../xmpp-core/xml/reader.ts";
import type { Stanza } from "../../xmpp-core/xml/stanza.ts";

const open =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='fire.example' version='1.0'>";

interface Reading {
  readonly reader: XmlReader;
  readonly headers: StreamHeader[];
  readonly stanzas: Stanza[];
  readonly errors: ReaderError[];
  closed: number;
}

function reading(limits: Limits = limitsAfterLogin, onStanza?: (reader: XmlReader, stanza: Stanza) => void): Reading {
  const headers: StreamHeader[] = [];
  const stanzas: Stanza[] = [];
  const errors: ReaderError[] = [];
  const reader = xmlReader(
    {
      header: (header) => headers.push(header),
      stanza: (stanza) => {
        stanzas.push(stanza);
        onStanza?.(reader, stanza);
      },
      closed: () => result.closed++,
      failed: (error) => errors.push(error),
    },
    limits,
  );
  const result: Reading = { reader, headers, stanzas, errors, closed: 0 };
  return result;
}

function read(input: string | Buffer, limits?: Limits): Reading {
  const result = reading(limits);
  result.reader.push(Buffer.from(input));
  return result;
}

/** How the input ends: the condition, or "fine". */
function verdict(input: string | Buffer, limits?: Limits): string {
  const whole = read(input, limits);
  const dripped = reading(limits);
  for (const byte of Buffer.from(input)) dripped.reader.push(Buffer.from([byte]));
  const [error] = whole.errors;
  expect(dripped.errors[0]?.condition, "one byte at a time").toBe(error?.condition);
  expect(dripped.stanzas.map((stanza) => stanza.bytes.toString())).toEqual(
    whole.stanzas.map((stanza) => stanza.bytes.toString()),
  );
  return error?.condition ?? "fine";
}

const inStream = (xml: string) => `${open}${xml}`;
const bytes = (before: string, middle: number[], after: string) =>
  Buffer.concat([Buffer.from(before), Buffer.from(middle), Buffer.from(after)]);

test.each<[string, string | Buffer, string]>([
  ["a comment between stanzas", inStream("<!-- x -->"), "restricted-xml"],
  ["a comment inside a stanza", inStream("<message><!-- x --></message>"), "restricted-xml"],
  ["a comment before the header", "<!-- x -->", "restricted-xml"],
  ["a processing instruction", inStream("<message><?php x?></message>"), "restricted-xml"],
  ["a processing instruction between stanzas", inStream("<?x?>"), "restricted-xml"],
  ["a processing instruction before the header", "<?xml-stylesheet x?>", "restricted-xml"],
  ["a document type before the header", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "restricted-xml"],
  ["a document type behind the declaration", "<?xml version='1.0'?><!DOCTYPE a>", "restricted-xml"],
  ["a document type in the stream", inStream("<!DOCTYPE a>"), "restricted-xml"],
  ["a second XML declaration", inStream("<?xml version='1.0'?>"), "not-well-formed"],
  ["an XML declaration behind whitespace", " <?xml version='1.0'?>", "not-well-formed"],
  ["an XML declaration without version", "<?xml encoding='utf-8'?>", "not-well-formed"],
  ["an XML declaration that never ends", `<?xml version='1.0' ${"x".repeat(200)}`, "not-well-formed"],
  ["a custom entity", inStream("<message>&e;</message>"), "restricted-xml"],
  ["an HTML entity", inStream("<message>&nbsp;</message>"), "restricted-xml"],
  ["an entity in an attribute", inStream("<message to='&e;'/>"), "restricted-xml"],
  ["an entity named like an object's property", inStream("<message>&constructor;</message>"), "restricted-xml"],
  ["a reference to NUL", inStream("<message>&#0;</message>"), "not-well-formed"],
  ["a reference to a surrogate", inStream("<message>&#xD800;</message>"), "not-well-formed"],
  ["a reference to U+FFFE", inStream("<message>&#xFFFE;</message>"), "not-well-formed"],
  ["a reference beyond Unicode", inStream("<message>&#x110000;</message>"), "not-well-formed"],
  ["a reference without digits", inStream("<message>&#;</message>"), "not-well-formed"],
  ["a reference with a capital X", inStream("<message>&#X41;</message>"), "not-well-formed"],
  ["a hexadecimal digit in a decimal reference", inStream("<message>&#6a;</message>"), "not-well-formed"],
  ["a reference that never ends", inStream(`<message>&#${"0".repeat(100)}`), "policy-violation"],
  ["a bare ampersand", inStream("<message>a & b</message>"), "not-well-formed"],
  ["an ampersand before a tag", inStream("<message>a &amp</message>"), "not-well-formed"],
  ["an empty reference", inStream("<message>&;</message>"), "not-well-formed"],
  ["the end of CDATA in text", inStream("<message>a]]>b</message>"), "not-well-formed"],
  ["a less-than sign in an attribute", inStream("<message to='a<b'/>"), "not-well-formed"],
  ["a duplicate attribute", inStream("<message to='a' to='b'/>"), "not-well-formed"],
  ["one attribute by two prefixes", inStream("<m xmlns:a='u' xmlns:b='u' a:x='1' b:x='2'/>"), "not-well-formed"],
  ["an undeclared prefix of an element", inStream("<message><a:b/></message>"), "not-well-formed"],
  ["an undeclared prefix of an attribute", inStream("<message a:b='1'/>"), "not-well-formed"],
  ["a prefix beyond its element", inStream("<m><a xmlns:p='u'/><p:b/></m>"), "not-well-formed"],
  ["an undeclared prefix of the header", "<stream:stream xmlns='jabber:client'>", "bad-namespace-prefix"],
  ["a rebound prefix xml", inStream("<m xmlns:xml='urn:x'/>"), "not-well-formed"],
  [
    "another prefix for the xml namespace",
    inStream("<m xmlns:a='http://www.w3.org/XML/1998/namespace'/>"),
    "not-well-formed",
  ],
  ["the xml namespace as default", inStream("<m xmlns='http://www.w3.org/XML/1998/namespace'/>"), "not-well-formed"],
  ["a declared prefix xmlns", inStream("<m xmlns:xmlns='urn:x'/>"), "not-well-formed"],
  ["the xmlns namespace", inStream("<m xmlns:a='http://www.w3.org/2000/xmlns/'/>"), "not-well-formed"],
  ["the prefix xmlns on an element", inStream("<xmlns:m/>"), "not-well-formed"],
  ["an undeclaring prefix", inStream("<m xmlns:a=''/>"), "not-well-formed"],
  ["a mismatched end tag", inStream("<message><body></message>"), "not-well-formed"],
  ["an end tag that is longer", inStream("<a></ab>"), "not-well-formed"],
  ["an end tag that is shorter", inStream("<ab></a>"), "not-well-formed"],
  ["an extra end tag", inStream("</message>"), "not-well-formed"],
  ["an end tag with an attribute", inStream("<a></a b='c'>"), "not-well-formed"],
  ["another prefix in the end tag", inStream("<p:a xmlns:p='u' xmlns:q='u'></q:a>"), "not-well-formed"],
  ["text between stanzas", inStream("hello"), "bad-format"],
  ["CDATA between stanzas", inStream("<![CDATA[x]]>"), "bad-format"],
  ["text before the header", "hello", "not-well-formed"],
  ["an end tag before the header", "</a>", "not-well-formed"],
  ["a second root", `${open}</stream:stream><stream:stream>`, "not-well-formed"],
  ["another name in the root's end tag", inStream("</stream:strea>"), "not-well-formed"],
  ["a long name in the root's end tag", inStream("</stream:streams>"), "not-well-formed"],
  ["an attribute without quotes", inStream("<a b=c/>"), "not-well-formed"],
  ["an attribute without a value", inStream("<a b/>"), "not-well-formed"],
  ["a tag without a name", inStream("<>"), "not-well-formed"],
  ["space before the name", inStream("< a/>"), "not-well-formed"],
  ["space inside the end of a tag", inStream("<a/ >"), "not-well-formed"],
  ["an attribute behind the slash", inStream("<a/ b>"), "not-well-formed"],
  ["a name that starts with a digit", inStream("<1a/>"), "not-well-formed"],
  ["a dollar in a name", inStream("<a$b/>"), "not-well-formed"],
  ["an at sign in a name", inStream("<a@b/>"), "not-well-formed"],
  ["an attribute that starts with a hyphen", inStream("<a -b='c'/>"), "not-well-formed"],
  ["two colons in a name", inStream("<a:b:c/>"), "not-well-formed"],
  ["a colon at the start of a name", inStream("<:a/>"), "not-well-formed"],
  ["a colon at the end of a name", inStream("<m xmlns:a='u'><a:/></m>"), "not-well-formed"],
  ["a digit behind the colon", inStream("<m xmlns:a='u'><a:1/></m>"), "not-well-formed"],
  ["a multiplication sign in a name", inStream("<a\u00d7/>"), "not-well-formed"],
  ["a combining mark at the start of a name", inStream("<\u0300a/>"), "not-well-formed"],
  ["no space between attributes", inStream("<a b='c'd='e'/>"), "not-well-formed"],
  ["a control character in text", inStream("<a>\u0001</a>"), "not-well-formed"],
  ["a NUL in text", inStream("<a>\u0000</a>"), "not-well-formed"],
  ["a control character in an attribute", inStream("<a b='\u001f'/>"), "not-well-formed"],
  ["a control character in a tag", inStream("<a \u0002b=''/>"), "not-well-formed"],
  ["a control character in CDATA", inStream("<a><![CDATA[\u0001]]></a>"), "not-well-formed"],
  ["a control character between stanzas", inStream("\u0001"), "not-well-formed"],
  ["U+FFFE in text", inStream("<a>\ufffe</a>"), "not-well-formed"],
  ["U+FFFF in an attribute", inStream("<a b='\uffff'/>"), "not-well-formed"],
  ["U+FFFF in CDATA", inStream("<a><![CDATA[\uffff]]></a>"), "not-well-formed"],
  ["a byte that is not UTF-8", bytes(inStream("<a>"), [0xff], "</a>"), "unsupported-encoding"],
  ["an overlong slash", bytes(inStream("<a>"), [0xc0, 0xaf], "</a>"), "unsupported-encoding"],
  ["an encoded surrogate", bytes(inStream("<a>"), [0xed, 0xa0, 0x80], "</a>"), "unsupported-encoding"],
  ["a character beyond Unicode", bytes(inStream("<a b='"), [0xf4, 0x90, 0x80, 0x80], "'/>"), "unsupported-encoding"],
  ["half a character", bytes(inStream("<a>"), [0xe2, 0x82], "</a>"), "unsupported-encoding"],
  ["a lone continuation byte in CDATA", bytes(inStream("<a><![CDATA["), [0x80], "]]></a>"), "unsupported-encoding"],
  ["bad UTF-8 in the header", bytes("<a b='", [0xff], "'>"), "unsupported-encoding"],
  ["UTF-16, little endian", Buffer.from(`\ufeff${open}`, "utf16le"), "unsupported-encoding"],
  ["UTF-16, big endian", Buffer.from(`\ufeff${open}`, "utf16le").swap16(), "unsupported-encoding"],
  ["UTF-16 without a mark", Buffer.from(open, "utf16le"), "unsupported-encoding"],
  ["ISO-8859-1", `<?xml version='1.0' encoding='ISO-8859-1'?>${open}`, "unsupported-encoding"],
  ["XML 1.1", `<?xml version='1.1'?>${open}`, "unsupported-version"],
  ["a byte order mark between stanzas", inStream("\ufeff<a/>"), "bad-format"],
  ["a byte order mark behind the declaration", `<?xml version='1.0'?>\ufeff${open}`, "not-well-formed"],
  ["a malformed CDATA section", inStream("<a><![CDATB[x]]></a>"), "not-well-formed"],
])("%s ends the stream", (_, input, condition) => expect(verdict(input)).toBe(condition));

test.each<[string, string]>([
  ["a byte order mark at the start", `\ufeff${open}<a/>`],
  ["an XML declaration", `<?xml version="1.0" encoding='UTF-8' standalone='yes' ?>\r\n${open}<a/>`],
  ["whitespace between stanzas", inStream(" \n\t\r<a/> \n")],
  [
    "the five entities and character references",
    inStream("<a b='&lt;&amp;&#x1F525;'>&gt;&quot;&apos;&#10;&#000065;</a>"),
  ],
  ["CDATA inside a stanza", inStream("<a><![CDATA[<b>]]]]><![CDATA[>&]]></a>")],
  ["a greater-than sign in text and attributes", inStream("<a b='>'>]] > ]></a>")],
  ["names with other letters", inStream("<été ä:ö='1' xmlns:ä='u'/>")],
  ["names with digits, dots and hyphens", inStream("<_a-1.b c.2-='d'/>")],
  ["the declared xml prefix", inStream("<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='de'/>")],
  ["two attributes that differ in namespace", inStream("<m xmlns:a='u' xmlns:b='v' a:x='1' b:x='2' x='3'/>")],
  ["a default namespace taken back", inStream("<m><a xmlns=''/></m>")],
  ["space around the equals sign and in end tags", inStream("<a b = \n'c' ></a\t>")],
  ["the other quote in a value", inStream(`<a b='"' c="'"/>`)],
  ["the last characters of the planes that exist", inStream("<a>\u{1fffe}\u{10ffff}\ufffd</a>")],
  ["DEL and C1 controls", inStream("<a>\u007f\u0085</a>")],
])("%s is fine", (_, input) => {
  expect(verdict(input)).toBe("fine");
  expect(read(input).stanzas).toHaveLength(1);
});

test("the header says what the stream is about", () => {
  const { headers, stanzas, reader } = read(
    "<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' to='a&amp;b' from='c' id='d' version='1.0' xml:lang='fr' x='y'><s:features/>",
  );
  expect(headers).toEqual([
    {
      name: "stream",
      ns: "http://etherx.jabber.org/streams",
      contentNs: "jabber:server",
      to: "a&b",
      from: "c",
      id: "d",
      version: "1.0",
      lang: "fr",
    },
  ]);
  expect(stanzas[0]).toMatchObject({ name: "features", ns: "http://etherx.jabber.org/streams" });
  expect(reader.midStanza).toBe(false);
});

test("the end of the stream is told, and nothing may follow it", () => {
  const result = read(`${open}<a/></stream:stream >\n`);
  expect(result.closed).toBe(1);
  expect(result.errors).toEqual([]);
  result.reader.push(Buffer.from("<a/>"));
  expect(result.errors[0]?.condition).toBe("not-well-formed");
});

test("a failed reader says so once and reads no further", () => {
  const result = read(`${open}<a></b><c/>`);
  result.reader.push(Buffer.from("<d/>"));
  expect(result.errors).toHaveLength(1);
  expect(result.stanzas).toEqual([]);
});

const small: Limits = { stanzaBytes: 200, elements: 5, depth: 3, attributes: 4, nameBytes: 20, namespaces: 3 };
test.each<[string, string, string]>([
  ["a stanza of exactly the bytes", `<a>${"x".repeat(193)}</a>`, "fine"],
  ["one byte more", `<a>${"x".repeat(194)}</a>`, "policy-violation"],
  ["an unfinished stanza", `<a>${"x".repeat(1000)}`, "policy-violation"],
  ["an unfinished attribute", `<a b='${"x".repeat(1000)}`, "policy-violation"],
  ["whitespace inside a tag", `<a ${" ".repeat(1000)}`, "policy-violation"],
  ["whitespace between stanzas", " ".repeat(1000), "fine"],
  ["the elements", "<a><b/><b/><b/><b/></a>", "fine"],
  ["one element more", "<a><b/><b/><b/><b/><b/></a>", "policy-violation"],
  ["the depth", "<a><b><c/></b></a>", "fine"],
  ["one level more", "<a><b><c><d/></c></b></a>", "policy-violation"],
  ["the attributes", "<a b='' c='' d='' e=''/>", "fine"],
  ["one attribute more", "<a b='' c='' d='' e='' f=''/>", "policy-violation"],
  ["a name as long as it may be", `<${"a".repeat(20)}/>`, "fine"],
  ["a longer name", `<${"a".repeat(21)}/>`, "policy-violation"],
  ["a name that never ends", `<${"a".repeat(100)}`, "policy-violation"],
  ["a longer attribute name", `<a ${"a".repeat(21)}=''/>`, "policy-violation"],
  ["the declarations", "<a xmlns:b='u' xmlns:c='u'><d xmlns:e='u'/></a>", "fine"],
  ["one declaration more", "<a xmlns:b='u' xmlns:c='u'><d xmlns:e='u' xmlns:f='u'/></a>", "policy-violation"],
  ["declarations of siblings", "<a><b xmlns:c='u' xmlns:d='u'/><b xmlns:c='u' xmlns:d='u'/></a>", "fine"],
])("limits: %s", (_, xml, outcome) => expect(verdict(inStream(xml), { ...small })).toBe(outcome));

test("limits: the header counts too", () => expect(verdict(`<a ${"b".repeat(500)}`, small)).toBe("policy-violation"));

test("limits may be changed while a stream runs", () => {
  const result = read(`${open}<a>`, { ...small });
  result.reader.limits = limitsAfterLogin;
  result.reader.push(Buffer.from(`${"x".repeat(5_000)}</a>`));
  expect(result.stanzas).toHaveLength(1);
});

test("stop keeps what is not delivered, go delivers it", () => {
  const result = reading(limitsAfterLogin, (reader) => reader.stop());
  result.reader.push(Buffer.from(`${open}<a/><b/> <c`));
  expect(result.stanzas.map((stanza) => stanza.name)).toEqual(["a"]);
  expect(result.reader.remaining().toString()).toBe("<b/> <c");
  expect(result.reader.midStanza).toBe(true);
  result.reader.push(Buffer.from("/>"));
  expect(result.stanzas).toHaveLength(1);
  result.reader.go();
  result.reader.go();
  expect(result.stanzas.map((stanza) => stanza.name)).toEqual(["a", "b", "c"]);
  expect(result.reader.midStanza).toBe(false);
});

test("restart inside a handler expects a new header, with or without a declaration", () => {
  const result = reading(limitsAfterLogin, (reader, stanza) => {
    if (stanza.name === "auth") reader.restart();
  });
  result.reader.push(Buffer.from(`<?xml version='1.0'?>${open}<auth/>\n`));
  result.reader.push(Buffer.from(`<?xml version='1.0'?>${open}<a/>`));
  expect(result.errors).toEqual([]);
  expect(result.headers).toHaveLength(2);
  expect(result.stanzas.map((stanza) => stanza.name)).toEqual(["auth", "a"]);
});

test("bytes glued behind a stanza can be seen when it is handled", () => {
  let glued = "";
  const result = reading(limitsAfterLogin, (reader) => {
    glued ||= reader.remaining().toString();
  });
  result.reader.push(Buffer.from(`${open}<starttls/><iq/>`));
  expect(glued).toBe("<iq/>");
});

test("a successor goes on in the middle of a stanza", () => {
  const first = read(`${open.replace("xmlns:stream", "xmlns:p='urn:p' xmlns:stream")}<a><p:b>`);
  const state: unknown = JSON.parse(JSON.stringify(first.reader.state()));
  const second = reading();
  second.reader.restore(state as ReturnType<XmlReader["state"]>);
  second.reader.push(first.reader.remaining());
  second.reader.push(Buffer.from("c</p:b></a></stream:stream>"));
  expect(second.errors).toEqual([]);
  expect(second.stanzas[0]?.children).toMatchObject([{ name: "b", ns: "urn:p" }]);
  expect(second.stanzas[0]?.ns).toBe("jabber:client");
  expect(second.closed).toBe(1);
});

test("what a handler throws comes out of push, and the stream can go on", () => {
  let first = true;
  const result = reading(limitsAfterLogin, () => {
    if (first) {
      first = false;
      throw new Error("mine");
    }
  });
  expect(() => result.reader.push(Buffer.from(`${open}<a/><b/>`))).toThrow("mine");
  result.reader.go();
  expect(result.stanzas.map((stanza) => stanza.name)).toEqual(["a", "b"]);
  expect(result.errors).toEqual([]);
});

test("a fault in other XML that a handler reads is not one of the stream", () => {
  const result = reading(limitsAfterLogin, () => {
    throw new XmlFault("not-well-formed", "elsewhere");
  });
  expect(() => result.reader.push(Buffer.from(`${open}<a/>`))).toThrow("elsewhere");
  expect(result.errors).toEqual([]);
});

test("the reader never keeps or writes into the caller's chunk", () => {
  const chunk = Buffer.from(`${open}<a>${"x".repeat(4_096)}`).subarray(0, 4_096);
  const before = Buffer.from(chunk);
  reading().reader.push(chunk);
  for (let other = 0; other < 3; other++) read(`${open}<b>y`).reader.push(Buffer.from("z"));
  expect(chunk.equals(before)).toBe(true);
});

test("a stanza keeps its bytes when the chunk is reused", () => {
  const result = reading();
  const chunk = Buffer.from(`${open}<a>text</a><b>`);
  result.reader.push(chunk);
  chunk.fill(0x78);
  result.reader.push(Buffer.from("c</b>"));
  expect(result.stanzas.map((stanza) => stanza.bytes.toString())).toEqual(["<a>text</a>", "<b>c</b>"]);
});

const room: Limits = { ...limitsAfterLogin, stanzaBytes: 1_000_000 };
// If each push looked at all bytes again, one of these would take hours and run into the test's time limit.
test.each<[string, string, string, string]>([
  ["text", "<a>", "x", "</a>"],
  ["multi-byte text", "<a>", "é", "</a>"],
  ["an attribute value", "<a b='", "x", "'/>"],
  ["whitespace in a tag", "<a", " ", "/>"],
  ["whitespace around an equals sign", "<a b", " ", "='c'/>"],
  ["whitespace in an end tag", "<a></a", " ", ">"],
  ["CDATA", "<a><![CDATA[", "]", "]]></a>"],
  ["small children", "<a>", "<b/>", "</a>"],
])("one byte at a time is linear: %s", (_, before, middle, after) => {
  const result = reading({ ...room, elements: 1_000_000 });
  result.reader.push(Buffer.from(open));
  const input = Buffer.from(`${before}${middle.repeat(400_000 / middle.length)}${after}`);
  for (let at = 0; at < input.length; at++) result.reader.push(input.subarray(at, at + 1));
  expect(result.errors).toEqual([]);
  expect(result.stanzas).toHaveLength(1);
});
