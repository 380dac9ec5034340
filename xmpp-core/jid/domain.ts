import { isIPv6 } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";
import { checkBidiRule, domainLabel, isProblem, isRightToLeft, type Problem } from "./precis.ts";

const lettersOnly = "a domain holds letters, digits and inner hyphens only";
const refuse = (problem: string): Problem => ({ problem });
const asciiLabel = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const simpleDomain = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

/**
 * The domainpart as it is stored and compared (RFC 7622 §3.2): U-labels in NFC and lower case, without a final dot.
 * IPv4 and bracketed IPv6 literals and names without dots are fine.
 */
export function domainOf(text: string): string | Problem {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name === "") return refuse("the domain is missing");
  if (name.startsWith("[")) return addressLiteral(name);
  if (name.length > 1023) return refuse("the domain is longer than 1023 bytes");
  const lower = asciiLower(name);
  if (lower.length <= 63 && simpleDomain.test(lower) && !lower.includes("--")) return lower;
  return labelled(name);
}

function asciiLower(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]+/g, (upper) => upper.toLowerCase()) : text;
}

function addressLiteral(text: string): string | Problem {
  const inside = text.slice(1, -1);
  if (!text.endsWith("]") || !isIPv6(inside) || inside.includes("%")) return refuse("the IPv6 address is malformed");
  return new URL(`http://${text}`).hostname;
}

function labelled(name: string): string | Problem {
  // RFC 5895 §2: the ideographic full stops separate labels too.
  const labels: string[] = [];
  let ascii = 0;
  for (const raw of name.split(/[.\u3002\uFF0E\uFF61]/)) {
    const label = labelOf(raw);
    if (isProblem(label)) return label;
    labels.push(label);
    ascii += (isAscii(label) ? label.length : domainToASCII(label).length) + 1;
  }
  if (ascii - 1 > 253) return refuse("the domain is longer than the 253 bytes that DNS allows");
  // RFC 5893 §2: one label written from right to left subjects all of them to the rule.
  if (labels.some(isRightToLeft))
    for (const label of labels) {
      const problem = checkBidiRule(label);
      if (problem) return problem;
    }
  return labels.join(".");
}

function isAscii(text: string): boolean {
  return !/[^\u0000-\u007f]/.test(text);
}

function labelOf(raw: string): string | Problem {
  if (raw === "") return refuse("the domain has an empty label");
  const mapped = isAscii(raw) ? asciiLower(raw) : domainLabel(raw);
  if (isProblem(mapped)) return refuse(`in the domain, ${mapped.problem}`);
  if (isAscii(mapped)) {
    if (mapped.startsWith("xn--")) return decoded(mapped);
    if (!asciiLabel.test(mapped)) return refuse(lettersOnly);
    if (mapped.length > 63) return refuse("a part of the domain is longer than 63 bytes");
    return mapped.slice(2, 4) === "--" ? refuse("a part of the domain has two hyphens in a reserved place") : mapped;
  }
  return checkedUnicode(mapped);
}

function checkedUnicode(label: string): string | Problem {
  if (label.startsWith("-") || label.endsWith("-") || label.slice(2, 4) === "--")
    return refuse("a part of the domain has a hyphen in a place where none is allowed");
  if (/[\u0000-\u007f]/.test(label.replace(/[a-z0-9-]+/g, ""))) return refuse(lettersOnly);
  if (/^\p{M}/u.test(label)) return refuse("a part of the domain starts with a combining mark");
  const encoded = domainToASCII(label);
  // The platform maps and drops characters in silence; whoever needs that has no valid label.
  if (encoded === "" || domainToUnicode(encoded) !== label) return refuse("a part of the domain is no valid IDN label");
  return encoded.length > 63 ? refuse("a part of the domain is longer than 63 bytes") : label;
}

function decoded(label: string): string | Problem {
  const unicode = domainToUnicode(label);
  const wrong = refuse("a part of the domain starts with xn-- but encodes no valid label");
  if (unicode === "" || isAscii(unicode) || domainToASCII(unicode) !== label) return wrong;
  const checked = domainLabel(unicode);
  return checked === unicode ? checkedUnicode(unicode) : wrong;
}
