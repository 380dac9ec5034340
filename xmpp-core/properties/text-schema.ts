/**
 * How property values are read and written. A value is text, as Openfire stores it; a schema turns it into what code
 * works with, and back into the one canonical text, so that `TRUE`, ` true` and `true` are one value.
 */
import { domainToASCII } from "node:url";
import ipaddr from "ipaddr.js";
import { z } from "zod";

export interface TextSchema<T> {
  /** What the console draws a form from. */
  readonly type:
    | "boolean"
    | "integer"
    | "duration-ms"
    | "duration-s"
    | "port"
    | "enumeration"
    | "text"
    | "host"
    | "list"
    | "address-list"
    | "jid-list";
  readonly zod: z.ZodType<T, string>;
  /** Canonical text; `read(write(value))` equals the value. */
  write(value: T): string;
  /** What a value must be, as it stands after "must be": "a whole number of milliseconds, or -1". */
  readonly rule: string;
  /** What to write instead of a text that was refused: a sentence. */
  hint(refused: string): string;
  /** The values of an enumeration. */
  readonly options?: readonly string[];
  /** Whether Openfire's old child rows (`key.00001`) may hold it. */
  readonly list?: true;
}

/** The value of a text, or undefined when the schema refuses it. */
export function readText<T>(schema: TextSchema<T>, text: string): { value: T } | undefined {
  const read = schema.zod.safeParse(text);
  return read.success ? { value: read.data } : undefined;
}

const yes = ["yes", "on", "1", "y", "enabled"];
const no = ["no", "off", "0", "n", "disabled"];

/** Openfire takes `true` in any case for true and all else for false; we refuse the else that is not `false`, since it hides mistakes. */
export const boolean: TextSchema<boolean> = {
  type: "boolean",
  zod: z
    .string()
    .trim()
    .toLowerCase()
    .pipe(z.enum(["true", "false"]))
    .transform((text) => text === "true"),
  write: (value) => String(value),
  rule: "true or false",
  hint(refused) {
    const text = refused.trim().toLowerCase();
    if (yes.includes(text)) return `Write true: Openfire takes "${refused.trim()}" for false.`;
    if (no.includes(text)) return "Write false.";
    return "Write true or false.";
  },
};

const wholeNumber = z
  .string()
  .trim()
  .regex(/^[+-]?[0-9]{1,15}$/)
  .transform(Number)
  // -0 would be written as 0 and then differ from itself.
  .transform((value) => value || 0);

/** A whole number from `least` to `most`, both included. */
export function integer(least = -2_147_483_648, most = 2_147_483_647): TextSchema<number> {
  return {
    type: "integer",
    zod: wholeNumber.pipe(z.number().min(least).max(most)),
    write: String,
    rule: `a whole number from ${least} to ${most}`,
    hint: (refused) => nearest(refused, least, most) ?? `For example ${Math.max(least, Math.min(most, 1))}.`,
  };
}

function nearest(refused: string, least: number, most: number): string | undefined {
  const read = wholeNumber.safeParse(refused);
  if (!read.success) return undefined;
  return read.data < least ? `The least is ${least}.` : `The most is ${most}.`;
}

const longest = { "duration-ms": 365 * 86_400_000, "duration-s": 365 * 86_400 } as const;

function duration(type: "duration-ms" | "duration-s", unit: string, perSecond: number, least: number) {
  const rule = least < 0 ? `a whole number of ${unit}, or -1` : `a whole number of ${unit}, at least ${least}`;
  const most = longest[type];
  const schema: TextSchema<number> = {
    type,
    zod: wholeNumber.pipe(z.number().min(least).max(most)),
    write: String,
    rule,
    hint(refused) {
      const inWords =
        /^\s*([0-9]{1,6})\s*(ms|millis|milliseconds?|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?)\s*$/i.exec(
          refused,
        );
      if (inWords) return `${refused.trim()} would be ${inUnit(Number(inWords[1]), inWords[2] ?? "", perSecond)}.`;
      return nearest(refused, least, most) ?? `6 minutes would be ${360 * perSecond}.`;
    },
  };
  return schema;
}

function inUnit(count: number, word: string, perSecond: number): number {
  const name = word.toLowerCase();
  if (name.startsWith("ms") || name.startsWith("mil")) return Math.ceil((count * perSecond) / 1000);
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 }[name.charAt(0)] ?? 1;
  return count * seconds * perSecond;
}

/** Milliseconds from 0 to a year; `milliseconds.min(-1)` also allows -1, which means "never" or "off". */
export const milliseconds = {
  ...duration("duration-ms", "milliseconds", 1000, 0),
  min: (least: number) => duration("duration-ms", "milliseconds", 1000, least),
};

