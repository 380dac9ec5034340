import { property } from "../properties/property.ts";
import { addressList, boolean, enumeration, host, integer, milliseconds, port } from "../properties/text-schema.ts";

/** The properties of client connections. */

export const plainActive = property("xmpp.socket.plain.active", {
  schema: boolean,
  default: true,
  impact: "listener",
  doc: "Whether clients may connect with STARTTLS.",
});

export const plainPort = property("xmpp.socket.plain.port", {
  schema: port,
  default: 5222,
  impact: "listener",
  doc: "Port for clients that connect with STARTTLS.",
});

export const directActive = property("xmpp.socket.ssl.active", {
  schema: boolean,
  default: true,
  impact: "listener",
  doc: "Whether clients may connect with direct TLS.",
});

export const directPort = property("xmpp.socket.ssl.port", {
  schema: port,
  default: 5223,
  impact: "listener",
  doc: "Port for clients that connect with direct TLS.",
});

export const networkInterface = property("network.interface", {
  schema: host,
  default: undefined,
  impact: "listener",
  doc: "The one address that every listener binds; unset: all addresses, IPv4 and IPv6.",
});

/** Openfire's default is `optional`. */
export const tlsPolicy = property("xmpp.client.tls.policy", {
  schema: enumeration("required", "optional", "disabled"),
  default: "required",
  impact: "live",
  doc: "Whether clients must encrypt before they log in. Without TLS only SCRAM is offered, never PLAIN.",
  weakens: (policy) =>
    policy === "required"
      ? undefined
      : "Clients may log in and chat without encryption; anyone on the way can read and change it.",
});

export const fqdn = property("fqdn", {
  schema: host,
  default: undefined,
  impact: "live",
  aliases: ["xmpp.fqdn"],
  doc: "The host name of this machine, if it differs from the domain: clients may name it instead of the domain, and the self-signed certificate covers it.",
});

export const validateHost = property("xmpp.client.validate.host", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Refuse clients that name the host or its address instead of the domain when they open a stream.",
});

export const idle = property("xmpp.client.idle", {
  schema: milliseconds.min(-1),
  default: 360_000,
  impact: "live",
  doc: "Silence after which a client connection is closed; half-way it is pinged if xmpp.client.idle.ping is on. -1 turns this off.",
});

export const idlePing = property("xmpp.client.idle.ping", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether a silent client is pinged before its connection is closed.",
});

export const idleQuiet = property("firekeeper.csi.idle", {
  schema: milliseconds.min(-1),
  default: 3_600_000,
  impact: "live",
  doc: "The same for a client at which nobody looks (XEP-0352) and whose session can be resumed, so that pings do not wake telephones; never shorter than xmpp.client.idle. -1: such a client is neither pinged nor closed.",
});

/** Openfire's default is 5 minutes. */
export const preauthTimeout = property("xmpp.client.preauth.timeout", {
  schema: milliseconds.min(1000),
  default: 60_000,
  impact: "live",
  doc: "Time a client has from connecting to being logged in and bound.",
});

export const conflictLimit = property("xmpp.session.conflict-limit", {
  schema: integer(-1, 1000),
  default: 0,
  impact: "live",
  doc: "What happens when a second client asks for a resource that is in use: 0 ends the older session, -1 refuses the newer one, n refuses n times and then ends the older one.",
});

export const loginAllowed = property("xmpp.client.login.allowed", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks that clients may log in from; empty: all.",
});

export const loginBlocked = property("xmpp.client.login.blocked", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks that clients may not log in from.",
});

export const rateEnabled = property("xmpp.ratelimit.newconnections.c2s.enabled", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether new client connections are limited in rate.",
});

export const ratePerSecond = property("xmpp.ratelimit.newconnections.c2s.permits_per_second", {
  schema: integer(1, 1_000_000),
  default: 20,
  impact: "live",
  doc: "New client connections a second, on average, when the rate is limited.",
});

export const rateBurst = property("xmpp.ratelimit.newconnections.c2s.max_burst", {
  schema: integer(1, 1_000_000),
  default: 50,
  impact: "live",
  doc: "New client connections that may come at once when the rate is limited.",
});

