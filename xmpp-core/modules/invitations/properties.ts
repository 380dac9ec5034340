import { property } from "../../properties/property.ts";
import { boolean, enumeration, integer } from "../../properties/text-schema.ts";
import { madeHere } from "../account-points.ts";

export const invitationAccounts = property("firekeeper.invitations.accounts", {
  schema: enumeration("nobody", "admins", "everybody"),
  default: "nobody",
  impact: "live",
  doc: "Who may invite people so that they make an account here; such accounts belong to the server, not to the host that manages the users. Inviting a contact is open to everybody.",
  notes: (who) => (who === "nobody" ? [] : [madeHere]),
  weakens: (who) => (who === "everybody" ? "Every user may invite people who make accounts here." : undefined),
});

export const invitationContacts = property("firekeeper.invitations.contacts", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether who invites and who comes see each other at once; else they ask each other as usual.",
});

export const invitationDays = property("firekeeper.invitations.days", {
  schema: integer(1, 365),
  default: 7,
  impact: "live",
  doc: "Days for which an invitation is good.",
});

export const invitationLimit = property("firekeeper.invitations.limit", {
  schema: integer(0, 1000),
  default: 20,
  impact: "live",
  doc: "Invitations that one user may have open; 0 turns inviting off. Admins may have a thousand.",
});

export const invitationProperties = [invitationAccounts, invitationContacts, invitationDays, invitationLimit] as const;
