import { type Xml, x } from "../xml/writer.ts";
import { ns } from "./namespaces.ts";

/** The id under which the archive of `by` knows a message. XEP-0359 §3 */
export function stanzaId(archiveId: number, by: string): Xml {
  return x("stanza-id", { xmlns: ns.stanzaIds, id: archiveId, by });
}
