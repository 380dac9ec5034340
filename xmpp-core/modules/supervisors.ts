import { z } from "zod";
import { type Field, field } from "../formats/data-form.ts";
import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { type Jid, parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Served } from "../routing/names.ts";
import type { Session } from "../routing/session.ts";
import { sessionState } from "../routing/session-state.ts";
import { online, tell } from "./announcements.ts";
import { askFor, completed, listUsers, refusedFor, submitted } from "./command-forms.ts";
import { type Core, defineModule } from "./module.ts";
import { type CommandAsk, type CommandStep, commands, groups } from "./points.ts";
import { presenceWatch } from "./presence-watch.ts";

const own = "urn:firekeeper:supervisor";

/** Whether the session watches the presence of everybody in its domain. */
const watching = sessionState("watching", { schema: z.boolean(), initial: false });

/** What supervisors may do: see who is there, end sessions, announce. docs/settings.md, XEP-0133 where it defines a command */
export const supervisors = defineModule({
  name: "supervisors",
  implements: [
    {
      spec: "XEP-0133",
      version: "1.3.1",
      status: "partial",
      note: "end session, online users, announcement to online users",
    },
  ],
  sessionState: [watching],
  start,
});

function start(core: Core) {
  const { accounts, names, sessions, rights, router } = core;
  const watch = presenceWatch(core, watching);

  const used = (ask: CommandAsk, what: string, on: string): void => rights.used(ask.session.bareAddress, what, on);
  const refused = (why: string): CommandStep => refusedFor("bad-request", why);

  function* sessionsOf(served: Served): IterableIterator<Session> {
    for (const session of sessions.all())
      if (session.account.served === served.id && !session.account.probe) yield session;
  }

  // ---------------------------------------------------------------- sessions

  function listSessions(request: CommandAsk): CommandStep {
    const { session, served } = request;
    const column = (name: string, label: string): Field => ({ name, label, values: [], type: "text-single" });
    const rows = [...sessionsOf(served)].map((one) => [
      field("jid", router.views.address(one.address, session.view)),
      field("since", new Date(one.since).toISOString()),
      field("available", one.priority !== undefined),
      field("connected", one.carrier !== undefined),
    ]);
    used(request, "list sessions", served.name);
    return completed(`${rows.length} sessions.`, {
      type: "result",
      formType: own,
      title: "Sessions",
      fields: [],
      reported: [
        { ...column("jid", "Address"), type: "jid-single" },
        column("since", "Since"),
        column("available", "Available"),
        column("connected", "Connected"),
      ],
      items: rows,
    });
  }

  /** XEP-0133 §4.20 */
  const onlineUsers = (request: CommandAsk): CommandStep =>
    listUsers(core, request, {
      title: "List online users",
      field: "onlineuserjids",
      all: () => online(core, request.served.id),
      sentence: (count) => `${count} users are online.`,
    });

  /** The sessions that an address of the domain names: one, or all of an account. */
  function named(address: Jid, served: Served): readonly Session[] {
    const place = names.locate(address);
    if (place.at !== "account" || place.served.id !== served.id) return [];
    const account = accounts.get(place.served.id, place.name);
    if (account === undefined || account.probe) return [];
    return account.sessions.filter((one) => place.resource === "" || one.resource === place.resource);
  }

  /** XEP-0133 §4.5: full addresses, or bare ones for every session of a user. */
  function endSessions(request: CommandAsk): CommandStep {
    const given = submitted(request, "accountjids");
    if (given === undefined)
      return askFor({
        title: "End sessions",
        instructions: "Addresses with a resource end one session, without one all of a user.",
        fields: [{ name: "accountjids", type: "jid-multi", label: "Addresses", required: true, values: [] }],
      });
    const addresses = given.map((one) => parseJid(one));
    if (given.length === 0 || addresses.includes(undefined)) return refused("Each line must be a valid address.");
    const ended = new Set(
      addresses.flatMap((address) => (address === undefined ? [] : named(address, request.served))),
    );
    used(request, "end sessions", given.join(", "));
    // The answer goes out before the asker's own session ends, if that is among them.
    setImmediate(() => {
      for (const one of ended) end(one, request.session.bareAddress);
    });
    return completed(`${ended.size} ${ended.size === 1 ? "session" : "sessions"} ended.`);
  }

  function end(session: Session, by: string): void {
    if (session.ended) return;
    if (session.carrier === undefined) sessions.end(session, "ended");
    else session.carrier.end("policy-violation", `${by} ended this session.`);
  }

  // ---------------------------------------------------------------- announcements

  const announcementField: Field = {
    ...{ name: "announcement", type: "text-multi", label: "Announcement", required: true, values: [] },
  };

  /** To users who are online, in the name of the service and no one else's. */
  function announce(request: CommandAsk, to: Iterable<Account>, on: string, lines: readonly string[]): CommandStep {
    const body = lines.join("\n").trim();
    if (body === "") return refused("The announcement is empty.");
    let told = 0;
    for (const account of to) if (tell(core, account, body)) told++;
    used(request, "announce", on);
    return completed(`Announced to ${told} ${told === 1 ? "user" : "users"}.`);
  }

  /** XEP-0133 §4.23 */
  function announceToAll(request: CommandAsk): CommandStep {
    const lines = submitted(request, "announcement");
    if (lines === undefined) return askFor({ title: "Announce to online users", fields: [announcementField] });
    return announce(request, online(core, request.served.id), request.served.name, lines);
  }

  function announceToGroup(request: CommandAsk): CommandStep {
    const [all] = core.offered(groups);
    const [group = ""] = submitted(request, "group") ?? [];
    const lines = submitted(request, "announcement");
    if (lines === undefined)
      return askFor({
        title: "Announce to a group",
        fields: [
          {
            ...{ name: "group", type: "list-single", label: "Group", required: true, values: [] },
            options: (all?.list() ?? []).map(({ name, displayName }) => ({ label: displayName || name, value: name })),
          },
          announcementField,
        ],
      });
    if (all?.get(group) === undefined)
      return { is: "error", error: stanzaError("item-not-found", { text: `There is no group "${group}".` }) };
    return announce(request, all.members(group), group, lines);
  }

  // ---------------------------------------------------------------- presence

  function watchPresence(request: CommandAsk): CommandStep {
    const shown = watch.begin(request.session);
    used(request, "watch presence", request.served.name);
    return completed(`You see the presence of everybody; ${shown} are online.`);
  }

  function stopWatching(request: CommandAsk): CommandStep {
    watch.end(request.session);
    used(request, "stop watching presence", request.served.name);
    return completed("You see the presence of your contacts only.");
  }

  for (const [node, name, run] of [
    [`${own}#watch-presence`, "Watch the presence of all users", watchPresence],
    [`${own}#stop-watching`, "Stop watching presence", stopWatching],
    [`${own}#sessions`, "List sessions", listSessions],
    [`${ns.admin}#get-online-users-list`, "List online users", onlineUsers],
    [`${ns.admin}#end-user-session`, "End sessions", endSessions],
    [`${ns.admin}#announce`, "Announce to online users", announceToAll],
    [`${own}#announce-to-group`, "Announce to a group", announceToGroup],
  ] as const)
    core.offer(commands, { node, name, by: "supervisor", run });

  return { session: watch.session };
}
