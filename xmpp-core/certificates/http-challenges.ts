/** Answers http-01 challenges (RFC 8555 §8.3): a port that is open while an order is pending and knows one path. */
import type { Clock } from "../clock.ts";
import type { ListenSpec } from "../frames.ts";
import type { Connection } from "../transport/connection.ts";

export const challengeListener = "acme-http";

/** Opens and closes a listener besides those of the properties. */
export interface Ports {
  open(spec: ListenSpec): Promise<unknown>;
  close(name: string): Promise<void>;
}

const requestBytes = 4096;
const requestMs = 10_000;
/** base64url, at least 128 bits (RFC 8555 §8.1). */
const request = /^GET \/\.well-known\/acme-challenge\/([A-Za-z0-9_-]{20,256}) HTTP\/1\.[01]\r\n/;

export function httpChallenges(parts: {
  clock: Clock;
  ports: Ports;
  onConnection: (listener: string, handler: (connection: Connection) => void) => void;
}): {
  /** Answers for this token until what it resolves with is called. */
  present(
    token: string,
    answer: string,
    where: { port: number; address: string | undefined },
  ): Promise<() => Promise<void>>;
} {
  const answers = new Map<string, string>();
  parts.onConnection(challengeListener, (connection) => {
    if (connection.adopted) connection.drop();
    else serve(connection);
  });

  function serve(connection: Connection): void {
    let seen = Buffer.alloc(0);
    let answered = false;
    const cancel = parts.clock.after(requestMs, () => connection.drop());
    const answer = (status: string, body: string): void => {
      answered = true;
      connection.write(
        `HTTP/1.1 ${status}\r\ncontent-type: application/octet-stream\r\ncontent-length: ${Buffer.byteLength(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n${body}`,
      );
      connection.close();
    };
    connection.receive({
      bytes(chunk) {
        if (answered) return;
        seen = Buffer.concat([seen, chunk]);
        if (seen.length > requestBytes) return answer("431 Request Header Fields Too Large", "");
        if (!seen.includes("\r\n\r\n")) return;
        const token = request.exec(seen.toString("latin1"))?.[1];
        const known = token === undefined ? undefined : answers.get(token);
        if (known === undefined) answer("404 Not Found", "");
        else answer("200 OK", known);
      },
      secured: () => undefined,
      drained: () => undefined,
      // Who has finished sending may still read; what is incomplete will not be completed.
      ended() {
        if (!answered) connection.drop();
      },
      closed: cancel,
    });
  }

  return {
    async present(token, answer, { port, address }) {
      answers.set(token, answer);
      const takeAway = async (): Promise<void> => {
        answers.delete(token);
        if (answers.size === 0) await parts.ports.close(challengeListener);
      };
      try {
        await parts.ports.open({
          ...{ name: challengeListener, port, tls: "never" },
          ...(address === undefined ? {} : { addresses: [address] }),
          limits: { perAddress: 16, perSecond: 50, unsentBytes: 64 * 1024 },
        });
      } catch (error) {
        answers.delete(token);
        throw error;
      }
      return takeAway;
    },
  };
}
