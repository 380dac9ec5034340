import fc from "fast-check";
import { SaxesParser } from "saxes";
import { expect, test } from "vitest";
import { type Limits, limitsAfterLogin, type ReaderError, xmlReader } from "../../xmpp-core/xml/reader.ts";
import type { Stanza } from "../../xmpp-core/xml/stanza.ts";
import { serialiseChildren, writeStanza } from "../../xmpp-core/xml/writer.ts";

const limits: Limits = { ...limitsAfterLogin, depth: 30 };
const open = "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' xmlns:r='urn:root'>";

interface Outcome {
  readonly stanzas: Stanza[];
  readonly error: ReaderError | undefined;
  readonly closed: boolean;
}

function ours(chunks: readonly Buffer[]): Outcome {
  const stanzas: Stanza[] = [];
  let error: ReaderError | undefined;
  let closed = false;
  const reader = xmlReader(
    {
      header: () => {},
      stanza: (stanza) => stanzas.push(stanza),
      closed: () => {
        closed = true;
      },
      failed: (found) => {
        error = found;
      },
    },
    limits,
  );
  for (const chunk of chunks) reader.push(chunk);
  return { stanzas, error, closed };
}

/** An element as nested lists with expanded names: what two spellings of the same content have in common. */
type Canonical = readonly [name: string, attributes: readonly string[], children: readonly (Canonical | string)[]];

interface Judgement {
  readonly refused: boolean;
  /** saxes accepts what only we refuse: comments, instructions, document types. */
  readonly restricted: boolean;
  readonly root: Canonical | undefined;
}

function saxes(xml: string): Judgement {
  const parser = new SaxesParser({ xmlns: true, position: false });
  let refused = false;
  let restricted = false;
  let root: Canonical | undefined;
  const stack: [string, string[], (Canonical | string)[]][] = [];
  const text = (content: string) => {
    const into = stack.at(-1)?.[2];
    const last = into?.at(-1);
    if (into === undefined || content === "") return;
    if (typeof last === "string") into[into.length - 1] = last + content;
    else into.push(content);
  };
  parser.on("error", () => {
    refused = true;
  });
  for (const event of ["comment", "processinginstruction", "doctype"] as const)
    parser.on(event, () => {
      restricted = true;
    });
  parser.on("text", text);
  parser.on("cdata", text);
  parser.on("opentag", (tag) => {
    const attributes = Object.values(tag.attributes)
      .filter(({ prefix, local }) => prefix !== "xmlns" && !(prefix === "" && local === "xmlns"))
      .map(({ uri, local, value }) => `{${uri}}${local}=${value}`)
      .sort();
    stack.push([`{${tag.uri}}${tag.local}`, attributes, []]);
  });
  parser.on("closetag", () => {
    const element = stack.pop();
    if (element === undefined) return;
    const parent = stack.at(-1);
    if (parent) parent[2].push(element);
    else root = element;
  });
  try {
    parser.write(xml).close();
  } catch {
    refused = true;
  }
  return { refused, restricted, root };
}

/** The first element inside the root. */
function first({ root }: Judgement): Canonical {
  const child = root?.[2].find((node) => typeof node !== "string");
  if (child === undefined) throw new Error("no element inside the root");
  return child;
}

