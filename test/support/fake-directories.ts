/** Directories under a test's control: they write down what they are asked and answer as they are told. */
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export interface FakeDirectory {
  readonly port: number;
  /** What came, as text. */
  readonly asked: string[];
  /** The password that is right; undefined: every answer is the server's own trouble. */
  right: string | undefined;
  /** Not answering at all while true. */
  silent: boolean;
  close(): Promise<void>;
}

/** Just enough of LDAP (RFC 4511): a bind is right with the password, a search finds one entry. */
export function fakeLdap(): Promise<FakeDirectory> {
  return served((fake, socket) => {
    socket.on("data", (bytes) => {
      // One message a packet: [0x30, length, 0x02, 1, id, operation …]; ids stay below 128 here.
      const [id = 0, operation] = [bytes[4], bytes[5]];
      fake.asked.push(bytes.toString("latin1"));
      if (fake.silent || operation === 0x42) return;
      const text = bytes.toString("latin1");
      if (operation === 0x60) {
        const service = text.includes("cn=reader");
        const code = fake.right === undefined ? 52 : service || text.endsWith(fake.right) ? 0 : 49;
        socket.write(message(id, 0x61, result(code)));
      } else if (operation === 0x63) {
        const dn = Buffer.from("uid=found,dc=example");
        const entry = Buffer.concat([Buffer.from([0x04, dn.length]), dn, Buffer.from([0x30, 0])]);
        socket.write(message(id, 0x64, entry));
        socket.write(message(id, 0x65, result(0)));
      } else if (operation === 0x77) socket.write(message(id, 0x78, result(2)));
    });
  });
}

function result(code: number): Buffer {
  return Buffer.from([0x0a, 1, code, 0x04, 0, 0x04, 0]);
}

function message(id: number, operation: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x30, body.length + 5, 0x02, 1, id, operation, body.length]), body]);
}

/** Just enough of PostgreSQL to be logged in to with a password in clear, and to be asked one thing: it then gives up. */
export function fakePostgres(): Promise<FakeDirectory> {
  return served((fake, socket) => {
    let greeted = false;
    socket.on("data", (bytes) => {
      fake.asked.push(bytes.toString("latin1"));
      if (fake.silent) return;
      if (!greeted) {
        greeted = true;
        socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
      } else if (bytes[0] === 0x70) socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]));
      else socket.destroy();
    });
  });
}

/** 200 for the right password, 401 for every other, 500 when nothing is right. */
export async function fakeHttp(): Promise<FakeDirectory> {
  const server = createHttpServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      fake.asked.push(`${request.headers.authorization ?? "-"} ${body}`);
      if (fake.silent) return;
      const { password } = JSON.parse(body) as { password: string };
      response.writeHead(fake.right === undefined ? 500 : password === fake.right ? 200 : 401).end();
    });
  });
  const fake = await listening(server);
  return fake;
}

async function served(serve: (fake: FakeDirectory, socket: Socket) => void): Promise<FakeDirectory> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    serve(fake, socket);
  });
  const fake = await listening(server);
  return fake;
}

async function listening(server: Server): Promise<FakeDirectory> {
  const open = new Set<Socket>();
  server.on("connection", (socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked: [],
    right: undefined,
    silent: false,
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
