import { errorElement, stanzaError } from "../../formats/stanza-error.ts";
import { type Jid, parseJid } from "../../jid/jid.ts";
import type { Session } from "../../routing/session.ts";
import { x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";

const unanswered = errorElement(
  stanzaError("service-unavailable", { text: "The service is gone and will not answer." }),
);

function bounce(session: Session, isConcerned: (address: Jid) => boolean): void {
  for (const [id, asked] of [...session.asking]) {
    const address = parseJid(asked);
    if (address === undefined || !isConcerned(address)) continue;
    session.asking.delete(id);
    session.stateChanged = true;
    session.outbound.stanza(x("iq", { type: "error", id, from: asked, to: session.address }, unanswered), 0);
  }
}

/** Whoever waits for an answer of somebody who is gone hears so. */
export function bounceAsked({ accounts }: Core, isConcerned: (address: Jid) => boolean): void {
  for (const account of accounts.all()) for (const session of account.sessions) bounce(session, isConcerned);
}

/** Connections of components do not outlive a restart, so what they were asked before is answered now. */
export function bounceAfterRestart({ names }: Core, session: Session): void {
  bounce(session, (address) => {
    const place = names.locate(address);
    // A session is never asked by its bare address: that was a component that answers for the account.
    return place.at !== "account" || place.resource === "";
  });
}
