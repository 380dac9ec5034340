/** Changes to the text of `host.yaml`: pure, text in, text out; comments, order and what is not touched stay. */
import { type Document, isMap, isScalar, isSeq, type Pair, Scalar, type YAMLMap, YAMLSeq } from "yaml";
import type { CredentialsText } from "../../xmpp-core/control/contract.ts";
import { foldName } from "../desired/accounts.ts";
import type { HostChange, Removals } from "./host-change.ts";
import { type HostFileMemo, hostFileMemo, parseHostFile } from "./host-file.ts";
import { refuseBadChange } from "./host-file-refusals.ts";
import { editByPieces, type Work } from "./host-file-splice.ts";
import { documentText, type HostFile, hostDocument } from "./host-file-text.ts";
import { StoreError } from "./host-store.ts";

export interface EditedText {
  readonly text: string;
  /** False when the file already said so; the text is the same then. */
  readonly changed: boolean;
  /** One sentence. */
  readonly summary: string;
  readonly removes: Removals;
}

const nothing: Removals = { users: [], roles: [], memberships: [] };

/**
 * Makes one change, in the text of what it touches where the file is written plainly. Throws `StoreError` when the text
 * is no whole host file, or the change is refused with its reason: an unknown name (with the nearest known one), a name
 * that exists, the last admin.
 */
export function editHostFile(
  text: string,
  file: string,
  change: HostChange,
  memo: HostFileMemo = hostFileMemo(),
): EditedText {
  const host = parseHostFile(text, file, memo);
  refuseBadChange(host, change, file);
  const pieced = editByPieces(text, file, worksOf(host, change), memo);
  const { text: edited, made } = pieced ?? editWhole(text, file, host, change);
  const summary = made.flatMap((one) => one.summary ?? [])[0];
  if (summary === undefined) return { text, changed: false, summary: unchanged(change), removes: nothing };
  return { text: edited, changed: true, summary, removes: made[0]?.removes ?? nothing };
}

/** Makes the change in the document of the whole file: for any file, at its full price. */
export function editWhole(text: string, file: string, host: HostFile, change: HostChange) {
  const { document } = hostDocument(text, file);
  const made = make(document, host, change);
  return { text: documentText(document, text), made: [made] };
}

type Made = { summary: string | undefined; removes?: Removals };

function make(document: Document, host: HostFile, change: HostChange): Made {
  switch (change.kind) {
    case "user-add": {
      const { kind, credentials, ...user } = change;
      const keys = credentials ? { credentials: withoutAbsent(credentials) } : {};
      section(document, "users").add(document.createNode({ ...withoutAbsent(user), ...keys }));
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
      return { summary: added.length > 0 ? `Added ${added.join(", ")} to the role ${change.role}.` : undefined };
    }
    case "role-member-remove": {
      const removed = change.members.flatMap((name) => dropMember(role(document, change.role), name));
      return {
        summary: `Removed ${removed.join(", ")} from the role ${change.role}.`,
        removes: { ...nothing, memberships: removed.map((user) => ({ role: change.role, user })) },
      };
    }
    case "setting-set":
      return { summary: setSetting(document, change.key, change.value) };
    case "setting-unset": {
      settingsMap(document).delete(change.key);
      return { summary: `Removed ${change.key}.` };
    }
  }
}

