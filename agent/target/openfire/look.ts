/** What Openfire has now: its properties, people and groups, as the REST plugin lists them. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { CodedError } from "../../errors.ts";
import { names } from "./catalogue.ts";
import { readMark } from "./mark.ts";
import { addressable, type Rest, segment } from "./rest.ts";

/** Users that a probe made bear this prefix; they are nobody's account. */
export const probePrefix = "firekeeper-probe-";

const properties = z.object({ property: z.array(z.object({ key: z.string(), value: z.string().optional() })) });
const text = z.string().nullish();
export const userShape = z.object({
  username: z.string(),
  name: text,
  email: text,
  properties: z.array(z.object({ key: z.string(), value: z.string() })).nullish(),
});
const users = z.object({ users: z.array(userShape) });
export const groupShape = z.object({
  name: z.string(),
  description: text,
  admins: z.array(z.string()).nullish(),
  members: z.array(z.string()).nullish(),
  shared: z.boolean().nullish(),
});
const groups = z.object({ groups: z.array(z.object({ name: z.string() })) });
const sessions = z.object({ sessions: z.array(z.unknown()) });

export type OpenfireUser = z.infer<typeof userShape>;
export type OpenfireGroup = {
  readonly name: string;
  readonly description: string;
  /** Bare JIDs. */
  readonly admins: string[];
  readonly members: string[];
  /** Seen by its members. False also when it is seen by everybody: the plugin does not tell. */
  readonly shared: boolean;
};

export type Look = {
  /** Effective values: defaults of declared properties stand among the stored ones. */
  readonly properties: ReadonlyMap<string, string>;
  readonly domain: string;
  readonly users: readonly OpenfireUser[];
  /** Those asked for by name with their members; of all others only the name. */
  readonly groups: ReadonlyMap<string, OpenfireGroup | undefined>;
  /** The same for the same content. */
  readonly hash: string;
};

export async function readProperties(rest: Rest): Promise<Map<string, string>> {
  const { property } = await rest.get("/system/properties", properties);
  return new Map(property.flatMap(({ key, value }) => (value === undefined ? [] : [[key, value] as const])));
}

/** Only of the groups in `interesting` the members are read: one request each. */
export async function lookAt(rest: Rest, interesting: ReadonlySet<string>): Promise<Look> {
  const stored = await readProperties(rest);
  const listed = await rest.get("/users", users);
  const groupNames = (await rest.get("/groups", groups)).groups.map((one) => one.name);
  const wanted = groupNames.filter((name) => interesting.has(name) && addressable(name));
  const read = new Map(await inParallel(wanted, async (name) => [name, await readGroup(rest, name)] as const));
  const known = new Map(groupNames.sort().map((name) => [name, read.get(name)]));
  const people = listed.users.filter((one) => !one.username.startsWith(probePrefix));
  const content = JSON.stringify([[...stored].filter(([key]) => !key.startsWith("firekeeper.")), people, [...known]]);
  return {
    properties: stored,
    domain: domainOf(stored),
    users: people,
    groups: known,
    hash: createHash("sha256").update(content).digest("hex"),
  };
}

export function domainOf(stored: ReadonlyMap<string, string>): string {
  const domain = stored.get(names.domain);
  if (domain === undefined)
    throw new CodedError("target/protocol", `Openfire does not list its property ${names.domain}.`, {
      hint: "Finish the setup of Openfire in its console first.",
    });
  return domain.toLowerCase();
}

export async function readGroup(rest: Rest, name: string): Promise<OpenfireGroup | undefined> {
  const found = await rest.find(`/groups/${segment(name)}`, groupShape);
  if (!found) return undefined;
  const { description, admins, members, shared } = found;
  return {
    name: found.name,
    description: description ?? "",
    admins: admins ?? [],
    members: members ?? [],
    shared: shared ?? false,
  };
}

export function readUser(rest: Rest, name: string): Promise<OpenfireUser | undefined> {
  return rest.find(`/users/${segment(name)}`, userShape);
}

export async function readSessions(rest: Rest): Promise<unknown[]> {
  return (await rest.get("/sessions", sessions)).sessions;
}

/** Names of the group's local people, admins of the group included: Openfire counts them as members. */
export function localMembers(group: OpenfireGroup, domain: string): string[] {
  const end = `@${domain}`;
  const all = [...group.members, ...group.admins].filter((jid) => jid.endsWith(end));
  return [...new Set(all.map((jid) => jid.slice(0, -end.length)))].sort();
}

export function usersByName(look: Look): Map<string, { user: OpenfireUser; mark: ReturnType<typeof readMark> }> {
  return new Map(look.users.map((user) => [user.username, { user, mark: readMark(user) }]));
}

/** A few at a time: Openfire answers the console from a small pool. */
export async function inParallel<A, B>(all: readonly A[], work: (one: A) => Promise<B>, width = 4): Promise<B[]> {
  const results: B[] = new Array(all.length);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < all.length; at = next++) results[at] = await work(all[at] as A);
  };
  await Promise.all(Array.from({ length: Math.min(width, all.length) }, worker));
  return results;
}
