import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { parseDocument } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import { rawXml, serialise, text, type Xml, x } from "../../xml/writer.ts";

/**
 * What both forms of a contact card can say, without the form: per field its entries, each with kinds of use (`work`,
 * `cell`) and parts in the order of the tables below. XEP-0054, XEP-0292 with RFC 6351
 */
export type Card = ReadonlyMap<FieldName, readonly Entry[]>;
export interface Entry {
  readonly uses: readonly string[];
  readonly parts: readonly string[];
}

/** Uses that both forms know, in the order in which they are written. */
const uses = ["home", "work", "voice", "fax", "pager", "cell", "video"];

interface Form {
  /** Elements of this name hold an entry; the first one is written. */
  readonly names: readonly string[];
  /** Elements of the parts; none: the text of the element itself. A last one with a star may come again and again. */
  readonly parts?: readonly string[];
  /** Empty elements that stand in front of the others. */
  readonly mark?: string;
}
interface Field {
  readonly temp: Form;
  readonly four: Form;
}

const fields = {
  fn: { temp: { names: ["FN"] }, four: { names: ["fn"], parts: ["text"] } },
  n: {
    temp: { names: ["N"], parts: ["FAMILY", "GIVEN", "MIDDLE", "PREFIX", "SUFFIX"] },
    four: { names: ["n"], parts: ["surname", "given", "additional", "prefix", "suffix"] },
  },
  nickname: { temp: { names: ["NICKNAME"] }, four: { names: ["nickname"], parts: ["text"] } },
  email: {
    temp: { names: ["EMAIL"], parts: ["USERID"], mark: "INTERNET" },
    four: { names: ["email"], parts: ["text"] },
  },
  tel: { temp: { names: ["TEL"], parts: ["NUMBER"] }, four: { names: ["tel"], parts: ["text|uri"] } },
  org: {
    temp: { names: ["ORG"], parts: ["ORGNAME", "ORGUNIT*"] },
    four: { names: ["org"], parts: ["text", "text*"] },
  },
  title: { temp: { names: ["TITLE"] }, four: { names: ["title"], parts: ["text"] } },
  url: { temp: { names: ["URL"] }, four: { names: ["url"], parts: ["uri"] } },
  bday: { temp: { names: ["BDAY"] }, four: { names: ["bday"], parts: ["date|text"] } },
  // Clients write DESC where they show "about me".
  note: { temp: { names: ["NOTE", "DESC"] }, four: { names: ["note"], parts: ["text"] } },
  adr: {
    temp: { names: ["ADR"], parts: ["POBOX", "EXTADD", "STREET", "LOCALITY", "REGION", "PCODE", "CTRY"] },
    four: { names: ["adr"], parts: ["pobox", "ext", "street", "locality", "region", "code", "country"] },
  },
} as const satisfies Record<string, Field>;
export type FieldName = keyof typeof fields;
const fieldTable: readonly (readonly [FieldName, Field])[] = Object.entries(fields) as [FieldName, Field][];

export type CardForm = "temp" | "four";
const namespaceOf: Record<CardForm, string> = { temp: ns.vcard, four: ns.vcard4 };

/** What is stored was read within the limits in force at the time. */
const stored = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER, elements: Number.MAX_SAFE_INTEGER };
export const parseCard = (payload: Uint8Array): Element => parseDocument(Buffer.from(payload), stored);

/** Reads a `<vCard/>` or `<vcard/>`; what is empty is not there. */
export function readCard(form: CardForm, element: Element): Card {
  const card = new Map<FieldName, Entry[]>();
  for (const [name, field] of fieldTable) {
    const entries = element
      .getChildElements()
      .filter((child) => field[form].names.includes(child.getName()))
      .map((child) => ({ uses: usesOf(form, child), parts: partsOf(field[form], child) }))
      .filter(({ parts }) => parts.some((part) => part !== ""));
    // NOTE and DESC with one text are one entry.
    const distinct = [...new Map(entries.map((entry) => [JSON.stringify(entry), entry])).values()];
    if (distinct.length > 0) card.set(name, distinct);
  }
  return card;
}