/** Where the change works, piece by piece; the first tells what it did. */
function worksOf(host: HostFile, change: HostChange): Work<Made>[] {
  const work = (document: Document) => make(document, host, change);
  const roleAt = (name: string) => host.roles.findIndex((one) => one.name === name);
  switch (change.kind) {
    case "user-add":
      return [{ on: "users", do: "add", work }];
    case "user-credentials":
    case "user-enabled":
      return [{ on: "users", do: "change", at: userAt(host, change.name), work }];
    case "user-remove": {
      const spelled = spelling(host, change.name);
      const holding = host.roles.flatMap(({ members }, at) =>
        members !== "all" && members.some((one) => foldName(one) === foldName(spelled)) ? [at] : [],
      );
      const drop = (document: Document): Made => {
        for (const item of section(document, "roles").items) if (isMap(item)) dropMember(item, spelled);
        return { summary: undefined };
      };
      return [
        { on: "users", do: "remove", at: userAt(host, change.name), made: removedUser(host, change.name) },
        ...holding.map((at): Work<Made> => ({ on: "roles", do: "change", at, work: drop })),
      ];
    }
    case "role-add": {
      const at = roleAt(change.name);
      return at < 0 ? [{ on: "roles", do: "add", work }] : [{ on: "roles", do: "change", at, work }];
    }
    case "role-remove":
      return [{ on: "roles", do: "remove", at: roleAt(change.name), made: removedRole(change.name) }];
    case "role-member-add":
    case "role-member-remove":
      return [{ on: "roles", do: "change", at: roleAt(change.role), work }];
    case "setting-set":
    case "setting-unset":
      return [{ on: "settings", do: "change", at: 0, work }];
  }
}

/** The same file with passwords in clear replaced by keys, everything else byte for byte where the file is written plainly. */
export function replacePasswords(text: string, file: string, keys: ReadonlyMap<string, CredentialsText>): string {
  if (keys.size === 0) return text;
  const spliced = splicePasswords(text, file, keys);
  if (spliced !== undefined && keysStand(spliced, file, keys)) return spliced;
  const { document } = hostDocument(text, file);
  for (const [name, credentials] of keys) setCredentials(document, user(document, name), credentials);
  const rewritten = documentText(document, text);
  if (!keysStand(rewritten, file, keys))
    throw new StoreError("store/cannot-rewrite", `${file}: passwords could not be replaced by keys.`, {
      hint: "Set them by firekeeper users passwd.",
    });
  return rewritten;
}

/** The same file with every password in clear emptied, for a copy that must not hold any. */
export function blankPasswords(text: string, file: string): string {
  const { document } = hostDocument(text, file);
  for (const item of section(document, "users").items) {
    if (!isMap(item) || !item.has("password")) continue;
    const blank = new Scalar("");
    blank.type = "QUOTE_DOUBLE";
    item.set("password", blank);
  }
  return documentText(document, text);
}

/** Undefined where a password is written in a way that only a rewrite of the document can replace. */
function splicePasswords(text: string, file: string, keys: ReadonlyMap<string, CredentialsText>): string | undefined {
  const { document, lines } = hostDocument(text, file);
  const parts: string[] = [];
  let from = 0;
  for (const item of section(document, "users").items) {
    if (!isMap(item)) return undefined;
    const credentials = keys.get(String(item.get("name")));
    if (!credentials) continue;
    const pair = pairOf(item, "password");
    const [start, end] = [isScalar(pair?.key) && pair.key.range?.[0], isScalar(pair?.value) && pair.value.range?.[1]];
    const plain = isScalar(pair?.value) && !pair.value.anchor && !String(pair.value.type).startsWith("BLOCK");
    if (!plain || typeof start !== "number" || typeof end !== "number" || item.has("credentials")) return undefined;
    const entries = Object.entries(withoutAbsent(credentials)).map(([hash, value]) => `${hash}: ${value}`);
    const indent = `\n${" ".repeat(lines.linePos(start).col + 1)}`;
    const value = item.flow ? ` { ${entries.join(", ")} }` : entries.map((entry) => `${indent}${entry}`).join("");
    parts.push(
      text.slice(from, start),
      `credentials:${text.includes("\r\n") ? value.replaceAll("\n", "\r\n") : value}`,
    );
    from = end;
  }
  return parts.join("") + text.slice(from);
}

function keysStand(text: string, file: string, keys: ReadonlyMap<string, CredentialsText>): boolean {
  const users = new Map(parseHostFile(text, file).users.map((user) => [user.name, user]));
  return [...keys].every(([name, credentials]) => {
    const user = users.get(name);
    return user?.password === undefined && user?.credentials?.sha256 === credentials.sha256;
  });
}

