import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { ns } from "./namespaces.ts";

/** What disco#info tells, as far as the hashes of XEP-0115 and XEP-0390 cover it. */
export interface Capabilities {
  readonly identities: readonly {
    readonly category: string;
    readonly type: string;
    readonly lang?: string;
    readonly name?: string;
  }[];
  readonly features: readonly string[];
  /** Forms with a FORM_TYPE, which is not among the fields. */
  readonly forms?: readonly {
    readonly formType?: string | undefined;
    readonly fields: readonly { readonly name?: string | undefined; readonly values: readonly string[] }[];
  }[];
}

/** What a client answered, and for which of the two hashes it may be used. */
export interface HeardCapabilities extends Capabilities {
  /** Nothing stands twice, so that XEP-0115 §5.4 lets its hash be verified. */
  readonly distinct: boolean;
  /** It holds what XEP-0390 §4.1 hashes and nothing else. */
  readonly strict: boolean;
}

/** The hash functions of XEP-0300 that the runtime has, by their names there. */
const functions = new Map([
  ["sha-1", "sha1"],
  ["sha-256", "sha256"],
  ["sha-512", "sha512"],
  ["sha3-256", "sha3-256"],
  ["sha3-512", "sha3-512"],
  ["blake2b-512", "blake2b512"],
]);

const byOctets = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));
const sorted = (texts: readonly string[]): string[] => [...texts].sort(byOctets);

/** The verification string of XEP-0115 §5.1 in base64; undefined: no such hash function here. */
export function capabilitiesHash(told: Capabilities, algorithm = "sha-1"): string | undefined {
  return hashed(algorithm, `${pieces(told).join("<")}<`);
}

function pieces({ identities, features, forms = [] }: Capabilities): string[] {
  const ofForms = forms
    .map(({ formType = "", fields }) => [
      formType,
      ...fields
        .map(({ name = "", values }) => [name, ...sorted(values)])
        .sort(([one = ""], [other = ""]) => byOctets(one, other))
        .flat(),
    ])
    .sort(([one = ""], [other = ""]) => byOctets(one, other));
  return [...identityPieces(identities), ...sorted(features), ...ofForms.flat()];
}

function identityPieces(identities: Capabilities["identities"]): string[] {
  return sorted(identities.map(({ category, type, lang, name }) => `${category}/${type}/${lang ?? ""}/${name ?? ""}`));
}

/**
 * Whether the string that XEP-0115 hashes can be read in one way only as far as `<node>+notify` goes: it has no
 * separators of its own, so an identity or a form can be made to read like features and the other way round.
 */
export function readsOneWay(told: Capabilities): boolean {
  const others = pieces({ ...told, features: [] });
  return (
    others.every((piece) => !piece.includes("<") && !piece.endsWith("+notify")) &&
    told.features.every((feature) => !feature.includes("<"))
  );
}

const ended = (texts: readonly string[], by: string): string => texts.map((each) => each + by).join("");

/** The capability hash of XEP-0390 §4.1 in base64; undefined: no such hash function here. */
export function capabilitiesHash2(told: Capabilities, algorithm = "sha-256"): string | undefined {
  const features = ended(sorted(told.features.map((feature) => `${feature}\x1f`)), "");
  const identities = told.identities.map(
    ({ category, type, lang, name }) => `${ended([category, type, lang ?? "", name ?? ""], "\x1f")}\x1e`,
  );
  const forms = (told.forms ?? []).map(({ formType, fields }) => {
    const all = [{ name: "FORM_TYPE", values: formType === undefined ? [] : [formType] }, ...fields];
    const each = all.map(({ name = "", values }) => {
      const inOrder = sorted(values.map((value) => `${value}\x1f`));
      return `${name}\x1f${inOrder.join("")}\x1e`;
    });
    return `${sorted(each).join("")}\x1d`;
  });
  return hashed(algorithm, `${features}\x1c${sorted(identities).join("")}\x1c${sorted(forms).join("")}\x1c`);
}

function hashed(algorithm: string, text: string): string | undefined {
  const name = functions.get(algorithm);
  return name === undefined ? undefined : createHash(name).update(text).digest("base64");
}

/** Whether hashes by this function can be verified here. */
export function isKnownHash(algorithm: string): boolean {
  return functions.has(algorithm);
}

const attribute = (element: Element, name: string): string => {
  const value: unknown = element.attrs[name];
  return typeof value === "string" ? value : "";
};

/** Reads a `<query xmlns="http://jabber.org/protocol/disco#info"/>`. */
export function parseCapabilities(query: Element): HeardCapabilities {
  const children = query.getChildElements();
  const around = attribute(query, "xml:lang") || (query.parent === null ? "" : attribute(query.parent, "xml:lang"));
  const identities = query.getChildren("identity", ns.discoInfo).map((each) => ({
    category: attribute(each, "category"),
    type: attribute(each, "type"),
    lang: attribute(each, "xml:lang") || around,
    name: attribute(each, "name"),
  }));
  const features = query.getChildren("feature", ns.discoInfo).map((each) => attribute(each, "var"));
  const found = query.getChildren("x", ns.dataForms).map(formOf);
  const forms = found.filter(({ hidden }) => hidden);
  const known = identities.length + features.length + found.length === children.length;
  const types = forms.map(({ formType }) => formType);
  return {
    ...{ identities, features, forms },
    distinct:
      distinct(identityPieces(identities)) &&
      distinct(features) &&
      distinct(types) &&
      found.every(({ oneType }) => oneType),
    strict: known && found.every(({ hidden, oneType, table }) => hidden && oneType && !table),
  };
}

const distinct = (texts: readonly string[]): boolean => new Set(texts).size === texts.length;

function formOf(form: Element) {
  const fields = form.getChildren("field", ns.dataForms).map((field) => ({
    name: attribute(field, "var"),
    type: attribute(field, "type"),
    values: field.getChildren("value", ns.dataForms).map((value) => value.getText()),
  }));
  const types = fields.filter(({ name }) => name === "FORM_TYPE");
  return {
    formType: types[0]?.values[0] ?? "",
    /** XEP-0115 §5.4: a form whose FORM_TYPE is not hidden is passed over. */
    hidden: types[0]?.type === "hidden" && types[0].values.length > 0,
    oneType: types.length <= 1 && new Set(types[0]?.values).size <= 1,
    table: ["reported", "item"].some((name) => form.getChild(name, ns.dataForms) !== undefined),
    fields: fields.filter(({ name }) => name !== "FORM_TYPE"),
  };
}
