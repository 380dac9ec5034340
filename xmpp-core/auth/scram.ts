/** SCRAM on the server's side, with channel binding. RFC 5802, RFC 7677, RFC 9266, RFC 5929. */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { offerHash } from "./downgrade.ts";
import type { BindingType, Claim, Exchange, ExchangeContext, SaslFailure, Step } from "./exchange.ts";
import { decodeBase64, decodeUtf8, disabled, failure } from "./exchange.ts";
import { decoyKeys, type HashName, hashes, type ScramKeys } from "./keys.ts";

type Negotiation<Account> =
  | { at: "first" }
  | { at: "final"; first: ClientFirst; serverFirst: string; nonce: string; claim: Claim<Account>; keys: ScramKeys }
  | { at: "done" };

/**
 * Starts one exchange; the mechanism must be in `context.offered` (see mechanisms.ts).
 * @param bound whether it is the -PLUS variant
 * @param ownNonce our part of the nonce: printable ASCII without commas
 */
export function scram<Account>(
  hash: HashName,
  bound: boolean,
  context: ExchangeContext<Account>,
  ownNonce: () => string = () => context.random(24).toString("base64"),
): Exchange<Account> {
  let state: Negotiation<Account> = { at: "first" };

  async function step(input: Buffer | undefined): Promise<Step<Account>> {
    const before = state;
    // Two messages in flight, or one after a failure, meet a finished exchange.
    state = { at: "done" };
    switch (before.at) {
      case "first": {
        if (input === undefined) {
          state = before;
          return { is: "challenge", data: Buffer.alloc(0) };
        }
        const first = parseClientFirst(input);
        if (!first) return failure("malformed-request");
        const refused = refusedBinding(first.binding, bound, context);
        if (refused) return refused;
        const claim = (await context.accounts.credentialsOf(first.name)) ?? nobody<Account>(first.name);
        const known = claim.account === undefined ? undefined : claim.credentials?.[hash];
        const decoy = decoyKeys(hash, claim.name, context);
        const keys = known ?? decoy;
        const nonce = first.nonce + ownNonce();
        // Some clients read these three by position (server-first-message, RFC 5802 §7): what is more comes last.
        const more = context.showsOffer ? `,h=${offerHash(context.offered, hashes[hash].digest)}` : "";
        const serverFirst = `r=${nonce},s=${keys.salt.toString("base64")},i=${keys.iterations}${more}`;
        state = { at: "final", first, serverFirst, nonce, claim, keys };
        return { is: "challenge", data: Buffer.from(serverFirst) };
      }
      case "final":
        return input === undefined ? failure("malformed-request") : finish(input, before);
      case "done":
        return failure("malformed-request", "This exchange is over.");
    }
  }

  async function finish(
    input: Buffer,
    { first, serverFirst, nonce, claim, keys }: Extract<Negotiation<Account>, { at: "final" }>,
  ): Promise<Step<Account>> {
    const final = parseClientFinal(input);
    if (!final || final.proof.length !== hashes[hash].bytes) return failure("malformed-request", undefined, claim.name);
    const attempt = await context.admit(claim.name);
    if (attempt === "refused") return failure("temporary-auth-failure", "Too many failed logins.", claim.name);

    const { digest } = hashes[hash];
    const authMessage = `${first.bare},${serverFirst},${final.withoutProof}`;
    const signature = createHmac(digest, keys.storedKey).update(authMessage).digest();
    const clientKey = Buffer.from(final.proof.map((byte, at) => byte ^ (signature[at] ?? 0)));
    const proven = timingSafeEqual(createHash(digest).update(clientKey).digest(), keys.storedKey);
    const binding = Buffer.concat([Buffer.from(first.header), bindingData(first.binding, context) ?? Buffer.alloc(0)]);
    const intact = sameText(final.nonce, nonce) && sameBytes(final.binding, binding);
    const serverSignature = createHmac(digest, keys.serverKey).update(authMessage).digest("base64");

    if (!proven || !intact || claim.account === undefined) {
      attempt.failed();
      return failure("not-authorized", undefined, claim.name);
    }
    attempt.succeeded();
    if (first.authzid !== "" && !claim.ownAddress(first.authzid)) {
      return failure("invalid-authzid", "Nobody may act under another's name.", claim.name);
    }
    if (claim.disabled) return disabled(claim.disabled, claim.name);
    return { is: "success", name: claim.name, account: claim.account, data: Buffer.from(`v=${serverSignature}`) };
  }

  return { step };
}

function nobody<Account>(name: string): Claim<Account> {
  return { name, ownAddress: () => false };
}

// ---------------------------------------------------------------- messages

type Binding = { flag: "n" } | { flag: "y" } | { flag: "p"; type: string };