// ---------------------------------------------------------------- users

function user(document: Document, name: string): YAMLMap {
  const items = section(document, "users").items.filter((item) => isMap(item));
  const found =
    items.find((item) => item.get("name") === name) ??
    items.find((item) => foldName(String(item.get("name"))) === foldName(name));
  if (!found) throw gone("users", name);
  return found;
}

function setCredentials(document: Document, item: YAMLMap, credentials: CredentialsText): void {
  const password = pairOf(item, "password");
  const comment = isScalar(password?.value) ? password.value.comment : undefined;
  const node = document.createNode(withoutAbsent(credentials));
  if (comment) node.comment = comment;
  if (password && !item.has("credentials")) {
    password.key = new Scalar("credentials");
    password.value = node;
    return;
  }
  item.delete("password");
  item.set("credentials", node);
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

function removedUser(host: HostFile, name: string): Made {
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

function removedRole(name: string): Made {
  return { summary: `Removed the role ${name}.`, removes: { ...nothing, roles: [name] } };
}

function role(document: Document, name: string): YAMLMap {
  const found = section(document, "roles").items.find((item) => isMap(item) && item.get("name") === name);
  if (!isMap(found)) throw gone("roles", name);
  return found;
}

function addRole(document: Document, host: HostFile, change: HostChange & { kind: "role-add" }): string | undefined {
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
  return added.length > 0 ? `Added ${added.join(", ")} to the role ${name}.` : undefined;
}

/** Those who were not members yet, spelled as the user. */
function addMembers(document: Document, item: YAMLMap, host: HostFile, members: readonly string[]): string[] {
  if (item.get("members") === "all") return [];
  const list = listOf(document, item, "members");
  const standing = new Set(list.items.map((member) => foldName(textOf(member))));
  const added: string[] = [];
  for (const member of members) {
    if (standing.has(foldName(member))) continue;
    standing.add(foldName(member));
    added.push(spelling(host, member));
  }
  for (const name of added) list.add(document.createNode(name));
  return added;
}

function dropMember(item: YAMLMap, name: string): string[] {
  const list = item.get("members", true);
  if (!isSeq(list)) return [];
  const dropped = list.items.filter((member) => foldName(textOf(member)) === foldName(name));
  list.items = list.items.filter((member) => !dropped.includes(member));
  return dropped.map(textOf);
}

function spelling(host: HostFile, name: string): string {
  return host.users[userAt(host, name)]?.name ?? name;
}

function userAt(host: HostFile, name: string): number {
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

/** The list of users or of roles, made if the file has none. */
function section(document: Document, name: "users" | "roles"): YAMLSeq {
  const standing = document.get(name, true);
  if (isSeq(standing)) {
    if (standing.items.length === 0) standing.flow = false;
    return standing;
  }
  const fresh = new YAMLSeq();
  document.set(name, fresh);
  return fresh;
}

function listOf(document: Document, item: YAMLMap, key: string): YAMLSeq {
  const standing = item.get(key, true);
  if (isSeq(standing)) return standing;
  const one = isScalar(standing) ? textOf(standing) : "";
  const fresh = document.createNode(one === "" ? [] : [one], { flow: true });
  item.set(key, fresh);
  return fresh;
}

function pairOf(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => textOf(pair.key) === key);
}

function textOf(node: unknown): string {
  return String(isScalar(node) ? node.value : node);
}

function withoutAbsent(data: Readonly<Record<string, string | undefined>>): Record<string, string> {
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

function unchanged(change: HostChange): string {
  switch (change.kind) {
    case "user-enabled":
      return `${change.name} is ${change.enabled ? "enabled" : "disabled"} already.`;
    case "role-add":
      return `The role ${change.name} has that type and those members already.`;
    case "role-member-add":
      return `They are members of ${change.role} already.`;
    case "setting-set":
      return `${change.key} has that value already.`;
    default:
      return "Nothing to change.";
  }
}
