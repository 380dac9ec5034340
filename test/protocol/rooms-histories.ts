import fc from "fast-check";
import { affiliations, type Command, type RoomState, roles } from "./rooms-reference.ts";

/** Random histories of a room with five people: what its owner, an admin, a member, a stranger and a banned one do. */
export const people = ["olga", "adam", "mia", "nora", "otto"] as const;
const nicks = ["fox", "owl", "elk", "bee", "cat", "ant"] as const;

const person = fc.constantFrom(...people);
/** Whoever may do something does more than who is refused most of the time. */
const doer = fc.constantFrom(...people, "olga", "adam", "adam", "mia", "nora");
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("join" as const), user: person, nick: fc.constantFrom(...nicks) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), user: person }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("nick" as const), user: person, nick: fc.constantFrom(...nicks) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("message" as const), user: person }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("role" as const), user: doer, of: person, to: fc.constantFrom(...roles) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("affiliation" as const),
      user: doer,
      of: person,
      to: fc.constantFrom(...affiliations),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("configure" as const),
      user: doer,
      moderated: fc.boolean(),
      membersOnly: fc.boolean(),
    }),
  },
);
/** Everybody who may comes in first, and some are given what they are not by themselves, or most of what follows would be refused. */
const arrivals: Command[] = people.slice(1).map((name, i) => ({ do: "join", user: name, nick: nicks[i + 1] ?? "ant" }));
const gifts: Command[] = [
  { do: "configure", user: "olga", moderated: true, membersOnly: false },
  { do: "affiliation", user: "olga", of: "otto", to: "none" },
  { do: "join", user: "otto", nick: "cat" },
  { do: "role", user: "olga", of: "nora", to: "moderator" },
  { do: "role", user: "adam", of: "mia", to: "moderator" },
  { do: "role", user: "adam", of: "otto", to: "participant" },
];
export const history: fc.Arbitrary<Command[]> = fc
  .tuple(
    fc.subarray(gifts),
    fc.array(command, { minLength: 40, maxLength: 60 }),
    fc.nat(3).map((of4) => of4 === 0),
  )
  .map(([given, commands, restarts]): Command[] => {
    const middle = commands.length >> 1;
    const restart: Command[] = restarts ? [{ do: "restart" }] : [];
    return [...arrivals, ...given, ...commands.slice(0, middle), ...restart, ...commands.slice(middle)];
  });

/** A command that means nothing now (leaving where one is not) is none. */
export function applies(model: RoomState, command: Command): boolean {
  if (command.do === "restart") return true;
  const inside = model.occupants.has(command.user);
  if (command.do === "join") return !inside;
  if (command.do === "leave" || command.do === "nick") return inside;
  // To kick oneself may be refused or not; the rest of what is done to oneself is tried.
  if (command.do === "role") return inside && command.user !== command.of && model.occupants.has(command.of);
  return true;
}

const role = (user: string, of: string, to: (typeof roles)[number]): Command => ({ do: "role", user, of, to });
const affiliation = (user: string, of: string, to: (typeof affiliations)[number]): Command => ({
  do: "affiliation",
  ...{ user, of, to },
});

/** One history that meets every rule of the tables, since chance meets the rarer ones only now and then. */
export const everyRule: Command[] = [
  ...arrivals,
  affiliation("olga", "otto", "none"),
  { do: "join", user: "otto", nick: "cat" },
  role("olga", "nora", "moderator"),
  role("nora", "otto", "visitor"),
  role("nora", "mia", "none"),
  role("nora", "otto", "moderator"),
  { do: "configure", user: "olga", moderated: true, membersOnly: false },
  role("olga", "otto", "visitor"),
  { do: "message", user: "otto" },
  affiliation("olga", "otto", "member"),
  { do: "message", user: "otto" },
  affiliation("adam", "otto", "none"),
  { do: "configure", user: "olga", moderated: false, membersOnly: false },
  role("adam", "olga", "participant"),
  affiliation("adam", "olga", "member"),
  affiliation("adam", "olga", "outcast"),
  affiliation("adam", "adam", "outcast"),
  affiliation("olga", "olga", "member"),
  { do: "restart" },
  role("mia", "otto", "participant"),
  // Found by chance: whoever was made a member again got his voice back.
  role("olga", "mia", "visitor"),
  affiliation("adam", "mia", "member"),
  { do: "configure", user: "adam", moderated: false, membersOnly: true },
  { do: "configure", user: "olga", moderated: true, membersOnly: true },
  affiliation("olga", "mia", "none"),
  { do: "join", user: "nora", nick: "bee" },
  affiliation("olga", "mia", "admin"),
  { do: "join", user: "mia", nick: "elk" },
  affiliation("olga", "mia", "member"),
  affiliation("adam", "mia", "owner"),
  affiliation("olga", "mia", "admin"),
  affiliation("olga", "adam", "outcast"),
  { do: "join", user: "adam", nick: "owl" },
  affiliation("olga", "mia", "owner"),
  role("olga", "mia", "participant"),
  affiliation("olga", "olga", "none"),
];
