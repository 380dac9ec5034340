/** What a login costs by each way in: CPU of all processes of the server, and round trips until contacts and own presence are there. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { passwordOf, userOf } from "./accounts.ts";
import type { LoadTarget } from "./load-client.ts";
import { cpuMicroseconds } from "./proc.ts";
import { type Subject, type SubjectName, startSubject } from "./subject.ts";

/** How a client gets in. `token`: in one step, with the token of the login before; `at once`: without waiting for features. */
export const ways = [
  { name: "SCRAM-SHA-1, bind", mechanism: "SCRAM-SHA-1", by: "steps" },
  { name: "SCRAM-SHA-256, bind", mechanism: "SCRAM-SHA-256", by: "steps" },
  { name: "SCRAM-SHA-512-PLUS, bind", mechanism: "SCRAM-SHA-512-PLUS", by: "steps" },
  { name: "SASL2 + Bind 2, SCRAM-SHA-256-PLUS", mechanism: "SCRAM-SHA-256-PLUS", by: "one step" },
  { name: "SASL2 + Bind 2 + token", mechanism: "HT-SHA-256-EXPR", by: "token" },
  { name: "the same, nothing waited for", mechanism: "HT-SHA-256-EXPR", by: "token at once" },
] as const;
type Way = (typeof ways)[number];

export interface WayRow {
  readonly cpuPerLogin: number;
  /** With those of TCP and TLS. */
  readonly roundTrips: number;
}

const agentOf = (index: number): string => `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
const base64 = (data: string | Buffer): string => Buffer.from(data).toString("base64");
const tokens = new Map<number, string>();

/** Logs in once; undefined where the server has no such way. */
async function once(target: LoadTarget, index: number, way: Way): Promise<number | undefined> {
  let trips = 1;
  let text = "";
  let wake: () => void = () => undefined;
  let failed = "";
  const tcp = connectTcp({ host: target.host, port: target.port, noDelay: true });
  await new Promise((resolve) => tcp.once("connect", resolve));
  let socket: Socket | TLSSocket = tcp;
  const listen = (): void => {
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("utf8");
      wake();
    });
    socket.on("error", (error) => {
      failed = String(error);
      wake();
    });
  };
  /** Says something and waits for what is to come: one round trip. */
  const ask = async (words: string, pattern: RegExp): Promise<RegExpExecArray> => {
    trips++;
    socket.write(words);
    for (;;) {
      if (failed !== "" || /<failure|<stream:error/.test(text)) throw new Error(`${way.name}: ${failed} ${text}`);
      const match = pattern.exec(text);
      if (match !== null) {
        text = text.slice(match.index + match[0].length);
        return match;
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${target.domain}' version='1.0'>`;
  const features = /<stream:features>.*?<\/stream:features>/s;
  listen();
  await ask(header, features);
  await ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", /<proceed[^>]*>/);
  tcp.removeAllListeners();
  const tls = connectTls({ socket: tcp, rejectUnauthorized: false, servername: target.domain });
  await new Promise((resolve) => tls.once("secureConnect", resolve));
  trips++;
  socket = tls;
  text = "";
  listen();

  const [user, password] = [userOf(index), passwordOf(index)];
  const rest = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq><presence/>";
  // Own presence comes back behind the contacts, with some servers before them.
  const both = /(?=.*id=['"]r['"])(?=.*<presence )/s;
  const bound = way.mechanism.endsWith("-PLUS") || way.mechanism.endsWith("-EXPR");
  const exporter = bound ? tls.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)) : Buffer.alloc(0);
  const inside = `<user-agent id='${agentOf(index)}'/><bind xmlns='urn:xmpp:bind:0'><tag>bench</tag><enable xmlns='urn:xmpp:carbons:2'/></bind>`;
  if (way.by.startsWith("token")) {
    const proof = createHmac("sha256", tokens.get(index) ?? "")
      .update("Initiator")
      .update(exporter)
      .digest();
    const message = base64(Buffer.concat([Buffer.from(`${user}\0`), proof]));
    const login = `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='${way.mechanism}'><initial-response>${message}</initial-response>${inside}<fast xmlns='urn:xmpp:fast:0'/></authenticate>`;
    if (way.by === "token at once") await ask(header + login + rest, both);
    else {
      await ask(header, features);
      await ask(login, /<\/success>.*<\/stream:features>/s);
      await ask(rest, both);
    }
  } else {
    const [offered] = await ask(header, features);
    const profile = way.by === "steps" ? /<mechanisms.*?<\/mechanisms>/s : /<authentication.*?<\/authentication>/s;
    if (!profile.exec(offered)?.[0].includes(`>${way.mechanism}<`)) {
      tls.destroy();
      return undefined;
    }
    const gs2 = bound ? "p=tls-exporter,," : "n,,";
    const bare = `n=${user},r=${randomBytes(12).toString("base64")}`;
    const first = base64(gs2 + bare);
    const begin =
      way.by === "steps"
        ? `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='${way.mechanism}'>${first}</auth>`
        : `<authenticate xmlns='urn:xmpp:sasl:2' mechanism='${way.mechanism}'><initial-response>${first}</initial-response>${inside}<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/></authenticate>`;
    const challenge = Buffer.from((await ask(begin, /<challenge[^>]*>([^<]*)</))[1] ?? "", "base64").toString();
    const cbind = base64(Buffer.concat([Buffer.from(gs2), exporter]));
    const final = base64(finalOf(way.mechanism, password, bare, challenge, cbind));
    if (way.by === "steps") {
      await ask(
        `<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${final}</response>`,
        /<success[^>]*(?:\/>|>[^<]*<\/success>)/,
      );
      await ask(header, features);
      await ask(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind></iq>",
        /<jid>/,
      );
      await ask(`<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>${rest}`, both);
    } else {
      const answer = `<response xmlns='urn:xmpp:sasl:2'>${final}</response>`;
      const [success] = await ask(answer, /<success.*<\/success>.*<\/stream:features>/s);
      tokens.set(index, / token=['"]([^'"]+)/.exec(success)?.[1] ?? "");
      await ask(rest, both);
    }
  }
  tls.end("</stream:stream>");
  await new Promise((resolve) => tls.once("close", resolve));
  return trips;
}

const derived = new Map<string, Buffer>();

function finalOf(mechanism: string, password: string, bare: string, challenge: string, cbind: string): string {
  const hash = mechanism.includes("512") ? "sha512" : mechanism.includes("256") ? "sha256" : "sha1";
  const fields = new Map(challenge.split(",").map((field) => [field.slice(0, 1), field.slice(2)]));
  const hmac = (key: Buffer, data: string): Buffer => createHmac(hash, key).update(data).digest();
  const key = `${hash} ${password} ${fields.get("s")}`;
  const size = createHash(hash).digest().length;
  const salt = Buffer.from(fields.get("s") ?? "", "base64");
  const salted = derived.get(key) ?? pbkdf2Sync(password, salt, Number(fields.get("i")), size, hash);
  derived.set(key, salted);
  const withoutProof = `c=${cbind},r=${fields.get("r")}`;
  const clientKey = hmac(salted, "Client Key");
  const signature = hmac(createHash(hash).update(clientKey).digest(), `${bare},${challenge},${withoutProof}`);
  const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0)));
  return `${withoutProof},p=${proof.toString("base64")}`;
}