export const refusalsReported = property("xmpp.ratelimit.newconnections.logging.suppress", {
  schema: milliseconds.min(0),
  default: 300_000,
  impact: "live",
  doc: "After a line about refused connections was logged, none follows for this time; the next one has their number.",
});

export const perAddress = property("firekeeper.client.connections-per-address", {
  schema: integer(1, 1_000_000),
  default: 1000,
  impact: "live",
  doc: "Open client connections of one IPv4 address or one IPv6 /64.",
});

export const trusted = property("firekeeper.client.trusted-networks", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks that the limits on connections, rates and failed logins do not apply to.",
});

export const proxiesOfClients = property("firekeeper.client.proxy-protocol-from", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks of TCP proxies in front of the client ports. Their connections must begin with a PROXY protocol header (version 1 or 2), and the client it names is the one that counts; nobody else's may.",
});

export const refuseOn = property("firekeeper.client.refuse-on", {
  schema: addressList,
  default: [],
  impact: "live",
  doc: "Addresses and networks of this server on which no new client is served: it is told so and disconnected. Those that are connected stay. Behind a proxy it is the address that the PROXY protocol header names.",
});

export const stanzaBytes = property("xmpp.parser.buffer.size", {
  schema: integer(10_000, 16 * 1024 * 1024),
  default: 1_048_576,
  impact: "live",
  unit: "bytes",
  doc: "The largest stanza a client may send after login.",
});

export const stanzasPerSecond = property("firekeeper.client.stanzas-per-second", {
  schema: integer(1, 1_000_000),
  default: 5000,
  impact: "live",
  doc: "Stanzas a second, on average over a few seconds, that one client may send; beyond it the server reads more slowly.",
});

export const bytesPerSecond = property("firekeeper.client.bytes-per-second", {
  schema: integer(1024, 1_000_000_000),
  default: 10_000_000,
  impact: "live",
  unit: "bytes",
  doc: "Bytes a second, on average over a few seconds, that one client may send; beyond it the server reads more slowly.",
});

export const managementActive = property("stream.management.active", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether stream management (XEP-0198) is offered.",
});

export const requestFrequency = property("stream.management.requestFrequency", {
  schema: integer(0, 10_000),
  default: 5,
  impact: "live",
  doc: "After so many stanzas the client is asked what it has handled; 0: never.",
});

export const unsolicitedAcks = property("stream.management.unsolicitedAckFrequency", {
  schema: integer(0, 10_000),
  default: 0,
  impact: "live",
  doc: "After so many stanzas of a client it is told unasked what the server has handled; 0: only when it asks.",
});

export const locationTold = property("stream.management.location.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether a client is told where to resume: at fqdn, if that is set, on the port it came by.",
});

export const maxUnacked = property("stream.management.max-unacked", {
  schema: integer(1, 1_000_000),
  default: 10_000,
  impact: "live",
  doc: "Stanzas a client may leave unacknowledged; beyond it the session ends and its messages go to offline storage.",
});

export const resumable = property("stream.management.max-server.enabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the server tells the client how long it may take to resume.",
});

export const detachTimeout = property("xmpp.session.detach.timeout", {
  schema: milliseconds.min(0),
  default: 600_000,
  impact: "live",
  doc: "How long a session without connection waits for its client to resume; not counted while the server is down.",
});

export const streamProperties = [
  plainActive,
  plainPort,
  directActive,
  directPort,
  networkInterface,
  tlsPolicy,
  fqdn,
  validateHost,
  idle,
  idlePing,
  idleQuiet,
  preauthTimeout,
  conflictLimit,
  loginAllowed,
  loginBlocked,
  rateEnabled,
  ratePerSecond,
  rateBurst,
  refusalsReported,
  perAddress,
  trusted,
  proxiesOfClients,
  refuseOn,
  stanzaBytes,
  stanzasPerSecond,
  bytesPerSecond,
  managementActive,
  requestFrequency,
  unsolicitedAcks,
  locationTold,
  maxUnacked,
  resumable,
  detachTimeout,
] as const;
