import type { StanzaError } from "../../formats/stanza-error.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import type { Jid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { OpenRequest } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import type { Core } from "../module.ts";
import { visibility } from "../points.ts";
import type { Entities, Who } from "./entities.ts";
import { notSubscribed, pubsubError } from "./errors.ts";
import { type NodeConfig, valuesOfOption } from "./options.ts";
import type { Affiliation, Node } from "./store.ts";

/** Where nodes are: at a person's bare address, or at the service of a domain. */
export interface Host {
  /** As in `Node.owner`. */
  readonly owner: number;
  /** Whose nodes these are; undefined: the service's. */
  readonly account: Account | undefined;
  /** Its address as `view` sees it. */
  address(view: string): string;
  defaults(node: string): NodeConfig;
}

/** Who asks. */
export interface Asker {
  readonly who: Who;
  readonly jid: Jid;
  readonly view: string;
  readonly session: Session | undefined;
  /** Owner of every node here: the account itself, or who is named for the service. */
  readonly master: boolean;
  /** Whether the host's account shows its presence to him, and in which of its groups he is. */
  readonly sight: Sight;
}
export interface Sight {
  readonly shown: boolean;
  readonly groups: readonly string[];
}
const blind: Sight = { shown: false, groups: [] };

/** Rights, by affiliation and by a node's models. XEP-0060 §4.1, §4.5 */
export interface Access {
  /** What a request's sender may be told of; loads what the access models need. */
  asker(host: Host, request: Pick<OpenRequest, "session" | "from" | "view">): Promise<Asker>;
  /** Brings into memory what `sightOf` needs. */
  prepare(host: Host): Promise<void>;
  /** What somebody sees of the host's account. After `prepare`, in the same turn. */
  sightOf(host: Host, who: Who): Sight;
  affiliation(node: Node, asker: Pick<Asker, "who" | "master">): Affiliation;
  /** Why he may not retrieve items; undefined: he may. */
  mayRead(node: Node, asker: Pick<Asker, "who" | "master" | "sight">): StanzaError | undefined;
  /** As `mayRead`, for subscriptions; "pending": an owner has to approve. */
  maySubscribe(node: Node, asker: Asker): StanzaError | "pending" | undefined;
  mayPublish(node: Node, asker: Asker): StanzaError | undefined;
  isOwner(node: Node, asker: Pick<Asker, "who" | "master">): boolean;
}

export function access(core: Core, entities: Entities, isMaster: (account: Account | undefined) => boolean): Access {
  async function prepare(host: Host): Promise<void> {
    const { account } = host;
    if (account === undefined) return;
    const sight = core.offered(visibility)[0];
    for (let loading = sight?.load(account); loading !== undefined; loading = sight?.load(account)) await loading;
  }

  function sightOf(host: Host, who: Who): Sight {
    const sight = core.offered(visibility)[0];
    if (host.account === undefined || sight === undefined || sight.load(host.account) !== undefined) return blind;
    const other = entities.account(who);
    if (other === undefined) {
      for (const contact of sight.outsideWatchers(host.account))
        if (contact === who) return { shown: true, groups: [] };
      return blind;
    }
    return sight.shows(host.account, other) ? { shown: true, groups: sight.groups(host.account, other) } : blind;
  }

  const subscribed = (node: Node, who: Who): boolean => {
    for (const each of node.subscriptions.values()) if (each.who === who && each.state === "subscribed") return true;
    return false;
  };

  const affiliation: Access["affiliation"] = (node, { who, master }) =>
    master ? "owner" : (node.affiliations.get(who) ?? "none");

  function byModel(node: Node, { sight }: Pick<Asker, "sight">): StanzaError | "authorize" | undefined {
    switch (node.config.access_model) {
      case "open":
        return undefined;
      case "presence":
        return sight.shown ? undefined : pubsubError("presence-subscription-required");
      case "roster": {
        if (!sight.shown) return pubsubError("not-in-roster-group");
        const allowed = valuesOfOption(node.config, "roster_groups_allowed");
        return sight.groups.some((group) => allowed.includes(group)) ? undefined : pubsubError("not-in-roster-group");
      }
      case "authorize":
        return "authorize";
      default:
        return pubsubError("closed-node");
    }
  }

  return {
    async asker(host, { session, from, view }) {
      const place = core.names.locate(from);
      const account = place.at === "account" ? core.accounts.get(place.served.id, place.name) : undefined;
      const master = host.account === undefined ? isMaster(account) : account === host.account;
      await prepare(host);
      const who = entities.of(from);
      return { who, jid: from, view, session, master, sight: sightOf(host, who) };
    },
    prepare,
    sightOf,
    affiliation,
    isOwner: (node, asker) => affiliation(node, asker) === "owner",
    mayRead(node, asker) {
      const own = affiliation(node, asker);
      if (own === "outcast" || own === "publish-only") return stanzaError("forbidden");
      if (own !== "none") return undefined;
      const refused = byModel(node, asker);
      if (refused === "authorize") return subscribed(node, asker.who) ? undefined : notSubscribed("not-authorized");
      return refused;
    },
    maySubscribe(node, asker) {
      const own = affiliation(node, asker);
      if (own === "outcast" || own === "publish-only") return stanzaError("forbidden");
      if (own !== "none") return undefined;
      const refused = byModel(node, asker);
      return refused === "authorize" ? "pending" : refused;
    },
    mayPublish(node, asker) {
      const own = affiliation(node, asker);
      if (own === "owner" || own === "publisher" || own === "publish-only") return undefined;
      if (own === "outcast") return stanzaError("forbidden");
      const model = node.config.publish_model;
      if (model === "open" || (model === "subscribers" && subscribed(node, asker.who))) return undefined;
      return stanzaError("forbidden", { text: "Only publishers of this node may publish to it." });
    },
  };
}
