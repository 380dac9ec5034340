import type { Element } from "ltx";
import { z } from "zod";
import { ns } from "../../formats/namespaces.ts";
import type { Account } from "../../routing/accounts.ts";
import type { Session } from "../../routing/session.ts";
import { sessionState } from "../../routing/session-state.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { parseStanza } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import { rawXml, text, type Xml, x } from "../../xml/writer.ts";
import { accountTurns } from "../account-turns.ts";
import { type Core, defineModule } from "../module.ts";
import { cards, type Photo, personalNodeChanged, personalNodes, photoChanged } from "../personal-points.ts";
import { type PresenceOccasion, presenceAmend, presences } from "../points.ts";
import { parseCard } from "./card.ts";
import { photoHash, sizeOf } from "./photo.ts";

const migration = {
  name: "0058_avatar",
  sql: `
    CREATE TABLE avatar (
      account INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE, hash TEXT NOT NULL, host INTEGER NOT NULL
    );`,
};
const put = write<[account: number, hash: string, host: number]>(
  "INSERT OR REPLACE INTO avatar (account, hash, host) VALUES (?, ?, ?)",
);
const all = read<[], { account: number; hash: string; host: number }>("SELECT account, hash, host FROM avatar");

/** Whether the client says in its presence that there is no picture: then nothing is added to it. XEP-0153 §3.1 */
const refuses = sessionState("no photo", { schema: z.boolean(), initial: false });

const open = { access_model: "open", persist_items: "true", max_items: "1" };

/** A larger picture has no room in a card. */
const largest = 180 * 1024;

/** The hash in force; "": the person had a picture and has none now. */
interface Known {
  readonly hash: string;
  /** It is the host's. */
  readonly host: boolean;
}

/**
 * One picture of a person in both places: the nodes of XEP-0084 and the card of XEP-0054; its hash in presence is the
 * server's business. What the host gives wins. XEP-0398
 */
export const avatars = defineModule({
  name: "avatars",
  implements: [
    { spec: "XEP-0084", version: "1.1.4", status: "complete", note: "kept as PEP nodes" },
    { spec: "XEP-0153", version: "1.1.1", status: "complete" },
    { spec: "XEP-0398", version: "1.0.0", status: "complete", note: "no conversion of image formats" },
  ],
  accountFeatures: [ns.avatarConversion],
  migrations: [migration],
  sessionState: [refuses],
  start,
});

