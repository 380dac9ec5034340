/** The client ports of the stand-in: STARTTLS and direct TLS, PLAIN, bind, and messages to oneself. Enough to log in. */
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createSecureContext, createServer as createTlsServer, TLSSocket } from "node:tls";
import { newKey, selfSigned } from "../../../xmpp-core/transport/self-signed.ts";
import type { OpenfireState } from "./state.ts";

export type StandInXmpp = { readonly plainPort: number; readonly tlsPort: number; close(): Promise<void> };

export async function startStandInXmpp(state: OpenfireState): Promise<StandInXmpp> {
  const key = newKey();
  const pair = { key, cert: await selfSigned({ domain: state.domain, extra: [] }, key, new Date()) };
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  };
  const plain = createServer((socket) => {
    keep(socket);
    talk(socket, state, () => {
      const secured = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext(pair) });
      keep(secured);
      talk(secured, state);
    });
  });
  const direct = createTlsServer({ ...pair, ALPNProtocols: ["xmpp-client"] }, (socket) => {
    keep(socket);
    talk(socket, state);
  });
  for (const server of [plain, direct])
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const portOf = (server: Server) => (server.address() as AddressInfo).port;
  state.stored.set("xmpp.socket.plain.port", String(portOf(plain)));
  state.stored.set("xmpp.socket.ssl.port", String(portOf(direct)));
  state.stored.set("xmpp.proxy.enabled", "false");
  return {
    plainPort: portOf(plain),
    tlsPort: portOf(direct),
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all([plain, direct].map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

const sasl = 'xmlns="urn:ietf:params:xml:ns:xmpp-sasl"';

/** `secure` is there while TLS is still to come. */
function talk(socket: Socket | TLSSocket, state: OpenfireState, secure?: () => void): void {
  let who: string | undefined;
  let text = "";
  const onData = (bytes: Buffer) => {
    text += bytes.toString();
    for (;;) {
      const [whole] =
        /^\s*(?:<\?xml[^>]*>\s*)?(?:<stream:stream[^>]*>|<\/stream:stream>|<(\w+)[^>]*?(?:\/>|>[\s\S]*?<\/\1>))/.exec(
          text,
        ) ?? [];
      if (whole === undefined) return;
      text = text.slice(whole.length);
      if (answer(whole.trim())) return;
    }
  };
  const answer = (element: string): boolean => {
    if (element.includes("<stream:stream")) {
      const features = secure
        ? '<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"><required/></starttls>'
        : who === undefined
          ? `<mechanisms ${sasl}><mechanism>PLAIN</mechanism></mechanisms>`
          : '<bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"/>';
      socket.write(
        `<?xml version='1.0'?><stream:stream xmlns="jabber:client" xmlns:stream="http://etherx.jabber.org/streams" from="${state.domain}" version="1.0"><stream:features>${features}</stream:features>`,
      );
    } else if (element.startsWith("<starttls")) {
      socket.off("data", onData);
      socket.write('<proceed xmlns="urn:ietf:params:xml:ns:xmpp-tls"/>');
      secure?.();
      return true;
    } else if (element.startsWith("<auth")) {
      const [, encoded = ""] = />([^<]*)</.exec(element) ?? [];
      const [, name = "", password = ""] = Buffer.from(encoded, "base64").toString().split("\0");
      if (state.mayLogIn(name, password)) who = name;
      socket.write(who === undefined ? `<failure ${sasl}><not-authorized/></failure>` : `<success ${sasl}/>`);
    } else if (element.startsWith("<iq")) {
      const jid = `${who}@${state.domain}/stand-in`;
      state.sessions.push({ jid, secure: true, at: Date.now() });
      socket.on("close", () => {
        const at = state.sessions.findIndex((one) => one.jid === jid);
        if (at >= 0) state.sessions.splice(at, 1);
      });
      socket.write(
        `<iq type="result" id="bind"><bind xmlns="urn:ietf:params:xml:ns:xmpp-bind"><jid>${jid}</jid></bind></iq>`,
      );
    } else if (element.startsWith("<message")) socket.write(element);
    else if (element.startsWith("</stream")) socket.end("</stream:stream>");
    return false;
  };
  socket.on("data", onData);
}
