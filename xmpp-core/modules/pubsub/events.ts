import { ns } from "../../formats/namespaces.ts";
import { formatJid, type Jid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Session } from "../../routing/session.ts";
import type { Ticket } from "../../storage/storage.ts";
import { parseStanza } from "../../xml/document.ts";
import { unlimited } from "../../xml/limits.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { interests } from "../personal-points.ts";
import { blocking, visibility } from "../points.ts";
import type { Access, Host, Sight } from "./access.ts";
import type { Entities, Who } from "./entities.ts";
import { isOn } from "./options.ts";
import type { Node, Subscription } from "./store.ts";

/** What is told: the inside of `<event/>` as a view sees it. */
export interface Happening {
  event(view: string): Xml;
  /** The resource that published, for those who share presence with its owner. XEP-0163 §4.3.2 */
  readonly by?: Jid | undefined;
  /** Behind the event. */
  readonly beside?: Xml | undefined;
  /** Not before this group is on disk. */
  readonly after: Ticket;
}

/** Who is told of what happens on nodes. XEP-0060 §7.1.2, §12.2, XEP-0163 §4 */
export interface Events {
  /** To everybody who may know and wants to, once it is on disk. */
  tell(host: Host, node: Node, happening: Happening): void;
  /** To one address; nothing is asked. */
  tellOne(host: Host, node: Node, to: Jid, happening: Happening): void;
  /** A form for an owner; it waits for who is away. */
  ask(host: Host, to: Jid, content: (view: string) => Xml, after: Ticket): void;
  /** To one session that turned out to be interested, if it has the right by what it sees of the owner. */
  tellSession(host: Host, node: Node, session: Session, sight: Sight, happening: Happening): void;
  mayHear(host: Host, node: Node, who: Who): boolean;
}

