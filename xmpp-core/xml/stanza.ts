import type { Element, Node } from "ltx";
import { serialiseChildren } from "./serialise.ts";
import { buildTree, setAttribute } from "./tree.ts";

/** A direct child of a stanza; `start` and `end` are byte offsets into the stanza's bytes. */
export interface Child {
  readonly name: string;
  readonly ns: string;
  readonly start: number;
  readonly end: number;
}

/** A top level element as it arrived, with what routing needs; everything else is read only when someone asks. */
export interface Stanza {
  readonly name: string;
  readonly ns: string;
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly id: string | undefined;
  readonly type: string | undefined;
  readonly lang: string | undefined;
  readonly children: readonly Child[];
  /** Exactly the bytes of the element, owned by the stanza. */
  readonly bytes: Buffer;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  /** The payload stands alone: it may be copied into any stream whose default namespace is the content namespace. */
  readonly canonical: boolean;
  /** Whether a direct child of this namespace (and name) is there. */
  has(ns: string, name?: string): boolean;
  /** The first such child as a tree of its own, with explicit xmlns. Built anew by each call. */
  child(ns: string, name?: string): Element | undefined;
  /** The whole tree, with explicit xmlns; built once, so it is not to be changed. */
  element(): Element;
  /**
   * The inside as canonical bytes: the same bytes if the stanza is canonical, else serialised from the tree.
   * Children that `without` names are left out.
   */
  payload(without?: (child: Child) => boolean): Buffer;
}

/** What the scanner has noted when a stanza ends. */
export interface StanzaFacts {
  readonly name: string;
  readonly ns: string;
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly id: string | undefined;
  readonly type: string | undefined;
  readonly lang: string | undefined;
  readonly children: readonly Child[];
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly canonical: boolean;
}

/** Prefixes and the namespaces they stand for, outermost first. */
export type Prefixes = readonly (readonly [string, string])[];

// A class because one is made per stanza and methods on a prototype cost no closures.
class ScannedStanza implements Stanza {
  readonly name: string;
  readonly ns: string;
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly id: string | undefined;
  readonly type: string | undefined;
  readonly lang: string | undefined;
  readonly children: readonly Child[];
  readonly bytes: Buffer;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly canonical: boolean;
  readonly #contentNs: string;
  readonly #defaultNs: string;
  readonly #prefixes: Prefixes | undefined;
  #tree: Element | undefined;

  constructor(facts: StanzaFacts, bytes: Buffer, contentNs: string, defaultNs: string, prefixes: Prefixes | undefined) {
    this.name = facts.name;
    this.ns = facts.ns;
    this.to = facts.to;
    this.from = facts.from;
    this.id = facts.id;
    this.type = facts.type;
    this.lang = facts.lang;
    this.children = facts.children;
    this.bytes = bytes;
    this.payloadStart = facts.payloadStart;
    this.payloadEnd = facts.payloadEnd;
    this.canonical = facts.canonical;
    this.#contentNs = contentNs;
    this.#defaultNs = defaultNs;
    this.#prefixes = prefixes;
    this.#tree = undefined;
  }

  has(ns: string, name?: string): boolean {
    return this.#find(ns, name) !== undefined;
  }

  child(ns: string, name?: string): Element | undefined {
    const found = this.#find(ns, name);
    return found && this.#build(found.start, found.end, this.#defaultNs);
  }

  element(): Element {
    this.#tree ??= this.#build(0, this.bytes.length, this.#contentNs);
    return this.#tree;
  }

  payload(without?: (child: Child) => boolean): Buffer {
    const dropped = without === undefined ? [] : this.children.filter(without);
    if (!this.canonical) return Buffer.from(this.#serialised(dropped));
    if (dropped.length === 0) return this.bytes.subarray(this.payloadStart, this.payloadEnd);
    const kept: Buffer[] = [];
    let from = this.payloadStart;
    for (const child of dropped) {
      kept.push(this.bytes.subarray(from, child.start));
      from = child.end;
    }
    kept.push(this.bytes.subarray(from, this.payloadEnd));
    return Buffer.concat(kept);
  }

  #serialised(dropped: readonly Child[]): string {
    const whole = this.element();
    const elements = whole.children.filter((node) => typeof node !== "string");
    const gone = new Set<Node>(dropped.map((child) => elements[this.children.indexOf(child)] as Node));
    return serialiseChildren(whole, this.#contentNs, (node) => !gone.has(node));
  }

  #find(ns: string, name: string | undefined): Child | undefined {
    for (const child of this.children) if (child.ns === ns && (name === undefined || child.name === name)) return child;
    return undefined;
  }

  #build(start: number, end: number, defaultNs: string): Element {
    const tree = buildTree(this.bytes.toString("utf8", start, end));
    if (tree.attrs.xmlns === undefined && defaultNs !== "") tree.attrs.xmlns = defaultNs;
    const prefixes = this.#prefixes ?? [];
    for (let i = prefixes.length - 1; i >= 0; i--) {
      const [prefix, uri] = prefixes[i] as readonly [string, string];
      const name = `xmlns:${prefix}`;
      if (!Object.hasOwn(tree.attrs, name)) setAttribute(tree, name, uri);
    }
    return tree;
  }
}

/**
 * Used by the scanner; everyone else gets stanzas from a reader. `contentNs` is the default namespace around the
 * stanza, `defaultNs` the one inside; `prefixes` are those in force inside, left out when the payload needs none.
 */
export function makeStanza(
  facts: StanzaFacts,
  bytes: Buffer,
  contentNs: string,
  defaultNs: string,
  prefixes: Prefixes | undefined,
): Stanza {
  return new ScannedStanza(facts, bytes, contentNs, defaultNs, prefixes);
}
