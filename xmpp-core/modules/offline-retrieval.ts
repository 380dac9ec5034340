import type { Element } from "ltx";
import { z } from "zod";
import { field } from "../formats/data-form.ts";
import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import type { IqAnswer, IqHandler, IqRequest } from "../routing/handlers.ts";
import { sessionState } from "../routing/session-state.ts";
import { renderStored, type StoredStanza } from "../routing/stored-stanzas.ts";
import { read, write } from "../storage/statement.ts";
import { x } from "../xml/writer.ts";
import type { Core } from "./module.ts";
import { accountNodes } from "./points.ts";
import { lateExtras } from "./stored-messages.ts";

/** A session that asked what waits, before its presence, gets nothing unasked. XEP-0013 §2.1 */
export const takesItself = sessionState("flexible offline", { schema: z.boolean(), initial: false });

const count = read<[account: number], { number: number }>("SELECT count(*) AS number FROM offline WHERE account = ?");
const headers = read<[account: number, most: number], { id: number; sender: string }>(
  "SELECT s.id, s.sender FROM offline o JOIN stanza s ON s.id = o.id WHERE o.account = ? ORDER BY o.id LIMIT ?",
);
const some = read<[account: number, ids: string], StoredStanza>(
  `SELECT s.* FROM offline o JOIN stanza s ON s.id = o.id
   WHERE o.account = ? AND o.id IN (SELECT value FROM json_each(?)) ORDER BY o.id`,
);
const next = read<[account: number, after: number, most: number], StoredStanza>(
  "SELECT s.* FROM offline o JOIN stanza s ON s.id = o.id WHERE o.account = ? AND o.id > ? ORDER BY o.id LIMIT ?",
);
const removeSome = write<[account: number, ids: string]>(
  "DELETE FROM offline WHERE account = ? AND id IN (SELECT value FROM json_each(?))",
);
const removeAll = write<[account: number]>("DELETE FROM offline WHERE account = ?");

const mostHeaders = 1000;
const mostNamed = 1000;
const slice = 100;

/** Lets clients look at what waits for them piece by piece. XEP-0013 */
export function offlineRetrieval(core: Core, removed: (account: number) => Promise<void>): readonly IqHandler[] {
  const { storage, names, router } = core;

  core.offer(accountNodes, {
    async info({ session, account }, node) {
      if (node !== ns.offline || session === undefined || session.account !== account) return undefined;
      takesItself.set(session, true);
      const waiting = (await storage.read(count, account.id))[0]?.number ?? 0;
      return {
        identities: [{ category: "automation", type: "message-list" }],
        features: [ns.offline],
        forms: [{ type: "result", formType: ns.offline, fields: [field("number_of_messages", waiting)] }],
      };
    },
    async items({ session, account, view }, node) {
      if (node !== ns.offline || session === undefined || session.account !== account) return undefined;
      takesItself.set(session, true);
      const found = await storage.read(headers, account.id, mostHeaders);
      const jid = session.bareAddress;
      return { items: found.map(({ id, sender }) => ({ jid, node: nodeOf(id), name: names.absolute(sender, view) })) };
    },
  });

  function show({ session }: IqRequest, row: StoredStanza): void {
    const inside = x("offline", { xmlns: ns.offline }, x("item", { node: nodeOf(row.id) }));
    const extras = [...lateExtras(core, session, row), inside];
    router.send(session, renderStored({ names, views: router.views }, row, session.view, extras));
  }

  /** The messages that the request names; undefined: one of them does not wait. */
  async function named(request: IqRequest, action: "view" | "remove"): Promise<readonly StoredStanza[] | undefined> {
    const items = request.element.getChildren("item", ns.offline);
    const ids = new Set(items.map(({ attrs }) => (attrs.action === action ? idOf(String(attrs.node ?? "")) : -1)));
    if (ids.size > mostNamed) return undefined;
    const rows = await storage.read(some, request.session.account.id, JSON.stringify([...ids]));
    return rows.length === ids.size ? rows : undefined;
  }

  const missing = (request: IqRequest): IqAnswer =>
    request.error(stanzaError("item-not-found", { text: "There is no such message, or it is no more." }));

  async function get(request: IqRequest): Promise<IqAnswer> {
    takesItself.set(request.session, true);
    if (asks(request.element, "fetch")) {
      for (let after = 0; ; ) {
        const rows = await storage.read(next, request.session.account.id, after, slice);
        for (const row of rows) show(request, row);
        const last = rows.at(-1);
        if (last === undefined) return request.result();
        after = last.id;
      }
    }
    const rows = await named(request, "view");
    if (rows === undefined || rows.length === 0) return missing(request);
    for (const row of rows) show(request, row);
    return request.result();
  }

  async function set(request: IqRequest): Promise<IqAnswer> {
    const { session, element } = request;
    const { id } = session.account;
    takesItself.set(session, true);
    const rows = asks(element, "purge") ? "all" : await named(request, "remove");
    if (rows === undefined || rows.length === 0) return missing(request);
    const change = rows === "all" ? removeAll.with(id) : removeSome.with(id, JSON.stringify(rows.map((row) => row.id)));
    const ticket = core.sessions.commit(session, [change]);
    // Its room is free again when the answer comes.
    await removed(id);
    return request.result(undefined, ticket);
  }

  return [
    { get: [ns.offline, "offline"], at: ["account"], answer: get },
    { set: [ns.offline, "offline"], at: ["account"], answer: set },
  ];
}

/** Nodes sort as the messages came. */
const nodeOf = (id: number): string => String(id).padStart(16, "0");
const idOf = (node: string): number => (/^\d{16}$/.test(node) ? Number(node) : -1);
const asks = (element: Element, what: string): boolean => element.getChild(what, ns.offline) !== undefined;
