/** Asks one STUN server by which address it sees us. RFC 8489, over UDP. */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { bindingRequest, readBindingAnswer } from "./stun-message.ts";

/** Runs `work` after `ms`; the result calls it off. */
export type After = (ms: number, work: () => void) => () => void;

// RFC 8489 §6.2.1: RTO, Rc and Rm
const firstMs = 500;
const sends = 7;
const lastFactor = 16;

export const realAfter: After = (ms, work) => {
  const timer = setTimeout(work, ms);
  return () => clearTimeout(timer);
};

/**
 * The address that the server at a literal address sees. Sends seven times, at 0, 0.5, 1.5 … 31.5 s, and gives up after
 * 39.5 s. Rejects with one sentence; `signal` gives up earlier.
 */
export function askStun(
  server: { readonly address: string; readonly port: number },
  options: { readonly after?: After; readonly signal?: AbortSignal } = {},
): Promise<string> {
  const { after = realAfter, signal } = options;
  return new Promise((resolve, reject) => {
    const id = randomBytes(12);
    const request = bindingRequest(id);
    const socket = createSocket(isIPv6(server.address) ? "udp6" : "udp4");
    let sent = 0;
    let stopTimer = (): void => {};
    const settle = (act: () => void) => {
      stopTimer();
      signal?.removeEventListener("abort", aborted);
      // Closed twice it throws.
      if (sent >= 0) socket.close();
      sent = -1;
      act();
    };
    const fail = (why: string) => settle(() => reject(new Error(why)));
    const aborted = () => fail("it has not answered in time");
    const send = () => {
      if (sent === sends) return fail("it does not answer");
      socket.send(request, (error) => {
        if (error !== null && sent >= 0) fail(`it cannot be asked: ${error.message}`);
      });
      sent += 1;
      stopTimer = after(sent === sends ? lastFactor * firstMs : firstMs * 2 ** (sent - 1), send);
    };
    socket.on("error", (error) => fail(`it cannot be asked: ${error.message}`));
    socket.on("message", (bytes) => {
      const answer = readBindingAnswer(bytes, id);
      if (answer === undefined) return;
      if (answer.is === "address") settle(() => resolve(answer.address));
      else fail(answer.why);
    });
    if (signal?.aborted === true) return aborted();
    signal?.addEventListener("abort", aborted);
    // A connected socket hears nobody but the server.
    socket.connect(server.port, server.address, (error?: unknown) => {
      if (sent < 0) return;
      // Without a route there is no connection.
      if (error instanceof Error) fail(`it cannot be asked: ${error.message}`);
      else send();
    });
  });
}
