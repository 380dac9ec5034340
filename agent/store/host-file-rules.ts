/** YAML's own errors in our words: the library's messages quote the text around them, which may be a password. */
import { type Document, isScalar, visit } from "yaml";

const rules: Readonly<Record<string, { rule: string; hint: string }>> = {
  BAD_ALIAS: { rule: "an alias (*name) needs an anchor (&name) above it", hint: "Quote a value that begins with *." },
  BAD_DQ_ESCAPE: {
    rule: "a backslash in double quotes begins an escape that does not exist",
    hint: "Use single quotes for a value with backslashes.",
  },
  BAD_INDENT: {
    rule: "the indentation does not fit the lines around it",
    hint: "Keys of one item start in one column.",
  },
  BAD_SCALAR_START: {
    rule: "a value may not begin with this character without quotes",
    hint: "Put the value in single quotes.",
  },
  BLOCK_AS_IMPLICIT_KEY: {
    rule: "two keys stand in one line",
    hint: "Put the value in single quotes if it has a colon.",
  },
  DUPLICATE_KEY: { rule: "this key stands twice", hint: "Remove one of the two." },
  MISSING_CHAR: {
    rule: "a quote, bracket, comma or colon is missing here or above",
    hint: "Look at the line for an open quote or bracket.",
  },
  MULTILINE_IMPLICIT_KEY: { rule: "a key goes over several lines", hint: "A colon is missing here or above." },
  MULTIPLE_DOCS: { rule: "text follows the end marker", hint: "The line ... is the last of the file." },
  TAB_AS_INDENT: { rule: "lines are indented by a tab", hint: "Use spaces." },
  TAG_RESOLVE_FAILED: { rule: "a value begins with an exclamation mark", hint: "Put the value in single quotes." },
};

/** What a YAML error code means for a person. */
export function yamlRule(code: string): { rule: string; hint: string } {
  return (
    rules[code] ?? {
      rule: "the line is not YAML",
      hint: "Compare it with the lines around it; values with special characters need quotes.",
    }
  );
}

/** The first key that stands twice in its mapping. */
export function keyTwice(document: Document): { code: "DUPLICATE_KEY"; at: number } | undefined {
  let at: number | undefined;
  visit(document, {
    Map(_key, map) {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(String(key.value))) {
          at = key.range?.[0] ?? 0;
          return visit.BREAK;
        }
        seen.add(String(key.value));
      }
      return undefined;
    },
  });
  return at === undefined ? undefined : { code: "DUPLICATE_KEY", at };
}
