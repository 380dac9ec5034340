import type { Element } from "ltx";
import { embedded, forwardedElement } from "../formats/forwarded.ts";
import { ns } from "../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { formatJid, type Jid, parseJid } from "../jid/jid.ts";
import type { IqAnswer, OpenRequest } from "../routing/handlers.ts";
import { parseStanza } from "../xml/document.ts";
import { limitsAfterLogin } from "../xml/limits.ts";
import type { Stanza } from "../xml/stanza.ts";
import { serialise, type Xml, x } from "../xml/writer.ts";
import { type ComponentGrants, type ComponentLink, components, componentWatch } from "./component-points.ts";
import { type Core, defineModule } from "./module.ts";
import { presenceBroadcast, presences, rosterLists, rosterPushed } from "./points.ts";

/** Components that may act for people: their contact lists, messages, presence and requests. XEP-0356 */
export const privilege = defineModule({
  name: "privilege",
  implements: [
    {
      spec: "XEP-0356",
      version: "0.4.1",
      status: "partial",
      note: "presence of type roster tells of accounts here, not of contacts elsewhere; requests that only a person's own client may make are refused",
    },
  ],
  features: [ns.privilege],
  start,
});

const answerMs = 30_000;
const whole = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER };

function start(core: Core) {
  const { names, accounts, router, clock } = core;
  const registry = () => core.offered(components)[0];
  const grantsOf = (label: string): ComponentGrants | undefined => registry()?.grants(label);
  const addressOf = (link: ComponentLink): string => names.hostName(link.view, link.label);

  function* links(has: (grants: ComponentGrants) => boolean): IterableIterator<ComponentLink> {
    for (const link of registry()?.links.values() ?? []) {
      const grants = grantsOf(link.label);
      if (grants !== undefined && has(grants)) yield link;
    }
  }

  // ---------------------------------------------------------------- what a component may

  /** XEP-0356 §4.2, §5.2, §6.3, §7.2 */
  function tell(link: ComponentLink, always: boolean): void {
    const grants = grantsOf(link.label);
    if (grants === undefined) return;
    const { roster, message, presence, iq } = grants;
    const any = roster !== undefined || message || presence !== undefined || iq.size > 0;
    if (!any && !always) return;
    const reads = roster === "get" || roster === "both";
    const namespaces = [...iq].map(([name, type]) => x("namespace", { ns: name, type }));
    const permissions = [
      x("perm", { access: "roster", type: roster ?? "none", push: reads }),
      x("perm", { access: "message", type: message ? "outgoing" : "none" }),
      x("perm", { access: "presence", type: presenceOf(grants) ?? "none" }),
      ...(namespaces.length > 0 ? [x("perm", { access: "iq" }, namespaces)] : []),
    ];
    const payload = x("privilege", { xmlns: ns.privilege }, permissions);
    link.send(x("message", { from: link.view, to: addressOf(link) }, payload), 0);
    if (presence !== undefined) showAll(link);
  }

  /** Contacts' presence needs the right to read contact lists. XEP-0356 §7.2 */
  function presenceOf({ presence, roster }: ComponentGrants): string | undefined {
    return presence === "roster" && roster !== "get" && roster !== "both" ? undefined : presence;
  }

  function showAll(link: ComponentLink): void {
    for (const account of accounts.all())
      if (account.sessions.length > 0 && !account.probe)
        for (const one of core.offered(presences))
          for (const presence of one.current(account, link.view, addressOf(link))) link.send(presence, 0);
  }

  core.offer(presenceBroadcast, {
    broadcast(session, render) {
      if (session.account.probe) return;
      for (const link of links((grants) => presenceOf(grants) !== undefined))
        link.send(render(link.view, addressOf(link)), 0);
    },
  });

  // ---------------------------------------------------------------- contact lists

  let lastPush = 0;
  const readsRosters = ({ roster }: ComponentGrants): boolean => roster === "get" || roster === "both";
  core.offer(rosterPushed, {
    get wanted() {
      return !links(readsRosters).next().done;
    },
    pushed(account, items) {
      for (const link of links(readsRosters)) {
        const from = names.absolute(`${account.name}@`, link.view);
        for (const item of items(link.view)) {
          const attributes = { type: "set", id: `push-${++lastPush}`, from, to: addressOf(link) };
          link.send(x("iq", attributes, x("query", { xmlns: ns.roster }, item)), 0);
        }
      }
    },
  });

  async function roster(request: OpenRequest, grants: ComponentGrants): Promise<IqAnswer> {
    const { account, type, element, view } = request;
    const lists = core.offered(rosterLists)[0];
    if (account === undefined || account.contact || lists === undefined)
      return request.error(stanzaError("service-unavailable"));
    if (grants.roster !== type && grants.roster !== "both") return request.error(stanzaError("forbidden"));
    if (type === "get") return request.result(x("query", { xmlns: ns.roster }, await lists.items(account, view)));
    const refused = await lists.change(account, element, view);
    return refused === undefined ? request.result() : request.error(refused);
  }

  // ---------------------------------------------------------------- messages

  function take(link: ComponentLink, stanza: Stanza): StanzaError | "taken" | undefined {
    if (stanza.name !== "message" || !stanza.has(ns.privilege, "privilege")) return undefined;
    const to = parseJid(stanza.to ?? "");
    if (to === undefined || names.locate(to).at !== "server") return undefined;
    if (grantsOf(link.label)?.message !== true) return stanzaError("forbidden");
    const forwarded = stanza.child(ns.privilege, "privilege")?.getChild("forwarded", ns.forward);
    const inner = forwarded?.getChild("message", ns.client);
    const from = parseJid(String(inner?.attrs.from ?? ""));
    const whom = parseJid(String(inner?.attrs.to ?? ""));
    if (inner === undefined || from === undefined || whom === undefined) return stanzaError("bad-request");
    const place = names.locate(from);
    const mine =
      place.at === "server" || (place.at === "account" && accounts.get(place.served.id, place.name)?.contact === false);
    if (!mine || from.resource !== "") return stanzaError("forbidden");
    return router.message(stanzaOf(inner), from, whom) ?? "taken";
  }

  // ---------------------------------------------------------------- requests

  /** Ids under which requests were sent on, until they are answered or it is too late. */
  const waiting = new Map<string, { since: number; give: (answer: Stanza | undefined) => void; forget: () => void }>();
  core.every(1000, () => {
    const before = clock.now() - answerMs;
    for (const { since, give } of [...waiting.values()]) if (since <= before) give(undefined);
  });

  /** XEP-0356 §6.4 */
  function act(request: OpenRequest, grants: ComponentGrants, link: ComponentLink): IqAnswer {
    const forbidden = request.error(stanzaError("forbidden"));
    const { account, element, type } = request;
    const [inner, second] = element.getChildElements();
    const payload = inner?.getChildElements()[0];
    if (
      account === undefined ||
      account.contact ||
      inner === undefined ||
      second !== undefined ||
      payload === undefined
    )
      return forbidden;
    const allowed = grants.iq.get(payload.getNS() ?? "");
    const { from, id, to } = inner.attrs;
    const bareFrom = { local: account.name, domain: request.view, resource: "" };
    const own = from === undefined || sameAddress(String(from), bareFrom);
    if (!inner.is("iq", ns.client) || inner.attrs.type !== type || !own || (allowed !== type && allowed !== "both"))
      return forbidden;
    const newId = `act-${core.random(9).toString("base64url")}`;
    inner.attrs.id = newId;
    const give = (answer: Stanza | undefined): void => {
      waiting.get(newId)?.forget();
      if (!waiting.delete(newId)) return;
      const answered = answer ?? noAnswer(newId, String(to ?? formatJid(bareFrom)), formatJid(bareFrom));
      const forwarded = forwardedElement(embedded(answered, { id: typeof id === "string" ? id : null }));
      const result = x("privilege", { xmlns: ns.privilege }, forwarded);
      const addresses = { from: request.responder, to: formatJid(request.from) };
      link.send(x("iq", { type: "result", id: request.stanza.id, ...addresses }, result), 0);
    };
    const entry = { since: clock.now(), give, forget: (): void => undefined };
    waiting.set(newId, entry);
    // What is answered at once is answered behind this call.
    const forget = router.act(bareFrom, stanzaOf(inner), (answer) => queueMicrotask(() => give(answer)));
    if (waiting.get(newId) === entry) waiting.set(newId, { ...entry, forget });
    return { is: "later" };
  }

  function sameAddress(text: string, own: Jid): boolean {
    const given = parseJid(text);
    return given !== undefined && names.relative(given) === names.relative(own);
  }

  // ---------------------------------------------------------------- the way in

  core.offer(componentWatch, {
    connected: (link) => tell(link, false),
    grantsChanged: (link) => tell(link, true),
    take,
  });

  return {
    iqDetour(request: OpenRequest): IqAnswer | Promise<IqAnswer> | undefined {
      if (request.session !== undefined || request.place.at !== "account") return undefined;
      const known = registry();
      const label = known?.speaker(request.from);
      const link = label === undefined ? undefined : known?.links.get(label);
      if (known === undefined || link === undefined) return undefined;
      const { element } = request;
      if (element.is("query", ns.roster)) return roster(request, known.grants(link.label));
      if (element.is("privileged_iq", ns.privilege)) return act(request, known.grants(link.label), link);
      return undefined;
    },
  };
}

function stanzaOf(inner: Element): Stanza {
  return parseStanza(serialise(inner, ns.client), ns.client, whole);
}

function noAnswer(id: string, from: string, to: string): Stanza {
  const error: Xml = x("error", { type: "wait" }, x("remote-server-timeout", { xmlns: ns.stanzaErrors }));
  return parseStanza(x("iq", { type: "error", id, from, to }, error), ns.client, whole);
}
