import { ns } from "../../formats/namespaces.ts";
import { rawXml, text, type Xml, x } from "../../xml/writer.ts";
import { type ForMany, forMany } from "./fan-out.ts";
import type { Hall } from "./hall.ts";
import { occupantIds } from "./payload.ts";
import type { Actor, Affiliation, Device, Occupant, Role } from "./room.ts";

/** What a presence says beyond who and how the occupant is. XEP-0045 §7.2.2, §15.6.2 */
export interface Shown {
  readonly unavailable?: boolean;
  /** Status codes for everybody. */
  readonly codes?: readonly number[];
  /** The nick that follows this one (303). */
  readonly newNick?: string;
  readonly actor?: Actor | undefined;
  readonly reason?: string | undefined;
  readonly destroy?: {
    readonly jid: string;
    readonly password: string | undefined;
    readonly reason: string | undefined;
  };
  /** Other than the occupant's present ones. */
  readonly role?: Role;
  readonly affiliation?: Affiliation;
  /** Instead of the presence last sent: of a last one. */
  readonly payload?: { readonly lang: string | undefined; readonly payload: Buffer; readonly view: string };
}

export interface Showing {
  /** One occupant's presence to one device of the room. `self`: status codes for it besides 110. */
  show(
    to: { occupant: Occupant; device: Device },
    of: Occupant,
    shown: Shown,
    ticket: number,
    self?: { codes?: readonly number[]; id?: string | undefined },
  ): void;
  /** To all in the room, the occupant's own devices included. */
  announce(of: Occupant, shown: Shown, ticket: number, self?: { codes?: readonly number[] }): void;
  /** To everybody else, and not to this device. */
  others(of: Occupant, shown: Shown, ticket: number, except?: Device): void;
  /** The presences of all others, for a device that comes in. */
  welcome(to: { occupant: Occupant; device: Device }, ticket: number): void;
  /** Forgets how the occupant's presence was written last. */
  changed(of: Occupant): void;
}

const plain: Shown = {};

export function showing(hall: Hall): Showing {
  const { core } = hall;
  /** Presences as others get them, written once for each view, with and without the real address. */
  let written = new WeakMap<Occupant, Map<string, ForMany>>();
  // Services and domains get other names.
  core.names.onChanged(() => {
    written = new WeakMap();
  });

  function write(of: Occupant, shown: Shown, view: string, sees: boolean, own?: readonly number[], id?: string): Xml {
    const { room } = of;
    const device = of.devices.at(-1);
    const said = shown.payload ?? (shown.unavailable === true ? undefined : device?.presence);
    const jid = sees && device !== undefined ? core.names.absolute(device.address, view) : undefined;
    const actor =
      shown.actor &&
      (shown.actor.nick !== undefined
        ? x("actor", { nick: shown.actor.nick })
        : sees
          ? x("actor", { jid: core.names.absolute(shown.actor.person, view) })
          : undefined);
    const item = x(
      "item",
      {
        affiliation: shown.affiliation ?? hall.affiliation(room, of.user),
        jid,
        role: shown.role ?? (shown.unavailable === true ? "none" : of.role),
        nick: shown.newNick,
      },
      actor,
      shown.reason !== undefined && x("reason", {}, text(shown.reason)),
    );
    const codes = [...new Set([...(own ?? []), ...(shown.codes ?? [])])];
    return x(
      "presence",
      {
        to: "",
        from: hall.address(room, view, of.nick),
        type: shown.unavailable === true ? "unavailable" : undefined,
        id,
        "xml:lang": said?.lang,
      },
      said && rawXml(core.router.views.payload(said.payload, said.view, view)),
      x(
        "x",
        { xmlns: ns.mucUser },
        item,
        shown.destroy &&
          x(
            "destroy",
            { jid: shown.destroy.jid === "" ? undefined : core.names.absolute(shown.destroy.jid, view) },
            shown.destroy.password !== undefined && x("password", {}, text(shown.destroy.password)),
            shown.destroy.reason !== undefined && x("reason", {}, text(shown.destroy.reason)),
          ),
        codes.map((code) => x("status", { code })),
      ),
      x("occupant-id", { xmlns: occupantIds, id: of.id }),
      ...hall.extensions.map((each) => each.presence?.(of, view)),
    );
  }

  const isSelf = (to: Occupant, of: Occupant): boolean => to === of;
  const sees = (to: Occupant, of: Occupant): boolean => isSelf(to, of) || hall.seesAddresses(of.room, to.user, to);

  /** The form for others, kept while it is the plain presence. */
  function shared(of: Occupant, shown: Shown, forms: Map<string, ForMany>, view: string, seen: boolean): ForMany {
    const key = `${seen} ${view}`;
    let form = forms.get(key);
    if (form === undefined) {
      form = forMany(write(of, shown, view, seen));
      forms.set(key, form);
    }
    return form;
  }

  function formsOf(of: Occupant, shown: Shown): Map<string, ForMany> {
    if (shown !== plain) return new Map();
    const known = written.get(of) ?? new Map<string, ForMany>();
    written.set(of, known);
    return known;
  }

  const isShown = ({ room: { config }, role }: Occupant, shown: Shown): boolean =>
    config.presenceBroadcast.includes(role) || shown.destroy !== undefined;

  /** One way to write for those who see real addresses, one for the rest. */
  function writers(of: Occupant, shown: Shown): (seen: boolean) => (view: string, address: string) => Xml {
    const forms = formsOf(of, shown);
    const open = (view: string, address: string): Xml => shared(of, shown, forms, view, true)(address);
    const closed = (view: string, address: string): Xml => shared(of, shown, forms, view, false)(address);
    return (seen) => (seen ? open : closed);
  }

  function others(of: Occupant, shown: Shown, ticket: number, except?: Device): void {
    const writer = writers(of, Object.keys(shown).length === 0 ? plain : shown);
    for (const other of of.room.occupants.values()) {
      if (other === of) continue;
      const write = writer(sees(other, of));
      for (const device of other.devices) if (device !== except) hall.send(device, write, ticket);
    }
  }

  return {
    show(to, of, shown, ticket, self) {
      const own = isSelf(to.occupant, of) ? [110, ...(self?.codes ?? [])] : undefined;
      hall.send(
        to.device,
        (view, address) => forMany(write(of, shown, view, sees(to.occupant, of), own, self?.id))(address),
        ticket,
      );
    },
    announce(of, shown, ticket, self) {
      if (isShown(of, shown)) others(of, shown, ticket);
      const own = [110, ...(self?.codes ?? [])];
      for (const device of of.devices)
        hall.send(device, (view, address) => forMany(write(of, shown, view, true, own))(address), ticket);
    },
    others,
    welcome({ occupant, device }, ticket) {
      for (const other of occupant.room.occupants.values()) {
        if (other === occupant || !isShown(other, plain)) continue;
        const seen = sees(occupant, other);
        const forms = formsOf(other, plain);
        hall.send(device, (view, address) => shared(other, plain, forms, view, seen)(address), ticket);
      }
    },
    changed: (of) => void written.delete(of),
  };
}
