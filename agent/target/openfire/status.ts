/** What `status` shows of an Openfire: ports by its properties, certificates by a TLS handshake, sessions as it lists them. */
import { X509Certificate } from "node:crypto";
import { connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { z } from "zod";
import type { CoreStatus, SessionStatus } from "../../../xmpp-core/control/contract.ts";
import { defaultText, names } from "./catalogue.ts";
import type { Pending } from "./pending.ts";

const session = z.object({
  sessionId: z.string(),
  username: z.string().nullish(),
  hostAddress: z.string().nullish(),
  creationDate: z.union([z.number(), z.string()]).nullish(),
  presenceStatus: z.string().nullish(),
  secure: z.boolean().nullish(),
});

/** The value that Openfire goes by: that of its start, where a change waits for the next one. */
export function inEffect(key: string, properties: ReadonlyMap<string, string>, pending: Pending): string | undefined {
  const waits = pending.entries.get(key);
  return (waits ? waits.was : properties.get(key)) ?? defaultText(key);
}

/** Ports that wait for a restart and have moved nevertheless: the new one answers, the former one refuses. */
export async function movedPorts(
  properties: ReadonlyMap<string, string>,
  pending: Pending,
  host: string,
): Promise<string[]> {
  const waiting = [names.plainPort, names.tlsPort].filter((key) => pending.entries.has(key));
  const moved = await Promise.all(
    waiting.map(async (key) => {
      const former = Number(inEffect(key, properties, pending));
      const next = Number(properties.get(key) ?? defaultText(key));
      return former !== next && (await answers(host, next)) && !(await answers(host, former)) ? [key] : [];
    }),
  );
  return moved.flat();
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectPlain({ host, port, timeout: 3000 });
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}

export function listenersOf(
  properties: ReadonlyMap<string, string>,
  pending: Pending,
  address: string,
  admin: { readonly port: number; readonly tls: boolean },
): CoreStatus["listeners"] {
  const at = (name: string, port: string, active: string) => ({
    name,
    address,
    port: Number(inEffect(port, properties, pending)),
    state: inEffect(active, properties, pending) === "false" ? ("closed" as const) : ("open" as const),
  });
  return [
    at("c2s", names.plainPort, names.plainActive),
    at("c2s-tls", names.tlsPort, names.tlsActive),
    at("proxy65", names.proxyPort, names.proxyEnabled),
    { name: admin.tls ? "admin-tls" : "admin", address, port: admin.port, state: "open" },
  ];
}

/** What the ports with direct TLS show; one that does not answer shows nothing. */
export async function certificatesOf(
  listeners: CoreStatus["listeners"],
  domain: string,
): Promise<CoreStatus["certificates"]> {
  const secured = listeners.filter((one) => one.state === "open" && one.name.endsWith("-tls"));
  const shown = await Promise.all(secured.map((one) => shownBy(one.address, one.port, domain).catch(() => undefined)));
  const known = new Map(shown.flatMap((one) => (one ? [[one.fingerprint256, one] as const] : [])));
  return [...known.values()].map((one) => ({
    name: domain,
    names: (one.subjectAltName ?? one.subject).split(", ").map((name) => name.replace(/^DNS:/, "")),
    until: new Date(one.validTo).toISOString(),
    sha256: one.fingerprint256,
    selfSigned: one.checkIssued(one),
    ...(one.checkHost(domain) === undefined ? { problem: `it does not cover ${domain}` } : {}),
  }));
}

function shownBy(host: string, port: number, domain: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    // Looked at, not trusted: dates and names are judged by whoever reads the status.
    const socket = connect({ host, port, servername: domain, rejectUnauthorized: false, timeout: 5000 });
    socket.once("error", reject);
    socket.once("timeout", () => socket.destroy(new Error("no answer")));
    socket.once("secureConnect", () => {
      const raw = socket.getPeerX509Certificate()?.raw;
      socket.destroy();
      if (raw) resolve(new X509Certificate(raw));
      else reject(new Error("no certificate"));
    });
  });
}

export function sessionsOf(listed: readonly unknown[], domain: string, limit?: number): SessionStatus[] {
  return listed.slice(0, limit).flatMap((one) => {
    const read = session.safeParse(one);
    if (!read.success) return [];
    const { sessionId, username, hostAddress, creationDate, presenceStatus, secure } = read.data;
    return [
      {
        address: sessionId,
        account: username ?? "",
        view: domain,
        remote: hostAddress ?? "",
        since: creationDate ? new Date(creationDate).toISOString() : "",
        tls: secure ? "TLS" : null,
        streamManaged: false,
        connected: true,
        presence: presenceStatus ?? "",
      },
    ];
  });
}
