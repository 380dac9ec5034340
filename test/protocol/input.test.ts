import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

/** What a logged in client may say, and in whose name. RFC 6120 §8, RFC 6121 §8; the recipient's view is the proof. */

let core: TestCore;
let alice: XmppClient;
let bob: XmppClient;
let mallory: XmppClient;
beforeAll(async () => {
  core = await startTestCore({ users: ["alice", "bob", "mallory"] });
});
beforeEach(async () => {
  alice = await core.login("alice", { resource: "desk" });
  bob = await core.login("bob", { resource: "phone" });
  mallory = await core.login("mallory", { resource: "lair" });
});
afterEach(async () => {
  await Promise.all([alice, bob, mallory].map((client) => Promise.race([client.close(), client.ended])));
});
afterAll(() => core.close());

const ns = {
  roster: "jabber:iq:roster",
  carbons: "urn:xmpp:carbons:2",
  forward: "urn:xmpp:forward:0",
  archive: "urn:xmpp:mam:2",
  sid: "urn:xmpp:sid:0",
  delay: "urn:xmpp:delay",
};
const errorOf = async (client: XmppClient, id: string): Promise<Element> =>
  client.next((stanza) => stanza.attrs.id === id && stanza.attrs.type === "error", `error ${id}`);

describe("only message, presence and iq of jabber:client reach the router", () => {
  test.each([
    "<foo/>",
    "<message xmlns='urn:x' to='bob@localhost/phone'><body>x</body></message>",
    "<message xmlns='jabber:server' to='bob@localhost/phone'><body>x</body></message>",
    "<message xmlns='' to='bob@localhost/phone'><body>x</body></message>",
    "<p:message xmlns:p='jabber:server' to='bob@localhost/phone'/>",
    "<Message to='bob@localhost/phone'><body>x</body></Message>",
    "<stream:features/>",
    "<stream:error/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGJvYgBib2I=</auth>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
  ])("%s ends the stream", async (xml) => {
    mallory.send(xml);
    expect(await mallory.streamError()).toBe("unsupported-stanza-type");
    expect((await mallory.ended).streamEnded).toBe(true);
    await bob.none("message");
  });

  test("a message by a prefix of the right namespace is one", async () => {
    alice.send("<p:message xmlns:p='jabber:client' to='bob@localhost/phone'><p:body>x</p:body></p:message>");
    expect((await bob.next("message")).getChildText("body")).toBe("x");
  });
});

describe("from", () => {
  test.each([
    "bob@localhost",
    "bob@localhost/phone",
    "localhost",
    "mallory@elsewhere.example",
    "mallory@localhost/other",
    "@@",
    "",
  ])("%j is nobody's but another's: each kind of stanza ends the stream", async (from) => {
    for (const stanza of [
      `<message from='${from}' to='alice@localhost/desk'><body>x</body></message>`,
      `<presence from='${from}' to='alice@localhost/desk'/>`,
      `<iq from='${from}' to='alice@localhost/desk' type='get' id='f1'><query xmlns='jabber:iq:version'/></iq>`,
      `<iq from='${from}' to='alice@localhost/desk' type='result' id='f2'/>`,
    ]) {
      const liar = await core.login("mallory", { resource: "liar" });
      liar.send(stanza);
      expect(await liar.streamError()).toBe("invalid-from");
      expect((await liar.ended).streamEnded).toBe(true);
    }
    await alice.none((stanza) => stanza.attrs.to === alice.jid);
  });

  test.each(["", "from='alice@localhost'", "from='alice@localhost/desk'", "from='ALICE@LOCALHOST/desk'"])(
    "is stamped with the full address: %s",
    async (from) => {
      alice.send(`<message ${from} to='bob@localhost/phone'><body>x</body></message>`);
      expect((await bob.next("message")).attrs.from).toBe("alice@localhost/desk");
      alice.send(`<presence ${from} to='bob@localhost/phone'/>`);
      expect((await bob.next("presence", (one) => one.attrs.type === undefined)).attrs.from).toBe(
        "alice@localhost/desk",
      );
      alice.send(`<iq ${from} to='bob@localhost/phone' type='get' id='s1'><query xmlns='urn:x'/></iq>`);
      expect((await bob.next("iq")).attrs.from).toBe("alice@localhost/desk");
    },
  );
});

