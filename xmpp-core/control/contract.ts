/**
 * What agent and core say to each other on the control socket: one JSON document a line, both ways.
 * The agent asks and the core answers by id; the core tells events, some of which the agent answers (`answer`).
 * This is the only file of xmpp-core that the agent imports. docs/architecture.md "A setting's way".
 */
import { z } from "zod";
import { account, actualAccount, checkLogin, contact, origin } from "./contract-accounts.ts";
import { canonicalAnswer } from "./contract-canonical.ts";

export * from "./contract-accounts.ts";
export * from "./contract-canonical.ts";

/** Each side understands the previous minor version; another major is refused by name. */
export const contractVersion = { major: 1, minor: 0 } as const;

// ---------------------------------------------------------------- words

/** A shared roster group with Openfire's semantics (`sharedRoster.*`). */
export const group = z.object({
  name: z.string(),
  displayName: z.string(),
  showInRoster: z.enum(["nobody", "onlyGroup", "everybody"]),
  groupList: z.array(z.string()),
  members: z.union([z.literal("all"), z.array(z.string())]),
  /** Names of contacts that are no accounts; absent: none. */
  contacts: z.array(z.string()).optional(),
});
export type GroupWanted = z.infer<typeof group>;

export const settings = z.object({
  /** The served domain; absent keeps the one that is served. */
  domain: z.string().optional(),
  /** Localpart of the admin; absent: `admin`. */
  admin: z.string().optional(),
  externalAddress: z.string().optional(),
  /** `sys.xmpp.java_options` as the host has it. */
  runtimeOptions: z.string().optional(),
  /** Domains that are also ours, separated by commas. */
  aliasDomains: z.string().optional(),
  /** Server properties, Openfire's names and value syntax. */
  properties: z.record(z.string(), z.string()),
});
export type SettingsWanted = z.infer<typeof settings>;

export const desiredState = z.object({
  settings,
  groups: z.array(group),
  supervisors: z.array(z.string()),
  accounts: z.array(account),
  /** Teams that groups show. */
  contacts: z.array(contact).optional(),
});
/** What a snapshot asks of the server. Names and values are as the host wrote them; `canonical` gives the server's own form. */
export type DesiredState = z.infer<typeof desiredState>;

// ---------------------------------------------------------------- actual

export const actualSettings = z.object({
  domain: z.string(),
  aliases: z.array(
    z.object({ name: z.string(), since: z.string(), until: z.string().nullable(), sessions: z.number() }),
  ),
  /** Whether the domain is as the very first start found it: nothing to migrate then. */
  fresh: z.boolean(),
  admin: z.object({ value: z.string().nullable(), origin }),
  externalAddress: z.object({ value: z.string().nullable(), origin }),
  runtimeOptions: z.object({ value: z.string().nullable(), origin }),
  aliasDomains: z.object({ value: z.string().nullable(), origin }).optional(),
  /** How the passwords of those who may log in are checked, in numbers. */
  passwords: z
    .object({
      /** By the host's hash alone. */
      hashed: z.number(),
      /** By keys that were derived from such a hash. */
      derived: z.number(),
      /** By a directory. */
      live: z.number(),
      /** Whether PLAIN alone is offered for their sake. */
      plainAlone: z.boolean(),
    })
    .optional(),
  /** Every property with a stored value. `beneath` is the local value that a host value covers. Secrets are `sha256:` and the hex SHA-256 of the value. */
  properties: z.array(
    z.object({ key: z.string(), value: z.string(), origin, beneath: z.string().optional(), secret: z.boolean() }),
  ),
});
export type ActualSettings = z.infer<typeof actualSettings>;

export const actualGroup = group.extend({ origin });
export type ActualGroup = z.infer<typeof actualGroup>;

