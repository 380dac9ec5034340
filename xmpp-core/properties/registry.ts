/** The server's properties as it runs: read by declaration, followed by declaration, changed as a whole. docs/architecture.md */
import { CodedError } from "../errors.ts";
import { catalogueEntries, catalogueEntry, nearestKey, secretByName, standingOf } from "./catalogue.ts";
import type { Property, PropertyImpact } from "./property.ts";
import { readText } from "./text-schema.ts";

/** The server's answer to one wanted value. `notes` are sentences for plan and status. */
export type Canonical =
  | {
      readonly is: "value";
      readonly text: string;
      readonly impact: PropertyImpact;
      readonly effect: "honoured" | "none" | "later" | "unknown";
      readonly notes: readonly string[];
      readonly weakens?: string;
      readonly secret: boolean;
    }
  | {
      readonly is: "rejected";
      readonly code: string;
      readonly rule: string;
      readonly hint: string;
      readonly secret: boolean;
    };

/** One property as console, `/system/properties` and docs show it. The value of a secret is left out. */
export interface Description {
  readonly key: string;
  readonly effect: "honoured" | "none" | "later" | "unknown";
  readonly type: string;
  readonly secret: boolean;
  /** Text in force; undefined when unset or secret. */
  readonly value: string | undefined;
  /** Whether a value is stored for it. */
  readonly stored: boolean;
  readonly default: string | undefined;
  readonly openfireDefault: string | undefined;
  readonly impact: PropertyImpact | undefined;
  readonly unit: string | undefined;
  readonly doc: string | undefined;
  readonly rule: string | undefined;
  readonly options: readonly string[] | undefined;
  readonly notes: readonly string[];
  readonly weakens: string | undefined;
  /** Set when a stored value cannot be read; the default is in force. */
  readonly unreadable: { readonly rule: string; readonly hint: string } | undefined;
}

export interface Registry {
  get<T>(property: Property<T>): T;
  /** Called after each `set` that changes the value; returns what ends it. */
  watch<T>(property: Property<T>, changed: (value: T, before: T) => void): () => void;
  /**
   * Changes several keys at once: all or, when one value is refused (`property/value`, `property/reserved`), none. `null` removes a key and never
   * the keys below it. Every watcher runs even when another throws; the failures are thrown together.
   */
  set(changes: ReadonlyMap<string, string | null>): void;
  canonical(key: string, text: string): Canonical;
  describe(): Description[];
  /** The text that is stored for each key, as it was given. */
  stored(): ReadonlyMap<string, string>;
}

type AnyProperty = Property<unknown>;

/**
 * @param declared every declaration of the parts that run; a key twice, or one that is neither Openfire's nor `firekeeper.` or `plugin.`, throws
 * @param values stored texts by key; one that cannot be read leaves the default in force and is named in `describe`
 */
export function openProperties(declared: readonly AnyProperty[], values: ReadonlyMap<string, string>): Registry {
  const known = indexOf(declared);
  let texts = new Map(values);
  let current = evaluate(declared, texts);
  const watchers = new Map<AnyProperty, Set<(value: never, before: never) => void>>();

  const stateOf = (property: AnyProperty): State => {
    const state = current.get(property);
    if (!state) throw new CodedError("property/undeclared", `${property.key} is used but not among the declarations.`);
    return state;
  };

  const canonical = (key: string, text: string): Canonical => {
    const found = known.find(key);
    return found ? declaredForm(found, key, text) : catalogueForm(key, text, known.keys);
  };

  return {
    get: <T>(property: Property<T>) => stateOf(property as AnyProperty).value as T,
    watch(property, changed) {
      stateOf(property as AnyProperty);
      const list = watchers.get(property as AnyProperty) ?? new Set();
      watchers.set(property as AnyProperty, list.add(changed));
      return () => list.delete(changed);
    },
    set(changes) {
      const next = new Map(texts);
      for (const [key, text] of changes) {
        if (text === null) next.delete(key);
        else next.set(key, acceptable(key, text, canonical(key, text)));
      }
      const before = current;
      texts = next;
      current = evaluate(declared, texts);
      const failures: unknown[] = [];
      for (const [property, list] of [...watchers]) {
        const [was, is] = [before.get(property), current.get(property)];
        if (!was || !is || was.text === is.text) continue;
        for (const changed of [...list]) {
          try {
            changed(is.value as never, was.value as never);
          } catch (error) {
            failures.push(error);
          }
        }
      }
      if (failures.length > 0) throw new AggregateError(failures, "Properties changed, but not everything followed.");
    },
    canonical,
    stored: () => texts,
    describe: () => describeAll(declared, current, texts),
  };
}

