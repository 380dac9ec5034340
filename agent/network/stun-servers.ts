/** `FIREKEEPER_STUN`: the STUN servers that `auto` asks. */
import { isIP, isIPv4 } from "node:net";

export interface StunServer {
  /** Host name or literal address. */
  readonly host: string;
  readonly port: number;
}

const defaultPort = 3478;

/** `stun.example.org, 198.51.100.4:3479, [2001:db8::4]` → three servers; undefined if one cannot be read. */
export function readStunServers(list: string): StunServer[] | undefined {
  const texts = list.split(/[\s,]+/).filter((text) => text !== "");
  const servers = texts.map(readOne);
  return servers.every((server) => server !== undefined) && servers.length > 0 ? servers : undefined;
}

function readOne(text: string): StunServer | undefined {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const host = found?.[1] ?? found?.[2] ?? (isIP(text) === 6 ? text : undefined);
  const port = Number(found?.[3] ?? defaultPort);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  if (found?.[1] !== undefined && isIP(host) !== 6) return undefined;
  const isName = /^(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$/i.test(host) && /[a-z]/i.test(host);
  return isIP(host) === 6 || isIPv4(host) || isName ? { host, port } : undefined;
}

/** As a person writes it. */
export function stunServerName({ host, port }: StunServer): string {
  const shown = isIP(host) === 6 ? `[${host}]` : host;
  return port === defaultPort ? host : `${shown}:${port}`;
}
