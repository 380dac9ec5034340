import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { bare } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { PresenceFlow } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { rawXml, type Xml, x } from "../../xml/writer.ts";
import { type ContactTokens, contactTokens } from "../account-points.ts";
import type { Core } from "../module.ts";
import { type Blocking, blocking, presences, type Subscriptions, sharedContacts, type Visibility } from "../points.ts";
import { type Change, newChange, pushLater, settle } from "./change.ts";
import { outsideRoad } from "./outside-contacts.ts";
import { isInterested, type Pushes } from "./pushes.ts";
import { refuseBareName } from "./request.ts";
import { changeState, contactOf, type Request, type Roster, type Rosters, stateWith } from "./rosters.ts";
import { inboundChanges, outboundChanges, type SubscriptionKind } from "./states.ts";

/** What a subscription stanza says besides its kind. */
type Said = Pick<Request, "id" | "epoch" | "payload">;

// More requests than this wait for nobody: they would be a way to fill the disk of others.
const mostWaiting = 500;

/** Presence of the four subscription types between local accounts, both sides changed in one unit. RFC 6121 §3 */
export interface SubscriptionRoad extends Subscriptions {
  /** Ends whatever links the owner of `roster` with a contact that he removed; part of `change`. RFC 6121 §2.5.2 */
  endAll(change: Change, roster: Roster, contact: string, other: Roster | undefined): void;
  /** Both see each other from now on. */
  join(one: Account, other: Account): Promise<StanzaError | undefined>;
  /** The rosters of both, in memory in the same turn. */
  together(one: Account, other: Account | undefined): Promise<[Roster, Roster | undefined]>;
}

