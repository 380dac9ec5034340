import { createHmac } from "node:crypto";
import { isIP } from "node:net";
import type { Element } from "ltx";
import { z } from "zod";
import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { property } from "../properties/property.ts";
import { canonicalHost, host, portOrOff, seconds, text } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { IqAnswer, IqRequest } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { sessionState } from "../routing/session-state.ts";
import { fqdn } from "../stream/properties.ts";
import { type Xml, x } from "../xml/writer.ts";
import { type Core, defineModule } from "./module.ts";
import { externalAddressChanged } from "./points.ts";

/** From a secret this long nobody finds it out by trying, given the credentials that it made. */
const longEnough = 20;
const day = 86_400;

const secret = property("firekeeper.turn.secret", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "Secret shared with the TURN server (coturn: static-auth-secret); while it is set, clients are told of TURN and get credentials that expire.",
  weakens: (value) =>
    value.length < longEnough
      ? `A TURN secret of less than ${longEnough} characters can be found out by anybody who may call.`
      : undefined,
});
const turnHost = property("firekeeper.turn.host", {
  schema: host,
  default: undefined,
  impact: "live",
  doc: "Host of the TURN server. Unset: sys.xmpp.externalip, both addresses if it has two; without it the host name or domain.",
});
const ttl = property("firekeeper.turn.ttl", {
  schema: seconds.min(60),
  default: day / 2,
  impact: "live",
  doc: "How long TURN credentials may be used; a call that runs goes on.",
  weakens: (value) =>
    value > day ? "TURN credentials that live longer than a day serve whoever finds them." : undefined,
});
const turnUdp = property("firekeeper.turn.port.udp", {
  schema: portOrOff,
  default: 3478,
  impact: "live",
  doc: "Port of TURN over UDP; -1: not offered.",
});
const turnTcp = property("firekeeper.turn.port.tcp", {
  schema: portOrOff,
  default: 3478,
  impact: "live",
  doc: "Port of TURN over TCP; -1: not offered.",
});
const turnTls = property("firekeeper.turn.port.tls", {
  schema: portOrOff,
  default: -1,
  impact: "live",
  doc: "Port of TURN over TLS, usually 5349 or 443; the TURN server needs a certificate for its name. -1: not offered.",
});
const stunHost = property("firekeeper.stun.host", {
  schema: host,
  default: undefined,
  impact: "live",
  doc: "Host of a STUN server. Unset: that of TURN, which answers STUN too; without a TURN secret there is none.",
});
const stunUdp = property("firekeeper.stun.port.udp", {
  schema: portOrOff,
  default: 3478,
  impact: "live",
  doc: "Port of STUN over UDP; -1: not offered.",
});
const stunTcp = property("firekeeper.stun.port.tcp", {
  schema: portOrOff,
  default: -1,
  impact: "live",
  doc: "Port of STUN over TCP; -1: not offered.",
});
const stunTls = property("firekeeper.stun.port.tls", {
  schema: portOrOff,
  default: -1,
  impact: "live",
  doc: "Port of STUN over TLS; -1: not offered.",
});

const types = ["stun", "stuns", "turn", "turns"] as const;
type Type = (typeof types)[number];

/** A service as everybody is told it. */
interface Service {
  readonly type: Type;
  /** Undefined: the name of the domain, as each session knows it. */
  readonly host: string | undefined;
  readonly port: number;
  readonly transport: "udp" | "tcp";
}
type Action = "add" | "modify" | "delete";

/** What a session asked for and is told of when it changes: types, or `all` of them. XEP-0215 §3.2 */
const asked = sessionState("external services", {
  schema: z.array(z.enum([...types, "all"])).readonly(),
  initial: [],
});

/** So many sessions are told of a change in one turn. */
const slice = 100;

/** Where clients find STUN and TURN for calls, with credentials that expire. XEP-0215 */
export const externalServices = defineModule({
  name: "external-services",
  implements: [{ spec: "XEP-0215", version: "1.0.0", status: "complete" }],
  features: [ns.externalServices],
  properties: [secret, turnHost, ttl, turnUdp, turnTcp, turnTls, stunHost, stunUdp, stunTcp, stunTls],
  sessionState: [asked],
  start,
});

