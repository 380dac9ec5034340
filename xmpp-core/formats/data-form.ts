import type { Element } from "ltx";
import { text, type Xml, x } from "../xml/writer.ts";
import { ns } from "./namespaces.ts";

/** Field types of XEP-0004 §3.3. */
export const fieldTypes = [
  "boolean",
  "fixed",
  "hidden",
  "jid-multi",
  "jid-single",
  "list-multi",
  "list-single",
  "text-multi",
  "text-private",
  "text-single",
] as const;
export type FieldType = (typeof fieldTypes)[number];

export interface FieldOption {
  readonly label?: string | undefined;
  readonly value: string;
}

/** One field; a field with one value has a list of one. */
export interface Field {
  /** Absent only for type "fixed". */
  readonly name?: string | undefined;
  readonly type?: FieldType | undefined;
  readonly label?: string | undefined;
  readonly description?: string | undefined;
  readonly required?: boolean | undefined;
  readonly values: readonly string[];
  readonly options?: readonly FieldOption[] | undefined;
  /** Values beside the options are welcome. XEP-0122 §3.2.2 */
  readonly open?: boolean | undefined;
}

export type FormType = "form" | "submit" | "cancel" | "result";

/** A data form (XEP-0004). `formType` is the value of FORM_TYPE (XEP-0068), which is not among the fields. */
export interface DataForm {
  readonly type: FormType;
  readonly formType?: string | undefined;
  readonly title?: string | undefined;
  readonly instructions?: string | undefined;
  readonly fields: readonly Field[];
  /** Columns and rows of a result with several items (§3.4). */
  readonly reported?: readonly Field[] | undefined;
  readonly items?: readonly (readonly Field[])[] | undefined;
}

/** The form as XML: `formElement({ type: "submit", formType: ns.archive, fields: [field("with", "a@b")] })`. */
export function formElement(form: DataForm): Xml {
  const hidden: Field | undefined =
    form.formType === undefined
      ? undefined
      : { name: "FORM_TYPE", values: [form.formType], ...(form.type !== "submit" && { type: "hidden" }) };
  return x(
    "x",
    { xmlns: ns.dataForms, type: form.type },
    form.title !== undefined && x("title", {}, text(form.title)),
    form.instructions !== undefined && x("instructions", {}, text(form.instructions)),
    hidden && fieldElement(hidden),
    form.fields.map(fieldElement),
    form.reported && x("reported", {}, form.reported.map(fieldElement)),
    form.items?.map((fields) => x("item", {}, fields.map(fieldElement))),
  );
}

function fieldElement(field: Field): Xml {
  const options = field.options?.map(({ label, value }) => x("option", { label }, x("value", {}, text(value))));
  return x(
    "field",
    { var: field.name, type: field.type, label: field.label },
    field.description !== undefined && x("desc", {}, text(field.description)),
    field.required === true && x("required"),
    field.open === true && x("validate", { xmlns: ns.dataFormValidate, datatype: "xs:string" }, x("open")),
    field.values.map((value) => x("value", {}, text(value))),
    options,
  );
}

/** A field for a form to submit or a result. `field("max", 5)`; true and false become 1 and 0 (XEP-0004 §3.3). */
export function field(name: string, value: string | number | boolean | readonly string[]): Field {
  return {
    name,
    values: typeof value === "object" ? value : [typeof value === "boolean" ? (value ? "1" : "0") : String(value)],
  };
}

/** Reads an `<x xmlns="jabber:x:data"/>`; undefined if its type is none. Unknown field types count as text-single. */
export function parseForm(element: Element): DataForm | undefined {
  const type = formTypes.get(String(element.attrs.type));
  if (type === undefined || !element.is("x", ns.dataForms)) return undefined;
  const all = fieldsIn(element);
  const reported = element.getChild("reported", ns.dataForms);
  const items = element.getChildren("item", ns.dataForms);
  return {
    type,
    formType: all.find((candidate) => candidate.name === "FORM_TYPE")?.values[0],
    title: element.getChild("title", ns.dataForms)?.getText(),
    instructions: element.getChild("instructions", ns.dataForms)?.getText(),
    fields: all.filter((candidate) => candidate.name !== "FORM_TYPE"),
    ...(reported && { reported: fieldsIn(reported) }),
    ...(items.length > 0 && { items: items.map(fieldsIn) }),
  };
}

/** The form in an element that may hold one, such as a query. */
export function formIn(parent: Element): DataForm | undefined {
  const element = parent.getChild("x", ns.dataForms);
  return element && parseForm(element);
}

const formTypes = new Map<string, FormType>(
  (["form", "submit", "cancel", "result"] as const).map((type) => [type, type]),
);
const knownTypes = new Map<string, FieldType>(fieldTypes.map((type) => [type, type]));

function fieldsIn(parent: Element): Field[] {
  return parent.getChildren("field", ns.dataForms).map((element) => {
    const options = element.getChildren("option", ns.dataForms);
    return {
      ...stringOf(element, "var", "name"),
      type: knownTypes.get(String(element.attrs.type)),
      ...stringOf(element, "label", "label"),
      description: element.getChild("desc", ns.dataForms)?.getText(),
      required: element.getChild("required", ns.dataForms) !== undefined,
      values: valuesIn(element),
      ...(options.length > 0 && {
        options: options.map((option) => ({ ...stringOf(option, "label", "label"), value: valuesIn(option)[0] ?? "" })),
      }),
    };
  });
}

function valuesIn(element: Element): string[] {
  return element.getChildren("value", ns.dataForms).map((value) => value.getText());
}

function stringOf<Key extends string>(element: Element, attribute: string, key: Key): { [K in Key]?: string } {
  const value: unknown = element.attrs[attribute];
  return (typeof value === "string" ? { [key]: value } : {}) as { [K in Key]?: string };
}

/** All values of a field; none if it is not there. */
export function valuesOf(form: DataForm, name: string): readonly string[] {
  return form.fields.find((candidate) => candidate.name === name)?.values ?? [];
}

/** The only value of a field; undefined if it is absent, empty or has several. */
export function singleValueOf(form: DataForm, name: string): string | undefined {
  const values = valuesOf(form, name);
  return values.length === 1 ? values[0] : undefined;
}

/** A boolean field in either of its spellings (XEP-0004 §3.3); undefined if it holds anything else. */
export function booleanOf(form: DataForm, name: string): boolean | undefined {
  const value = singleValueOf(form, name);
  if (value === "1" || value === "true") return true;
  return value === "0" || value === "false" ? false : undefined;
}
