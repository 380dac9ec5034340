import type { Stanza } from "../xml/stanza.ts";
import { type Rewrite, rawXml, writeStanza, type Xml, x } from "../xml/writer.ts";
import { type Delay, delayElement } from "./delay.ts";
import { ns } from "./namespaces.ts";

/** A stanza inside of another one (XEP-0297 §2); its children keep the namespace they had. */
export function forwardedElement(inner: Xml, delay?: Delay): Xml {
  return x("forwarded", { xmlns: ns.forward }, delay && delayElement(delay), inner);
}

/**
 * A stanza as it stands inside `<forwarded/>`: with its namespace spelt out, since there is another default around it.
 * `contentNs` is jabber:client also when the copy travels between servers (XEP-0297 §4).
 */
export function embedded(stanza: Stanza, rewrite: Rewrite = {}, contentNs: string = ns.client): Xml {
  const written = writeStanza(stanza, rewrite).toString();
  const nameEnd = stanza.name.length + 1;
  return rawXml(`${written.slice(0, nameEnd)} xmlns="${contentNs}"${written.slice(nameEnd)}`);
}
