import { property } from "../properties/property.ts";
import { boolean, integer, seconds } from "../properties/text-schema.ts";

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

export const webPerAddress = property("firekeeper.web.connections-per-address", {
  schema: integer(1, 1_000_000),
  default: 1000,
  impact: "listener",
  doc: "Open connections to the ports for browsers, and BOSH sessions, of one IPv4 address or one IPv6 /64; firekeeper.client.trusted-networks are exempt.",
});

export const idleBosh = property("xmpp.httpbind.client.idle", {
  schema: seconds,
  default: 30,
  impact: "live",
  doc: "How long a BOSH client may have no request open, in seconds, before its session ends.",
});

export const idlePolling = property("xmpp.httpbind.client.idle.polling", {
  schema: seconds,
  default: 30,
  impact: "live",
  doc: "The same for BOSH clients that poll, since they hold no request open.",
});

export const maxPause = property("xmpp.httpbind.client.maxpause", {
  schema: seconds,
  default: 300,
  impact: "live",
  doc: "The longest pause that a BOSH client may ask for, in seconds.",
});

export const ignoreLongPauses = property("xmpp.httpbind.client.maxpause.ignore-invalid", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether a pause that is too long is ignored; otherwise it ends the session.",
});

export const ignoreOveractivity = property("xmpp.httpbind.client.requests.ignoreOveractivity", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether a BOSH client may poll more often than it was told; otherwise that ends its session.",
});

export const mostRequests = property("xmpp.httpbind.client.requests.max", {
  schema: integer(1, 100),
  default: 2,
  impact: "live",
  doc: "Requests that a BOSH client may have open at once; one less is held. It counts for new sessions.",
});

export const pollingInterval = property("xmpp.httpbind.client.requests.polling", {
  schema: seconds,
  default: 5,
  impact: "live",
  doc: "Seconds between the requests of a BOSH client that polls.",
});

export const longestWait = property("xmpp.httpbind.client.requests.wait", {
  schema: integer(0),
  default: 2_147_483_647,
  impact: "live",
  doc: "The longest time in seconds that a request of a BOSH client is held open, whatever it asks for. It counts for new sessions.",
});

export const webStreamProperties = [
  pingEnabled,
  pingInterval,
  binds,
  webPerAddress,
  idleBosh,
  idlePolling,
  maxPause,
  ignoreLongPauses,
  ignoreOveractivity,
  mostRequests,
  pollingInterval,
  longestWait,
] as const;