export function subscriptionRoad(
  core: Core,
  parts: { rosters: Rosters; pushes: Pushes; visibility: Visibility; active: () => boolean },
): SubscriptionRoad {
  const { names, accounts, router } = core;
  const { rosters, pushes, visibility } = parts;

  const blocks = (account: Account, other: Account): boolean => {
    const domain = names.served.find(({ id }) => id === other.served)?.name ?? "";
    const address = { local: other.name, domain, resource: "" };
    return core.offered(blocking).some((one: Blocking) => one.blocks(account, address));
  };

  async function together(one: Account, other: Account | undefined): Promise<[Roster, Roster | undefined]> {
    for (;;) {
      const mine = rosters.get(one);
      const theirs = other && rosters.get(other);
      if (mine !== undefined && (other === undefined || theirs !== undefined)) return [mine, theirs];
      if (mine === undefined) await rosters.load(one);
      if (other !== undefined && theirs === undefined) await rosters.load(other);
    }
  }

  /** A subscription stanza on its way to sessions of `to`. */
  function tell(kind: SubscriptionKind, from: string, to: Account, said: Said, wanted: (session: Session) => boolean) {
    return (): void => {
      for (const session of to.sessions.filter(wanted)) router.send(session, stanzaFor(session, kind, from, said));
    };
  }

  function stanzaFor(session: Session, type: SubscriptionKind, from: string, said: Said): Xml {
    const payload = router.views.payload(said.payload, names.epochName(said.epoch), session.view);
    const addresses = { from: names.absolute(from, session.view), to: session.bareAddress };
    return x("presence", { ...addresses, type, id: said.id }, rawXml(payload));
  }

  /** What the sender's own side makes of it; whether the contact hears of it. */
  function sent(change: Change, kind: SubscriptionKind, roster: Roster, contact: string): boolean {
    const before = stateWith(roster, contact);
    const after = outboundChanges[kind][before];
    change.touched.add(roster.account);
    if (after !== undefined) {
      const { writes, itemChanged } = changeState(roster, contact, after);
      change.writes.push(...writes);
      if (itemChanged) pushLater(change, roster.account, contact);
    }
    preApproval(change, kind, roster, contact, after !== undefined);
    return after !== undefined || kind === "subscribe" || kind === "unsubscribe";
  }

  /** `subscribed` before anybody asked is remembered, `unsubscribed` takes that back. RFC 6121 §3.4 */
  function preApproval(
    change: Change,
    kind: SubscriptionKind,
    roster: Roster,
    contact: string,
    changed: boolean,
  ): void {
    const item = roster.items.get(contact);
    const shows = item?.subscription === "from" || item?.subscription === "both";
    const approved = kind === "subscribed" ? !changed && !shows : kind === "unsubscribed" ? false : undefined;
    if (approved === undefined || approved === (item?.approved ?? false)) return;
    const facts = item ?? { contact, name: undefined, subscription: "none" as const, ask: false, groups: [] };
    change.writes.push(...roster.put({ ...facts, approved }));
    pushLater(change, roster.account, contact);
  }

  /** What the receiver's side makes of it. Answers `subscribed` where nobody needs to be asked. RFC 6121 §3.1.3 */
  function received(change: Change, kind: SubscriptionKind, from: Roster, to: Roster, said: Said): void {
    const contact = contactOf(from.account);
    const before = stateWith(to, contact);
    change.touched.add(to.account);
    const silent = blocks(to.account, from.account);
    if (silent && (kind === "subscribe" || kind === "subscribed")) return;
    if (kind === "subscribe" && grants(change, to, contact)) {
      received(change, "subscribed", to, from, nothingSaid(said));
      return;
    }
    const after = inboundChanges[kind][before];
    if (after === undefined) return;
    if (kind === "subscribe") {
      change.writes.push(...to.ask({ contact, ...said }));
      // It waits on disk for those who come later; who is available sees it now.
      change.stanzas.push(tell(kind, contact, to.account, said, (session) => session.priority !== undefined));
      return;
    }
    const { writes, itemChanged } = changeState(to, contact, after);
    change.writes.push(...writes);
    if (!silent) change.stanzas.push(tell(kind, contact, to.account, said, isInterested));
    if (itemChanged) pushLater(change, to.account, contact);
  }

  /** Whether the contact need not be asked: he shows his presence already, or has approved beforehand. */
  function grants(change: Change, roster: Roster, contact: string): boolean {
    const item = roster.items.get(contact);
    if (item?.subscription === "from" || item?.subscription === "both") return true;
    if (item?.approved !== true) return false;
    const { subscription, ask, groups, name } = item;
    const next = subscription === "to" ? "both" : "from";
    // The approval is used up: who loses the subscription asks again.
    change.writes.push(...roster.answer(contact));
    change.writes.push(...roster.put({ contact, name, groups, ask, subscription: next, approved: false }));
    pushLater(change, roster.account, contact);
    return true;
  }

  /** Runs `work` and lets the presence between the two begin or end where that follows from it. */
  function withFlows(change: Change, one: Account, other: Account | undefined, work: () => void): void {
    if (other === undefined) return work();
    const shown = (): [boolean, boolean] => [visibility.shows(one, other), visibility.shows(other, one)];
    const before = shown();
    work();
    const after = shown();
    const flow = (from: Account, to: Account, now: boolean) => () => core.offered(presences)[0]?.flow(from, to, now);
    if (before[0] !== after[0]) change.flows.push(flow(one, other, after[0]));
    if (before[1] !== after[1]) change.flows.push(flow(other, one, after[1]));
  }

  async function exchange(flow: PresenceFlow, kind: SubscriptionKind, contact: string, account: Account | undefined) {
    const { session, stanza } = flow;
    const [mine, theirs] = await together(session.account, account);
    if (
      kind === "subscribe" &&
      theirs !== undefined &&
      theirs.requests.size >= mostWaiting &&
      !theirs.requests.has(contactOf(session.account))
    )
      return stanzaError("resource-constraint", { text: "Too many people wait for an answer of this contact." });
    if (kind === "subscribe" && theirs !== undefined && !blocks(theirs.account, session.account)) {
      const used = core.offered(contactTokens)[0]?.use(theirs.account, session.account, stanza);
      if (used !== undefined) return unite(mine, theirs, session, used);
    }
    const said: Said = { id: stanza.id, epoch: names.epochOf(session.view), payload: Buffer.from(stanza.payload()) };
    const change = newChange();
    withFlows(change, session.account, account, () => {
      if (sent(change, kind, mine, contact) && theirs !== undefined) received(change, kind, mine, theirs, said);
    });
    return settle(core, rosters, change, session, pushes.push);
  }

  /** Both sides at once, where an invitation stands for what they would ask and answer. XEP-0379, XEP-0401 §5 */
  async function unite(
    mine: Roster,
    theirs: Roster,
    session: Session | undefined,
    used?: ReturnType<ContactTokens["use"]>,
  ): Promise<StanzaError | undefined> {
    const said: Said = { id: undefined, epoch: names.epochOf(names.primary.name), payload: Buffer.alloc(0) };
    const change = newChange();
    withFlows(change, mine.account, theirs.account, () => {
      for (const [roster, other] of [
        [mine, theirs],
        [theirs, mine],
      ] as const) {
        const contact = contactOf(other.account);
        const granted = ["to", "both"].includes(roster.items.get(contact)?.subscription ?? "none");
        change.touched.add(roster.account);
        const { writes, itemChanged } = changeState(roster, contact, "both");
        change.writes.push(...writes);
        if (!granted) change.stanzas.push(tell("subscribed", contact, roster.account, said, isInterested));
        if (itemChanged) pushLater(change, roster.account, contact);
      }
    });
    change.writes.push(...(used?.writes ?? []));
    const failed = await settle(core, rosters, change, session, pushes.push);
    if (failed !== undefined) used?.undo();
    return failed;
  }

  const outside = outsideRoad(core, { rosters, pushes, sent, grants, tell });

  return {
    together,
    async join(one, other) {
      if (!parts.active()) return undefined;
      const [mine, theirs] = await together(one, other);
      return theirs && unite(mine, theirs, undefined);
    },
    fromOutside: (flow) => (parts.active() ? outside.receive(flow) : stanzaError("service-unavailable")),
    handle(flow) {
      const { session, stanza, to, place } = flow;
      const kind = stanza.type as SubscriptionKind;
      if (!parts.active()) return stanzaError("service-unavailable");
      if (to === undefined || place === undefined)
        return stanzaError("bad-request", { text: "Whose presence is this about?" });
      const bareName = refuseBareName(to, names, session.view);
      if (bareName !== undefined) return bareName;
      const account = place.at === "account" ? accounts.get(place.served.id, place.name) : undefined;
      if (session.account.probe) return stanzaError("service-unavailable");
      if (account === session.account) return stanzaError("not-allowed", { text: "Nobody subscribes to himself." });
      if (place.at === "foreign" && (kind === "subscribe" || kind === "subscribed"))
        return stanzaError("remote-server-not-found", {
          text: `${to.domain} is not served here, and links to other servers are not open.`,
        });
      if (place.at === "service") return outside.handle(flow, kind, bare(to), place.label);
      if (place.at === "server") return kind === "subscribe" ? stanzaError("service-unavailable") : undefined;
      const other = account?.probe === true ? undefined : account;
      if (other !== undefined && (kind === "subscribe" || kind === "subscribed")) {
        if (blocks(session.account, other)) return blockedByUs();
        // What a shared group shows needs no request, and asks nobody. openfire: no stanzas between shared contacts
        const shared = core.offered(sharedContacts)[0]?.contact(session.account, other)?.subscription;
        const stands = kind === "subscribe" ? ["to", "both"] : ["from", "both"];
        if (shared !== undefined && stands.includes(shared)) {
          pushes.push(session.account, [contactOf(other)]);
          return undefined;
        }
      }
      // A team answers nobody; whom a role shows it to has it already.
      if (other?.contact) return kind === "subscribe" ? stanzaError("service-unavailable") : undefined;
      return exchange(flow, kind, other === undefined ? names.relative(bare(to)) : contactOf(other), other);
    },
    waiting(session) {
      const roster = rosters.get(session.account);
      return [...(roster?.requests.values() ?? [])].map((request) =>
        stanzaFor(session, "subscribe", request.contact, request),
      );
    },
    endAll(change, roster, contact, other) {
      const said: Said = { id: undefined, epoch: names.epochOf(names.primary.name), payload: Buffer.alloc(0) };
      withFlows(change, roster.account, other?.account, () => {
        const state = stateWith(roster, contact);
        change.touched.add(roster.account);
        change.writes.push(...roster.answer(contact), ...roster.remove(contact));
        pushLater(change, roster.account, contact);
        if (other === undefined) return outside.end(change, roster.account, contact, state);
        if (state.startsWith("to") || state === "both" || state.includes("+out"))
          received(change, "unsubscribe", roster, other, said);
        if (state.startsWith("from") || state === "both" || state.includes("+in"))
          received(change, "unsubscribed", roster, other, said);
      });
    },
  };
}

function nothingSaid(said: Said): Said {
  return { id: undefined, epoch: said.epoch, payload: Buffer.alloc(0) };
}

/** XEP-0191 §3.5: who blocks somebody does not write to him either. */
function blockedByUs(): StanzaError {
  return stanzaError("not-acceptable", { application: x("blocked", { xmlns: ns.blockingErrors }) });
}
