/** The test client itself, against servers that are not ours: where these fail, no protocol test means anything. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorCondition } from "../support/stanzas.ts";
import { LoginRefused, XmppClient } from "../support/xmpp-client.ts";
import { startEjabberd } from "./ejabberd.ts";
import { installed, type Peer } from "./peer.ts";
import { startProsody } from "./prosody.ts";

const peers = [
  { name: "Prosody", start: startProsody, missing: !(await installed("prosody", "openssl")) },
  { name: "ejabberd", start: startEjabberd, missing: !(await installed("ejabberdctl", "openssl")) },
];
for (const { name, missing } of peers)
  if (missing) console.warn(`skipped: ${name} is not installed; .ci/run installs it`);

describe.each(peers)("the test client against $name", ({ start, missing }) => {
  let peer: Peer;
  const login = (user: string) => ({
    host: peer.host,
    port: peer.port,
    domain: peer.domain,
    user,
    password: `of ${user}`,
  });
  const direct = () => ({ port: peer.directTlsPort, tls: "direct" as const });

  beforeAll(async () => {
    if (missing) return;
    peer = await start({ archive: true });
    await peer.addUsers([login("alice"), login("bob")]);
  });
  afterAll(async () => {
    XmppClient.dropAll();
    await peer?.stop();
  });

  test.skipIf(missing)("chats over STARTTLS and direct TLS and records the certificate", async () => {
    const alice = await XmppClient.login({ ...login("alice"), mechanism: "PLAIN" });
    const bob = await XmppClient.login({ ...login("bob"), ...direct(), resource: "r", mechanism: "SCRAM-SHA-1" });
    expect(bob.jid).toBe("bob@localhost/r");
    expect(alice.certificate?.subject).toBe("CN=localhost");
    alice.message(bob.jid, "<&> é \u{1F600}");
    expect((await bob.next("message")).getChildText("body")).toBe("<&> é \u{1F600}");
    await alice.none("message", "a bounce", bob);
    expect(errorCondition(await alice.get("<query xmlns='urn:none'/>", "localhost"))).toMatch(
      /service-unavailable|feature-not/,
    );
    expect(await alice.close()).toEqual({ by: "fin", streamEnded: true });
  });

  test.skipIf(missing)(
    "resumes a session after a reset, with what came meanwhile and what was not acknowledged",
    async () => {
      const alice = await XmppClient.login({ ...login("alice"), sm: true });
      const bob = await XmppClient.login({ ...login("bob"), sm: true });
      await alice.requestAck();
      alice.drop();
      expect(await alice.ended).toEqual({ by: "us", streamEnded: false });
      alice.message(bob.jid, "written while offline");
      bob.message(alice.jid, "sent while away");
      await bob.ping();
      const handled = alice.handled;
      await alice.resume();
      expect((await alice.next("message")).getChildText("body")).toBe("sent while away");
      expect((await bob.next("message")).getChildText("body")).toBe("written while offline");
      expect(await alice.requestAck()).toBeGreaterThan(0);
      expect(alice.unacked).toEqual([]);
      expect(alice.handled).toBe(handled + 1);
    },
  );

  test.skipIf(missing)("tells a refused login, a stream error and a silent server apart", async () => {
    const wrong = { ...login("alice"), password: "wrong" };
    await expect(XmppClient.login(wrong)).rejects.toThrow(LoginRefused);
    const client = await XmppClient.connect({ ...login("alice") });
    client.send("<a><b></a>");
    expect(await client.streamError()).toMatch(/not-well-formed|xml-not-well-formed/);
    await client.ended;
    await expect(client.next("message")).rejects.toThrow(
      /connection is closed[\s\S]*--- transcript ---[\s\S]*<a><b><\/a>/,
    );
  });
});
