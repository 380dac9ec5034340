/** An entity of the plugin as XML, from the shapes in restapi.json: what it answers without an Accept header. */
import restapi from "./restapi.json" with { type: "json" };

type Shape = {
  xmlRoot: string;
  xmlChild?: string;
  jsonKey?: string;
  item?: string;
  fields?: { name: string; xml?: string }[];
};
const shapes = restapi.entities as unknown as Record<string, Shape>;

export function entityXml(name: string, entity: unknown): string {
  return `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>${element(name, entity)}`;
}

function element(name: string, entity: unknown): string {
  const shape = shapes[name];
  if (!shape) throw new Error(`restapi.json has no entity ${name}`);
  const values = entity as Record<string, unknown>;
  if (shape.item && shape.jsonKey) {
    const items = (values[shape.jsonKey] as unknown[]) ?? [];
    const inside = items.map((one) =>
      shapes[shape.item ?? ""]
        ? element(shape.item ?? "", one)
        : `<${shape.xmlChild}>${escaped(one)}</${shape.xmlChild}>`,
    );
    return `<${shape.xmlRoot}>${inside.join("")}</${shape.xmlRoot}>`;
  }
  const attributes: string[] = [];
  const inside: string[] = [];
  for (const field of shape.fields ?? []) {
    const value = values[field.name];
    if (value === undefined || value === null) continue;
    if (field.xml === "attribute") attributes.push(` ${field.name}="${escaped(value)}"`);
    else if (Array.isArray(value)) inside.push(list(field, value));
    else inside.push(`<${field.name}>${escaped(value)}</${field.name}>`);
  }
  return `<${shape.xmlRoot}${attributes.join("")}>${inside.join("")}</${shape.xmlRoot}>`;
}

function list({ name, xml = name }: { name: string; xml?: string }, values: unknown[]): string {
  const [wrapper = name, child] = xml.replace(/ \(repeated\)$/, "").split("/");
  const items = values.map((one) =>
    typeof one === "object" && one !== null
      ? `<${child}${Object.entries(one)
          .map(([key, value]) => ` ${key}="${escaped(value)}"`)
          .join("")}/>`
      : `<${child ?? wrapper}>${escaped(one)}</${child ?? wrapper}>`,
  );
  return child ? `<${wrapper}>${items.join("")}</${wrapper}>` : items.join("");
}

function escaped(value: unknown): string {
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