function usesOf(form: CardForm, entry: Element): string[] {
  const given =
    form === "temp"
      ? entry.getChildElements().map((child) => child.getName().toLowerCase())
      : (entry.getChild("parameters")?.getChild("type")?.getChildElements() ?? []).map((type) => type.getText().trim());
  return uses.filter((use) => given.includes(use));
}

function partsOf({ parts }: Form, entry: Element): string[] {
  if (parts === undefined) return [entry.getText().trim()];
  const found: string[] = [];
  let texts = 0;
  for (const part of parts) {
    const many = part.endsWith("*");
    const names = part.replace("*", "").split("|");
    const all = entry
      .getChildElements()
      .filter((child) => names.includes(child.getName()))
      .map((child) => child.getText().trim().replace(/^tel:/, ""));
    // ORG of vCard4 says organisation and units in elements of one name.
    const own = parts.filter((each) => each.replace("*", "") === names[0]).length > 1 ? all.slice(texts) : all;
    texts++;
    if (many) found.push(...own);
    else found.push(own[0] ?? "");
  }
  while (found.length > 1 && found.at(-1) === "") found.pop();
  return found;
}

/** A card in one of the forms: the fields of `names` as `card` has them, all else as `own` has it. */
export function writeCard(form: CardForm, own: Element | undefined, card: Card, names: ReadonlySet<FieldName>): Xml {
  const gone = new Set<string>();
  for (const [name, field] of fieldTable) if (names.has(name)) for (const each of field[form].names) gone.add(each);
  const xmlns = namespaceOf[form];
  const present = own?.getChildElements() ?? [];
  const hasOnlyDesc = present.some((child) => child.is("DESC")) && !present.some((child) => child.is("NOTE"));
  const written: Xml[] = [];
  for (const [name, field] of fieldTable) {
    if (!names.has(name)) continue;
    const element = name === "note" && form === "temp" && hasOnlyDesc ? "DESC" : (field[form].names[0] ?? "");
    for (const entry of card.get(name) ?? []) written.push(entryElement(form, element, field[form], entry));
  }
  const kept = present.filter((child) => !gone.has(child.getName())).map((child) => rawXml(serialise(child, xmlns)));
  return x(form === "temp" ? "vCard" : "vcard", { xmlns }, written, kept);
}

function entryElement(form: CardForm, name: string, { parts: names, mark }: Form, { uses: given, parts }: Entry): Xml {
  if (names === undefined) return x(name, {}, text(parts[0] ?? ""));
  const types =
    form === "temp"
      ? [...(mark === undefined ? [] : [x(mark)]), ...given.map((use) => x(use.toUpperCase()))]
      : given.length === 0
        ? []
        : [
            x(
              "parameters",
              {},
              x(
                "type",
                {},
                given.map((use) => x("text", {}, text(use))),
              ),
            ),
          ];
  const isPosition = (wanted: string): boolean => names.filter((each) => each.replace("*", "") === wanted).length > 1;
  const inside = parts.flatMap((part, index) => {
    const wanted = (names[Math.min(index, names.length - 1)] ?? "").replace("*", "");
    return part === "" && !isPosition(wanted) ? [] : [partElement(wanted, part)];
  });
  return x(name, {}, types, inside);
}

function partElement(names: string, part: string): Xml {
  if (names === "text|uri")
    return /^\+?[0-9().-]+$/.test(part) ? x("uri", {}, text(`tel:${part}`)) : x("text", {}, text(part));
  if (names === "date|text") return x(/^[0-9T:Z+-]+$/.test(part) ? "date" : "text", {}, text(part));
  return x(names, {}, text(part));
}

/** The card with the fields of `other` in place of its own. */
export function overlaid(card: Card, other: Card): Card {
  return new Map([...card, ...other]);
}

export function without(card: Card, names: ReadonlySet<FieldName>): Card {
  return new Map([...card].filter(([name]) => !names.has(name)));
}

/** One text for cards that say the same. */
export function canonicalCard(card: Card): string {
  return JSON.stringify(fieldTable.map(([name]) => [name, card.get(name) ?? []]));
}

export const allFields: ReadonlySet<FieldName> = new Set(fieldTable.map(([name]) => name));