/** Actual state by part; a part whose hash the agent named is not sent again. */
export const actualParts = z.object({
  settings: z.object({ hash: z.string(), value: actualSettings.optional() }),
  groups: z.object({ hash: z.string(), value: z.array(actualGroup).optional() }),
  supervisors: z.object({ hash: z.string(), value: z.array(z.string()).optional() }),
  /** `changed` and `gone` (names) make the accounts of the hash the agent named those of this one. */
  accounts: z.object({
    hash: z.string(),
    value: z.array(actualAccount).optional(),
    changed: z.array(actualAccount).optional(),
    gone: z.array(z.string()).optional(),
  }),
  /** Absent from a server without contacts that are no accounts. */
  contacts: z.object({ hash: z.string(), value: z.array(contact).optional() }).optional(),
});
export type ActualParts = z.infer<typeof actualParts>;

// ---------------------------------------------------------------- apply

/** One difference, in the server's canonical form. */
export const change = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("setting"), setting: z.string(), to: z.string().nullable() }),
  /**
   * `adopt`: a local account of that name becomes the host's; its sessions end, its tokens are void.
   * `keepCredentials`: the keys the server has stay (rollback holds none). An `id` other than the stored one is
   * another person: the former data is set aside.
   */
  z.object({
    kind: z.literal("account-set"),
    account,
    adopt: z.boolean().optional(),
    keepCredentials: z.boolean().optional(),
  }),
  /** Same person under another name: keeps everything, the old name becomes an alias; a removed holder of the new name is set aside. */
  z.object({ kind: z.literal("account-rename"), from: z.string(), account }),
  /** The host no longer has the person: disabled, sessions end, data kept `keepDays`. */
  z.object({ kind: z.literal("account-remove"), name: z.string(), keepDays: z.number() }),
  /** Creates the group without members, or sets its texts. `adopt`: a local group of that name becomes the host's. */
  z.object({ kind: z.literal("group-set"), group: group.omit({ members: true }), adopt: z.boolean().optional() }),
  /** `all`: true makes everybody a member, false returns to the list, which then starts empty; absent keeps which it is. */
  z.object({
    kind: z.literal("group-members"),
    group: z.string(),
    all: z.boolean().optional(),
    add: z.array(z.string()),
    remove: z.array(z.string()),
  }),
  z.object({ kind: z.literal("group-remove"), name: z.string() }),
  /** Makes a contact that is no account, or gives it another display name. */
  z.object({ kind: z.literal("contact-set"), contact }),
  z.object({ kind: z.literal("contact-remove"), name: z.string() }),
  /** Which contacts a group shows beside its members. */
  z.object({
    kind: z.literal("group-contacts"),
    group: z.string(),
    add: z.array(z.string()),
    remove: z.array(z.string()),
  }),
  z.object({ kind: z.literal("supervisor"), name: z.string(), grant: z.boolean() }),
]);
export type Change = z.infer<typeof change>;

export const applyRequest = z.object({
  /** Revision the agent believes to be in force; another one is `control/stale-revision`. */
  expected: z.number(),
  revision: z.number(),
  /** Authenticated admin, or "local user NAME (claimed)". */
  by: z.string(),
  changes: z.array(change),
  aliasDays: z.number(),
});
export type ApplyRequest = z.infer<typeof applyRequest>;

export const applyAnswer = z.object({
  revision: z.number(),
  /** What was done beyond the database: ports rebound, sessions ended, pushes sent. Sentences. */
  done: z.array(z.string()),
  /** The core replaces itself in order to take the change; the agent reconnects. */
  restarting: z.boolean(),
});
export type ApplyAnswer = z.infer<typeof applyAnswer>;

// ---------------------------------------------------------------- status

export const sessionStatus = z.object({
  address: z.string(),
  account: z.string(),
  view: z.string(),
  remote: z.string(),
  since: z.string(),
  tls: z.string().nullable(),
  streamManaged: z.boolean(),
  connected: z.boolean(),
  presence: z.string(),
});
export type SessionStatus = z.infer<typeof sessionStatus>;

