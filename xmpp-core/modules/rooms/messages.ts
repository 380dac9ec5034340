import type { Element } from "ltx";
import { booleanOf, formElement, parseForm, singleValueOf } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../../formats/stanza-error.ts";
import { formatJid, parseJid } from "../../jid/jid.ts";
import type { ServiceHandler, ServiceStanza } from "../../routing/handlers.ts";
import { isLasting } from "../../routing/lasting.ts";
import { parseStanza } from "../../xml/document.ts";
import { limitsAfterLogin } from "../../xml/limits.ts";
import { rawXml, text, writeStanza, type Xml, x } from "../../xml/writer.ts";
import { type Changes, keepSubject } from "./changes.ts";
import type { Entering } from "./entering.ts";
import type { Hall } from "./hall.ts";
import type { Pace } from "./pace.ts";
import { messagePayload, occupantIds } from "./payload.ts";
import { atLeast, roleAtLeast, roleRefusal } from "./powers.ts";
import type { Device, Occupant, Room } from "./room.ts";
import type { Speaking } from "./speaking.ts";

const stored = { ...limitsAfterLogin, stanzaBytes: Number.MAX_SAFE_INTEGER, elements: Number.MAX_SAFE_INTEGER };
const request = "http://jabber.org/protocol/muc#request";
const mostInvited = 50;
const mostRememberedPms = 50;

const notInside = (): StanzaError => stanzaError("not-acceptable", { text: "You are not in this room." });
const forbidden = (why: string): StanzaError => stanzaError("forbidden", { text: why });
const notStored = (): StanzaError =>
  stanzaError("resource-constraint", {
    text: "The server cannot store messages at the moment. Please send it again later.",
  });

const occupantId = (occupant: Occupant): Xml => x("occupant-id", { xmlns: occupantIds, id: occupant.id });

