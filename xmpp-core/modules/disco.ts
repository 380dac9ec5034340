import { createHash } from "node:crypto";
import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import type { IqAnswer, IqRequest } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { type Xml, x } from "../xml/writer.ts";
import { type Core, defineModule, type Identity, type Module, type Service } from "./module.ts";
import { discoExtra, presences } from "./points.ts";

const serverIdentity: Identity = { category: "server", type: "im", name: "Firekeeper" };
const accountIdentity: Identity = { category: "account", type: "registered" };
const discoFeatures = [ns.discoInfo, ns.discoItems];

/** What the server, its services and accounts can do, derived from what the modules declare. XEP-0030, XEP-0115 §6.3 */
export function disco(modules: readonly Module[]): Module {
  const services: readonly Service[] = modules.flatMap((module) => module.services ?? []);
  const collect = (pick: (module: Module) => readonly string[] | undefined): string[] =>
    [...new Set([...discoFeatures, ...modules.flatMap((module) => pick(module) ?? [])])].sort();
  const server = {
    identities: [serverIdentity, ...modules.flatMap((module) => module.identities ?? [])],
    features: collect((module) => module.features),
  };
  const account = {
    identities: [accountIdentity, ...modules.flatMap((module) => module.accountIdentities ?? [])],
    features: collect((module) => module.accountFeatures),
  };
  const node = "https://firekeeper.im";

  return defineModule({
    name: "disco",
    implements: [
      { spec: "XEP-0030", version: "2.5.0", status: "complete" },
      { spec: "XEP-0115", version: "1.6.0", status: "complete", note: "the server's own, in its stream features" },
    ],
    start(core) {
      let known: { features: readonly string[]; ver: string } | undefined;
      /** What the server can do at this moment, with its hash. */
      function featuresFor(session?: Session): readonly string[] {
        const more = core.offered(discoExtra).flatMap((each) => each.features?.(session) ?? []);
        return more.length === 0 ? server.features : [...new Set([...server.features, ...more])].sort();
      }

      function present(): { features: readonly string[]; ver: string } {
        const all = featuresFor();
        if (known?.features.length !== all.length || known.features.some((feature, place) => feature !== all[place]))
          known = { features: all, ver: capsHash(server.identities, all) };
        return known;
      }

      function info(request: IqRequest): IqAnswer | Promise<IqAnswer> {
        const { place } = request;
        const wanted: unknown = request.element.attrs.node;
        const now = present();
        const own = place.at === "server" && wanted === `${node}#${now.ver}`;
        const asked = typeof wanted === "string" && wanted !== "" && !own ? wanted : undefined;
        if (asked !== undefined) return infoOfNode(request, asked);
        if (place.at === "service") {
          const service = services.find(({ label }) => label === place.label);
          if (service === undefined) return request.error(stanzaError("item-not-found"));
          return request.result(infoElement(service.identities, [...discoFeatures, ...service.features], wanted));
        }
        // What is offered to this account alone is in no hash: that is told before anybody has logged in.
        const shown = own ? now.features : featuresFor(request.session);
        if (place.at === "server") return request.result(infoElement(server.identities, shown, wanted));
        return ifVisible(core, request, () =>
          request.result(infoElement(account.identities, account.features, wanted)),
        );
      }

      function infoOfNode(request: IqRequest, asked: string): IqAnswer {
        const { place, session } = request;
        if (place.at === "foreign") return request.error(stanzaError("item-not-found"));
        for (const each of core.offered(discoExtra)) {
          const found = each.info?.(place.at, session, asked);
          if (found !== undefined)
            return request.result(infoElement(found.identities, found.features, asked, found.forms));
        }
        return request.error(stanzaError("item-not-found", { text: "There is no such node here." }));
      }

      function items(request: IqRequest): IqAnswer | Promise<IqAnswer> {
        const { place, session } = request;
        const wanted: unknown = request.element.attrs.node;
        const asked = typeof wanted === "string" && wanted !== "" ? wanted : undefined;
        const at = place.at === "server" || place.at === "account" ? place.at : undefined;
        const extras =
          at === undefined ? [] : core.offered(discoExtra).flatMap((each) => each.items?.(at, session, asked) ?? []);
        const own =
          asked === undefined && at === "server"
            ? services.map(({ label, name }) => ({ jid: core.names.hostName(session.view, label), name }))
            : [];
        const answer = () =>
          request.result(
            x(
              "query",
              { xmlns: ns.discoItems, node: asked },
              [...own, ...extras].map((item) => x("item", { ...item })),
            ),
          );
        return place.at === "account" ? ifVisible(core, request, answer) : answer();
      }

      const at = ["server", "account", ...services.map(({ label }) => `service:${label}` as const)] as const;
      return {
        streamFeatures: () => [x("c", { xmlns: ns.capabilities, hash: "sha-1", node, ver: present().ver })],
        iq: [
          { get: [ns.discoInfo, "query"], at, by: "anyone", answer: info },
          { get: [ns.discoItems, "query"], at, by: "anyone", answer: items },
        ],
      };
    },
  });
}

/** An account answers its owner and those who may see its presence; to others it is as if it were not there. XEP-0030 §8 */
async function ifVisible(core: Core, request: IqRequest, answer: () => IqAnswer): Promise<IqAnswer> {
  const { account, session } = request;
  if (account !== undefined) {
    if (account === session.account) return answer();
    for (const each of core.offered(presences)) if (await each.showsTo(account, session.jid)) return answer();
  }
  return request.error(stanzaError("service-unavailable"));
}

function infoElement(
  identities: readonly Identity[],
  features: readonly string[],
  node: unknown,
  forms: readonly Xml[] = [],
): Xml {
  return x(
    "query",
    { xmlns: ns.discoInfo, node: typeof node === "string" && node !== "" ? node : undefined },
    identities.map(({ category, type, name }) => x("identity", { category, type, name })),
    features.map((feature) => x("feature", { var: feature })),
    forms,
  );
}

/** The verification string of XEP-0115 §5.1, for identities without language and without forms. */
export function capsHash(identities: readonly Identity[], features: readonly string[]): string {
  const order = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0);
  const parts = [
    ...identities.map(({ category, type, name }) => `${category}/${type}//${name ?? ""}`).sort(order),
    ...[...new Set(features)].sort(order),
  ];
  return createHash("sha1")
    .update(`${parts.join("<")}<`)
    .digest("base64");
}