/** Seconds from 0 to a year; `seconds.min(-1)` also allows -1. */
export const seconds = {
  ...duration("duration-s", "seconds", 1, 0),
  min: (least: number) => duration("duration-s", "seconds", 1, least),
};

/** A TCP port. */
export const port: TextSchema<number> = {
  type: "port",
  zod: wholeNumber.pipe(z.number().min(1).max(65_535)),
  write: String,
  rule: "a port from 1 to 65535",
  hint: () => "Ports below 1024 may need a capability of the process.",
};

/** A TCP port, or -1 for none. */
export const portOrOff: TextSchema<number> = {
  ...port,
  zod: wholeNumber.pipe(z.number().min(-1).max(65_535)).refine((value) => value !== 0),
  rule: "a port from 1 to 65535, or -1 for none",
  hint: () => "-1 closes the port.",
};

/** One of some words, in any case; the canonical spelling is the one given here. */
export function enumeration<const W extends string>(...words: readonly W[]): TextSchema<W> {
  const find = (text: string) => words.find((word) => word.toLowerCase() === text.trim().toLowerCase());
  return {
    type: "enumeration",
    zod: z.string().transform((text, context): W => {
      const word = find(text);
      if (word !== undefined) return word;
      context.addIssue({ code: "custom", message: "unknown word" });
      return z.NEVER;
    }),
    write: (value) => value,
    rule: `one of ${words.join(", ")}`,
    hint: () => `Write ${words.length > 1 ? `${words.slice(0, -1).join(", ")} or ` : ""}${words.at(-1)}.`,
    options: words,
  };
}

/** Any text without control characters, trimmed, not empty. */
export const text: TextSchema<string> = {
  type: "text",
  zod: z
    .string()
    .trim()
    .min(1)
    .max(4000)
    .regex(/^[^\u0000-\u001f\u007f]*$/),
  write: (value) => value,
  rule: "a text of 1 to 4000 characters on one line",
  hint: () => "Delete the key to return to the default.",
};

/** One label of a host name, lower case. RFC 1123 §2.1 */
export const hostLabel = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/;

