import { ns } from "../../formats/namespaces.ts";
import { type Page, pageElement, parsePageRequest } from "../../formats/rsm.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, OpenRequest } from "../../routing/handlers.ts";
import { type Xml, x } from "../../xml/writer.ts";
import { type ComponentGrants, type ComponentLink, components, componentWatch } from "../component-points.ts";
import { type Core, defineModule } from "../module.ts";
import { groups } from "../points.ts";
import { readable } from "./properties.ts";

/** What components may read of the host: settings, and who there is. docs/components.md */
export const hostData = defineModule({ name: "host-data", implements: [], start });

const pageOf = 500;
const mostNamed = 1000;

function start(core: Core) {
  const { accounts, names, rights } = core;
  const registry = () => core.offered(components)[0];
  const list = () => core.offered(groups)[0]?.list() ?? [];

  /** The rights of the component that asks. */
  function grantsOf(request: OpenRequest): ComponentGrants | undefined {
    const label = request.session === undefined ? registry()?.speaker(request.from) : undefined;
    return label === undefined ? undefined : registry()?.grants(label);
  }

  // ---------------------------------------------------------------- settings

  function settingsElement(keys: Iterable<string>): Xml {
    const found: Xml[] = [];
    for (const key of keys) {
      const property = readable.get(key);
      if (property === undefined) continue;
      found.push(x("setting", { key, value: property.schema.write(core.properties.get(property)) }));
    }
    return x("settings", { xmlns: ns.hostData }, found);
  }

  function settings(request: OpenRequest): IqAnswer {
    const keys = grantsOf(request)?.settings;
    if (keys === undefined || keys.size === 0) return request.error(stanzaError("forbidden"));
    return request.result(settingsElement(keys));
  }

  for (const [key, property] of readable)
    core.watch(property, () => {
      for (const link of registry()?.links.values() ?? [])
        if (registry()?.grants(link.label).settings.has(key)) link.ask("set", settingsElement([key]), () => undefined);
    });

  // ---------------------------------------------------------------- who there is

  const nameOf = (account: Account): string | undefined => account.displayName;
  const isMine = (account: Account): boolean => account.served === names.primary.id;

  function userElement(account: Account): Xml {
    const supervisor = rights.isSupervisor(account.id) || undefined;
    return x("user", { name: account.name, displayName: nameOf(account), supervisor });
  }

  /** Entries of one kind, by name. */
  function entries(what: string, group: string | undefined): Map<string, () => Xml> | undefined {
    if (what === "users")
      return new Map(
        [...accounts.all()]
          .filter((one) => isMine(one) && one.enabled)
          .map((one) => [one.name, () => userElement(one)]),
      );
    if (what === "teams")
      return new Map(
        [...accounts.contacts()]
          .filter(isMine)
          .map((one) => [one.name, () => x("team", { name: one.name, displayName: nameOf(one) })]),
      );
    if (what === "groups")
      return new Map(
        list().map(({ name, displayName, members }) => [
          name,
          () => x("group", { name, displayName, everybody: members === "all" || undefined }),
        ]),
      );
    const wanted = what === "members" ? list().find(({ name }) => name === group) : undefined;
    if (wanted === undefined) return undefined;
    const members = [...(wanted.members === "all" ? [] : wanted.members), ...(wanted.contacts ?? [])];
    return new Map(members.map((name) => [name, () => x("member", { name })]));
  }

  /** One page of users, teams, groups or the members of a group, by name. */
  function directory(request: OpenRequest): IqAnswer {
    if (grantsOf(request)?.directory !== true) return request.error(stanzaError("forbidden"));
    const { what, group } = request.element.attrs;
    const asked = parsePageRequest(request.element);
    const all = entries(String(what), typeof group === "string" ? group : undefined);
    if (asked === "malformed") return request.error(stanzaError("bad-request"));
    if (all === undefined)
      return request.error(stanzaError("item-not-found", { text: "what is users, teams, groups or members." }));
    const { after = "", max = pageOf } = asked ?? {};
    const sorted = [...all.keys()].sort((one, other) => (one < other ? -1 : 1));
    const from = sorted.findIndex((name) => name > after);
    const page = from < 0 ? [] : sorted.slice(from, from + Math.min(max, pageOf));
    const facts: Page = { first: page[0], last: page.at(-1), index: Math.max(from, 0), count: sorted.length };
    return request.result(
      x(
        "directory",
        { xmlns: ns.hostData, what: String(what), group: typeof group === "string" ? group : undefined },
        page.flatMap((name) => all.get(name)?.() ?? []),
        pageElement(facts),
      ),
    );
  }

  let version = accounts.version;
  let seen = list();
  /** Names that are others now; too many, or a change of groups: read again. */
  core.every(1000, () => {
    const listed = list();
    const changedGroups = listed !== seen;
    if (accounts.version === version && !changedGroups) return;
    const changed = accounts.changedSince(version);
    version = accounts.version;
    seen = listed;
    const told = readers();
    if (told.length === 0) return;
    const known = changed === undefined || changed.length > mostNamed ? undefined : changed;
    const people = (known ?? []).map((name) => {
      const account = accounts.get(names.primary.id, name);
      if (account === undefined || account.name !== name) return x("gone", { name });
      if (account.contact) return x("team", { name, displayName: nameOf(account) });
      return account.enabled && !account.probe ? userElement(account) : x("gone", { name });
    });
    const again = [...(known === undefined ? ["users", "teams"] : []), ...(changedGroups ? ["groups"] : [])];
    const payload = x(
      "directory",
      { xmlns: ns.hostData },
      people,
      again.map((what) => x("again", { what })),
    );
    for (const link of told) link.ask("set", payload, () => undefined);
  });

  function readers(): ComponentLink[] {
    return [...(registry()?.links.values() ?? [])].filter(({ label }) => registry()?.grants(label).directory === true);
  }

  core.offer(componentWatch, {
    grantsChanged(link) {
      const keys = registry()?.grants(link.label).settings;
      if (keys !== undefined && keys.size > 0) link.ask("set", settingsElement(keys), () => undefined);
    },
  });

  const at = ["server"] as const;
  const open = { at, by: "anyone", open: true } as const;
  return {
    iq: [
      { get: [ns.hostData, "settings"] as const, ...open, answer: settings },
      { get: [ns.hostData, "directory"] as const, ...open, answer: directory },
    ],
  };
}