export const coreStatus = z.object({
  domain: z.string(),
  aliases: actualSettings.shape.aliases,
  revision: z.number(),
  proven: z.number(),
  /** Set when the gate booted the last proven revision after two failed boots of the newest. */
  fellBackFrom: z.number().optional(),
  startedAt: z.string(),
  pid: z.number(),
  version: z.string(),
  listeners: z.array(
    z.object({
      /** `c2s` (STARTTLS, and TLS by its first byte), `c2s-tls` (direct TLS), `proxy65`, `admin` (9090), `admin-tls` (9091). */
      name: z.string(),
      address: z.string(),
      port: z.number(),
      state: z.enum(["open", "closed", "failed"]),
      error: z.string().optional(),
      /** Addresses, networks and ranges from which a connection must begin with a PROXY protocol header. */
      proxies: z.array(z.string()).optional(),
      /** Addresses, networks and ranges of the server's own on which new clients are refused. */
      refusesOn: z.array(z.string()).optional(),
    }),
  ),
  certificates: z.array(
    z.object({
      name: z.string(),
      names: z.array(z.string()),
      until: z.string(),
      sha256: z.string(),
      selfSigned: z.boolean(),
      /** Absent from a server of an earlier version. */
      source: z.enum(["self-signed", "file", "acme"]).optional(),
      daysLeft: z.number().optional(),
      /** Where the one in use was read from. */
      file: z.string().optional(),
      /** When an ACME certificate is ordered next. */
      renewal: z.string().optional(),
      problem: z.string().optional(),
    }),
  ),
  /** Where programs are told that uploaded files are, and why it is wrong if it is; absent: not looked at. */
  uploads: z.object({ address: z.string(), problem: z.string().optional() }).optional(),
  sessions: z.number(),
  detachedSessions: z.number(),
  accounts: z.number(),
  storage: z.string(),
  weakens: z.array(z.string()),
  notices: z.array(z.string()),
});
export type CoreStatus = z.infer<typeof coreStatus>;

// ---------------------------------------------------------------- messages

const empty = z.object({});

export const failure = z.object({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
});
export type Failure = z.infer<typeof failure>;

