/** Names beside those of accounts: further addresses of people, alias domains, teams. docs/people.md. */
import { CodedError } from "../errors.ts";
import { parseJid } from "../jid/jid.ts";
import type { CanonicalAnswer, Change, ContactWanted, DesiredState, NameAnswer, SettingAnswer } from "./contract.ts";
import { localName } from "./local-name.ts";
import type { ControlParts, Draft } from "./parts.ts";

type ContactChange = Extract<Change, { kind: "contact-set" | "contact-remove" }>;

/** The server's form of further addresses and of contacts. */
export function otherNames(
  parts: Pick<ControlParts, "names">,
  { accounts, contacts = [] }: DesiredState,
  settings: readonly SettingAnswer[],
): Pick<CanonicalAnswer, "aliases" | "contacts"> {
  const answered = settings.find(({ setting, rejected }) => setting === "alias-domains" && rejected === undefined);
  const domains = answered?.value?.split(", ") ?? [];
  const domain = settings.find(({ setting }) => setting === "domain")?.value ?? parts.names.primary.name;
  const given = new Set(accounts.flatMap(({ aliases = [] }) => aliases));
  return {
    aliases: [...given].map((alias) => aliasName(alias, domain, domains)),
    contacts: contacts.map(({ name }) => localName(name)),
  };
}

/** `a.martin`, or `a.martin@alias.example` under an alias domain; an address under the domain itself is its local part. */
function aliasName(given: string, domain: string, aliasDomains: readonly string[]): NameAnswer {
  if (!given.includes("@")) return localName(given);
  const address = parseJid(given.trim());
  if (address !== undefined && address.local !== "" && address.resource === "") {
    if (address.domain === domain) return { given, name: address.local };
    if (aliasDomains.includes(address.domain)) return { given, name: `${address.local}@${address.domain}` };
  }
  return {
    given,
    name: null,
    rejected: {
      code: "accounts/alias",
      rule: `a name, or an address under ${[domain, ...aliasDomains].join(", ")}`,
      hint: "Name its domain in sys.xmpp.aliasdomains if it is also yours.",
    },
  };
}

/** Makes, renames and removes contacts in the draft, before groups name them. Throws control/name, control/name-taken. */
export function applyContacts(parts: ControlParts, draft: Draft, changes: readonly ContactChange[]): void {
  for (const change of changes) {
    if (change.kind === "contact-set") set(parts, draft, change.contact);
    else {
      const found = contactNamed(parts, change.name);
      const { result, undo } = parts.accounts.tentatively(() => parts.accounts.remove(found));
      draft.undo.push(undo);
      draft.writes.push(...parts.handlers().flatMap((each) => each.account?.removed?.(found) ?? []), ...result);
    }
  }
}

function set(parts: ControlParts, draft: Draft, { name, displayName }: ContactWanted): void {
  const { accounts, names, clock } = parts;
  if (localName(name).name !== name)
    throw new CodedError("control/name", `${JSON.stringify(name)} is no name in the server's own form.`, {
      fields: { name },
      hint: "Ask for the canonical form first.",
    });
  const now = accounts.get(names.primary.id, name);
  if (now?.name === name && !now.contact)
    throw new CodedError("control/name-taken", `${name} is the name of an account.`, {
      fields: { name },
      hint: "Give the team or the user another name in the host.",
    });
  if (now?.name === name) {
    const former = now.displayName;
    now.displayName = displayName;
    draft.undo.push(() => {
      now.displayName = former;
    });
    draft.writes.push(...accounts.save(now));
    draft.enter.push(() => {
      for (const { account } of parts.handlers()) account?.changed?.(now);
    });
    return;
  }
  const facts = { name, hostId: undefined, displayName, email: undefined, enabled: true, keptUntil: undefined };
  const { result, undo } = accounts.tentatively(() =>
    accounts.create(names.primary, { ...facts, origin: "host", probe: false, contact: true }, clock.now()),
  );
  draft.undo.push(undo);
  draft.writes.push(...result.writes);
  draft.enter.push(() => {
    for (const { account } of parts.handlers()) account?.created?.(result.account);
  });
}

/** Throws control/unknown-contact. */
export function contactNamed(parts: Pick<ControlParts, "accounts" | "names">, name: string) {
  const found = parts.accounts.get(parts.names.primary.id, name);
  if (found?.contact && found.name === name) return found;
  throw new CodedError("control/unknown-contact", `There is no contact ${name}.`, {
    fields: { name },
    hint: "The server has changed since the plan was made: plan again.",
  });
}

export function actualContacts({ accounts, names }: Pick<ControlParts, "accounts" | "names">): ContactWanted[] {
  return [...accounts.contacts()]
    .filter(({ served }) => served === names.primary.id)
    .map(({ name, displayName }) => ({ name, displayName: displayName ?? name }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
