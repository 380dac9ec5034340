/** What Openfire's own properties are, from its sources: openfire.json. One place for the names that mean something here. */
import openfire from "./openfire.json" with { type: "json" };

export type Fact = {
  readonly type: string;
  readonly default?: unknown;
  /** A change is taken at the next start of Openfire or of its listener. */
  readonly restart?: boolean;
  /** Openfire's liveness check tells whether a change of it waits for a restart. */
  readonly declared?: boolean;
  readonly secret?: boolean;
  /** Read from this file; a value in the database is not. */
  readonly file?: string;
  readonly min?: number;
  readonly max?: number;
  readonly allowed?: readonly string[];
  readonly note?: string;
};

const facts = new Map<string, Fact>(Object.entries(openfire.properties as Record<string, Fact>));
const copiedAtStart = new Set(openfire.copiedAtStart);

/** Properties with a part to play. */
export const names = openfire.names;

export function factOf(key: string): Fact | undefined {
  return facts.get(key);
}

/** Openfire hides these in its console; we do in plan, journal and log. */
export function isSecret(key: string): boolean {
  return facts.get(key)?.secret === true || /passwd|password|cookiekey|secret/i.test(key);
}

/** Whether a change waits for a restart of Openfire, also where its own declaration says otherwise. */
export function needsRestart(key: string): boolean {
  return facts.get(key)?.restart === true || copiedAtStart.has(key);
}

/** The text that Openfire lists while nothing is stored; undefined where it lists nothing. */
export function defaultText(key: string): string | undefined {
  const value = facts.get(key)?.default;
  if (value === undefined || value === null) return undefined;
  return Array.isArray(value) ? value.join(",") : String(value);
}

/** A value as Openfire writes it back, or the rule it breaks. */
export function canonicalText(key: string, given: string): { text: string } | { rule: string } {
  const fact = facts.get(key);
  if (given.length > 4000) return { rule: "at most 4,000 characters, since Openfire's table has no room for more" };
  if (!fact) return { text: given };
  const text = given.trim();
  if (fact.allowed) {
    const found = fact.allowed.find((one) => one.toLowerCase() === text.toLowerCase());
    return found === undefined ? { rule: `one of ${fact.allowed.join(", ")}` } : { text: found };
  }
  if (fact.type === "boolean") {
    const lower = text.toLowerCase();
    return lower === "true" || lower === "false" ? { text: lower } : { rule: "true or false" };
  }
  if (fact.type === "int" || fact.type === "long" || fact.type.startsWith("duration-")) {
    if (!/^[+-]?\d{1,18}$/.test(text)) return { rule: "a whole number" };
    const number = Number(text);
    const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = fact;
    if (number < min || number > max) return { rule: bounds(fact) };
    return { text: String(number) };
  }
  if (fact.type.startsWith("list<")) return { text: listOf(text).join(",") };
  return { text: given };
}

function bounds({ min, max }: Fact): string {
  const low = min === undefined ? "" : `${min} or more`;
  const high = max === undefined ? "" : `${max} or less`;
  return `${[low, high].filter(Boolean).join(", and ")}: Openfire ignores any other value and takes its default`;
}

/** Items of a list as Openfire stores one. */
export function listOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}
