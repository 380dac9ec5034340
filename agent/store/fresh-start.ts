/** The first start of a home without a host file: `host.yaml` with one account, the admin. docs/settings.md. */
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { credentialsMatch, deriveCredentials, generatePassword } from "../credentials.ts";
import { errno } from "../errors.ts";
import { writeWhole } from "./file-on-disk.ts";
import type { User } from "./host-store.ts";

export interface FreshStart {
  readonly user: string;
  /** For standard output, if that is a terminal; never for a log. */
  readonly password: string;
  /** Where it lies (0600) until it is changed. */
  readonly passwordFile: string;
}

const adminName = "admin";

export function initialPasswordFile(home: string): string {
  return join(home, "initial-admin-password");
}

/** Writes password file and host file, in this order: a crash between the two only starts again. */
export async function freshStart(path: string, home: string, instance: string | undefined): Promise<FreshStart> {
  const password = generatePassword();
  const { sha1, sha256, sha512 } = await deriveCredentials(password);
  const passwordFile = initialPasswordFile(home);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeWhole(passwordFile, `${password}\n`);
  await writeWhole(path, freshText({ sha1, sha256, sha512 }, instance));
  return { user: adminName, password, passwordFile };
}

/** Removes the initial password once the admin has another one, or is gone. */
export async function forgetInitialPassword(home: string, users: readonly User[]): Promise<boolean> {
  const path = initialPasswordFile(home);
  let password: string;
  try {
    password = (await readFile(path, "utf8")).trim();
  } catch (error) {
    if (errno(error) === "ENOENT") return false;
    throw error;
  }
  const admin = users.find((user) => user.name === adminName);
  if (admin?.deriving || (admin?.credentials && (await credentialsMatch(admin.credentials, password)))) return false;
  await rm(path, { force: true });
  return true;
}

function freshText(keys: { sha1: string; sha256: string; sha512: string }, instance: string | undefined): string {
  const domain =
    instance === undefined
      ? "  sys.xmpp.domain: localhost"
      : `  # The domain is the instance's name, ${instance}, until this line sets another.\n  # sys.xmpp.domain: chat.example.org`;
  return `# What Firekeeper serves. Edit it by hand, or by "firekeeper users", "roles" and "settings":
# it is read again within a second of being saved. "firekeeper plan" shows what a change will do.
# The last line, ..., marks the end: a file that lost it counts as half-written and is not taken.

settings:
${domain}
  # sys.xmpp.externalip: 203.0.113.7                         # clients outside the NAT reach us here
  # sys.xmpp.properties.xmpp.client.idle: 360000             # any server property, Openfire's names and values

roles:
  # A role of type xmpp.group puts its members into each other's contact lists.
  # - { name: All Users, types: [xmpp.group], members: all }
  # - { name: Sales, types: [xmpp.group], members: [alice, bob] }
  # A supervisor sees presence and sessions of every user.
  # - { name: Operators, types: [xmpp.supervisor], members: [carol] }

users:
  # - name: alice
  #   displayName: Alice Martin
  #   email: alice@example.org
  #   password: secret      # replaced by keys at the next read
  - name: ${adminName}
    credentials:
      sha1: ${keys.sha1}
      sha256: ${keys.sha256}
      sha512: ${keys.sha512}
...
`;
}