interface ClientFirst {
  /** The GS2 header as sent, with its last comma; comes back inside `c=`. */
  readonly header: string;
  readonly binding: Binding;
  readonly authzid: string;
  /** client-first-message-bare as sent. */
  readonly bare: string;
  readonly name: string;
  readonly nonce: string;
}

const printable = /^[\x21-\x2b\x2d-\x7e]+$/;
const bindingName = /^[A-Za-z0-9.-]+$/;
/** Extensions that a server does not know are ignored; the letters RFC 5802 uses itself are none. */
const extension = /^[A-Za-z]=[^\0,]+$/;
const ownLetters = /^[anmrcsivpe]=/;

/** client-first-message of RFC 5802 §7; undefined when it breaks the grammar in any way, `m=` included. */
export function parseClientFirst(input: Buffer): ClientFirst | undefined {
  const text = decodeUtf8(input);
  if (text === undefined || text.includes("\0")) return undefined;
  const [flag = "", authz, user, nonce, ...extensions] = text.split(",");
  if (authz === undefined || user === undefined || nonce === undefined) return undefined;
  const binding = parseFlag(flag);
  const authzid = authz === "" ? "" : attribute("a", authz);
  const name = attribute("n", user);
  if (!binding || authzid === undefined || !name || (authz !== "" && authzid === "")) return undefined;
  if (!nonce.startsWith("r=") || !printable.test(nonce.slice(2))) return undefined;
  if (!extensions.every((part) => extension.test(part) && !ownLetters.test(part))) return undefined;
  const header = `${flag},${authz},`;
  return { header, binding, authzid, bare: text.slice(header.length), name, nonce: nonce.slice(2) };
}

function parseFlag(flag: string): Binding | undefined {
  if (flag === "n" || flag === "y") return { flag };
  const type = flag.startsWith("p=") ? flag.slice(2) : "";
  return bindingName.test(type) ? { flag: "p", type } : undefined;
}

/** A saslname: `,` and `=` are written `=2C` and `=3D`, any other `=` is an error (RFC 5802 §5.1). */
function attribute(letter: string, text: string): string | undefined {
  if (!text.startsWith(`${letter}=`)) return undefined;
  const value = text.slice(2);
  if (/=(?!2C|3D)/.test(value)) return undefined;
  return value.replaceAll("=2C", ",").replaceAll("=3D", "=");
}

interface ClientFinal {
  readonly binding: Buffer;
  readonly nonce: string;
  readonly proof: Buffer;
  readonly withoutProof: string;
}

/** client-final-message of RFC 5802 §7; undefined when it breaks the grammar in any way. */
export function parseClientFinal(input: Buffer): ClientFinal | undefined {
  const text = decodeUtf8(input);
  if (text === undefined || text.includes("\0")) return undefined;
  const parts = text.split(",");
  const [bindingPart = "", noncePart = ""] = parts;
  const proofPart = parts.length > 2 ? (parts.at(-1) ?? "") : "";
  if (!bindingPart.startsWith("c=") || !noncePart.startsWith("r=") || !proofPart.startsWith("p=")) return undefined;
  if (!parts.slice(2, -1).every((part) => extension.test(part) && !ownLetters.test(part))) return undefined;
  const binding = decodeBase64(bindingPart.slice(2));
  const proof = decodeBase64(proofPart.slice(2));
  const nonce = noncePart.slice(2);
  if (!binding || !proof || !printable.test(nonce)) return undefined;
  return { binding, nonce, proof, withoutProof: text.slice(0, -(proofPart.length + 1)) };
}

// ---------------------------------------------------------------- channel binding

function refusedBinding(binding: Binding, bound: boolean, context: ExchangeContext): SaslFailure | undefined {
  if (binding.flag === "p") {
    if (!bound) return failure("malformed-request", "Channel binding needs a -PLUS mechanism.");
    if (!bindingData(binding, context)) return failure("not-authorized", "Channel binding type not offered.");
    return undefined;
  }
  if (bound) return failure("malformed-request", "A -PLUS mechanism needs channel binding.");
  // `y` says that no -PLUS was seen: somebody removed ours from the list (RFC 5802 §6).
  if (binding.flag === "y" && context.offered.bindingTypes.length > 0) {
    return failure("not-authorized", "The list of mechanisms was changed on its way to the client.");
  }
  return undefined;
}

function bindingData(binding: Binding, { tls, offered }: ExchangeContext): Buffer | undefined {
  if (binding.flag !== "p") return undefined;
  // Not offered, and a binding all the same: slixmpp before 1.9 names it whatever the list says.
  if (binding.type === "tls-unique") return tls?.unique;
  if (!offered.bindingTypes.includes(binding.type as BindingType)) return undefined;
  return binding.type === "tls-exporter" ? tls?.exporter : tls?.endPoint;
}

function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function sameText(a: string, b: string): boolean {
  return sameBytes(Buffer.from(a), Buffer.from(b));
}