function acceptable(key: string, text: string, answer: Canonical): string {
  if (answer.is === "value") return answer.text;
  throw new CodedError(answer.code, `${key} must be ${answer.rule}.`, {
    fields: { key, rule: answer.rule, ...(answer.secret ? {} : { value: text }) },
    hint: answer.hint,
  });
}

// ---------------------------------------------------------------- declarations

interface Found {
  readonly property: AnyProperty;
  readonly as: "itself" | "alias" | "row";
}

function indexOf(declared: readonly AnyProperty[]): { find(key: string): Found | undefined; keys: Iterable<string> } {
  const byKey = new Map<string, Found>();
  const add = (key: string, found: Found) => {
    if (byKey.has(key)) throw new CodedError("property/declared-twice", `${key} is declared twice.`);
    const standing = standingOf(key);
    if (standing.is === "reserved") throw new CodedError("property/reserved", `${key} is set by ${standing.by} only.`);
    if (standing.is === "unknown" && !found.property.ofHost && !/^(?:firekeeper|plugin)\./.test(key)) {
      throw new CodedError("property/unknown-name", `${key} is no property of Openfire.`, {
        hint: "Our own properties start with firekeeper.",
      });
    }
    byKey.set(key, found);
  };
  for (const property of declared) {
    add(property.key, { property, as: "itself" });
    for (const alias of property.aliases) add(alias, { property, as: "alias" });
  }
  return {
    keys: byKey.keys(),
    find(key) {
      const found = byKey.get(key);
      if (found) return found;
      const parent = byKey.get(listOfRow(key) ?? "");
      return parent?.property.schema.list ? { property: parent.property, as: "row" } : undefined;
    },
  };
}

/** Openfire's old lists: one child row an item, `key.00001`. */
function listOfRow(key: string): string | undefined {
  return /^(.+)\.[0-9]{1,5}$/.exec(key)?.[1];
}

// ---------------------------------------------------------------- values

interface State {
  readonly value: unknown;
  /** Canonical text of the value in force, undefined when unset. */
  readonly text: string | undefined;
  readonly stored: boolean;
  readonly unreadable: string | undefined;
}

function evaluate(
  declared: readonly AnyProperty[],
  texts: ReadonlyMap<string, string>,
): ReadonlyMap<AnyProperty, State> {
  const rows = rowsOf(texts);
  const states = new Map<AnyProperty, State>();
  for (const property of declared) {
    const given = storedText(property, texts, rows);
    const read = given === undefined ? undefined : readText(property.schema, given);
    const value = read ? read.value : property.default;
    states.set(property, {
      value,
      text: value === undefined ? undefined : property.schema.write(value),
      stored: given !== undefined,
      unreadable: given !== undefined && !read ? given : undefined,
    });
  }
  return states;
}

/** Child rows by their list's key, in the order of their numbers. */
function rowsOf(texts: ReadonlyMap<string, string>): ReadonlyMap<string, string[]> {
  const rows = new Map<string, string[]>();
  for (const key of [...texts.keys()].sort()) {
    const parent = listOfRow(key);
    if (parent !== undefined) rows.set(parent, [...(rows.get(parent) ?? []), texts.get(key) ?? ""]);
  }
  return rows;
}

/** Where a list has child rows they win, as in Openfire; an old name counts only without the real one. */
function storedText(
  property: AnyProperty,
  texts: ReadonlyMap<string, string>,
  rows: ReadonlyMap<string, readonly string[]>,
): string | undefined {
  for (const key of [property.key, ...property.aliases]) {
    const children = property.schema.list ? rows.get(key) : undefined;
    const text = children ? children.join(",") : texts.get(key);
    if (text !== undefined) return text;
  }
  return undefined;
}

// ---------------------------------------------------------------- canonical