/** What people send to rooms and to each other in them. XEP-0045 §7.4, §7.5, §7.8, §7.13, §8.1, §8.6 */
export function roomMessages(parts: {
  hall: Hall;
  speak: Speaking;
  change: Changes;
  enter: Entering;
  messages: Pace;
  /** Tells the sender of a message that was taken and then failed. */
  refuse: (flow: ServiceStanza, error: StanzaError) => void;
}): ServiceHandler["message"] {
  const { hall, speak, change, enter, messages } = parts;
  const { core } = hall;
  /** Ids of private messages a device got lately: an error about one of these is no reason to think that it is gone. */
  const privately = new WeakMap<Device, string[]>();

  return function message(flow) {
    const { stanza, place } = flow;
    const isError = stanza.type === "error";
    const room = place.local === "" ? undefined : hall.at(place);
    if (room === undefined) {
      if (isError) return undefined;
      if (place.local === "") return stanzaError("service-unavailable");
      return stanzaError("item-not-found", { text: "There is no such room." });
    }
    const occupant = hall.speaker(room, flow);
    const device = occupant && hall.deviceOf(occupant, flow.session ?? hall.sender(flow));
    if (isError) {
      if (occupant === undefined || device === undefined) return undefined;
      if (aboutPrivate(device, flow)) passBack(room, occupant, flow);
      else enter.errorFrom(occupant, device, flow);
      return undefined;
    }
    if (place.resource !== "") {
      if (stanza.type === "groupchat")
        return stanzaError("bad-request", { text: "A private message is not of type groupchat." });
      return occupant === undefined ? notInside() : whisper(room, occupant, flow);
    }
    if (stanza.type === "groupchat") return occupant === undefined ? notInside() : say(room, occupant, flow);
    const user = stanza.child(ns.mucUser, "x");
    if (user?.getChild("invite", ns.mucUser) !== undefined) return invite(room, occupant, flow, user);
    if (user?.getChild("decline", ns.mucUser) !== undefined) return decline(room, flow, user);
    const form = stanza.child(ns.dataForms, "x");
    if (form !== undefined) return occupant === undefined ? notInside() : voice(room, occupant, flow, form);
    return stanzaError("bad-request", { text: "What is meant for all in the room is of type groupchat." });
  };

  function say(room: Room, occupant: Occupant, flow: ServiceStanza): StanzaError | undefined {
    const { stanza, view, session } = flow;
    if (room.locked) return stanzaError("item-not-found", { text: "This room is not open yet." });
    if (!messages.allows(occupant))
      return stanzaError("resource-constraint", { text: "That was too much at once. Please wait a moment." });
    const isSubject =
      stanza.has(ns.client, "subject") && !stanza.has(ns.client, "body") && !stanza.has(ns.client, "thread");
    const refused = isSubject ? maySetSubject(room, occupant) : maySpeak(occupant);
    if (refused !== undefined) return refused;
    for (const each of hall.extensions) {
      const vetoed = each.admitMessage?.({ room, occupant, flow });
      if (vetoed !== undefined) return vetoed;
    }
    const durable = isSubject || isLasting(stanza);
    const before = room.subject;
    const subject = stanza.child(ns.client, "subject")?.getText() ?? "";
    speak.publish(
      room,
      {
        ...{ nick: occupant.nick, occupantId: occupant.id, stanzaId: stanza.id, lang: stanza.lang, view },
        payload: Buffer.concat([messagePayload(stanza), Buffer.from(occupantId(occupant))]),
        lasting: durable && !isSubject,
      },
      {
        ...{ session, durable },
        writes: (archiveId) =>
          isSubject ? [keepSubject(room, { text: subject, nick: occupant.nick, archiveId })] : [],
        failed() {
          if (isSubject) room.subject = before;
          parts.refuse(flow, notStored());
        },
      },
    );
    return undefined;
  }

  function maySpeak(occupant: Occupant): StanzaError | undefined {
    return roleAtLeast(occupant.role, "participant")
      ? undefined
      : forbidden("Only who was given voice may speak in this room.");
  }

  function maySetSubject(room: Room, occupant: Occupant): StanzaError | undefined {
    if (occupant.role === "moderator" || (occupant.role === "participant" && room.config.changeSubject))
      return undefined;
    return forbidden("You may not change the subject of this room.");
  }

  // ---------------------------------------------------------------- private messages

  function whisper(
    room: Room,
    occupant: Occupant,
    flow: ServiceStanza,
  ): StanzaError | undefined | ((after: number) => void) {
    const { stanza, place, view } = flow;
    const target = room.occupants.get(place.resource);
    if (target === undefined) return stanzaError("item-not-found", { text: "Nobody has this nickname here." });
    if (!messages.allows(occupant))
      return stanzaError("resource-constraint", { text: "That was too much at once. Please wait a moment." });
    const least = { anyone: "visitor", participants: "participant", moderators: "moderator", none: undefined } as const;
    const needed = least[room.config.allowPm];
    if (needed === undefined || !roleAtLeast(occupant.role, needed))
      return forbidden("You may not send private messages in this room.");
    return () => {
      const payload = messagePayload(stanza);
      const more = x("x", { xmlns: ns.mucUser }) + occupantId(occupant);
      for (const [index, device] of target.devices.entries()) {
        remember(device, stanza.id);
        // The first one's way leads through the archive; the rest are further devices of the same person.
        if (index === 0 && device.session !== undefined) {
          const alone = x("private", { xmlns: ns.carbons });
          const attributes = { xmlns: ns.client, type: stanza.type, id: stanza.id, "xml:lang": stanza.lang };
          const made = x("message", attributes, rawXml(payload), rawXml(more), alone);
          const { jid } = device.session;
          const to = { ...jid, domain: view };
          core.router.message(parseStanza(made, ns.client, stored), hall.jid(room, view, occupant.nick), to);
        } else
          hall.send(device, (seen, to) =>
            x(
              "message",
              {
                ...{ from: hall.address(room, seen, occupant.nick), to, type: stanza.type },
                ...{ id: stanza.id, "xml:lang": stanza.lang },
              },
              rawXml(core.router.views.payload(payload, view, seen)),
              rawXml(more),
            ),
          );
      }
    };
  }

  function remember(device: Device, id: string | undefined): void {
    if (id === undefined || id.length > 200) return;
    privately.set(device, [...(privately.get(device) ?? []).slice(1 - mostRememberedPms), id]);
  }

  function aboutPrivate(device: Device, { stanza }: ServiceStanza): boolean {
    return stanza.id !== undefined && privately.get(device)?.includes(stanza.id) === true;
  }

  /** Who wrote privately hears that it could not be read. */
  function passBack(room: Room, occupant: Occupant, { stanza, place, view }: ServiceStanza): void {
    const device = room.occupants.get(place.resource)?.devices.at(-1);
    if (device === undefined) return;
    const payload = messagePayload(stanza);
    hall.send(device, (seen, to) =>
      writeStanza(stanza, {
        ...{ from: hall.address(room, seen, occupant.nick), to },
        payload: core.router.views.payload(payload, view, seen),
      }),
    );
  }

  // ---------------------------------------------------------------- invitations

  function invite(
    room: Room,
    occupant: Occupant | undefined,
    flow: ServiceStanza,
    user: Element,
  ): StanzaError | undefined | ((after: number) => void) {
    const person = hall.person(flow.from);
    const affiliation = hall.affiliation(room, person);
    const { config } = room;
    if (occupant === undefined && !atLeast(affiliation, "admin")) return notInside();
    if (occupant?.role === "visitor") return forbidden("You may not invite others to this room.");
    if (config.membersOnly && !config.allowInvites && !atLeast(affiliation, "admin"))
      return forbidden("Only admins of this room invite others.");
    if (!messages.allows(occupant ?? hall))
      return stanzaError("resource-constraint", { text: "That was too much at once. Please wait a moment." });
    const invites = user.getChildren("invite", ns.mucUser);
    if (invites.length > mostInvited)
      return stanzaError("not-acceptable", { text: `At most ${mostInvited} people are invited at once.` });
    const invited = invites.map((element) => ({ element, jid: parseJid(String(element.attrs.to ?? "")) }));
    if (invited.some(({ jid }) => jid === undefined || jid.local === ""))
      return stanzaError("jid-malformed", { text: "Whom you invite is named by a full address." });
    for (const { element, jid } of invited) {
      const guest = jid && hall.person(jid);
      if (jid === undefined || guest === undefined) continue;
      const standing = hall.affiliation(room, guest);
      // Who is banned is not asked in, and it is not told to whom it does not concern.
      if (standing === "outcast") {
        if (atLeast(affiliation, "admin")) return forbidden("This person is banned from the room.");
        continue;
      }
      if (config.membersOnly && standing === "none")
        change.affiliate(room, [{ person: guest, affiliation: "member" }], {
          ...{ person, nick: occupant?.nick, session: flow.session },
        });
      const by =
        config.whois === "anyone" || occupant === undefined
          ? core.names.absolute(person, flow.view)
          : hall.address(room, flow.view, occupant.nick);
      const reason = element.getChildText("reason", ns.mucUser);
      const thread: unknown = element.getChild("continue", ns.mucUser)?.attrs.thread;
      const carried = x(
        "x",
        { xmlns: ns.mucUser },
        x(
          "invite",
          { from: by },
          reason !== null && reason !== undefined && x("reason", {}, text(reason)),
          element.getChild("continue", ns.mucUser) !== undefined &&
            x("continue", { thread: typeof thread === "string" ? thread : undefined }),
        ),
        config.password !== "" && x("password", {}, text(config.password)),
      );
      fromRoom(room, flow, jid, carried);
    }
    return undefined;
  }

  /** A message of the room to somebody outside, through archive and offline storage as any other. */
  function fromRoom(
    room: Room,
    { stanza, view }: ServiceStanza,
    to: NonNullable<ReturnType<typeof parseJid>>,
    x1: Xml,
  ) {
    const made = x("message", { xmlns: ns.client, id: stanza.id, "xml:lang": stanza.lang }, x1);
    core.router.message(parseStanza(made, ns.client, stored), hall.jid(room, view), to);
  }

  /** Only to somebody of the room: it is no way to write to strangers. */
  function decline(room: Room, flow: ServiceStanza, user: Element): StanzaError | undefined {
    const element = user.getChild("decline", ns.mucUser);
    const given = parseJid(String(element?.attrs.to ?? ""));
    if (given === undefined) return stanzaError("jid-malformed", { text: "Who invited you is named by an address." });
    if (!messages.allows(flow.session ?? hall)) return undefined;
    const place = core.names.locate(given);
    const inviter =
      place.at === "service" && hall.at(place) === room ? room.occupants.get(place.resource)?.user : hall.person(given);
    if (inviter === undefined) return undefined;
    const inside = [...room.occupants.values()].find(({ user: one }) => one === inviter);
    if (inside === undefined && !atLeast(hall.affiliation(room, inviter), "member")) return undefined;
    const to = parseJid(core.names.absolute(inside?.devices.at(-1)?.address ?? inviter, flow.view));
    if (to === undefined) return undefined;
    const reason = element?.getChildText("reason", ns.mucUser);
    const from = formatJid({ ...flow.from, resource: "" });
    const told = x("decline", { from }, typeof reason === "string" && x("reason", {}, text(reason)));
    fromRoom(room, flow, to, x("x", { xmlns: ns.mucUser }, told));
    return undefined;
  }

  // ---------------------------------------------------------------- voice

  function voice(room: Room, occupant: Occupant, flow: ServiceStanza, element: Element): StanzaError | undefined {
    const form = parseForm(element);
    if (form === undefined || form.formType !== request)
      return stanzaError("bad-request", { text: "This form is none that a room reads." });
    if (form.type === "cancel") return undefined;
    if (!messages.allows(occupant))
      return stanzaError("resource-constraint", { text: "That was too much at once. Please wait a moment." });
    const allowed = booleanOf(form, "muc#request_allow");
    if (allowed !== undefined) return grant(room, occupant, flow, allowed, singleValueOf(form, "muc#roomnick") ?? "");
    if (occupant.role !== "visitor" || singleValueOf(form, "muc#role") !== "participant") return undefined;
    for (const moderator of room.occupants.values())
      if (moderator.role === "moderator")
        for (const device of moderator.devices) hall.send(device, (view, to) => approval(room, occupant, view, to));
    return undefined;
  }

  function approval(room: Room, occupant: Occupant, view: string, to: string): Xml {
    const whom = core.names.absolute(occupant.devices.at(-1)?.address ?? occupant.user, view);
    const form = formElement({
      ...{ type: "form", formType: request, title: "Voice request" },
      instructions: "Grant voice to this person?",
      fields: [
        { name: "muc#role", type: "list-single", label: "Requested role", values: ["participant"] },
        { name: "muc#jid", type: "jid-single", label: "User ID", values: [whom] },
        { name: "muc#roomnick", type: "text-single", label: "Room Nickname", values: [occupant.nick] },
        { name: "muc#request_allow", type: "boolean", label: "Grant voice to this person?", values: ["false"] },
      ],
    });
    return x("message", { from: hall.address(room, view), to }, form);
  }

  function grant(
    room: Room,
    by: Occupant,
    flow: ServiceStanza,
    allowed: boolean,
    nick: string,
  ): StanzaError | undefined {
    const target = room.occupants.get(nick);
    if (by.role !== "moderator") return forbidden("Only moderators give voice.");
    if (!allowed) return undefined;
    if (target === undefined) return stanzaError("item-not-found", { text: "Nobody has this nickname here." });
    if (target.role !== "visitor") return undefined;
    const standing = ({ user, role }: Occupant) => ({ affiliation: hall.affiliation(room, user), role });
    const refused = roleRefusal(standing(by), standing(target), "participant", by === target);
    if (refused !== undefined) return stanzaError(refused);
    change.setRole(target, "participant", { person: by.user, nick: by.nick, session: flow.session });
    return undefined;
  }
}