export function events(core: Core, entities: Entities, access: Access): Events {
  const { router, names, accounts, storage } = core;

  function mayHear(host: Host, node: Node, who: Who): boolean {
    const account = entities.account(who);
    const master = host.account !== undefined && account === host.account;
    return access.mayRead(node, { who, master, sight: access.sightOf(host, who) }) === undefined;
  }

  /** Whether either has shut the other out; a person may shut out the service, too. */
  function blocked(host: Host, session: Session): boolean {
    const { account } = host;
    if (account === session.account) return false;
    for (const each of core.offered(blocking)) {
      if (account !== undefined && each.blocks(account, session.jid)) return true;
      if (each.blocks(session.account, jidOf(host, session.view))) return true;
    }
    return false;
  }

  /** One message per receiver; what is the same for all of a view is made once. */
  function writer(host: Host, node: Node, { event, by, beside }: Happening) {
    const made = new Map<string, Xml>();
    const type = node.config.notification_type === "normal" ? undefined : "headline";
    return (view: string, to: string, subids: readonly string[], shares: boolean): Xml => {
      const inside = made.get(view) ?? x("event", { xmlns: ns.pubsubEvent }, event(view));
      made.set(view, inside);
      const headers = subids.map((subid) => x("header", { name: "SubID" }, text(subid)));
      const replyTo = by !== undefined && shares ? router.views.address(formatJid(by), view) : undefined;
      return x(
        "message",
        { from: host.address(view), to, type },
        inside,
        beside,
        replyTo !== undefined &&
          x("addresses", { xmlns: ns.addresses }, x("address", { type: "replyto", jid: replyTo })),
        headers.length > 1 && x("headers", { xmlns: "http://jabber.org/protocol/shim" }, headers),
      );
    };
  }
  type Writer = ReturnType<typeof writer>;

  /** To an address somewhere: a client, a person, or somebody behind a component. */
  function send(host: Host, node: Node, to: Jid, write: (view: string, to: string) => Xml): void {
    const place = names.locate(to);
    if (place.at !== "account") {
      router.sendTo(to, write);
      return;
    }
    const account = accounts.get(place.served.id, place.name);
    if (account === undefined) return;
    if (node.config.notification_type === "normal") {
      later(host, to, (view) => write(view, formatJid(to)));
      return;
    }
    // As RFC 6121 §8.5 has it for headlines.
    for (const session of account.sessions) {
      if (place.resource === "" ? !((session.priority ?? -1) >= 0) : session.resource !== place.resource) continue;
      const address = place.resource === "" ? session.bareAddress : session.address;
      if (!blocked(host, session)) router.send(session, write(session.view, address));
    }
  }

  /** Runs `work` with the rights of that moment once the group is on disk; never if it could not be written. */
  function once(host: Host, after: Ticket, work: () => void): void {
    core.seeThrough(
      "an event of a node",
      storage.settled(after).then(
        () => access.prepare(host).then(work),
        () => undefined, // what it would tell of did not happen
      ),
    );
  }

  /** A message that may wait for its receiver goes the way of all messages. */
  function later(host: Host, to: Jid, write: (view: string) => Xml): void {
    const view = names.host(to.domain)?.view ?? names.primary.name;
    router.message(parseStanza(write(view), ns.client, unlimited), jidOf(host, view), to);
  }

  const jidOf = (host: Host, view: string): Jid => {
    const { account } = host;
    return { local: account?.name ?? "", domain: account === undefined ? host.address(view) : view, resource: "" };
  };

  /** Explicit subscribers, each address once. */
  function tellSubscribers(host: Host, node: Node, write: Writer, told: Set<Session>): void {
    const now = core.clock.now();
    const by = new Map<string, { first: Subscription; subids: string[] }>();
    for (const each of node.subscriptions.values()) {
      if (each.state !== "subscribed" || !each.deliver || (each.expires ?? now + 1) <= now) continue;
      const key = `${each.who}/${each.resource}`;
      const known = by.get(key);
      if (known === undefined) by.set(key, { first: each, subids: [each.subid] });
      else known.subids.push(each.subid);
    }
    for (const { first, subids } of by.values()) {
      if (!mayHear(host, node, first.who)) continue;
      const to = entities.jid(first.who, first.resource);
      if (to === undefined) continue;
      const account = entities.account(first.who);
      const shares = access.sightOf(host, first.who).shown;
      if (account === undefined) {
        send(host, node, to, (view, address) => write(view, address, subids, shares));
        continue;
      }
      const sessions = account.sessions.filter(
        (session) => session.priority !== undefined && (first.resource === "" || session.resource === first.resource),
      );
      if (sessions.length === 0 && isOn(node.config, "presence_based_delivery")) continue;
      const wanting =
        host.account === undefined || first.resource !== "" ? [] : sessions.filter((each) => wants(each, node));
      if (wanting.length > 0) {
        for (const session of wanting) {
          if (told.has(session) || blocked(host, session)) continue;
          told.add(session);
          router.send(session, write(session.view, session.address, subids, shares));
        }
        continue;
      }
      for (const session of sessions) told.add(session);
      send(host, node, to, (view, address) => write(view, address, subids, shares));
    }
  }

  const wants = (session: Session, node: Node): boolean =>
    core.offered(interests).some((each) => each.wants(session, node.name));

  /** Those who see the owner's presence, and the owner. XEP-0060 §9.1, §9.2 */
  function tellContacts(host: Host, account: Account, node: Node, write: Writer, told: Set<Session>): void {
    const tellAccount = (other: Account): void => {
      let allowed: boolean | undefined;
      for (const session of other.sessions) {
        if (session.priority === undefined || told.has(session) || !wants(session, node)) continue;
        allowed ??= mayHear(host, node, entities.ofAccount(other));
        if (!allowed) return;
        if (blocked(host, session)) continue;
        told.add(session);
        router.send(session, write(session.view, session.address, [], true));
      }
    };
    tellAccount(account);
    if (account.probe) return;
    for (const other of core.offered(visibility)[0]?.watchers(account) ?? []) tellAccount(other);
  }

  return {
    mayHear,
    tell(host, node, happening) {
      if (!isOn(node.config, "deliver_notifications")) return;
      once(host, happening.after, () => {
        const write = writer(host, node, happening);
        const told = new Set<Session>();
        tellSubscribers(host, node, write, told);
        if (host.account !== undefined) tellContacts(host, host.account, node, write, told);
      });
    },
    tellOne(host, node, to, happening) {
      once(host, happening.after, () => {
        const write = writer(host, node, happening);
        send(host, node, to, (view, address) => write(view, address, [], false));
      });
    },
    ask(host, to, content, after) {
      once(host, after, () => {
        const place = names.locate(to);
        const write = (view: string, address: string): Xml =>
          x("message", { from: host.address(view), to: address }, content(view));
        if (place.at === "account") later(host, to, (view) => write(view, formatJid(to)));
        else router.sendTo(to, write);
      });
    },
    tellSession(host, node, session, sight, happening) {
      const who = entities.ofAccount(session.account);
      const master = session.account === host.account;
      if (access.mayRead(node, { who, master, sight }) !== undefined || blocked(host, session)) return;
      router.send(session, writer(host, node, happening)(session.view, session.address, [], sight.shown || master));
    },
  };
}
