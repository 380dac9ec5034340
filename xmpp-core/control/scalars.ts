/** The server's form of the settings that are no properties: domain, admin, external address, runtime options. */
import { isIP } from "node:net";
import { explainJid, prepareDomain, prepareLocal } from "../jid/jid.ts";
import { canonicalHost } from "../properties/text-schema.ts";
import type { Impact, SettingAnswer } from "./contract.ts";
import { readRuntimeOptions } from "./runtime-options.ts";

export const scalarNames = ["domain", "admin", "external-address", "runtime-options", "alias-domains"] as const;
export type ScalarName = (typeof scalarNames)[number];

type Read = { value: string; notes?: string[] } | { code: string; rule: string; hint: string };

/** `impact`: that of a change of domain depends on whether the service has run. */
export function scalarAnswer(name: ScalarName, text: string, facts: { fresh: boolean }): SettingAnswer {
  const read = readers[name](text);
  const common = { setting: name, impact: scalarImpact(name, facts), effect: "honoured" as const, secret: false };
  if ("value" in read) return { ...common, value: read.value, notes: read.notes ?? [] };
  return { ...common, value: null, rejected: read, notes: [] };
}

export function scalarImpact(name: ScalarName, facts: { fresh: boolean }): Impact {
  if (name === "runtime-options") return "restart";
  return name === "domain" && !facts.fresh ? "migrate" : "live";
}

const readers: Record<ScalarName, (text: string) => Read> = {
  domain(text) {
    const name = prepareDomain(text.trim());
    if (name === undefined || text.trim() === "")
      return {
        code: "settings/domain",
        rule: "a domain name, for instance chat.example.org",
        hint: `${sentence(explainJid(text.trim()) ?? "The name is empty")}`,
      };
    if (isIP(name.replace(/^\[|\]$/g, "")) !== 0)
      return {
        code: "settings/domain",
        rule: "a domain name, not an address",
        hint: "An IP address belongs in sys.xmpp.externalip.",
      };
    const lonely = `${name} has no dot: there can be no SRV records, no public certificate and no federation with other servers.`;
    return { value: name, notes: name.includes(".") ? [] : [lonely] };
  },
  admin(text) {
    const given = text.trim();
    const name = given === "" ? undefined : prepareLocal(given);
    if (name === undefined)
      return {
        code: "settings/admin",
        rule: "the name of a user, without @ and domain",
        hint: given.includes("@") ? `Perhaps ${given.slice(0, given.indexOf("@"))}.` : "It is the user's login name.",
      };
    return { value: name };
  },
  "external-address"(text) {
    if (text.trim().toLowerCase() === "auto")
      return {
        code: "settings/external-address",
        rule: "an address or a host name, as the agent finds it for auto",
        hint: "Set auto in the host's store: the agent finds the address by STUN.",
      };
    const names = text.split(",").map(canonicalHost);
    const families = names.map((name) => isIP(name ?? ""));
    // Two are the IPv4 and the IPv6 address of one place; anything else has one name.
    if (names.every((name) => name !== undefined) && (names.length === 1 || families.join() === "4,6"))
      return { value: names.join(", ") };
    return {
      code: "settings/external-address",
      rule: "an IPv4 address, an IPv6 address, one of each (IPv4 first), or a host name",
      hint: "For instance 203.0.113.7 or chat.example.org.",
    };
  },
  "alias-domains"(text) {
    const names = text.split(",").flatMap((one) => (one.trim() === "" ? [] : [one.trim()]));
    const domains = names.map((name) => (isIP(name.replace(/^\[|\]$/g, "")) === 0 ? prepareDomain(name) : undefined));
    const wrong = names.find((_, at) => domains[at] === undefined);
    if (wrong !== undefined)
      return {
        code: "settings/alias-domains",
        rule: "domain names, separated by commas",
        hint: `${sentence(explainJid(wrong) ?? `${wrong} is an address`)}`,
      };
    return { value: [...new Set(domains)].join(", ") };
  },
  "runtime-options"(text) {
    const options = readRuntimeOptions(text);
    if (options === undefined)
      return {
        code: "settings/runtime-options",
        rule: "JVM-style options; -Xmx between 64m and 1024g",
        hint: "A heap limit of half a gigabyte is -Xmx512m.",
      };
    const { without } = options;
    const verb = without.length === 1 ? "has" : "have";
    return {
      value: options.text,
      notes: without.length === 0 ? [] : [`${without.join(", ")} ${verb} no effect here.`],
    };
  },
};

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