describe("what only the server may say", () => {
  const item = `<query xmlns='${ns.roster}'><item jid='mallory@localhost' subscription='both'/></query>`;
  const inner = `<forwarded xmlns='${ns.forward}'><message xmlns='jabber:client' from='alice@localhost/desk' to='bob@localhost'><body>pay mallory</body></message></forwarded>`;

  test("a roster push of another comes under his full address, changes no roster, and not at all by the bare one", async () => {
    bob.answers = false;
    mallory.send(`<iq type='set' id='push' to='bob@localhost/phone'>${item}</iq>`);
    expect((await bob.next("iq")).attrs.from).toBe("mallory@localhost/lair");
    const refused = await mallory.set(item, "bob@localhost");
    expect(errorCondition(refused)).toBe("service-unavailable");
    await bob.none("iq", (iq) => iq.attrs.type === "set");
    expect((await bob.roster()).contacts).toEqual(new Map());
  });

  test.each([
    ["a carbon copy", `<received xmlns='${ns.carbons}'>${inner}</received>`],
    ["a copy of a sent message", `<sent xmlns='${ns.carbons}'>${inner}</sent>`],
    ["an archive result", `<result xmlns='${ns.archive}' queryid='q' id='1'>${inner}</result>`],
  ])(
    "%s of another comes under his full address, from another device of one's own under that one's",
    async (_name, xml) => {
      const twin = await core.login("bob", { resource: "stolen" });
      for (const client of [bob, twin]) {
        client.presence();
        await client.set(`<enable xmlns='${ns.carbons}'/>`);
      }
      const shown = (message: Element) => message.attrs.from;
      const isForged = (message: Element) =>
        message.getChild("received") ?? message.getChild("sent") ?? message.getChild("result");
      for (const to of ["bob@localhost/phone", "bob@localhost"]) {
        mallory.send(`<message to='${to}' type='chat'>${xml}</message>`);
        const got = await bob.next(
          "message",
          (message) => isForged(message) !== undefined && message.attrs.from !== "bob@localhost",
        );
        expect(shown(got)).toBe("mallory@localhost/lair");
      }
      twin.send(`<message from='bob@localhost' to='bob@localhost/phone' type='chat'>${xml}</message>`);
      expect(
        shown(
          await bob.next(
            "message",
            (message) => message.attrs.from !== "bob@localhost" && isForged(message) !== undefined,
          ),
        ),
      ).toBe("bob@localhost/stolen");
      // A copy that the server makes of the forgery shows who sent it.
      for (const copy of bob.connection.inbox.filter((stanza) => stanza.is("message"))) {
        const wrapped = isForged(copy)?.getChild("forwarded")?.getChild("message");
        expect(["mallory@localhost/lair", "bob@localhost/stolen"]).toContain(wrapped?.attrs.from);
      }
      await twin.close();
    },
  );

  test.each(["chat", "normal", "headline"])("stanza ids in a %s message are the archive's or none", async (type) => {
    const forged = ["bob@localhost", "localhost", "mallory@localhost", "x"].map(
      (by, i) => `<stanza-id xmlns='${ns.sid}' id='forged-${i}' by='${by}'/>`,
    );
    mallory.send(
      `<message to='bob@localhost/phone' type='${type}'><body>x</body>${forged.join("")}<origin-id xmlns='${ns.sid}' id='mine'/></message>`,
    );
    const got = await bob.next("message");
    const ids = got.getChildren("stanza-id", ns.sid);
    expect(ids.map((id) => id.attrs.by)).toEqual(type === "headline" ? [] : ["bob@localhost"]);
    expect(ids.map((id) => id.attrs.id).join()).not.toContain("forged");
    expect(got.getChild("origin-id", ns.sid)?.attrs.id).toBe("mine");
  });

  test("delay stamps of the server and of its people are taken away, one's own stay, online and offline", async () => {
    const stamp = (from: string) => `<delay xmlns='${ns.delay}' stamp='2001-01-01T00:00:00Z' ${from}/>`;
    const forged = [
      "localhost",
      "LOCALHOST",
      "proxy.localhost",
      "bob@localhost",
      "bob@localhost/phone",
      "alice@localhost",
    ];
    const kept = ["from='mallory@localhost/lair'", "from='mallory@localhost'", "from='elsewhere.example'", ""];
    const stamps = [...forged.map((from) => `from='${from}'`), ...kept].map(stamp).join("");
    const seen = (message: Element) => message.getChildren("delay", ns.delay).map((delay) => delay.attrs.from);
    const own = ["mallory@localhost/lair", "mallory@localhost", "elsewhere.example", undefined];
    mallory.message("bob@localhost/phone", "now", stamps);
    expect(seen(await bob.next("message"))).toEqual(own);
    await bob.close();
    mallory.message("bob@localhost", "later", stamps);
    await mallory.ping();
    bob = await core.login("bob", { resource: "phone" });
    bob.presence();
    const late = await bob.next("message");
    expect(seen(late)).toEqual([...own, "localhost"]);
    expect(late.getChildren("delay", ns.delay).at(-1)?.attrs.stamp).not.toMatch(/^2001/);
  });
});

