import type { Language } from "../../formats/language.ts";

/** Fills `{name}` from `values`; a name without a value is a mistake of ours. */
export function filled(template: string, values: Readonly<Record<string, string | number>>): string {
  return template.replaceAll(/\{([a-zA-Z]+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new TypeError(`the text has no value for ${name}`);
    return String(value);
  });
}

/** French sets a space before some marks and inside its quotes; none of them begins or ends a line. */
export function typeset(text: string, language: Language): string {
  return language === "fr" ? text.replaceAll(/ (?=[:;?!»])|(?<=«) /g, "\u00a0") : text;
}
