/**
 * A host file that is written plainly, cut into its sections and the items of its lists without parsing it: an edit then
 * costs what it touches, not what the file holds. Any other file is undefined here and taken as one document.
 *
 * Why a piece means by itself what it means in the file: it begins at the column of its section or list, none of its
 * lines stands further left, and whoever reads it alone refuses quotes and brackets that are still open at its end.
 */

export type SectionName = "settings" | "roles" | "users" | "teams";

/** One `- …` of a list, with the blank lines and comments behind it. Offsets count in the file's text. */
export interface ItemText {
  readonly start: number;
  readonly end: number;
  /** Behind its last line that is neither blank nor a comment. */
  readonly contentEnd: number;
  /** Counts from 1. */
  readonly line: number;
}

export interface SectionText extends ItemText {
  readonly name: SectionName;
  /** The column of the list's dashes; 0 if the section is no list of plain items. */
  readonly indent: number;
  readonly items: readonly ItemText[];
}

export interface HostFileParts {
  readonly sections: ReadonlyMap<SectionName, SectionText>;
}

const header = /^(settings|roles|users|teams):(?: .*)?\r?$/;
const bareHeader = /^\w+: *(?: #.*)?\r?$/;
const dash = /^ *-(?: |\r?$)/;
const oddLineBreak = /\r(?!\n)/;
const space = 0x20;

type Growing<T> = { -readonly [K in keyof T]: T[K] };
type GrowingSection = Growing<Omit<SectionText, "items">> & { items: Growing<ItemText>[]; bare: boolean };

/** Cuts a host file; undefined unless it is written plainly. */
export function hostFileParts(text: string): HostFileParts | undefined {
  if (oddLineBreak.test(text)) return undefined;
  const sections = new Map<SectionName, GrowingSection>();
  let section: GrowingSection | undefined;
  let item: Growing<ItemText> | undefined;
  /** A comment left of its item's content stands behind that content or nowhere: it may be text of a scalar. */
  let outside = false;
  for (let start = 0, line = 1, end = 0; start < text.length; start = end, line++) {
    const newline = text.indexOf("\n", start);
    end = newline < 0 ? text.length : newline + 1;
    let at = start;
    while (text.charCodeAt(at) === space) at++;
    const column = at - start;
    const first = text[at];
    const grow = (content: boolean) => {
      for (const part of [section, item]) {
        if (!part) continue;
        part.end = end;
        if (content) part.contentEnd = end;
      }
    };
    if (at >= end || first === "\n" || (first === "\r" && text[at + 1] === "\n")) {
      grow(false);
      continue;
    }
    if (first === "\t") return undefined;
    if (first === "#") {
      if (section && column <= section.indent) outside = section.items.length > 0;
      grow(false);
      continue;
    }
    if (column === 0) {
      const whole = text.slice(start, newline < 0 ? end : newline);
      if (/^\.\.\.\s*$/.test(whole)) return text.slice(end).trim() === "" ? made(sections) : undefined;
      const name = header.exec(whole)?.[1] as SectionName | undefined;
      if (name === undefined || sections.has(name)) return undefined;
      section = { name, start, end, contentEnd: end, line, indent: 0, items: [], bare: bareHeader.test(whole) };
      sections.set(name, section);
      item = undefined;
      outside = false;
      continue;
    }
    if (!section) return undefined;
    if (section.bare && section.name !== "settings") {
      const begins = dash.test(text.slice(start, Math.min(end, at + 3)));
      if (section.indent === 0) {
        if (!begins) return undefined;
        section.indent = column;
      }
      if (column < section.indent || (column === section.indent && !begins)) return undefined;
      if (column === section.indent) {
        item = { start, end, contentEnd: end, line };
        section.items.push(item);
        outside = false;
      }
    }
    if (outside) return undefined;
    grow(true);
  }
  return made(sections);
}

function made(sections: ReadonlyMap<SectionName, GrowingSection>): HostFileParts | undefined {
  return sections.size === 0 ? undefined : { sections };
}
