import { createServer, get, type IncomingMessage, type RequestListener, request } from "node:http";
import { get as getTls } from "node:https";
import { buffer, text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { inProcessGate } from "../../xmpp-core/transport/in-process.ts";
import { connectionStream } from "../../xmpp-core/transport/stream.ts";
import { dial, makeCertificate, quiet } from "./gate-fixture.ts";

/** An HTTP server whose every connection comes from the gate. */
async function serve(listener: RequestListener) {
  const { gate, close } = await inProcessGate();
  const server = createServer(listener);
  onTestFinished(() => {
    server.closeAllConnections();
    close();
  });
  const certificate = await makeCertificate("localhost");
  await gate.certificates({ certificates: [certificate], default: "localhost" });
  gate.onConnection("admin", (connection) => server.emit("connection", connectionStream(connection)));
  const { port } = await gate.listen({ name: "admin", port: 0, tls: "detect", alpn: ["http/1.1"] });
  gate.ready();
  return { port, server };
}

function fetched(url: string, ask: typeof get = get): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    ask(url, { rejectUnauthorized: false } as object, (response) => buffer(response).then(resolve, reject)).on(
      "error",
      reject,
    );
  });
}

test("an HTTP server answers on the gate's connections, clear and over TLS, kept alive and closed", async () => {
  const { port } = await serve((asked, answer) => {
    const { remoteAddress, encrypted } = asked.socket as typeof asked.socket & { encrypted: boolean };
    answer.end(`${asked.url} ${remoteAddress} ${encrypted}`);
  });
  expect(String(await fetched(`http://127.0.0.1:${port}/a`))).toBe("/a 127.0.0.1 false");
  expect(String(await fetched(`https://127.0.0.1:${port}/b`, getTls))).toBe("/b 127.0.0.1 true");
  const peer = await dial(port, "::1");
  peer.socket.write("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  expect((await peer.ended()).match(/\/\d ::1 false/g)).toEqual(["/1 ::1 false", "/2 ::1 false"]);
});

test("a large body goes both ways, at the pace of the slower side", async () => {
  const size = 30_000_000;
  const { port } = await serve(async (asked, answer) => {
    const body = await buffer(asked);
    // Waits for drain wherever the stream says so.
    for (let at = 0; at < body.length; at += 1_000_000) {
      if (!answer.write(body.subarray(at, at + 1_000_000)))
        await new Promise((resolve) => answer.once("drain", resolve));
      expect(answer.socket?.writableLength ?? 0).toBeLessThan(3_000_000);
    }
    answer.end();
  });
  const sent = Buffer.alloc(size);
  for (let at = 0; at < size; at += 4) sent.writeUInt32BE(at, at);
  const received = await new Promise<Buffer>((resolve, reject) => {
    const asking = request({ port, method: "POST" }, (response) => buffer(response).then(resolve, reject));
    asking.on("error", reject);
    asking.end(sent);
  });
  expect(received.equals(sent)).toBe(true);
});

test("a body that the server does not read waits at the client", async () => {
  const begun = resolvers<IncomingMessage>();
  const { port } = await serve((asked) => begun.resolve(asked));
  const peer = await dial(port);
  peer.socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000000\r\n\r\n`);
  peer.socket.write(Buffer.alloc(40_000_000));
  const asked = await begun.promise;
  await quiet(() => peer.socket.writableLength);
  expect(peer.socket.writableLength).toBeGreaterThan(10_000_000);
  expect((await buffer(asked)).length).toBe(40_000_000);
});

test("a client that leaves in the middle is seen by the server, and a server that leaves by the client", async () => {
  const left = resolvers<string>();
  const { port } = await serve((asked, answer) => {
    if (asked.url === "/cut") asked.socket.destroy();
    else {
      answer.write("begun");
      answer.once("close", () => left.resolve("left"));
    }
  });
  const peer = await dial(port);
  peer.socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await peer.until("begun");
  peer.socket.resetAndDestroy();
  expect(await left.promise).toBe("left");
  const cut = await dial(port);
  cut.socket.write("GET /cut HTTP/1.1\r\nHost: x\r\n\r\n");
  expect(await cut.ended()).toBe("");
});

function resolvers<Value>() {
  let resolve: (value: Value) => void = () => undefined;
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

test("an idle connection ends by the server's timeout", async () => {
  const { port, server } = await serve(
    (asked, answer) =>
      void text(asked).then(
        () => answer.end(),
        () => undefined,
      ),
  );
  server.setTimeout(50);
  const peer = await dial(port);
  peer.socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
  await peer.ended();
});
