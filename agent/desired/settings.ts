/** The keys under `sys.xmpp`. docs/settings.md. */
import type { SettingsWanted } from "../../xmpp-core/control/contract.ts";
import type { Notice } from "../errors.ts";
import type { Snapshot, User } from "../store/host-store.ts";
import { nearestName } from "../store/nearest-name.ts";
import { foldName, mayLogIn } from "./accounts.ts";
import type { Desired, Part, Rejection } from "./desired.ts";

const prefix = "sys.xmpp.";
const propertyPrefix = "sys.xmpp.properties.";
const scalarKeys = [
  "sys.xmpp.domain",
  "sys.xmpp.adminuser",
  "sys.xmpp.aliasdomains",
  "sys.xmpp.allowedroles",
  "sys.xmpp.externalip",
  "sys.xmpp.java_options",
];

/** Every key that has a meaning of its own, and the start of those that carry a server property. */
export const knownSettingKeys: readonly string[] = [...scalarKeys, propertyPrefix];

/** Server properties that have a key of their own in the contract. */
const ownedProperties = new Map([
  ["xmpp.domain", "sys.xmpp.domain"],
  ["admin.authorizedJIDs", "sys.xmpp.adminuser"],
]);

/** What hosts of this kind are called when nobody named them. */
const defaultDomain = "mobydick";

export function wantedSettings(
  snapshot: Pick<Snapshot, "settings" | "users">,
  defaults: { readonly instance?: string | undefined },
): Part<SettingsWanted> & Pick<Desired, "domainFrom"> {
  const rejections: Rejection[] = [];
  const notices: Notice[] = unknownKeys([...snapshot.settings.keys()]);
  const domain = wantedDomain(text(snapshot, "sys.xmpp.domain"), defaults.instance);
  notices.push(...domain.notices);
  const admin = text(snapshot, "sys.xmpp.adminuser");
  const adminRejected = admin === undefined ? undefined : rejectedAdmin(admin, snapshot.users);
  if (adminRejected) rejections.push(adminRejected);
  if (admin === undefined && !snapshot.users.some((user) => foldName(user.name) === "admin" && mayLogIn(user)))
    notices.push({
      code: "settings/no-admin",
      message: "Nobody may use the console: sys.xmpp.adminuser is not set, and no user admin may log in.",
      hint: "Set sys.xmpp.adminuser to the name of a user.",
    });
  const externalAddress = text(snapshot, "sys.xmpp.externalip");
  const properties = wantedProperties(snapshot.settings);
  rejections.push(...properties.rejections);
  if (externalAddress !== undefined && "xmpp.proxy.externalip" in properties.wanted)
    notices.push({
      code: "settings/covered",
      message:
        "xmpp.proxy.externalip wins over sys.xmpp.externalip for file transfers through the proxy; all else follows sys.xmpp.externalip.",
    });
  const aliasDomains = text(snapshot, "sys.xmpp.aliasdomains");
  const runtimeOptions = text(snapshot, "sys.xmpp.java_options");
  return {
    wanted: {
      domain: domain.wanted,
      ...(admin !== undefined && !adminRejected ? { admin } : {}),
      ...(externalAddress !== undefined ? { externalAddress } : {}),
      ...(runtimeOptions === undefined ? {} : { runtimeOptions }),
      ...(aliasDomains === undefined ? {} : { aliasDomains }),
      properties: properties.wanted,
    },
    domainFrom: domain.from,
    rejections,
    notices,
  };
}

/** An emptied key is an absent one. */
function text(snapshot: Pick<Snapshot, "settings">, key: string): string | undefined {
  const value = snapshot.settings.get(key)?.trim();
  return value === "" ? undefined : value;
}

function wantedDomain(
  given: string | undefined,
  instance: string | undefined,
): { wanted: string; from: Desired["domainFrom"]; notices: Notice[] } {
  const wanted = given ?? instance ?? defaultDomain;
  const from = given !== undefined ? "store" : instance !== undefined ? "instance" : "default";
  const notices: Notice[] = [];
  if (!wanted.includes(".") && wanted.toLowerCase() !== "localhost")
    notices.push({
      code: "settings/single-label-domain",
      message: `The domain ${wanted} has no dot: no SRV records, no public certificate, no federation outside this network.`,
      hint: "Set sys.xmpp.domain to a full name if the service is to be reached from elsewhere.",
    });
  return { wanted, from, notices };
}

function rejectedAdmin(given: string, users: readonly User[]): Rejection | undefined {
  const user = users.find((candidate) => foldName(candidate.name) === foldName(given));
  if (user && mayLogIn(user)) return undefined;
  const meant = nearestName(
    given,
    users.filter(mayLogIn).map((candidate) => candidate.name),
  );
  return {
    code: user ? "settings/admin-disabled" : "settings/admin-missing",
    subject: { kind: "setting", name: "admin" },
    key: "sys.xmpp.adminuser",
    value: given,
    rule: user ? `the user ${user.name} must be enabled and have a password` : "the name of a user of the host",
    hint: `${meant && !user ? `Did you mean ${meant}? ` : ""}The former admin keeps the rights until then.`,
  };
}

function wantedProperties(settings: ReadonlyMap<string, string>): {
  wanted: Record<string, string>;
  rejections: Rejection[];
} {
  // Keys come from outside: an object literal would take `__proto__` for its own.
  const wanted = new Map<string, string>();
  const rejections: Rejection[] = [];
  for (const [key, value] of settings) {
    if (!key.startsWith(propertyPrefix)) continue;
    const property = key.slice(propertyPrefix.length);
    const rejected = rejectedProperty(key, property, value);
    if (rejected) rejections.push(rejected);
    else wanted.set(property, value);
  }
  return { wanted: Object.fromEntries(wanted), rejections };
}

function rejectedProperty(key: string, property: string, value: string): Rejection | undefined {
  const subject = { kind: "setting", name: `property:${property}` } as const;
  const owner = ownedProperties.get(property);
  if (owner)
    return {
      code: "settings/owned-elsewhere",
      subject,
      key,
      value,
      rule: `${property} is set by ${owner}`,
      hint: `Set ${owner} instead.`,
    };
  // `__proto__` would vanish on its way through JSON schemas; nobody's server has such a property.
  if (property !== "" && property !== "__proto__" && !/\s/.test(property)) return undefined;
  return {
    code: "settings/no-property-name",
    subject,
    key,
    value,
    rule: `${propertyPrefix} is followed by the name of a server property, without spaces`,
    hint: "For example sys.xmpp.properties.xmpp.client.idle.",
  };
}

function unknownKeys(keys: readonly string[]): Notice[] {
  const notices: Notice[] = [];
  for (const key of keys) {
    if (scalarKeys.includes(key) || key.startsWith(propertyPrefix)) continue;
    const meant = meantKey(key);
    // Other keys of the host are none of our business, unless they look like a slip.
    if (!key.startsWith(prefix) && key !== "sys.xmpp" && meant === undefined) continue;
    notices.push({
      code: "settings/unknown-key",
      message: `${key} means nothing and is not passed on.`,
      hint: meant
        ? `Did you mean ${meant}? Keys are matched exactly.`
        : `Server properties are set under ${propertyPrefix}.`,
    });
  }
  return notices;
}

function meantKey(key: string): string | undefined {
  const scalar = nearestName(key, scalarKeys);
  if (scalar) return scalar;
  const start = key.split(".", 3).join(".");
  const near = nearestName(start, ["sys.xmpp.properties"]);
  return near ? `${near}${key.slice(start.length)}` : undefined;
}
