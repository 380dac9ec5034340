/** How much of a peer's XML is read before it is refused with policy-violation. May be changed while a stream runs. */
export interface Limits {
  /** Bytes of one top level element, or of the stream header; counted while it is still incomplete. */
  readonly stanzaBytes: number;
  /** Elements of one stanza, itself included. */
  readonly elements: number;
  /** Nesting; the stanza itself is 1. */
  readonly depth: number;
  /** Attributes of one element, namespace declarations included. */
  readonly attributes: number;
  /** Bytes of one element or attribute name. */
  readonly nameBytes: number;
  /** Namespace declarations of one stanza. */
  readonly namespaces: number;
}

/** What a stranger may send before login. */
export const limitsBeforeLogin: Limits = {
  stanzaBytes: 8_192,
  elements: 32,
  depth: 8,
  attributes: 16,
  nameBytes: 128,
  namespaces: 16,
};

/** What a session may send; the byte limit is usually replaced by a property. */
export const limitsAfterLogin: Limits = {
  stanzaBytes: 262_144,
  elements: 8_192,
  depth: 64,
  attributes: 64,
  nameBytes: 256,
  namespaces: 1_024,
};

/**
 * For what the server has written itself, of parts that were read within their limits at the time: wrapped, it is
 * deeper and has more names than any peer may send.
 */
export const unlimited: Limits = {
  stanzaBytes: Number.MAX_SAFE_INTEGER,
  elements: Number.MAX_SAFE_INTEGER,
  depth: Number.MAX_SAFE_INTEGER,
  attributes: Number.MAX_SAFE_INTEGER,
  nameBytes: Number.MAX_SAFE_INTEGER,
  namespaces: Number.MAX_SAFE_INTEGER,
};
