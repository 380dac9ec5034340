import type { StreamErrorCondition } from "../formats/stream-error.ts";
import { addressIn } from "../properties/text-schema.ts";
import type { Connection } from "../transport/connection.ts";
import type { StreamParts } from "./parts.ts";
import { loginAllowed, loginBlocked, refuseOn } from "./properties.ts";

/** Why a new stream is not taken from where it comes, or where it arrives; undefined if it is. */
export function refusal(
  { properties }: Pick<StreamParts, "properties">,
  { remote, local }: Pick<Connection, "remote" | "local">,
): { readonly condition: StreamErrorCondition; readonly text: string } | undefined {
  if (addressIn(properties.get(refuseOn), local.address))
    return { condition: "policy-violation", text: "Client connections are not allowed on this address." };
  const allowed = properties.get(loginAllowed);
  const may = allowed.length === 0 || addressIn(allowed, remote.address);
  if (may && !addressIn(properties.get(loginBlocked), remote.address)) return undefined;
  return { condition: "not-authorized", text: "Logins from this address are not allowed." };
}
