/** A SOCKS5 proxy of the tests' own, without authentication: CONNECT to a literal IPv4 address or a name. RFC 1928 */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface TestSocksServer {
  readonly port: number;
  /** Targets that were asked for, as `host:port`. */
  readonly asked: string[];
  close(): void;
}

export async function socksServer(host = "127.0.0.1"): Promise<TestSocksServer> {
  const asked: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => undefined).once("close", () => open.delete(socket));
    void serve(socket, asked, open).catch(() => socket.destroy());
  });
  server.listen(0, host);
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    asked,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

async function serve(socket: Socket, asked: string[], open: Set<Socket>): Promise<void> {
  const [, methods = 0] = await read(socket, 2);
  await read(socket, methods);
  socket.write(Buffer.from([5, 0]));
  const [, , , kind] = await read(socket, 4);
  const host =
    kind === 1 ? (await read(socket, 4)).join(".") : (await read(socket, (await read(socket, 1))[0] ?? 0)).toString();
  const port = (await read(socket, 2)).readUInt16BE();
  asked.push(`${host}:${port}`);
  const target = connect({ host, port });
  open.add(target);
  target.once("close", () => open.delete(target));
  try {
    await once(target, "connect");
  } catch {
    socket.end(Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0]));
    return;
  }
  target.on("error", () => undefined);
  socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
  socket.pipe(target).pipe(socket);
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const chunk: Buffer | null = bytes === 0 ? Buffer.alloc(0) : socket.read(bytes);
    if (chunk !== null) return chunk;
    await once(socket, "readable");
    if (socket.readableEnded) throw new Error("ended");
  }
}
