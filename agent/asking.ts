/** What came from the command line or the console, as far as it means something. */
import type { Cause } from "./reconcile.ts";

/** What a person may say besides "plan" or "apply". */
export type Asking = Pick<Cause, "scope" | "removals" | "adopt" | "now" | "confirmMs">;

/** Who asks, and where: `agent socket`, `console`. */
export interface Asker {
  readonly by: string;
  readonly from: string;
}

export function asking(params: Record<string, unknown>): Asking {
  const { scope, adopt } = params;
  return {
    scope: scope === "roster" || scope === "settings" ? scope : undefined,
    removals: number(params, "removals"),
    adopt: Array.isArray(adopt) ? adopt.filter((name) => typeof name === "string") : undefined,
    now: params.now === true ? true : undefined,
    confirmMs: number(params, "confirmMs"),
  };
}

export function number(params: Record<string, unknown>, name: string): number | undefined {
  const value = params[name];
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

export function text(params: Record<string, unknown>, name: string): string | undefined {
  const value = params[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
