/** One change of a plan as requests to the REST plugin, with how it is taken back. docs/openfire-target.md "Traps". */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { AccountWanted, Change } from "../../../xmpp-core/control/contract.ts";
import { CodedError } from "../../errors.ts";
import { type ClearPassword, clearOf } from "./adapt.ts";
import { isSecret, listOf, names } from "./catalogue.ts";
import { domainOf, type OpenfireGroup, readGroup, readProperties, readUser } from "./look.ts";
import { type Mark, passwordMark, readMark, withMark } from "./mark.ts";
import { type Rest, segment } from "./rest.ts";
import { moveMembers, setLock, type Undo } from "./undo.ts";

export type Step = { readonly what: string; readonly undo: Undo; run(): Promise<void> };

export type StepParts = {
  readonly rest: Rest;
  readonly clear: ClearPassword;
  readonly now: () => Date;
  /** The admin that the agent set before, by the journal. */
  readonly formerAdmin: string | undefined;
  /** The store sets the property of the external address itself. */
  readonly setsExternal: boolean;
  /** The admin this agent logs in as: never taken off the list. */
  readonly ourselves: string | undefined;
};

const property = z.object({ key: z.string(), value: z.string().optional() });

/** Undefined for a change that Openfire has no place for. Reads what is there; changes nothing until it runs. */
export async function stepOf(change: Change, parts: StepParts): Promise<Step | undefined> {
  switch (change.kind) {
    case "setting":
      return settingStep(change.setting, change.to, parts);
    case "account-set":
      return accountStep(change, parts);
    case "account-remove":
      return removeStep(change.name, change.keepDays, parts);
    case "account-rename":
      throw new CodedError(
        "openfire/rename",
        "Openfire's REST plugin renames by copying and deleting, so nobody does.",
      );
    case "group-set":
      return groupStep(change.group.name, parts);
    case "group-members":
      return memberStep(change, parts);
    case "group-remove":
      return groupGoes(change.name, parts);
    default:
      return undefined;
  }
}

async function settingStep(setting: string, to: string | null, parts: StepParts): Promise<Step | undefined> {
  if (setting === "domain")
    throw new CodedError("openfire/domain", "The domain of an Openfire that runs is not changed.");
  if (setting === "runtime-options") return undefined;
  if (setting === "admin") return adminStep(to, parts);
  if (setting === "external-address")
    return parts.setsExternal ? undefined : propertyStep(names.external, to, parts.rest);
  return propertyStep(setting.slice("property:".length), to, parts.rest);
}

async function storedValue(rest: Rest, key: string): Promise<string | null> {
  const found = await rest.find(`/system/properties/${segment(key)}`, property);
  return found?.value ?? null;
}

async function propertyStep(key: string, to: string | null, rest: Rest): Promise<Step> {
  const was = await storedValue(rest, key);
  const beneath = to === null || was === null ? await storedBeneath(rest, key) : {};
  return {
    what: to === null ? `property ${key} deleted` : `property ${key} set`,
    undo: { of: "property", key, was, beneath },
    async run() {
      // POST sets what is there as well; PUT answers 404 for what has only a default.
      if (to !== null) await rest.send("POST", "/system/properties", { key, value: to });
      else await rest.send("DELETE", `/system/properties/${segment(key)}`, undefined, [404]);
      // A deletion takes along what stands below the key.
      if (to === null)
        for (const [below, value] of Object.entries(beneath))
          await rest.send("POST", "/system/properties", { key: below, value });
    },
  };
}

async function storedBeneath(rest: Rest, key: string): Promise<Record<string, string>> {
  const below: Record<string, string> = {};
  for (const one of (await readProperties(rest)).keys()) {
    if (!one.startsWith(`${key}.`)) continue;
    const value = await storedValue(rest, one);
    if (value === null) continue;
    if (isSecret(one))
      throw new CodedError(
        "openfire/children",
        `Deleting ${key} deletes ${one} too, which is secret and cannot be put back.`,
        {
          hint: "Delete it in Openfire's console, or keep it in the store.",
        },
      );
    below[one] = value;
  }
  return below;
}

/** The others stay. The first entry ends the right that `admin` has while the list is empty, so it is written down. */
async function adminStep(to: string | null, { rest, formerAdmin, ourselves }: StepParts): Promise<Step> {
  const stored = await readProperties(rest);
  const domain = domainOf(stored);
  const jid = (name: string) => `${name}@${domain}`;
  const listed = listOf(stored.get(names.admins) ?? "");
  const before = listed.length === 0 ? [jid("admin")] : listed;
  const leaves = formerAdmin !== undefined && formerAdmin !== to && formerAdmin !== ourselves ? jid(formerAdmin) : "";
  const after = [...new Set([...before.filter((one) => one !== leaves), ...(to === null ? [] : [jid(to)])])];
  const next = after.length === 0 ? [jid("admin")] : after;
  return { ...(await propertyStep(names.admins, next.join(","), rest)), what: `admins are ${next.join(", ")}` };
}

