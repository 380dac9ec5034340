/** XEP-0045 §5 as data: which role an affiliation brings, who may change what, what a change does to the other. */

export const affiliations = ["outcast", "none", "member", "admin", "owner"] as const;
export type Affiliation = (typeof affiliations)[number];
export const roles = ["none", "visitor", "participant", "moderator"] as const;
export type Role = (typeof roles)[number];

/** The hierarchy of §5.2.1. */
export const rank = (affiliation: Affiliation): number => affiliations.indexOf(affiliation);

/** §5.1.2, "the initial default roles that a service SHOULD set based on the user's affiliation". */
const initial: Record<"moderated" | "open", Record<Exclude<Affiliation, "outcast">, Role>> = {
  moderated: { none: "visitor", member: "participant", admin: "moderator", owner: "moderator" },
  open: { none: "participant", member: "participant", admin: "moderator", owner: "moderator" },
};

export interface RoomState {
  moderated: boolean;
  membersOnly: boolean;
  /** "none" is not listed. */
  readonly affiliations: Map<string, Affiliation>;
  readonly occupants: Map<string, { nick: string; role: Role }>;
}

export type Command =
  | { readonly do: "join"; readonly user: string; readonly nick: string }
  | { readonly do: "leave"; readonly user: string }
  | { readonly do: "nick"; readonly user: string; readonly nick: string }
  | { readonly do: "role"; readonly user: string; readonly of: string; readonly to: Role }
  | { readonly do: "affiliation"; readonly user: string; readonly of: string; readonly to: Affiliation }
  | { readonly do: "configure"; readonly user: string; readonly moderated: boolean; readonly membersOnly: boolean }
  | { readonly do: "message"; readonly user: string }
  | { readonly do: "restart" };

/** What a command does besides changing the room. */
export interface Outcome {
  /** Error condition that the acting user is told; undefined: it was done. */
  readonly refused?: string;
  /** Who hears the message. */
  readonly heardBy?: readonly string[];
  /** Who was put out, and the status code that says why (§15.6.2). */
  readonly removed?: ReadonlyMap<string, 301 | 307 | 321 | 322>;
}

export const affiliationOf = (room: RoomState, user: string): Affiliation => room.affiliations.get(user) ?? "none";

export function initialRole(room: RoomState, user: string): Role {
  const affiliation = affiliationOf(room, user);
  return affiliation === "outcast" ? "none" : initial[room.moderated ? "moderated" : "open"][affiliation];
}

/** Applies a command; the room is changed in place. */
export function step(room: RoomState, command: Command): Outcome {
  if (command.do === "restart") return {};
  const own = room.occupants.get(command.user);
  switch (command.do) {
    case "join": {
      const refused = entry(room, command.user) ?? nickTaken(room, command.user, command.nick);
      if (refused !== undefined) return { refused };
      room.occupants.set(command.user, { nick: command.nick, role: initialRole(room, command.user) });
      return {};
    }
    case "leave":
      room.occupants.delete(command.user);
      return {};
    case "nick": {
      const refused = nickTaken(room, command.user, command.nick);
      if (refused === undefined && own !== undefined) own.nick = command.nick;
      return refused === undefined ? {} : { refused };
    }
    case "message":
      if (own === undefined) return { refused: "not-acceptable" };
      if (own.role === "visitor") return { refused: "forbidden" };
      return { heardBy: [...room.occupants.keys()] };
    case "role":
      return changeRole(room, command);
    case "affiliation":
      return changeAffiliation(room, command);
    case "configure":
      return configure(room, command);
  }
}

/** §7.2.5 to §7.2.8. */
function entry(room: RoomState, user: string): string | undefined {
  const affiliation = affiliationOf(room, user);
  if (affiliation === "outcast") return "forbidden";
  return room.membersOnly && affiliation === "none" ? "registration-required" : undefined;
}

function nickTaken(room: RoomState, user: string, nick: string): string | undefined {
  return [...room.occupants].some(([other, occupant]) => other !== user && occupant.nick === nick)
    ? "conflict"
    : undefined;
}