// Markup that is nearly right is found by gluing pieces, most of them harmless.
const pieces = [
  "<a>",
  "</a>",
  "<a/>",
  "<b>",
  "</b>",
  "<b c='d'/>",
  "<b c='d' c='e'/>",
  "<r:x>",
  "</r:x>",
  "<q:x/>",
  "<p:y xmlns:p='urn:p'>",
  "</p:y>",
  "<p:y xmlns:p='urn:p' p:z='1' z=\"2\"/>",
  "<a xmlns='urn:o'>",
  "<b xmlns=''/>",
  "<b xmlns:p=''/>",
  "<b xmlns:p='u' xmlns:q='u' p:c='' q:c=''/>",
  "<b xmlns:xml='u'/>",
  "<b xml:lang='de'/>",
  "<b\n c = 'd\te\r\nf&#10;'\t/>",
  "<b c='&lt;&quot;\"'/>",
  "<b c='<'/>",
  "<b c=d/>",
  "<b c/>",
  "< b/>",
  "<b/ >",
  "<1/>",
  "<é/>",
  "<a:b:c/>",
  "</a >",
  "</ a>",
  "<b c='d'e='f'/>",
  "text",
  " ",
  "\r\n",
  "é€🔥",
  "&amp;",
  "&#x41;",
  "&#0;",
  "&foo;",
  "& ",
  "&",
  "]]>",
  "]]",
  ">",
  "<",
  "'",
  "<![CDATA[",
  "]]>",
  "<![CDATA[<&>]]>",
  "<!-- c -->",
  "<?pi?>",
  "<?xml version='1.0'?>",
  "\u0001",
  "\ufffe",
  "\uffff",
  "\ufeff",
  "\u007f",
  "</s:stream>",
];
const harmless = [
  "<a>",
  "</a>",
  "<b c='d'/>",
  "text",
  "&lt;",
  "<r:x/>",
  "<p:y xmlns:p='urn:p'>",
  "</p:y>",
  "<b xmlns='urn:o'/>",
];
const glued = fc
  .array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...harmless) }, fc.constantFrom(...pieces)), {
    maxLength: 14,
  })
  .map((parts) => parts.join(""));

/** Well-formed stanzas of every kind, so that the other direction is not tested on refusals alone. */
const attributeText = fc.constantFrom("", "d", "&amp;&#65;", 'é"', "a\tb\nc", "&#x1F525;&#10;", ">");
const content: fc.Arbitrary<string> = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom("text", "é\r\n€", "&lt;&#38;", "<![CDATA[<x>&]]>", "]] >", "\u007f🔥"),
    fc
      .tuple(
        fc.constantFrom("a", "r:b", "p:c", "été", "s:d"),
        fc.constantFrom("", " xmlns='urn:o'", " xmlns=''", " xmlns:p='urn:q'", " xmlns='jabber:client'"),
        attributeText,
        fc.constantFrom("c", "p:c", "xml:lang", "r:c"),
        fc.array(tie("node"), { maxLength: 4 }),
      )
      .map(([name, declared, value, attribute, inside]) =>
        inside.length === 0
          ? `<${name}${declared} ${attribute}='${value}'/>`
          : `<${name} ${attribute}='${value}'${declared}>${inside.join("")}</${name}\n>`,
      ),
  ),
})).node;
const wellFormed = fc
  .tuple(
    fc.constantFrom(
      "",
      " xmlns='jabber:client'",
      " to='a' xml:lang='de' xmlns:r='urn:r2'",
      " xmlns='urn:o' type='chat'",
    ),
    fc.array(content, { maxLength: 5 }),
  )
  .map(([attributes, inside]) => `<message xmlns:p='urn:p'${attributes}>${inside.join("")}</message>`);

/** Cuts bytes at the given places, each a fraction of the whole. */
function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((part) => Math.floor(part * bytes.length)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end));
}
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), { maxLength: 8 });

test("what saxes refuses we refuse, and what we refuse beyond that is listed", () => {
  const seen = { bothFine: 0, bothRefuse: 0, stricter: new Map<string, number>() };
  fc.assert(
    fc.property(fc.oneof(glued, wellFormed), (inside) => {
      const xml = `${open}${inside}</s:stream>`;
      const { error, closed } = ours([Buffer.from(xml)]);
      const oracle = saxes(xml);
      // Bytes that end too early are no fault of a stream, they are only not the end of it.
      if (oracle.refused) {
        expect(error !== undefined || !closed, xml).toBe(true);
        seen.bothRefuse++;
      } else if (error === undefined) {
        expect(closed).toBe(true);
        expect(oracle.restricted, xml).toBe(false);
        seen.bothFine++;
      } else {
        const why = oracle.restricted
          ? "restricted"
          : error.condition === "bad-format"
            ? "text in the stream"
            : error.text;
        expect(["restricted", "text in the stream"], `${xml}: ${error.text}`).toContain(why);
        seen.stricter.set(why, (seen.stricter.get(why) ?? 0) + 1);
      }
    }),
    { numRuns: 2_000, seed: 7_395 },
  );
  expect(seen.bothFine).toBeGreaterThan(250);
  expect(seen.bothRefuse).toBeGreaterThan(250);
  expect([...seen.stricter.keys()].sort()).toEqual(["restricted", "text in the stream"]);
});