/** Every request the agent may send: its parameters and its answer. */
export const requests = {
  /** First message on a connection. A core serves one agent: a second one gets `control/held` naming the holder. */
  hello: {
    ask: z.object({ agent: z.string(), version: z.object({ major: z.number(), minor: z.number() }) }),
    answer: z.object({
      instance: z.string(),
      version: z.object({ major: z.number(), minor: z.number() }),
      program: z.string(),
      revision: z.number(),
      proven: z.number(),
      pid: z.number(),
      gatePid: z.number(),
      startedAt: z.string(),
    }),
  },
  canonical: { ask: desiredState, answer: canonicalAnswer },
  actual: { ask: z.object({ known: z.record(z.string(), z.string()) }), answer: actualParts },
  apply: { ask: applyRequest, answer: applyAnswer },
  /** Gives one account of the host another password and nothing else: no revision, since none holds passwords. */
  "set-password": {
    ask: account.pick({ name: true, credentials: true, passwordHash: true, passwordFrom: true }),
    answer: empty,
  },
  /** Verify succeeded: the revision may be booted and returned to. */
  prove: { ask: z.object({ revision: z.number() }), answer: empty },
  /** Orderly restart of the core process; connections stay. */
  restart: { ask: z.object({ by: z.string() }), answer: empty },
  /** Orderly stop of gate and core: state is stored, connections are dropped without `</stream:stream>`. */
  stop: { ask: z.object({ by: z.string() }), answer: empty },
  status: { ask: empty, answer: coreStatus },
  sessions: { ask: z.object({ limit: z.number().optional() }), answer: z.object({ sessions: z.array(sessionStatus) }) },
  /** A throw-away account for one verify: invisible, without rights, gone afterwards, also after a crash. */
  "probe-open": { ask: empty, answer: z.object({ name: z.string(), password: z.string(), domain: z.string() }) },
  "probe-close": { ask: z.object({ name: z.string() }), answer: empty },
  /** What a member of a shared group would see: names of the contacts of one roster group, for verification. */
  "group-view": {
    ask: z.object({ group: z.string() }),
    answer: z.object({
      exists: z.boolean(),
      displayName: z.string(),
      members: z.number(),
      /** Members who do not have another one in their roster under this group, a sentence each; absent: all have. */
      unseen: z.array(z.string()).optional(),
    }),
  },
  /** Which check of a login fails; with a password it is tried, and counts as a login does. Tells no secret. */
  "check-login": checkLogin,
  /** A consistent copy of the database, `<home>/<folder>/core.db`, while everything goes on. The folder exists. */
  backup: { ask: z.object({ folder: z.string().regex(/^backup-[0-9a-f]{12}$/) }), answer: empty },
  /** The agent's answer to an event that asks (`console`, `password`, `removal`). */
  answer: {
    ask: z.object({
      to: z.number(),
      ok: z.unknown().optional(),
      error: failure.optional(),
    }),
    answer: empty,
  },
  /** What the console shows about the agent, pushed whenever it changes. */
  agent: {
    ask: z.object({
      mode: z.string(),
      held: z.string().nullable(),
      /** Who froze, until when and why; what waits to be confirmed until when; when changes that are noticed go live. A sentence each. */
      frozen: z.string().nullable().optional(),
      awaits: z.string().nullable().optional(),
      window: z.string().nullable().optional(),
      pending: z.number(),
      store: z.string(),
      lastError: z.string().nullable(),
      /** Whether a password that its user changes goes back to the host store. */
      takesPasswords: z.boolean().optional(),
      /** Whether a user who gives up the own account is removed from the host store. */
      takesRemovals: z.boolean().optional(),
    }),
    answer: empty,
  },
} as const;
export type RequestName = keyof typeof requests;
export type Ask<N extends RequestName> = z.infer<(typeof requests)[N]["ask"]>;
export type Answer<N extends RequestName> = z.infer<(typeof requests)[N]["answer"]>;

/** Agent to core. */
export const requestLine = z.object({ id: z.number(), ask: z.string(), with: z.unknown() });
/** Core to agent, in answer to `id`. */
export const replyLine = z.object({ id: z.number(), ok: z.unknown().optional(), error: failure.optional() });

/** Core to agent, unasked. */
export const event = z.discriminatedUnion("event", [
  /** An admin asks for something in the console; the agent replies by `answer` with the same number. */
  z.object({
    event: z.literal("console"),
    number: z.number(),
    /** Bare JID of the authenticated admin, for the journal. */
    admin: z.string(),
    ask: z.enum(["plan", "apply", "history", "rollback", "resume", "status", "fleet"]),
    with: z.record(z.string(), z.unknown()),
  }),
  /** Something of the actual state changed without the agent (a local edit, an expired alias). */
  z.object({ event: z.literal("changed"), part: z.enum(["settings", "groups", "supervisors", "accounts"]) }),
  /**
   * A user changed the own password: the agent gives it back to the host store, applies that account at once and answers
   * with the same number. Never logged, never in the journal.
   */
  z.object({ event: z.literal("password"), number: z.number(), account: z.string(), password: z.string() }),
  /** A user gave up the own account: the agent removes it from the host store and answers `accountRemoved` with the same number. */
  z.object({ event: z.literal("removal"), number: z.number(), account: z.string() }),
  /** A use of rights that belongs into the journal (supervisor or admin commands). */
  z.object({ event: z.literal("used-right"), who: z.string(), what: z.string(), on: z.string() }),
]);
export type ControlEvent = z.infer<typeof event>;

/** For how long the data of an account is kept that its user removed from the host. */
export const accountRemoved = z.object({ keepDays: z.number() });