/** §5.1.3 with §8.2 to §8.4, §9.6 and §9.7. */
function changeRole(room: RoomState, { user, of, to }: Command & { do: "role" }): Outcome {
  const by = affiliationOf(room, user);
  const target = room.occupants.get(of);
  const atLeastAdmin = rank(by) >= rank("admin");
  if (room.occupants.get(user)?.role !== "moderator") return { refused: "forbidden" };
  if (target === undefined) return { refused: "item-not-found" };
  const affiliation = affiliationOf(room, of);
  if (to === target.role) return {};
  if (to === "moderator") {
    if (!atLeastAdmin) return { refused: "forbidden" };
  } else if (to === "none") {
    if (rank(affiliation) > rank(by)) return { refused: "not-allowed" };
    if (target.role === "moderator" && !atLeastAdmin) return { refused: "not-allowed" };
  } else {
    // Admins and owners keep their role; whoever loses one stands lower than who takes it.
    if (rank(affiliation) >= rank("admin")) return { refused: "not-allowed" };
    if (target.role === "moderator" && !atLeastAdmin) return { refused: "not-allowed" };
    // §8.4: "at or above the moderator's level".
    if (to === "visitor" ? rank(affiliation) >= rank(by) : rank(affiliation) > rank(by))
      return { refused: "not-allowed" };
  }
  if (to === "none") {
    room.occupants.delete(of);
    return { removed: new Map([[of, 307]]) };
  }
  target.role = to;
  return {};
}

/** §5.2.2 with §9.1 to §9.5 and §10.3 to §10.8. */
function changeAffiliation(room: RoomState, { user, of, to }: Command & { do: "affiliation" }): Outcome {
  const by = affiliationOf(room, user);
  const before = affiliationOf(room, of);
  if (rank(by) < rank("admin")) return { refused: "forbidden" };
  if (user === of && to === "outcast") return { refused: "conflict" };
  if (before === to) return {};
  if (by === "admin") {
    // The lists of admins and owners are the owners' business (§10.3 to §10.8); a ban is refused otherwise (§9.1). To
    // give up what one is oneself is left open.
    if (rank(to) >= rank("admin")) return { refused: "forbidden" };
    if (rank(before) >= rank("admin") && user !== of)
      return { refused: to === "outcast" ? "not-allowed" : "forbidden" };
  }
  const owners = [...room.affiliations].filter(([, each]) => each === "owner").length;
  if (before === "owner" && owners === 1) return { refused: "conflict" };
  if (to === "none") room.affiliations.delete(of);
  else room.affiliations.set(of, to);
  const target = room.occupants.get(of);
  if (target === undefined) return {};
  if (to === "outcast" || (to === "none" && room.membersOnly)) {
    room.occupants.delete(of);
    return { removed: new Map([[of, to === "outcast" ? 301 : 321]]) };
  }
  target.role = roleAfter(room, of, before, to, target.role);
  return {};
}

/** The role that an affiliation brings is fixed (§5.1.3); the one that goes with it is left to the implementation. */
function roleAfter(room: RoomState, user: string, before: Affiliation, to: Affiliation, role: Role): Role {
  if (rank(to) >= rank("admin")) return "moderator";
  if (rank(before) >= rank("admin")) return initialRole(room, user);
  if (to === "member" && role === "visitor") return "participant";
  if (to === "none" && role === "participant") return initialRole(room, user);
  return role;
}

/** §10.2; who is not a member leaves a room that becomes members-only. */
function configure(room: RoomState, command: Command & { do: "configure" }): Outcome {
  if (affiliationOf(room, command.user) !== "owner") return { refused: "forbidden" };
  // "An implementation MAY grant voice by default to visitors in unmoderated rooms" (§5.1.1): here they get it then.
  if (room.moderated && !command.moderated)
    for (const occupant of room.occupants.values()) if (occupant.role === "visitor") occupant.role = "participant";
  room.moderated = command.moderated;
  room.membersOnly = command.membersOnly;
  const removed = new Map<string, 322>();
  if (room.membersOnly)
    for (const user of [...room.occupants.keys()])
      if (affiliationOf(room, user) === "none") {
        room.occupants.delete(user);
        removed.set(user, 322);
      }
  return { removed };
}
