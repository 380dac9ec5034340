import { Element } from "ltx";
import { type SaxesAttributeNS, SaxesParser, type SaxesTagNS } from "saxes";

/** What a strict reader tells its owner about one XML stream, in the order of the bytes. */
export type ReaderEvents = {
  /** The stream's own start tag: an element without children. */
  open(header: Element): void;
  /** A complete first-level child, with its namespace written on it even where the stream header declared it. */
  stanza(stanza: Element): void;
  /** `</stream:stream>`. */
  end(): void;
  /** Anything RFC 6120 §11 or Namespaces in XML forbids: the server under test is broken. */
  malformed(reason: string): void;
};

// The five entities of XML and character references, or their beginning at the end of a read.
const bareAmpersand = /&(?!(?:lt|gt|amp|quot|apos|#\d{1,7}|#x[\da-fA-F]{1,6});)(?![^;<&\s]{0,8}$)/;

/** One stream's worth of XML. A stream restart (TLS, SASL) takes a new reader and discards this one. */
export type StrictReader = { write(bytes: Uint8Array): void; discard(): void };

/**
 * Reads server output with saxes and namespaces on, so that a server that sends bad XML fails the test that saw it.
 * Comments, processing instructions, DTDs and invalid UTF-8 count as bad.
 */
export function strictReader(events: ReaderEvents): StrictReader {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const parser = new SaxesParser<{ xmlns: true }>({ xmlns: true });
  const stack: Element[] = [];
  let depth = 0;
  let live = true;
  let cut = "";
  const bad = (reason: string): void => {
    if (live) events.malformed(reason);
    live = false;
  };

  parser.on("error", (error) => bad(error.message));
  parser.on("comment", () => bad("a comment"));
  parser.on("processinginstruction", () => bad("a processing instruction"));
  parser.on("doctype", () => bad("a document type declaration"));
  parser.on("opentag", (tag) => {
    if (!live) return bad("data behind the end of a stream");
    const element = toElement(tag, depth < 2);
    depth++;
    if (depth === 1) return events.open(element);
    stack.at(-1)?.cnode(element);
    stack.push(element);
  });
  parser.on("closetag", () => {
    if (!live) return;
    depth--;
    if (depth === 0) return events.end();
    const element = stack.pop();
    if (depth === 1 && element !== undefined) events.stanza(element);
  });
  const text = (value: string): void => {
    const parent = stack.at(-1);
    if (parent !== undefined) parent.t(value);
    else if (live && value.trim() !== "") bad(`text between stanzas: ${value}`);
  };
  parser.on("text", text);
  parser.on("cdata", text);

  return {
    write(bytes) {
      if (!live) return;
      try {
        const text = decoder.decode(bytes, { stream: true });
        // saxes looks for the semicolon in whatever comes later; a stanza must not wait for that.
        if (bareAmpersand.test(cut + text)) return bad("a bare ampersand");
        cut = /&[^;]{0,9}$/.exec(cut + text)?.[0] ?? "";
        parser.write(text);
      } catch (error) {
        bad(error instanceof Error ? error.message : String(error));
      }
    },
    discard() {
      live = false;
    },
  };
}

function toElement(tag: SaxesTagNS, withNamespace: boolean): Element {
  const attributes: Record<string, string> = {};
  for (const [name, attribute] of Object.entries<SaxesAttributeNS>(tag.attributes)) attributes[name] = attribute.value;
  const declaration = tag.prefix === "" ? "xmlns" : `xmlns:${tag.prefix}`;
  // What the stream header declares must not be lost when a stanza is looked at alone.
  if (withNamespace && attributes[declaration] === undefined && tag.uri !== "") attributes[declaration] = tag.uri;
  return new Element(tag.name, attributes);
}
