import { domainOf } from "./domain.ts";
import { isProblem, opaqueString, type Problem, usernameCaseMapped } from "./precis.ts";
import { recent } from "./recent.ts";

/** An address in its stored and compared form (RFC 7622). Parts that are absent are ""; the object is frozen. */
export interface Jid {
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
}

/** RFC 7622 §3.1: each part holds at most this many bytes of UTF-8. */
const longestPart = 1023;
/** Longer texts than any valid address are not worth a look. */
const longestText = 3 * longestPart + 2;

const refuse = (problem: string): Problem => ({ problem });

/** The localpart in its prepared form, undefined if it is none. `prepareLocal("Alice")` is `"alice"`. */
export function prepareLocal(text: string): string | undefined {
  return valid(localOf(text));
}

/** The domainpart in its prepared form: U-labels, lower case, no final dot. `prepareDomain("Example.ORG.")` is `"example.org"`. */
export function prepareDomain(text: string): string | undefined {
  return valid(domainOf(text));
}

/** The resourcepart in its prepared form; its case is kept. */
export function prepareResource(text: string): string | undefined {
  return valid(resourceOf(text));
}

function valid(result: string | Problem): string | undefined {
  return isProblem(result) ? undefined : result;
}

const plainLocal = /^[a-z0-9!#$%()*+,\-.;=?[\\\]^_`{|}~]+$/;
const plainResource = /^[ -~]+$/;
const excludedFromLocal = /["&'/:<>@]/;

function localOf(text: string): string | Problem {
  if (text.length <= longestPart && plainLocal.test(text)) return text;
  if (text === "") return refuse("the part in front of the @ is empty");
  if (text.length > longestPart) return refuse("the part in front of the @ is longer than 1023 bytes");
  const prepared = usernameCaseMapped(text);
  if (isProblem(prepared)) return refuse(`in the part in front of the @, ${prepared.problem}`);
  const excluded = excludedFromLocal.exec(prepared);
  if (excluded) return refuse(`the part in front of the @ may not hold ${excluded[0]}`);
  if (prepared === "" || Buffer.byteLength(prepared) > longestPart)
    return refuse("the part in front of the @ is longer than 1023 bytes");
  return prepared;
}

function resourceOf(text: string): string | Problem {
  if (text.length <= longestPart && plainResource.test(text)) return text;
  if (text === "") return refuse("the resource behind the / is empty");
  if (text.length > longestPart) return refuse("the resource is longer than 1023 bytes");
  const prepared = opaqueString(text);
  if (isProblem(prepared)) return refuse(`in the resource, ${prepared.problem}`);
  return Buffer.byteLength(prepared) > longestPart ? refuse("the resource is longer than 1023 bytes") : prepared;
}

function read(text: string): Jid | Problem {
  if (text.length > longestText) return refuse("the address is too long");
  const slash = text.indexOf("/");
  const bareText = slash < 0 ? text : text.slice(0, slash);
  const at = bareText.indexOf("@");
  const domain = domainOf(at < 0 ? bareText : bareText.slice(at + 1));
  if (isProblem(domain)) return domain;
  const local = at < 0 ? "" : localOf(bareText.slice(0, at));
  if (isProblem(local)) return local;
  const resource = slash < 0 ? "" : resourceOf(text.slice(slash + 1));
  if (isProblem(resource)) return resource;
  return Object.freeze({ local, domain, resource });
}

/** Address texts seen lately; a cache only, what it forgets is parsed again. */
const parsed = recent<Jid>(4_096);
const longestCached = 256;

/** Reads an address: `parseJid("Alice@Example.org/Phone")`. Undefined if it is not valid; `explainJid` says why. */
export function parseJid(text: string): Jid | undefined {
  const known = parsed.get(text);
  if (known !== undefined) return known;
  const address = read(text);
  if ("problem" in address) return undefined;
  if (text.length <= longestCached) parsed.set(text, address);
  return address;
}

/** Why a text is no valid address, as an English sentence without its first capital; undefined if it is one. */
export function explainJid(text: string): string | undefined {
  const address = read(text);
  return "problem" in address ? address.problem : undefined;
}

/** An address from parts that are not prepared yet; "" leaves out local or resource. Undefined if one is not valid. */
export function jid(local: string, domain: string, resource = ""): Jid | undefined {
  const host = prepareDomain(domain);
  const user = local === "" ? "" : prepareLocal(local);
  const device = resource === "" ? "" : prepareResource(resource);
  if (host === undefined || user === undefined || device === undefined) return undefined;
  return Object.freeze({ local: user, domain: host, resource: device });
}

/** The address as text. `formatJid(parseJid("a@b/c"))` is `"a@b/c"`. */
export function formatJid(address: Jid): string {
  const { local, domain, resource } = address;
  const host = local === "" ? domain : `${local}@${domain}`;
  return resource === "" ? host : `${host}/${resource}`;
}

/** The address without its resource. */
export function bare(address: Jid): Jid {
  return address.resource === ""
    ? address
    : Object.freeze({ local: address.local, domain: address.domain, resource: "" });
}

/** Whether two addresses differ in their resource at most. */
export function sameBare(one: Jid, other: Jid): boolean {
  return one.local === other.local && one.domain === other.domain;
}
