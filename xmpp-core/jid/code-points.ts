/** What the address rules must know of a code point, packed into one number per run of the table. */
export const classes = { disallowed: 0, valid: 1, freeform: 2, contextual: 3 } as const;

/** Bidi classes that RFC 5893 names; all others count as "not allowed where the rule applies". */
export const bidiClasses = [
  "Left_To_Right",
  "Right_To_Left",
  "Arabic_Letter",
  "European_Number",
  "Arabic_Number",
  "European_Separator",
  "Common_Separator",
  "European_Terminator",
  "Other_Neutral",
  "Boundary_Neutral",
  "Nonspacing_Mark",
] as const;
export const bidi = { other: 0, l: 1, r: 2, al: 3, en: 4, an: 5, es: 6, cs: 7, et: 8, on: 9, bn: 10, nsm: 11 } as const;

export const joiningTypes = ["Left_Joining", "Right_Joining", "Dual_Joining", "Transparent"] as const;
export const joining = { none: 0, left: 1, right: 2, dual: 3, transparent: 4 } as const;

export const scripts = ["Greek", "Hebrew", "Hiragana", "Katakana", "Han"] as const;
export const script = { other: 0, greek: 1, hebrew: 2, hiragana: 3, katakana: 4, han: 5 } as const;

export function pack(cls: number, bidiClass: number, joins: number, writtenIn: number, virama: boolean): number {
  return cls | (bidiClass << 2) | (joins << 6) | (writtenIn << 9) | (virama ? 1 << 12 : 0);
}

export const classOf = (packed: number): number => packed & 3;
export const bidiOf = (packed: number): number => (packed >> 2) & 15;
export const joiningOf = (packed: number): number => (packed >> 6) & 7;
export const scriptOf = (packed: number): number => (packed >> 9) & 7;
export const isVirama = (packed: number): boolean => packed >> 12 === 1;
