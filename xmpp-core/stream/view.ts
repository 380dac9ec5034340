import { isIP } from "node:net";
import { prepareDomain } from "../jid/jid.ts";
import type { StreamParts } from "./parts.ts";
import { validateHost } from "./properties.ts";

/**
 * The name under which a client that opens a stream to `to` sees the service: a live name of the domain, or the present
 * one if it names the machine instead (its host name or an address). Else the stream error that tells it. RFC 6120 §4.7.2
 */
export function viewFor(
  { names, properties, alsoCalled }: Pick<StreamParts, "names" | "properties" | "alsoCalled">,
  to: string | undefined,
): { readonly view: string } | { readonly condition: "host-gone" | "host-unknown"; readonly text: string } {
  if (to === undefined) return { view: names.primary.name };
  const domain = prepareDomain(to);
  const host = domain === undefined ? undefined : names.host(domain);
  if (host !== undefined && host.service === "") return { view: host.view };
  const successor = domain === undefined ? undefined : names.successorOf(domain);
  if (successor !== undefined)
    return { condition: "host-gone", text: `${domain} is now ${successor}. Log in with an address at ${successor}.` };
  const isMachine =
    domain !== undefined && (isIP(to.replace(/^\[|\]$/g, "")) !== 0 || domain === "localhost" || alsoCalled(domain));
  if (isMachine && !properties.get(validateHost)) return { view: names.primary.name };
  return { condition: "host-unknown", text: `${to} is not served here; this is ${names.primary.name}.` };
}
