import { text as escaped, type Xml, x } from "../xml/writer.ts";
import { ns } from "./namespaces.ts";

/** The defined conditions that end a stream (RFC 6120 §4.9.3). */
export const streamErrorConditions = [
  "bad-format",
  "bad-namespace-prefix",
  "conflict",
  "connection-timeout",
  "host-gone",
  "host-unknown",
  "improper-addressing",
  "internal-server-error",
  "invalid-from",
  "invalid-namespace",
  "invalid-xml",
  "not-authorized",
  "not-well-formed",
  "policy-violation",
  "remote-connection-failed",
  "reset",
  "resource-constraint",
  "restricted-xml",
  "see-other-host",
  "system-shutdown",
  "undefined-condition",
  "unsupported-encoding",
  "unsupported-feature",
  "unsupported-stanza-type",
  "unsupported-version",
] as const;

export type StreamErrorCondition = (typeof streamErrorConditions)[number];

/** Why a stream ends. */
export interface StreamError {
  readonly condition: StreamErrorCondition;
  /** One English sentence for people. */
  readonly text?: string | undefined;
  /** Host and port that `see-other-host` names (RFC 6120 §4.9.3.19). */
  readonly host?: string | undefined;
  /** Application-specific condition. */
  readonly application?: Xml | undefined;
}

/** `streamError("host-unknown")` */
export function streamError(
  condition: StreamErrorCondition,
  details: Omit<StreamError, "condition"> = {},
): StreamError {
  return { condition, ...details };
}

/** `<stream:error>…</stream:error>`; the prefix is the one our own headers declare. The end tag is not part of it. */
export function streamErrorElement(error: StreamError): Xml {
  const host = error.host === undefined ? undefined : escaped(error.host);
  return x(
    "stream:error",
    {},
    x(error.condition, { xmlns: ns.streamErrors }, host),
    error.text !== undefined && x("text", { xmlns: ns.streamErrors, "xml:lang": "en" }, escaped(error.text)),
    error.application,
  );
}
