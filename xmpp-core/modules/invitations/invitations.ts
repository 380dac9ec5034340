import { ns } from "../../formats/namespaces.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, StrangerRequest } from "../../routing/handlers.ts";
import { x } from "../../xml/writer.ts";
import {
  accountMaking,
  acquaintance,
  contactTokens,
  type Invitation,
  invitations as point,
} from "../account-points.ts";
import { attempts } from "../attempts.ts";
import { type Core, defineModule } from "../module.ts";
import { commands } from "../points.ts";
import { type Entry, openBook } from "./book.ts";
import { invitationCommands } from "./commands.ts";
import { linksOf } from "./links.ts";
import { invitationAccounts, invitationContacts, invitationProperties } from "./properties.ts";
import * as tables from "./tables.ts";

/** Guesses of one address; who has a token needs one or two. */
const allowance = { atOnce: 20, everyMs: 60_000 };

/** People bring people: links that make an account, a contact, or both. XEP-0379, XEP-0401, XEP-0445 */
export const invitations = defineModule({
  name: "invitations",
  implements: [
    {
      spec: "XEP-0379",
      version: "0.3.2",
      status: "complete",
      note: "tokens of the server, for its own accounts; contacts behind components may show them too",
    },
    { spec: "XEP-0401", version: "0.6.0", status: "complete" },
    { spec: "XEP-0445", version: "0.3.0", status: "complete" },
  ],
  properties: invitationProperties,
  migrations: [tables.invitationsMigration],
  start,
});

function start(core: Core) {
  const book = openBook(core);
  const admitted = attempts(core, allowance);
  const shown = new WeakMap<object, Entry>();
  const entries = new WeakMap<Invitation, Entry>();
  const openToAll = (): boolean => core.offered(accountMaking)[0]?.open() === true;
  /** An invitation that was made while accounts were welcome makes none once they are not. */
  const makeAccounts = (): boolean => openToAll() || core.properties.get(invitationAccounts) !== "nobody";
  core.every(600_000, () => book.sweep());

  function find(token: string): Invitation | undefined {
    const entry = book.find(token);
    if (entry === undefined) return undefined;
    const invitation: Invitation = {
      ...{ served: entry.served, by: entry.by, name: entry.name, expiresAt: entry.expiresAt },
      makesAccount: entry.makesAccount && makeAccounts(),
      makesContact: entry.makesContact && core.properties.get(invitationContacts),
    };
    entries.set(invitation, entry);
    return invitation.makesAccount || entry.makesContact ? invitation : undefined;
  }

  /** Both become contacts; what a crash left open is done at the next start. */
  async function acquaint(newcomer: Account, by: Account): Promise<void> {
    const failed = await core.offered(acquaintance)[0]?.join(by, newcomer);
    if (failed === undefined) core.storage.commit([tables.dropInvited.with(newcomer.id)]);
  }

  core.offer(point, {
    makeAccounts,
    find,
    links: (invitation, token, view) => linksOf(core, invitation, token, view),
    shownOn: (stream) => {
      const entry = shown.get(stream);
      if (entry === undefined || !makeAccounts()) return undefined;
      const makesContact = entry.makesContact && core.properties.get(invitationContacts);
      const invitation = { ...entry, makesContact };
      entries.set(invitation, entry);
      return invitation;
    },
    keeps: book.keeps,
    use(invitation, newcomer) {
      const entry = entries.get(invitation);
      const taken = invitation.makesAccount && entry !== undefined ? book.take(entry) : undefined;
      if (taken === undefined) return undefined;
      const { by, makesContact } = invitation;
      return {
        undo: taken.undo,
        writes: [...taken.writes, ...(makesContact ? [tables.putInvited.with(newcomer.id, by.id)] : [])],
        done: () => (makesContact ? acquaint(newcomer, by) : Promise.resolve()),
      };
    },
  });

  core.offer(contactTokens, {
    use(by, newcomer, stanza) {
      const token: unknown = stanza.child(ns.preAuth, "preauth")?.attrs.token;
      if (typeof token !== "string" || !core.properties.get(invitationContacts)) return undefined;
      const entry = book.find(token);
      if (entry === undefined || entry.by !== by || !entry.makesContact || entry.name !== undefined) return undefined;
      return newcomer?.probe ? undefined : book.take(entry);
    },
  });

  for (const command of invitationCommands(core, book, {
    openToAll,
    refusesName: (served, name) => core.offered(accountMaking)[0]?.refusesName(served, name) === true,
  }))
    core.offer(commands, command);

  /** XEP-0445 §4: the stream may make an account from now on, also when the time of the token is over meanwhile. */
  function show({ element, remote, stream, served, secured, type, ...request }: StrangerRequest): IqAnswer {
    if (!secured) return request.error(stanzaError("not-allowed", { text: "Encrypt the connection first." }));
    const token: unknown = element.attrs.token;
    if (type !== "set" || typeof token !== "string") return request.error(stanzaError("bad-request"));
    if (!admitted(remote))
      return request.error(stanzaError("resource-constraint", { text: "Too many tokens were tried. Try later." }));
    const found = makeAccounts() ? book.find(token) : undefined;
    if (found === undefined || !found.makesAccount || found.served !== served.id)
      return request.error(stanzaError("item-not-found", { text: "The provided token is invalid or expired." }));
    shown.set(stream, found);
    return request.result();
  }

  async function start(): Promise<void> {
    await book.ready;
    for (const { newcomer, account } of await core.storage.read(tables.allInvited)) {
      const [one, other] = [core.accounts.byId(newcomer), core.accounts.byId(account)];
      if (one !== undefined && other !== undefined)
        setImmediate(() => core.seeThrough(`invitation of ${one.name}`, acquaint(one, other)));
    }
  }

  return {
    ready: start(),
    beforeLogin: {
      feature: () => (makeAccounts() ? x("register", { xmlns: ns.ibrToken }) : undefined),
      request: [ns.preAuth, "preauth"] as const,
      answer: show,
    },
    account: {
      removed: (account: Account) => book.forget(account),
      setAside: (account: Account) => book.forget(account),
    },
  };
}
