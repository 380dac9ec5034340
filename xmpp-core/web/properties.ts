import type { ListenSpec } from "../frames.ts";
import { type Property, property } from "../properties/property.ts";
import { addressList, boolean, portOrOff, webOrigin } from "../properties/text-schema.ts";
import { fqdn, networkInterface } from "../stream/properties.ts";

/** The properties of the ports for browsers: WebSocket, BOSH, uploads and public pages. */

export const webEnabled = property("httpbind.enabled", {
  schema: boolean,
  default: true,
  impact: "listener",
  doc: "Whether the ports for browsers are open: WebSocket, BOSH, uploaded files and the public pages.",
});

export const webPort = property("httpbind.port.plain", {
  schema: portOrOff,
  default: 7070,
  impact: "listener",
  doc: "Port for browsers over HTTP, for a proxy that ends TLS; passwords are not taken on it. -1 closes it.",
});

export const webSecurePort = property("httpbind.port.secure", {
  schema: portOrOff,
  default: 7443,
  impact: "listener",
  doc: "Port for browsers over HTTPS; -1 closes it.",
});

export const webBase = property("firekeeper.web.address", {
  schema: webOrigin,
  default: undefined,
  impact: "live",
  doc: "Where browsers and other programs reach the ports for them, as https://chat.example.org, if a proxy stands in front; uploads, links and host-meta follow. Unset: the host name or domain with the port of HTTPS.",
});

export const proxiesOfBrowsers = property("firekeeper.web.proxy-protocol-from", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks of TCP proxies in front of the ports for browsers, as firekeeper.client.proxy-protocol-from is for clients.",
});

export const webProperties = [webEnabled, webPort, webSecurePort, webBase, proxiesOfBrowsers] as const;

export const webListeners = { plain: "web", secure: "web-tls" } as const;

/** An office behind one address, each browser with six connections. */
const perAddress = 1000;

/** The ports for browsers, as the properties have them. */
export function webListenSpecs(get: <T>(property: Property<T>) => T): ListenSpec[] {
  if (!get(webEnabled)) return [];
  const address = get(networkInterface);
  const proxies = get(proxiesOfBrowsers);
  const common = {
    ...(address === undefined ? {} : { addresses: [address] }),
    ...(proxies.length === 0 ? {} : { proxies }),
    limits: { perAddress },
  };
  const plain = get(webPort);
  const secure = get(webSecurePort);
  const specs: ListenSpec[] = [];
  if (plain !== -1) specs.push({ ...common, name: webListeners.plain, port: plain, tls: "never" });
  if (secure !== -1)
    specs.push({ ...common, name: webListeners.secure, port: secure, tls: "required", alpn: ["http/1.1"] });
  return specs;
}

/** The base of every address on the ports for browsers, without a slash at its end; undefined: they are closed. */
export function webAddress(get: <T>(property: Property<T>) => T, view: string): string | undefined {
  const base = get(webBase);
  if (base !== undefined) return base;
  const port = get(webSecurePort);
  if (!get(webEnabled) || port === -1) return undefined;
  return `https://${get(fqdn) ?? view}${port === 443 ? "" : `:${port}`}`;
}
