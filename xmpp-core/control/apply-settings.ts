/** The settings of an apply, or of a person at the console: checked, then written, then in force. */
import { CodedError } from "../errors.ts";
import type { Registry } from "../properties/registry.ts";
import { isFresh, propertyAnswer } from "./canonical.ts";
import type { Change, Impact } from "./contract.ts";
import type { ControlParts, Draft } from "./parts.ts";
import { type ScalarName, scalarAnswer, scalarImpact, scalarNames } from "./scalars.ts";

export type SettingChange = Extract<Change, { kind: "setting" }>;

/** Settings that were checked; nothing is changed yet. */
export interface PreparedSettings {
  /** Canonical values by setting, without the domain. */
  readonly values: ReadonlyMap<string, string | null>;
  readonly whose: "host" | "local";
  readonly domain: string | undefined;
  /** The properties as they will be. */
  readonly properties: Registry;
  readonly restarts: boolean;
}

/** Checks every value again. Throws CodedError with the key and the rule. */
export function prepareSettings(
  parts: ControlParts,
  changes: readonly Pick<SettingChange, "setting" | "to">[],
  whose: "host" | "local",
): PreparedSettings {
  const values = new Map<string, string | null>();
  let domain: string | undefined;
  let restarts = false;
  for (const { setting, to } of changes) {
    const { value, impact } = accepted(parts, setting, to);
    if (impact === "restart") restarts = true;
    if (setting !== "domain") values.set(setting, value);
    else if (value !== null && value !== parts.names.primary.name) domain = value;
  }
  const texts = new Map(parts.settings.properties());
  for (const [setting, value] of values) {
    if (!setting.startsWith("property:")) continue;
    const next = inForce(parts, setting, value, whose);
    const key = setting.slice("property:".length);
    if (next === undefined) texts.delete(key);
    else texts.set(key, next);
  }
  return { values, whose, domain, properties: parts.preview(texts), restarts };
}

function accepted(parts: ControlParts, setting: string, to: string | null): { value: string | null; impact: Impact } {
  const scalar = scalarNames.find((name) => name === setting);
  const key = setting.startsWith("property:") ? setting.slice("property:".length) : undefined;
  if (scalar === undefined && key === undefined)
    throw new CodedError("control/unknown-setting", `There is no setting ${setting.slice(0, 100)}.`, {
      fields: { setting: setting.slice(0, 100) },
    });
  if (to === null) return { value: null, impact: impactOfGivingUp(parts, setting, scalar, key) };
  const answer =
    key === undefined
      ? scalarAnswer(scalar as ScalarName, to, { fresh: isFresh(parts) })
      : propertyAnswer(parts, key, to);
  if (answer.rejected !== undefined || answer.value === null) {
    const { code, rule, hint } = answer.rejected ?? { code: "control/rejected", rule: "another value", hint: "" };
    throw new CodedError(code, `${key ?? setting} must be ${rule}.`, {
      fields: { key: key ?? setting, rule, ...(answer.secret ? {} : { value: to }) },
      hint,
    });
  }
  return { value: answer.value, impact: answer.impact };
}

function impactOfGivingUp(
  parts: ControlParts,
  setting: string,
  scalar: ScalarName | undefined,
  key: string | undefined,
): Impact {
  if (scalar === "domain")
    throw new CodedError("settings/domain", "A server is never without a domain.", { fields: { key: "domain" } });
  if (scalar !== undefined) return scalarImpact(scalar, { fresh: false });
  const found = parts.properties.canonical(key ?? "", parts.settings.get(setting) ?? "");
  return found.is === "value" ? found.impact : "live";
}

function inForce(
  parts: ControlParts,
  setting: string,
  value: string | null,
  whose: "host" | "local",
): string | undefined {
  if (whose === "host") return parts.settings.ifHostSets(setting, value);
  return parts.settings.origin(setting) === "host" ? parts.settings.get(setting) : (value ?? undefined);
}

/** Adds rows and memory of settings and properties to the draft. */
export function enterSettings(parts: ControlParts, draft: Draft, prepared: PreparedSettings): void {
  const { settings, properties, names } = parts;
  const put = prepared.whose === "host" ? settings.setHost : settings.setLocal;
  const before = new Map<string, string | undefined>();
  for (const [setting, value] of prepared.values) {
    before.set(setting, settings.get(setting));
    const own = prepared.whose === "host" ? settings.host(setting) : settings.local(setting);
    draft.undo.push(() => put(setting, own ?? null));
    draft.writes.push(...put(setting, value));
  }
  draft.enter.push(() => {
    const changed = new Map<string, string | null>();
    for (const [setting, was] of before) {
      const now = settings.get(setting);
      if (setting.startsWith("property:") && now !== was) changed.set(setting.slice("property:".length), now ?? null);
    }
    properties.set(changed);
    if (before.has("alias-domains")) names.setOthers(settings.get("alias-domains")?.split(", ") ?? []);
  });
}
