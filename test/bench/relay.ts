/**
 * The limit: a bare Node TLS server that passes the same bytes between pairs of connections and knows nothing.
 * Run as `relay.ts KEY CERT`; prints its port.
 */
import { readFileSync } from "node:fs";
import { createServer, type TLSSocket } from "node:tls";

const [key = "", cert = ""] = process.argv.slice(2);
const peers = new Map<number, TLSSocket>();
const server = createServer({ key: readFileSync(key), cert: readFileSync(cert), noDelay: true }, (socket) => {
  let index = -1;
  socket.on("error", () => socket.destroy());
  socket.on("close", () => peers.delete(index));
  socket.on("data", (bytes: Buffer) => {
    if (index >= 0) {
      peers.get(index ^ 1)?.write(bytes);
      return;
    }
    index = Number.parseInt(bytes.toString("latin1"), 10);
    peers.set(index, socket);
    socket.write("ok\n");
  });
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  console.log(`listening on ${typeof address === "object" && address !== null ? address.port : 0}`);
});
