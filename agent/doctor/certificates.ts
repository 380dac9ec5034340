/** Certificates as clients are shown them, for every name that is served. */

import { X509Certificate } from "node:crypto";
import { connect, type TLSSocket } from "node:tls";
import { domainToASCII } from "node:url";
import { explain } from "../errors.ts";
import type { Facts } from "./facts.ts";
import { hostsOf } from "./ports.ts";
import { type Verdict, verdict } from "./verdict.ts";

const day = 86_400_000;
const soonDays = 14;

export async function checkCertificates(facts: Facts, now: () => number = Date.now): Promise<Verdict[]> {
  const { server } = facts;
  if (server === undefined)
    return [verdict("certificates.served", "skipped", facts.domain, "The server does not run.")];
  const open = (name: string) => server.listeners.find((one) => one.name === name && one.state === "open");
  const listener = open("c2s-tls") ?? open("c2s");
  if (listener === undefined)
    return [verdict("certificates.served", "skipped", facts.domain, "No port for clients is open.")];
  if ((listener.proxies ?? []).length > 0)
    return [
      verdict("certificates.served", "skipped", facts.domain, "Its port is behind a proxy; look through that one."),
    ];
  const [host = "127.0.0.1"] = hostsOf(listener, facts.place.probeHost);
  const names = [server.domain, ...server.aliases.map((one) => one.name)];
  const looked = names.map(async (name) => {
    try {
      const { certificate, distrust } = await shown(host, listener.port, domainToASCII(name));
      return judge(facts, name, certificate, distrust, now());
    } catch (error) {
      const fix = "certificate and key must belong together: docs/certificates.md";
      return [verdict("certificates.served", "fail", name, `No TLS on port ${listener.port}: ${explain(error)}.`, fix)];
    }
  });
  return (await Promise.all(looked)).flat();
}

/** The handshake proves that the key belongs to the certificate. */
function shown(host: string, port: number, name: string): Promise<{ certificate: X509Certificate; distrust: string }> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({
      host,
      port,
      servername: name,
      rejectUnauthorized: false,
      ALPNProtocols: ["xmpp-client"],
    });
    socket.setTimeout(5000, () => socket.destroy(new Error("no answer within 5 s")));
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      const raw = socket.getPeerX509Certificate()?.raw;
      const distrust = socket.authorizationError as unknown;
      socket.destroy();
      if (raw === undefined) reject(new Error("no certificate is shown"));
      else resolve({ certificate: new X509Certificate(raw), distrust: distrust ? String(distrust) : "" });
    });
  });
}

function judge(facts: Facts, name: string, certificate: X509Certificate, distrust: string, now: number): Verdict[] {
  const covers = (one: string) => certificate.checkHost(domainToASCII(one)) !== undefined;
  const has = certificate.subjectAltName ?? "no name";
  const served = covers(name)
    ? verdict("certificates.served", "ok", name, `Covered, and its key belongs to it (${has}).`)
    : verdict(
        "certificates.served",
        "fail",
        name,
        `Not covered, but ${has}.`,
        `have a certificate made for ${name}: docs/certificates.md`,
      );
  const services = [`conference.${name}`, `proxy.${name}`].filter((one) => !covers(one));
  const besides =
    services.length === 0
      ? verdict("certificates.names", "ok", name, "The names of services are covered.")
      : verdict(
          "certificates.names",
          "skipped",
          name,
          `${services.join(", ")} not covered; clients connect to ${name} only.`,
        );
  return [served, besides, lifetime(name, certificate, now), chain(facts, name, certificate, distrust)];
}

function lifetime(name: string, certificate: X509Certificate, now: number): Verdict {
  const left = Math.floor((Date.parse(certificate.validTo) - now) / day);
  const renew = "renew it: docs/certificates.md; with ACME firekeeper status says why it was not";
  if (Date.parse(certificate.validFrom) > now)
    return verdict(
      "certificates.days",
      "fail",
      name,
      `Valid only from ${certificate.validFrom}: is the clock right?`,
      "firekeeper doctor --only clock --ntp SERVER",
    );
  if (left < 0)
    return verdict(
      "certificates.days",
      "fail",
      name,
      `Ended ${certificate.validTo}; if not, the clock is wrong.`,
      renew,
    );
  if (left < soonDays) return verdict("certificates.days", "warn", name, `Ends in ${left} days.`, renew);
  return verdict("certificates.days", "ok", name, `${left} days left.`);
}

function chain({ server }: Facts, name: string, certificate: X509Certificate, distrust: string): Verdict {
  const selfSigned = server?.certificates.find(
    (one) => one.sha256.replace(/:/g, "").toLowerCase() === certificate.fingerprint256.replace(/:/g, "").toLowerCase(),
  )?.selfSigned;
  const fix = "have one from an authority that clients know: docs/certificates.md";
  if (selfSigned ?? certificate.checkIssued(certificate))
    return verdict(
      "certificates.chain",
      "warn",
      name,
      "Self-signed: every client asks its user whether to trust it.",
      fix,
    );
  if (distrust.includes("UNABLE_TO_VERIFY_LEAF_SIGNATURE") || distrust.includes("UNABLE_TO_GET_ISSUER_CERT"))
    return verdict(
      "certificates.chain",
      "warn",
      name,
      `Intermediate certificates are missing, or the authority is a private one (issuer ${certificate.issuer.replaceAll("\n", ", ")}).`,
      "append the chain to the certificate's file",
    );
  if (distrust.includes("SELF_SIGNED_CERT_IN_CHAIN"))
    return verdict(
      "certificates.chain",
      "warn",
      name,
      "The chain ends at a private authority, which clients must be given.",
      fix,
    );
  return verdict("certificates.chain", "ok", name, "Leads to an authority that Node knows.");
}
