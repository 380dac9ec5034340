import type { IncomingHttpHeaders } from "node:http";
import type { Property } from "../properties/property.ts";
import { addressIn } from "../properties/text-schema.ts";
import type { Visitor } from "../stream/visitor.ts";
import * as properties from "../stream/web-ports.ts";

type Get = <T>(property: Property<T>) => T;

/** Who asks, by the connection alone. */
export interface Peer {
  readonly remoteAddress: string;
  readonly encrypted: boolean;
}

interface Hop {
  readonly address: string | undefined;
  readonly proto: string | undefined;
}

/**
 * Who asks, and over what: as the headers of a proxy say if, and only if, it is one of those that we trust. The hops are
 * read from our side: the first that is none of ours is the client, and what stands before it is hearsay. RFC 7239
 * @returns undefined if the proxy lets two kinds of headers through that contradict each other: one of them is the client's
 */
export function visitorOf(peer: Peer, headers: IncomingHttpHeaders, get: Get): Visitor | undefined {
  const { remoteAddress, encrypted } = peer;
  const trusted = trustedProxies(get);
  if (!addressIn(trusted, remoteAddress)) return { address: remoteAddress, secure: encrypted, proxied: false };
  const standard = clientOf(forwarded(headers, get), trusted);
  const usual = clientOf(forwardedFor(headers, get), trusted);
  if (differ(standard?.address, usual?.address) || differ(standard?.proto, usual?.proto)) return undefined;
  const proto = standard?.proto ?? usual?.proto;
  return {
    address: standard?.address ?? usual?.address ?? remoteAddress,
    secure: proto === undefined ? encrypted : proto === "https" || proto === "wss",
    proxied: standard !== undefined || usual !== undefined,
  };
}

function clientOf(hops: readonly Hop[], trusted: readonly string[]): Hop | undefined {
  let client: Hop | undefined;
  for (let at = hops.length - 1; at >= 0; at--) {
    client = hops[at];
    if (client?.address === undefined || !addressIn(trusted, client.address)) break;
  }
  return client;
}

function differ(one: string | undefined, other: string | undefined): boolean {
  return one !== undefined && other !== undefined && one !== other;
}

/** The name under which the service was asked for, as a trusted proxy has it, or the browser; without a port, lower case. */
export function hostOf({ remoteAddress }: Peer, headers: IncomingHttpHeaders, get: Get): string | undefined {
  const behindProxy = addressIn(trustedProxies(get), remoteAddress);
  const always = behindProxy ? get(properties.forwardedHostName) : undefined;
  const told = behindProxy ? last(header(headers, get(properties.forwardedHostHeader))) : undefined;
  return (always ?? told ?? headers.host)?.replace(/:\d+$/, "").toLowerCase();
}

function trustedProxies(get: Get): readonly string[] {
  return get(properties.forwardedEnabled) ? get(properties.trustedProxies) : [];
}

/** `Forwarded: for="[2001:db8::1]:80";proto=https, for=10.0.0.1` */
function forwarded(headers: IncomingHttpHeaders, get: Get): Hop[] {
  const elements = header(headers, get(properties.forwardedHeader))?.split(",") ?? [];
  return elements.map((element) => {
    const pairs = new Map(
      element.split(";").map((pair): [string, string] => {
        const [name = "", ...value] = pair.split("=");
        return [
          name.trim().toLowerCase(),
          value
            .join("=")
            .trim()
            .replace(/^"(.*)"$/, "$1"),
        ];
      }),
    );
    return { address: plainAddress(pairs.get("for") ?? ""), proto: pairs.get("proto")?.toLowerCase() };
  });
}

function forwardedFor(headers: IncomingHttpHeaders, get: Get): Hop[] {
  const addresses = header(headers, get(properties.forwardedForHeader))?.split(",") ?? [];
  // A proxy appends to the one list and may replace the other: only its last word is sure to be its own.
  const proto = last(header(headers, "x-forwarded-proto"))?.toLowerCase();
  if (addresses.length === 0) return proto === undefined ? [] : [{ address: undefined, proto }];
  return addresses.map((address) => ({ address: plainAddress(address.trim()), proto }));
}

function header(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(",") : value;
}

const last = (list: string | undefined): string | undefined => list?.split(",").at(-1)?.trim();

/** Undefined for `unknown`, `_hidden` and whatever else is no address. */
function plainAddress(given: string): string | undefined {
  const bare = /^\[([^\]]+)\](?::\d+)?$/.exec(given)?.[1] ?? given.replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, "$1");
  return addressIn(["0.0.0.0/0", "::/0"], bare) ? bare : undefined;
}
