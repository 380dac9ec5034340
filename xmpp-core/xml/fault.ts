/** Stream error conditions (RFC 6120 §4.9.3) that bytes alone can cause. */
export type ReaderCondition =
  | "not-well-formed"
  | "restricted-xml"
  | "policy-violation"
  | "unsupported-encoding"
  | "unsupported-version"
  | "bad-format"
  | "bad-namespace-prefix"
  | "invalid-xml";

/** Why a stream cannot be read any further; the text is for the peer's developer and repeats none of his bytes. */
export interface ReaderError {
  readonly condition: ReaderCondition;
  readonly text: string;
}

/** Thrown inside the scanner only; `xmlReader` turns it into `failed`, `parseDocument` lets it out. */
export class XmlFault extends Error implements ReaderError {
  readonly condition: ReaderCondition;
  readonly text: string;
  constructor(condition: ReaderCondition, text: string) {
    super(`${condition}: ${text}`);
    this.name = "XmlFault";
    this.condition = condition;
    this.text = text;
  }
}

/** Ends the scan with a condition. Never returns. */
export function fault(condition: ReaderCondition, text: string): never {
  throw new XmlFault(condition, text);
}
