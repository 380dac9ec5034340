import { bidi, bidiOf, classes, classOf, isVirama, joining, joiningOf, script, scriptOf } from "./code-points.ts";
import { lookup } from "./lookup.ts";

/** Why a text cannot be part of an address, as the end of a sentence. */
export interface Problem {
  readonly problem: string;
}

export function isProblem(value: string | Problem): value is Problem {
  return typeof value !== "string";
}

const refuse = (problem: string): Problem => ({ problem });

/**
 * The UsernameCaseMapped profile (RFC 8265 §3.3): width mapping, lower case, NFC, the identifier class and the Bidi
 * rule. Gives the prepared text or what is wrong with it.
 */
export function usernameCaseMapped(text: string): string | Problem {
  if (/\p{Cs}/u.test(text)) return refuse("it holds half of a character");
  const mapped = lowerCase(mapWidth(text)).normalize("NFC");
  return check(mapped, false) ?? checkDirection(mapped) ?? mapped;
}

/** The OpaqueString profile (RFC 8265 §4.2): other spaces become U+0020, NFC, the freeform class. */
export function opaqueString(text: string): string | Problem {
  if (/\p{Cs}/u.test(text)) return refuse("it holds half of a character");
  const mapped = text.replace(/\p{Zs}/gu, " ").normalize("NFC");
  return check(mapped, true) ?? mapped;
}

/** One label of a domain with characters beyond ASCII, mapped as RFC 5895 §2 does and checked; direction apart. */
export function domainLabel(text: string): string | Problem {
  if (/\p{Cs}/u.test(text)) return refuse("it holds half of a character");
  const mapped = lowerCase(mapWidth(text)).normalize("NFC");
  return check(mapped, false) ?? mapped;
}

/** Fullwidth and halfwidth forms; the block holds nothing whose compatibility form is anything else. */
function mapWidth(text: string): string {
  return text.replace(/[\u3000\uFF01-\uFFEE]/g, (character) => character.normalize("NFKC"));
}

/** Each character by itself: with the rule for a sigma at the end of a word, equal names would depend on neighbours. */
function lowerCase(text: string): string {
  let out = "";
  for (const character of text) out += character.toLowerCase();
  return out;
}

function check(text: string, freeformAllowed: boolean): Problem | undefined {
  const points = Array.from(text, (character) => character.codePointAt(0) as number);
  for (const [index, point] of points.entries()) {
    const cls = classOf(lookup(point));
    if (cls === classes.valid || (cls === classes.freeform && freeformAllowed)) continue;
    if (cls === classes.contextual && contextAllows(points, index)) continue;
    return refuse(`the character ${named(point)} is not allowed there`);
  }
  return undefined;
}

function named(point: number): string {
  return `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

/** The contextual rules of RFC 5892 appendix A. */
function contextAllows(points: readonly number[], index: number): boolean {
  const before = points[index - 1];
  const after = points[index + 1];
  const point = points[index] as number;
  const writtenIn = (at: number | undefined) => (at === undefined ? script.other : scriptOf(lookup(at)));
  switch (point) {
    case 0x200c:
      return (before !== undefined && isVirama(lookup(before))) || joinsAround(points, index);
    case 0x200d:
      return before !== undefined && isVirama(lookup(before));
    case 0xb7:
      return before === 0x6c && after === 0x6c;
    case 0x375:
      return writtenIn(after) === script.greek;
    case 0x5f3:
    case 0x5f4:
      return writtenIn(before) === script.hebrew;
    case 0x30fb:
      return points.some((at) => at !== point && writtenIn(at) >= script.hiragana);
    default:
      // The two sets of Arabic digits do not mix.
      return point < 0x6f0
        ? !points.some((at) => at >= 0x6f0 && at <= 0x6f9)
        : !points.some((at) => at >= 0x660 && at <= 0x669);
  }
}

/** RFC 5892 §A.1: the joiner's neighbours, transparent marks aside, join across it. */
function joinsAround(points: readonly number[], index: number): boolean {
  const beyond = (step: number) => {
    let at = index + step;
    while (at >= 0 && at < points.length && joiningOf(lookup(points[at] as number)) === joining.transparent) at += step;
    const found = points[at];
    return found === undefined ? joining.none : joiningOf(lookup(found));
  };
  const left = beyond(-1);
  const right = beyond(1);
  return (left === joining.left || left === joining.dual) && (right === joining.right || right === joining.dual);
}

/** Whether a text holds characters written from right to left, so that the Bidi rule applies to it. */
export function isRightToLeft(text: string): boolean {
  for (const character of text) {
    const cls = bidiOf(lookup(character.codePointAt(0) as number));
    if (cls === bidi.r || cls === bidi.al || cls === bidi.an) return true;
  }
  return false;
}

function checkDirection(text: string): Problem | undefined {
  return isRightToLeft(text) ? checkBidiRule(text) : undefined;
}

const neutral: readonly number[] = [bidi.es, bidi.cs, bidi.et, bidi.on, bidi.bn, bidi.nsm];
const rightToLeft: readonly number[] = [bidi.r, bidi.al, bidi.an, bidi.en, ...neutral];
const leftToRight: readonly number[] = [bidi.l, bidi.en, ...neutral];

/** The six conditions of RFC 5893 §2. */
export function checkBidiRule(text: string): Problem | undefined {
  const kinds = Array.from(text, (character) => bidiOf(lookup(character.codePointAt(0) as number)));
  const mixed = refuse("it mixes writing directions in a way that cannot be read safely");
  const first = kinds[0];
  const ends = kinds.filter((kind) => kind !== bidi.nsm).at(-1);
  if (first === bidi.l)
    return kinds.every((kind) => leftToRight.includes(kind)) && (ends === bidi.l || ends === bidi.en)
      ? undefined
      : mixed;
  if (first !== bidi.r && first !== bidi.al) return mixed;
  const endsWell = ends === bidi.r || ends === bidi.al || ends === bidi.en || ends === bidi.an;
  const digitsMixed = kinds.includes(bidi.en) && kinds.includes(bidi.an);
  return kinds.every((kind) => rightToLeft.includes(kind)) && endsWell && !digitsMixed ? undefined : mixed;
}
