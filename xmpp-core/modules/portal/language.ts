/** The languages of pages for people. */
export const languages = ["en", "fr", "de"] as const;
export type Language = (typeof languages)[number];

/** One text in every language; the compiler misses the one that is not there. */
export type Text = Readonly<Record<Language, string>>;

/** The languages by their own names. */
export const languageNames: Text = { en: "English", fr: "Français", de: "Deutsch" };

/** What no browser sends is not read. */
const longestHeader = 512;

/** What a person asks for by `?lang=`, else what the browser prefers (RFC 9110 §12.5.4), else English. */
export function languageOf(asked: string | null, accepted: string | undefined): Language {
  const chosen = languages.find((one) => one === asked);
  if (chosen !== undefined) return chosen;
  let best: Language = "en";
  let weight = 0;
  for (const part of (accepted ?? "").slice(0, longestHeader).split(",")) {
    const [, tag, quality = "1"] =
      /^\s*([a-zA-Z]{1,8})(?:-[a-zA-Z0-9-]*)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*$/.exec(part) ?? [];
    const known = languages.find((one) => one === tag?.toLowerCase());
    if (known !== undefined && Number(quality) > weight) [best, weight] = [known, Number(quality)];
  }
  return best;
}

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