async function rowOf(subject: Subject, way: Way, logins: number): Promise<WayRow | undefined> {
  let trips: number | undefined;
  const round = async (): Promise<void> => {
    let next = 0;
    const worker = async (): Promise<void> => {
      for (let index = next++; index < logins; index = next++) trips = await once(subject.target, index, way);
    };
    await Promise.all(Array.from({ length: 8 }, worker));
  };
  if (way.by.startsWith("token") && tokens.size === 0) return undefined;
  // The first round also derives the client's keys and warms the server.
  await round();
  if (trips === undefined) return undefined;
  const before = cpuMicroseconds(subject.pids());
  for (let again = 0; again < 3; again++) await round();
  return { cpuPerLogin: (cpuMicroseconds(subject.pids()) - before) / (3 * logins), roundTrips: trips };
}

/** The table, as Markdown. */
export async function loginTable(names: readonly SubjectName[], logins: number, machine: string): Promise<string> {
  const lines = [`Logins, ${logins} people three times: ${machine}`, ""];
  for (const name of names.filter((one) => one !== "relay")) {
    const subject = await startSubject(name, { archive: true, users: logins });
    if (subject === undefined) continue;
    tokens.clear();
    try {
      lines.push(`| ${subject.name} ${subject.version} | CPU per login | round trips |`, "| --- | ---: | ---: |");
      for (const way of ways) {
        const row = await rowOf(subject, way, logins);
        const cells = row === undefined ? ["not offered", ""] : [`${row.cpuPerLogin.toFixed(0)} µs`, row.roundTrips];
        lines.push(`| ${way.name} | ${cells.join(" | ")} |`);
      }
      lines.push("");
    } finally {
      await subject.stop();
    }
  }
  return lines.join("\n");
}