describe("answers", () => {
  test.each(["result", "error"])("that nobody asked for are not delivered: %s", async (type) => {
    for (const to of [bob.jid, bob.bare, "localhost", "nobody@localhost/x"])
      mallory.send(`<iq type='${type}' id='unasked' to='${to}'><x xmlns='urn:x'/></iq>`);
    await bob.none("iq", undefined, mallory);
    await mallory.none("iq", (iq) => iq.attrs.id === "unasked");
  });

  test("come from who was asked, once", async () => {
    const id = "q1";
    bob.send(`<iq type='get' id='${id}' to='${alice.jid}'><query xmlns='urn:x'/></iq>`);
    await alice.next("iq");
    const answer = (text: string) => `<iq type='result' id='${id}' to='${bob.jid}'><x xmlns='urn:x'>${text}</x></iq>`;
    mallory.send(answer("forged"));
    const twin = await core.login("alice", { resource: "twin" });
    twin.send(answer("forged by a twin"));
    await twin.ping();
    await bob.none("iq", (iq) => iq.attrs.id === id, mallory);
    alice.send(answer("true"));
    const got = await bob.next("iq", (iq) => iq.attrs.id === id);
    expect([got.attrs.from, got.getChildText("x")]).toEqual([alice.jid, "true"]);
    alice.send(answer("again"));
    await bob.none("iq", (iq) => iq.attrs.id === id, alice);
    await twin.close();
  });

  test("to the server's own questions count from whom it asked only", async () => {
    const { server } = core;
    const session = [...server.sessions.all()].find((one) => one.address === bob.jid);
    if (session === undefined) throw new Error("no session of bob");
    const answers: boolean[] = [];
    bob.answers = false;
    server.router.ask(session, "get", "<x xmlns='urn:x'/>" as never, (ok) => answers.push(ok));
    const { id } = (await bob.next("iq")).attrs;
    for (const to of ["", "to='localhost'", "to='bob@localhost'"]) mallory.send(`<iq type='result' id='${id}' ${to}/>`);
    await mallory.ping();
    expect(answers).toEqual([]);
    bob.send(`<iq type='result' id='${id}' to='localhost'/>`);
    bob.send(`<iq type='error' id='${id}' to='localhost'/>`);
    await bob.ping();
    expect(answers).toEqual([true]);
  });
});

describe("an iq", () => {
  const payload = "<query xmlns='jabber:iq:version'/>";
  test.each([
    ["without type", `<iq id='i' to='localhost'>${payload}</iq>`],
    ["of an unknown type", `<iq id='i' type='put' to='localhost'>${payload}</iq>`],
    ["of a type in capitals", `<iq id='i' type='GET' to='localhost'>${payload}</iq>`],
    ["without child", "<iq id='i' type='get' to='localhost'/>"],
    ["with text only", "<iq id='i' type='get' to='localhost'>x</iq>"],
    ["with two children", `<iq id='i' type='get' to='localhost'>${payload}${payload}</iq>`],
    ["for another client, with two", `<iq id='i' type='set' to='bob@localhost/phone'>${payload}${payload}</iq>`],
    ["without id", `<iq type='get' to='localhost'>${payload}</iq>`],
    ["for another client, without id", `<iq type='get' to='bob@localhost/phone'>${payload}</iq>`],
  ])("%s is a bad request", async (_name, xml) => {
    alice.send(xml);
    const error = await alice.next("iq", (iq) => iq.attrs.type === "error");
    expect(errorCondition(error)).toBe("bad-request");
    expect(error.attrs.id).toBe(xml.includes("id='i'") ? "i" : undefined);
    await bob.none("iq", undefined, alice);
  });

  test.each([
    "",
    "localhost",
    "alice@localhost",
    "bob@localhost",
    "nobody@localhost",
    "bob@localhost/gone",
    "proxy.localhost",
  ])("in a namespace that nobody knows is answered: to %j", async (to) => {
    const answer = await alice.get("<query xmlns='urn:example:unknown'/>", to);
    expect(errorCondition(answer)).toBe("service-unavailable");
    expect(answer.attrs.from).toBe(to === "" ? "alice@localhost" : to);
  });

  test("a known payload in another namespace, or by another name, is not taken for it", async () => {
    for (const xml of ["<ping xmlns='urn:xmpp:ping:x'/>", "<pong xmlns='urn:xmpp:ping'/>", "<ping xmlns=''/>"])
      expect(errorCondition(await alice.get(xml, "localhost"))).toBe("service-unavailable");
  });
});

