import { z } from "zod";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import type { Session } from "../../routing/session.ts";
import { sessionState } from "../../routing/session-state.ts";
import type { Views } from "../../routing/views.ts";
import type { Stanza } from "../../xml/stanza.ts";
import { rawXml, type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { type PresenceOccasion, presenceAmend } from "../points.ts";

/** The presence that a session broadcast last; null: it is not available. */
export const lastPresence = sessionState("presence", {
  schema: z
    .object({
      priority: z.number(),
      lang: z.string().optional(),
      /** Canonical, written under the session's view. */
      payload: z.string(),
      /** It has been ready for messages since it became available (`becameAvailable` was told). */
      ready: z.boolean(),
    })
    .nullable(),
  initial: null,
});
export type LastPresence = NonNullable<ReturnType<typeof lastPresence.get>>;

/** Whom the session sent presence on its own, as stored addresses; they are told when it goes. RFC 6121 §4.6 */
export const directedTo = sessionState("directed presence", { schema: z.array(z.string()).readonly(), initial: [] });

/** What goes out to others: a presence without its addresses. */
export interface Said {
  readonly type: string | undefined;
  readonly id: string | undefined;
  readonly lang: string | undefined;
  readonly payload: string;
}

export const nothingSaid: Said = { type: "unavailable", id: undefined, lang: undefined, payload: "" };

/** What a client says, with what others add to it. */
export function saidBy(core: Core, session: Session, stanza: Stanza): Said {
  const given = stanza.payload().toString();
  const occasion = stanza.to === undefined ? "broadcast" : "directed";
  const payload = stanza.type === undefined ? amended(core, session, given, occasion) : given;
  return { type: stanza.type, id: stanza.id, lang: stanza.lang, payload };
}

export function amended(core: Core, session: Session, payload: string, occasion: PresenceOccasion): string {
  let text = payload;
  for (const one of core.offered(presenceAmend)) text = one.amend(session, text, occasion);
  return text;
}

/** Presence of a session as others see it; the text for each view is made once. */
export function renderer(views: Views, session: Session, said: Said): (view: string, to: string) => Xml {
  const seen = new Map<string, { from: string; payload: Xml }>();
  return (view, to) => {
    let form = seen.get(view);
    if (form === undefined) {
      const same = view === session.view;
      form = {
        from: same ? session.address : views.address(session.address, view),
        payload: rawXml(same ? said.payload : views.payload(Buffer.from(said.payload), session.view, view)),
      };
      seen.set(view, form);
    }
    const attributes = { from: form.from, to, type: said.type, id: said.id, "xml:lang": said.lang };
    return x("presence", attributes, form.payload);
  };
}

/** The priority of a presence: 0 unless it says so, −128 to 127. RFC 6121 §4.7.2.3 */
export function priorityOf(stanza: Stanza): number | StanzaError {
  const given = stanza.children.filter((child) => child.name === "priority" && child.ns === stanza.ns);
  if (given.length === 0) return 0;
  const text = stanza.child(stanza.ns, "priority")?.getText().trim() ?? "";
  const priority = /^[+-]?\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (given.length > 1 || !(priority >= -128 && priority <= 127))
    return stanzaError("bad-request", {
      text: "A presence has at most one priority, a whole number from -128 to 127.",
    });
  return priority;
}
