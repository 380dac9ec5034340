import { escapeAttribute, rawXml, type Xml } from "../../xml/writer.ts";

/** A stanza that is written once for many: only the `to` differs. */
export type ForMany = (to: string) => Xml;

/** `stanza` was written with an empty `to` as its first attribute: `x("message", { to: "", … })`. */
export function forMany(stanza: Xml): ForMany {
  const at = stanza.indexOf(' to="') + ' to="'.length;
  const [head, tail] = [stanza.slice(0, at), stanza.slice(at)];
  return (to) => rawXml(head + escapeAttribute(to) + tail);
}

/** One form for each view, made when it is first needed. */
export function perView(make: (view: string) => Xml): (view: string, to: string) => Xml {
  const made = new Map<string, ForMany>();
  return (view, to) => {
    let write = made.get(view);
    if (write === undefined) {
      write = forMany(make(view));
      made.set(view, write);
    }
    return write(to);
  };
}
