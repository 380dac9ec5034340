import type { Clock } from "../clock.ts";
import type { Connection } from "../transport/connection.ts";

const handshakeMs = 15_000;
/** Greeting of at most 255 methods, then the request with a 40 byte name. */
const longest = 257 + 262;

type State = "greeting" | "request" | "waiting" | "closed";

/**
 * The SOCKS5 of XEP-0065 §6: no authentication, CONNECT, a domain name of 40 hexadecimal digits, port 0.
 * `arrived` gets the hash; false refuses. Bytes sent before the activation stay with the connection.
 */
export function socks5Handshake(
  connection: Connection,
  clock: Clock,
  arrived: (hash: string) => boolean,
  gone: (hash: string) => void,
): void {
  let state: State = "greeting";
  let buffer = Buffer.alloc(0);
  let name = "";
  const cancel = clock.after(handshakeMs, () => {
    if (state !== "waiting") refuse();
  });

  function refuse(answer?: Buffer): false {
    state = "closed";
    cancel();
    if (answer === undefined) connection.drop();
    else {
      connection.write(answer);
      connection.close();
    }
    return false;
  }

  const refusal = (code: number): Buffer => Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0]);

  /** True if there may be more to read. */
  function step(): boolean {
    if (state === "greeting") {
      if (buffer.length < 2) return false;
      const methods = buffer[1] ?? 0;
      if (buffer[0] !== 5 || methods === 0) return refuse();
      if (buffer.length < 2 + methods) return false;
      if (!buffer.subarray(2, 2 + methods).includes(0)) return refuse(Buffer.from([5, 0xff]));
      buffer = buffer.subarray(2 + methods);
      state = "request";
      connection.write(Buffer.from([5, 0]));
      return true;
    }
    if (state !== "request" || buffer.length < 5) return false;
    const [version, command, , kind, length = 0] = buffer;
    if (version !== 5) return refuse();
    if (command !== 1) return refuse(refusal(7));
    if (kind !== 3) return refuse(refusal(8));
    if (buffer.length < 7 + length) return false;
    name = buffer.subarray(5, 5 + length).toString("latin1");
    if (!/^[0-9a-f]{40}$/.test(name) || buffer.readUInt16BE(5 + length) !== 0 || !arrived(name))
      return refuse(refusal(2));
    state = "waiting";
    cancel();
    connection.write(Buffer.concat([Buffer.from([5, 0, 0, 3, 40]), Buffer.from(name), Buffer.from([0, 0])]));
    // What follows belongs to the transfer: the gate relays it once both sides are joined.
    connection.giveBack(buffer.subarray(7 + length));
    return false;
  }

  connection.receive({
    bytes(chunk) {
      if (state === "closed") return;
      buffer = Buffer.concat([buffer, chunk]);
      if (buffer.length > longest) refuse();
      else while (step());
    },
    secured: () => undefined,
    drained: () => undefined,
    closed() {
      cancel();
      if (state === "waiting") gone(name);
      state = "closed";
    },
  });
}
