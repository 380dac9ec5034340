import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { bare, type Jid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { OutsidePresence, PresenceFlow } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { rawXml, x } from "../../xml/writer.ts";
import { contactTokens } from "../account-points.ts";
import { components } from "../component-points.ts";
import type { Core } from "../module.ts";
import { blocking, presences } from "../points.ts";
import { type Change, newChange, pushLater, settle } from "./change.ts";
import { isInterested, type Pushes } from "./pushes.ts";
import { changeState, type Request, type Roster, type Rosters, stateWith } from "./rosters.ts";
import { inboundChanges, type State, type SubscriptionKind } from "./states.ts";

type Said = Pick<Request, "id" | "epoch" | "payload">;
const mostWaiting = 500;

/** What both roads do alike (subscriptions.ts). */
interface Shared {
  readonly rosters: Rosters;
  readonly pushes: Pushes;
  readonly sent: (change: Change, kind: SubscriptionKind, roster: Roster, contact: string) => boolean;
  readonly grants: (change: Change, roster: Roster, contact: string) => boolean;
  readonly tell: (
    kind: SubscriptionKind,
    from: string,
    to: Account,
    said: Said,
    wanted: (session: Session) => boolean,
  ) => () => void;
}

/** Subscriptions between accounts and contacts behind components: our side of RFC 6121 §3, the component has the other. */
export function outsideRoad(core: Core, { rosters, pushes, sent, grants, tell }: Shared) {
  const { names, accounts, router } = core;
  const isBlocked = (account: Account, address: Jid): boolean =>
    core.offered(blocking).some((one) => one.blocks(account, address));
  const shows = (roster: Roster, contact: string): boolean =>
    /^(?:from|both)/.test(roster.items.get(contact)?.subscription ?? "none");

  /** Once it is on disk, from the account's bare address. RFC 6121 §3.1.2 */
  function pass(change: Change, kind: SubscriptionKind, account: Account, contact: string, said?: Said): void {
    change.stanzas.push(() => {
      const address = parseJid(names.absolute(contact, names.primary.name));
      if (address === undefined) return;
      router.sendTo(address, (view, to) => {
        const payload = said === undefined ? "" : router.views.payload(said.payload, names.epochName(said.epoch), view);
        const from = names.absolute(`${account.name}@`, view);
        return x("presence", { from, to, type: kind, id: said?.id }, rawXml(payload));
      });
    });
  }

  /** Runs `work` and lets the account's presence begin or end for the contact where that follows from it. */
  function withFlow(change: Change, roster: Roster, contact: string, work: () => void): void {
    const before = shows(roster, contact);
    work();
    const after = shows(roster, contact);
    if (before === after) return;
    change.flows.push(() => core.offered(presences)[0]?.flowOutside(roster.account, contact, after));
  }

  async function handle(
    { session, stanza }: PresenceFlow,
    kind: SubscriptionKind,
    to: Jid,
    label: string,
  ): Promise<StanzaError | undefined> {
    const asks = kind === "subscribe" || kind === "subscribed";
    // Other services have no contacts.
    if (core.offered(components)[0]?.knows(label) !== true)
      return kind === "subscribe" ? stanzaError("service-unavailable") : undefined;
    if (asks && isBlocked(session.account, to))
      return stanzaError("not-acceptable", { application: x("blocked", { xmlns: ns.blockingErrors }) });
    if (kind === "subscribe" && router.service(label)?.link === undefined) return stanzaError("service-unavailable");
    const mine = rosters.get(session.account) ?? (await rosters.load(session.account));
    const contact = names.relative(to);
    const said: Said = { id: stanza.id, epoch: names.epochOf(session.view), payload: Buffer.from(stanza.payload()) };
    const change = newChange();
    withFlow(change, mine, contact, () => {
      if (sent(change, kind, mine, contact)) pass(change, kind, session.account, contact, said);
    });
    return settle(core, rosters, change, session, pushes.push);
  }

  async function receive({ stanza, from, view, place }: OutsidePresence): Promise<StanzaError | undefined> {
    const kind = stanza.type as SubscriptionKind;
    if (!["subscribe", "subscribed", "unsubscribe", "unsubscribed"].includes(kind)) return stanzaError("bad-request");
    const account = accounts.get(place.served.id, place.name);
    const contact = names.relative(bare(from));
    if (account === undefined || account.probe || account.contact) {
      // RFC 6121 §3.1.3, rule 1
      if (kind === "subscribe")
        router.sendTo(bare(from), (seen, to) =>
          x("presence", { type: "unsubscribed", from: names.absolute(`${place.name}@`, seen), to }),
        );
      return undefined;
    }
    const silent = isBlocked(account, from);
    if (silent && (kind === "subscribe" || kind === "subscribed")) return undefined;
    const mine = rosters.get(account) ?? (await rosters.load(account));
    const said: Said = { id: stanza.id, epoch: names.epochOf(view), payload: Buffer.from(stanza.payload()) };
    const change = newChange();
    change.touched.add(account);
    let refused: StanzaError | undefined;
    const invited = kind === "subscribe" && stateWith(mine, contact) !== "both";
    const used = invited ? core.offered(contactTokens)[0]?.use(account, undefined, stanza) : undefined;
    withFlow(change, mine, contact, () => {
      if (used !== undefined) {
        change.writes.push(...used.writes);
        welcome(change, mine, contact);
      } else if (kind === "subscribe") refused = asked(change, mine, contact, said);
      else heard(change, kind, mine, contact, silent ? undefined : said);
    });
    const failed = refused ?? (await settle(core, rosters, change, undefined, pushes.push));
    if (failed !== undefined) used?.undo();
    return failed;
  }

  /** What the contact answers, or takes back. */
  function heard(change: Change, kind: SubscriptionKind, mine: Roster, contact: string, said: Said | undefined): void {
    const after = inboundChanges[kind][stateWith(mine, contact)];
    if (after === undefined) return;
    const { writes, itemChanged } = changeState(mine, contact, after);
    change.writes.push(...writes);
    if (said !== undefined) change.stanzas.push(tell(kind, contact, mine.account, said, isInterested));
    if (itemChanged) pushLater(change, mine.account, contact);
  }

  /** Somebody who was invited: the request is granted, and one goes back, which the contact's side answers. XEP-0379 §3.4 */
  function welcome(change: Change, mine: Roster, contact: string): void {
    const sees = stateWith(mine, contact).startsWith("to");
    const { writes } = changeState(mine, contact, sees ? "both" : "from+out");
    change.writes.push(...writes);
    pushLater(change, mine.account, contact);
    pass(change, "subscribed", mine.account, contact);
    if (!sees) pass(change, "subscribe", mine.account, contact);
  }

  function asked(change: Change, mine: Roster, contact: string, said: Said): StanzaError | undefined {
    if (grants(change, mine, contact)) {
      pass(change, "subscribed", mine.account, contact);
      return undefined;
    }
    if (inboundChanges.subscribe[stateWith(mine, contact)] === undefined) return undefined;
    if (mine.requests.size >= mostWaiting)
      return stanzaError("resource-constraint", { text: "Too many people wait for an answer of this contact." });
    change.writes.push(...mine.ask({ contact, ...said }));
    change.stanzas.push(tell("subscribe", contact, mine.account, said, (session) => session.priority !== undefined));
    return undefined;
  }

  return {
    handle,
    receive,
    /** The user removed the contact: whatever linked them ends. RFC 6121 §2.5.2 */
    end(change: Change, account: Account, contact: string, state: State): void {
      if (!contact.endsWith(".")) return;
      if (state.startsWith("to") || state === "both" || state.includes("+out"))
        pass(change, "unsubscribe", account, contact);
      if (!state.startsWith("from") && state !== "both" && !state.includes("+in")) return;
      pass(change, "unsubscribed", account, contact);
      if (state.startsWith("from") || state === "both")
        change.flows.push(() => core.offered(presences)[0]?.flowOutside(account, contact, false));
    },
  };
}
