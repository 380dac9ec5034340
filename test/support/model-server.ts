/** A model of the server behind the control contract: what it makes of names and values, and what applying changes does. */
import { createHash } from "node:crypto";
import {
  type ActualAccount,
  type ActualGroup,
  type ActualSettings,
  type CanonicalAnswer,
  type Change,
  canonicalPassword,
  type DesiredState,
  type Impact,
  type SettingAnswer,
} from "../../xmpp-core/control/contract.ts";

export type World = {
  settings: ActualSettings;
  groups: ActualGroup[];
  supervisors: string[];
  accounts: ActualAccount[];
};

/** A server that has just been started for the first time. */
export function newWorld(domain = "mobydick"): World {
  return {
    settings: {
      domain,
      aliases: [],
      fresh: true,
      admin: { value: null, origin: "local" },
      externalAddress: { value: null, origin: "local" },
      runtimeOptions: { value: null, origin: "local" },
      properties: [],
    },
    groups: [],
    supervisors: [],
    accounts: [],
  };
}

/** The properties this model knows; all others are "unknown" and live. */
export const modelProperties: Record<
  string,
  { type: "boolean" | "number" | "text" | "secret"; impact: Impact; effect?: "none" | "later"; weak?: string }
> = {
  "xmpp.client.idle": { type: "number", impact: "live" },
  "xmpp.socket.plain.port": { type: "number", impact: "listener" },
  "register.inband": { type: "boolean", impact: "live", weak: "true" },
  "xmpp.client.roster.active": { type: "boolean", impact: "live" },
  "cache.fileTransfer.size": { type: "number", impact: "live", effect: "none" },
  "xmpp.muc.create.anyone": { type: "boolean", impact: "live", effect: "later" },
  "plugin.restapi.secret": { type: "secret", impact: "live" },
  "storage.engine": { type: "text", impact: "restart" },
};

export function canonicalName(given: string): string | null {
  const name = given.trim().normalize("NFC").toLowerCase();
  return name === "" || /[\s@/]/.test(name) ? null : name;
}

export function canonical(desired: DesiredState, world: World): CanonicalAnswer {
  const settings: SettingAnswer[] = [];
  const answer = (setting: string, value: string | null, impact: Impact, extra: Partial<SettingAnswer> = {}) =>
    settings.push({ setting, value, impact, effect: "honoured", notes: [], secret: false, ...extra });
  const wanted = desired.settings;
  const badName = { code: "names/malformed", rule: "a name without spaces, @ and /", hint: "Rename it." };
  if (wanted.domain !== undefined) {
    const name = canonicalName(wanted.domain);
    answer("domain", name, "migrate", name === null ? { rejected: badName } : {});
  }
  if (wanted.admin !== undefined) {
    const name = canonicalName(wanted.admin);
    answer("admin", name, "live", name === null ? { rejected: badName } : {});
  }
  if (wanted.externalAddress !== undefined) answer("external-address", wanted.externalAddress.trim(), "live");
  if (wanted.runtimeOptions !== undefined) {
    answer("runtime-options", wanted.runtimeOptions.trim(), "restart", {
      notes: wanted.runtimeOptions.includes("-XX:") ? ["-XX options have no effect here."] : [],
    });
  }
  for (const [key, text] of Object.entries(wanted.properties)) {
    const setting = `property:${key}`;
    const known = modelProperties[key];
    const value = text.trim();
    if (!known) answer(setting, text, "live", { effect: "unknown" });
    else if (known.type === "boolean") {
      const ok = /^(true|false)$/i.test(value);
      const rule = { code: "properties/boolean", rule: "true or false", hint: "Openfire's spelling." };
      answer(setting, ok ? value.toLowerCase() : null, known.impact, {
        effect: known.effect ?? "honoured",
        ...(ok ? {} : { rejected: rule }),
        ...(known.weak === value.toLowerCase() ? { weakens: "anybody may make an account." } : {}),
      });
    } else if (known.type === "number") {
      const ok = /^-?\d+$/.test(value);
      answer(setting, ok ? String(Number(value)) : null, known.impact, {
        effect: known.effect ?? "honoured",
        ...(ok
          ? {}
          : { rejected: { code: "properties/number", rule: "a whole number", hint: "6 minutes would be 360000" } }),
      });
    } else answer(setting, text, known.impact, { secret: known.type === "secret" });
  }
  for (const one of world.settings.properties) {
    if (one.origin === "host" && !(one.key in wanted.properties)) {
      answer(`property:${one.key}`, null, modelProperties[one.key]?.impact ?? "live", { secret: one.secret });
    }
  }
  const nameAnswer = (given: string, name: string | null) =>
    name === null ? { given, name, rejected: badName } : { given, name };
  const domain = settings.find((one) => one.setting === "domain")?.value;
  const moves = typeof domain === "string" && domain !== world.settings.domain;
  return {
    settings,
    accounts: desired.accounts.map((one) => nameAnswer(one.name, canonicalName(one.name))),
    groups: desired.groups.map((one) => nameAnswer(one.name, one.name.trim() === "" ? null : one.name.trim())),
    ...(moves
      ? {
          migration: {
            from: world.settings.domain,
            to: domain,
            accounts: world.accounts.length,
            rosterItems: 0,
            archivedMessages: 0,
            sessions: 0,
            foreignBecomingLocal: 0,
            clashes: [],
            certificate: "self-signed, made at the change",
            dns: domain.includes(".") ? [`_xmpp-client._tcp.${domain} SRV`] : [],
            notes: [],
          },
        }
      : {}),
  };
}

