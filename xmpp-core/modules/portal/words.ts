import type { Language } from "../../formats/language.ts";
import { typeset } from "./language.ts";
import type { Words } from "./wording.ts";
import { german } from "./words-de.ts";
import { english } from "./words-en.ts";
import { french } from "./words-fr.ts";

/** Every text of a language, set as it is there. */
function set<T>(value: T, language: Language): T {
  if (typeof value === "string") return typeset(value, language) as T;
  if (Array.isArray(value)) return value.map((each) => set<unknown>(each, language)) as T;
  const entries = Object.entries(value as object).map(([key, each]) => [key, set<unknown>(each, language)]);
  return Object.fromEntries(entries) as T;
}

export const words: Readonly<Record<Language, Words>> = { en: english, fr: set(french, "fr"), de: german };

/** `5 MB` in the spelling of the language; powers of 1000, as file managers count. */
export function sizeText(bytes: number, language: Language): string {
  const units = language === "fr" ? ["o", "ko", "Mo", "Go", "To"] : ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  const rounded = value.toLocaleString(language, { maximumFractionDigits: value < 10 ? 1 : 0 });
  return `${rounded} ${units[unit]}`;
}

export function dateText(iso: string, language: Language): string {
  return new Date(iso).toLocaleDateString(language === "en" ? "en-GB" : language, {
    dateStyle: "long",
    timeZone: "UTC",
  });
}
