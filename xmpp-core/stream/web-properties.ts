import { property } from "../properties/property.ts";
import { boolean, seconds } from "../properties/text-schema.ts";

/** The properties of streams that browsers carry. */

export const pingEnabled = property("xmpp.websocket.frame.ping.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether silent WebSocket clients are pinged, so that proxies on the way keep the connection.",
});

export const pingInterval = property("xmpp.websocket.frame.ping.interval", {
  schema: seconds.min(1),
  default: 30,
  impact: "live",
  doc: "Silence in seconds after which a WebSocket client is pinged, and each time again.",
});

export const binds = property("firekeeper.web.channel-binding", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether SCRAM with channel binding is offered over WebSocket, for clients that are no browsers: a browser cannot read what it would bind to, and some give up when it is offered.",
});

export const webStreamProperties = [pingEnabled, pingInterval, binds] as const;