test("any bytes in place of others: what saxes refuses we refuse", () => {
  let refused = 0;
  let fine = 0;
  const damaged = fc.tuple(wellFormed, fc.nat(), fc.constantFrom(..."<>/'\"&;:=! ?]x\u0000\u0085"), fc.boolean());
  fc.assert(
    fc.property(damaged, ([stanza, at, character, insert]) => {
      const place = at % stanza.length;
      const xml = `${open}${stanza.slice(0, place)}${character}${stanza.slice(place + (insert ? 0 : 1))}</s:stream>`;
      const bytes = Buffer.from(xml);
      const oracle = saxes(bytes.toString());
      const { error, closed } = ours([bytes]);
      if (oracle.refused) {
        expect(error !== undefined || !closed, xml).toBe(true);
        refused++;
      } else if (error === undefined) fine++;
      else expect(oracle.restricted || error.condition === "bad-format", `${xml}: ${error.text}`).toBe(true);
    }),
    { numRuns: 2_000, seed: 6_120 },
  );
  expect(refused).toBeGreaterThan(250);
  expect(fine).toBeGreaterThan(100);
});

test("however the bytes are cut, the same stanzas and the same end", () => {
  let splits = 0;
  fc.assert(
    fc.property(fc.oneof(glued, wellFormed), cuts, (inside, at) => {
      const bytes = Buffer.from(`<?xml version='1.0'?>${open}${inside} ${inside}</s:stream>`);
      const whole = ours([bytes]);
      const chunks = cut(bytes, at);
      if (chunks.length > 3 && whole.stanzas.length > 0) splits++;
      const other = ours(chunks);
      expect(other.error).toEqual(whole.error);
      expect(other.closed).toBe(whole.closed);
      expect(other.stanzas.map(facts)).toEqual(whole.stanzas.map(facts));
    }),
    { numRuns: 1_000, seed: 198 },
  );
  expect(splits).toBeGreaterThan(250);
});

function facts(stanza: Stanza): unknown {
  const { name, ns, to, type, lang, children, bytes, payloadStart, payloadEnd, canonical } = stanza;
  return { name, ns, to, type, lang, children, xml: bytes.toString(), payloadStart, payloadEnd, canonical };
}

test("the tree, and both ways of writing on, mean what saxes reads", () => {
  const seen = { canonical: 0, tree: 0, nested: 0 };
  fc.assert(
    fc.property(wellFormed, (xml) => {
      const { stanzas, error } = ours([Buffer.from(`${open}${xml}`)]);
      const [stanza] = stanzas;
      if (stanza === undefined) {
        expect(saxes(`${open}${xml}</s:stream>`).refused, `${xml}: ${error?.text}`).toBe(true);
        return;
      }
      const expected = first(saxes(`${open}${xml}</s:stream>`));
      const children = expected[2];
      const rewritten = first(saxes(`${open}${writeStanza(stanza, { to: "new" }).toString()}</s:stream>`));
      expect(rewritten[2], xml).toEqual(children);
      const fromTree = serialiseChildren(stanza.element(), "jabber:client");
      const tree = saxes(`${open}<message>${fromTree}</message></s:stream>`);
      expect(first(tree)[2], xml).toEqual(children);
      // In a stream between servers the payload must read the same, but for the content namespace itself.
      const elsewhere = open.replace("jabber:client", "jabber:server").replace(" xmlns:r='urn:root'", "");
      const between = saxes(`${elsewhere}${writeStanza(stanza).toString()}</s:stream>`);
      expect(between.refused, xml).toBe(false);
      const there = JSON.stringify(first(between)[2]).replaceAll("jabber:server", "jabber:client");
      expect(there, xml).toBe(JSON.stringify(children));
      expect(stanza.children.map(({ name, ns }) => `{${ns}}${name}`)).toEqual(
        children.filter((child) => typeof child !== "string").map(([name]) => name),
      );
      if (stanza.canonical) seen.canonical++;
      else seen.tree++;
      if (children.some((child) => typeof child !== "string" && child[2].length > 0)) seen.nested++;
    }),
    { numRuns: 1_000, seed: 297 },
  );
  expect(seen.canonical).toBeGreaterThan(200);
  expect(seen.tree).toBeGreaterThan(200);
  expect(seen.nested).toBeGreaterThan(200);
});
