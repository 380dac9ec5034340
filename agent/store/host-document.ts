/** What a change of the host store does in a YAML document; comments, order and what is not touched stay. */
import { type Document, isMap, isScalar, isSeq, type Pair, Scalar, type YAMLMap, YAMLSeq } from "yaml";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import { foldName } from "../desired/accounts.ts";
import { chatFields } from "./chat-password.ts";
import type { FileChange, Removals, TeamChange } from "./host-change.ts";
import type { HostFile } from "./host-file-text.ts";
import { StoreError } from "./host-store.ts";

export const nothing: Removals = { users: [], roles: [], memberships: [] };

/** What a change did, one sentence; undefined: it stood so already. */
export type Made = { summary: string | undefined; removes?: Removals };

/** Makes the change in a document that holds at least what it works on; `host` is the whole file. */
export function make(document: Document, host: HostFile, change: Exclude<FileChange, TeamChange>): Made {
  switch (change.kind) {
    case "user-add": {
      const { kind, credentials, aliases = [], ...user } = change;
      const keys = credentials ? { credentials: withoutAbsent(credentials) } : {};
      const more = aliases.length > 0 ? { aliases } : {};
      section(document, "users").add(document.createNode({ ...withoutAbsent(user), ...more, ...keys }));
      return {
        summary: `Added the user ${change.name}${credentials ? "" : ", who cannot log in without a password"}.`,
      };
    }
    case "user-credentials": {
      setCredentials(document, user(document, change.name), change.credentials);
      return { summary: `Changed the password of ${change.name}.` };
    }
    case "user-enabled":
      return { summary: setEnabled(document, user(document, change.name), change.name, change.enabled) };
    case "user-remove":
      return removeUser(document, host, change.name);
    case "role-add":
      return { summary: addRole(document, host, change) };
    case "role-remove": {
      const roles = section(document, "roles");
      roles.items = roles.items.filter((item) => item !== role(document, change.name));
      return removedRole(change.name);
    }
    case "role-member-add": {
      const added = addMembers(document, role(document, change.role), host, change.members);
      return { summary: addedSentence(added, change.role) };
    }
    case "role-member-remove": {
      const removed = change.members.flatMap((name) => dropMember(role(document, change.role), name));
      return removedMembers(change.role, removed);
    }
    case "setting-set":
      return { summary: setSetting(document, change.key, change.value) };
    case "setting-unset": {
      settingsMap(document).delete(change.key);
      return { summary: `Removed ${change.key}.` };
    }
  }
}

// ---------------------------------------------------------------- users

export function user(document: Document, name: string): YAMLMap {
  const items = section(document, "users").items.filter((item) => isMap(item));
  const found =
    items.find((item) => item.get("name") === name) ??
    items.find((item) => foldName(String(item.get("name"))) === foldName(name));
  if (!found) throw gone("users", name);
  return found;
}

/** In the place of whatever password stands there: that for chat, where there is one. */
export function setCredentials(document: Document, item: YAMLMap, credentials: CredentialsText): void {
  const chat = chatFields.some((key) => item.has(key));
  const names = chat
    ? { password: "chatPassword", hash: "chatPasswordHash", keys: "chatCredentials" }
    : { password: "password", hash: "passwordHash", keys: "credentials" };
  item.delete(names.hash);
  const password = pairOf(item, names.password);
  const comment = isScalar(password?.value) ? password.value.comment : undefined;
  const node = document.createNode(withoutAbsent(credentials));
  if (comment) node.comment = comment;
  if (password && !item.has(names.keys)) {
    password.key = new Scalar(names.keys);
    password.value = node;
    return;
  }
  item.delete(names.password);
  item.set(names.keys, node);
}

function setEnabled(document: Document, item: YAMLMap, name: string, enabled: boolean): string | undefined {
  const stands = item.get("enabled") !== "false";
  if (stands === enabled) return undefined;
  if (enabled) item.delete("enabled");
  else item.set("enabled", document.createNode("false"));
  return enabled ? `Enabled ${name}.` : `Disabled ${name}: sessions end, data stays.`;
}

function removeUser(document: Document, host: HostFile, name: string): Made {
  const item = user(document, name);
  const users = section(document, "users");
  users.items = users.items.filter((other) => other !== item);
  const spelled = spelling(host, name);
  for (const candidate of section(document, "roles").items) if (isMap(candidate)) dropMember(candidate, spelled);
  return removedUser(host, name);
}

export function removedUser(host: HostFile, name: string): Made {
  const spelled = spelling(host, name);
  const memberships = host.roles.flatMap(({ name: role, members }) =>
    members === "all"
      ? []
      : members.filter((one) => foldName(one) === foldName(spelled)).map((user) => ({ role, user })),
  );
  const from = [...new Set(memberships.map((membership) => membership.role))];
  return {
    summary: `Removed the user ${spelled}${from.length > 0 ? `, also from ${from.join(", ")}` : ""}.`,
    removes: { users: [spelled], roles: [], memberships },
  };
}

// ---------------------------------------------------------------- roles

export function removedRole(name: string): Made {
  return { summary: `Removed the role ${name}.`, removes: { ...nothing, roles: [name] } };
}

