import { createHash } from "node:crypto";
import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqHandler, IqRequest, OpenRequest } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { rawXml, serialise, type Xml, x } from "../../xml/writer.ts";
import type { AccountTurns } from "../account-turns.ts";
import type { Core } from "../module.ts";
import { type PersonalNodes, personalNodeChanged, personalNodes } from "../personal-points.ts";
import { allFields, type Card, canonicalCard, overlaid, parseCard, readCard, without, writeCard } from "./card.ts";
import { hostFields, ownFacts } from "./host-fields.ts";
import type { CardStore } from "./vcard.ts";

const largest = 256 * 1024;
const itemId = "current";
/** What of the host's fields the node has, as a hash: at login nothing is read of those whose fields are the same. */
export const vcard4Migration = {
  name: "0057_vcard4",
  sql: `
    CREATE TABLE vcard4_host (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, hash TEXT NOT NULL
    );`,
};
const allMarks = read<[], { account: number; hash: string }>("SELECT account, hash FROM vcard4_host");
const putMark = write<[account: number, hash: string]>(
  "INSERT OR REPLACE INTO vcard4_host (account, hash) VALUES (?, ?)",
);

/** As open as the other form is. */
const open = { access_model: "open", persist_items: "true", max_items: "1" };

/**
 * The card as vCard4, by request and in the person's node. Both forms say the same as far as both can: what one gets
 * the other follows. A node that is not open is the person's own matter and does not show in vcard-temp. XEP-0292
 */
export interface VCard4 {
  readonly iq: readonly IqHandler[];
  readonly session: { opened(session: Session): void };
  readonly account: {
    changed(account: Account): void;
    setAside(account: Account): Write[];
    removed(account: Account): Write[];
  };
  readonly ready: Promise<void>;
  /** vcard-temp or the host's fields are others: the node follows. */
  follow(account: Account): Promise<void>;
}

export function vcard4(core: Core, store: CardStore, turn: AccountTurns): VCard4 {
  const nodes = (): PersonalNodes | undefined => core.offered(personalNodes)[0];

  /** The item in force. */
  async function current(account: Account) {
    const item = (await nodes()?.items(account, ns.vcard4Node))?.at(-1);
    return item && { ...item, element: parseCard(item.payload) };
  }

  /** What vcard-temp says, in the form that both can say. */
  async function said(account: Account): Promise<Card> {
    const own = await store.own(account);
    const host = hostFields(account);
    const card = own === undefined ? (host.size === 0 ? ownFacts(account) : new Map()) : readCard("temp", own.element);
    return bothCanSay(overlaid(card, host));
  }

  async function publish(account: Account, card: Xml): Promise<void> {
    const epoch = core.names.epochOf(core.names.primary.name);
    await nodes()?.publish(account, ns.vcard4Node, [{ id: itemId, payload: Buffer.from(card), epoch }], open);
  }

  async function follow(account: Account): Promise<void> {
    const item = await current(account);
    const card = await said(account);
    const present = item && bothCanSay(readCard("four", item.element));
    if (present === undefined ? card.size === 0 : canonicalCard(present) === canonicalCard(card)) return;
    await publish(account, writeCard("four", item?.element, card, allFields));
  }

  /** The node has another card: vcard-temp gets what the person says there, and the node what the host says. */
  async function taken(account: Account): Promise<void> {
    const item = await current(account);
    if (item === undefined || (await nodes()?.accessModel(account, ns.vcard4Node)) !== "open") return;
    const given = bothCanSay(readCard("four", item.element));
    const present = await said(account);
    if (canonicalCard(given) === canonicalCard(present)) return;
    const hosts = new Set(hostFields(account).keys());
    const names = new Set([...allFields].filter((name) => !hosts.has(name)));
    if (canonicalCard(without(given, hosts)) !== canonicalCard(without(present, hosts))) {
      const own = await store.own(account);
      const epoch = own?.epoch ?? core.names.epochOf(core.names.primary.name);
      await store.put(account, writeCard("temp", own?.element, given, names), epoch);
    }
    await follow(account);
  }

  const background = (account: Account, work: () => Promise<void>): void => {
    core.seeThrough(`contact card of ${account.name}`, turn(account, work));
  };

  core.offer(personalNodeChanged, {
    personalNodeChanged({ account, node, published }) {
      if (node === ns.vcard4Node && published.length > 0) background(account, () => taken(account));
    },
  });

  async function fetch(request: OpenRequest): Promise<IqAnswer> {
    const { account, session } = request;
    if (account === undefined || account.probe) return request.error(stanzaError("item-not-found"));
    const isOwn = account === session?.account;
    const shown = isOwn || (await nodes()?.accessModel(account, ns.vcard4Node)) === "open";
    const item = shown ? await current(account) : undefined;
    const host = hostFields(account);
    if (item !== undefined)
      return request.result(
        host.size === 0 ? rawXml(item.payload) : writeCard("four", item.element, host, new Set(host.keys())),
      );
    const card = await said(account);
    if (card.size === 0 && !isOwn) return request.error(stanzaError("item-not-found"));
    return request.result(
      card.size === 0 ? x("vcard", { xmlns: ns.vcard4 }) : writeCard("four", undefined, card, allFields),
    );
  }

  async function replace(request: IqRequest): Promise<IqAnswer> {
    const { account, element } = request;
    if (account === undefined || nodes() === undefined) return request.error(stanzaError("item-not-found"));
    const card = rawXml(serialise(element, ns.client));
    if (card.length > largest)
      return request.error(
        stanzaError("policy-violation", { text: `A contact card may have ${largest / 1024} KiB at most.` }),
      );
    return turn(account, async () => {
      await publish(account, card);
      await taken(account);
      return request.result();
    });
  }

  const marks = new Map<number, string>();
  const ready = core.storage.read(allMarks).then((rows) => {
    for (const { account, hash } of rows) marks.set(account, hash);
  });

  /** At login rather than at every change of the host, which may be one of everybody. */
  function followHost(account: Account): void {
    if (account.card === undefined && !marks.has(account.id)) return;
    const mark = createHash("sha256")
      .update(canonicalCard(hostFields(account)))
      .digest("base64");
    if (marks.get(account.id) === mark) return;
    marks.set(account.id, mark);
    background(account, async () => {
      await follow(account);
      await core.storage.write([putMark.with(account.id, mark)]);
    });
  }

  function forget({ id }: Account): Write[] {
    marks.delete(id);
    return [];
  }

  return {
    follow,
    iq: [
      { get: [ns.vcard4, "vcard"], at: ["account"], by: "anyone", open: true, answer: fetch },
      { set: [ns.vcard4, "vcard"], at: ["account"], answer: replace },
    ],
    session: { opened: ({ account }) => followHost(account) },
    account: {
      changed(account) {
        if (account.sessions.length > 0) followHost(account);
      },
      setAside: forget,
      removed: forget,
    },
    ready,
  };
}

/** What is left of a card that went through both forms: two that say the same are the same then. */
function bothCanSay(card: Card): Card {
  const temp = readCard("temp", parseCard(Buffer.from(writeCard("temp", undefined, card, allFields))));
  return readCard("four", parseCard(Buffer.from(writeCard("four", undefined, temp, allFields))));
}
