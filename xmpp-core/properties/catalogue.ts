/**
 * Every property that Openfire reads, and what becomes of it here: what no code of ours declares either has no meaning
 * outside Openfire (each with the reason), or is not yet honoured. A key that stands nowhere is unknown.
 */
import openfire from "./catalogue.json" with { type: "json" };

export interface CatalogueEntry {
  /** With placeholders (`cache.<name>.size`) when `pattern` is set. */
  readonly key: string;
  readonly type: string;
  /** Openfire's default in its canonical text; undefined when unset. */
  readonly default: string | undefined;
  readonly area: string;
  readonly secret: boolean;
  readonly pattern: boolean;
}

export type Standing =
  /** Never set as a property: `by` names the setting that does it. */
  | { readonly is: "reserved"; readonly by: string }
  | { readonly is: "none"; readonly reason: string; readonly entry: CatalogueEntry }
  | { readonly is: "later"; readonly entry: CatalogueEntry }
  | { readonly is: "unknown" };

/** Keys that settings of the host store own. docs/settings.md */
const reserved = new Map([
  ["xmpp.domain", "sys.xmpp.domain"],
  ["admin.authorizedJIDs", "sys.xmpp.adminuser"],
]);

interface Reason {
  readonly keys: RegExp;
  readonly says: string;
}

