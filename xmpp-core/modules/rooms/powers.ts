import type { StanzaErrorCondition } from "../../formats/stanza-error.ts";
import type { Affiliation, Role, RoomConfig } from "./room.ts";

/** Who may do what to whom. Pure, so that tables and random histories can try them. XEP-0045 §5 */

const affiliationRank = { outcast: -1, none: 0, member: 1, admin: 2, owner: 3 } as const;
const roleRank = { none: 0, visitor: 1, participant: 2, moderator: 3 } as const;

export const affiliations: readonly Affiliation[] = ["owner", "admin", "member", "none", "outcast"];
export const roles: readonly Role[] = ["moderator", "participant", "visitor", "none"];

export const atLeast = (one: Affiliation, other: Affiliation): boolean =>
  affiliationRank[one] >= affiliationRank[other];
export const roleAtLeast = (one: Role, other: Role): boolean => roleRank[one] >= roleRank[other];

/**
 *  room        | none        | member      | admin, owner
 *  ------------|-------------|-------------|-------------
 *  moderated   | visitor     | participant | moderator
 *  unmoderated | participant | participant | moderator
 *
 * XEP-0045 §5.1.2
 */
export function initialRole(affiliation: Affiliation, { moderated }: Pick<RoomConfig, "moderated">): Role {
  if (atLeast(affiliation, "admin")) return "moderator";
  return affiliation === "none" && moderated ? "visitor" : "participant";
}

/** What becomes of the role of somebody in the room whose affiliation changes; "none": he has to leave. */
export function roleAfter(
  role: Role,
  before: Affiliation,
  now: Affiliation,
  { moderated, membersOnly }: Pick<RoomConfig, "moderated" | "membersOnly">,
): Role {
  if (now === "outcast" || (now === "none" && membersOnly)) return "none";
  // Saying again what somebody is gives nobody voice.
  if (before === now) return role;
  if (atLeast(now, "admin") || atLeast(before, "admin")) return initialRole(now, { moderated });
  if (now === "member" && role === "visitor") return "participant";
  return now === "none" && before === "member" && role === "participant" ? initialRole(now, { moderated }) : role;
}

/** Why `by` may not give `target` this affiliation; undefined: it may. XEP-0045 §5.2.2, §9.1, §10.3 to §10.8 */
export function affiliationRefusal(
  by: Affiliation,
  target: Affiliation,
  wanted: Affiliation,
  self: boolean,
): StanzaErrorCondition | undefined {
  if (!atLeast(by, "admin")) return "forbidden";
  if (self && wanted === "outcast") return "conflict";
  if (by === "owner") return undefined;
  if (atLeast(wanted, "admin") && wanted !== target) return "forbidden";
  if (!atLeast(target, "admin") || wanted === target) return undefined;
  // An admin gives himself less, never others of his kind: §9.1 has its own answer for a ban, §10.4 and §10.7 for the rest.
  if (self) return undefined;
  return wanted === "outcast" ? "not-allowed" : "forbidden";
}

interface Standing {
  readonly affiliation: Affiliation;
  readonly role: Role;
}

/** Why `by` may not give `target` this role, "none" to kick; undefined: it may. XEP-0045 §5.1.3, §8.2 to §8.5, §9.6, §9.7 */
export function roleRefusal(
  by: Standing,
  target: Standing,
  wanted: Role,
  self: boolean,
): StanzaErrorCondition | undefined {
  if (by.role !== "moderator") return "forbidden";
  const higher = !atLeast(by.affiliation, target.affiliation);
  if (wanted === "none") {
    if (self) return "conflict";
    if (higher) return "not-allowed";
    return target.role === "moderator" && !atLeast(by.affiliation, "admin") ? "not-allowed" : undefined;
  }
  if (wanted === target.role) return undefined;
  if (wanted === "moderator") return atLeast(by.affiliation, "admin") ? undefined : "forbidden";
  // Who is admin or owner moderates, whoever says otherwise.
  if (atLeast(target.affiliation, "admin") || higher) return "not-allowed";
  // §8.4: no voice is taken from one's own kind.
  if (wanted === "visitor" && atLeast(target.affiliation, by.affiliation)) return "not-allowed";
  return target.role === "moderator" && !atLeast(by.affiliation, "admin") ? "not-allowed" : undefined;
}
