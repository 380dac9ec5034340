/** Who comes by which door: what is read from whom is decided here, before anything is read. docs/architecture.md "Three processes" */
import type { IncomingMessage } from "node:http";
import { hostname } from "node:os";
import ipaddr from "ipaddr.js";
import { addressIn } from "../properties/text-schema.ts";
import type { ConnectionStream } from "../transport/stream.ts";
import type { AdminParts } from "./parts.ts";
import { plainHttpFrom } from "./properties.ts";

const loopback = ["127.0.0.0/8", "::1"];

/** Whether an address may have content without encryption; all others are only sent to HTTPS. */
export function mayUsePlain(parts: Pick<AdminParts, "properties">, address: string): boolean {
  return addressIn(loopback, address) || addressIn(parts.properties.get(plainHttpFrom), address);
}

export interface Visitor {
  readonly remote: string;
  readonly secure: boolean;
  /** Asks from this machine itself, not through a proxy on it. */
  readonly local: boolean;
}

/** The address is the connection's: no header may change it. */
export function visitorOf(request: IncomingMessage): Visitor {
  const { remoteAddress, encrypted } = request.socket as unknown as ConnectionStream;
  const forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"].some((name) => name in request.headers);
  return { remote: remoteAddress, secure: encrypted, local: addressIn(loopback, remoteAddress) && !forwarded };
}

/**
 * Whether a plain request names this machine. A page of a stranger whose name was made to lead to 127.0.0.1 (DNS
 * rebinding) does not. Over TLS the certificate's name stands for that.
 */
export function namesThisMachine(parts: Pick<AdminParts, "names" | "alsoCalled">, header: string | undefined): boolean {
  const host = hostOf(header);
  if (host === undefined) return false;
  if (ipaddr.isValid(host.replace(/^\[|\]$/g, ""))) return true;
  if (host === "localhost" || host.endsWith(".localhost") || host === hostname().toLowerCase()) return true;
  return parts.names.host(host) !== undefined || parts.alsoCalled(host);
}

/** The host of a Host header in lower case, without the port; undefined when it can be none. */
export function hostOf(header: string | undefined): string | undefined {
  const found = /^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/.exec(header ?? "");
  return found?.[1]?.toLowerCase();
}

/**
 * The path, if it is written the one way that our routes are: no escapes, no empty or dot segments, no parameters, no
 * backslash. Nothing is decoded or tidied up, so there is no second reading of it (CVE-2008-6508, CVE-2023-32315).
 */
export function exactPath(url: string | undefined): string | undefined {
  const path = url?.split("?", 1)[0] ?? "";
  return /^\/(?:(?:\.well-known|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)(?:\/[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)*)?$/.test(
    path,
  )
    ? path
    : undefined;
}
