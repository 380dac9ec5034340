/**
 * Every failure that a person may meet carries a stable code (`area/what`), the facts it is about, and what to do.
 * The agent's twin of the core's class: the two programs share nothing but the control contract.
 * Fields never hold passwords, keys or tokens.
 */
export type ErrorFields = Readonly<Record<string, string | number | boolean | undefined>>;

export class CodedError extends Error {
  readonly code: string;
  readonly fields: ErrorFields;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: { fields?: ErrorFields; hint?: string; cause?: unknown } = {}) {
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

/** Something a person should know that stops nothing. Shown by `plan` and `status`. */
export interface Notice {
  /** Stable, as in errors: `settings/unknown-key`. */
  code: string;
  /** One sentence. */
  message: string;
  hint?: string;
  /** Where in the host's data: `host.yaml:12`. */
  where?: string;
}

/** The errno of a failed system call (`ENOENT`), if the error is one. */
export function errno(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** Whether a notice tells of something less safe than it could be: those stand at the head. */
export function isWeakness({ code }: Pick<Notice, "code">): boolean {
  return code === "plan/weakens" || code === "plan/plain-only";
}
