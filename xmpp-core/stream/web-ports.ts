import type { ListenSpec } from "../frames.ts";
import { type Property, property } from "../properties/property.ts";
import { addressList, boolean, host, list, portOrOff, seconds, text, webOrigin } from "../properties/text-schema.ts";
import { fqdn, networkInterface, trusted } from "./properties.ts";
import { webPerAddress } from "./web-properties.ts";

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

export const corsEnabled = property("httpbind.CORS.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether web pages of other sites may speak BOSH with this server.",
});

export const corsDomains = property("httpbind.CORS.domains", {
  schema: list(),
  default: ["*"],
  impact: "live",
  doc: "Origins, such as https://example.org, whose pages may speak BOSH with this server; * for all. No cookie exists that they could abuse.",
});

const headersOfOpenfire: readonly string[] = [
  ...["Overwrite", "Destination", "Content-Type", "Depth", "User-Agent", "X-File-Size", "X-Requested-With"],
  ...["If-Modified-Since", "X-File-Name", "Cache-Control"],
];

export const corsHeaders = property("httpbind.CORS.headers", {
  schema: list(),
  default: headersOfOpenfire,
  impact: "live",
  doc: "Headers that BOSH requests of such pages may carry.",
});

export const corsMaxAge = property("httpbind.CORS.max_age", {
  schema: seconds,
  default: 86_400,
  impact: "live",
  doc: "Seconds for which a browser may remember what BOSH requests are allowed.",
});

export const cspEnabled = property("httpbind.CSP.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether answers on the ports for browsers carry a content security policy.",
  weakens: (value) => (value ? undefined : "Pages on the ports for browsers carry no content security policy."),
});

export const cspValue = property("httpbind.CSP.responsevalue", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "The content security policy of answers on the ports for browsers that have none of their own. Unset: nothing but own styles, pictures and forms.",
});

export const forwardedEnabled = property("httpbind.forwarded.enabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether HTTP proxies in front of the ports for browsers say who asks; those of httpbind.forwarded.trusted.proxies alone.",
});

export const trustedProxies = property("httpbind.forwarded.trusted.proxies", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks of HTTP proxies that are believed. Their word for https counts as TLS: passwords are then taken over a connection in clear from the proxy. What others say in such headers has no effect.",
});

export const forwardedHeader = property("httpbind.forwarded.header", {
  schema: text,
  default: "Forwarded",
  impact: "live",
  doc: "The header of RFC 7239, with address and protocol of the client. Requests in which it contradicts the other headers are refused.",
});

export const forwardedForHeader = property("httpbind.forwarded.for.header", {
  schema: text,
  default: "X-Forwarded-For",
  impact: "live",
  doc: "The header with the client's address, beside X-Forwarded-Proto with its protocol.",
});

export const forwardedHostHeader = property("httpbind.forwarded.host.header", {
  schema: text,
  default: "X-Forwarded-Host",
  impact: "live",
  doc: "The header with the name that the browser asked for.",
});

export const forwardedHostName = property("httpbind.forwarded.host.name", {
  schema: host,
  default: undefined,
  impact: "live",
  doc: "The name that all requests of trusted proxies are for, whatever they say.",
});

export const webProperties = [
  webEnabled,
  webPort,
  webSecurePort,
  webBase,
  proxiesOfBrowsers,
  corsEnabled,
  corsDomains,
  corsHeaders,
  corsMaxAge,
  cspEnabled,
  cspValue,
  forwardedEnabled,
  trustedProxies,
  forwardedHeader,
  forwardedForHeader,
  forwardedHostHeader,
  forwardedHostName,
] as const;

export const webListeners = { plain: "web", secure: "web-tls" } as const;

/** The ports for browsers, as the properties have them. */
export function webListenSpecs(get: <T>(property: Property<T>) => T): ListenSpec[] {
  if (!get(webEnabled)) return [];
  const address = get(networkInterface);
  const proxies = get(proxiesOfBrowsers);
  const believed = get(forwardedEnabled) ? get(trustedProxies) : [];
  const common = {
    ...(address === undefined ? {} : { addresses: [address] }),
    ...(proxies.length === 0 ? {} : { proxies }),
    limits: { perAddress: get(webPerAddress), trusted: [...get(trusted), ...believed] },
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
