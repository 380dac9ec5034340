/** The changes of accounts in an apply: create, update, disable, rename, adopt, remove, set aside. docs/settings.md. */
import { createHash } from "node:crypto";
import { parseCredentials } from "../auth/keys.ts";
import { readHash } from "../auth/password-hash.ts";
import { CodedError } from "../errors.ts";
import type { SharedGroupChange } from "../modules/points.ts";
import { groups } from "../modules/points.ts";
import { cardRows } from "../routing/account-cards.ts";
import type { Account, StoredCredentials } from "../routing/accounts.ts";
import { type AccountWanted, type Change, canonicalHostCard, canonicalPassword } from "./contract.ts";
import { localName } from "./local-name.ts";
import { type ControlParts, type Draft, newDraft, takeBack } from "./parts.ts";

type AccountChange = Extract<Change, { kind: "account-set" | "account-rename" | "account-remove" }>;

const dayMs = 24 * 3600 * 1000;

/** What the changes of accounts ask of groups and rights: whoever takes over a name takes its memberships and its role. */
export interface Inherited {
  readonly groups: SharedGroupChange[];
  readonly supervisors: { readonly account: Account; readonly grant: boolean }[];
}

/** Names and keys of all changes, before anything is touched. Throws control/name, auth/bad-keys. */
export function checkAccounts(changes: readonly AccountChange[]): void {
  for (const change of changes) {
    if (change.kind === "account-remove") continue;
    if (localName(change.account.name).name !== change.account.name)
      throw new CodedError(
        "control/name",
        `${JSON.stringify(change.account.name)} is no account name in the server's own form.`,
        {
          fields: { name: change.account.name },
          hint: "Ask for the canonical form first.",
        },
      );
    checkPassword(change.account);
  }
}

/** Changes memory and adds the rows to the draft, in the order of the changes. Throws with memory half changed: the caller takes the draft back. */
export function applyAccounts(parts: ControlParts, draft: Draft, changes: readonly AccountChange[]): Inherited {
  const inherited: Inherited = { groups: [], supervisors: [] };
  for (const change of changes) {
    if (change.kind === "account-set") set(parts, draft, change, inherited);
    else if (change.kind === "account-rename") rename(parts, draft, change, inherited);
    else remove(parts, draft, change);
  }
  return inherited;
}

function set(
  parts: ControlParts,
  draft: Draft,
  change: Extract<AccountChange, { kind: "account-set" }>,
  inherited: Inherited,
): void {
  const { account: wanted } = change;
  notAContact(parts, wanted.name);
  const now = held(parts, wanted.name);
  if (now?.origin === "local" && change.adopt !== true)
    throw new CodedError("control/local-account", `${wanted.name} is a local account of this server.`, {
      fields: { name: wanted.name },
      hint: `If the host's user is the same person: firekeeper apply --adopt ${wanted.name}`,
    });
  const otherPerson = now?.hostId !== undefined && wanted.id !== undefined && now.hostId !== wanted.id;
  if (now === undefined || otherPerson) {
    if (now !== undefined) setAside(parts, draft, now, `${now.name} is another person now.`);
    const made = create(parts, draft, wanted);
    setAliases(parts, draft, made, wanted);
    setCard(draft, made, wanted);
    if (now !== undefined) inherit(parts, now, made, inherited);
    setKeys(parts, draft, made, wanted, false);
    return;
  }
  remember(parts, draft, now);
  if (now.origin === "local") endSessions(parts, draft, now, "The account was taken over by the host.");
  else if (now.enabled && !wanted.enabled) endSessions(parts, draft, now, "The account was disabled.");
  now.origin = "host";
  now.keptUntil = undefined;
  fill(now, wanted);
  draft.writes.push(...parts.accounts.save(now));
  setAliases(parts, draft, now, wanted);
  // As with keys, a rollback has no cards: those that are there stay.
  if (change.keepCredentials !== true) setCard(draft, now, wanted);
  draft.enter.push(() => tell(parts, (handlers) => handlers.changed?.(now)));
  setKeys(parts, draft, now, wanted, change.keepCredentials === true);
}

function setAliases(parts: ControlParts, draft: Draft, account: Account, { aliases = [] }: AccountWanted): void {
  if (aliases.length === account.aliases.length && aliases.every((alias) => account.aliases.includes(alias))) return;
  const { result, undo } = parts.accounts.tentatively(() => parts.accounts.setAliases(account, aliases));
  draft.undo.push(undo);
  draft.writes.push(...result);
}