describe("addresses", () => {
  test.each([
    "@localhost",
    "a b@localhost",
    "bob@",
    "bob@localhost/",
    "bob@local host",
    "bob@localhost/a&#x85;",
    "b&amp;b@localhost",
    ".",
  ])("%s is malformed, and the answer shows it", async (to) => {
    const stanzas = [
      `<message id='m' to='${to}'><body>x</body></message>`,
      `<presence id='m' to='${to}'/>`,
      `<iq id='m' type='get' to='${to}'><query xmlns='urn:x'/></iq>`,
    ];
    for (const stanza of stanzas) {
      alice.send(stanza);
      const error = await errorOf(alice, "m");
      expect(errorCondition(error)).toBe("jid-malformed");
      expect(error.getChild("error")?.getChildText("text")).toContain("is not a valid address");
    }
  });

  test("a contact without a domain is malformed, with the address that was probably meant", async () => {
    const answer = await alice.set(`<query xmlns='${ns.roster}'><item jid='bob'/></query>`);
    expect(errorCondition(answer)).toBe("jid-malformed");
    expect(answer.getChild("error")?.getChildText("text")).toContain("bob@localhost");
  });

  test("of the server take no messages, of other servers none yet", async () => {
    alice.send("<message id='s' to='localhost'><body>x</body></message>");
    expect(errorCondition(await errorOf(alice, "s"))).toBe("service-unavailable");
    alice.send("<message id='r' to='x@elsewhere.example'><body>x</body></message>");
    expect(errorCondition(await errorOf(alice, "r"))).toBe("remote-server-not-found");
  });

  test.each([
    "<message type='error' id='e' to='@'><error type='cancel'/></message>",
    "<message type='error' id='e' to='localhost'><error type='cancel'/></message>",
    "<message type='error' id='e' to='nobody@localhost'><error type='cancel'/></message>",
    "<presence type='error' id='e' to='@'><error type='cancel'/></presence>",
    "<iq type='result' id='e' to='@'/>",
    "<iq type='error' id='e' to='@'/>",
    "<iq type='error' to='localhost'/>",
  ])("errors and answers are never answered: %s", async (stanza) => {
    alice.send(stanza);
    await alice.none((one) => one.is("message") || one.is("presence") || (one.is("iq") && one.attrs.id === "e"));
  });
});

test("presence of an unknown type is a bad request, and priority a number from -128 to 127", async () => {
  alice.send("<presence type='here' id='p'/>");
  expect(errorCondition(await errorOf(alice, "p"))).toBe("bad-request");
  for (const priority of ["high", "128", "-129", "1.5"]) {
    alice.send(`<presence id='p'><priority>${priority}</priority></presence>`);
    expect(errorCondition(await errorOf(alice, "p"))).toBe("bad-request");
  }
});

test("names that objects have of their own are names like any other", async () => {
  for (const name of ["__proto__", "constructor", "toString"]) {
    const answer = await alice.get(`<${name} xmlns='${name}'/>`, "localhost");
    expect(errorCondition(answer)).toBe("service-unavailable");
    const id = alice.message(bob.jid, name, `<${name} xmlns='urn:x' ${name}='1'/>`);
    const got = await bob.next("message", (message) => message.attrs.id === id);
    expect(got.getChild(name, "urn:x")).toBeDefined();
  }
});

test("questions that a client leaves open do not pile up in the server", async () => {
  const session = [...core.server.sessions.all()].find((one) => one.address === alice.jid);
  for (let i = 0; i < 3000; i++) alice.send(`<iq type='get' id='open-${i}' to='${bob.jid}'><q xmlns='urn:x'/></iq>`);
  await alice.ping();
  expect(session?.asking.size).toBe(1000);
  const long = "x".repeat(2000);
  expect(errorCondition(await alice.iq(`<iq type='get' id='${long}' to='${bob.jid}'><q xmlns='urn:x'/></iq>`))).toBe(
    "bad-request",
  );
});
