import type { ListenSpec } from "../../frames.ts";
import { type Property, property } from "../../properties/property.ts";
import {
  addressList,
  boolean,
  enumeration,
  list,
  listOf,
  milliseconds,
  port,
  text,
} from "../../properties/text-schema.ts";
import { networkInterface } from "../../stream/properties.ts";
import { componentLabel, grantList, strongGrants } from "./grants.ts";

/** The properties of external components. */

const label = (given: string): string | undefined => {
  const read = componentLabel.safeParse(given.toLowerCase());
  return read.success ? read.data : undefined;
};

export const plainActive = property("xmpp.component.socket.active", {
  schema: boolean,
  default: true,
  impact: "listener",
  doc: "Whether the port for components is open; it opens once a secret is set.",
});

export const plainPort = property("xmpp.component.socket.port", {
  schema: port,
  default: 5275,
  impact: "listener",
  doc: "Port for components, in clear from the machine itself, or with TLS from the first byte.",
});

export const directActive = property("xmpp.component.ssl.active", {
  schema: boolean,
  default: true,
  impact: "listener",
  doc: "Whether the port for components with TLS only is open; it opens once a secret is set.",
});

export const directPort = property("xmpp.component.ssl.port", {
  schema: port,
  default: 5276,
  impact: "listener",
  doc: "Port for components with TLS from the first byte.",
});

export const tlsPolicy = property("xmpp.component.tls.policy", {
  schema: enumeration("required", "optional", "disabled"),
  default: "optional",
  impact: "listener",
  doc: "Whether components must, may or cannot encrypt on xmpp.component.socket.port; in clear only from the machine itself and firekeeper.component.clear-from.",
});

export const clearFrom = property("firekeeper.component.clear-from", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks besides the machine itself from which components may connect without TLS.",
  weakens: (networks) =>
    networks.length === 0
      ? undefined
      : "Components may connect without encryption over the network; anyone on the way can read and change what they send.",
});

export const defaultSecret = property("xmpp.component.defaultSecret", {
  schema: text,
  default: undefined,
  impact: "listener",
  secret: true,
  doc: "The secret of components that have none of their own; unset: only those with a secret of their own may connect.",
});

export const ownSecrets = property("firekeeper.component.secrets", {
  schema: listOf("list", {
    canonical(given) {
      const colon = given.indexOf(":");
      const name = label(given.slice(0, Math.max(0, colon)));
      return name === undefined || colon === given.length - 1 ? undefined : `${name}${given.slice(colon)}`;
    },
    rule: "<label>:<secret>",
    hint: () => "For example irc:s3cret. A secret here has no comma and no space.",
  }),
  default: [],
  impact: "listener",
  secret: true,
  doc: "Secrets of single components: irc:s3cret lets irc.<domain> in with that secret only.",
});

export const permission = property("xmpp.component.permission", {
  schema: enumeration("blacklist", "whitelist"),
  default: "blacklist",
  impact: "live",
  doc: "Which components may connect: blacklist all but those denied, whitelist only those allowed.",
});

export const allowed = property("firekeeper.component.allowed", {
  schema: list(label, "labels such as irc"),
  default: [],
  impact: "live",
  doc: "Components that may connect when xmpp.component.permission is whitelist; those with a secret of their own are among them.",
});

export const denied = property("firekeeper.component.denied", {
  schema: list(label, "labels such as irc"),
  default: [],
  impact: "live",
  doc: "Components that may not connect; who is connected is disconnected.",
});

export const idle = property("xmpp.component.idle", {
  schema: milliseconds.min(-1),
  default: 360_000,
  impact: "live",
  doc: "Silence after which the connection of a component is closed; half-way it is pinged. -1 turns this off.",
});

export const grants = property("firekeeper.component.grants", {
  schema: grantList,
  default: [],
  impact: "live",
  doc: "What single components may do beyond what everybody may, as <label>:<right>; docs/components.md lists the rights.",
  weakens: strongGrants,
});

/** Not Openfire's: a telephone system of the host reads it. */
export const showNumbers = property("roster.shownumbers", {
  schema: boolean,
  default: false,
  ofHost: true,
  impact: "live",
  doc: "Whether a component of the host that shows telephone states tells everybody whom a colleague is talking to.",
  weakens: (shown) =>
    shown
      ? "Contact lists show everybody whom a colleague is talking to: number and name of the other side."
      : undefined,
});

export const componentProperties = [
  ...[plainActive, plainPort, directActive, directPort, tlsPolicy, clearFrom, defaultSecret, ownSecrets, permission],
  ...[allowed, denied, idle, grants, showNumbers],
] as const;

/** Settings that components may be granted to read, by key. */
export const readable = new Map<string, Property<boolean>>([[showNumbers.key, showNumbers]]);

/** The secret that counts for a component; undefined: it cannot connect. */
export function secretOf(get: <T>(property: Property<T>) => T, component: string): string | undefined {
  const own = get(ownSecrets).find((entry) => entry.startsWith(`${component}:`));
  return own === undefined ? get(defaultSecret) : own.slice(component.length + 1);
}

/** Whether lists and policy let a component of this label in. */
export function isWelcome(get: <T>(property: Property<T>) => T, component: string): boolean {
  if (get(denied).includes(component)) return false;
  if (get(permission) === "blacklist") return true;
  return get(allowed).includes(component) || get(ownSecrets).some((entry) => entry.startsWith(`${component}:`));
}

/** The ports of components, as the properties have them: none before a secret is set. */
export function componentListenSpecs(get: <T>(property: Property<T>) => T): ListenSpec[] {
  if (get(defaultSecret) === undefined && get(ownSecrets).length === 0) return [];
  const address = get(networkInterface);
  const common = { ...(address === undefined ? {} : { addresses: [address] }), limits: { perAddress: 200 } };
  const tls = { optional: "detect", required: "required", disabled: "never" } as const;
  const specs: ListenSpec[] = [];
  if (get(plainActive)) specs.push({ ...common, name: "component", port: get(plainPort), tls: tls[get(tlsPolicy)] });
  if (get(directActive)) specs.push({ ...common, name: "component-tls", port: get(directPort), tls: "required" });
  return specs;
}
