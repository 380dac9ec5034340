import { delayElement } from "../formats/delay.ts";
import type { Session } from "../routing/session.ts";
import type { StoredStanza } from "../routing/stored-stanzas.ts";
import { archiveTime } from "../storage/archive-id.ts";
import type { Xml } from "../xml/writer.ts";
import type { Core } from "./module.ts";
import { storedExtras } from "./points.ts";

/** What stands behind the payload of a message that comes from storage: its archive id, and when it was taken in. */
export function lateExtras(core: Core, session: Session, row: StoredStanza): readonly Xml[] {
  const { account, view } = session;
  // An id that the archive does not know would mislead a client that reads on from there.
  const archived = row.sender_archive === account.id || row.recipient_archive === account.id;
  const extras = archived ? core.offered(storedExtras).map((extra) => extra.append(account, row.id, view)) : [];
  return [...extras, delayElement({ stamp: new Date(archiveTime(row.id)), from: view })];
}
