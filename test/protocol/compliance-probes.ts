/** One probe for each specification that the Compliance Suites ask of a server: what a client would see. XEP-0479 */
import { once } from "node:events";
import type { Element } from "ltx";
import { expect } from "vitest";
import { TestComponent } from "../support/component.ts";
import { mam, readArchive } from "../support/mam.ts";
import { fetch, ids, item, publish } from "../support/pubsub.ts";
import { codesOf, join, makeRoom, mucNs } from "../support/rooms.ts";
import { errorCondition } from "../support/stanzas.ts";
import { askSlot, http, slotOf } from "../support/uploads.ts";
import { XmppClient as Client, type Where } from "../support/xmpp-client.ts";
import {
  bodyFrom,
  bookmarks,
  carbons,
  domain,
  featuresOf,
  fresh,
  info,
  items,
  online,
  open,
  type Probe,
  picture,
  shownPhoto,
} from "./compliance-stage.ts";

export const probes: Readonly<Record<string, Probe>> = {
  async "RFC 6120"({ core }) {
    const alice = await core.login("alice", { resource: "compliance" });
    expect(alice.jid).toBe(`alice@${domain}/compliance`);
    expect(errorCondition(await alice.get("<query xmlns='urn:example:unknown'/>", domain))).toBe("service-unavailable");
    alice.send("<message");
    alice.send("</wrong>");
    expect(await alice.streamError()).toBe("not-well-formed");
  },

  async "RFC 7590"({ core }) {
    const where: Where = { host: "127.0.0.1", port: core.port, domain, tls: "none" };
    const plain = await Client.connect(where);
    expect(plain.features?.toString()).toContain("required");
    expect(plain.features?.toString()).not.toMatch(/mechanism|compression/);
    // §3.1, §3.2: nothing before TLS 1.2, the newest by itself.
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT:@SECLEVEL=0" };
    const refused = open(core.directPort, old);
    let secured = false;
    refused.once("secureConnect", () => {
      secured = true;
    });
    await new Promise((resolve) => refused.once("close", resolve));
    expect(secured).toBe(false);
    const secure = open(core.directPort, {});
    await once(secure, "secureConnect");
    expect(secure.getProtocol()).toBe("TLSv1.3");
    secure.destroy();
  },

  async "XEP-0368"({ core }) {
    const socket = open(core.directPort, { ALPNProtocols: ["xmpp-client"] });
    await once(socket, "secureConnect");
    expect(socket.alpnProtocol).toBe("xmpp-client");
    socket.destroy();
    const alice = await Client.login({
      ...{ host: "127.0.0.1", port: core.directPort, domain, tls: "direct", user: "alice", password: "alice" },
    });
    await alice.ping();
  },

  async "XEP-0030"({ core }) {
    const alice = await core.login("alice");
    expect(await featuresOf(alice, domain)).toEqual(expect.arrayContaining([info, items]));
    const identities = (await alice.get(`<query xmlns='${info}'/>`, domain)).toString();
    expect(identities).toMatch(/<identity[^>]*category="server"/);
    const found = (await alice.get(`<query xmlns='${items}'/>`, domain)).getChild("query", items);
    expect(found?.getChildren("item").map(({ attrs }) => attrs.jid)).toContain(`conference.${domain}`);
  },

  async "XEP-0115"({ core }) {
    const alice = await core.login("alice");
    const caps = alice.features?.getChild("c", "http://jabber.org/protocol/caps")?.attrs ?? {};
    expect(caps.hash).toBe("sha-1");
    const named = await featuresOf(alice, domain, `${caps.node}#${caps.ver}`);
    expect(named).toEqual(await featuresOf(alice, domain));
  },

  async "XEP-0114"({ core, componentPort }) {
    const label = fresh("part");
    const component = await TestComponent.join(componentPort, `${label}.${domain}`, "secret");
    const alice = await core.login("alice");
    alice.message(`someone@${label}.${domain}`, "hello");
    await component.next("message", (stanza) => stanza.getChildText("body") === "hello");
    component.send(`<message from='someone@${label}.${domain}' to='${alice.jid}'><body>and to you</body></message>`);
    await alice.next(bodyFrom(`someone@${label}.${domain}`, "and to you"));
    component.connection.drop();
  },

  async "XEP-0163"({ core }) {
    const [alice, bob] = [await online(core, "alice"), await core.login("bob")];
    const account = (await alice.get(`<query xmlns='${info}'/>`, alice.bare)).toString();
    expect(account).toMatch(/<identity[^>]*type="pep"/);
    const node = fresh("urn:example:mood");
    const published = await publish(alice, "", node, item("current"), { access_model: "open" });
    expect(published.attrs.type).toBe("result");
    expect(ids(await fetch(bob, alice.bare, node))).toEqual(["current"]);
  },

  async "RFC 7395"({ webPort }) {
    const web = {
      host: "127.0.0.1",
      port: webPort,
      domain,
      via: "websocket",
      user: "alice",
      password: "alice",
    } as const;
    const alice = await Client.login({ ...web });
    await alice.ping();
    await alice.close();
  },

  async "XEP-0206"({ webPort }) {
    const first = String(1_000_000 + Math.floor(Math.random() * 1_000_000));
    const xmpp = "xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'";
    const body = `<body xmlns='http://jabber.org/protocol/httpbind' ${xmpp} to='${domain}' rid='${first}' wait='5' hold='1' ver='1.6' content='text/xml; charset=utf-8' xml:lang='en'/>`;
    const headers = { "content-type": "text/xml; charset=utf-8" };
    const answer = await http("POST", `https://127.0.0.1:${webPort}/http-bind/`, { headers, body });
    expect(answer.status).toBe(200);
    expect(String(answer.body)).toMatch(/<body[^>]* sid=/);
    expect(String(answer.body)).toContain("urn:ietf:params:xml:ns:xmpp-sasl");
  },

  async "RFC 6121"({ core }) {
    const [alice, bob] = [await online(core, "carol"), await online(core, "dave")];
    alice.presence("", `type='subscribe' to='${bob.bare}'`);
    await bob.next("presence", ({ attrs }) => attrs.type === "subscribe" && attrs.from === alice.bare);
    bob.presence("", `type='subscribed' to='${alice.bare}'`);
    await alice.next("roster push", (push) => push.toString().includes('subscription="to"'));
    await alice.next("presence", ({ attrs }) => attrs.from === bob.jid && attrs.type === undefined);
    alice.message(bob.bare, "good morning");
    await bob.next(bodyFrom(alice.jid, "good morning"));
    await bob.close();
    await alice.next("presence", ({ attrs }) => attrs.from === bob.jid && attrs.type === "unavailable");
  },

  async "XEP-0398"({ core }) {
    const alice = await online(core, "alice");
    expect(await featuresOf(alice, alice.bare)).toContain("urn:xmpp:pep-vcard-conversion:0");
    const { id, data } = picture();
    const encoded = data.toString("base64");
    const open = { access_model: "open" };
    const node = "urn:xmpp:avatar:";
    await publish(
      alice,
      "",
      `${node}data`,
      `<item id='${id}'><data xmlns='${node}data'>${encoded}</data></item>`,
      open,
    );
    const told = `<info bytes='${data.length}' id='${id}' type='image/png'/>`;
    const shown = `<item id='${id}'><metadata xmlns='${node}metadata'>${told}</metadata></item>`;
    await publish(alice, "", `${node}metadata`, shown, open);
    await alice.next("presence", (stanza) => stanza.attrs.from === alice.jid && shownPhoto(stanza) === id);
    const card = await alice.get("<vCard xmlns='vcard-temp'/>");
    expect(card.getChild("vCard")?.getChild("PHOTO")?.getChildText("BINVAL")?.replace(/\s/g, "")).toBe(encoded);
  },

  async "XEP-0153"({ core }) {
    const alice = await online(core, "alice");
    const { id, data } = picture();
    const photo = `<PHOTO><TYPE>image/png</TYPE><BINVAL>${data.toString("base64")}</BINVAL></PHOTO>`;
    await alice.set(`<vCard xmlns='vcard-temp'>${photo}</vCard>`);
    await alice.next("presence", (stanza) => stanza.attrs.from === alice.jid && shownPhoto(stanza) === id);
  },

  async "XEP-0054"({ core }) {
    const [bob, alice] = [await core.login("bob"), await core.login("alice")];
    expect((await bob.set("<vCard xmlns='vcard-temp'><FN>Bob Martin</FN></vCard>")).attrs.type).toBe("result");
    const card = (await alice.get("<vCard xmlns='vcard-temp'/>", bob.bare)).getChild("vCard", "vcard-temp");
    expect(card?.getChildText("FN")).toBe("Bob Martin");
    expect(await featuresOf(alice, domain)).toContain("vcard-temp");
    // Since 1.3 (§3.3): who has no card and who does not exist are answered alike.
    for (const nobody of ["carol", "nobody"])
      expect(errorCondition(await alice.get("<vCard xmlns='vcard-temp'/>", `${nobody}@${domain}`))).toBe(
        "service-unavailable",
      );
  },

  async "XEP-0280"({ core }) {
    const [desk, phone, bob] = [await online(core, "alice"), await online(core, "alice"), await online(core, "bob")];
    expect(await featuresOf(phone, domain)).toContain(carbons);
    expect((await phone.set(`<enable xmlns='${carbons}'/>`)).attrs.type).toBe("result");
    desk.message(bob.bare, "from my desk");
    const copy = await phone.next("message", (stanza) => stanza.getChild("sent", carbons) !== undefined);
    expect(copy.toString()).toContain("from my desk");
    bob.message(desk.jid, "to your desk");
    const other = await phone.next("message", (stanza) => stanza.getChild("received", carbons) !== undefined);
    expect([other.attrs.from, other.toString().includes("to your desk")]).toEqual([phone.bare, true]);
  },

  async "XEP-0191"({ core }) {
    const [alice, bob] = [await online(core, "alice"), await online(core, "bob")];
    const change = (name: string) =>
      alice.set(`<${name} xmlns='urn:xmpp:blocking'><item jid='${bob.bare}'/></${name}>`);
    expect((await change("block")).attrs.type).toBe("result");
    bob.message(alice.bare, "let me in");
    expect(errorCondition(await bob.next("message", ({ attrs }) => attrs.type === "error"))).toBe(
      "service-unavailable",
    );
    expect((await alice.get("<blocklist xmlns='urn:xmpp:blocking'/>")).toString()).toContain(bob.bare);
    expect((await change("unblock")).attrs.type).toBe("result");
  },

  async "XEP-0045"({ core }) {
    const [alice, bob] = [await online(core, "alice"), await online(core, "bob")];
    const room = `${fresh("lobby")}@conference.${domain}`;
    await makeRoom(alice, room, "Alice");
    await join(bob, room, "Bob");
    const seen = await alice.next("presence", ({ attrs }) => attrs.from === `${room}/Bob`);
    expect(seen.getChild("x", mucNs.user)?.getChild("item")?.attrs.role).toBe("participant");
    bob.send(`<message type='groupchat' to='${room}'><body>all here?</body></message>`);
    await alice.next(bodyFrom(`${room}/Bob`, "all here?"));
    bob.presence("", `type='unavailable' to='${room}/Bob'`);
    expect(codesOf(await bob.next("presence", ({ attrs }) => attrs.type === "unavailable"))).toContain(110);
    expect(await featuresOf(bob, room)).toContain(mucNs.muc);
  },

  async "XEP-0249"({ core }) {
    const [alice, bob] = [await online(core, "alice"), await online(core, "bob")];
    const room = `${fresh("den")}@conference.${domain}`;
    await makeRoom(alice, room, "Alice");
    alice.send(`<message to='${bob.bare}'><x xmlns='jabber:x:conference' jid='${room}' reason='come'/></message>`);
    const invited = await bob.next("message", (stanza) => stanza.getChild("x", "jabber:x:conference") !== undefined);
    expect(invited.getChild("x", "jabber:x:conference")?.attrs).toMatchObject({ jid: room, reason: "come" });
    await join(bob, room, "Bob");
  },

  async "XEP-0048"({ core }) {
    const alice = await online(core, "alice");
    const room = `${fresh("kept")}@conference.${domain}`;
    const storage = `<storage xmlns='storage:bookmarks'><conference jid='${room}' name='Kept' autojoin='true'/></storage>`;
    const whitelist = { access_model: "whitelist", persist_items: "true" };
    const node = "storage:bookmarks";
    const published = await publish(alice, "", node, `<item id='current'>${storage}</item>`, whitelist);
    expect(published.attrs.type).toBe("result");
    // The other two places have it too.
    expect(
      (await alice.get(`<query xmlns='jabber:iq:private'><storage xmlns='${node}'/></query>`)).toString(),
    ).toContain(room);
    expect(ids(await fetch(alice, "", bookmarks))).toContain(room);
  },

  async "XEP-0313"({ core }) {
    const [alice, bob] = [await online(core, "alice"), await online(core, "bob")];
    for (const at of [domain, alice.bare]) expect(await featuresOf(alice, at)).toContain(mam);
    const word = fresh("kept word ");
    alice.message(bob.bare, word);
    await bob.next(bodyFrom(alice.jid, word));
    const last = "<set xmlns='http://jabber.org/protocol/rsm'><max>10</max><before/></set>";
    expect((await readArchive(bob, last)).bodies).toContain(word);
    const room = `${fresh("archive")}@conference.${domain}`;
    await makeRoom(alice, room, "Alice");
    expect(await featuresOf(alice, room)).toContain(mam);
    alice.send(`<message type='groupchat' to='${room}'><body>${word}</body></message>`);
    await alice.next(bodyFrom(`${room}/Alice`, word));
    expect((await readArchive(alice, last, room)).bodies).toContain(word);
  },

  async "XEP-0402"({ core }) {
    const alice = await online(core, "alice");
    expect(await featuresOf(alice, alice.bare)).toContain(`${bookmarks}#compat`);
    const room = `${fresh("native")}@conference.${domain}`;
    const conference = `<item id='${room}'><conference xmlns='${bookmarks}' name='Native' autojoin='true'/></item>`;
    const options = { access_model: "whitelist", persist_items: "true", max_items: "max" };
    expect((await publish(alice, "", bookmarks, conference, options)).attrs.type).toBe("result");
    expect(ids(await fetch(alice, "", bookmarks))).toContain(room);
  },

  async "XEP-0410"({ core }) {
    const alice = await online(core, "alice");
    const room = `${fresh("ping")}@conference.${domain}`;
    await makeRoom(alice, room, "Alice", { persistentroom: "1" });
    const ping = () => alice.get("<ping xmlns='urn:xmpp:ping'/>", `${room}/Alice`);
    expect((await ping()).attrs.type).toBe("result");
    expect(await featuresOf(alice, room)).toContain(`${mucNs.muc}#self-ping-optimization`);
    alice.presence("", `type='unavailable' to='${room}/Alice'`);
    expect(errorCondition(await ping())).toBe("not-acceptable");
  },

  async "XEP-0223"({ core }) {
    const [alice, bob] = [await core.login("alice"), await core.login("bob")];
    const node = fresh("urn:example:private");
    const options = { access_model: "whitelist", persist_items: "true" };
    expect((await publish(alice, "", node, item("mine"), options)).attrs.type).toBe("result");
    expect(ids(await fetch(alice, "", node))).toEqual(["mine"]);
    expect((await fetch(bob, alice.bare, node)).attrs.type).toBe("error");
    expect(await featuresOf(alice, alice.bare)).toContain("http://jabber.org/protocol/pubsub#publish-options");
  },

  async "XEP-0049"({ core }) {
    const alice = await core.login("alice");
    const stored = "<settings xmlns='urn:example:settings'><colour>blue</colour></settings>";
    expect((await alice.set(`<query xmlns='jabber:iq:private'>${stored}</query>`)).attrs.type).toBe("result");
    const answer = await alice.get("<query xmlns='jabber:iq:private'><settings xmlns='urn:example:settings'/></query>");
    expect(answer.toString()).toContain("<colour>blue</colour>");
  },

  async "XEP-0198"({ core }) {
    const alice = await core.login("alice", { sm: true });
    expect(alice.features?.getChild("sm", "urn:xmpp:sm:3")).toBeDefined();
    const bob = await online(core, "bob");
    alice.drop();
    const word = fresh("while you were away ");
    bob.message(alice.jid, word);
    await bob.ping();
    await alice.resume();
    await alice.next(bodyFrom(bob.jid, word));
    expect(await alice.requestAck()).toBe(0);
  },

  async "XEP-0363"({ core }) {
    const alice = await core.login("alice");
    const found =
      (await alice.get(`<query xmlns='${items}'/>`, domain)).getChild("query", items)?.getChildren("item") ?? [];
    const at = `upload.${domain}`;
    expect(found.map(({ attrs }) => attrs.jid)).toContain(at);
    expect(await featuresOf(alice, at)).toContain("urn:xmpp:http:upload:0");
    const body = "a file";
    const slot = slotOf(await askSlot(alice, { size: body.length, type: "text/plain" }));
    const headers = { ...slot.headers, "content-type": "text/plain" };
    expect((await http("PUT", slot.put, { headers, body })).status).toBe(201);
    expect(String((await http("GET", slot.get)).body)).toBe(body);
  },

  async "XEP-0352"({ core }) {
    const [alice, bob] = [await online(core, "alice"), await online(core, "bob")];
    expect(alice.features?.getChild("csi", "urn:xmpp:csi:0")).toBeDefined();
    alice.send("<inactive xmlns='urn:xmpp:csi:0'/>");
    await alice.ping();
    const composing = `<message type='chat' to='${alice.jid}'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`;
    bob.send(composing);
    const isComposing = (stanza: Element) => stanza.is("message") && stanza.getChild("composing") !== undefined;
    await alice.none(isComposing, undefined, bob);
    bob.message(alice.jid, "look here");
    await alice.next(bodyFrom(bob.jid, "look here"));
    bob.send(composing);
    await bob.ping();
    alice.send("<active xmlns='urn:xmpp:csi:0'/>");
    await alice.next(isComposing);
  },

  async "XEP-0357"({ core, componentPort }) {
    const label = fresh("push");
    const server = await TestComponent.join(componentPort, `${label}.${domain}`, "secret");
    const alice = await core.login("alice", { sm: true });
    expect(await featuresOf(alice, alice.bare)).toContain("urn:xmpp:push:0");
    const enable = `<enable xmlns='urn:xmpp:push:0' jid='${label}.${domain}' node='device'/>`;
    expect((await alice.set(enable)).attrs.type).toBe("result");
    alice.presence();
    await alice.ping();
    alice.drop();
    const bob = await online(core, "bob");
    bob.message(alice.bare, "are you there?");
    const pushed = await server.next("iq", (stanza) => stanza.getChild("pubsub") !== undefined);
    expect(pushed.getChild("pubsub")?.getChild("publish")?.attrs.node).toBe("device");
    server.send(`<iq type='result' id='${pushed.attrs.id}' from='${pushed.attrs.to}' to='${pushed.attrs.from}'/>`);
    await alice.resume();
    await alice.set(`<disable xmlns='urn:xmpp:push:0' jid='${label}.${domain}'/>`);
    server.connection.drop();
  },

  async "XEP-0215"({ core }) {
    const alice = await core.login("alice");
    const ns = "urn:xmpp:extdisco:2";
    expect(await featuresOf(alice, domain)).toContain(ns);
    const answer = await alice.get(`<services xmlns='${ns}' type='turn'/>`, domain);
    const [relay] = answer.getChild("services", ns)?.getChildren("service") ?? [];
    expect(relay?.attrs).toMatchObject({ host: domain, port: "3478", transport: "udp", restricted: "true" });
    expect([relay?.attrs.username, relay?.attrs.password].every(Boolean)).toBe(true);
  },
};
