import { confusables } from "./confusables.ts";

const targets = new Map<number, string>();
for (const group of confusables.split(" ")) {
  const [target = "", ...distances] = group.split(".");
  const text = target
    .split("+")
    .map((point) => String.fromCodePoint(Number.parseInt(point, 36)))
    .join("");
  let source = 0;
  for (const distance of distances) {
    source += Number.parseInt(distance, 36);
    targets.set(source, text);
  }
}

/**
 * What a prepared localpart looks like: two names that can be taken for each other have the same. Unicode TS 39 §4, and
 * capitals count as small letters. `skeleton("раураl")` (Cyrillic but for the last) is `skeleton("paypal")`.
 */
export function skeleton(name: string): string {
  let out = "";
  for (const char of name.normalize("NFD")) out += targets.get(char.codePointAt(0) as number) ?? char;
  // Targets are capitals sometimes (0 looks like O), and those look like others again.
  return out.toLowerCase().replaceAll("i\u0307", "i").normalize("NFD");
}
