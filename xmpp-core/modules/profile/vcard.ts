import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import { photoOfCard } from "../../routing/account-cards.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqRequest, OpenRequest } from "../../routing/handlers.ts";
import { read, write } from "../../storage/statement.ts";
import { join, rawXml, serialise, serialiseChildren, type Xml, x } from "../../xml/writer.ts";
import { accountTurns } from "../account-turns.ts";
import { type Core, defineModule } from "../module.ts";
import { cards, type Photo, photoChanged } from "../personal-points.ts";
import { type FieldName, parseCard, writeCard } from "./card.ts";
import { hostFields, ownFacts } from "./host-fields.ts";
import { photoElement, photoHash, photoIn } from "./photo.ts";
import { vcard4, vcard4Migration } from "./vcard4.ts";

const migration = {
  name: "0014_vcard",
  sql: `
    CREATE TABLE vcard (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, epoch INTEGER NOT NULL, payload BLOB NOT NULL
    );`,
};
const put = write<[account: number, epoch: number, payload: Buffer]>(
  "INSERT OR REPLACE INTO vcard (account, epoch, payload) VALUES (?, ?, ?)",
);
const one = read<[account: number], { epoch: number; payload: Uint8Array }>(
  "SELECT epoch, payload FROM vcard WHERE account = ?",
);

const largest = 256 * 1024;

/**
 * Contact cards in both forms. Everybody may read them. What the host knows of a person is the host's: it stands in
 * the card in place of what the person wrote there. XEP-0054, XEP-0292
 */
export const vcard = defineModule({
  name: "vcard",
  implements: [
    { spec: "XEP-0054", version: "1.3.0", status: "complete" },
    {
      spec: "XEP-0292",
      version: "0.12.0",
      status: "complete",
      note: "one card in both forms, as far as both have the fields",
    },
  ],
  features: [ns.vcard, ns.vcard4],
  accountFeatures: [ns.vcard, ns.vcard4],
  migrations: [migration, vcard4Migration],
  addresses: [{ within: [[ns.vcard, "vCard"]], element: [ns.vcard, "JABBERID"], text: true }],
  start,
});

/** A person's own card as it is stored, without what the host says. */
export interface OwnCard {
  readonly element: Element;
  readonly epoch: number;
}

/** The cards on disk, for both forms. */
export interface CardStore {
  own(account: Account): Promise<OwnCard | undefined>;
  /** Replaces the stored card; resolves when it is on disk. */
  put(account: Account, card: Xml, epoch: number): Promise<void>;
}

function start(core: Core) {
  const { router, names, storage } = core;
  const turn = accountTurns();

  const store: CardStore = {
    async own(account) {
      const found = (await storage.read(one, account.id))[0];
      return found && { element: parseCard(found.payload), epoch: found.epoch };
    },
    async put(account, card, epoch) {
      await storage.settled(storage.commit([put.with(account.id, epoch, Buffer.from(card))]));
    },
  };
  const four = vcard4(core, store, turn);

  async function hostPhoto(account: Account): Promise<Photo | undefined> {
    if (account.card?.photo === undefined) return undefined;
    const found = (await storage.read(photoOfCard, account.id))[0];
    if (found === undefined || found.photo === null || found.photo_type === null) return undefined;
    return { type: found.photo_type, data: Buffer.from(found.photo) };
  }

  core.offer(cards, {
    async photo(account) {
      const own = account.card?.photo === undefined ? await store.own(account) : undefined;
      return own === undefined ? hostPhoto(account) : photoIn(own.element);
    },
    setPhoto: (account, photo) =>
      turn(account, async () => {
        const own = await store.own(account);
        const rest = own?.element.getChildElements().filter((child) => !child.is("PHOTO")) ?? [];
        const children = rest.map((child) => rawXml(serialise(child, ns.vcard)));
        const card = x("vCard", { xmlns: ns.vcard }, children, photo && photoElement(photo));
        // A picture that nobody could write into his card is not put there.
        if (card.length <= largest) await store.put(account, card, own?.epoch ?? names.epochOf(names.primary.name));
      }),
  });

  async function fetch(request: OpenRequest): Promise<IqAnswer> {
    const { account, session, view } = request;
    // The same answer whether or not there is such an account (XEP-0054 §3.3): no oracle for names.
    if (account === undefined || account.probe) return request.error(stanzaError("service-unavailable"));
    const found = (await storage.read(one, account.id))[0];
    const own = found && router.views.payload(Buffer.from(found.payload), names.epochName(found.epoch), view);
    const host = hostFields(account);
    const photo = await hostPhoto(account);
    const facts = own === undefined && host.size === 0 ? ownFacts(account) : host;
    if (facts.size === 0 && photo === undefined) {
      if (own !== undefined) return request.result(rawXml(own));
      return account === session?.account
        ? request.result(x("vCard", { xmlns: ns.vcard }))
        : request.error(stanzaError("service-unavailable"));
    }
    const element = own && parseCard(own);
    if (photo !== undefined && element !== undefined)
      element.children = element.children.filter((child) => typeof child === "string" || !child.is("PHOTO"));
    const written = parseCard(Buffer.from(writeCard("temp", element, facts, new Set(facts.keys()))));
    const inside = join([rawXml(serialiseChildren(written, ns.vcard)), photo && photoElement(photo)]);
    return request.result(x("vCard", { xmlns: ns.vcard }, inside));
  }

  async function write(request: IqRequest): Promise<IqAnswer> {
    const { account, session, element } = request;
    if (account === undefined) return request.error(stanzaError("item-not-found"));
    const host = hostFields(account);
    const isHosts = account.card?.photo !== undefined;
    const payload = Buffer.from(
      host.size === 0 && !isHosts
        ? serialise(element, ns.client)
        : withoutHosts(element, new Set(host.keys()), isHosts),
    );
    if (payload.length > largest)
      return request.error(
        stanzaError("policy-violation", { text: `A contact card may have ${largest / 1024} KiB at most.` }),
      );
    const { before, after } = await turn(account, async () => {
      const own = isHosts ? undefined : await store.own(account);
      const ticket = core.sessions.commit(session, [put.with(account.id, names.epochOf(session.view), payload)]);
      await storage.settled(ticket);
      await four.follow(account);
      return { before: own && photoIn(own.element), after: ticket };
    });
    // Not in that turn: who is told may be waiting for it.
    if (!isHosts) await tellPhoto(account, before, photoIn(element));
    return request.result(undefined, after);
  }

  async function tellPhoto(account: Account, before: Photo | undefined, now: Photo | undefined): Promise<void> {
    if (before === now || (before && now && photoHash(before) === photoHash(now))) return;
    for (const listener of core.offered(photoChanged)) await listener.photoChanged(account, now);
  }

  return {
    iq: [
      { get: [ns.vcard, "vCard"], at: ["account"], by: "anyone", open: true, answer: fetch },
      { set: [ns.vcard, "vCard"], at: ["account"], answer: write },
      ...four.iq,
    ] as const,
    session: four.session,
    account: four.account,
    ready: four.ready,
  };
}

/** What a person writes into fields of the host is left out: reading shows the host's anyway. */
function withoutHosts(element: Element, names: ReadonlySet<FieldName>, photo: boolean): Xml {
  if (photo) element.children = element.children.filter((child) => typeof child === "string" || !child.is("PHOTO"));
  return writeCard("temp", element, new Map(), names);
}
