/** The part of the control contract that says what the server makes of a wish, and what a change costs. Agents import contract.ts. */
import { z } from "zod";

export const impact = z.enum(["live", "listener", "restart", "migrate"]);
/** What a change costs: nobody notices, one port is rebound, the core process is replaced, the domain changes. */
export type Impact = z.infer<typeof impact>;

export const rejection = z.object({ code: z.string(), rule: z.string(), hint: z.string() });

/** The server's answer to one wanted setting. `setting` is `domain`, `admin`, `external-address`, `runtime-options`, `alias-domains` or `property:<key>`. */
export const settingAnswer = z.object({
  setting: z.string(),
  /** Canonical text, or null when rejected. */
  value: z.string().nullable(),
  rejected: rejection.optional(),
  impact,
  /** honoured: changes behaviour; none: accepted and stored, no meaning here; later: stored, not yet honoured; unknown: passed on. */
  effect: z.enum(["honoured", "none", "later", "unknown"]),
  /** Why there is no effect, or what else a person should know (a sentence each). */
  notes: z.array(z.string()),
  /** Set when the value is weaker than our default: the sentence for the head of plan and status. */
  weakens: z.string().optional(),
  secret: z.boolean(),
});
export type SettingAnswer = z.infer<typeof settingAnswer>;

/** The server's form of a name of an account or group, or why it can be none. */
export const nameAnswer = z.object({ given: z.string(), name: z.string().nullable(), rejected: rejection.optional() });
export type NameAnswer = z.infer<typeof nameAnswer>;

export const canonicalAnswer = z.object({
  /**
   * One answer for each wanted setting, and one for each setting that the host owns today and no longer wants:
   * `value` null without `rejected`, with the impact of giving it up.
   */
  settings: z.array(settingAnswer),
  accounts: z.array(nameAnswer),
  groups: z.array(nameAnswer),
  /** Of further addresses of accounts, and of contacts; absent from a server that has none such. */
  aliases: z.array(nameAnswer).optional(),
  contacts: z.array(nameAnswer).optional(),
  /** What a change of domain would touch; present when the wanted domain differs from the served one. */
  migration: z
    .object({
      from: z.string(),
      to: z.string(),
      accounts: z.number(),
      rosterItems: z.number(),
      archivedMessages: z.number(),
      sessions: z.number(),
      /** Stored foreign addresses under the new name that become local ones. */
      foreignBecomingLocal: z.number(),
      /** Accounts that such an address clashes with; the change is blocked while there are any. */
      clashes: z.array(z.string()),
      certificate: z.string(),
      dns: z.array(z.string()),
      notes: z.array(z.string()),
    })
    .optional(),
});
export type CanonicalAnswer = z.infer<typeof canonicalAnswer>;
