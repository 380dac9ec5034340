import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { formatJid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { OutsidePresence, PresenceFlow } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { parseStanza } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import type { Stanza } from "../../xml/stanza.ts";
import { rawXml, writeStanza, x } from "../../xml/writer.ts";
import { virtualPresences } from "../component-points.ts";
import type { Core } from "../module.ts";
import { blocking, visibility } from "../points.ts";
import { type Announcer, toldDirectly } from "./announcer.ts";
import { amended, directedTo, renderer, type Said, saidBy } from "./said.ts";

// Whoever is told directly is remembered until told otherwise; a client that tells more is not remembered to the last.
const mostDirected = 1000;

/** Presence to one address, and questions for the presence of one. RFC 6121 §4.3, §4.6 */
export interface DirectedRoad {
  send(flow: PresenceFlow): StanzaError | undefined | Promise<StanzaError | undefined>;
  probe(flow: PresenceFlow): StanzaError | undefined | Promise<StanzaError | undefined>;
  /** Presence from a service or from behind a link to an account: to that resource, or to all that are available. */
  receive(flow: OutsidePresence): StanzaError | undefined;
  /** Tells those told directly, except who heard it anyway, that the session is gone. */
  end(session: Session, said: Said, told: ReadonlySet<Session>): void;
}

export function directedRoad(core: Core, announce: Announcer): DirectedRoad {
  const { accounts, router } = core;

  /** Sessions that get presence to this address: that resource, or all that are available. RFC 6121 §8.5.2, §8.5.3 */
  function targets(account: Account, resource: string): readonly Session[] {
    if (resource !== "") return account.sessions.filter((session) => session.resource === resource);
    return account.sessions.filter((session) => session.priority !== undefined);
  }

  function resolve(
    flow: PresenceFlow,
  ): { account: Account; resource: string; stored: string } | StanzaError | undefined {
    const { place, session, stanza } = flow;
    if (place?.at === "foreign" && stanza.type !== "unavailable")
      return stanzaError("remote-server-not-found", {
        text: `${place.jid.domain} is not served here, and links to other servers are not open.`,
      });
    // An address of ours that nobody has is answered like one whose owner says nothing.
    const account = place?.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
    if (account === undefined || place?.at !== "account" || account.probe) return undefined;
    const { resource } = place;
    const address = { local: account.name, domain: session.view, resource };
    if (stanza.type === undefined && core.offered(blocking).some((one) => one.blocks(session.account, address)))
      return stanzaError("not-acceptable", { application: x("blocked", { xmlns: ns.blockingErrors }) });
    return { account, resource, stored: `${account.name}@${resource === "" ? "" : `/${resource}`}` };
  }

  function remember(session: Session, stored: string, type: string | undefined): void {
    const told = directedTo.get(session);
    if (type === "unavailable") {
      if (told.includes(stored))
        directedTo.set(
          session,
          told.filter((other) => other !== stored),
        );
    } else if (type === undefined && !told.includes(stored)) {
      directedTo.set(session, [...told.slice(-mostDirected + 1), stored]);
    }
  }

  /** XEP-0398 §5: what is added to presence goes to rooms, too. */
  function asAmended(session: Session, stanza: Stanza): Stanza {
    if (stanza.type !== undefined) return stanza;
    const given = stanza.payload().toString();
    const payload = amended(core, session, given, "directed");
    if (payload === given) return stanza;
    const attributes = { xmlns: ns.client, to: stanza.to, id: stanza.id, "xml:lang": stanza.lang };
    return parseStanza(x("presence", attributes, rawXml(payload)), ns.client, limitsAfterLogin);
  }

  return {
    send(flow) {
      const { session, stanza, place, to } = flow;
      if (place?.at === "service" && to !== undefined) {
        const hidden = core.offered(blocking).some((one) => one.hidesPresence?.(session, "out", to));
        if (hidden && stanza.type === undefined) return undefined;
        remember(session, core.names.relative(to), stanza.type);
        const said = asAmended(session, stanza);
        return router.presenceToService({ stanza: said, session, place, to, from: session.jid, view: session.view });
      }
      const resolved = resolve(flow);
      if (resolved === undefined || "condition" in resolved) return resolved;
      const { account, resource, stored } = resolved;
      if (stanza.type === "error" && resource === "") return undefined;
      remember(session, stored, stanza.type);
      const render = renderer(router.views, session, saidBy(core, session, stanza));
      for (const target of targets(account, resource))
        if (announce.mayPass(session, target))
          router.send(target, render(target.view, resource === "" ? target.bareAddress : target.address));
      return undefined;
    },
    probe(flow) {
      const { session } = flow;
      const resolved = resolve(flow);
      if (resolved === undefined || "condition" in resolved) return resolved;
      const { account, resource } = resolved;
      const answer = (): undefined => {
        const own = `${session.account.name}@/${session.resource}`;
        const seen =
          account === session.account || core.offered(visibility)[0]?.shows(account, session.account) === true;
        const shown = account.sessions.filter(
          (other) => (seen || toldDirectly(other, own)) && announce.mayPass(other, session),
        );
        // Who may not see it hears nothing, as if nobody had that name.
        if (!seen && shown.length === 0) return undefined;
        const found = shown.flatMap((other) =>
          resource === "" || resource === other.resource
            ? announce.current(account, session.view, session.bareAddress, other.resource)
            : [],
        );
        if (seen && announce.mayPassFrom(account, resource, session))
          for (const one of core.offered(virtualPresences))
            found.push(...one.current(account, session.view, session.bareAddress, resource || undefined));
        for (const presence of found) router.send(session, presence);
        if (found.length === 0) router.send(session, announce.nobody(account, session));
        return undefined;
      };
      const loading = core.offered(visibility)[0]?.load(account);
      return loading === undefined ? answer() : loading.then(answer);
    },
    receive({ stanza, from, view, place }) {
      const account = accounts.get(place.served.id, place.name);
      if (account === undefined || account.probe) return undefined;
      if (core.offered(blocking).some((one) => one.blocks(account, from))) return undefined;
      const address = formatJid(from);
      for (const target of targets(account, place.resource)) {
        if (core.offered(blocking).some((one) => one.hidesPresence?.(target, "in", from))) continue;
        const to = place.resource === "" ? target.bareAddress : target.address;
        const payload = router.views.payload(stanza.payload(), view, target.view);
        router.send(target, writeStanza(stanza, { from: router.views.address(address, target.view), to, payload }));
      }
      return undefined;
    },
    end(session, said, told) {
      const addresses = directedTo.get(session);
      if (addresses.length === 0) return;
      directedTo.set(session, []);
      const render = renderer(router.views, session, { ...said, id: undefined });
      const heard = new Set(told);
      for (const stored of addresses) {
        const address = parseJid(core.names.absolute(stored, session.view));
        const place = address && core.names.locate(address);
        if (address !== undefined && place?.at === "service") {
          const attributes = { xmlns: ns.client, type: "unavailable", "xml:lang": said.lang };
          const text = x("presence", attributes, rawXml(said.payload));
          const stanza = parseStanza(text, ns.client, limitsAfterLogin);
          router.presenceToService({ stanza, session, place, to: address, from: session.jid, view: session.view });
          continue;
        }
        const at = stored.indexOf("@");
        const account = accounts.get(session.account.served, stored.slice(0, at));
        const resource = stored.slice(at + 2);
        for (const target of account === undefined ? [] : targets(account, resource)) {
          if (heard.has(target) || !announce.mayPass(session, target)) continue;
          heard.add(target);
          router.send(target, render(target.view, resource === "" ? target.bareAddress : target.address));
        }
      }
    },
  };
}
