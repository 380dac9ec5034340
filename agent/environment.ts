/** The agent's own configuration: `FIREKEEPER_*`, one schema, from which the table in the README is written too. */
import { isIP } from "node:net";
import { resolve } from "node:path";
import { config } from "dotenv";
import { validate as isCron } from "node-cron";
import { z } from "zod";
import { CodedError, type Notice } from "./errors.ts";
import type { FleetPlace } from "./fleet/open.ts";
import { type MetricsAddress, readMetricsAddress } from "./metrics/address.ts";
import { readStunServers, type StunServer } from "./network/stun-servers.ts";
import { readVantagePoints, type VantagePoint } from "./network/vantage.ts";
import { windowsFault } from "./policy/window.ts";
import { nearestName } from "./store/nearest-name.ts";
import { isStoreUrl } from "./store/place.ts";
import { type OpenfirePlace, openfirePlace, openfireVariables } from "./target/openfire/variables.ts";

const days = z.coerce.number({ error: "a number of days" }).int("a whole number of days").min(0, "0 or more days");

const variables = z.object({
  FIREKEEPER_HOME: z
    .string()
    .default("./data")
    .describe("Home directory (0700): database, journal, certificates, secrets, and `host.yaml`."),
  FIREKEEPER_STORE: z
    .string()
    .optional()
    .describe(
      "The host store: a path (`host.yaml`, `.json`, `.properties`, `.env`, or a directory of one file per key) or a URL (`postgres://`, `mysql://`, `https://`). Default: `host.yaml` in the home directory.",
    ),
  FIREKEEPER_STORE_CONFIG: z
    .string()
    .optional()
    .describe("Path of a YAML or JSON file with what the URL of a store does not say: tables, queries, secrets."),
  FIREKEEPER_APPLY: z
    .enum(["auto", "manual"], { error: "auto or manual" })
    .optional()
    .describe(
      "`auto`: changes go live once the store is quiet; `manual`: they wait for `firekeeper apply`. Default: `auto` with `host.yaml`.",
    ),
  FIREKEEPER_INSTANCE: z
    .string()
    .regex(
      /^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/i,
      "letters, digits and hyphens, as in a host name",
    )
    .optional()
    .describe("Name of this instance: the XMPP domain while the store does not set `sys.xmpp.domain`."),
  FIREKEEPER_MAX_REMOVE: z.coerce
    .number({ error: "a percentage from 0 to 100" })
    .min(0, "a percentage from 0 to 100")
    .max(100, "a percentage from 0 to 100")
    .default(20)
    .describe("Per cent of accounts, groups or memberships (and at least ten) above which removals wait for a person."),
  FIREKEEPER_KEEP_REMOVED: days
    .default(30)
    .describe("Days for which the data of a user who vanished from the store is kept."),
  FIREKEEPER_ALIAS_DAYS: days
    .default(90)
    .describe("Days for which a former domain is still served after a change; 0 = for ever."),
  FIREKEEPER_AUTO_MIGRATE: z
    .enum(["yes", "no"], { error: "yes or no" })
    .default("no")
    .describe("`yes` lets a change of domain go live without a person, for fleets named elsewhere."),
  FIREKEEPER_RECONCILE: z
    .string()
    .refine((text) => isCron(text), "a cron expression, such as */5 * * * *")
    .default("* * * * *")
    .describe("Cron expression of the periodic full comparison of store and server."),
  FIREKEEPER_WINDOW: z
    .string()
    .superRefine((text, context) => {
      const fault = windowsFault(text);
      if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
    })
    .optional()
    .describe(
      "Maintenance windows, `0 2 * * 1-5 for 2h` (cron expression of the opening and how long; several with `;`): changes with an impact of `FIREKEEPER_WINDOW_FOR` wait for one. Unset: they wait for none.",
    ),
  FIREKEEPER_WINDOW_FOR: z
    .string()
    .refine(isImpacts, "a list of listener, restart and migrate")
    .default("restart,migrate")
    .describe("Impacts that wait for a maintenance window: some of `listener`, `restart`, `migrate`."),
  FIREKEEPER_JOURNAL_KEEP: days
    .default(0)
    .describe("Days after which old revisions leave the journal; 0 = never. What is in force always stays."),
  FIREKEEPER_TZ: z
    .string()
    .refine(isTimeZone, "an IANA time zone, such as Europe/Berlin")
    .default("UTC")
    .describe("Time zone of schedules; logs and storage are in UTC."),
  FIREKEEPER_LOG_LEVEL: z
    .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"], {
      error: "trace, debug, info, warn, error, fatal or silent",
    })
    .default("info")
    .describe("Least severity that is logged."),
  FIREKEEPER_CORE: z
    .string()
    .default("embedded")
    .describe(
      "`embedded`: the agent starts gate and core; else the path of the control socket of a core that runs elsewhere.",
    ),
  ...openfireVariables,
  FIREKEEPER_ACME_HOOK: z
    .string()
    .startsWith("/", "an absolute path")
    .optional()
    .describe(
      "Program that publishes DNS records for certificates by ACME: called with `present` or `cleanup`, the record's name and its text. Read by the server.",
    ),
  FIREKEEPER_PROBE_HOST: z
    .string()
    .regex(/^[^\s/:@]+$|^\[?[0-9a-fA-F:]+\]?$/, "a host name or an IP address")
    .default("127.0.0.1")
    .describe("Where the agent reaches the server's ports when it verifies; with containers the name of the server's."),
  FIREKEEPER_PROBE_FROM: z
    .string()
    .refine((text) => readVantagePoints(text) !== undefined, "a list of socks5://host:port, separated by commas")
    .optional()
    .describe(
      "SOCKS5 proxies outside the network, `socks5://host:port`, separated by commas: verify looks through each whether the external address leads here.",
    ),
  FIREKEEPER_STUN: z
    .string()
    .refine((text) => readStunServers(text) !== undefined, "a list of host or host:port, separated by commas")
    .optional()
    .describe("STUN servers outside the NAT, `host[:port]`, separated by commas, for `sys.xmpp.externalip` = `auto`."),
  FIREKEEPER_METRICS: z
    .string()
    .refine((text) => readMetricsAddress(text) !== undefined, "an address with a port, such as 127.0.0.1:9464")
    .optional()
    .describe("Where the agent serves its metrics and health, `address:port`; unset: nowhere."),
  FIREKEEPER_FLEET_LISTEN: z
    .string()
    .refine((text) => readLoopback(text) !== undefined, "a loopback address with a port, such as 127.0.0.1:9465")
    .optional()
    .describe("Headquarters: where reports of branches are heard, on loopback behind a reverse proxy with TLS."),
  FIREKEEPER_FLEET_FILE: z
    .string()
    .optional()
    .describe("Headquarters: path of a YAML file that names the branches, each with its key file."),
  FIREKEEPER_FLEET_SETTINGS: z
    .string()
    .optional()
    .describe("Headquarters: path of a YAML file with settings that branches may inherit."),
  FIREKEEPER_INHERIT: z
    .enum(["yes", "no"], { error: "yes or no" })
    .default("no")
    .describe(
      "Branch: `yes` takes over the settings of headquarters (`FIREKEEPER_REPORT_TO`) that the store does not set.",
    ),
  FIREKEEPER_REPORT_TO: z
    .url("a URL, such as https://hq.example.org")
    .optional()
    .describe("Branch: headquarters to which this instance (`FIREKEEPER_INSTANCE`) reports every minute."),
  FIREKEEPER_REPORT_SECRET_FILE: z.string().optional().describe("Branch: path of the key that signs the reports."),
  FIREKEEPER_REPORT_CA: z
    .string()
    .optional()
    .describe("Branch: path of the certificate (PEM) of a private authority that headquarters' certificate is from."),
  FIREKEEPER_STUN_EVERY: z.coerce
    .number({ error: "a number of seconds" })
    .min(1, "at least 1 second")
    .default(60)
    .describe("Seconds between two looks at the STUN servers."),
  FIREKEEPER_RESOLVER: z
    .string()
    .refine((text) => isResolver(text), "an address, such as 192.0.2.53 or [2001:db8::53]:5353")
    .optional()
    .describe(
      "DNS server, `address[:port]`, that `firekeeper doctor` asks besides the system's, as others see the zone.",
    ),
});

