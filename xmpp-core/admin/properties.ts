import type { ListenSpec } from "../frames.ts";
import { type Property, property } from "../properties/property.ts";
import { addressList, portOrOff } from "../properties/text-schema.ts";
import { fqdn, networkInterface } from "../stream/properties.ts";

/** The properties of console, REST, health and metrics. */

export const adminPort = property("adminConsole.port", {
  schema: portOrOff,
  default: 9090,
  impact: "listener",
  doc: "Port of the console over HTTP: content for this machine and the addresses that may use plain HTTP, a redirect to HTTPS for everyone else; -1 closes it.",
});

export const adminSecurePort = property("adminConsole.securePort", {
  schema: portOrOff,
  default: 9091,
  impact: "listener",
  doc: "Port of the console over HTTPS; -1 closes it.",
});

export const plainHttpFrom = property("firekeeper.admin.plain-http-from", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks, besides this machine, that may use the console without encryption, such as a proxy in front of it.",
  weakens: (addresses) =>
    addresses.length === 0
      ? undefined
      : `The console takes the admin's password over unencrypted HTTP from ${addresses.join(", ")}; anyone on the way can read it.`,
});

export const proxiesOfAdmins = property("firekeeper.admin.proxy-protocol-from", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks of TCP proxies in front of the console's ports, as firekeeper.client.proxy-protocol-from is for clients.",
});

export const adminProperties = [adminPort, adminSecurePort, plainHttpFrom, proxiesOfAdmins] as const;

export const adminListeners = { plain: "admin", secure: "admin-tls" } as const;

/** Browsers open six connections; an office behind one address has several admins and a monitor. */
const perAddress = 200;

/** The ports of console and REST, as the properties have them. */
export function adminListenSpecs(get: <T>(property: Property<T>) => T): ListenSpec[] {
  const address = get(networkInterface);
  const proxies = get(proxiesOfAdmins);
  const common = {
    ...(address === undefined ? {} : { addresses: [address] }),
    ...(proxies.length === 0 ? {} : { proxies }),
    limits: { perAddress },
  };
  const specs: ListenSpec[] = [];
  const plain = get(adminPort);
  const secure = get(adminSecurePort);
  if (plain !== -1) specs.push({ ...common, name: adminListeners.plain, port: plain, tls: "never" });
  if (secure !== -1)
    specs.push({ ...common, name: adminListeners.secure, port: secure, tls: "required", alpn: ["http/1.1"] });
  return specs;
}

/** Where a browser finds the console over HTTPS; undefined: nowhere. */
export function adminAddress(get: <T>(property: Property<T>) => T, view: string): string | undefined {
  const port = get(adminSecurePort);
  return port === -1 ? undefined : `https://${get(fqdn) ?? view}:${port}`;
}
