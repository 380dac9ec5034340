import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { ns } from "../formats/namespaces.ts";
import { bare, formatJid, parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import { parseDocument } from "../xml/document.ts";
import { limitsAfterLogin } from "../xml/limits.ts";
import { rawXml, serialise, text, type Xml, x } from "../xml/writer.ts";
import { accountTurns } from "./account-turns.ts";
import { type Core, defineModule } from "./module.ts";
import { type NodeItem, personalNodeChanged, personalNodes, privateElement } from "./personal-points.ts";

const privately = {
  ...{ access_model: "whitelist", persist_items: "true", send_last_published_item: "never" },
};
const features = [`${ns.bookmarks}#compat`, `${ns.bookmarks}#compat-pep`];

/**
 * A person's bookmarks are the items of one node; the list of XEP-0048 in private storage and in its own node is
 * another view of them, which older clients read and write. XEP-0402 §5.3
 */
export const bookmarks = defineModule({
  name: "bookmarks",
  implements: [
    { spec: "XEP-0402", version: "1.2.0", status: "complete" },
    {
      spec: "XEP-0048",
      version: "1.2",
      status: "complete",
      note: "as a view of XEP-0402, in PEP and in private storage",
    },
  ],
  features,
  accountFeatures: features,
  start,
});

/** One room, however it is written. */
interface Bookmark {
  readonly name: string | undefined;
  readonly autojoin: boolean;
  readonly nick: string | undefined;
  readonly password: string | undefined;
  /** What clients add, as elements of their own namespaces, by namespace and name. */
  readonly extensions: ReadonlyMap<string, Xml>;
}

function start(core: Core) {
  const { names } = core;
  const turn = accountTurns();
  const nodes = () => core.offered(personalNodes)[0];
  /** Hashes of lists that were written from here and are about to be told as changes, per account. */
  const echoes = new Map<number, string[]>();

  core.offer(privateElement, {
    element: [ns.legacyBookmarks, "storage"],
    async read(account, view, kept) {
      return storage(view, await items(account), kept);
    },
    async write(account, view, given, how) {
      await turn(account, () => takeOver(account, given, view, how));
      return x("storage", { xmlns: ns.legacyBookmarks }, otherChildren(given));
    },
  });
  core.offer(personalNodeChanged, {
    personalNodeChanged({ account, node, published }) {
      if (node === ns.bookmarks) background(account, () => writeList(account));
      const list = node === ns.legacyBookmarks ? published.at(-1) : undefined;
      if (list === undefined || isEcho(account, list.payload)) return;
      background(account, () => takeOver(account, parse(list.payload), names.epochName(list.epoch), "replace"));
    },
  });

  function background(account: Account, work: () => Promise<void>): void {
    core.seeThrough(`bookmarks of ${account.name}`, turn(account, work));
  }

  const items = async (account: Account): Promise<readonly NodeItem[]> =>
    (await nodes()?.items(account, ns.bookmarks)) ?? [];

  /** A room's address as `view` sees it; undefined: it is none. */
  function room(address: unknown, view: string): string | undefined {
    const parsed = typeof address === "string" ? parseJid(address) : undefined;
    return parsed && names.absolute(names.relative(bare(parsed)), view);
  }

  /** The list of XEP-0048 under `view`: the rooms of `from`, and what else `kept` has. */
  function storage(view: string, from: readonly NodeItem[], kept: Element | undefined): Xml {
    const rooms = from.map(({ id, payload }) => {
      const { name, autojoin, nick, password, extensions } = readItem(parse(payload));
      return x(
        "conference",
        { jid: room(id, view) ?? id, name, autojoin: autojoin || undefined },
        nick !== undefined && x("nick", {}, text(nick)),
        password !== undefined && x("password", {}, text(password)),
        [...extensions.values()],
      );
    });
    return x("storage", { xmlns: ns.legacyBookmarks }, rooms, kept && otherChildren(kept));
  }

  /** An older client wrote its list: what differs is published and, unless rooms are only added, retracted. */
  async function takeOver(account: Account, list: Element, view: string, how: "replace" | "add"): Promise<void> {
    const primary = names.primary.name;
    const present = new Map((await items(account)).map((item) => [room(item.id, primary) ?? item.id, item]));
    const wanted = new Map<string, Element>();
    for (const conference of list.getChildren("conference", ns.legacyBookmarks)) {
      const id = room(conference.attrs.jid, view) === undefined ? undefined : room(conference.attrs.jid, primary);
      if (id !== undefined) wanted.set(id, conference);
    }
    const epoch = names.epochOf(primary);
    const changed: { id: string; payload: Buffer; epoch: number }[] = [];
    for (const [id, conference] of wanted) {
      const item = present.get(id);
      if (item !== undefined && how === "add") continue;
      const before = item && parse(item.payload);
      const known = before && readItem(before);
      const given = readListed(conference);
      // A client that does not know an extension leaves it out, which is not meant to remove it.
      const now = { ...given, extensions: new Map([...(known?.extensions ?? []), ...given.extensions]) };
      if (known === undefined || canonical(known) !== canonical(now))
        changed.push({ id, epoch, payload: Buffer.from(conferenceElement(now)) });
    }
    const gone = how === "add" ? [] : [...present].filter(([id]) => !wanted.has(id)).map(([, { id }]) => id);
    if (changed.length > 0) await nodes()?.publish(account, ns.bookmarks, changed, { ...privately, max_items: "max" });
    if (gone.length > 0) await nodes()?.retract(account, ns.bookmarks, gone);
  }

  /** The node of XEP-0048 follows the bookmarks. */
  async function writeList(account: Account): Promise<void> {
    const primary = names.primary.name;
    const item = (await nodes()?.items(account, ns.legacyBookmarks))?.at(-1);
    const before = item && parse(item.payload);
    const now = await items(account);
    if (before === undefined && now.length === 0) return;
    const list = storage(primary, now, before);
    if (before !== undefined && sameLists(before, parse(Buffer.from(list)))) return;
    const payload = Buffer.from(list);
    echoes.set(account.id, [...(echoes.get(account.id) ?? []).slice(-9), hashOf(payload)]);
    const current = { id: item?.id ?? "current", payload, epoch: names.epochOf(primary) };
    await nodes()?.publish(account, ns.legacyBookmarks, [current], privately);
  }

  function isEcho(account: Account, payload: Buffer): boolean {
    const expected = echoes.get(account.id) ?? [];
    const place = expected.indexOf(hashOf(payload));
    if (place < 0) return false;
    const left = expected.toSpliced(place, 1);
    if (left.length === 0) echoes.delete(account.id);
    else echoes.set(account.id, left);
    return true;
  }

  function forget({ id }: Account) {
    echoes.delete(id);
    return [];
  }
  return { account: { setAside: forget, removed: forget } };
}

const hashOf = (payload: Buffer): string => createHash("sha256").update(payload).digest("base64");

// What is stored was read within the limits in force at the time.
const stored = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER, elements: Number.MAX_SAFE_INTEGER };
const parse = (payload: Buffer): Element => parseDocument(payload, stored);