export interface Environment {
  /** Absolute. */
  readonly home: string;
  /** Absolute path of the host store, or its URL. */
  readonly store: string;
  /** Absolute path. */
  readonly storeConfig: string | undefined;
  /** Undefined: the store's kind decides, see `applyMode`. */
  readonly apply: "auto" | "manual" | undefined;
  readonly instance: string | undefined;
  /** Per cent. */
  readonly maxRemove: number;
  readonly keepRemovedDays: number;
  /** 0 = for ever. */
  readonly aliasDays: number;
  readonly autoMigrate: boolean;
  /** Cron expression, read in `timeZone`. */
  readonly reconcile: string;
  readonly timeZone: string;
  readonly windows:
    | { readonly text: string; readonly impacts: readonly ("listener" | "restart" | "migrate")[] }
    | undefined;
  /** 0 = for ever. */
  readonly journalKeepDays: number;
  readonly logLevel: z.infer<typeof variables>["FIREKEEPER_LOG_LEVEL"];
  readonly core: { readonly kind: "embedded" } | { readonly kind: "socket"; readonly path: string } | OpenfirePlace;
  /** Handed to the embedded server, which runs it. */
  readonly acmeHook: string | undefined;
  /** Where listeners on all addresses are reached from the agent. */
  readonly probeHost: string;
  /** SOCKS5 proxies from which the external address is looked at. */
  readonly probeFrom: readonly VantagePoint[];
  /** DNS server that `doctor` asks too. */
  readonly resolver: string | undefined;
  /** Where the agent's own metrics are served. */
  readonly metrics: MetricsAddress | undefined;
  /** Reports between branches and headquarters. */
  readonly fleet: FleetPlace;
  readonly stun: { readonly servers: readonly StunServer[]; readonly everyMs: number };
  /** Names that begin with `FIREKEEPER_` and mean nothing, each with the nearest known one. */
  readonly notices: readonly Notice[];
}

