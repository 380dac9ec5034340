/**
 * Every failure that a person may meet carries a stable code (`area/what`), the facts it is about, and what to do.
 * docs/errors.md is generated from the codes; a retired code stays reserved there.
 */
export class CodedError extends Error {
  readonly code: string;
  readonly fields: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly hint: string | undefined;

  constructor(
    code: string,
    message: string,
    options: { fields?: Record<string, string | number | boolean | undefined>; hint?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CodedError";
    this.code = code;
    this.fields = options.fields ?? {};
    this.hint = options.hint;
  }
}

/** The sentence for a person: what was wrong and what to do. */
export function explain(error: unknown): string {
  if (error instanceof CodedError) return error.hint ? `${error.message} ${error.hint}` : error.message;
  return error instanceof Error ? error.message : String(error);
}
