/** The test tools: bad output of a server must fail the test that sees it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { channelBinding } from "../support/scram-client.ts";
import { XmppConnection } from "../support/xmpp-connection.ts";

const header =
  "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>";
const undo: (() => void)[] = [];
afterEach(() => {
  for (const one of undo.splice(0)) one();
});

async function connectionTo(speak: (socket: Socket) => void): Promise<XmppConnection> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => speak(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const connection = await XmppConnection.open({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  undo.push(
    () => connection.drop(),
    () => server.close(),
  );
  return connection;
}

test.each([
  ["an undeclared prefix", "<message><a:b/></message>"],
  ["a duplicate attribute", "<message to='a' to='b'/>"],
  ["a comment", "<!-- hello --><message/>"],
  ["a processing instruction", "<message><?php?></message>"],
  ["a document type", "<!DOCTYPE x><message/>"],
  ["an unescaped ampersand", "<message><body>a & b</body></message>"],
  ["text between stanzas", "hello<message/>"],
  ["invalid UTF-8", Buffer.from("<message><body>\xff</body></message>", "latin1")],
  ["a control character", "<message><body>\x01</body></message>"],
])("a server that sends %s fails the test", async (_, bytes) => {
  const connection = await connectionTo((socket) => {
    socket.write(header);
    socket.write(bytes);
  });
  const reading = connection
    .openStream("localhost")
    .then(() => connection.next((stanza) => stanza.is("message"), "message"));
  await expect(reading).rejects.toThrow(/malformed XML[\s\S]*transcript/);
});

test("stanzas come whole, with namespaces, however their bytes are cut", async () => {
  const stanza = "<message from='é@x'><body>\u{1F600} &lt;</body><x xmlns='urn:x'/></message>";
  const connection = await connectionTo((socket) => {
    for (const byte of Buffer.from(header + stanza)) socket.write(Buffer.of(byte));
  });
  await connection.openStream("localhost");
  const got = await connection.next((one) => one.is("message", "jabber:client"), "message");
  expect([got.attrs.from, got.getChildText("body"), got.getChild("x", "urn:x") !== undefined]).toEqual([
    "é@x",
    "\u{1F600} <",
    true,
  ]);
});

test("how a connection ended is told apart", async () => {
  const reset = await connectionTo((socket) => socket.resetAndDestroy());
  reset.send("x");
  expect(await reset.ended).toEqual({ by: "reset", streamEnded: false });
  const silent = await connectionTo((socket) => socket.end(header));
  await silent.openStream("localhost");
  expect(await silent.ended).toEqual({ by: "fin", streamEnded: false });
  const polite = await connectionTo((socket) => socket.end(`${header}</stream:stream>`));
  await polite.openStream("localhost");
  expect(await polite.ended).toEqual({ by: "fin", streamEnded: true });
});

test("both ends of a TLS connection compute the same channel bindings", async () => {
  const directory = mkdtempSync(join(tmpdir(), "firekeeper-binding-"));
  undo.push(() => rmSync(directory, { recursive: true }));
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha384", "-subj", "/CN=x"];
  execFileSync("openssl", ["req", "-x509", ...curve, "-keyout", key, "-out", cert], { stdio: "ignore" });
  let serverSide: (socket: TLSSocket) => void = () => {};
  const socketOfServer = new Promise<TLSSocket>((resolve) => {
    serverSide = resolve;
  });
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) => serverSide(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const connection = await XmppConnection.open({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  undo.push(
    () => connection.drop(),
    () => server.close(),
  );
  await connection.secure({ serverName: "x" });
  const [ours, theirs] = [connection.tls, await socketOfServer];
  if (ours === undefined) throw new Error("no TLS");
  const exported = theirs.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
  expect(channelBinding(ours, connection.certificate?.raw, "tls-exporter").equals(exported)).toBe(true);
  // RFC 5929 §4.1: the certificate's own hash, here SHA-384.
  expect(channelBinding(ours, connection.certificate?.raw, "tls-server-end-point")).toHaveLength(48);
});
