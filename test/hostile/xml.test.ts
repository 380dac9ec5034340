import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { doors, rawConnection, verdict } from "./doors.ts";

/** Every byte string that a stream must not survive, on every way in (RFC 6120 §4.9.3, §11). */

let core: TestCore;
let bystander: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob"] });
  bystander = await core.login("bob");
});
afterEach(() => bystander.ping());
afterAll(() => core.close());

const large = 100_000;
const around = (before: string, middle: number[], after: string) =>
  Buffer.concat([Buffer.from(before), Buffer.from(middle), Buffer.from(after)]);

const hostile: [string, string | Buffer, string][] = [
  ["a document type", "<!DOCTYPE a>", "restricted-xml"],
  [
    "a billion laughs",
    "<!DOCTYPE a [<!ENTITY b 'lol'><!ENTITY c '&b;&b;&b;'>]><message>&c;</message>",
    "restricted-xml",
  ],
  ["an external entity", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>", "restricted-xml"],
  ["an entity declared inside of a stanza", "<message><!ENTITY a 'b'></message>", "not-well-formed"],
  ["an unknown entity", "<message>&lol;</message>", "restricted-xml"],
  ["an entity in an attribute", "<message to='&lol;'/>", "restricted-xml"],
  ["a comment between stanzas", "<!-- x -->", "restricted-xml"],
  ["a comment inside of a stanza", "<message><!-- x --></message>", "restricted-xml"],
  ["a processing instruction", "<?php x?>", "restricted-xml"],
  ["a processing instruction inside of a stanza", "<message><?php x?></message>", "restricted-xml"],
  ["a second XML declaration", "<?xml version='1.0'?>", "not-well-formed"],
  ["an overlong slash", around("<message>", [0xc0, 0xaf], "</message>"), "unsupported-encoding"],
  ["an overlong NUL", around("<message>", [0xc0, 0x80], "</message>"), "unsupported-encoding"],
  ["a surrogate", around("<message>", [0xed, 0xa0, 0x80], "</message>"), "unsupported-encoding"],
  ["a character beyond Unicode", around("<message to='", [0xf4, 0x90, 0x80, 0x80], "'/>"), "unsupported-encoding"],
  ["half a character", around("<message>", [0xe2, 0x82], "</message>"), "unsupported-encoding"],
  ["a byte that UTF-8 never has", around("<message>", [0xff], "</message>"), "unsupported-encoding"],
  ["a stanza in UTF-16", Buffer.from("<message/>", "utf16le"), "not-well-formed"],
  ["NUL in text", "<message>\0</message>", "not-well-formed"],
  ["NUL in an attribute", "<message to='\0'/>", "not-well-formed"],
  ["NUL between stanzas", "\0", "not-well-formed"],
  ["a reference to NUL", "<message>&#0;</message>", "not-well-formed"],
  ["a reference to a surrogate", "<message>&#xD800;</message>", "not-well-formed"],
  ["a control character", "<message>\u0001</message>", "not-well-formed"],
  ["U+FFFE", "<message>\ufffe</message>", "not-well-formed"],
  ["an undeclared prefix of an element", "<message><a:b/></message>", "not-well-formed"],
  ["an undeclared prefix of an attribute", "<message a:b='c'/>", "not-well-formed"],
  ["a rebound prefix xml", "<message xmlns:xml='urn:x'/>", "not-well-formed"],
  ["a duplicate attribute", "<message to='a' to='b'/>", "not-well-formed"],
  ["one attribute by two prefixes", "<message xmlns:a='u' xmlns:b='u' a:c='' b:c=''/>", "not-well-formed"],
  ["a mismatched end tag", "<message><body></message>", "not-well-formed"],
  ["an end tag too many", "</message>", "not-well-formed"],
  ["the end of a CDATA section in text", "<message>]]></message>", "not-well-formed"],
  ["text at stream level", "hello", "bad-format"],
  ["CDATA at stream level", "<![CDATA[x]]>", "bad-format"],
  [`depth ${large}`, "<message>".repeat(large), "policy-violation"],
  [`${large} attributes`, `<message ${attributes(large)}/>`, "policy-violation"],
  [`${large} namespace declarations`, `<message ${attributes(large, "xmlns:n")}/>`, "policy-violation"],
  [`${large} empty children`, `<message>${"<a/>".repeat(large)}</message>`, "policy-violation"],
  ["a name of 100 kB", `<message><${"a".repeat(large)}/></message>`, "policy-violation"],
  ["a stanza of 2 MiB", `<message><body>${"x".repeat(2 << 20)}</body></message>`, "policy-violation"],
  ["a stanza of 2 MiB that never ends", `<message><body>${"x".repeat(2 << 20)}`, "policy-violation"],
  ["an attribute of 2 MiB that never ends", `<message to='${"x".repeat(2 << 20)}`, "policy-violation"],
];

function attributes(count: number, name = "a"): string {
  return Array.from({ length: count }, (_, i) => `${name}${i}='x'`).join(" ");
}

describe.each(doors)("on $name", (door) => {
  test.each(hostile)("%s ends the stream with the right error", async (_name, bytes, condition) => {
    expect(await verdict(await door.open(core), bytes)).toBe(condition);
  });

  test("a second root inside of the stream is no stanza", async () => {
    const root = "<stream:stream xmlns='jabber:client' to='localhost' version='1.0'/>";
    const condition = door.loggedIn ? "unsupported-stanza-type" : "not-authorized";
    expect(await verdict(await door.open(core), root)).toBe(condition);
  });

  test("nothing behind the end of the stream is read", async () => {
    const client = await door.open(core);
    client.send("</stream:stream><message to='bob@localhost'><body>late</body></message>");
    expect(await client.ended).toEqual({ by: "fin", streamEnded: true });
    await bystander.none("message");
  });

  test("what comes in the packets behind a fault is not read", async () => {
    const client = await door.open(core);
    client.send("<message>&lol;</message><message to='bob@localhost'><body>late</body></message>");
    expect(await client.streamError()).toBe("restricted-xml");
    client.send("<message to='bob@localhost'><body>later</body></message>");
    await client.ended;
    await bystander.none("message");
  });
});

describe.each(doors.filter(({ loggedIn }) => !loggedIn))("before login, on $name", (door) => {
  test("stanzas are smaller than after it: 8 KiB, 32 elements, depth 8", async () => {
    const refused = ["x".repeat(8192), "<a/>".repeat(40), `${"<a>".repeat(8)}${"</a>".repeat(8)}`];
    for (const content of refused)
      expect(
        await verdict(
          await door.open(core),
          `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'>${content}</auth>`,
        ),
      ).toBe("policy-violation");
  });

  test.each(["<message to='bob@localhost'/>", "<presence/>", "<iq type='get' id='1'/>", "<auth xmlns='urn:x'/>"])(
    "%s is not authorized",
    async (stanza) => {
      expect(await verdict(await door.open(core), stanza)).toBe("not-authorized");
      await bystander.none("message");
    },
  );
});

describe("after login", () => {
  test.each([
    ["depth 65", `${"<a>".repeat(65)}${"</a>".repeat(65)}`],
    ["8,193 elements", `<w>${"<a/>".repeat(8192)}</w>`],
    ["65 attributes", `<w ${attributes(65)}/>`],
    ["a name of 257 bytes", `<${"a".repeat(257)}/>`],
    ["1,025 namespace declarations", `<a ${attributes(60, "xmlns:n")}>`.repeat(18)],
  ])("%s is too much", async (_name, content) => {
    const client = await core.login("alice");
    expect(await verdict(client, `<message to='bob@localhost'>${content}</message>`)).toBe("policy-violation");
  });

  test.each(doors.filter(({ loggedIn }) => loggedIn))("deep and wide stanzas pass on $name", async (door) => {
    const client = await door.open(core);
    const deep = `${"<a xmlns='urn:x'>".repeat(50)}${"</a>".repeat(50)}`;
    const id = client.message(bystander.jid, "y".repeat(60_000), `${deep}<w>${"<a/>".repeat(4000)}</w>`);
    const got = await bystander.next("message", (message) => message.attrs.id === id);
    expect(got.getChildText("body")).toHaveLength(60_000);
    expect(got.getChild("w")?.children).toHaveLength(4000);
    client.drop();
  });
});

/** The very first bytes. */
const header = (attributes: string, name = "stream:stream") =>
  `<${name} xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' ${attributes}>`;
const usual = "to='localhost' version='1.0'";
const beginnings: [string, string | Buffer, string][] = [
  ["UTF-16, little endian", Buffer.from(`\ufeff${header(usual)}`, "utf16le"), "unsupported-encoding"],
  ["UTF-16, big endian", Buffer.from(`\ufeff${header(usual)}`, "utf16le").swap16(), "unsupported-encoding"],
  ["UTF-16 without a mark", Buffer.from(header(usual), "utf16le"), "unsupported-encoding"],
  ["ISO-8859-1", `<?xml version='1.0' encoding='ISO-8859-1'?>${header(usual)}`, "unsupported-encoding"],
  ["bad UTF-8", around("<a b='", [0xff], "'>"), "unsupported-encoding"],
  ["XML 1.1", `<?xml version='1.1'?>${header(usual)}`, "unsupported-version"],
  ["a document type", `<!DOCTYPE a [<!ENTITY b 'c'>]>${header(usual)}`, "restricted-xml"],
  ["a comment", `<!-- x -->${header(usual)}`, "restricted-xml"],
  ["a processing instruction", `<?xml-stylesheet x?>${header(usual)}`, "restricted-xml"],
  ["HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed"],
  ["NUL", "\0", "unsupported-encoding"],
  [
    "an undeclared prefix",
    "<stream:stream xmlns='jabber:client' to='localhost' version='1.0'>",
    "bad-namespace-prefix",
  ],
  ["another root", header(usual, "stream:steam"), "invalid-namespace"],
  ["another namespace", `<stream xmlns='jabber:client' ${usual}>`, "invalid-namespace"],
  [
    "the content namespace of servers",
    `<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' ${usual}>`,
    "invalid-namespace",
  ],
  ["no version", header("to='localhost'"), "unsupported-version"],
  ["version 0.9", header("to='localhost' version='0.9'"), "unsupported-version"],
  ["a domain that is not served", header("to='elsewhere.example' version='1.0'"), "host-unknown"],
  ["a domain that cannot be", header("to='a b' version='1.0'"), "host-unknown"],
  ["a header of 10 kB", header(`to='${"x".repeat(10_000)}' version='1.0'`), "policy-violation"],
  ["100,000 attributes", header(attributes(large)), "policy-violation"],
];

describe.each(["clear", "direct"] as const)("a stream that begins, %s, with", (kind) => {
  test.each(beginnings)("%s", async (_name, bytes, condition) => {
    const raw = await rawConnection(kind === "clear" ? core.port : core.directPort, kind);
    raw.write(bytes);
    const answer = await raw.everything;
    // RFC 6120 §4.9.1.1: an error about the header comes behind a header of ours.
    expect(answer).toMatch(/^<\?xml version='1.0'\?><stream:stream [^>]*id="[^"]+" from="localhost"/);
    expect(answer.split("<stream:error><")[1]?.split(" ")[0]).toBe(condition);
    expect(answer.endsWith("</stream:error></stream:stream>")).toBe(true);
  });
});

describe("one byte at a time", () => {
  test("a login, and a long stanza with characters of every length", async () => {
    const client = await XmppClient.connect({ host: "127.0.0.1", port: core.port, domain: "localhost" });
    const whole = client.connection.send.bind(client.connection);
    client.connection.send = (data) => {
      for (const byte of Buffer.from(data)) whole(Buffer.from([byte]));
    };
    await client.authenticate({ ...client.where, user: "alice", password: "alice" });
    await client.bind("drip");
    const body = "aé€😀<&>\"' ".repeat(60);
    client.message(bystander.jid, body, "<x xmlns='urn:x' a='&lt;ü&quot;'><![CDATA[<y>]]></x>");
    const got = await bystander.next("message");
    expect(got.getChildText("body")).toBe(body);
    expect(got.getChild("x", "urn:x")?.attrs.a).toBe('<ü"');
    expect(got.getChildText("x")).toBe("<y>");
    client.drop();
  });

  test.each(doors)("a fault is found as well: $name", async (door) => {
    const client = await door.open(core);
    for (const byte of Buffer.from("<message to='b'><body>x</body>&lol;</message>")) client.send(Buffer.from([byte]));
    expect(await client.streamError()).toBe("restricted-xml");
  });
});
