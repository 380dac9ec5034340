/** What help pages of the replaced systems promise to people at home, as their programs see it. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from "vitest";
import { allProperties } from "../../xmpp-core/server.ts";
import { newKey, selfSigned } from "../../xmpp-core/transport/self-signed.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { LoginRefused, XmppClient } from "../support/xmpp-client.ts";

const domain = "example.org";
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore({
    domain,
    users: ["alice", "bob"],
    properties: { "sasl.mechs": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-256-PLUS" },
  });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const password = "alice";
const where = (port: number) => ({ host: "127.0.0.1", port, domain });

interface Man {
  readonly port: number;
  /** All that clients sent, as he reads it. */
  heard(): string;
}

/** Somebody between a client and the server, who reads everything and changes what the server says. */
async function between(kind: "clear" | "tls", change: (said: string) => string): Promise<Man> {
  let heard = "";
  const sockets: Socket[] = [];
  const relay = (client: Socket): void => {
    const server =
      kind === "tls"
        ? connectTls({
            ...where(core.directPort),
            servername: domain,
            ALPNProtocols: ["xmpp-client"],
            rejectUnauthorized: false,
          })
        : connect(core.port, "127.0.0.1");
    sockets.push(client, server);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      one.on("error", () => other.destroy());
      one.once("close", () => other.destroy());
    }
    client.on("data", (bytes) => {
      heard += bytes.toString("latin1");
      server.write(bytes);
    });
    server.on("data", (bytes) => client.write(change(bytes.toString())));
  };
  const key = newKey();
  const own = { key, cert: await selfSigned({ domain, extra: [] }, key, new Date()), ALPNProtocols: ["xmpp-client"] };
  const listener = kind === "tls" ? createTlsServer(own, relay) : createServer(relay);
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  return { port: (listener.address() as AddressInfo).port, heard: () => heard };
}

/** Whether these bytes give the password away, as it is or as PLAIN writes it. */
function tells(bytes: string): boolean {
  const pieces = bytes.split(/[<>\s'"]+/).map((piece) => Buffer.from(piece, "base64").toString("latin1"));
  return [bytes.replaceAll(`to='${domain}'`, ""), ...pieces].some((text) => text.includes(`\0${password}`));
}

test("STARTTLS taken away on the way: there is nothing left to log in with, and no password is asked for (R4)", async () => {
  const man = await between("clear", (said) =>
    said.replace(/<starttls.*?<\/starttls>/, "").replace(/<proceed[^>]*>/, ""),
  );
  const client = await XmppClient.connect({ ...where(man.port), tls: "none" });
  expect(client.features?.getChild("starttls")).toBeUndefined();
  expect(client.features?.toString()).not.toContain("mechanism");
  // A client that tries all the same is refused before it has said anything but a name.
  client.send(
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1hbGljZSxyPWFiYw==</auth>",
  );
  const refused = await client.next((stanza) => /failure|error/.test(stanza.getName()), "refusal");
  expect(refused.toString()).not.toContain("challenge");
  expect(tells(man.heard())).toBe(false);
});

test("somebody with a certificate of his own in between: channel binding shows it, and he learns no password (R4)", async () => {
  const man = await between("tls", (said) => said);
  const login = { ...where(man.port), tls: "direct" as const, user: "alice", password };
  for (const binding of ["tls-exporter", "tls-server-end-point"] as const) {
    const attempt = XmppClient.login({ ...login, mechanism: "SCRAM-SHA-256-PLUS", binding });
    await expect(attempt, binding).rejects.toThrow(LoginRefused);
  }
  expect(tells(man.heard())).toBe(false);
  const straight = { ...login, port: core.directPort, mechanism: "SCRAM-SHA-256-PLUS" };
  await (await XmppClient.login({ ...straight, binding: "tls-exporter" })).ping();
});

test("-PLUS taken off the list on the way: a client that could have used it is refused (R4)", async () => {
  const man = await between("tls", (said) => said.replaceAll("<mechanism>SCRAM-SHA-256-PLUS</mechanism>", ""));
  const client = await XmppClient.connect({ ...where(man.port), tls: "direct" });
  expect(client.features?.toString()).not.toContain("-PLUS");
  // `y`: I can, and you do not offer it. RFC 5802 §6
  const first = Buffer.from("y,,n=alice,r=a-client-nonce").toString("base64");
  client.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>${first}</auth>`);
  expect((await client.next("failure")).toString()).not.toContain("challenge");
  expect(tells(man.heard())).toBe(false);
});

test("the man in between of these tests would see a password that is sent (R4)", async () => {
  const man = await between("tls", (said) => said);
  await XmppClient.login({ ...where(man.port), tls: "direct", user: "alice", password, mechanism: "PLAIN" });
  expect(tells(man.heard())).toBe(true);
});

test("both ways in are open by default: STARTTLS on 5222 and TLS at once on 5223 (G2, G3)", async () => {
  const value = (key: string) => allProperties().find((one) => one.key === key)?.default;
  expect(["plain", "ssl"].map((way) => [value(`xmpp.socket.${way}.active`), value(`xmpp.socket.${way}.port`)])).toEqual(
    [
      [true, 5222],
      [true, 5223],
    ],
  );
  for (const way of [{ tls: "starttls" }, { tls: "direct", port: core.directPort }] as const)
    await (await core.login("alice", way)).ping();
});

test("the mail address is the chat address: with nothing else one writes to somebody and adds him (R1, R2)", async () => {
  const [alice, bob] = [await core.login("alice@example.org", { password }), await core.login("bob")];
  for (const each of [alice, bob]) {
    await each.roster();
    each.presence();
    await each.next("presence", ({ attrs }) => attrs.from === each.jid);
  }
  bob.message("Alice@Example.org", "good morning");
  expect((await alice.next("message")).getChildText("body")).toBe("good morning");
  bob.presence("", "type='subscribe' to='Alice@Example.org'");
  const asked = await alice.next("presence", ({ attrs }) => attrs.type === "subscribe");
  expect(asked.attrs.from).toBe("bob@example.org");
  alice.presence("", "type='subscribed' to='bob@example.org'");
  const seen = await bob.next("presence", ({ attrs }) => attrs.from === alice.jid && attrs.type === undefined);
  expect(seen.attrs.to).toBe("bob@example.org");
});
