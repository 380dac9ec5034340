import { delayElement } from "../formats/delay.ts";
import type { Session } from "../routing/session.ts";
import { archiveTime } from "../storage/archive-id.ts";
import type { Xml } from "../xml/writer.ts";
import type { Core } from "./module.ts";
import { storedExtras } from "./points.ts";

/** What stands behind the payload of a message that comes from storage: its archive id, and when it was taken in. */
export function lateExtras(core: Core, session: Session, archiveId: number): readonly Xml[] {
  const extras = core.offered(storedExtras).map((extra) => extra.append(session.account, archiveId, session.view));
  return [...extras, delayElement({ stamp: new Date(archiveTime(archiveId)), from: session.view })];
}