/** Canonical form of a host name or IP address: lower case, A-labels, no final dot, IPv6 compressed. Undefined when it is neither. */
export function canonicalHost(given: string): string | undefined {
  const bare = given.trim().replace(/^\[(.*)\]$/, "$1");
  if (ipaddr.IPv4.isValidFourPartDecimal(bare) || (bare.includes(":") && ipaddr.IPv6.isValid(bare))) {
    return ipaddr.parse(bare).toString();
  }
  // domainToASCII reads as a URL does: it cuts at a slash, decodes %61 and drops tabs.
  if (/[\u0000-\u0020/?#%@:\\]/.test(bare)) return undefined;
  const ascii = domainToASCII(bare).replace(/\.$/, "");
  const labels = ascii.split(".");
  const fine =
    ascii.length <= 253 && labels.every((label) => hostLabel.test(label)) && !/^[0-9]+$/.test(labels.at(-1) ?? "");
  return fine ? ascii : undefined;
}

/** A host name, IPv4 or IPv6 address. */
export const host: TextSchema<string> = {
  type: "host",
  zod: canonicalText(canonicalHost),
  write: (value) => value,
  rule: "a host name or an IP address",
  hint: (refused) =>
    /[:/]/.test(refused)
      ? "Without scheme, path and port: chat.example.org"
      : "For example chat.example.org or 192.0.2.7.",
};

/** Where something is on the web, as a browser shows it: https, a host, perhaps a port and a path; no slash at its end. */
export const webOrigin: TextSchema<string> = {
  type: "text",
  zod: canonicalText(canonicalOrigin),
  write: (value) => value,
  rule: "an address that begins with https://",
  hint: () => "For example https://chat.example.org or https://www.example.org/chat.",
};

function canonicalOrigin(given: string): string | undefined {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  const more = url && (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "");
  if (url === undefined || more === true || url.protocol !== "https:" || given.includes("@")) return undefined;
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

/** The first label of a service's address, `proxy` of `proxy.example.org`. */
export const serviceLabel: TextSchema<string> = {
  type: "text",
  zod: z.string().trim().toLowerCase().regex(hostLabel),
  write: (value) => value,
  rule: "one label of a host name: letters, digits and hyphens",
  hint: (refused) => `For example chat, for chat.example.org, not ${JSON.stringify(refused.slice(0, 80))}.`,
};

function canonicalText(canonical: (given: string) => string | undefined): z.ZodType<string, string> {
  return z.string().transform((given, context) => {
    const value = canonical(given);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: "refused" });
    return z.NEVER;
  });
}

/** Openfire splits lists on commas and white space; an empty text is an empty list. The order is kept, doubles are dropped. */
export function listOf(
  type: "list" | "address-list" | "jid-list",
  item: { canonical: (given: string) => string | undefined; rule: string; hint: (refused: string) => string },
): TextSchema<readonly string[]> {
  const parts = (given: string) => given.split(/[\s,]+/).filter((part) => part !== "");
  return {
    type,
    zod: z.string().transform((given, context): readonly string[] => {
      const values = parts(given).map(item.canonical);
      if (values.every((value) => value !== undefined)) return [...new Set(values)];
      context.addIssue({ code: "custom", message: "refused" });
      return z.NEVER;
    }),
    write: (values) => values.join(","),
    rule: `a list, separated by commas, of ${item.rule}`,
    hint: (refused) => item.hint(parts(refused).find((part) => item.canonical(part) === undefined) ?? refused),
    list: true,
  };
}

/** A list of words; give `canonical` when they have one spelling. */
export function list(canonical: (word: string) => string | undefined = (word) => word, rule = "words") {
  return listOf("list", { canonical, rule, hint: (refused) => `"${refused}" is none of them.` });
}

/** IP addresses, CIDR networks (`10.0.0.0/8`) and Openfire's ranges (`10.0.0.1-10.0.0.99`, `10.0.*.*`). */
export const addressList = listOf("address-list", {
  canonical: canonicalAddresses,
  rule: "IP addresses, networks such as 10.0.0.0/8, or ranges such as 10.0.0.1-10.0.0.9",
  hint: (refused) => `"${refused}" is no address, network or range.`,
});

function canonicalAddresses(given: string): string | undefined {
  const [first = "", last, ...more] = given.split("-");
  if (last !== undefined) {
    const [from, to] = [strictAddress(first), strictAddress(last)];
    if (!from || !to || more.length > 0 || from.kind() !== to.kind()) return undefined;
    return compareBytes(from.toByteArray(), to.toByteArray()) <= 0 ? `${from}-${to}` : undefined;
  }
  const wild = /^((?:[0-9]{1,3}\.){0,3})((?:\*\.)*\*)$/.exec(given);
  if (wild) {
    const fixed = (wild[1] ?? "").split(".").filter((part) => part !== "");
    if (fixed.length + (wild[2] ?? "").split(".").length !== 4) return undefined;
    return canonicalAddresses(`${[...fixed, "0", "0", "0", "0"].slice(0, 4).join(".")}/${fixed.length * 8}`);
  }
  const [network = "", length, ...rest] = given.split("/");
  const address = strictAddress(network);
  if (!address || rest.length > 0) return undefined;
  if (length === undefined) return address.toString();
  const ofMapped = network.includes(":") && address.kind() === "ipv4" ? 96 : 0;
  const bits = /^[0-9]{1,3}$/.test(length) ? Number(length) - ofMapped : -1;
  if (bits < 0 || bits > (address.kind() === "ipv4" ? 32 : 128)) return undefined;
  const base = `${address}/${bits}`;
  const start =
    address.kind() === "ipv4" ? ipaddr.IPv4.networkAddressFromCIDR(base) : ipaddr.IPv6.networkAddressFromCIDR(base);
  return `${start}/${bits}`;
}

/** An address without a zone; four decimal parts or colons, none of the short forms that C libraries read. Mapped IPv4 is IPv4. */
function strictAddress(given: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (given.includes("%")) return undefined;
  const fine = given.includes(":") ? ipaddr.IPv6.isValid(given) : ipaddr.IPv4.isValidFourPartDecimal(given);
  return fine ? ipaddr.process(given) : undefined;
}

function compareBytes(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

/** Whether an address is in a list that `addressList` read. */
export function addressIn(entries: readonly string[], address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  const bytes = parsed.toByteArray();
  return entries.some((entry) => {
    const [first = "", last] = entry.split("-");
    if (last !== undefined) {
      const [from, to] = [ipaddr.process(first), ipaddr.process(last)];
      if (from.kind() !== parsed.kind()) return false;
      return compareBytes(from.toByteArray(), bytes) <= 0 && compareBytes(bytes, to.toByteArray()) <= 0;
    }
    if (!entry.includes("/")) return ipaddr.process(entry).toString() === parsed.toString();
    const [network, bits] = ipaddr.parseCIDR(entry);
    return network.kind() === parsed.kind() && parsed.match([network, bits] as never);
  });
}

/** Bare JIDs or bare localparts. Their preparation is the business of who reads them. */
export const jidList = listOf("jid-list", {
  canonical: (given) => (/^[^\s@/"&'<>:]+(?:@[^\s@/]+)?$/.test(given) ? given : undefined),
  rule: "bare JIDs such as alice@example.org",
  hint: (refused) => `"${refused}" is no bare JID.`,
});