function setCard(draft: Draft, account: Account, { card: wanted }: AccountWanted): void {
  const text = wanted && canonicalHostCard(wanted);
  const hash = text && `sha256:${createHash("sha256").update(text).digest("hex")}`;
  if (account.card?.hash === hash) return;
  const { photo, ...fields } = wanted ?? {};
  const { card, writes } = cardRows(
    account.id,
    hash === undefined
      ? undefined
      : { hash, fields, photo: photo === undefined ? undefined : Buffer.from(photo, "base64") },
  );
  const before = account.card;
  draft.undo.push(() => {
    account.card = before;
  });
  account.card = card;
  draft.writes.push(...writes);
}

/** Nobody may bear the name of a team. */
function notAContact(parts: ControlParts, name: string): void {
  const found = parts.accounts.get(parts.names.primary.id, name);
  if (found?.contact && found.name === name)
    throw new CodedError("control/name-taken", `${name} is the name of a team.`, {
      fields: { name },
      hint: "Give the user or the team another name in the host.",
    });
}

/** The same person under another name: the former name stays an alias, sessions go on. */
function rename(
  parts: ControlParts,
  draft: Draft,
  change: Extract<AccountChange, { kind: "account-rename" }>,
  inherited: Inherited,
): void {
  const { from, account: wanted } = change;
  const account = required(parts, from);
  notAContact(parts, wanted.name);
  const holder = held(parts, wanted.name);
  if (holder !== undefined && holder !== account) {
    if (holder.origin === "local")
      throw new CodedError("control/local-account", `${wanted.name} is a local account of this server.`, {
        fields: { name: wanted.name },
        hint: "Rename or remove it first.",
      });
    setAside(parts, draft, holder, `${holder.name} is another person now.`);
    inherit(parts, holder, account, inherited);
  }
  remember(parts, draft, account);
  const { result, undo } = parts.accounts.tentatively(() => parts.accounts.rename(account, wanted.name));
  draft.undo.push(undo);
  draft.writes.push(...result);
  if (account.enabled && !wanted.enabled) endSessions(parts, draft, account, "The account was disabled.");
  account.keptUntil = undefined;
  fill(account, wanted);
  draft.writes.push(...parts.accounts.save(account));
  setAliases(parts, draft, account, wanted);
  if (wanted.card !== undefined) setCard(draft, account, wanted);
  draft.enter.push(() => tell(parts, (handlers) => handlers.renamed?.(account, from)));
  draft.enter.push(() => tell(parts, (handlers) => handlers.changed?.(account)));
  setKeys(parts, draft, account, wanted, canonicalPassword(wanted) === undefined);
}

/** The host no longer has the person: nobody logs in, everything is kept for the case that it returns. */
function remove(parts: ControlParts, draft: Draft, change: Extract<AccountChange, { kind: "account-remove" }>): void {
  const account = required(parts, change.name);
  if (account.origin === "local")
    throw new CodedError("control/local-account", `${change.name} is a local account of this server.`, {
      fields: { name: change.name },
    });
  remember(parts, draft, account);
  account.enabled = false;
  account.barred = false;
  account.keptUntil = parts.clock.now() + change.keepDays * dayMs;
  draft.writes.push(...parts.accounts.save(account));
  draft.enter.push(() => tell(parts, (handlers) => handlers.changed?.(account)));
  endSessions(parts, draft, account, "The account was removed.");
}

function create(parts: ControlParts, draft: Draft, wanted: AccountWanted): Account {
  const { accounts, names, clock } = parts;
  const { result, undo } = accounts.tentatively(() =>
    accounts.create(
      names.primary,
      {
        ...{ name: wanted.name, hostId: wanted.id, displayName: wanted.displayName, email: wanted.email },
        ...{ enabled: wanted.enabled, barred: !wanted.enabled && wanted.barred === true },
        ...{ origin: "host", keptUntil: undefined, probe: false },
      },
      clock.now(),
    ),
  );
  draft.undo.push(undo);
  draft.writes.push(...result.writes);
  draft.enter.push(() => tell(parts, (handlers) => handlers.created?.(result.account)));
  return result.account;
}

/** Another person bears the name from now on; the former data is kept apart and never shown. */
function setAside(parts: ControlParts, draft: Draft, account: Account, why: string): void {
  const { result, undo } = parts.accounts.tentatively(() => parts.accounts.setAside(account));
  draft.undo.push(undo);
  draft.writes.push(...result, ...parts.handlers().flatMap((each) => each.account?.setAside?.(account) ?? []));
  endSessions(parts, draft, account, why);
}

