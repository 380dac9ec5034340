/** A password judged by an LDAP directory or Active Directory: by a bind as the user. RFC 4511, RFC 4513. docs/passwords.md. */
import { isIP } from "node:net";
import { Client, Filter, ResultCodeError } from "ldapts";
import { type Directory, directoryPlaces, isLoopback } from "./live.ts";
import { derivationPool } from "./pool.ts";

export interface LdapConfig {
  readonly url: string | undefined;
  readonly startTls: boolean;
  readonly bindDn: string | undefined;
  readonly base: string | undefined;
  readonly filter: string;
  readonly account: string | undefined;
  readonly accountPassword: string | undefined;
  readonly timeoutMs: number;
  readonly ca: string[] | undefined;
}

/** Result codes that speak of this user's bind: no such entry, bad name, wrong password, locked. All others are the directory's trouble. */
const wrongCodes = new Set([19, 32, 34, 48, 49]);

export function ldapDirectory(config: LdapConfig): Directory {
  const { startTls, bindDn, base, filter, account, accountPassword, timeoutMs, ca } = config;
  if (config.url === undefined) throw new Error("firekeeper.auth.ldap.url is not set");
  const url = config.url;
  if (bindDn === undefined && base === undefined)
    throw new Error("neither firekeeper.auth.ldap.bind-dn nor firekeeper.auth.ldap.search-base is set");
  const { protocol, hostname } = new URL(url);
  const plain = protocol === "ldap:";
  if (plain && !startTls && !isLoopback(hostname))
    throw new Error("ldap:// to another machine needs firekeeper.auth.ldap.starttls, or ldaps://");
  const places = derivationPool(directoryPlaces);
  const bare = hostname.replace(/^\[|\]$/g, "");
  const tls = {
    minVersion: "TLSv1.2" as const,
    ...(ca === undefined ? {} : { ca }),
    ...(isIP(bare) === 0 ? { servername: bare } : { host: bare }),
  };

  async function connected<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const client = new Client({
      ...{ url, timeout: timeoutMs, connectTimeout: timeoutMs, strictDN: false },
      ...(plain ? {} : { tlsOptions: tls }),
    });
    try {
      if (plain && startTls) await client.startTLS(tls);
      return await work(client);
    } finally {
      await client.unbind().catch(() => undefined);
    }
  }

  /** The DN of the one entry of that name; undefined: none, or several. Referrals are not followed. */
  async function found(client: Client, name: string, under: string): Promise<string | undefined> {
    if (account !== undefined) await client.bind(account, accountPassword ?? "");
    const { searchEntries } = await client.search(under, {
      ...{ scope: "sub", derefAliases: "never", sizeLimit: 2, attributes: ["1.1"] },
      filter: filter.replace("%", () => Filter.escape(name)),
    });
    return searchEntries.length === 1 ? searchEntries[0]?.dn : undefined;
  }

  return {
    judge: (name, password) =>
      places.run(() =>
        connected(async (client) => {
          const dn =
            bindDn === undefined
              ? await found(client, name, base ?? "")
              : bindDn.replace("%", () => (bindDn.includes("=") ? escapeDn(name) : name));
          if (dn === undefined || dn === "" || password === "") return false;
          try {
            await client.bind(dn, password);
            return true;
          } catch (error) {
            if (error instanceof ResultCodeError && wrongCodes.has(error.code)) return false;
            throw error;
          }
        }),
      ),
    close: async () => undefined,
  };
}

/** A value inside a DN: RFC 4514 §2.4. */
export function escapeDn(value: string): string {
  return value
    .replace(/[\\,+"<>;=]/g, (character) => `\\${character}`)
    .replaceAll("\0", "\\00")
    .replace(/^[ #]/, (character) => `\\${character}`)
    .replace(/ $/, "\\ ");
}