/** Why keys have no effect; the first that fits counts. Each sentence stands in plan, status and docs/properties.md. */
const reasons: readonly Reason[] = [
  {
    keys: /\.(?:keystore|truststore|keypass|trustpass|storeType|identityStoreType|trustStoreType)$|\.backup\.(?:key|trust)store\.location$/,
    says: "Java key stores are not used: certificates are PEM files in the home directory.",
  },
  {
    keys: /^xmpp\.multiplex\./,
    says: "Openfire's separate connection managers speak a protocol of their own that is not spoken here; clients connect directly.",
  },
  {
    keys: /[tT]hread|\.workers?$|-workers$|pool-size$|keep_alive_time$|^xmpp\.httpbind\.worker\.|^xmpp\.server\.outgoing\.queue$|^plugins\.loading\.max-parallel$/,
    says: "It sizes a Java thread pool; one event loop does that work here.",
  },
  {
    keys: /^plugins\./,
    says: "Java plugins cannot be loaded here.",
  },
  {
    keys: /^cache\./,
    says: "It sizes one of Openfire's Java caches; memory is bounded here without being told.",
  },
  {
    keys: /^cluster|clustertask/,
    says: "It belongs to Openfire's own clustering by a Java plugin.",
  },
  {
    keys: /^(?:database\.|connectionProvider\.|java\.naming\.)/,
    says: "It configures how Openfire reaches its database; this server keeps its data in one of its own.",
  },
  {
    keys: /^encrypt\./,
    says: "It configures how Openfire encrypts values in its XML files; secrets lie in protected files of their own here.",
  },
  {
    keys: /^autosetup\.|^setup$/,
    says: "It belongs to Openfire's setup wizard; here the host's settings set everything.",
  },
  {
    keys: /^httpbind\.CORS\.methods$/,
    says: "BOSH is spoken by POST alone, and every path says itself which methods it knows.",
  },
  {
    keys: /^httpbind\.client\.cert\.policy$/,
    says: "Browsers are not asked for certificates; people log in with SASL.",
  },
  {
    keys: /^httpbind\.request\.header\.size$/,
    says: "The head of a request is bounded at 8 KiB here; no client needs more.",
  },
  {
    keys: /^httpbind\.forwarded\.server\.header$/,
    says: "Nothing here depends on the name of the proxy.",
  },
  {
    keys: /^log\.httpbind\.enabled$/,
    says: "What people say is never logged, so bodies of requests are not.",
  },
  {
    keys: /^xmpp\.httpbind\.client\.no-cache\.enabled$/,
    says: "Answers always forbid browsers to keep them.",
  },
  {
    keys: /^xmpp\.httpbind\.scriptSyntax\.enabled$/,
    says: "Answers as scripts (JSONP) would run in the page that asks; CORS does the same safely.",
  },
  {
    keys: /^xmpp\.websocket\.stream-substitution-enabled$/,
    says: "Streams over WebSocket begin with <open/>, as RFC 7395 has it; <stream:stream> is not understood there.",
  },
  {
    keys: /^jetty\.|^httpbind\.stop-timeout$/,
    says: "It tunes Jetty, Openfire's Java web server.",
  },
  {
    keys: /^xmpp\.socket\.(?:netty\.|startup-latch-timeout$)/,
    says: "It tunes Netty, Openfire's Java network library.",
  },
  {
    keys: /^xmpp\.auth\.ssl\.(?:context_protocol|default-trustmanager-impl)$/,
    says: "It selects a part of Java's TLS; OpenSSL does TLS here.",
  },
  {
    keys: /^sasl\.gssapi\./,
    says: "It configures Java's Kerberos library, and GSSAPI is not offered.",
  },
  {
    keys: /^nativeAuth\./,
    says: "It configures a native library that checks passwords for Java.",
  },
  {
    keys: /^provider\.|\.className$|\.classList$|^(?:hybrid|mapped|propertyBased|authorizationBased)|servlet-request-authenticator$/,
    says: "It names or configures a Java class, and no Java runs here.",
  },
  {
    keys: /^jdbc(?:AuthProvider\.acceptPreHashedPassword|Provider\.driver|UserPropertyProvider\.(?:driver|connectionString))$/,
    says: "It is about a JDBC driver, which is a Java class.",
  },
  {
    keys: /^ldap\.(?:connectionPoolEnabled|debugEnabled|encloseDNs|encloseGroupDN|encloseUserDN|initialContextFactory|ldapDebugEnabled|userDNCache\.enabled)$/,
    says: "It tunes Java's LDAP library.",
  },
  {
    keys: /^mail\.debug$/,
    says: "It makes Java's mail library write down what it says to the mail server.",
  },
  {
    keys: /^xmpp\.jmx\./,
    says: "JMX exists in Java only; metrics are served over HTTP here.",
  },
  {
    keys: /^xmpp\.xml\.|^xmpp\.xmlutil\./,
    says: "It tunes Openfire's XML parser; the reader here is another one and strict.",
  },
  {
    keys: /^(?:adminConsole\.access\.(?:allow-wildcards-in-excludes|ignore-excludes)|adminConsole\.(?:siteMinderHeader|stop-timeout)|skin\.default\.debug|rss\.[a-z]+)$/,
    says: "It belongs to the inside of Openfire's console; the console here is another one.",
  },
  {
    keys: /^shutdown\.modules\./,
    says: "Modules stop in a fixed order here and are not waited for one by one.",
  },
  {
    keys: /^admin(?:Console)?\.authorizedUsernames$/,
    says: "It is an old form of admin.authorizedJIDs; sys.xmpp.adminuser decides who administers.",
  },
  {
    keys: /^oneTimeAccessToken$/,
    says: "The console has no one-time token; a lost admin password is replaced in the host's store.",
  },
  {
    keys: /^(?:admin\.authorizedGroups$|crowd\.)/,
    says: "Atlassian Crowd is not asked; accounts and roles come from the host's store.",
  },
  {
    keys: /^update\./,
    says: "It is about Openfire's look for newer versions; this server is upgraded by its package or image.",
  },
  {
    keys: /^(?:passwordKey|user\.usePlainPassword|user\.scramHashedPasswordOnly)$/,
    says: "Clear or decryptable passwords are never stored here, only SCRAM keys.",
  },
  {
    keys: /^xmpp\.auth\.sharedSecret(?:Enabled)?$/,
    says: "The mechanism JIVE-SHAREDSECRET is never offered: one secret for all accounts.",
  },
  {
    keys: /^xmpp\.(?:client|server|component)\.compression\.policy$/,
    says: "Compression is never offered: it gives away what TLS hides and lets one client exhaust memory.",
  },
  {
    keys: /^sasl\.scram-sha-1\.server-secret\.nonexistent-users$/,
    says: "The salts shown for names that do not exist come from a secret in the home directory, made at the first start.",
  },
  {
    keys: /^xmpp\.proxy\.transfer\.required$/,
    says: "The proxy relays only what a logged-in user of this server activates, bound to both addresses by its hash; it needs no earlier XEP-0096 offer, which newer clients (Jingle) do not send.",
  },
  {
    keys: /^stream\.management\.location\.terminate-others\.enabled$/,
    says: "It ends a session that another node of an Openfire cluster still holds; a session exists only once here.",
  },
  {
    keys: /^xmpp\.pubsub\.flush\./,
    says: "Openfire gathers published items in memory before it stores them; here an item is on disk before its publication is answered.",
  },
  {
    keys: /^xmpp\.pubsub\.root\./,
    says: "It names Openfire's root collection; nodes are not gathered in collections here.",
  },
  {
    keys: /^cert\.dsa\./,
    says: "DSA certificates are not made: no current client accepts them.",
  },
  {
    keys: /^xmpp\.muc\.(?:cleanupFrequency\.inMinutes|search\.skip-unloaded-rooms|history\.reload\.limit|loading\.timeout|await-termination-millis)$/,
    says: "It says when Openfire reads rooms from its database and unloads them; every room is known all the time here, and its past is read when somebody comes in.",
  },
  {
    keys: /^xmpp\.muc\.join\.presence$/,
    says: "Whoever comes into a room is always shown who is there, as XEP-0045 §7.2.2 requires.",
  },
  {
    keys: /^xmpp\.muc\.join\.self-presence-timeout$/,
    says: "It bounds a wait for the presence of who comes in; here that is queued in the same turn, and nothing waits.",
  },
  {
    keys: /^xmpp\.muc\.masterkey$/,
    says: "Occupant ids derive from a secret of each room, made with the room.",
  },
  {
    keys: /^xmpp\.muc\.room\.fmuc\.enabled$/,
    says: "Rooms that several servers hold together (XEP-0289) are not offered.",
  },
  {
    keys: /^xmpp\.muc\.self-ping\.enabled$/,
    says: "A room always answers who asks whether he is still in it (XEP-0410): clients rely on it after a lost connection.",
  },
  {
    keys: /^xmpp\.muc\.subject\.change\.strict$/,
    says: "A message changes the subject of a room only if it has a subject and no body, as XEP-0045 §8.1 has it.",
  },
  {
    keys: /^xmpp\.muc\.skipInvite$/,
    says: "Who becomes a member of a room is not invited unasked; inviting is what makes a member.",
  },
  {
    keys: /^plugin\.httpfileupload\.announcedWebContextRoot$/,
    says: "Files lie under /upload; a path that a proxy puts before it stands in firekeeper.web.address.",
  },
  {
    keys: /^plugin\.httpfileupload\.fileRepo$/,
    says: "Files lie in uploads of the home directory, where backups and erasure find them; mount another disk there.",
  },
  {
    keys: /^plugin\.httpfileupload\.clamav/,
    says: "Uploaded files are not scanned: most are encrypted by their sender, and none is ever run or shown as a page here.",
  },
  {
    keys: /^xmpp\.muc\.muclumbus\.v1-0\.enabled$/,
    says: "Public rooms are found by XEP-0433, which took the place of that protocol.",
  },
];