function start(core: Core) {
  const { properties, sessions } = core;

  /** Addresses without TLS; for TLS a name, which is what certificates carry. */
  function hostsOf(given: string | undefined, secure: boolean): readonly (string | undefined)[] {
    const outside = given === undefined ? core.externalAddresses() : [given];
    const usable = secure && given === undefined ? outside.filter((each) => isIP(each) === 0) : outside;
    return usable.length > 0 ? usable : [properties.get(fqdn)];
  }

  function servicesNow(): readonly Service[] {
    const { get } = properties;
    const found: Service[] = [];
    const add = (type: Type, given: string | undefined, transport: "udp" | "tcp", port: number): void => {
      if (port === -1) return;
      for (const each of hostsOf(given, type.endsWith("s"))) found.push({ type, host: each, port, transport });
    };
    const relays = get(secret) !== undefined;
    const stun = get(stunHost) ?? get(turnHost);
    if (relays || get(stunHost) !== undefined) {
      add("stun", stun, "udp", get(stunUdp));
      add("stun", stun, "tcp", get(stunTcp));
      add("stuns", stun, "tcp", get(stunTls));
    }
    if (relays) {
      add("turn", get(turnHost), "udp", get(turnUdp));
      add("turn", get(turnHost), "tcp", get(turnTcp));
      add("turns", get(turnHost), "tcp", get(turnTls));
    }
    return found;
  }

  /** Attributes that a relay's user needs, by the rule that TURN servers with a shared secret check. */
  function credentials(account: Account): Record<string, string> {
    const shared = properties.get(secret);
    if (shared === undefined) return {};
    const expires = Math.floor(core.clock.now() / 1000) + properties.get(ttl);
    // Who calls is told to nobody on the way to the relay; one person stays one person for its quotas.
    const who = createHmac("sha256", shared)
      .update(`firekeeper account ${account.id}`)
      .digest("base64url")
      .slice(0, 16);
    const username = `${expires}:${who}`;
    const password = createHmac("sha1", shared).update(username).digest("base64");
    const until = new Date(expires * 1000).toISOString().replace(".000Z", "Z");
    return { restricted: "true", username, password, expires: until };
  }

  const needsCredentials = ({ type }: Service): boolean => type === "turn" || type === "turns";

  function element(session: Session, service: Service, action?: Action): Xml {
    const { type, port, transport } = service;
    const place = { action, type, host: service.host ?? session.view, port, transport };
    const more = action !== "delete" && needsCredentials(service) ? credentials(session.account) : {};
    return x("service", { ...place, ...more });
  }

  function list(request: IqRequest): IqAnswer {
    const { session } = request;
    const type: unknown = request.element.attrs.type;
    const known = types.find((each) => each === type);
    const interest = type === undefined ? "all" : known;
    const before = asked.get(session);
    if (interest !== undefined && !before.includes(interest)) asked.set(session, [...before, interest]);
    const shown = servicesNow().filter((each) => type === undefined || each.type === type);
    const payload = x(
      "services",
      { xmlns: ns.externalServices, type: type === undefined ? undefined : String(type) },
      shown.map((service) => element(session, service)),
    );
    // Whoever asked is told of changes, also after a crash.
    return request.result(payload, sessions.commit(session, []));
  }

  function answerCredentials(request: IqRequest): IqAnswer {
    const wanted = request.element.getChildren("service", ns.externalServices);
    if (wanted.length === 0 || wanted.some(({ attrs }) => attrs.host === undefined || attrs.type === undefined))
      return request.error(stanzaError("bad-request", { text: "Name a service by its host and type." }));
    const { session } = request;
    const found = servicesNow().filter(
      (service) => needsCredentials(service) && wanted.some((each) => fits(each, service, session.view)),
    );
    if (found.length === 0)
      return request.error(stanzaError("item-not-found", { text: "There are no credentials for such a service." }));
    return request.result(
      x(
        "credentials",
        { xmlns: ns.externalServices },
        found.map((service) => element(session, service)),
      ),
    );
  }

  /** XEP-0215 §3.2: the types it asked for, each in a push of its own. */
  function push(session: Session, changes: readonly (readonly [Service, Action])[]): void {
    const interests = asked.get(session);
    for (const interest of interests.includes("all") ? (["all"] as const) : interests) {
      const type = interest === "all" ? undefined : interest;
      const told = changes.filter(([service]) => type === undefined || service.type === type);
      if (told.length === 0) continue;
      const services = told.map(([service, action]) => element(session, service, action));
      const payload = x("services", { xmlns: ns.externalServices, type }, services);
      const id = core.random(6).toString("base64url");
      core.router.send(session, x("iq", { type: "set", id, from: session.view, to: session.address }, payload));
    }
  }

  let told = servicesNow();
  let toldSecret = properties.get(secret);
  let pending = false;

  async function tellChanges(): Promise<void> {
    pending = false;
    const now = servicesNow();
    const sameSecret = properties.get(secret) === toldSecret;
    const before = new Map(told.map((service) => [keyOf(service), service]));
    const after = new Map(now.map((service) => [keyOf(service), service]));
    told = now;
    toldSecret = properties.get(secret);
    const changes: (readonly [Service, Action])[] = [];
    for (const [key, service] of before) if (!after.has(key)) changes.push([service, "delete"]);
    for (const [key, service] of after)
      if (!before.has(key)) changes.push([service, "add"]);
      else if (!sameSecret && needsCredentials(service)) changes.push([service, "modify"]);
    if (changes.length === 0) return;
    let inTurn = 0;
    for (const session of [...sessions.all()]) {
      if (session.ended || asked.get(session).length === 0) continue;
      push(session, changes);
      if (++inTurn % slice === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Several settings of one apply are one change. */
  function changed(): void {
    if (pending) return;
    pending = true;
    core.seeThrough("telling clients of STUN and TURN", Promise.resolve().then(tellChanges));
  }
  for (const each of [secret, turnHost, stunHost, fqdn]) core.watch(each, changed);
  for (const each of [turnUdp, turnTcp, turnTls, stunUdp, stunTcp, stunTls]) core.watch(each, changed);
  core.offer(externalAddressChanged, { externalAddressChanged: changed });

  return {
    iq: [
      { get: [ns.externalServices, "services"] as const, at: ["server"] as const, answer: list },
      { get: [ns.externalServices, "credentials"] as const, at: ["server"] as const, answer: answerCredentials },
    ],
  };
}

const keyOf = ({ type, host: at, port, transport }: Service): string => [type, at, port, transport].join(" ");

/** XEP-0215 §3.3: host and type, and what more was named. */
function fits({ attrs }: Element, service: Service, view: string): boolean {
  const at = service.host ?? view;
  return (
    attrs.type === service.type &&
    (attrs.host === at || canonicalHost(String(attrs.host)) === at) &&
    (attrs.port === undefined || String(attrs.port) === String(service.port)) &&
    (attrs.transport === undefined || attrs.transport === service.transport)
  );
}
