import { embedded, forwardedElement } from "../formats/forwarded.ts";
import { ns } from "../formats/namespaces.ts";
import { errorElement, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { bare, formatJid } from "../jid/jid.ts";
import type { IqAnswer, OpenRequest } from "../routing/handlers.ts";
import type { Stanza } from "../xml/stanza.ts";
import { rawXml, serialiseChildren, type Xml, x } from "../xml/writer.ts";
import { type ComponentLink, components, componentWatch } from "./component-points.ts";
import { type Core, defineModule } from "./module.ts";
import { discoExtra, groups, type SharedGroup } from "./points.ts";

/** Requests of a namespace that a component answers in the server's stead. XEP-0355 */
export const delegation = defineModule({
  name: "delegation",
  implements: [
    {
      spec: "XEP-0355",
      version: "0.5",
      status: "partial",
      note: "admin mode; of what the component can do, features are shown; an error in its answer reaches the asker",
    },
  ],
  features: [ns.delegation],
  start,
});

const nodeOf = { server: `${ns.delegation}::`, account: `${ns.delegation}:bare:` } as const;

function start(core: Core) {
  const { names, router, rights } = core;
  /** What components say that they can do, by label: at the server, and at accounts. */
  const features = { server: new Map<string, string[]>(), account: new Map<string, string[]>() };
  const registry = () => core.offered(components)[0];

  core.offer(discoExtra, {
    features: () => [...features.server.values()].flat(),
    accountFeatures: () => [...features.account.values()].flat(),
  });

  /** The component that answers this request; one that asks itself is not sent its own question. XEP-0355 §4.3 */
  function managing(request: OpenRequest): string | undefined {
    const known = registry();
    const namespace = request.stanza.children[0]?.ns ?? "";
    for (const label of known?.granted() ?? []) {
      const attributes = known?.grants(label).delegated.get(namespace);
      if (attributes === undefined || attributes.some((name) => !Object.hasOwn(request.element.attrs, name))) continue;
      return request.session === undefined && known?.speaker(request.from) === label ? undefined : label;
    }
    return undefined;
  }

  function detour(request: OpenRequest): IqAnswer | undefined {
    const label = managing(request);
    if (label === undefined || (request.place.at === "account" && request.account === undefined)) return undefined;
    const link = registry()?.links.get(label);
    const { stanza, session } = request;
    if (link === undefined || stanza.id === undefined) return request.error(away);
    session?.asks(stanza.id, request.responder);
    const { views } = router;
    const inner = embedded(stanza, {
      from: views.address(formatJid(request.from), link.view),
      to: stanza.to === undefined ? undefined : views.address(stanza.to, link.view),
      payload: views.payload(stanza.payload(), request.view, link.view),
    });
    const payload = x("delegation", { xmlns: ns.delegation }, forwardedElement(inner), asker(request));
    link.ask("set", payload, (answer) => {
      if (session !== undefined && session.asking.get(stanza.id ?? "") !== request.responder) return;
      session?.asking.delete(stanza.id ?? "");
      const gone = registry()?.links.get(label) !== link;
      const read = answer === undefined ? (gone ? away : silent) : answerIn(answer, request, link);
      reply(request, link, read);
    });
    return { is: "later" };
  }

  /** Ours, beside what the XEP forwards: what the host says of the asker. docs/components.md */
  function asker({ session }: OpenRequest): Xml | undefined {
    if (session === undefined) return undefined;
    const { account } = session;
    const roles: Xml[] = groupsOf(account.name).map((name) => x("role", { type: "xmpp.group", name }));
    if (rights.isSupervisor(account.id)) roles.push(x("role", { type: "xmpp.supervisor" }));
    if (rights.isAdmin(account.id)) roles.push(x("role", { type: "admin" }));
    return x("asker", { xmlns: ns.hostData }, roles);
  }

  let listed: { of: readonly SharedGroup[]; byName: Map<string, string[]>; everybody: string[] } | undefined;
  function groupsOf(name: string): readonly string[] {
    const all = core.offered(groups)[0]?.list() ?? [];
    if (listed?.of !== all) {
      const byName = new Map<string, string[]>();
      const everybody: string[] = [];
      for (const group of all) {
        if (group.members === "all") everybody.push(group.name);
        else for (const member of group.members) byName.set(member, [...(byName.get(member) ?? []), group.name]);
      }
      listed = { of: all, byName, everybody };
    }
    return [...(listed.byName.get(name) ?? []), ...listed.everybody];
  }

  /** The answer inside of the component's, if it is one to this question. XEP-0355 §4.2 */
  function answerIn(answer: Stanza, request: OpenRequest, link: ComponentLink): Answered | StanzaError {
    const { views } = router;
    const wrapped = answer.type === "result" ? answer.child(ns.delegation, "delegation") : undefined;
    const inner = wrapped?.getChild("forwarded", ns.forward)?.getChild("iq", ns.client);
    if (inner === undefined) return refusedThere;
    const { id, type, to, from } = inner.attrs;
    const own = [bare(request.from), request.from].map((each) => views.address(formatJid(each), link.view));
    const asked = request.stanza.to === undefined ? own : [views.address(request.stanza.to, link.view)];
    const fits = id === request.stanza.id && to === own[1] && (from === undefined || asked.includes(from));
    if (!fits || (type !== "result" && type !== "error")) return refusedThere;
    return { type, payload: Buffer.from(serialiseChildren(inner, ns.client)) };
  }

  function reply(request: OpenRequest, link: ComponentLink, read: Answered | StanzaError): void {
    const { views } = router;
    const { id } = request.stanza;
    router.sendTo(request.from, (view, to) => {
      const from = views.address(request.responder, view);
      if (!("payload" in read)) return errorFor(id, from, to, read);
      return x("iq", { type: read.type, id, from, to }, rawXml(views.payload(read.payload, link.view, view)));
    });
  }

  // ---------------------------------------------------------------- telling components, asking them

  /** XEP-0355 §4.1 and §7.2 */
  function tell(link: ComponentLink): void {
    const { delegated } = registry()?.grants(link.label) ?? { delegated: new Map<string, readonly string[]>() };
    forget(link.label);
    if (delegated.size === 0) return;
    const list = [...delegated].map(([namespace, attributes]) =>
      x(
        "delegated",
        { namespace },
        attributes.map((name) => x("attribute", { name })),
      ),
    );
    const to = names.hostName(link.view, link.label);
    link.send(x("message", { from: link.view, to }, x("delegation", { xmlns: ns.delegation }, list)), 0);
    for (const namespace of delegated.keys())
      for (const at of ["server", "account"] as const)
        link.ask("get", x("query", { xmlns: ns.discoInfo, node: `${nodeOf[at]}${namespace}` }), (answer) => {
          if (answer?.type !== "result" || registry()?.links.get(link.label) !== link) return;
          const found = answer.child(ns.discoInfo, "query")?.getChildren("feature", ns.discoInfo) ?? [];
          const vars = found.flatMap(({ attrs }) => (typeof attrs.var === "string" ? [attrs.var] : []));
          features[at].set(link.label, [...(features[at].get(link.label) ?? []), ...vars.slice(0, mostFeatures)]);
        });
  }

  function forget(label: string): void {
    features.server.delete(label);
    features.account.delete(label);
  }

  core.offer(componentWatch, { connected: tell, grantsChanged: tell, gone: forget });
  return { iqDetour: detour };
}

const mostFeatures = 100;

interface Answered {
  readonly type: "result" | "error";
  /** Under the component's view. */
  readonly payload: Buffer;
}

const away = stanzaError("service-unavailable", { text: "Who answers for this is not connected at the moment." });
const refusedThere = stanzaError("service-unavailable");
const silent = stanzaError("remote-server-timeout", { text: "Who answers for this did not answer in time." });

function errorFor(id: string | undefined, from: string, to: string, error: StanzaError): Xml {
  return x("iq", { type: "error", id, from, to }, errorElement(error));
}
