/** Inviting, listing and revoking by the commands of a client. XEP-0401 §5 */
import {
  booleanOf,
  type DataForm,
  type Field,
  field,
  formElement,
  parseForm,
  singleValueOf,
} from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { notStored, stanzaError } from "../../formats/stanza-error.ts";
import { prepareLocal } from "../../jid/jid.ts";
import type { Session } from "../../routing/session.ts";
import { refusedFor } from "../command-forms.ts";
import type { Core } from "../module.ts";
import type { Command, CommandAsk, CommandStep } from "../points.ts";
import type { Book, Entry, Wanted } from "./book.ts";
import { linksOf } from "./links.ts";
import { invitationAccounts, invitationContacts, invitationDays, invitationLimit } from "./properties.ts";

const dayMs = 24 * 3600_000;
const mostUses = 1000;
const mostListed = 200;
const ofAdmins = 1000;
const own = "urn:firekeeper:invitations";

/** @param openToAll whether everybody may make an account anyway */
export function invitationCommands(
  core: Core,
  book: Book,
  rules: { openToAll: () => boolean; refusesName: (served: number, name: string) => boolean },
): readonly Command[] {
  const isAdmin = (session: Session): boolean => core.rights.isAdmin(session.account.id);
  const mayInvite = (session: Session): boolean =>
    !session.account.probe && (isAdmin(session) || core.properties.get(invitationLimit) > 0);

  function mayMakeAccounts(session: Session): boolean {
    const who = core.properties.get(invitationAccounts);
    return who === "everybody" || (who === "admins" && isAdmin(session));
  }

  async function give(ask: CommandAsk, wanted: Omit<Wanted, "by">): Promise<CommandStep> {
    const { session } = ask;
    const most = isAdmin(session) ? ofAdmins : core.properties.get(invitationLimit);
    if (book.of(session.account).length >= most)
      return {
        is: "error",
        error: stanzaError("resource-constraint", {
          text: `You have ${most} open invitations. Revoke one, or wait until one is used or over.`,
        }),
      };
    const made = await book.add({ ...wanted, by: session.account });
    if (made === undefined) return { is: "error", error: notStored };
    if (wanted.makesAccount && isAdmin(session))
      core.rights.used(session.bareAddress, "invite to make an account", wanted.name ?? "any name");
    const { uri, page } = linksOf(core, made.entry, made.token, session.view);
    const one = (name: string, label: string, value: string): Field => ({
      ...{ name, type: "text-single", label, values: [value] },
    });
    return completedWith({
      type: "result",
      formType: `${ns.invite}#invitation`,
      fields: [
        one("uri", "Link for clients", uri),
        ...(page === undefined ? [] : [one("landing-url", "Link for browsers", page)]),
        one("expire", "Good until", dateTime(made.entry.expiresAt)),
      ],
    });
  }

  const days = (): number => core.properties.get(invitationDays);
  const until = (count: number): number => core.clock.now() + count * dayMs;

  const invite: Command = {
    node: `${ns.invite}#invite`,
    name: "Invite somebody",
    by: "anyone",
    shownTo: mayInvite,
    run(ask) {
      if (!mayInvite(ask.session)) return refusedFor("not-allowed", "Inviting is turned off here.");
      const makesAccount = rules.openToAll() || mayMakeAccounts(ask.session);
      return give(ask, { makesAccount, makesContact: true, name: undefined, uses: 1, expiresAt: until(days()) });
    },
  };

  const createAccount: Command = {
    node: `${ns.invite}#create-account`,
    name: "Invite somebody to make an account",
    by: "anyone",
    shownTo: (session) => mayInvite(session) && mayMakeAccounts(session),
    run(ask) {
      const { session, served } = ask;
      if (!mayInvite(session) || !mayMakeAccounts(session)) return { is: "error", error: notHere };
      const form = ask.form && parseForm(ask.form);
      if (form?.type !== "submit") return { is: "form", form: formElement(accountForm(isAdmin(session), days())) };
      const given = singleValueOf(form, "username")?.trim() || undefined;
      const name = given === undefined ? undefined : prepareLocal(given);
      if (given !== undefined && name === undefined)
        return refusedFor("not-acceptable", `${given} cannot be a user name.`);
      if (name !== undefined && (book.keeps(served.id, name) || core.accounts.get(served.id, name) !== undefined))
        return refusedFor("conflict", `The name ${name} is taken.`);
      // What only an admin may give away is not got by way of an invitation.
      if (name !== undefined && !isAdmin(session) && rules.refusesName(served.id, name))
        return refusedFor("conflict", `The name ${name} is taken.`);
      const uses = isAdmin(session) ? number(form, "uses", 1, mostUses) : 1;
      const kept = isAdmin(session) ? number(form, "days", days(), 365) : days();
      if (uses === undefined || kept === undefined || (name !== undefined && uses > 1))
        return refusedFor(
          "not-acceptable",
          "An invitation is for one name once, or for any name up to 1000 times, for at most 365 days.",
        );
      const makesContact = booleanOf(form, "roster-subscription") ?? false;
      return give(ask, { makesAccount: true, makesContact, name, uses, expiresAt: until(kept) });
    },
  };

  const sight = (session: Session): readonly Entry[] => (isAdmin(session) ? book.all() : book.of(session.account));

  const list: Command = {
    node: `${own}#list`,
    name: "List invitations",
    by: "anyone",
    shownTo: mayInvite,
    run({ session }) {
      const entries = [...sight(session)].sort((a, b) => a.expiresAt - b.expiresAt);
      const columns = [
        ["number", "Number"],
        ["by", "Invited by"],
        ["for", "For"],
        ["uses", "Uses left"],
        ["expire", "Good until"],
      ] as const;
      return completedWith({
        ...{ type: "result", formType: own, title: "Invitations", fields: [] },
        ...(entries.length > mostListed && { instructions: `The first ${mostListed} of ${entries.length}.` }),
        reported: columns.map(([name, label]) => ({ name, type: "text-single", label, values: [] })),
        items: entries
          .slice(0, mostListed)
          .map((entry) => [
            field("number", entry.id),
            field("by", core.names.absolute(`${entry.by.name}@`, session.view)),
            field("for", purpose(entry)),
            field("uses", entry.usesLeft),
            field("expire", dateTime(entry.expiresAt)),
          ]),
      });
    },
  };

  const revoke: Command = {
    node: `${own}#revoke`,
    name: "Revoke an invitation",
    by: "anyone",
    shownTo: mayInvite,
    async run({ session, form: given }) {
      const form = given && parseForm(given);
      if (form?.type !== "submit")
        return {
          is: "form",
          form: formElement({
            ...{ type: "form", formType: own, title: "Revoke an invitation" },
            instructions: "The number is in the list of invitations.",
            fields: [{ name: "number", type: "text-single", label: "Number", required: true, values: [] }],
          }),
        };
      const entry = sight(session).find(({ id }) => String(id) === singleValueOf(form, "number")?.trim());
      if (entry === undefined) return refusedFor("item-not-found", "There is no such invitation.");
      if (!(await book.revoke(entry))) return { is: "error", error: notStored };
      if (entry.by !== session.account) core.rights.used(session.bareAddress, "revoke an invitation of", entry.by.name);
      return { is: "completed", note: "The invitation is void." };
    },
  };

  return [invite, createAccount, list, revoke];

  function accountForm(admin: boolean, goodFor: number): DataForm {
    const contact = core.properties.get(invitationContacts);
    return {
      ...{ type: "form", formType: `${ns.invite}#create-account`, title: "Invite somebody to make an account" },
      instructions: "Without a user name the newcomer chooses one.",
      fields: [
        { name: "username", type: "text-single", label: "User name", values: [] },
        { ...field("roster-subscription", contact), type: "boolean", label: "Become contacts at once" },
        ...(admin ? [{ ...field("uses", 1), type: "text-single" as const, label: "How often it may be used" }] : []),
        ...(admin
          ? [{ ...field("days", goodFor), type: "text-single" as const, label: "Days for which it is good" }]
          : []),
      ],
    };
  }
}

const notHere = stanzaError("forbidden", {
  text: "Accounts belong to the host application that manages the users; the administrator can allow others by firekeeper.invitations.accounts.",
});

const completedWith = (form: DataForm): CommandStep => ({ is: "completed", form: formElement(form) });

/** XEP-0082 */
const dateTime = (at: number): string => new Date(at).toISOString().replace(/\.\d{3}Z$/, "Z");

function purpose({ makesAccount, makesContact, name }: Entry): string {
  if (!makesAccount) return "a contact";
  return `an account${name === undefined ? "" : ` ${name}`}${makesContact ? " and a contact" : ""}`;
}

/** A whole number from 1 to `most`; `otherwise` if the field is not there. */
function number(form: DataForm, name: string, otherwise: number, most: number): number | undefined {
  const given = singleValueOf(form, name)?.trim();
  if (given === undefined || given === "") return otherwise;
  return /^\d{1,5}$/.test(given) && Number(given) >= 1 && Number(given) <= most ? Number(given) : undefined;
}
