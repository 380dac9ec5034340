/** Which names a certificate authority can be asked for. */
import { isIP } from "node:net";
import { canonicalHost } from "../properties/text-schema.ts";

/** Names that no public authority may issue for (RFC 6761, RFC 6762, RFC 7686, ICANN's .internal); a private one may. */
const privateEnds = [
  "localhost",
  "internal",
  "test",
  "invalid",
  "example",
  "onion",
  "lan",
  "home.arpa",
  "intranet",
  "corp",
  "home",
];

/** As it stands in an order: A-labels, lower case. Undefined for what is no host name. */
export function orderedName(name: string): string | undefined {
  return isIP(name) === 0 ? canonicalHost(name) : undefined;
}

/** Why no certificate can be had for this name: a sentence. Undefined: it can. */
export function whyNotOrderable(name: string, authority: "public" | "private"): string | undefined {
  const host = canonicalHost(name);
  if (host === undefined) return `${name} is no host name.`;
  if (isIP(host) !== 0) return `${name} is an address: authorities prove names.`;
  if (!host.includes(".")) return `${name} has no dot: no authority issues for it.`;
  const endsWith = (end: string): boolean => host.endsWith(`.${end}`);
  if (endsWith("local")) return `${name} is known in the local network only (.local): no authority can look it up.`;
  const end = authority === "public" ? privateEnds.find(endsWith) : undefined;
  return end === undefined
    ? undefined
    : `No public authority issues for .${end} (${name}); for one of your own set firekeeper.acme.ca-file.`;
}