/** Groups and rights go by name in the host: they belong to whoever bears it. */
function inherit(parts: ControlParts, from: Account, to: Account, inherited: Inherited): void {
  for (const all of parts.offered(groups))
    for (const group of all.list())
      if (group.members !== "all" && group.members.includes(from.name))
        inherited.groups.push({ kind: "members", group: group.name, add: [to], remove: [from] });
  if (!parts.rights.isSupervisor(from.id)) return;
  inherited.supervisors.push({ account: from, grant: false }, { account: to, grant: true });
}

/** One password, outside of any revision. Throws control/unknown-account, control/local-account, auth/bad-keys. */
export async function setPassword(
  parts: ControlParts,
  wanted: WantedPassword & { readonly name: string },
): Promise<void> {
  const account = required(parts, wanted.name);
  checkPassword(wanted);
  if (account.origin === "local")
    throw new CodedError("control/local-account", `${wanted.name} is a local account of this server.`, {
      fields: { name: wanted.name },
    });
  const draft = newDraft();
  setKeys(parts, draft, account, wanted, false);
  try {
    await parts.storage.write(draft.writes);
  } catch (error) {
    takeBack(draft);
    throw error;
  }
}

type WantedPassword = Pick<AccountWanted, "credentials" | "passwordHash" | "passwordFrom">;

function checkPassword({ credentials, passwordHash }: WantedPassword): void {
  if (credentials !== undefined) parseCredentials(credentials);
  const form = passwordHash === undefined ? undefined : readHash(passwordHash);
  if (form?.is === "refused")
    throw new CodedError("auth/bad-hash", `A password hash must be ${form.rule}.`, { hint: form.hint });
}

function setKeys(parts: ControlParts, draft: Draft, account: Account, wanted: WantedPassword, keep: boolean): void {
  if (keep) return;
  const text = canonicalPassword(wanted);
  if (text === undefined && account.credentialsHash === undefined) return;
  const hash = text === undefined ? undefined : `sha256:${createHash("sha256").update(text).digest("hex")}`;
  if (hash !== undefined && hash === account.credentialsHash) return;
  const stored = text === undefined ? undefined : storedPassword(wanted);
  parts.auth.live.forget(account.name);
  const { result, undo } = parts.accounts.tentatively(() => parts.accounts.setCredentials(account, stored, hash));
  draft.undo.push(undo);
  draft.writes.push(...result);
}

/** A directory wins over keys, keys over a hash, as in `canonicalPassword`. */
function storedPassword({ credentials, passwordHash, passwordFrom }: WantedPassword): StoredCredentials {
  if (passwordFrom !== undefined) return { passwordFrom };
  return credentials ?? { passwordHash };
}

function fill(account: Account, wanted: AccountWanted): void {
  account.hostId = wanted.id ?? account.hostId;
  account.displayName = wanted.displayName;
  account.email = wanted.email;
  account.enabled = wanted.enabled;
  account.barred = !wanted.enabled && wanted.barred === true;
}

function remember(parts: ControlParts, draft: Draft, account: Account): void {
  const { hostId, displayName, email, enabled, barred, origin, keptUntil } = account;
  draft.undo.push(() => {
    Object.assign(account, { hostId, displayName, email, enabled, barred, origin, keptUntil });
    parts.accounts.touched(account.name);
  });
}

function endSessions(parts: ControlParts, draft: Draft, account: Account, why: string): void {
  draft.after.push(() => {
    const all = [...account.sessions];
    for (const session of all) {
      if (session.carrier !== undefined) session.carrier.end("not-authorized", why);
      else parts.sessions.end(session, "ended");
    }
    if (all.length > 0)
      draft.done.push(`${all.length} ${all.length === 1 ? "session" : "sessions"} of ${account.name} ended.`);
  });
}

function tell(
  parts: ControlParts,
  say: (handlers: NonNullable<ReturnType<ControlParts["handlers"]>[number]["account"]>) => void,
): void {
  for (const { account } of parts.handlers()) if (account !== undefined) say(account);
}

/** Who bears the name itself; who once bore it does not count. */
export function held(parts: Pick<ControlParts, "accounts" | "names">, name: string): Account | undefined {
  const found = parts.accounts.get(parts.names.primary.id, name);
  return found?.name === name && !found.probe && !found.contact ? found : undefined;
}

export function required(parts: Pick<ControlParts, "accounts" | "names">, name: string): Account {
  const found = held(parts, name);
  if (found === undefined)
    throw new CodedError("control/unknown-account", `There is no account ${name}.`, {
      fields: { name },
      hint: "The server has changed since the plan was made: plan again.",
    });
  return found;
}