const secretName =
  /passwd|password|cookiekey|secret|keypass|trustpass|masterkey|accesstoken|encrypt(?:ion)?\.key|\.credentials$/i;

/** Whether a value is never shown, by its name; a boolean about passwords is none. */
export function secretByName(key: string, type?: string): boolean {
  return type !== "boolean" && secretName.test(key);
}

type RawEntry = (typeof openfire.properties)[number] | (typeof openfire.mucServiceProperties)[number];

function entryOf(raw: RawEntry): CatalogueEntry {
  const marked = ("encrypted" in raw && raw.encrypted) || ("sensitive" in raw && raw.sensitive);
  return {
    key: raw.key,
    type: raw.type,
    default: textOf(raw.default),
    area: raw.area,
    secret: Boolean(marked) || secretByName(raw.key, raw.type),
    pattern: "pattern" in raw && Boolean(raw.pattern),
  };
}

function textOf(value: boolean | number | string | readonly string[] | null): string | undefined {
  if (value === null) return undefined;
  return typeof value === "object" ? value.join(",") : String(value);
}

const entries: readonly CatalogueEntry[] = openfire.properties.map(entryOf);
const exact = new Map(entries.map((entry) => [entry.key, entry]));
const patterns = entries.filter((entry) => entry.pattern).map((entry) => ({ entry, matches: patternOf(entry.key) }));

/** `autosetup.users.user<n>.name` counts, `cache.<name>.size` names. */
function patternOf(key: string): RegExp {
  const source = key
    .split(/(<[a-z]+>)/)
    .map((part) => (/^<[nm]>$/.test(part) ? "[0-9]+" : /^</.test(part) ? "[^.]+" : part.replaceAll(".", "\\.")))
    .join("");
  return new RegExp(`^${source}$`);
}

/** All of Openfire's server properties, patterns included, in the order of their keys. */
export function catalogueEntries(): readonly CatalogueEntry[] {
  return entries;
}

/** Properties that each MUC service has for itself; their keys are relative to the service, so they are no server properties. */
export const mucServiceEntries: readonly CatalogueEntry[] = openfire.mucServiceProperties.map(entryOf);

export function catalogueEntry(key: string): CatalogueEntry | undefined {
  return exact.get(key) ?? patterns.find(({ matches }) => matches.test(key))?.entry;
}

/** What becomes of a key that no code declares. */
export function standingOf(key: string): Standing {
  const by = reserved.get(key);
  if (by !== undefined) return { is: "reserved", by };
  const entry = catalogueEntry(key);
  if (!entry) return { is: "unknown" };
  const reason = reasons.find(({ keys }) => keys.test(entry.key));
  return reason ? { is: "none", reason: reason.says, entry } : { is: "later", entry };
}

/** The known key that was probably meant, for a key that is unknown. */
export function nearestKey(key: string, declared: Iterable<string>): string | undefined {
  const wanted = key.toLowerCase();
  let nearest: { key: string; edits: number } | undefined;
  for (const candidate of new Set([...declared, ...exact.keys()])) {
    if (Math.abs(candidate.length - key.length) > 2) continue;
    const edits = editsBetween(wanted, candidate.toLowerCase());
    if (edits <= 2 && (!nearest || edits < nearest.edits)) nearest = { key: candidate, edits };
  }
  return nearest?.key;
}

/** Levenshtein distance. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