function declaredForm({ property, as }: Found, key: string, text: string): Canonical {
  const secret = property.secret || secretByName(key, property.schema.type);
  const read = readText(property.schema, text);
  if (!read) {
    return {
      is: "rejected",
      code: "property/value",
      rule: property.schema.rule,
      hint: secret ? "The value is secret and not shown." : property.schema.hint(text),
      secret,
    };
  }
  const weakens = property.weakens(read.value);
  const notes = [...property.notes(read.value)];
  if (as === "alias") notes.push(`${key} is an old name of ${property.key}, which wins when both are set.`);
  if (as === "row")
    notes.push(
      `${key} is one item of the list ${property.key}; while such rows exist, ${property.key} itself is not read.`,
    );
  return {
    is: "value",
    text: property.schema.write(read.value),
    impact: property.impact,
    effect: "honoured",
    notes,
    ...(weakens === undefined ? {} : { weakens }),
    secret,
  };
}

function catalogueForm(key: string, text: string, declared: Iterable<string>): Canonical {
  const standing = standingOf(key);
  if (standing.is === "reserved") {
    return {
      is: "rejected",
      code: "property/reserved",
      rule: `set by ${standing.by} and not as a property`,
      hint: `Set ${standing.by} instead.`,
      secret: false,
    };
  }
  const stored = { is: "value", text, impact: "live" } as const;
  if (standing.is === "none") {
    return { ...stored, effect: "none", notes: [standing.reason], secret: standing.entry.secret };
  }
  if (standing.is === "later") {
    return {
      ...stored,
      effect: "later",
      notes: ["Not yet honoured: stored and passed on."],
      secret: standing.entry.secret,
    };
  }
  const meant = nearestKey(key, declared);
  return {
    ...stored,
    effect: "unknown",
    notes: meant === undefined ? [] : [`Perhaps ${meant} was meant.`],
    secret: secretByName(key),
  };
}

// ---------------------------------------------------------------- description

function describeAll(
  declared: readonly AnyProperty[],
  states: ReadonlyMap<AnyProperty, State>,
  texts: ReadonlyMap<string, string>,
): Description[] {
  const all = declared.map((property) => describeDeclared(property, states.get(property)));
  const done = new Set(declared.flatMap((property) => [property.key, ...property.aliases]));
  const others = [
    ...texts.keys(),
    ...catalogueEntries()
      .filter((entry) => !entry.pattern)
      .map((entry) => entry.key),
  ];
  for (const key of others) {
    const row = declared.some((property) => property.schema.list && property.key === listOfRow(key));
    if (done.has(key) || row) continue;
    done.add(key);
    all.push(describeOther(key, texts.get(key)));
  }
  return all.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** A declaration without a running server; `state` adds what is in force. */
export function describeDeclared(property: AnyProperty, state?: State): Description {
  const { schema } = property;
  const secret = property.secret || secretByName(property.key, schema.type);
  const fallback = property.default === undefined ? undefined : schema.write(property.default);
  const inForce = state?.stored && state.unreadable === undefined;
  return {
    key: property.key,
    effect: "honoured",
    type: schema.type,
    secret,
    value: secret ? undefined : state ? state.text : fallback,
    stored: state?.stored ?? false,
    default: secret ? undefined : fallback,
    openfireDefault: openfireDefault(property),
    impact: property.impact,
    unit: property.unit,
    doc: property.doc,
    rule: schema.rule,
    options: schema.options,
    notes: inForce ? property.notes(state.value) : [],
    weakens: inForce ? property.weakens(state.value) : undefined,
    unreadable:
      state?.unreadable === undefined
        ? undefined
        : { rule: schema.rule, hint: secret ? "The value is secret and not shown." : schema.hint(state.unreadable) },
  };
}

/** Openfire's default in our canonical text, where it can be read by our schema. */
function openfireDefault(property: AnyProperty): string | undefined {
  const text = catalogueEntry(property.key)?.default;
  if (text === undefined) return undefined;
  const read = readText(property.schema, text);
  return read ? property.schema.write(read.value) : text;
}

function describeOther(key: string, text: string | undefined): Description {
  const standing = standingOf(key);
  const entry = catalogueEntry(key);
  const secret = entry ? entry.secret : secretByName(key);
  const notes = standing.is === "none" ? [standing.reason] : [];
  return {
    key,
    effect: standing.is === "reserved" ? "none" : standing.is,
    type: entry?.type ?? "text",
    secret,
    value: secret ? undefined : text,
    stored: text !== undefined,
    default: secret ? undefined : entry?.default,
    openfireDefault: secret ? undefined : entry?.default,
    impact: undefined,
    unit: undefined,
    doc: undefined,
    rule: undefined,
    options: undefined,
    notes: standing.is === "reserved" ? [`Set by ${standing.by}.`] : notes,
    weakens: undefined,
    unreadable: undefined,
  };
}
