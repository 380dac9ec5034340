import { slowDown } from "../../auth/slow-down.ts";
import { ns } from "../../formats/namespaces.ts";
import { errorReply, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { Jid } from "../../jid/jid.ts";
import { formatJid, parseJid } from "../../jid/jid.ts";
import { addressIn } from "../../properties/text-schema.ts";
import type { ServiceHandler } from "../../routing/handlers.ts";
import { type Claim, type ComponentOwner, ComponentStream, type Refusal } from "../../stream/component-stream.ts";
import { isTrusted } from "../../stream/login.ts";
import { stanzaBytes } from "../../stream/properties.ts";
import type { Connection } from "../../transport/connection.ts";
import type { Stanza } from "../../xml/stanza.ts";
import { type Xml, x } from "../../xml/writer.ts";
import { afterRestart } from "../after-restart.ts";
import { type ComponentLink, components as componentsPoint, componentWatch } from "../component-points.ts";
import { type Core, defineModule } from "../module.ts";
import { serviceDisco } from "../points.ts";
import { bounceAfterRestart, bounceAsked } from "./asked.ts";
import { componentLabel, grantsOf, noGrants } from "./grants.ts";
import { componentsMigration, knownComponents, openKnown } from "./known.ts";
import * as properties from "./properties.ts";

/** Services of the domain that other programs provide, each over a connection of its own. XEP-0114 */
export const components = defineModule({
  name: "components",
  implements: [{ spec: "XEP-0114", version: "1.6", status: "complete" }],
  properties: properties.componentProperties as unknown as NonNullable<
    Parameters<typeof defineModule>[0]["properties"]
  >,
  migrations: [componentsMigration],
  listener: { specs: properties.componentListenSpecs },
  start,
});

const loopback = ["127.0.0.0/8", "::1"];
const handshakeMs = 30_000;
const answerMs = 30_000;
const mostUnanswered = 1000;

/** A component that is connected, and what the server asked it. */
interface Link extends ComponentLink {
  readonly stream: ComponentStream;
  readonly asked: Map<string, { readonly since: number; readonly answered: (answer: Stanza | undefined) => void }>;
}

const away: StanzaError = stanzaError("service-unavailable", { text: "This service is not connected at the moment." });

function start(core: Core) {
  const { clock, names, router } = core;
  const get = core.properties.get;
  const links = new Map<string, Link>();
  const streams = new Set<ComponentStream>();
  const known = openKnown(core);
  const restarted = afterRestart(core, (sessions) => {
    for (const session of sessions) bounceAfterRestart(core, session);
  });
  const slow = slowDown({ clock, trusted: (address) => isTrusted(core, address) });
  let granted = grantsOf(get(properties.grants));
  let lastAsked = 0;
  const watchers = () => core.offered(componentWatch);

  core.offer(componentsPoint, {
    links,
    knows: (label) => known.has(label),
    grants: (label) => granted.get(label) ?? noGrants,
    granted: () => granted.keys(),
    speaker(from) {
      const service = names.host(from.domain)?.service;
      return service !== undefined && known.has(service) ? service : undefined;
    },
  });

  // What it is the component says itself; nothing is asked here.
  const itself = (): StanzaError => stanzaError("item-not-found");
  core.offer(serviceDisco, {
    services: () => [...links.keys()].map((label) => ({ service: label, name: label, listed: true })),
    info: itself,
    items: itself,
  });

  // ---------------------------------------------------------------- connecting

  function claim(connection: Connection, to: string | undefined): Claim | Refusal {
    if (connection.tls === undefined && !mayBeClear(connection.remote.address))
      return { condition: "policy-violation", text: "Connect with TLS; in clear only the machine itself may." };
    const wanted = to === undefined ? undefined : parseJid(to);
    const refusal: Refusal = {
      condition: "host-unknown",
      text: "Name a label below the domain, such as irc.<domain>.",
    };
    if (wanted === undefined || wanted.local !== "" || wanted.resource !== "") return refusal;
    const { domain } = wanted;
    const lives = names.served.flatMap(({ live }) => live.map(({ name }) => name));
    if (lives.includes(domain)) return refusal;
    const view = domain.includes(".") ? lives.find((name) => domain.endsWith(`.${name}`)) : names.primary.name;
    if (view === undefined) return refusal;
    const label = domain.includes(".") ? domain.slice(0, -view.length - 1) : domain;
    if (!componentLabel.safeParse(label).success) return refusal;
    if (isTaken(label, view)) return { condition: "conflict", text: "This is a service of the server itself." };
    return { label, view };
  }

  function mayBeClear(address: string): boolean {
    return addressIn(loopback, address) || addressIn(get(properties.clearFrom), address);
  }

  /** A service of ours bears the label, or is known by it inside. */
  function isTaken(label: string, view: string): boolean {
    if (known.has(label)) return false;
    const there = names.host(`${label}.${view}`);
    return (
      there !== undefined || router.service(label) !== undefined || names.hostName(view, label) !== `${label}.${view}`
    );
  }

  async function judge(
    { label }: Claim,
    connection: Connection,
    fits: (secret: string) => boolean,
  ): Promise<Refusal | undefined> {
    const refused: Refusal = {
      condition: "not-authorized",
      text: "The secret is wrong, or this component may not connect.",
    };
    const { address } = connection.remote;
    const admission = slow.attempt({ account: `component ${label}`, address });
    if (admission.is === "refused") {
      core.report.componentRefused({ label, remote: address });
      return { condition: "policy-violation", text: "Too many failed handshakes." };
    }
    if (admission.waitMs > 0) await new Promise<void>((resolve) => clock.after(admission.waitMs, resolve));
    const secret = properties.secretOf(get, label);
    const right = fits(secret ?? core.random(16).toString("hex"));
    if (secret === undefined || !right) {
      admission.failed();
      core.report.componentRefused({ label, remote: address });
      return refused;
    }
    admission.succeeded();
    return properties.isWelcome(get, label) ? undefined : refused;
  }

  function join(stream: ComponentStream, { label, view }: Claim): Refusal | undefined {
    if (links.has(label)) return { condition: "conflict", text: "Another connection serves this name already." };
    if (isTaken(label, view)) return { condition: "conflict", text: "This is a service of the server itself." };
    if (!known.add(label)) return { condition: "resource-constraint", text: "Too many components are known here." };
    links.set(label, newLink(label, view, stream));
    return undefined;
  }

  function newLink(label: string, view: string, stream: ComponentStream): Link {
    const asked: Link["asked"] = new Map();
    const link: Link = {
      ...{ label, view, stream, asked },
      send: (stanza, after) => stream.send(stanza, after),
      ask(type, payload, answered) {
        if (asked.size >= mostUnanswered) return answered(undefined);
        const id = `fk-${(++lastAsked).toString(36)}`;
        asked.set(id, { since: clock.now(), answered });
        stream.send(x("iq", { type, id, from: view, to: names.hostName(view, label) }, payload), 0);
      },
    };
    return link;
  }

  const linkOf = (stream: ComponentStream): Link | undefined => {
    for (const link of links.values()) if (link.stream === stream) return link;
    return undefined;
  };

  function joined(stream: ComponentStream): void {
    const link = linkOf(stream);
    if (link === undefined) return;
    router.serve(link.label, { ...whileAway(), link });
    core.report.componentConnected({ label: link.label, remote: stream.connection.remote.address });
    for (const watcher of watchers()) watcher.connected?.(link);
  }

  function gone(stream: ComponentStream): void {
    streams.delete(stream);
    const link = linkOf(stream);
    if (link === undefined) return;
    links.delete(link.label);
    known.seen(link.label);
    router.serve(link.label, whileAway());
    core.report.componentGone({ label: link.label });
    for (const { answered } of link.asked.values()) answered(undefined);
    bounceAsked(core, (address) => names.host(address.domain)?.service === link.label);
    for (const watcher of watchers()) watcher.gone?.(link.label);
  }

  /** What answers for a component that is away. */
  function whileAway(): ServiceHandler {
    return {
      away,
      message: () => away,
      presence: ({ stanza }) => (stanza.type === undefined || stanza.type === "unavailable" ? undefined : away),
      iq: () => away,
    };
  }

  // ---------------------------------------------------------------- stanzas

  function stanza(stream: ComponentStream, given: Stanza): Promise<void> | undefined {
    const link = linkOf(stream);
    if (link === undefined) return undefined;
    const from = given.from === undefined ? undefined : parseJid(given.from);
    if (given.from === undefined || given.to === undefined) {
      stream.end("improper-addressing", "A component names from and to in every stanza.");
      return undefined;
    }
    if (from === undefined || names.host(from.domain)?.service !== link.label) {
      stream.end("invalid-from", "The sender is not at the address of this component.");
      return undefined;
    }
    if (answers(link, given)) return undefined;
    for (const watcher of watchers()) {
      const taken = watcher.take?.(link, given, from);
      if (taken === "taken") return undefined;
      if (taken !== undefined) {
        refuse(link, given, from, taken);
        return undefined;
      }
    }
    return router.receiveLinked({ stanza: given, from, link });
  }

  function refuse(link: Link, given: Stanza, from: Jid, error: StanzaError): void {
    const reply = errorReply(given, error, { from: given.to, to: formatJid(from) });
    if (reply !== undefined) link.send(reply, 0);
  }

  /** An answer to what the server itself asked. */
  function answers({ asked }: Link, given: Stanza): boolean {
    if (given.name !== "iq" || (given.type !== "result" && given.type !== "error")) return false;
    const question = given.id === undefined ? undefined : asked.get(given.id);
    const to = given.to === undefined ? undefined : parseJid(given.to);
    if (question === undefined || given.id === undefined || to === undefined || names.locate(to).at !== "server")
      return false;
    asked.delete(given.id);
    question.answered(given);
    return true;
  }

  // ---------------------------------------------------------------- time and settings

  const owner: ComponentOwner = { claim, judge, join, joined, stanza, gone };
  const parts = { ...core, stanzaBytes: () => get(stanzaBytes) };
  for (const listener of ["component", "component-tls"])
    core.gate.onConnection(listener, (connection) => {
      if (connection.adopted) {
        // Nothing of its stream is kept over a restart: components connect anew.
        connection.write("</stream:stream>");
        return connection.close();
      }
      const stream = new ComponentStream(parts, connection, owner);
      streams.add(stream);
      connection.receive(stream);
    });

  core.every(1000, () => {
    const now = clock.now();
    const silence = get(properties.idle);
    for (const stream of streams) {
      if (!stream.joined) {
        if (now - stream.openedAt > handshakeMs) stream.end("connection-timeout", "The handshake took too long.");
        continue;
      }
      const silent = now - stream.heardAt;
      if (silence < 0 || silent < silence / 2) continue;
      if (silent >= silence) stream.end("connection-timeout", "Nothing was heard for too long.");
      else if (!stream.pinged) {
        stream.pinged = true;
        linkOf(stream)?.ask("get", x("ping", { xmlns: ns.ping }) as Xml, () => undefined);
      }
    }
    for (const { asked } of links.values())
      for (const [id, { since, answered }] of asked) {
        if (now - since < answerMs) break;
        asked.delete(id);
        answered(undefined);
      }
  });

  /** Whoever may not connect any more is disconnected. */
  function recheck(): void {
    for (const { label, stream } of [...links.values()])
      if (!properties.isWelcome(get, label)) stream.end("not-authorized", "This component may not connect any more.");
  }
  core.watch(properties.permission, recheck);
  core.watch(properties.allowed, recheck);
  core.watch(properties.denied, recheck);
  core.watch(properties.grants, (entries) => {
    granted = grantsOf(entries);
    for (const link of links.values()) for (const watcher of watchers()) watcher.grantsChanged?.(link);
  });
  const unwatchNames = names.onChanged(() => {
    const lives = new Set(names.served.flatMap(({ live }) => live.map(({ name }) => name)));
    for (const { stream, view } of [...links.values()])
      if (!lives.has(view)) stream.end("host-gone", "The domain has another name now.");
  });

  return {
    ready: knownComponents(core, known, (label) => router.serve(label, whileAway())),
    session: { restored: restarted.restored },
    stop: unwatchNames,
  };
}
