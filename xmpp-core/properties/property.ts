import type { TextSchema } from "./text-schema.ts";

/** What a change of a property costs: nobody notices, one port is rebound, the core process is replaced. docs/architecture.md */
export type PropertyImpact = "live" | "listener" | "restart";

/**
 * One setting of the server, declared once beside the code that honours it. Values are read with `properties.get(it)`
 * and followed with `properties.watch(it, …)`, never by key.
 */
export interface Property<T> {
  readonly key: string;
  readonly schema: TextSchema<T>;
  readonly default: T;
  readonly impact: PropertyImpact;
  /** One sentence for the admin. */
  readonly doc: string;
  readonly unit: string | undefined;
  /** Old names that Openfire still reads; the real key wins when both are set. */
  readonly aliases: readonly string[];
  /** Never shown, only replaced. */
  readonly secret: boolean;
  /** A key of the host application, not of Openfire's: what its components read. */
  readonly ofHost: boolean;
  /** A sentence when the value is weaker than our default; it stands at the head of plan and status. */
  weakens(value: T): string | undefined;
  /** A sentence when a part of the value has no effect here. */
  notes(value: T): readonly string[];
}

/**
 * ```ts
 * const idle = property("xmpp.client.idle", {
 *   schema: milliseconds.min(-1),
 *   default: 360_000,
 *   impact: "live",
 *   doc: "Silence after which a client connection is pinged, then closed. -1 turns this off.",
 * });
 * ```
 * `default: undefined` makes a property that may be unset.
 */
export function property<T, const D extends T | undefined>(
  key: string,
  declaration: {
    schema: TextSchema<T>;
    default: D;
    impact: PropertyImpact;
    doc: string;
    unit?: string;
    aliases?: readonly string[];
    secret?: boolean;
    ofHost?: boolean;
    weakens?: (value: T) => string | undefined;
    notes?: (value: T) => readonly string[];
  },
): Property<D extends undefined ? T | undefined : T> {
  const { schema, weakens, notes } = declaration;
  // A value that was read is a T; only the default may be undefined, and that is never judged or written.
  return {
    key,
    schema,
    default: declaration.default,
    impact: declaration.impact,
    doc: declaration.doc,
    unit: declaration.unit ?? unitOf(schema.type),
    aliases: declaration.aliases ?? [],
    secret: declaration.secret ?? false,
    ofHost: declaration.ofHost ?? false,
    weakens: (value: T) => weakens?.(value),
    notes: (value: T) => notes?.(value) ?? [],
  } as unknown as Property<D extends undefined ? T | undefined : T>;
}

function unitOf(type: TextSchema<unknown>["type"]): string | undefined {
  if (type === "duration-ms") return "milliseconds";
  return type === "duration-s" ? "seconds" : undefined;
}