/**
 * Reads and validates the environment; the process's own variables win over those of the `.env` file (`dotenvPath`, if it exists).
 * An empty variable counts as unset. Throws `environment/invalid` that names every bad variable with its rule.
 */
export function readEnvironment(
  given: NodeJS.ProcessEnv = process.env,
  options: { readonly dotenvPath?: string; readonly cwd?: string } = {},
): Environment {
  const cwd = options.cwd ?? process.cwd();
  const fromFile: Record<string, string> = {};
  config({ quiet: true, path: options.dotenvPath ?? resolve(cwd, ".env"), processEnv: fromFile });
  const texts = Object.fromEntries(
    Object.entries({ ...fromFile, ...withoutEmpty(given) }).filter(
      ([name, text]) => name.startsWith("FIREKEEPER_") && text !== "",
    ),
  );
  const parsed = variables.safeParse(texts);
  if (!parsed.success) throw invalid(texts, parsed.error);
  const is = parsed.data;
  const home = resolve(cwd, is.FIREKEEPER_HOME);
  return {
    home,
    store:
      is.FIREKEEPER_STORE === undefined
        ? resolve(home, "host.yaml")
        : isStoreUrl(is.FIREKEEPER_STORE)
          ? is.FIREKEEPER_STORE
          : resolve(cwd, is.FIREKEEPER_STORE),
    storeConfig: is.FIREKEEPER_STORE_CONFIG === undefined ? undefined : resolve(cwd, is.FIREKEEPER_STORE_CONFIG),
    apply: is.FIREKEEPER_APPLY,
    instance: is.FIREKEEPER_INSTANCE,
    maxRemove: is.FIREKEEPER_MAX_REMOVE,
    keepRemovedDays: is.FIREKEEPER_KEEP_REMOVED,
    aliasDays: is.FIREKEEPER_ALIAS_DAYS,
    autoMigrate: is.FIREKEEPER_AUTO_MIGRATE === "yes",
    reconcile: is.FIREKEEPER_RECONCILE,
    timeZone: is.FIREKEEPER_TZ,
    windows:
      is.FIREKEEPER_WINDOW === undefined
        ? undefined
        : { text: is.FIREKEEPER_WINDOW, impacts: impactsOf(is.FIREKEEPER_WINDOW_FOR) },
    journalKeepDays: is.FIREKEEPER_JOURNAL_KEEP,
    logLevel: is.FIREKEEPER_LOG_LEVEL,
    core:
      openfirePlace(is, cwd) ??
      (is.FIREKEEPER_CORE === "embedded"
        ? { kind: "embedded" }
        : { kind: "socket", path: resolve(cwd, is.FIREKEEPER_CORE) }),
    acmeHook: is.FIREKEEPER_ACME_HOOK,
    probeHost: is.FIREKEEPER_PROBE_HOST.replace(/^\[|\]$/g, ""),
    probeFrom: readVantagePoints(is.FIREKEEPER_PROBE_FROM ?? "") ?? [],
    resolver: is.FIREKEEPER_RESOLVER,
    metrics: is.FIREKEEPER_METRICS === undefined ? undefined : readMetricsAddress(is.FIREKEEPER_METRICS),
    fleet: {
      listen: readLoopback(is.FIREKEEPER_FLEET_LISTEN ?? ""),
      file: pathIn(cwd, is.FIREKEEPER_FLEET_FILE),
      reportTo: is.FIREKEEPER_REPORT_TO,
      secretFile: pathIn(cwd, is.FIREKEEPER_REPORT_SECRET_FILE),
      ca: pathIn(cwd, is.FIREKEEPER_REPORT_CA),
      settings: pathIn(cwd, is.FIREKEEPER_FLEET_SETTINGS),
      inherit: is.FIREKEEPER_INHERIT === "yes",
    },
    stun: {
      servers: readStunServers(is.FIREKEEPER_STUN ?? "") ?? [],
      everyMs: is.FIREKEEPER_STUN_EVERY * 1000,
    },
    notices: unknownNames(Object.keys(texts)),
  };
}

