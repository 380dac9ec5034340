import { ns } from "../formats/namespaces.ts";
import { prepareDomain } from "../jid/jid.ts";
import type { PageAnswer, PublicPage } from "../modules/web-points.ts";
import type { Property } from "../properties/property.ts";
import type { Names } from "../routing/names.ts";
import { webAddress } from "../stream/web-ports.ts";
import { x } from "../xml/writer.ts";
import { webSocketRoot } from "./websocket.ts";

interface Link {
  readonly rel: string;
  readonly href: string;
}

/** Where a browser that knows only a domain finds WebSocket and BOSH, as it is at this moment. XEP-0156 §3 */
export function hostMetaPage(names: Names, get: <T>(property: Property<T>) => T): PublicPage {
  /** Under the name that was asked for, if it is one of ours; what else calls this machine gets the domain's own. */
  function links(host: string | undefined): readonly Link[] {
    const domain = host === undefined ? undefined : prepareDomain(host);
    const found = domain === undefined ? undefined : names.host(domain);
    const base = webAddress(get, found?.service === "" ? found.view : names.primary.name);
    if (base === undefined) return [];
    return [
      { rel: "urn:xmpp:alt-connections:websocket", href: `${base.replace(/^http/, "ws")}/${webSocketRoot}/` },
      { rel: "urn:xmpp:alt-connections:xbosh", href: `${base}/http-bind/` },
    ];
  }

  return {
    root: "/.well-known",
    answer(segments, host): PageAnswer | undefined {
      if (segments.length !== 1) return undefined;
      if (segments[0] === "host-meta.json")
        return { type: "application/json; charset=utf-8", body: `${JSON.stringify({ links: links(host) })}\n` };
      if (segments[0] !== "host-meta") return undefined;
      const found = links(host).map(({ rel, href }) => x("Link", { rel, href }));
      const document = x("XRD", { xmlns: ns.xrd }, found);
      return {
        type: "application/xrd+xml; charset=utf-8",
        body: `<?xml version="1.0" encoding="utf-8"?>\n${document}\n`,
      };
    },
  };
}
