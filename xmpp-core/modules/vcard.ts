import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import type { IqAnswer, IqRequest, OpenRequest } from "../routing/handlers.ts";
import { read, write } from "../storage/statement.ts";
import { rawXml, serialise, text, type Xml, x } from "../xml/writer.ts";
import { type Core, defineModule } from "./module.ts";

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

/** Contact cards. Everybody may read them; without one of his own a person's has what the host knows: name and mail address. XEP-0054 */
export const vcard = defineModule({
  name: "vcard",
  implements: [{ spec: "XEP-0054", version: "1.2", status: "complete" }],
  features: [ns.vcard],
  accountFeatures: [ns.vcard],
  migrations: [migration],
  addresses: [{ within: [[ns.vcard, "vCard"]], element: [ns.vcard, "JABBERID"], text: true }],
  start: (core) => ({
    iq: [
      {
        get: [ns.vcard, "vCard"],
        at: ["account"],
        by: "anyone",
        open: true,
        answer: (request) => fetch(core, request),
      },
      { set: [ns.vcard, "vCard"], at: ["account"], answer: (request) => store(core, request) },
    ],
  }),
});

async function fetch(core: Core, request: OpenRequest): Promise<IqAnswer> {
  const { account, session, view } = request;
  // The same answer whether or not there is such an account (XEP-0054 §5): no oracle for names.
  if (account === undefined || account.probe) return request.error(stanzaError("item-not-found"));
  const found = (await core.storage.read(one, account.id))[0];
  if (found !== undefined)
    return request.result(
      rawXml(core.router.views.payload(Buffer.from(found.payload), core.names.epochName(found.epoch), view)),
    );
  const { displayName, email } = account;
  if (displayName === undefined && email === undefined && account !== session?.account)
    return request.error(stanzaError("item-not-found"));
  const fields: Xml[] = [];
  if (displayName !== undefined) fields.push(x("FN", {}, text(displayName)));
  if (email !== undefined) fields.push(x("EMAIL", {}, x("INTERNET"), x("USERID", {}, text(email))));
  return request.result(x("vCard", { xmlns: ns.vcard }, fields));
}

function store(core: Core, request: IqRequest): IqAnswer {
  const { account, session, element } = request;
  if (account === undefined) return request.error(stanzaError("item-not-found"));
  const payload = Buffer.from(serialise(element, ns.client));
  if (payload.length > largest)
    return request.error(
      stanzaError("policy-violation", { text: `A contact card may have ${largest / 1024} KiB at most.` }),
    );
  const after = core.sessions.commit(session, [put.with(account.id, core.names.epochOf(session.view), payload)]);
  return request.result(undefined, after);
}