/** The world after the changes. Throws on a change that no server could do: the plan's order or content is wrong then. */
export function applied(before: World, changes: readonly Change[]): World {
  const world = structuredClone(before);
  for (const change of changes) applyOne(world, change);
  world.settings.fresh = false;
  return world;
}

function applyOne(world: World, change: Change): void {
  switch (change.kind) {
    case "setting":
      setSetting(world, change.setting, change.to);
      return;
    case "account-set": {
      const now = world.accounts.find((one) => one.name === change.account.name);
      if (now?.origin === "local" && !change.adopt) throw new Error(`${now.name} is local`);
      drop(world.accounts, (one) => one.name === change.account.name);
      world.accounts.push(account(change.account, change.keepCredentials ? now?.credentialsHash : undefined));
      return;
    }
    case "account-rename": {
      const from = must(
        world.accounts.find((one) => one.name === change.from),
        `no account ${change.from}`,
      );
      const holder = world.accounts.find((one) => one.name === change.account.name);
      if (holder?.origin === "local") throw new Error(`${holder.name} is local`);
      if (holder && holder.id === change.account.id) throw new Error("a rename onto oneself");
      drop(world.accounts, (one) => one === from || one === holder);
      world.accounts.push(account(change.account, undefined));
      const follow = (name: string) => (name === change.from ? change.account.name : name);
      for (const group of world.groups) if (group.members !== "all") group.members = group.members.map(follow);
      world.supervisors = world.supervisors.map(follow);
      return;
    }
    case "account-remove": {
      const one = must(
        world.accounts.find((candidate) => candidate.name === change.name),
        `no account ${change.name}`,
      );
      if (one.origin === "local") throw new Error(`${one.name} is local`);
      one.enabled = false;
      one.keptUntil = "2030-01-01T00:00:00Z";
      return;
    }
    case "group-set": {
      const now = world.groups.find((one) => one.name === change.group.name);
      if (now?.origin === "local" && !change.adopt) throw new Error(`${now.name} is local`);
      drop(world.groups, (one) => one.name === change.group.name);
      world.groups.push({ ...change.group, members: now?.members ?? [], origin: "host" });
      return;
    }
    case "group-members": {
      const group = must(
        world.groups.find((one) => one.name === change.group),
        `no group ${change.group}`,
      );
      if (change.all === true) group.members = "all";
      else {
        const members = new Set(change.all === false || group.members === "all" ? [] : group.members);
        for (const name of change.remove) if (!members.delete(name)) throw new Error(`${name} is not in ${group.name}`);
        for (const name of change.add) {
          if (members.has(name)) throw new Error(`${name} is in ${group.name} already`);
          must(
            world.accounts.find((one) => one.name === name && one.keptUntil === undefined),
            `no account ${name}`,
          );
          members.add(name);
        }
        group.members = [...members];
      }
      return;
    }
    case "group-remove":
      if (drop(world.groups, (one) => one.name === change.name && one.origin === "host") === 0)
        throw new Error(`no group ${change.name}`);
      return;
    case "supervisor": {
      const had = world.supervisors.includes(change.name);
      if (had === change.grant) throw new Error(`${change.name}: granted or revoked twice`);
      world.supervisors = change.grant
        ? [...world.supervisors, change.name]
        : world.supervisors.filter((name) => name !== change.name);
      return;
    }
  }
}

function setSetting(world: World, setting: string, to: string | null): void {
  const { settings } = world;
  if (setting === "domain") {
    if (to === null) throw new Error("a domain is never unset");
    if (!settings.fresh) {
      settings.aliases = [
        ...settings.aliases.filter((one) => one.name !== to),
        { name: settings.domain, since: "2026-01-01T00:00:00Z", until: null, sessions: 0 },
      ];
    }
    settings.domain = to;
  } else if (setting === "admin") settings.admin = { value: to, origin: to === null ? "local" : "host" };
  else if (setting === "external-address")
    settings.externalAddress = { value: to, origin: to === null ? "local" : "host" };
  else if (setting === "runtime-options")
    settings.runtimeOptions = { value: to, origin: to === null ? "local" : "host" };
  else {
    const key = setting.slice("property:".length);
    const now = settings.properties.find((one) => one.key === key);
    drop(settings.properties, (one) => one.key === key);
    const beneath = now?.origin === "local" ? now.value : now?.beneath;
    const secret = modelProperties[key]?.type === "secret";
    if (to !== null) {
      const value = secret ? `sha256:${createHash("sha256").update(to).digest("hex")}` : to;
      settings.properties.push({ key, value, origin: "host", secret, ...(beneath === undefined ? {} : { beneath }) });
    } else if (beneath !== undefined) settings.properties.push({ key, value: beneath, origin: "local", secret });
  }
}

function account(
  wanted: Extract<Change, { kind: "account-set" }>["account"],
  keptHash: string | undefined,
): ActualAccount {
  const { credentials: _c, passwordHash: _h, passwordFrom: _f, ...rest } = wanted;
  const text = canonicalPassword(wanted);
  const hash = text === undefined ? keptHash : `sha256:${createHash("sha256").update(text).digest("hex")}`;
  return { ...rest, origin: "host", ...(hash === undefined ? {} : { credentialsHash: hash }) };
}

function drop<T>(list: T[], matches: (one: T) => boolean): number {
  const before = list.length;
  list.splice(0, before, ...list.filter((one) => !matches(one)));
  return before - list.length;
}

function must<T>(value: T | undefined, otherwise: string): T {
  if (value === undefined) throw new Error(otherwise);
  return value;
}
