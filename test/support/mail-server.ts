/** A mail server that keeps what it gets. RFC 5321 */
import { createServer, type Socket } from "node:net";

const answers = new Map([
  ["EHLO", "250-test\r\n250 AUTH PLAIN"],
  ["AUTH", "235 welcome"],
  ["DATA", "354 go on"],
  ["QUIT", "221 bye"],
]);

export interface MailServer {
  readonly port: number;
  /** The next mail, also if it came already: what was said before it, and its lines. */
  next(): Promise<{ envelope: string[]; text: string }>;
  /** Mails that nobody asked for yet. */
  readonly waiting: number;
  /** What the next recipient is answered instead of 250; resolves when that was said. */
  refuseNext(answer: string): Promise<void>;
  close(): void;
}

export async function mailServer(host = "127.0.0.1"): Promise<MailServer> {
  const mails: { envelope: string[]; text: string }[] = [];
  const wanted: ((mail: { envelope: string[]; text: string }) => void)[] = [];
  const sockets = new Set<Socket>();
  let refusal: { answer: string; said: () => void } | undefined;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket)).on("error", () => undefined);
    let envelope: string[] = [];
    let text: string | undefined;
    let rest = "";
    socket.write("220 test ESMTP\r\n");
    socket.on("data", (data) => {
      const lines = `${rest}${data}`.split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(line);
    });
    function take(line: string): void {
      if (text !== undefined && line === ".") {
        const mail = { envelope, text };
        [envelope, text] = [[], undefined];
        const waiter = wanted.shift();
        if (waiter === undefined) mails.push(mail);
        else waiter(mail);
        socket.write("250 taken\r\n");
      } else if (text !== undefined) text += `${line}\n`;
      else {
        const verb = line.slice(0, 4).toUpperCase();
        if (["AUTH", "MAIL", "RCPT"].includes(verb)) envelope.push(line);
        if (verb === "DATA") text = "";
        const refused = verb === "RCPT" ? refusal : undefined;
        if (verb === "RCPT") refusal = undefined;
        refused?.said();
        socket.write(`${refused?.answer ?? answers.get(verb) ?? "250 fine"}\r\n`);
      }
    }
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    next: () =>
      new Promise((resolve) => {
        const mail = mails.shift();
        if (mail === undefined) wanted.push(resolve);
        else resolve(mail);
      }),
    get waiting() {
      return mails.length;
    },
    refuseNext: (answer) =>
      new Promise((said) => {
        refusal = { answer, said };
      }),
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
