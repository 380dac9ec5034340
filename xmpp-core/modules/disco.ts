import { capabilitiesHash, capabilitiesHash2 } from "../formats/capabilities.ts";
import { formElement } from "../formats/data-form.ts";
import { ns } from "../formats/namespaces.ts";
import { isStanzaError, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import type { AnswersAt, IqAnswer, OpenRequest } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import { type Core, defineModule, type Identity, type Module, type Service } from "./module.ts";
import {
  accountNodes,
  type DiscoInfo,
  type DiscoItems,
  discoExtra,
  presences,
  type ServiceDisco,
  serviceDisco,
} from "./points.ts";

const serverIdentity: Identity = { category: "server", type: "im", name: "Firekeeper" };
const accountIdentity: Identity = { category: "account", type: "registered" };
const discoFeatures = [ns.discoInfo, ns.discoItems];

/** What the server, its services and accounts can do, derived from what the modules declare. XEP-0030, XEP-0115 §6.3, XEP-0128 */
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
      { spec: "XEP-0128", version: "1.0.1", status: "complete" },
    ],
    start(core) {
      let known: { told: string; ver: string; hash: string } | undefined;
      const extras = () => core.offered(discoExtra);
      const merged = (own: readonly string[], more: readonly string[]): readonly string[] =>
        more.length === 0 ? own : [...new Set([...own, ...more])].sort();

      /** What the server can do at this moment. */
      function atServer(session?: Session): DiscoInfo {
        const features = extras().flatMap((each) => each.features?.(session) ?? []);
        const forms = extras().flatMap((each) => each.forms?.() ?? []);
        const identities = [...server.identities, ...extras().flatMap((each) => each.identities?.() ?? [])];
        return { identities, features: merged(server.features, features), forms };
      }

      /** The hashes of what anybody is told; what is offered to one account alone is in none. */
      function version(): { ver: string; hash: string } {
        const now = atServer();
        const told = `${now.identities.map(({ type }) => type).join()} ${now.features.join()} ${now.forms?.map((form) => formElement(form)).join("") ?? ""}`;
        if (known?.told !== told)
          known = { told, ver: capabilitiesHash(now) ?? "", hash: capabilitiesHash2(now) ?? "" };
        return known;
      }

      const isOwnNode = (wanted: string): boolean =>
        wanted === `${node}#${version().ver}` || wanted === `${ns.capabilities2}#sha-256.${version().hash}`;

      /** XEP-0115 §6.3, XEP-0390 §5.2 */
      function hashesInFeatures(): Xml[] {
        const { ver, hash } = version();
        const second = x("hash", { xmlns: ns.hashes, algo: "sha-256" }, text(hash));
        return [
          x("c", { xmlns: ns.capabilities, hash: "sha-1", node, ver }),
          x("c", { xmlns: ns.capabilities2 }, second),
        ];
      }

      const ofService = (label: string): ServiceDisco | undefined =>
        core.offered(serviceDisco).find((each) => each.services().some(({ service }) => service === label));

      async function info(request: OpenRequest): Promise<IqAnswer> {
        const wanted = nodeOf(request);
        const found = await infoOf(request, wanted);
        return isStanzaError(found) ? request.error(found) : request.result(infoElement(found, wanted));
      }

      function infoOf(
        request: OpenRequest,
        wanted: string | undefined,
      ): DiscoInfo | StanzaError | Promise<DiscoInfo | StanzaError> {
        const { place, session } = request;
        if (place.at === "service") {
          const dynamic = ofService(place.label);
          if (dynamic !== undefined) return dynamic.info(request, wanted);
          const service = services.find(({ label }) => label === place.label);
          if (service === undefined || wanted !== undefined) return noNode();
          return { identities: service.identities, features: [...discoFeatures, ...service.features] };
        }
        if (place.at === "account") return ifVisible(core, request, () => infoOfAccount(request, wanted));
        if (wanted !== undefined && isOwnNode(wanted)) return atServer();
        if (wanted === undefined) return atServer(session);
        return infoOfNode("server", request, wanted) ?? noNode();
      }

      async function infoOfAccount(request: OpenRequest, wanted: string | undefined): Promise<DiscoInfo | StanzaError> {
        if (wanted === undefined) {
          const more = extras().flatMap((each) => each.accountFeatures?.() ?? []);
          const identities = [...account.identities, ...extras().flatMap((each) => each.accountIdentities?.() ?? [])];
          return { identities, features: merged(account.features, more) };
        }
        const found = infoOfNode("account", request, wanted);
        if (found !== undefined) return found;
        for (const each of core.offered(accountNodes)) {
          const info = await each.info(request, wanted);
          if (info !== undefined) return info;
        }
        return noNode();
      }

      function infoOfNode(at: "server" | "account", { session }: OpenRequest, wanted: string): DiscoInfo | undefined {
        if (session === undefined) return undefined;
        for (const each of extras()) {
          const found = each.info?.(at, session, wanted);
          if (found !== undefined) return found;
        }
        return undefined;
      }

      async function items(request: OpenRequest): Promise<IqAnswer> {
        const wanted = nodeOf(request);
        const found = await itemsOf(request, wanted);
        if (isStanzaError(found)) return request.error(found);
        return request.result(
          x(
            "query",
            { xmlns: ns.discoItems, node: wanted },
            found.items.map((item) => x("item", { ...item })),
            found.page,
          ),
        );
      }

      function itemsOf(
        request: OpenRequest,
        wanted: string | undefined,
      ): DiscoItems | StanzaError | Promise<DiscoItems | StanzaError> {
        const { place, session, view } = request;
        if (place.at === "service") return ofService(place.label)?.items(request, wanted) ?? { items: [] };
        const more = (at: "server" | "account") =>
          session === undefined ? [] : extras().flatMap((each) => each.items?.(at, session, wanted) ?? []);
        if (place.at === "account")
          return ifVisible(core, request, async () => {
            const found: DiscoItems["items"][number][] = more("account");
            let page: Xml | undefined;
            for (const each of core.offered(accountNodes)) {
              const items = await each.items(request, wanted);
              if (isStanzaError(items)) return items;
              found.push(...(items?.items ?? []));
              page ??= items?.page;
            }
            return page === undefined ? { items: found } : { items: found, page };
          });
        if (wanted !== undefined) return { items: more("server") };
        const listed = [
          ...services.map(({ label, name }) => ({ service: label, name })),
          ...core.offered(serviceDisco).flatMap((each) => each.services().filter((one) => one.listed)),
        ];
        const own = listed.map(({ service, name }) => ({ jid: core.names.hostName(view, service), name }));
        return { items: [...own, ...more("server")] };
      }

      const at: readonly AnswersAt[] = ["server", "account", "service:*"];
      return {
        streamFeatures: hashesInFeatures,
        iq: [
          { get: [ns.discoInfo, "query"], at, by: "anyone", open: true, answer: info },
          { get: [ns.discoItems, "query"], at, by: "anyone", open: true, answer: items },
        ],
      };
    },
  });
}

const noNode = (): StanzaError => stanzaError("item-not-found", { text: "There is no such node here." });

function nodeOf(request: OpenRequest): string | undefined {
  const wanted: unknown = request.element.attrs.node;
  return typeof wanted === "string" && wanted !== "" ? wanted : undefined;
}

/** An account answers its owner and those who may see its presence; to others it is as if it were not there. XEP-0030 §8 */
async function ifVisible<T>(core: Core, request: OpenRequest, answer: () => Promise<T>): Promise<T | StanzaError> {
  const { account, session, from } = request;
  if (account !== undefined) {
    if (account === session?.account) return answer();
    for (const each of core.offered(presences)) if (await each.showsTo(account, from)) return answer();
  }
  return stanzaError("service-unavailable");
}

function infoElement({ identities, features, forms = [] }: DiscoInfo, node: string | undefined): Xml {
  return x(
    "query",
    { xmlns: ns.discoInfo, node },
    identities.map(({ category, type, name }) => x("identity", { category, type, name })),
    [...new Set(features)].map((feature) => x("feature", { var: feature })),
    forms.map((form) => formElement(form)),
  );
}
