/** The ways to a server's XML reader: each port, and how far the stream has come on it. */
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";

export type Door = {
  readonly name: string;
  readonly loggedIn: boolean;
  open(core: Pick<TestCore, "port" | "directPort" | "domain" | "login">): Promise<XmppClient>;
};

const at = (core: Pick<TestCore, "domain">, port: number) => ({ host: "127.0.0.1", port, domain: core.domain });

export const doors: readonly Door[] = [
  {
    name: "5222 in clear",
    loggedIn: false,
    open: (core) => XmppClient.connect({ ...at(core, core.port), tls: "none" }),
  },
  { name: "5222 after STARTTLS", loggedIn: false, open: (core) => XmppClient.connect(at(core, core.port)) },
  {
    name: "5223",
    loggedIn: false,
    open: (core) => XmppClient.connect({ ...at(core, core.directPort), tls: "direct" }),
  },
  { name: "5222 after login", loggedIn: true, open: (core) => core.login("alice") },
  {
    name: "5223 after login",
    loggedIn: true,
    open: (core) => core.login("alice", { port: core.directPort, tls: "direct" }),
  },
];

/** The stream error that answers these bytes; fails unless the stream and its connection end with it. */
export async function verdict(client: XmppClient, bytes: string | Uint8Array): Promise<string> {
  client.send(bytes);
  const condition = await client.streamError();
  const { streamEnded } = await client.ended;
  return streamEnded ? condition : `${condition}, without </stream:stream>`;
}

/** A connection below the stream: bytes out, and everything that came back once the server has closed it. */
export interface RawConnection {
  readonly socket: Socket;
  write(bytes: string | Uint8Array): void;
  /** Resolves when the connection is gone, however it went. */
  readonly everything: Promise<string>;
}

export async function rawConnection(
  port: number,
  kind: "clear" | "direct",
  options: { from?: string; host?: string; alpn?: string[] } = {},
): Promise<RawConnection> {
  const { from, host = "127.0.0.1", alpn = ["xmpp-client"] } = options;
  const tcp = connectTcp({ host, port, noDelay: true, ...(from === undefined ? {} : { localAddress: from }) });
  tcp.on("error", () => undefined);
  const socket =
    kind === "clear"
      ? tcp
      : connectTls({ socket: tcp, rejectUnauthorized: false, servername: "localhost", ALPNProtocols: alpn });
  let received = "";
  socket.on("error", () => undefined);
  socket.on("data", (chunk) => {
    received += chunk.toString();
  });
  const everything = new Promise<string>((resolve) => socket.once("close", () => resolve(received)));
  await new Promise<void>((resolve, reject) => {
    socket.once(kind === "clear" ? "connect" : "secureConnect", () => resolve());
    socket.once("close", () => reject(new Error("the connection was closed before it stood")));
  });
  return { socket, write: (bytes) => void socket.write(bytes), everything };
}
