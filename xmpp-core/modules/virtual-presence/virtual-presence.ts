import { ns } from "../../formats/namespaces.ts";
import { isStanzaError, type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { read, type Write, write } from "../../storage/statement.ts";
import { serialiseChildren } from "../../xml/writer.ts";
import { afterRestart } from "../after-restart.ts";
import { components, componentWatch, virtualPresences } from "../component-points.ts";
import { type Core, defineModule } from "../module.ts";
import { presences, visibility } from "../points.ts";
import { endOf, rendererOf, shownPresences, type Virtual } from "./shown.ts";

/** Presence that components show for people and teams: one more resource that nobody writes to. docs/components.md */
export const virtualPresence = defineModule({
  name: "virtual-presence",
  implements: [],
  migrations: [
    {
      name: "0061_virtual-presence",
      sql: `CREATE TABLE virtual_presence (
        account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, resource TEXT NOT NULL,
        PRIMARY KEY (account, resource)
      ) WITHOUT ROWID;`,
    },
  ],
  start,
});

// Which resources are shown is kept, so that after a restart those that did not come back can be ended.
const allShown = read<[], { account: number; resource: string }>("SELECT account, resource FROM virtual_presence");
const putShown = write<[account: number, resource: string]>(
  "INSERT OR IGNORE INTO virtual_presence (account, resource) VALUES (?, ?)",
);
const dropShown = write<[account: number, resource: string]>(
  "DELETE FROM virtual_presence WHERE account = ? AND resource = ?",
);
const dropAll = write<[]>("DELETE FROM virtual_presence");

const mostAtOnce = 1000;
const mostOfOne = 100_000;
const longestPayload = 4096;
const endedAtOnce = 100;

function start(core: Core) {
  const { names, accounts, router, storage } = core;
  const shown = shownPresences();
  let ghosts: readonly { account: Account; resource: string }[] = [];
  /** Resources whose end is still to be told, in order. */
  const ending: Virtual[] = [];

  const isFree = ({ account, resource }: Pick<Virtual, "account" | "resource">): boolean =>
    !account.sessions.some((session) => session.resource === resource);

  core.offer(virtualPresences, {
    get any() {
      return shown.size > 0;
    },
    current(account, view, to, resource) {
      if (shown.size === 0) return [];
      const found: ReturnType<ReturnType<typeof rendererOf>>[] = [];
      for (const virtual of shown.of(account))
        if ((resource === undefined || resource === virtual.resource) && isFree(virtual))
          found.push(rendererOf(names, router.views, virtual)(view, to));
      return found;
    },
    ended: (account, view, to) =>
      [...shown.of(account)].filter(isFree).map((virtual) => endOf(names, virtual, view, to)),
  });

  // ---------------------------------------------------------------- telling

  function tellShown(virtual: Virtual): void {
    if (!isFree(virtual)) return;
    const render = rendererOf(names, router.views, virtual);
    for (const one of core.offered(presences)) one.tell(virtual.account, virtual.resource, render);
  }

  function tellEnd(virtual: Pick<Virtual, "account" | "resource">): void {
    if (!isFree(virtual) || shown.get(virtual.account, virtual.resource) !== undefined) return;
    for (const one of core.offered(presences))
      one.tell(virtual.account, virtual.resource, (view, to) => endOf(names, virtual, view, to));
  }

  /** Ends many in slices: a telephone system that goes away takes everybody's telephone with it. */
  function endLater(gone: readonly Virtual[]): void {
    if (gone.length === 0) return;
    const idle = ending.length === 0;
    for (const virtual of gone) shown.drop(virtual);
    storage.commit(gone.map(({ account, resource }) => dropShown.with(account.id, resource)));
    ending.push(...gone);
    if (idle) endSlice();
  }

  function endSlice(): void {
    for (const virtual of ending.splice(0, endedAtOnce)) tellEnd(virtual);
    if (ending.length > 0) setImmediate(endSlice);
  }

  // ---------------------------------------------------------------- what components set

  /** One presence of a request: to be shown, or to be ended. */
  function parse(
    element: ReturnType<OpenRequest["element"]["getChildElements"]>[number],
    label: string,
    view: string,
  ): { virtual: Virtual; ends: boolean } | StanzaError {
    const bad = (text: string): StanzaError => stanzaError("bad-request", { text });
    const { from, type } = element.attrs;
    const address = typeof from === "string" ? parseJid(from) : undefined;
    if (!element.is("presence", ns.client) || address === undefined)
      return bad("Each child is a presence with from, the full address it is shown for.");
    const place = names.locate(address);
    if (place.at !== "account" || place.resource === "")
      return bad(`"${from}" is no full address of a person or team.`);
    const account = accounts.get(place.served.id, place.name);
    if (account === undefined || account.probe || (!account.enabled && !account.contact))
      return stanzaError("item-not-found", { text: `There is no ${place.name}.` });
    if (type !== undefined && type !== "unavailable") return bad("A presence is available or unavailable.");
    for (const priority of element.getChildren("priority", ns.client)) element.remove(priority);
    const inside = Buffer.from(`${serialiseChildren(element, ns.client)}<priority>-1</priority>`);
    if (inside.length > longestPayload) return bad(`A presence has at most ${longestPayload} bytes.`);
    const lang: unknown = element.attrs["xml:lang"];
    const said = { payload: inside, lang: typeof lang === "string" ? lang : undefined };
    const virtual = { account, resource: place.resource, label, view, ...said };
    return { virtual, ends: type === "unavailable" };
  }

  function set(request: OpenRequest): IqAnswer {
    const registry = core.offered(components)[0];
    const label = request.session === undefined ? registry?.speaker(request.from) : undefined;
    if (label === undefined || registry?.grants(label).virtualPresence !== true)
      return request.error(stanzaError("forbidden", { text: "This needs the right virtual-presence." }));
    const elements = request.element.getChildElements();
    if (elements.length > mostAtOnce)
      return request.error(stanzaError("bad-request", { text: `At most ${mostAtOnce} presences in one request.` }));
    const wanted: { virtual: Virtual; ends: boolean }[] = [];
    for (const element of elements) {
      const read = parse(element, label, request.view);
      if (isStanzaError(read)) return request.error(read);
      const owner: string = shown.get(read.virtual.account, read.virtual.resource)?.label ?? label;
      if (owner !== label)
        return request.error(stanzaError("conflict", { text: `Another component shows ${read.virtual.resource}.` }));
      wanted.push(read);
    }
    const before = new Set(shown.by(label));
    if (before.size + wanted.length > mostOfOne + mostAtOnce)
      return request.error(stanzaError("resource-constraint", { text: "Too many presences are shown already." }));
    const writes: Write[] = [];
    for (const { virtual, ends } of wanted) {
      const known = shown.get(virtual.account, virtual.resource);
      if (known !== undefined) before.delete(known);
      if (ends) {
        if (known === undefined) continue;
        shown.drop(known);
        writes.push(dropShown.with(virtual.account.id, virtual.resource));
        tellEnd(virtual);
        continue;
      }
      if (known === undefined) writes.push(putShown.with(virtual.account.id, virtual.resource));
      shown.put(virtual);
      // What everybody knows is not told again: after a reconnection all of it comes.
      if (known?.payload.equals(virtual.payload) !== true || known.view !== virtual.view) tellShown(virtual);
    }
    if (request.element.attrs.whole === "true") endLater([...before]);
    if (writes.length > 0) storage.commit(writes);
    return request.result();
  }

  // ---------------------------------------------------------------- what happens to others

  core.offer(componentWatch, {
    gone: (label) => endLater([...shown.by(label)]),
    grantsChanged({ label }) {
      if (core.offered(components)[0]?.grants(label).virtualPresence !== true) endLater([...shown.by(label)]);
    },
  });

  async function load(): Promise<void> {
    const rows = await storage.read(allShown);
    ghosts = rows.flatMap(({ account: id, resource }) => {
      const account = accounts.byId(id);
      return account === undefined ? [] : [{ account, resource }];
    });
    if (rows.length > 0) storage.commit([dropAll.with()]);
  }

  /** Clients that outlived a restart still show what its predecessor showed. */
  const restarted = afterRestart(core, (sessions) => {
    for (const session of sessions) core.seeThrough("presence", endGhosts(session));
  });

  async function endGhosts(session: Session): Promise<void> {
    if (ghosts.length === 0 || session.priority === undefined) return;
    const sight = core.offered(visibility)[0];
    for (let loading = sight?.load(session.account); loading !== undefined; loading = sight?.load(session.account))
      await loading;
    for (const ghost of ghosts) {
      if (shown.get(ghost.account, ghost.resource) !== undefined || !isFree(ghost)) continue;
      if (ghost.account === session.account || sight?.sees(session.account, ghost.account) === true)
        router.send(session, endOf(names, ghost, session.view, session.bareAddress));
    }
  }

  /** A client that takes the resource speaks for itself; when it goes, the component's word counts again. */
  function sessionGone(session: Session): void {
    const behind = shown.get(session.account, session.resource);
    // Behind the presence that ends the session.
    if (behind !== undefined)
      setImmediate(() => shown.get(behind.account, behind.resource) === behind && tellShown(behind));
  }

  function leave(account: Account): Write[] {
    const gone = [...shown.of(account)];
    for (const virtual of gone) shown.drop(virtual);
    return gone.map(({ resource }) => dropShown.with(account.id, resource));
  }

  return {
    ready: load(),
    iq: [
      {
        set: [ns.virtualPresence, "presences"] as const,
        at: ["server"] as const,
        by: "anyone" as const,
        open: true as const,
        answer: set,
      },
    ],
    session: { closed: sessionGone, restored: restarted.restored },
    account: {
      renamed(account: Account) {
        for (const virtual of shown.of(account)) tellShown(virtual);
      },
      changed(account: Account) {
        if (!account.enabled && !account.contact) endLater([...shown.of(account)]);
      },
      setAside: leave,
      removed: leave,
    },
  };
}