function start(core: Core) {
  const known = new Map<number, Known>();
  const turn = accountTurns();
  const nodes = () => core.offered(personalNodes)[0];
  const ready = core.storage.read(all).then((rows) => {
    for (const { account, hash, host } of rows) known.set(account, { hash, host: host === 1 });
  });

  core.offer(presenceAmend, { amend });
  core.offer(photoChanged, { photoChanged: (account, photo) => turn(account, () => fromCard(account, photo, false)) });
  core.offer(personalNodeChanged, {
    personalNodeChanged({ account, node }) {
      if (node === ns.avatarMetadata) background(account, () => fromNodes(account));
    },
  });

  function background(account: Account, work: () => Promise<void>): void {
    core.seeThrough(`avatar of ${account.name}`, turn(account, work));
  }

  function amend(session: Session, payload: string, occasion: PresenceOccasion): string {
    const hash = known.get(session.account.id)?.hash;
    const said = payload.includes(ns.vcardUpdate);
    if (!said && hash === undefined) return payload;
    if (occasion === "again" && refuses.get(session)) return payload;
    const presence = said
      ? parseStanza(x("presence", { xmlns: ns.client }, rawXml(payload)), ns.client, anyLength)
      : undefined;
    const update = presence?.child(ns.vcardUpdate, "x");
    const photo = update?.getChild("photo", ns.vcardUpdate)?.getText().trim();
    if (occasion === "broadcast" && refuses.get(session) !== (photo === "")) refuses.set(session, photo === "");
    if (photo === "" && occasion !== "again") return payload;
    // What a client claims of a picture that nobody here has ever seen is its own matter.
    if (photo !== undefined && (hash === undefined || photo === hash)) return payload;
    if (update === undefined && hash === undefined) return payload;
    const rest = presence?.payload((child) => child.ns === ns.vcardUpdate && child.name === "x").toString() ?? payload;
    return `${rest}${x("x", { xmlns: ns.vcardUpdate }, x("photo", {}, text(hash ?? "")))}`;
  }

  /** From now on this is the hash; all who see the person are told. */
  async function remember(account: Account, hash: string, host: boolean): Promise<void> {
    known.set(account.id, { hash, host });
    await core.storage.write([put.with(account.id, hash, host ? 1 : 0)]);
    for (const one of core.offered(presences)) one.again(account);
  }

  async function fromCard(account: Account, photo: Photo | undefined, host: boolean): Promise<void> {
    const before = known.get(account.id);
    const hash = photo === undefined ? "" : photoHash(photo);
    if (hash === (before?.hash ?? "") && host === (before?.host ?? false)) return;
    // What is about to be published is nothing new to whoever watches the nodes.
    known.set(account.id, { hash, host });
    await publish(account, photo, hash);
    await remember(account, hash, host);
  }

  async function publish(account: Account, photo: Photo | undefined, hash: string): Promise<void> {
    const epoch = core.names.epochOf(core.names.primary.name);
    const item = (id: string, content: Xml) => [{ id, payload: Buffer.from(content), epoch }];
    if (photo === undefined) {
      await nodes()?.publish(
        account,
        ns.avatarMetadata,
        item("none", x("metadata", { xmlns: ns.avatarMetadata })),
        open,
      );
      return;
    }
    const data = x("data", { xmlns: ns.avatarData }, text(photo.data.toString("base64")));
    await nodes()?.publish(account, ns.avatarData, item(hash, data), open);
    const facts = { id: hash, bytes: photo.data.length, type: photo.type, ...sizeOf(photo) };
    const metadata = x("metadata", { xmlns: ns.avatarMetadata }, x("info", facts));
    await nodes()?.publish(account, ns.avatarMetadata, item(hash, metadata), open);
  }

  /** The person published another picture, or none. XEP-0398 §3 */
  async function fromNodes(account: Account): Promise<void> {
    const before = known.get(account.id);
    const latest = (await nodes()?.items(account, ns.avatarMetadata))?.at(-1);
    const info = latest && infoIn(parseCard(latest.payload));
    const hash = info?.hash ?? "";
    if (hash === (before?.hash ?? "")) return;
    const [one] = core.offered(cards);
    if (before?.host === true) {
      const photo = await one?.photo(account);
      if (photo !== undefined && photoHash(photo) === before.hash) return publish(account, photo, before.hash);
    }
    if (info === undefined) {
      await one?.setPhoto(account, undefined);
      return remember(account, "", false);
    }
    // A card is open to everybody: what is shown to some only does not go there. XEP-0398 §8
    if ((await nodes()?.accessModel(account, ns.avatarData)) !== "open") return;
    const item = (await nodes()?.items(account, ns.avatarData))?.find(({ id }) => id === hash);
    const data = item && Buffer.from(parseCard(item.payload).getText(), "base64");
    if (data === undefined || data.length > largest || photoHash({ type: info.type, data }) !== hash) return;
    await one?.setPhoto(account, { type: info.type, data });
    await remember(account, hash, false);
  }

  /** The host gives another picture than the one in force, or none any more. */
  function followHost(account: Account): void {
    const wanted = account.card?.photo?.sha1;
    const now = known.get(account.id);
    if (account.probe || (wanted === undefined ? now?.host !== true : wanted === now?.hash && now.host)) return;
    background(account, async () => {
      const [one] = core.offered(cards);
      await fromCard(account, await one?.photo(account), wanted !== undefined);
    });
  }

  function forget({ id }: Account): Write[] {
    known.delete(id);
    return [];
  }

  return {
    ready,
    session: { opened: ({ account }: Session) => followHost(account) },
    account: {
      changed(account: Account) {
        if (account.sessions.length > 0) followHost(account);
      },
      setAside: forget,
      removed: forget,
    },
  };
}

// It was read as part of a stanza before.
const anyLength = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER };

/** The picture that a card can hold: a PNG if there is one, and none that lies elsewhere. XEP-0084 §4.2.1 */
function infoIn(metadata: Element): { hash: string; type: string } | undefined {
  const here = metadata.getChildren("info", ns.avatarMetadata).flatMap(({ attrs: { id, type, url } }) => {
    const whole = typeof id === "string" && id !== "" && url === undefined;
    return whole ? [{ hash: id, type: typeof type === "string" ? type : "image/png" }] : [];
  });
  return here.find(({ type }) => type === "image/png") ?? here[0];
}