export function role(document: Document, name: string): YAMLMap {
  const found = section(document, "roles").items.find((item) => isMap(item) && item.get("name") === name);
  if (!isMap(found)) throw gone("roles", name);
  return found;
}

function addRole(document: Document, host: HostFile, change: FileChange & { kind: "role-add" }): string | undefined {
  const { name, type, members } = change;
  const roles = section(document, "roles");
  const standing = roles.items.find((item) => isMap(item) && item.get("name") === name);
  if (!isMap(standing)) {
    const spelled = members === "all" ? members : members.map((member) => spelling(host, member));
    roles.add(document.createNode({ name, types: [type], members: spelled }, { flow: true }));
    return `Added the role ${name} of type ${type} with ${members === "all" ? "all users" : count(members)}.`;
  }
  const added: string[] = [];
  const types = listOf(document, standing, "types");
  if (!types.items.some((item) => textOf(item) === type)) {
    types.add(document.createNode(type));
    added.push(`the type ${type}`);
  }
  if (members === "all") {
    if (standing.get("members") !== "all") added.push("all users");
    standing.set("members", document.createNode("all"));
  } else added.push(...addMembers(document, standing, host, members));
  return addedSentence(added, name);
}

function addMembers(document: Document, item: YAMLMap, host: HostFile, members: readonly string[]): string[] {
  if (item.get("members") === "all") return [];
  const list = listOf(document, item, "members");
  const added = newMembers(host, list.items.map(textOf), members);
  for (const name of added) list.add(document.createNode(name));
  return added;
}

/** Those who are not members yet, spelled as the user. */
export function newMembers(host: HostFile, before: readonly string[], members: readonly string[]): string[] {
  const standing = new Set(before.map(foldName));
  return members.flatMap((member) => {
    if (standing.has(foldName(member))) return [];
    standing.add(foldName(member));
    return [spelling(host, member)];
  });
}

export function addedSentence(added: readonly string[], role: string): string | undefined {
  return added.length > 0 ? `Added ${added.join(", ")} to the role ${role}.` : undefined;
}

export function removedMembers(role: string, removed: readonly string[]): Made {
  return {
    summary: `Removed ${removed.join(", ")} from the role ${role}.`,
    removes: { ...nothing, memberships: removed.map((user) => ({ role, user })) },
  };
}

export function dropMember(item: YAMLMap, name: string): string[] {
  const list = item.get("members", true);
  if (!isSeq(list)) return [];
  const dropped = list.items.filter((member) => foldName(textOf(member)) === foldName(name));
  list.items = list.items.filter((member) => !dropped.includes(member));
  return dropped.map(textOf);
}

export function spelling(host: HostFile, name: string): string {
  return host.users[userAt(host, name)]?.name ?? name;
}

export function userAt(host: HostFile, name: string): number {
  const exact = host.users.findIndex((user) => user.name === name);
  return exact >= 0 ? exact : host.users.findIndex((user) => foldName(user.name) === foldName(name));
}

// ---------------------------------------------------------------- settings

function setSetting(document: Document, key: string, value: string): string | undefined {
  const settings = settingsMap(document);
  const standing = pairOf(settings, key)?.value;
  const scalar = new Scalar(value);
  // Unquoted, these three mean "not given".
  if (["", "~", "null"].includes(value)) scalar.type = "QUOTE_DOUBLE";
  if (isScalar(standing)) {
    if (standing.value === value && standing.type !== "PLAIN") return undefined;
    if (standing.value === value && scalar.type === undefined) return undefined;
    if (standing.comment) scalar.comment = standing.comment;
  }
  settings.set(key, scalar);
  return `Set ${key}.`;
}

function settingsMap(document: Document): YAMLMap {
  const settings = document.get("settings", true);
  if (isMap(settings)) return settings;
  const fresh = document.createNode({});
  fresh.flow = false;
  document.set("settings", fresh);
  return fresh;
}

// ---------------------------------------------------------------- nodes

/** The list of users, roles or teams, made if the file has none. */
export function section(document: Document, name: "users" | "roles" | "teams"): YAMLSeq {
  const standing = document.get(name, true);
  if (isSeq(standing)) {
    if (standing.items.length === 0) standing.flow = false;
    return standing;
  }
  const fresh = new YAMLSeq();
  document.set(name, fresh);
  return fresh;
}

export function listOf(document: Document, item: YAMLMap, key: string): YAMLSeq {
  const standing = item.get(key, true);
  if (isSeq(standing)) return standing;
  const one = isScalar(standing) ? textOf(standing) : "";
  const fresh = document.createNode(one === "" ? [] : [one], { flow: true });
  item.set(key, fresh);
  return fresh;
}

export function pairOf(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => textOf(pair.key) === key);
}

export function textOf(node: unknown): string {
  return String(isScalar(node) ? node.value : node);
}

export function withoutAbsent(data: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(data).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}

function count(members: readonly string[]): string {
  return members.length === 1 ? "1 member" : `${members.length} members`;
}

function gone(part: string, name: string): StoreError {
  return new StoreError("store/unknown-name", `${name} is not under ${part}.`, { fields: { name } });
}
