/** What `.properties` and dotenv files have in common: a last comment line without which a cut file cannot be told from a whole one. */
import { type Place, StoreError } from "./host-store.ts";

export const endMarker = "# end";

export function isEndMarker(line: string): boolean {
  return line.trimEnd() === endMarker;
}

/** Whether the last line is the end marker: without it the file may be cut anywhere. */
export function hasEndMarker(text: string): boolean {
  return /(^|[\r\n])[ \t\f]*# end\s*$/.test(text);
}

/** Whether a line that is no longer the last one is the end marker: something was added behind it. */
export function hasEndMarkerInside(text: string): boolean {
  return /(^|[\r\n])[ \t\f]*# end[ \t\f]*[\r\n]/.test(text);
}

/** A marker in the middle would make a cut right behind it look whole. */
export function refuseAfterEnd(place: Place, marker: number): StoreError {
  return new StoreError("store/after-end", `something follows the end marker of line ${marker}.`, {
    place,
    rule: `${endMarker} is the last line`,
    hint: `Move the line ${endMarker} to the end of the file.`,
  });
}
