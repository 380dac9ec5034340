/** Opens the directories of live authentication as the properties have them; each brings its library with its first login. */
import { readFile } from "node:fs/promises";
import { rootCertificates } from "node:tls";
import type { Registry } from "../properties/registry.ts";
import type { HashCheck } from "./hash-check.ts";
import type { Directory, LiveSource } from "./live.ts";
import {
  httpToken,
  httpUrl,
  ldapAccount,
  ldapAccountPassword,
  ldapBindDn,
  ldapSearchBase,
  ldapSearchFilter,
  ldapStartTls,
  ldapUrl,
  liveCa,
  liveTimeout,
  sqlPassword,
  sqlQuery,
  sqlUrl,
} from "./live-properties.ts";

export interface Directories {
  /** The configuration of this moment as a text. It holds secrets. */
  configuration(source: LiveSource): string;
  /** The directory as it is configured at this moment. Rejects with what is missing. */
  open(source: LiveSource): Promise<Directory>;
  close(): Promise<void>;
}

export function directories(properties: Pick<Registry, "get">, hashes: HashCheck): Directories {
  const get = properties.get;
  const standing = new Map<LiveSource, { readonly config: string; readonly opened: Promise<Directory> }>();

  const configs = {
    ldap: () => ({
      ...{ url: get(ldapUrl), startTls: get(ldapStartTls), bindDn: get(ldapBindDn), base: get(ldapSearchBase) },
      ...{ filter: get(ldapSearchFilter), account: get(ldapAccount), accountPassword: get(ldapAccountPassword) },
    }),
    sql: () => ({ url: get(sqlUrl), query: get(sqlQuery), password: get(sqlPassword) }),
    http: () => ({ url: get(httpUrl), token: get(httpToken) }),
  };

  async function make(source: LiveSource): Promise<Directory> {
    const common = { timeoutMs: get(liveTimeout), ca: await authorities(get(liveCa)) };
    if (source === "ldap") return (await import("./ldap.ts")).ldapDirectory({ ...configs.ldap(), ...common });
    if (source === "sql") return (await import("./sql.ts")).sqlDirectory({ ...configs.sql(), ...common }, hashes);
    return (await import("./http-directory.ts")).httpDirectory({ ...configs.http(), ...common });
  }

  const configuration = (source: LiveSource) => JSON.stringify([configs[source](), get(liveTimeout), get(liveCa)]);

  return {
    configuration,
    async open(source) {
      const config = configuration(source);
      const before = standing.get(source);
      if (before?.config === config) return before.opened;
      const opened = make(source);
      standing.set(source, { config, opened });
      // What cannot be opened is tried anew at the next login: a file may be there by then.
      opened.catch(() => standing.delete(source));
      await before?.opened.then((former) => former.close());
      return opened;
    },
    async close() {
      for (const { opened } of standing.values()) await opened.then((one) => one.close()).catch(() => undefined);
    },
  };
}

async function authorities(file: string | undefined): Promise<string[] | undefined> {
  return file === undefined ? undefined : [...rootCertificates, await readFile(file, "utf8")];
}