async function accountStep(
  { account, keepCredentials }: Extract<Change, { kind: "account-set" }>,
  { rest, clear }: StepParts,
): Promise<Step> {
  const { name, id, displayName, email, enabled } = account;
  const user = await readUser(rest, name);
  const mark = user && readMark(user);
  const password = user && keepCredentials ? undefined : passwordFor(account, mark, user !== undefined, clear);
  const keys = password === undefined ? mark?.keys : password.keys;
  const next: Mark = {
    on: enabled,
    ...(id === undefined ? {} : { id }),
    ...(keys === undefined ? {} : { keys }),
  };
  const body = {
    name: displayName ?? "",
    email: email ?? "",
    ...(password === undefined ? {} : { password: password.text }),
    properties: withMark(user ?? {}, next),
  };
  const was = mark?.on ?? true;
  const locks = user !== undefined && was !== enabled;
  return {
    what: `account ${name} ${user ? "set" : "made"}`,
    undo: { of: "user", name, was: user ?? null, ...(locks ? { on: was } : {}) },
    async run() {
      if (user) {
        if (locks && !enabled) await setLock(rest, name, false);
        await rest.send("PUT", `/users/${segment(name)}`, body);
        if (locks && enabled) await setLock(rest, name, true);
      } else {
        await rest.send("POST", "/users", { username: name, ...body });
        // A lock outlives the account it was put on, so a new one of that name is set free or locked anew.
        await setLock(rest, name, enabled);
      }
    },
  };
}

/** What to set, if anything: the clear password of these keys, or one that nobody knows. */
function passwordFor(
  account: AccountWanted,
  mark: Mark | undefined,
  exists: boolean,
  clear: ClearPassword,
): { text: string; keys: string | undefined } | undefined {
  const nobodys = () => randomBytes(24).toString("base64url");
  const hash = passwordMark(account);
  if (hash === undefined) return !exists || mark?.keys !== undefined ? { text: nobodys(), keys: undefined } : undefined;
  if (hash === mark?.keys) return undefined;
  const text = clearOf(account, clear);
  if (text !== undefined) return { text, keys: hash };
  return exists ? undefined : { text: nobodys(), keys: undefined };
}

/** Locked and kept: the plugin's DELETE takes roster and account at once, and nothing brings them back. */
async function removeStep(name: string, keepDays: number, { rest, now }: StepParts): Promise<Step | undefined> {
  const user = await readUser(rest, name);
  if (!user) return undefined;
  const mark = readMark(user);
  const until = new Date(now().getTime() + keepDays * 86_400_000).toISOString();
  return {
    what: `account ${name} locked`,
    undo: { of: "user", name, was: user, on: mark?.on ?? true },
    async run() {
      await setLock(rest, name, false);
      await rest.send("PUT", `/users/${segment(name)}`, { properties: withMark(user, { ...mark, on: false, until }) });
    },
  };
}

async function groupStep(name: string, { rest }: StepParts): Promise<Step | undefined> {
  const there = await readGroup(rest, name);
  if (there?.shared) return undefined;
  return {
    what: `group ${name} ${there ? "shared with its members" : "made"}`,
    undo: { of: "group", name, was: there ?? null },
    async run() {
      if (there) await putGroup(rest, there, { shared: true });
      else await rest.send("POST", "/groups", { name, description: "", admins: [], members: [], shared: true });
    },
  };
}

/** PUT replaces members, admins and description by what it is given: all of it is read just before and given back. */
async function putGroup(rest: Rest, there: OpenfireGroup, change: Partial<OpenfireGroup>): Promise<void> {
  const now = (await readGroup(rest, there.name)) ?? there;
  await rest.send("PUT", `/groups/${segment(there.name)}`, { ...now, ...change });
}

async function memberStep(
  { group, add, remove }: Extract<Change, { kind: "group-members" }>,
  { rest }: StepParts,
): Promise<Step> {
  const there = await readGroup(rest, group);
  const domain = domainOf(await readProperties(rest));
  const jids = new Set(remove.map((name) => `${name}@${domain}`));
  return {
    what: `group ${group}: ${add.length} join, ${remove.length} leave`,
    // Admins of the group go by its whole text, which then is how it comes back.
    undo: there?.admins.some((one) => jids.has(one))
      ? { of: "group", name: group, was: there }
      : { of: "members", group, add: remove, remove: add },
    async run() {
      const now = await readGroup(rest, group);
      // The plugin makes a missing group, which nobody would see.
      if (!now)
        throw new CodedError("openfire/request-failed", `The group ${group} is gone, so nobody can join it.`, {
          hint: "The next look finds out what is to be done.",
        });
      const admins = now.admins.filter((one) => !jids.has(one));
      if (admins.length < now.admins.length) await putGroup(rest, now, { admins });
      await moveMembers(rest, group, add, remove);
    },
  };
}

async function groupGoes(name: string, { rest }: StepParts): Promise<Step | undefined> {
  const there = await readGroup(rest, name);
  if (!there) return undefined;
  return {
    what: `group ${name} deleted`,
    undo: { of: "group", name, was: there },
    async run() {
      await rest.send("DELETE", `/groups/${segment(name)}`, undefined, [404]);
    },
  };
}
