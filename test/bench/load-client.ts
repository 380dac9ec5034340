import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, createSecureContext, type TLSSocket } from "node:tls";
import { promisify } from "node:util";
import { handshake, speakMessages } from "./websocket-client.ts";

const derive = promisify(pbkdf2);
const context = createSecureContext({});

export type LoadTarget = { host: string; port: number; domain: string; kind: "xmpp" | "relay" | "websocket" };

/** What the load loop reads of one logged-in connection. */
export type LoadClient = {
  readonly index: number;
  readonly jid: string;
  readonly socket: TLSSocket;
  /** From now on bytes go here instead of to the login's state machine. */
  onBytes(take: (bytes: Buffer) => void): void;
  /** Resolves when the server is gone. */
  readonly closed: Promise<void>;
};

/**
 * Logs one client in as fast as the protocol allows: STARTTLS, SCRAM-SHA-1, bind, optionally stream management and carbons, presence.
 * Looks for bytes and parses nothing, so that the load generator stays cheaper than the servers it loads.
 * Over WebSocket TLS comes first, and every element is a message. Towards the relay it only says which pair it belongs to.
 */
export async function loadLogin(
  target: LoadTarget,
  options: { index: number; user: string; password: string; streamManagement: boolean; presence: boolean },
): Promise<LoadClient> {
  const tcp = connectTcp({ host: target.host, port: target.port, noDelay: true });
  let socket = tcp as unknown as TLSSocket;
  let take: (bytes: Buffer) => void = () => {};
  let text = "";
  let wake: () => void = () => {};
  let failed: Error | undefined;
  let settleClosed: () => void = () => {};
  const closed = new Promise<void>((resolve) => {
    settleClosed = resolve;
  });
  const gather = (bytes: Buffer): void => {
    text += bytes.toString("latin1");
    wake();
  };
  const fail = (error: Error): void => {
    failed ??= error;
    wake();
  };
  const attach = (to: TLSSocket): void => {
    to.on("data", (bytes: Buffer) => take(bytes));
    to.on("error", fail);
    to.on("close", () => {
      fail(new Error(`closed during login: ${text.slice(-500)}`));
      settleClosed();
    });
  };
  const seen = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      if (failed !== undefined) throw failed;
      if (/<failure|<stream:error/.test(text)) throw new Error(`login failed: ${text}`);
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
  take = gather;

  if (target.kind === "xmpp") {
    attach(socket);
    socket.write(header);
    await seen(/<\/stream:features>/);
    socket.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await seen(/<proceed[^>]*>/);
    tcp.removeAllListeners();
  }
  socket = connectTls({ socket: tcp, rejectUnauthorized: false, servername: target.domain, secureContext: context });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve);
    socket.once("error", reject);
  });
  socket.removeAllListeners("error");
  attach(socket);
  if (target.kind === "websocket") {
    socket.write(handshake);
    await seen(/^HTTP\/1\.1 101 [\s\S]*\r\n\r\n/);
    speakMessages(socket);
  }

  let jid = "";
  if (target.kind === "relay") {
    socket.write(`${options.index}\n`);
    await seen(/ok\n/);
    jid = `user${options.index}@${target.domain}/bench`;
  } else {
    const nonce = randomBytes(12).toString("base64");
    const bare = `n=${options.user},r=${nonce}`;
    socket.write(
      `${header}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>${base64(`n,,${bare}`)}</auth>`,
    );
    const challenge = Buffer.from((await seen(/<challenge[^>]*>([^<]*)</))[1] ?? "", "base64").toString();
    const fields = new Map(challenge.split(",").map((field) => [field.slice(0, 1), field.slice(2)]));
    const salted = await saltedPassword(options.password, fields.get("s") ?? "", Number(fields.get("i")));
    const withoutProof = `c=biws,r=${fields.get("r")}`;
    const clientKey = hmac(salted, "Client Key");
    const signature = hmac(createHash("sha1").update(clientKey).digest(), `${bare},${challenge},${withoutProof}`);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ (signature[at] ?? 0))).toString("base64");
    socket.write(
      `<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${base64(`${withoutProof},p=${proof}`)}</response>`,
    );
    await seen(/<success[^>]*(?:\/>|>[^<]*<\/success>)/);
    socket.write(
      `${header}<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind></iq>`,
    );
    jid = (await seen(/<jid>([^<]+)<\/jid>/))[1] ?? "";
    if (options.streamManagement) {
      socket.write(
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/><iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
      );
      await seen(/<enabled [^>]*>/);
    }
    socket.write(
      `${options.presence ? "<presence/>" : ""}<iq type='get' id='last' to='${target.domain}'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
    await seen(/id=['"]last['"]/);
  }
  text = "";
  take = () => {};
  return {
    index: options.index,
    jid,
    socket,
    closed,
    onBytes(next) {
      take = next;
    },
  };
}

const keys = new Map<string, Promise<Buffer>>();

// Measured is the server's share of a login; the client's derivation would be the bottleneck if it were repeated.
function saltedPassword(password: string, salt: string, iterations: number): Promise<Buffer> {
  const name = `${salt} ${iterations} ${password}`;
  const known = keys.get(name) ?? derive(password, Buffer.from(salt, "base64"), iterations, 20, "sha1");
  keys.set(name, known);
  return known;
}

function hmac(key: Buffer, data: string): Buffer {
  return createHmac("sha1", key).update(data).digest();
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
