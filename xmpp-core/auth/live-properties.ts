/** The properties of live authentication: a directory of the host judges passwords at each login. docs/passwords.md. */
import { property } from "../properties/property.ts";
import { boolean, integer, milliseconds, seconds, type TextSchema, text } from "../properties/text-schema.ts";

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** A URL of one of these schemes, without user, password and fragment: a secret has a property of its own. */
function url(
  schemes: readonly string[],
  { plain, query = false }: { plain?: string; query?: boolean } = {},
): TextSchema<string> {
  const parse = (given: string): URL | undefined => (URL.canParse(given) ? new URL(given) : undefined);
  const fine = (given: string): boolean => {
    const parsed = parse(given);
    if (parsed === undefined || parsed.host === "" || parsed.password !== "" || parsed.hash !== "") return false;
    // Options of a library in it could turn TLS off.
    if (parsed.search !== "" && !query) return false;
    const scheme = parsed.protocol.slice(0, -1);
    return schemes.includes(scheme) && (scheme !== plain || loopback.test(parsed.hostname));
  };
  return {
    ...text,
    zod: text.zod.refine(fine),
    rule: `a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(" or ")}, without a password${query ? "" : " and a query"}`,
    hint: (refused) =>
      plain !== undefined && parse(refused.trim())?.protocol === `${plain}:`
        ? `${plain}:// carries passwords unencrypted: use ${schemes.find((scheme) => scheme !== plain)}://, or this machine's own address.`
        : "Passwords of URLs belong into the property for them.",
  };
}

/** `%` stands for the name once. */
const pattern = (example: string): TextSchema<string> => ({
  ...text,
  zod: text.zod.refine((given) => given.split("%").length === 2),
  rule: "a text with one % where the name stands",
  hint: () => `For example ${example}.`,
});

export const ldapUrl = property("firekeeper.auth.ldap.url", {
  schema: url(["ldaps", "ldap"]),
  default: undefined,
  impact: "live",
  doc: "Directory that judges the passwords of users with passwordFrom: ldap. ldap:// to another machine needs StartTLS.",
});

export const ldapStartTls = property("firekeeper.auth.ldap.starttls", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether an ldap:// connection is encrypted by StartTLS before anything is said; without it only this machine's own directory is asked.",
  weakens: (on) => (on ? undefined : "The connection to the directory on this machine is not encrypted."),
});

export const ldapBindDn = property("firekeeper.auth.ldap.bind-dn", {
  schema: pattern("uid=%,ou=people,dc=example,dc=org, or %@example.org for Active Directory"),
  default: undefined,
  impact: "live",
  doc: "Name by which a user binds, with % for the login name, escaped. Without it the user is searched.",
});

export const ldapSearchBase = property("firekeeper.auth.ldap.search-base", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "Where users are searched when firekeeper.auth.ldap.bind-dn is unset.",
});

export const ldapSearchFilter = property("firekeeper.auth.ldap.search-filter", {
  schema: pattern("(sAMAccountName=%)"),
  default: "(uid=%)",
  impact: "live",
  doc: "Filter of that search, with % for the login name, escaped. Exactly one entry must match.",
});

export const ldapAccount = property("firekeeper.auth.ldap.account", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "Name by which the server itself binds in order to search.",
});

export const ldapAccountPassword = property("firekeeper.auth.ldap.account-password", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "Password of that account.",
});

export const httpUrl = property("firekeeper.auth.http.url", {
  schema: url(["https", "http"], { plain: "http", query: true }),
  default: undefined,
  impact: "live",
  doc: 'Address that judges the passwords of users with passwordFrom: http: POST of {"user", "password"}, answered by 200 (right), 401 or 403 (wrong).',
});

export const httpToken = property("firekeeper.auth.http.token", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "Bearer token that the server shows there.",
});

export const sqlUrl = property("firekeeper.auth.sql.url", {
  schema: url(["postgres", "postgresql", "mysql", "mariadb"]),
  default: undefined,
  impact: "live",
  doc: "Database that judges the passwords of users with passwordFrom: sql, with its user and without a password. TLS is used with every other machine.",
});

export const sqlPassword = property("firekeeper.auth.sql.password", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "Password for that database.",
});

export const sqlQuery = property("firekeeper.auth.sql.query", {
  schema: {
    ...text,
    zod: text.zod.refine((given) => /:name\b/.test(given)),
    rule: "a query with :name, and :password where the database itself compares",
    hint: () => "For example SELECT password_hash FROM users WHERE login = :name.",
  },
  default: undefined,
  impact: "live",
  doc: "Query that gives one row with one column: a hash of the password, or true or false. :name and :password are bound, never pasted.",
});

export const liveTimeout = property("firekeeper.auth.timeout", {
  schema: milliseconds,
  default: 5000,
  impact: "live",
  doc: "How long a directory may take to answer; beyond it the login fails for the time being.",
});

export const liveCa = property("firekeeper.auth.tls.ca", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "Path of a PEM file with the authorities that directories' certificates are checked against, besides the system's.",
});

export const cacheSeconds = property("firekeeper.auth.cache.seconds", {
  schema: seconds,
  default: 60,
  impact: "live",
  doc: "How long a password that a directory called right is taken without asking again; 0 asks at each login.",
});

export const outageSeconds = property("firekeeper.auth.cache.outage-seconds", {
  schema: seconds,
  default: 0,
  impact: "live",
  doc: "How long such a password is taken while the directory does not answer.",
  weakens: (length) =>
    length > 0
      ? `While a directory is away, passwords it called right up to ${length} seconds ago are taken, also of people it has locked meanwhile.`
      : undefined,
});

export const failuresPerMinute = property("firekeeper.auth.failures-per-minute", {
  schema: integer(1, 1000),
  default: 3,
  impact: "live",
  doc: "Wrong passwords of one account that are passed on to a directory in a minute, so that nobody is locked out there by guesses here.",
});

export const liveProperties = [
  ...[ldapUrl, ldapStartTls, ldapBindDn, ldapSearchBase, ldapSearchFilter, ldapAccount, ldapAccountPassword],
  ...[httpUrl, httpToken, sqlUrl, sqlPassword, sqlQuery],
  ...[liveTimeout, liveCa, cacheSeconds, outageSeconds, failuresPerMinute],
] as const;