/** Whether changes go live by themselves: as asked, else by themselves with the embedded store only. */
export function applyMode(
  environment: Pick<Environment, "apply"> & { readonly core?: { readonly kind: string } },
  store: { readonly kind: string },
): "auto" | "manual" {
  // An Openfire was there before us, and other people work on it.
  if (environment.core?.kind === "openfire") return environment.apply ?? "manual";
  return environment.apply ?? (store.kind === "file" ? "auto" : "manual");
}

/** Every variable with its default as text and its meaning, for docs. */
export function environmentVariables(): { name: string; value: string | undefined; meaning: string }[] {
  const { properties = {} } = z.toJSONSchema(variables, { io: "input", unrepresentable: "any" });
  return Object.entries(properties).map(([name, property]) => {
    const { description = "", default: value } = typeof property === "object" ? property : {};
    return { name, value: value === undefined ? undefined : String(value), meaning: description };
  });
}

/** The variables as a Markdown table, for README and docs. */
export function environmentTable(): string {
  const rows = environmentVariables().map(
    ({ name, value, meaning }) => `| \`${name}\` | ${value === undefined ? "" : `\`${value}\``} | ${meaning} |`,
  );
  return ["| variable | default | meaning |", "|---|---|---|", ...rows, ""].join("\n");
}

const pathIn = (cwd: string, path: string | undefined) => (path === undefined ? undefined : resolve(cwd, path));

function readLoopback(text: string): MetricsAddress | undefined {
  const read = readMetricsAddress(text);
  return read && (read.address === "::1" || read.address.startsWith("127.")) ? read : undefined;
}

function withoutEmpty(given: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(given).filter(([, text]) => text !== undefined && text !== ""));
}

function invalid(texts: Record<string, string | undefined>, error: z.ZodError): CodedError {
  const lines = error.issues.map((issue) => {
    const name = String(issue.path[0]);
    return `${name}=${texts[name] ?? ""}: must be ${issue.message}`;
  });
  return new CodedError("environment/invalid", `The environment is not usable. ${lines.join("; ")}.`, {
    fields: { variables: error.issues.map((issue) => String(issue.path[0])).join(" ") },
    hint: "Correct it where the agent is started, or in .env.",
  });
}

function unknownNames(names: readonly string[]): Notice[] {
  const known = Object.keys(variables.shape);
  return names
    .filter((name) => !known.includes(name))
    .map((name) => {
      const meant = nearestName(name, known);
      return {
        code: "environment/unknown-variable",
        message: `${name} is set but means nothing.`,
        ...(meant ? { hint: `Did you mean ${meant}?` } : {}),
      };
    });
}

const windowImpacts = ["listener", "restart", "migrate"] as const;

function impactsOf(text: string): (typeof windowImpacts)[number][] {
  const named = text.split(",").map((one) => one.trim());
  return windowImpacts.filter((one) => named.includes(one));
}

function isImpacts(text: string): boolean {
  return text.split(",").every((one) => windowImpacts.some((impact) => impact === one.trim()));
}

function isResolver(text: string): boolean {
  return isIP(text.replace(/^\[([^\]]+)\](:\d+)?$/, "$1").replace(/^([\d.]+):\d+$/, "$1")) !== 0;
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}
