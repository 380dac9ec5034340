/** A shared group as its members see it, for verify: asked of what answers their roster requests, not of the group. */

import { groups, sharedContacts } from "../modules/points.ts";
import type { Account } from "../routing/accounts.ts";
import type { Answer } from "./contract.ts";
import type { ControlParts } from "./parts.ts";

/** So many members are compared with each other; a group of everybody has too many pairs. */
const mostCompared = 12;
const mostTold = 5;

export function groupView(parts: Pick<ControlParts, "offered" | "accounts">, name: string): Answer<"group-view"> {
  const [all] = parts.offered(groups);
  const found = all?.get(name);
  if (all === undefined || found === undefined) return { exists: false, displayName: "", members: 0 };
  const members = found.members === "all" ? parts.accounts.size : found.members.length;
  const view = { exists: true, displayName: found.displayName, members };
  if (found.showInRoster === "nobody") return view;
  const compared: Account[] = [];
  for (const account of all.members(name)) {
    if (!account.probe) compared.push(account);
    if (compared.length === mostCompared) break;
  }
  const unseen = compared.flatMap((one) =>
    compared.flatMap((other) =>
      one === other || sees(parts, one, other, found.displayName)
        ? []
        : [`${one.name} does not see ${other.name} under ${found.displayName}`],
    ),
  );
  return unseen.length === 0 ? view : { ...view, unseen: unseen.slice(0, mostTold) };
}

function sees(parts: Pick<ControlParts, "offered">, one: Account, other: Account, group: string): boolean {
  const contact = parts.offered(sharedContacts)[0]?.contact(one, other);
  return contact !== undefined && contact.subscription !== "from" && contact.groups.includes(group);
}
