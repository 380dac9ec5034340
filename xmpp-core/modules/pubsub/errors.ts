import { type StanzaError, type StanzaErrorCondition, stanzaError } from "../../formats/stanza-error.ts";
import { x } from "../../xml/writer.ts";

const errorsNs = "http://jabber.org/protocol/pubsub#errors";

/** Conditions of XEP-0060 with the stanza error that carries each. */
const conditions = {
  "closed-node": "not-allowed",
  "configuration-required": "not-acceptable",
  "invalid-jid": "bad-request",
  "invalid-options": "bad-request",
  "invalid-payload": "bad-request",
  "invalid-subid": "not-acceptable",
  "item-forbidden": "bad-request",
  "item-required": "bad-request",
  "jid-required": "bad-request",
  "max-nodes-exceeded": "not-allowed",
  "node-full": "conflict",
  "nodeid-required": "bad-request",
  "not-in-roster-group": "not-authorized",
  "payload-required": "bad-request",
  "payload-too-big": "not-acceptable",
  "pending-subscription": "not-authorized",
  "precondition-not-met": "conflict",
  "presence-subscription-required": "not-authorized",
  "subid-required": "bad-request",
  "too-many-subscriptions": "policy-violation",
  "unsupported-access-model": "not-acceptable",
} as const satisfies Record<string, StanzaErrorCondition>;

/** `pubsubError("closed-node")`: the stanza error with its application condition. */
export function pubsubError(condition: keyof typeof conditions, text?: string): StanzaError {
  return stanzaError(conditions[condition], { text, application: x(condition, { xmlns: errorsNs }) });
}

/** The error type differs from case to case. XEP-0060 §6.2.3.2, §6.3.4.2, §6.5.9.3 */
export function notSubscribed(condition: "unexpected-request" | "not-authorized"): StanzaError {
  return stanzaError(condition, {
    type: condition === "not-authorized" ? "auth" : "cancel",
    application: x("not-subscribed", { xmlns: errorsNs }),
  });
}

export function unsupported(feature: string): StanzaError {
  return stanzaError("feature-not-implemented", { application: x("unsupported", { xmlns: errorsNs, feature }) });
}

export const noSuchNode = (): StanzaError => stanzaError("item-not-found", { text: "There is no such node here." });
