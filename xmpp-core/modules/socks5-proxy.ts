import { createHash } from "node:crypto";
import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import type { ListenSpec } from "../frames.ts";
import { formatJid, parseJid } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { addressList, boolean, host, port, serviceLabel } from "../properties/text-schema.ts";
import type { IqAnswer, IqRequest } from "../routing/handlers.ts";
import { networkInterface } from "../stream/properties.ts";
import type { Connection } from "../transport/connection.ts";
import { x } from "../xml/writer.ts";
import { localAddresses } from "./local-addresses.ts";
import { type Core, defineModule } from "./module.ts";
import { socks5Handshake } from "./socks5.ts";
import { typedServices } from "./web-points.ts";

const enabled = property("xmpp.proxy.enabled", {
  schema: boolean,
  default: true,
  impact: "listener",
  doc: "Whether the file transfer proxy is open.",
});

const proxyPort = property("xmpp.proxy.port", {
  schema: port,
  default: 7777,
  impact: "listener",
  doc: "Port of the file transfer proxy.",
});

const externalIp = property("xmpp.proxy.externalip", {
  schema: host,
  default: undefined,
  impact: "live",
  doc: "Address that the file transfer proxy tells clients; it goes before sys.xmpp.externalip for its part.",
});

const proxiesOfTransfers = property("firekeeper.proxy.proxy-protocol-from", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks of TCP proxies in front of the file transfer proxy's port, as firekeeper.client.proxy-protocol-from is for clients.",
});

const serviceName = property("xmpp.proxy.service", {
  schema: serviceLabel,
  default: "proxy",
  impact: "live",
  doc: "Label of the file transfer proxy below the domain: proxy makes it proxy.<domain>.",
});

const label = "proxy";

/** A transfer that waits for its other side, or for its activation: the SOCKS5 connections of one hash. */
interface Waiting {
  readonly connections: Connection[];
  readonly since: number;
}

const waitMs = 60_000;
const mostWaiting = 2000;

/** A relay for files between clients that cannot reach each other. Only bound local users can start a transfer. XEP-0065 */
export const socks5Proxy = defineModule({
  name: "socks5-proxy",
  implements: [{ spec: "XEP-0065", version: "1.8.2", status: "complete", note: "the proxy (StreamHost) side" }],
  properties: [enabled, proxyPort, externalIp, serviceName, proxiesOfTransfers],
  services: [
    {
      label,
      name: "File transfer proxy",
      identities: [{ category: "proxy", type: "bytestreams", name: "SOCKS5 Bytestreams" }],
      features: [ns.bytestreams],
    },
  ],
  listener: {
    specs(get) {
      const address = get(networkInterface);
      const proxies = get(proxiesOfTransfers);
      if (!get(enabled)) return [];
      const spec: ListenSpec = {
        name: "proxy65",
        port: get(proxyPort),
        tls: "never",
        limits: { perAddress: 200 },
        ...(proxies.length === 0 ? {} : { proxies }),
        ...(address === undefined ? {} : { addresses: [address] }),
      };
      return [spec];
    },
  },
  start(core) {
    const waiting = new Map<string, Waiting>();
    core.watch(serviceName, (name) => core.names.callService(label, name));
    core.offer(typedServices, {
      services: () =>
        core.properties.get(enabled)
          ? [{ kind: "file-proxy", service: label, port: core.properties.get(proxyPort) }]
          : [],
    });

    core.gate.onConnection("proxy65", (connection) => {
      if (connection.adopted) return connection.drop(); // it waited for an activation that the restart has forgotten
      socks5Handshake(
        connection,
        core.clock,
        (hash) => {
          const found = waiting.get(hash);
          if (found === undefined && waiting.size >= mostWaiting) return false;
          const entry = found ?? { connections: [], since: core.clock.now() };
          if (entry.connections.length >= 2) return false;
          entry.connections.push(connection);
          waiting.set(hash, entry);
          return true;
        },
        (hash) => forget(hash, connection),
      );
    });

    function forget(hash: string, connection: Connection): void {
      const entry = waiting.get(hash);
      const place = entry?.connections.indexOf(connection) ?? -1;
      if (entry === undefined || place < 0) return;
      entry.connections.splice(place, 1);
      if (entry.connections.length === 0) waiting.delete(hash);
    }

    core.every(waitMs / 4, () => {
      const before = core.clock.now() - waitMs;
      for (const [hash, entry] of waiting) {
        if (entry.since > before) continue;
        waiting.delete(hash);
        for (const connection of entry.connections) connection.drop();
      }
    });

    function address(request: IqRequest): IqAnswer {
      if (!core.properties.get(enabled))
        return request.error(stanzaError("service-unavailable", { text: "The file transfer proxy is turned off." }));
      const jid = core.names.hostName(request.session.view, label);
      const at = { jid, port: core.properties.get(proxyPort) };
      const told = core.properties.get(externalIp);
      const outside = told === undefined ? core.externalAddresses() : [told];
      // Without an address from outside: every one that this machine has, as Openfire does.
      const hosts = outside.length > 0 ? outside : localAddresses(core.properties.get(networkInterface));
      return request.result(
        x(
          "query",
          { xmlns: ns.bytestreams },
          hosts.map((each) => x("streamhost", { ...at, host: each })),
        ),
      );
    }

    async function activate(request: IqRequest): Promise<IqAnswer> {
      const { session, element } = request;
      const sid: unknown = element.attrs.sid;
      const target = parseJid(element.getChildText("activate")?.trim() ?? "");
      if (typeof sid !== "string" || sid === "" || target === undefined || target.resource === "")
        return request.error(stanzaError("bad-request", { text: "sid and the full address to activate are needed." }));
      const entry = take(waiting, hashes(core, session.address, session.view, sid, formatJid(target)));
      const [one, other] = entry?.connections ?? [];
      if (one === undefined || other === undefined || !one.open || !other.open)
        return request.error(
          stanzaError("item-not-found", { text: "Both sides have to be connected to the proxy first." }),
        );
      const joined = core.gate.join(one, other);
      joined.catch((error: unknown) => core.report.wrong({ what: "relaying a file transfer", error }));
      return request.result();
    }

    return {
      iq: [
        { get: [ns.bytestreams, "query"], at: [`service:${label}`], answer: address },
        { set: [ns.bytestreams, "query"], at: [`service:${label}`], answer: activate },
      ],
    };
  },
});

/** SHA-1 over sid, requester and target, as either side may have written the addresses: each under its own view. XEP-0065 §5.3.2 */
function hashes(core: Core, requester: string, view: string, sid: string, target: string): string[] {
  const views = core.names.host(view)?.served.live.map(({ name }) => name) ?? [view];
  const found: string[] = [];
  for (const one of views)
    for (const other of views) {
      const text = sid + core.router.views.address(requester, one) + core.router.views.address(target, other);
      found.push(createHash("sha1").update(text).digest("hex"));
    }
  return found;
}

/** The connections of one transfer: of two views each side may have hashed with its own. */
function take(waiting: Map<string, Waiting>, candidates: readonly string[]): Waiting | undefined {
  const entries = candidates.flatMap((hash) => waiting.get(hash) ?? []);
  const connections = entries.flatMap((entry) => entry.connections);
  if (connections.length !== 2) return undefined;
  for (const hash of candidates) waiting.delete(hash);
  return { connections, since: 0 };
}
