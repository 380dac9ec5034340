import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { property } from "../properties/property.ts";
import { boolean } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { IqAnswer, IqRequest } from "../routing/handlers.ts";
import { read, write } from "../storage/statement.ts";
import { parseDocument } from "../xml/document.ts";
import { limitsAfterLogin } from "../xml/limits.ts";
import { rawXml, serialise, x } from "../xml/writer.ts";
import { type Core, defineModule } from "./module.ts";
import { type PrivateElement, privateElement } from "./personal-points.ts";

const active = property("xmpp.privateStorageEnabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether clients may keep data of their own (bookmarks, notes) on the server.",
});

const migration = {
  name: "0013_private-storage",
  sql: `
    CREATE TABLE private_storage (
      account INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE, ns TEXT NOT NULL, name TEXT NOT NULL,
      epoch INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (account, ns, name)
    ) WITHOUT ROWID;`,
};
const put = write<[account: number, ns: string, name: string, epoch: number, payload: Buffer]>(
  "INSERT OR REPLACE INTO private_storage (account, ns, name, epoch, payload) VALUES (?, ?, ?, ?, ?)",
);
const one = read<[account: number, ns: string, name: string], { epoch: number; payload: Uint8Array }>(
  "SELECT epoch, payload FROM private_storage WHERE account = ? AND ns = ? AND name = ?",
);
const entries = read<[account: number], { ns: string; name: string; bytes: number }>(
  "SELECT ns, name, length(payload) AS bytes FROM private_storage WHERE account = ?",
);
// Only bookmarks have moved so far.
const withRooms = read<[], { account: number; ns: string; name: string }>(
  `SELECT account, ns, name FROM private_storage
     WHERE ns = 'storage:bookmarks' AND name = 'storage' AND instr(payload, CAST('<conference' AS BLOB)) > 0`,
);

const mostEntries = 500;
const mostBytes = 2 * 1024 * 1024;

/** Data that clients keep for themselves, by element and namespace. XEP-0049 */
export const privateStorage = defineModule({
  name: "private-storage",
  implements: [{ spec: "XEP-0049", version: "1.2", status: "complete" }],
  features: [ns.privateStorage],
  accountFeatures: [ns.privateStorage],
  properties: [active],
  migrations: [migration],
  addresses: [
    { within: [["storage:bookmarks", "storage"]], element: ["storage:bookmarks", "conference"], attributes: ["jid"] },
  ],
  start: (core) => {
    // Data of earlier times whose element has another home now: it moves there at the next login.
    const behind = new Map<number, { ns: string; name: string }[]>();
    return {
      ready: core.storage.read(withRooms).then((rows) => {
        for (const { account, ...element } of rows) behind.set(account, [...(behind.get(account) ?? []), element]);
      }),
      iq: [
        { get: [ns.privateStorage, "query"], at: ["account"], answer: (request) => fetch(core, request) },
        { set: [ns.privateStorage, "query"], at: ["account"], answer: (request) => store(core, request) },
      ],
      session: {
        opened({ account }) {
          const elements = behind.get(account.id) ?? [];
          behind.delete(account.id);
          for (const element of elements)
            move(core, account, element).catch((error: unknown) =>
              core.report.wrong({ what: `private storage of ${account.name}`, error }),
            );
        },
      },
    };
  },
});

const malformed = (request: IqRequest, why: string): IqAnswer =>
  request.error(stanzaError("bad-request", { text: why }));
const off = (request: IqRequest): IqAnswer =>
  request.error(stanzaError("service-unavailable", { text: "Private storage is turned off on this server." }));

async function fetch(core: Core, request: IqRequest): Promise<IqAnswer> {
  if (!core.properties.get(active)) return off(request);
  const [wanted, second] = request.element.getChildElements();
  const namespace = wanted?.getNS();
  if (wanted === undefined || second !== undefined || namespace === undefined || namespace === ns.privateStorage)
    return malformed(request, "Exactly one element of a namespace of its own is needed.");
  const account = request.account as Account;
  const found = (await core.storage.read(one, account.id, namespace, wanted.getName()))[0];
  const elsewhere = homeOf(core, namespace, wanted.getName());
  if (elsewhere !== undefined) {
    const kept = found && parseDocument(shown(core, found, request.session.view), stored);
    return request.result(
      x("query", { xmlns: ns.privateStorage }, await elsewhere.read(account, request.session.view, kept)),
    );
  }
  if (found === undefined)
    return request.result(x("query", { xmlns: ns.privateStorage }, x(wanted.getName(), { xmlns: namespace })));
  const payload = shown(core, found, request.session.view);
  return request.result(x("query", { xmlns: ns.privateStorage }, rawXml(payload)));
}

// What is stored was read within the limits in force at the time.
const stored = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER, elements: Number.MAX_SAFE_INTEGER };

function shown(core: Core, { payload, epoch }: { payload: Uint8Array; epoch: number }, view: string): Buffer {
  return core.router.views.payload(Buffer.from(payload), core.names.epochName(epoch), view);
}

/** Who has the data of this element, if it is not private storage itself. */
function homeOf(core: Core, namespace: string, name: string): PrivateElement | undefined {
  return core.offered(privateElement).find(({ element }) => element[0] === namespace && element[1] === name);
}

async function move(
  core: Core,
  account: Account,
  { ns: namespace, name }: { ns: string; name: string },
): Promise<void> {
  const home = homeOf(core, namespace, name);
  const found = (await core.storage.read(one, account.id, namespace, name))[0];
  if (home === undefined || found === undefined) return;
  const view = core.names.primary.name;
  const kept = await home.write(account, view, parseDocument(shown(core, found, view), stored), "add");
  await core.storage.write([put.with(account.id, namespace, name, core.names.epochOf(view), Buffer.from(kept))]);
}

async function store(core: Core, request: IqRequest): Promise<IqAnswer> {
  if (!core.properties.get(active)) return off(request);
  const account = request.account as Account;
  const given = request.element.getChildElements();
  if (given.length === 0 || given.some((each) => (each.getNS() ?? ns.privateStorage) === ns.privateStorage))
    return malformed(request, "Each element needs a namespace of its own.");
  const epoch = core.names.epochOf(request.session.view);
  const payloads = given.map((each) => ({
    ...{ ns: each.getNS() ?? "", name: each.getName() },
    payload: Buffer.from(serialise(each, ns.client)),
  }));
  const sizes = new Map<string, number>();
  for (const kept of await core.storage.read(entries, account.id)) sizes.set(`${kept.ns} ${kept.name}`, kept.bytes);
  for (const each of payloads) sizes.set(`${each.ns} ${each.name}`, each.payload.length);
  if (sizes.size > mostEntries)
    return request.error(stanzaError("resource-constraint", { text: `At most ${mostEntries} elements are kept.` }));
  if ([...sizes.values()].reduce((sum, bytes) => sum + bytes, 0) > mostBytes)
    return request.error(
      stanzaError("resource-constraint", { text: `At most ${mostBytes / 1024 / 1024} MiB are kept for one person.` }),
    );
  const kept = await Promise.all(
    payloads.map(async ({ ns: namespace, name, payload }) => {
      const home = homeOf(core, namespace, name);
      if (home === undefined) return payload;
      return Buffer.from(await home.write(account, request.session.view, parseDocument(payload, stored), "replace"));
    }),
  );
  const writes = payloads.map((each, at) => put.with(account.id, each.ns, each.name, epoch, kept[at] ?? each.payload));
  return request.result(undefined, core.sessions.commit(request.session, writes));
}
