/** The languages of what people read in a browser. */
export const languages = ["en", "fr", "de"] as const;
export type Language = (typeof languages)[number];

/** One text in every language; the compiler misses the one that is not there. */
export type Text = Readonly<Record<Language, string>>;

/** The languages by their own names. */
export const languageNames: Text = { en: "English", fr: "Français", de: "Deutsch" };

/** What no browser sends is not read. */
const longestHeader = 512;
const preference = /^\s*(\*|[a-zA-Z]{1,8}(?=[\s;-]|$))(?:-[a-zA-Z0-9-]*)?\s*(?:;\s*[qQ]=([01](?:\.\d{0,3})?))?\s*$/;

/**
 * What a person asks for by `?lang=`, else what the browser prefers, else English.
 * @param accepted an Accept-Language header, RFC 9110 §12.5.4
 */
export function languageOf(asked: string | null, accepted: string | undefined): Language {
  const chosen = languages.find((one) => one === asked);
  if (chosen !== undefined) return chosen;
  let best: Language = "en";
  let weight = 0;
  for (const part of (accepted ?? "").slice(0, longestHeader).split(",")) {
    const [, tag = "", quality = "1"] = preference.exec(part) ?? [];
    // Who takes any language gets the one of those who say none.
    const known = tag === "*" ? "en" : languages.find((one) => one === tag.toLowerCase());
    if (known !== undefined && Number(quality) > weight) [best, weight] = [known, Number(quality)];
  }
  return best;
}
