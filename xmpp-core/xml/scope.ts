import { fault } from "./fault.ts";
import type { Limits } from "./limits.ts";
import { attributeLocal, attributePrefix, attributeValue, prefixOf, type Tag } from "./tag.ts";

export const xmlNamespace = "http://www.w3.org/XML/1998/namespace";
export const xmlnsNamespace = "http://www.w3.org/2000/xmlns/";

/** Larger than any index of a declaration, and small enough to be stored in place. */
const nothingUsed = 0x3fffffff;

/** The namespace declarations in force, as a stack: the stream's own first, then those of each open element. */
export interface Scope {
  readonly prefixes: string[];
  readonly uris: string[];
  /** Default namespace per open element; [0] is the stream's. */
  readonly defaults: string[];
  /** Declarations made before the element at each depth. */
  readonly marks: number[];
  depth: number;
  /** Lowest index of a declaration that the last tag used; what lies outside of an element makes it depend on others. */
  reach: number;
}

export function newScope(contentNs: string, declared: readonly (readonly [string, string])[]): Scope {
  return {
    prefixes: declared.map(([prefix]) => prefix),
    uris: declared.map(([, uri]) => uri),
    defaults: [contentNs],
    marks: [],
    depth: 0,
    reach: 0,
  };
}

/**
 * Opens an element: takes its declarations into the scope and checks its prefixes and attributes
 * (Namespaces in XML 1.0 §3, §5, §6.3).
 * @returns the namespace of the element.
 */
export function enter(scope: Scope, tag: Tag, buffer: Buffer, base: number, limits: Limits, outer: number): string {
  const { prefixes, uris, depth } = scope;
  scope.marks[depth] = prefixes.length;
  scope.depth = depth + 1;
  scope.reach = nothingUsed;
  let fallback = scope.defaults[depth] as string;
  if (tag.defaultAt >= 0) fallback = checkedDefault(attributeValue(tag, tag.defaultAt, buffer, base));
  let prefixed = 0;
  if (tag.qualified)
    for (let i = 0; i < tag.count; i++) {
      const prefix = attributePrefix(tag, i, buffer, base);
      if (prefix === "") continue;
      if (prefix === "xmlns") {
        const declared = attributeLocal(tag, i, buffer, base);
        uris.push(checkedUri(declared, attributeValue(tag, i, buffer, base)));
        prefixes.push(declared);
        if (prefixes.length - outer > limits.namespaces) fault("policy-violation", "too many namespace declarations");
      } else prefixed++;
    }
  scope.defaults[depth + 1] = fallback;
  if (prefixed > 0) checkPrefixed(scope, tag, buffer, base, prefixed);
  return tag.colon < 0 ? fallback : resolve(scope, prefixOf(tag, buffer, base));
}

/** Closes the innermost element. */
export function leave(scope: Scope): void {
  const depth = scope.depth - 1;
  scope.depth = depth;
  const mark = scope.marks[depth] as number;
  if (scope.prefixes.length !== mark) {
    scope.prefixes.length = mark;
    scope.uris.length = mark;
  }
}

/** The namespace that a prefix stands for here; a prefix that nobody declared is a fault. */
export function resolve(scope: Scope, prefix: string): string {
  if (prefix === "xml") return xmlNamespace;
  const { prefixes } = scope;
  for (let i = prefixes.length - 1; i >= 0; i--)
    if (prefixes[i] === prefix) {
      if (i < scope.reach) scope.reach = i;
      return scope.uris[i] as string;
    }
  // "xmlns" is never in the list: no element and no attribute outside of a declaration may use it.
  return fault("not-well-formed", "a namespace prefix that is not declared");
}

function checkedDefault(uri: string): string {
  if (uri === xmlNamespace || uri === xmlnsNamespace) fault("not-well-formed", "a reserved namespace as default");
  return uri;
}

function checkedUri(prefix: string, uri: string): string {
  if (prefix === "xml" ? uri !== xmlNamespace : uri === xmlNamespace)
    fault("not-well-formed", "the prefix xml and its namespace belong together");
  if (prefix === "xmlns" || uri === xmlnsNamespace) fault("not-well-formed", "the prefix xmlns cannot be declared");
  if (uri === "") fault("not-well-formed", "a prefix cannot be undeclared");
  return uri;
}

/** Two attributes with different prefixes may still be the same one. */
function checkPrefixed(scope: Scope, tag: Tag, buffer: Buffer, base: number, prefixed: number): void {
  const seen = prefixed > 1 ? new Set<string>() : undefined;
  for (let i = 0; i < tag.count; i++) {
    const prefix = attributePrefix(tag, i, buffer, base);
    if (prefix === "" || prefix === "xmlns") continue;
    const uri = resolve(scope, prefix);
    if (seen === undefined) continue;
    const expanded = `${attributeLocal(tag, i, buffer, base)} ${uri}`;
    if (seen.has(expanded)) fault("not-well-formed", "an attribute is given twice");
    seen.add(expanded);
  }
}
