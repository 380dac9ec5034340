/** The properties as the console lists and sets them. docs/settings.md */
import type { Control } from "../control/control.ts";
import { CodedError } from "../errors.ts";
import type { Description } from "../properties/registry.ts";
import type { AdminParts } from "./parts.ts";

export interface ListedProperty extends Description {
  readonly owner: "host" | "local" | null;
  /** The host's key, where the host owns it. */
  readonly path?: string;
  /** The local value that the host's value covers. */
  readonly beneath?: string;
}

/** @param all also those without effect or value here */
export function listProperties(parts: Pick<AdminParts, "properties" | "settings">, all: boolean): ListedProperty[] {
  return parts.properties
    .describe()
    .filter((one) => all || one.effect === "honoured" || one.stored)
    .map((one) => {
      const setting = `property:${one.key}`;
      const owner = parts.settings.origin(setting) ?? null;
      const beneath = one.secret ? undefined : parts.settings.beneath(setting);
      return {
        ...one,
        owner,
        ...(owner === "host" ? { path: hostPath(one.key) } : {}),
        ...(beneath === undefined ? {} : { beneath }),
      };
    });
}

/** Sets a value that the host leaves to the server; null removes it. Throws settings/owned-by-host, property/value and the like. */
export async function setProperty(
  parts: Pick<AdminParts, "settings" | "rights">,
  control: Control,
  admin: string,
  { key, value }: { key: string; value: string | null },
) {
  const setting = `property:${key}`;
  if (parts.settings.origin(setting) === "host") throw ownedByHost(key, control);
  const answer = await control.setLocal(new Map([[setting, value]]));
  // The value may be secret; which key it was is what the journal needs.
  parts.rights.used(admin, value === null ? "unset property" : "set property", key);
  return { done: answer.done, restarting: answer.restarting };
}

function ownedByHost(key: string, control: Control): CodedError {
  const store = control.agent()?.store;
  return new CodedError("settings/owned-by-host", `${key} belongs to the host's settings.`, {
    fields: { owner: "host", path: hostPath(key), store },
    hint: `Change ${hostPath(key)} there${store === undefined ? "" : ` (${store})`}.`,
  });
}

function hostPath(key: string): string {
  return `sys.xmpp.properties.${key}`;
}