const isTrue = (value: unknown): boolean => value === "true" || value === "1";
const attribute = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined;

/** A conference element of XEP-0402. */
function readItem(conference: Element): Bookmark {
  return readFields(
    conference,
    ns.bookmarks,
    conference.getChild("extensions", ns.bookmarks)?.getChildElements() ?? [],
  );
}

/** A conference element of XEP-0048: what is not of its own namespace is somebody's extension. */
function readListed(conference: Element): Bookmark {
  const others = conference.getChildElements().filter((child) => child.getNS() !== ns.legacyBookmarks);
  return readFields(conference, ns.legacyBookmarks, others);
}

function readFields(conference: Element, xmlns: string, extensions: readonly Element[]): Bookmark {
  return {
    name: attribute(conference.attrs.name),
    autojoin: isTrue(conference.attrs.autojoin),
    nick: attribute(conference.getChild("nick", xmlns)?.getText()),
    password: attribute(conference.getChild("password", xmlns)?.getText()),
    extensions: new Map(
      extensions.map((each) => [`${each.getNS()} ${each.getName()}`, rawXml(serialise(each, xmlns))]),
    ),
  };
}

function conferenceElement({ name, autojoin, nick, password, extensions }: Bookmark): Xml {
  return x(
    "conference",
    { xmlns: ns.bookmarks, name, autojoin: autojoin || undefined },
    nick !== undefined && x("nick", {}, text(nick)),
    password !== undefined && x("password", {}, text(password)),
    extensions.size > 0 && x("extensions", {}, [...extensions.values()]),
  );
}

function canonical({ name, autojoin, nick, password, extensions }: Bookmark): string {
  return JSON.stringify([
    name,
    autojoin,
    nick,
    password,
    [...extensions].sort(([one], [other]) => (one < other ? -1 : 1)),
  ]);
}

/** Whether two lists of XEP-0048 name the same rooms in the same way. */
function sameLists(one: Element, other: Element): boolean {
  const rooms = (list: Element): string =>
    JSON.stringify(
      list
        .getChildren("conference", ns.legacyBookmarks)
        .map((each) => {
          const jid = parseJid(String(each.attrs.jid ?? ""));
          return [jid === undefined ? "" : formatJid(jid), canonical(readListed(each))];
        })
        .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
    );
  return rooms(one) === rooms(other);
}

/** What a list has besides rooms: addresses of web pages. */
function otherChildren(list: Element): Xml[] {
  const others = list.getChildElements().filter((child) => !child.is("conference", ns.legacyBookmarks));
  return others.map((child) => rawXml(serialise(child, ns.legacyBookmarks)));
}
