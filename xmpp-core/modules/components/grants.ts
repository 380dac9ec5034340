import { z } from "zod";
import { hostLabel, listOf } from "../../properties/text-schema.ts";
import type { ComponentGrants } from "../component-points.ts";

/** One label below the domain, as components bear it. */
export const componentLabel = z.string().regex(hostLabel);

type Right =
  | { readonly is: "delegate"; readonly namespace: string; readonly attributes: readonly string[] }
  | { readonly is: "roster"; readonly access: "get" | "set" | "both" }
  | { readonly is: "message" }
  | { readonly is: "presence"; readonly of: "managed_entity" | "roster" }
  | { readonly is: "iq"; readonly access: "get" | "set" | "both"; readonly namespace: string }
  | { readonly is: "virtual-presence" }
  | { readonly is: "directory" }
  | { readonly is: "setting"; readonly key: string };

const accesses = new Set(["get", "set", "both"]);
// What decides who somebody is stays with the server.
const neverDelegated = /^(urn:ietf:params:xml:ns:xmpp-|urn:xmpp:sm:|urn:firekeeper:|urn:xmpp:(delegation|privilege):)/;

/** One entry, `pbx:roster=both`; undefined if it is none. */
function readGrant(text: string): { label: string; right: Right } | undefined {
  const colon = text.indexOf(":");
  const label = componentLabel.safeParse(text.slice(0, Math.max(colon, 0)).toLowerCase());
  if (!label.success) return undefined;
  const right = readRight(text.slice(colon + 1));
  return right && { label: label.data, right };
}

function readRight(text: string): Right | undefined {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  const value = equals < 0 ? "" : text.slice(equals + 1);
  switch (name) {
    case "delegate": {
      const [namespace = "", ...attributes] = value.split("|");
      if (namespace === "" || neverDelegated.test(namespace) || attributes.includes("")) return undefined;
      return { is: "delegate", namespace, attributes };
    }
    case "roster":
      return accesses.has(value) ? { is: "roster", access: value as "both" } : undefined;
    case "message":
      return value === "outgoing" ? { is: "message" } : undefined;
    case "presence":
      return value === "managed_entity" || value === "roster" ? { is: "presence", of: value } : undefined;
    case "iq": {
      const at = value.indexOf("@");
      const [access, namespace] = [value.slice(0, Math.max(at, 0)), value.slice(at + 1)];
      if (!accesses.has(access) || namespace === "") return undefined;
      return { is: "iq", access: access as "both", namespace };
    }
    case "virtual-presence":
    case "directory":
      return equals < 0 ? { is: name } : undefined;
    case "setting":
      return value === "" ? undefined : { is: "setting", key: value };
    default:
      return undefined;
  }
}

/** Rights of components, one entry each; see docs/components.md for the words. */
export const grantList = listOf("list", {
  canonical(given) {
    const read = readGrant(given);
    return read && `${read.label}${given.slice(given.indexOf(":"))}`;
  },
  rule: "rights such as pbx:virtual-presence, pbx:delegate=<namespace> or pbx:roster=both (docs/components.md)",
  hint: (refused) => `"${refused}" is no right of a component; docs/components.md lists them.`,
});

const none: ComponentGrants = {
  delegated: new Map(),
  roster: undefined,
  message: false,
  presence: undefined,
  iq: new Map(),
  virtualPresence: false,
  directory: false,
  settings: new Set(),
};

/** The rights of each component that a list names. */
export function grantsOf(entries: readonly string[]): ReadonlyMap<string, ComponentGrants> {
  const found = new Map<string, ComponentGrants>();
  for (const entry of entries) {
    const read = readGrant(entry);
    if (read === undefined) continue;
    const before = found.get(read.label) ?? none;
    found.set(read.label, add(before, read.right));
  }
  return found;
}

function add(to: ComponentGrants, right: Right): ComponentGrants {
  switch (right.is) {
    case "delegate":
      return { ...to, delegated: new Map([...to.delegated, [right.namespace, right.attributes]]) };
    case "roster":
      return { ...to, roster: right.access };
    case "message":
      return { ...to, message: true };
    case "presence":
      return { ...to, presence: right.of };
    case "iq":
      return { ...to, iq: new Map([...to.iq, [right.namespace, right.access]]) };
    case "virtual-presence":
      return { ...to, virtualPresence: true };
    case "directory":
      return { ...to, directory: true };
    case "setting":
      return { ...to, settings: new Set([...to.settings, right.key]) };
  }
}

export const noGrants = none;

/** What the strong rights of a list amount to, for the head of the plan. */
export function strongGrants(entries: readonly string[]): string | undefined {
  const said: string[] = [];
  for (const [label, grants] of grantsOf(entries)) {
    const can: string[] = [];
    if (grants.delegated.size > 0)
      can.push(`answers for everybody's requests of ${[...grants.delegated.keys()].join(", ")}`);
    if (grants.roster !== undefined)
      can.push(grants.roster === "get" ? "reads every contact list" : "changes every contact list");
    if (grants.message) can.push("sends messages under every name");
    if (grants.presence !== undefined) can.push("sees everybody's presence");
    if (grants.iq.size > 0) can.push(`asks under every name in ${[...grants.iq.keys()].join(", ")}`);
    if (grants.directory) can.push("reads all names, groups and teams");
    if (can.length > 0) said.push(`The component ${label} ${can.join(", ")}.`);
  }
  return said.length === 0 ? undefined : said.join(" ");
}
