/** What a person may change in the embedded store, as data: the command line, the console and the core ask for it alike. */
import { z } from "zod";
import { credentials } from "../../xmpp-core/control/contract.ts";

const name = z.string().min(1);

export const hostChange = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("user-add"),
    name,
    displayName: z.string().optional(),
    email: z.string().optional(),
    /** The host's stable key of the person. */
    id: name.optional(),
    aliases: z.array(name).optional(),
    credentials: credentials.optional(),
  }),
  z.object({ kind: z.literal("user-credentials"), name, credentials }),
  /** A user changed the own password in a client: in clear, since a host keeps it in its own form. Never logged, never journaled. */
  z.object({ kind: z.literal("user-password"), name, password: name }),
  z.object({ kind: z.literal("user-enabled"), name, enabled: z.boolean() }),
  z.object({ kind: z.literal("user-remove"), name }),
  /** Adds the type and the members to the role; makes the role if there is none. */
  z.object({ kind: z.literal("role-add"), type: name, name, members: z.union([z.literal("all"), z.array(name)]) }),
  z.object({ kind: z.literal("role-remove"), name }),
  z.object({ kind: z.literal("role-member-add"), role: name, members: z.array(name) }),
  z.object({ kind: z.literal("role-member-remove"), role: name, members: z.array(name) }),
  z.object({
    kind: z.literal("team-add"),
    id: name,
    name,
    type: z.enum(["queue", "callgroup"]),
    extension: name.optional(),
    members: z.array(name),
  }),
  /** Also from the roles that show it. */
  z.object({ kind: z.literal("team-remove"), id: name }),
  z.object({ kind: z.literal("team-member-add"), team: name, members: z.array(name) }),
  z.object({ kind: z.literal("team-member-remove"), team: name, members: z.array(name) }),
  /** Shows the team to the role's members, or no more. */
  z.object({ kind: z.literal("role-team-add"), role: name, team: name }),
  z.object({ kind: z.literal("role-team-remove"), role: name, team: name }),
  z.object({ kind: z.literal("setting-set"), key: name, value: z.string() }),
  z.object({ kind: z.literal("setting-unset"), key: name }),
]);
export type HostChange = z.infer<typeof hostChange>;

/** What the embedded store writes: a password in clear has become keys before. */
export type FileChange = Exclude<HostChange, { kind: "user-password" }>;

/** What concerns teams: who is in them, and which roles show them. */
export type TeamChange = Extract<FileChange, { kind: `team-${string}` | `role-team-${string}` }>;

/** What a change takes away, by the host's own names. */
export interface Removals {
  readonly users: readonly string[];
  readonly roles: readonly string[];
  readonly memberships: readonly { readonly role: string; readonly user: string }[];
}
