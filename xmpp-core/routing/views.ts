import type { Element } from "ltx";
import { formatJid, parseJid } from "../jid/jid.ts";
import { parseDocument } from "../xml/document.ts";
import { unlimited } from "../xml/limits.ts";
import { serialise } from "../xml/writer.ts";
import type { Names } from "./names.ts";

/**
 * A place in payloads that carries an address, declared by the module that owns the format. `within` names the chain
 * of containers from the stanza's child downwards. Everything that is no such place stays as it was written.
 */
export interface AddressPlace {
  readonly within?: readonly (readonly [ns: string, name: string])[];
  readonly element: readonly [ns: string, name: string];
  readonly attributes?: readonly string[];
  /** The element's text is an address. */
  readonly text?: boolean;
}

/** Shows what was written under one name of the domain to somebody who sees it under another. docs/architecture.md. */
export interface Views {
  /** A payload (the inside of a stanza, default namespace jabber:client) written under `from`, as `to` sees it. */
  payload(payload: Buffer, from: string, to: string): Buffer;
  /** An address as somebody under `view` sees it; foreign ones as they are. */
  address(text: string, view: string): string;
}

interface Node {
  readonly attributes: Set<string>;
  text: boolean;
  readonly inside: Map<string, Node>;
}

const newNode = (): Node => ({ attributes: new Set(), text: false, inside: new Map() });
const keyOf = (ns: string, name: string): string => `${ns} ${name}`;

/** Builds the renderer from the places that all modules declare. */
export function views(names: Names, places: readonly AddressPlace[]): Views {
  const root = newNode();
  for (const place of places) {
    let node = root;
    for (const [ns, name] of [...(place.within ?? []), place.element]) {
      const key = keyOf(ns, name);
      const next = node.inside.get(key) ?? newNode();
      node.inside.set(key, next);
      node = next;
    }
    for (const attribute of place.attributes ?? []) node.attributes.add(attribute);
    if (place.text === true) node.text = true;
  }

  function address(text: string, view: string, writtenUnder?: string): string {
    const parsed = parseJid(text);
    const host = parsed && names.seenFrom(view, parsed.domain, writtenUnder);
    if (parsed === undefined || host === undefined || host === parsed.domain) return text;
    return formatJid({ local: parsed.local, domain: host, resource: parsed.resource });
  }

  /** Changes addresses in place; true if any changed. The depth is bounded by the declared places. */
  function render(element: Element, node: Node, view: string, from: string, ns: string): boolean {
    let changed = false;
    for (const name of node.attributes) {
      const before: unknown = element.attrs[name];
      if (typeof before !== "string") continue;
      const after = address(before, view, from);
      if (after === before) continue;
      element.attrs[name] = after;
      changed = true;
    }
    if (node.text) {
      const before = element.getText();
      const after = address(before.trim(), view, from);
      if (after !== before.trim()) {
        element.children = [after];
        changed = true;
      }
    }
    if (node.inside.size === 0) return changed;
    for (const child of element.getChildElements()) {
      const childNs = child.getNS() ?? ns;
      const inside = node.inside.get(keyOf(childNs, child.getName()));
      if (inside !== undefined && render(child, inside, view, from, childNs)) changed = true;
    }
    return changed;
  }

  return {
    address,
    payload(payload, from, to) {
      if (from === to || payload.length === 0) return payload;
      // Without a name of ours in it there is nothing to render.
      if (
        !names.served.some((served) => served.live.some(({ name }) => payload.includes(name))) &&
        !payload.includes(from)
      )
        return payload;
      const wrapped = parseDocument(Buffer.concat([open, payload, close]), unlimited);
      if (!render(wrapped, root, to, from, "jabber:client")) return payload;
      return Buffer.from(wrapped.getChildElements().length === 0 ? "" : inner(wrapped));
    },
  };
}

const open = Buffer.from("<message xmlns='jabber:client'>");
const close = Buffer.from("</message>");

/** What stands between the tags, in the default namespace jabber:client. */
function inner(wrapped: Element): string {
  const text = serialise(wrapped, "jabber:client");
  return text.slice(text.indexOf(">") + 1, text.lastIndexOf("</"));
}
