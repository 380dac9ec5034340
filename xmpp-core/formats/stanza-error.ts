import type { Element } from "ltx";
import type { Stanza } from "../xml/stanza.ts";
import { text as escaped, rawXml, serialise, type Xml, x } from "../xml/writer.ts";
import { ns } from "./namespaces.ts";

/** Each defined condition with the type it has unless a specification says otherwise (RFC 6120 §8.3.3). */
export const stanzaErrorTypes = {
  "bad-request": "modify",
  conflict: "cancel",
  "feature-not-implemented": "cancel",
  forbidden: "auth",
  gone: "cancel",
  "internal-server-error": "cancel",
  "item-not-found": "cancel",
  "jid-malformed": "modify",
  "not-acceptable": "modify",
  "not-allowed": "cancel",
  "not-authorized": "auth",
  "policy-violation": "modify",
  "recipient-unavailable": "wait",
  redirect: "modify",
  "registration-required": "auth",
  "remote-server-not-found": "cancel",
  "remote-server-timeout": "wait",
  "resource-constraint": "wait",
  "service-unavailable": "cancel",
  "subscription-required": "auth",
  "undefined-condition": "cancel",
  "unexpected-request": "wait",
} as const;

export type StanzaErrorCondition = keyof typeof stanzaErrorTypes;
export type StanzaErrorType = "auth" | "cancel" | "continue" | "modify" | "wait";

/** A refusal as a value: handlers return it, the stream writes it. */
export interface StanzaError {
  readonly kind: "stanza error";
  readonly condition: StanzaErrorCondition;
  readonly type: StanzaErrorType;
  /** One English sentence for people. */
  readonly text?: string | undefined;
  /** Address that `gone` and `redirect` carry (RFC 6120 §8.3.3.5, §8.3.3.14). */
  readonly address?: string | undefined;
  /** Application-specific condition, such as XEP-0191's `<blocked/>`. */
  readonly application?: Xml | undefined;
}

/** `stanzaError("item-not-found", { text: "no such node" })` */
export function stanzaError(
  condition: StanzaErrorCondition,
  details: Partial<Pick<StanzaError, "type" | "text" | "address" | "application">> = {},
): StanzaError {
  return { kind: "stanza error", condition, ...details, type: details.type ?? stanzaErrorTypes[condition] };
}

/** What was asked could not be put on disk; nothing of it was done. */
export const notStored: StanzaError = stanzaError("resource-constraint", {
  text: "The server cannot store this at the moment. Please try again later.",
});

export function isStanzaError(value: unknown): value is StanzaError {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "stanza error";
}

/** The `<error/>` element itself, its namespace that of the stanza around it. */
export function errorElement(error: StanzaError): Xml {
  const address = error.address === undefined ? undefined : escaped(error.address);
  return x(
    "error",
    { type: error.type },
    x(error.condition, { xmlns: ns.stanzaErrors }, address),
    error.text !== undefined && x("text", { xmlns: ns.stanzaErrors, "xml:lang": "en" }, escaped(error.text)),
    error.application,
  );
}

/**
 * The answer of type error to a stanza, without its payload (RFC 6120 §8.3.1 leaves that open). By default it goes
 * back where the stanza came from. An error is never answered (§8.3.1), so for one this gives undefined, as it does
 * for an iq result.
 */
export function errorReply(
  stanza: Pick<Stanza, "name" | "id" | "type" | "to" | "from">,
  error: StanzaError,
  addresses: { readonly from?: string | undefined; readonly to?: string | undefined } = {},
): Xml | undefined {
  if (stanza.type === "error" || (stanza.name === "iq" && stanza.type === "result")) return undefined;
  return x(
    stanza.name,
    {
      type: "error",
      id: stanza.id,
      from: "from" in addresses ? addresses.from : stanza.to,
      to: "to" in addresses ? addresses.to : stanza.from,
    },
    errorElement(error),
  );
}

/** The error inside a stanza of type error; undefined if it holds none that can be read. */
export function parseStanzaError(stanza: Stanza): StanzaError | undefined {
  const element = stanza.child(stanza.ns, "error");
  if (element === undefined) return undefined;
  const nodes = element.children.filter((node): node is Element => typeof node !== "string");
  const defined = nodes.filter((node) => node.getNS() === ns.stanzaErrors);
  const found = defined.find((node) => Object.hasOwn(stanzaErrorTypes, node.getName()));
  const condition = (found?.getName() ?? "undefined-condition") as StanzaErrorCondition;
  const application = nodes.find((node) => node.getNS() !== ns.stanzaErrors);
  const address = found?.getText() ?? "";
  return stanzaError(condition, {
    type: errorTypes.get(String(element.attrs.type)) ?? stanzaErrorTypes[condition],
    text: defined.find((node) => node.getName() === "text")?.getText(),
    ...(address !== "" && { address }),
    ...(application && { application: rawXml(serialise(application, stanza.ns)) }),
  });
}

const errorTypes = new Map<string, StanzaErrorType>(
  (["auth", "cancel", "continue", "modify", "wait"] as const).map((type) => [type, type]),
);
