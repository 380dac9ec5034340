import type { Failure } from "../frames.ts";

/** A failure the core is told of; it makes a CodedError of it there. */
export class GateFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = "GateFailure";
    this.failure = failure;
  }
}

export function failed(code: string, message: string, more: Pick<Failure, "fields" | "hint">): GateFailure {
  return new GateFailure({ code, message, ...more });
}
