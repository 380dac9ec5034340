import type { ListenSpec } from "../frames.ts";
import type { Property } from "../properties/property.ts";
import * as properties from "./properties.ts";

export const clientListeners = ["c2s", "c2s-tls"] as const;

/** The ports of clients, as the properties have them. Both kinds of TLS are recognised by the first byte on either port. */
export function clientListenSpecs(get: <T>(property: Property<T>) => T): ListenSpec[] {
  const address = get(properties.networkInterface);
  const limited = get(properties.rateEnabled);
  const proxies = get(properties.proxiesOfClients);
  const common = {
    ...(address === undefined ? {} : { addresses: [address] }),
    tls: "detect" as const,
    alpn: ["xmpp-client"],
    ...(proxies.length === 0 ? {} : { proxies }),
    limits: {
      perAddress: get(properties.perAddress),
      trusted: get(properties.trusted),
      reportEveryMs: get(properties.refusalsReported),
      ...(limited ? { perSecond: get(properties.ratePerSecond), burst: get(properties.rateBurst) } : {}),
    },
  };
  const specs: ListenSpec[] = [];
  if (get(properties.plainActive)) specs.push({ ...common, name: "c2s", port: get(properties.plainPort) });
  if (get(properties.directActive)) specs.push({ ...common, name: "c2s-tls", port: get(properties.directPort) });
  return specs;
}
