/** P12 and PFX files, as Windows, Java and `openssl pkcs12 -export` write them (RFC 7292). */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import type forge from "node-forge";
import { CodedError } from "../errors.ts";

type Forge = typeof forge;
type Asn1 = forge.asn1.Asn1;

// 100,000 rounds take seconds; writers use 2,000 to 10,000.
const mostRounds = 100_000;

/**
 * Chain (the server's own first, roots left out) and key of a P12 file, in PEM.
 *
 * @throws CodedError certificate/not-p12, /p12-password, /p12-rounds, /p12-empty
 */
export async function readPkcs12(
  bytes: Buffer,
  password: string | undefined,
  file: string,
): Promise<{ chain: string; key: string }> {
  // Loaded at its first use: few servers have such files.
  const { default: forge } = await import("node-forge");
  const document = parsed(forge, bytes, file);
  checkRounds(forge, document, file);
  const opened = open(forge, document, password, file);
  const { oids } = forge.pki;
  const bags = (type: string | undefined) => opened.getBags({ bagType: type ?? "" })[type ?? ""] ?? [];
  const keys = [...bags(oids.pkcs8ShroudedKeyBag), ...bags(oids.keyBag)].map((bag) => keyOf(forge, bag));
  const certificates = bags(oids.certBag).flatMap((bag) => {
    const asn1 = bag.cert ? forge.pki.certificateToAsn1(bag.cert) : bag.asn1;
    return asn1 === undefined ? [] : [new X509Certificate(der(forge, asn1))];
  });
  for (const key of keys) {
    const own = certificates.find((each) => each.checkPrivateKey(key));
    if (own !== undefined)
      return {
        chain: chainOf(own, certificates).map(String).join(""),
        key: key.export({ type: "pkcs8", format: "pem" }) as string,
      };
  }
  throw new CodedError("certificate/p12-empty", `${file} holds no certificate with its key.`, {
    fields: { file },
    hint: "Export it again with the private key.",
  });
}

function parsed(forge: Forge, bytes: Buffer, file: string): Asn1 {
  try {
    return forge.asn1.fromDer(forge.util.createBuffer(bytes.toString("binary")));
  } catch (cause) {
    throw new CodedError("certificate/not-p12", `${file} is no P12 file, or not all of one.`, {
      fields: { file },
      hint: "Copy it again; PEM files end with .pem, .crt or .key.",
      cause,
    });
  }
}

function open(forge: Forge, document: Asn1, password: string | undefined, file: string): forge.pkcs12.Pkcs12Pfx {
  // No password and an empty one are two things in this format, and writers take either.
  const attempts = password === undefined ? ["", undefined] : [password];
  let failure: unknown;
  for (const attempt of attempts)
    try {
      return forge.pkcs12.pkcs12FromAsn1(document, false, attempt as string);
    } catch (error) {
      failure = error;
    }
  const said = failure instanceof Error ? failure.message : "";
  if (!/password|mac|decrypt/i.test(said) || /unsupported/i.test(said))
    throw new CodedError("certificate/not-p12", `${file} cannot be read as P12 (${said.replace(/\.$/, "")}).`, {
      fields: { file },
      hint: `Write it anew: openssl pkcs12 -in ${file} -out own.pem`,
      cause: failure,
    });
  throw new CodedError(
    "certificate/p12-password",
    password === undefined ? `${file} needs a password.` : `The password does not open ${file}.`,
    {
      fields: { file },
      hint: `Set firekeeper.certificate.p12-password, or write it to ${file}.password.`,
      cause: failure,
    },
  );
}

/** Every count that stands behind a salt: the mac's, and those of what is encrypted. */
function checkRounds(forge: Forge, document: Asn1, file: string): void {
  const { OCTETSTRING, INTEGER } = forge.asn1.Type;
  const look = (node: Asn1): void => {
    if (typeof node.value === "string") {
      if (node.type !== OCTETSTRING) return;
      let inner: Asn1;
      try {
        inner = forge.asn1.fromDer(node.value, false);
      } catch {
        return;
      }
      look(inner);
      return;
    }
    node.value.forEach((each, at) => {
      const before = (node.value as Asn1[])[at - 1];
      if (each.type === INTEGER && before?.type === OCTETSTRING && typeof each.value === "string") {
        const rounds = Number.parseInt(forge.util.bytesToHex(each.value), 16);
        if (rounds > mostRounds)
          throw new CodedError("certificate/p12-rounds", `${file} asks for ${rounds} rounds of derivation.`, {
            fields: { file, rounds },
            hint: `At most ${mostRounds} are made. Export it again, for instance with openssl pkcs12 -export -iter 10000.`,
          });
      }
      look(each);
    });
  };
  look(document);
}

/** RSA keys come parsed, keys on curves as they stand. */
function keyOf(forge: Forge, bag: forge.pkcs12.Bag): KeyObject {
  const asn1 = bag.key ? forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(bag.key)) : bag.asn1;
  return createPrivateKey({ key: der(forge, asn1), format: "der", type: "pkcs8" });
}

const der = (forge: Forge, asn1: Asn1): Buffer => Buffer.from(forge.asn1.toDer(asn1).getBytes(), "binary");

function chainOf(own: X509Certificate, all: readonly X509Certificate[]): X509Certificate[] {
  const chain = [own];
  for (let last: X509Certificate | undefined = own; last !== undefined; ) {
    const issued: X509Certificate = last;
    last = all.find((each) => !chain.includes(each) && issued.checkIssued(each) && issued.verify(each.publicKey));
    // Clients have their own roots.
    if (last?.checkIssued(last)) break;
    if (last !== undefined) chain.push(last);
  }
  return chain;
}
