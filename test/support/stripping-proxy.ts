import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { connect as connectTls, createSecureContext, TLSSocket } from "node:tls";

/** Somebody between a client and the server: reads everything, has a certificate of his own, and changes what the server says. */
export interface StrippingProxy {
  readonly port: number;
  /** Everything that clients said and that was read, as text. */
  heard(): string;
  close(): void;
}

/** What may be taken out of the server's features. */
export const strip = {
  startTls: (text: string) => text.replace(/<starttls\b[^>]*?(?:\/>|>.*?<\/starttls>)/g, ""),
  plus: (text: string) => text.replace(/<mechanism>[^<]*-PLUS<\/mechanism>/g, ""),
  bindingTypes: (text: string) => text.replace(/<sasl-channel-binding\b.*?<\/sasl-channel-binding>/g, ""),
  sasl2: (text: string) => text.replace(/<authentication\b.*?<\/authentication>/g, ""),
  /** Leaves the weakest of SCRAM. */
  strong: (text: string) => text.replace(/<mechanism>SCRAM-(?!SHA-1<)[^<]*<\/mechanism>/g, ""),
} as const;

export async function strippingProxy(
  to: { host: string; port: number },
  identity: { key: string; cert: string },
  changes: readonly ((text: string) => string)[],
): Promise<StrippingProxy> {
  let heard = "";
  const sockets = new Set<Socket>();
  const secureContext = createSecureContext(identity);
  const server = createServer((client) => {
    const upstream = connectTcp({ ...to, noDelay: true });
    let waiting = "";
    const keep = (socket: Socket): void => {
      sockets.add(socket);
      socket.on("error", () => undefined);
    };
    /** Passes on in both directions; what the server says is changed, features whole. */
    const carry = (down: Socket, up: Socket, proceed: (() => void) | undefined): void => {
      down.on("data", (bytes: Buffer) => {
        heard += bytes.toString("latin1");
        up.write(bytes);
      });
      up.on("data", (bytes: Buffer) => {
        waiting += bytes.toString("utf8");
        if (waiting.lastIndexOf("<stream:features") > waiting.lastIndexOf("</stream:features>")) return;
        const text = changes.reduce((before, change) => change(before), waiting);
        waiting = "";
        if (!text.includes("<proceed") || proceed === undefined) return void down.write(text);
        for (const socket of [down, up]) socket.removeAllListeners("data");
        down.write(text, proceed);
      });
      down.on("close", () => up.destroy());
      up.on("close", () => down.end());
    };
    keep(client);
    keep(upstream);
    carry(client, upstream, () => {
      const up = connectTls({ socket: upstream, rejectUnauthorized: false, servername: "localhost" });
      const down = new TLSSocket(client, { isServer: true, secureContext });
      keep(up);
      keep(down);
      carry(down, up, undefined);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    heard: () => heard,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Whether a password stands anywhere in what was read, as it is or as SASL would carry it. */
export function holdsPassword(heard: string, user: string, password: string): boolean {
  const forms = [password, Buffer.from(password).toString("base64").replace(/=+$/, "")];
  for (const shift of ["", `\0${user}\0`, `${user}\0${user}\0`, `\0${user}@localhost\0`])
    forms.push(Buffer.from(`${shift}${password}`).toString("base64").replace(/=+$/, "").slice(0, -1));
  return forms.some((form) => form.length > 4 && heard.includes(form));
}
