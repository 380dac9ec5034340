import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import { admin, at, body, create, itemOf, muc, presenceOf, say, statusCodes } from "./rooms-fixture.ts";

// XEP-0045 for people behind a component
let core: TestCore;
let port: number;
beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    users: ["alice", "bob"],
    properties: {
      ...takesComponents(port, "secret"),
    },
  });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

const guest = "zoe@irc.localhost/net";

test("somebody behind a component is an occupant as any other, until the component is gone", async () => {
  const alice = await core.login("alice");
  await create(alice, "open", "Alice", { persistentroom: "1" });
  const irc = await TestComponent.join(port, "irc.localhost", "secret");
  irc.send(`<presence from='${guest}' to='${at("open", "Zoe")}'><x xmlns='${muc}'/></presence>`);
  const self = await irc.next("presence", (p) => presenceOf("open", "Zoe")(p) && statusCodes(p).includes("110"));
  expect(self.attrs.to).toBe(guest);
  const seen = await alice.next("presence", presenceOf("open", "Zoe"));
  expect(itemOf(seen)).toMatchObject({ jid: guest, affiliation: "none", role: "participant" });

  irc.send(`<message from='${guest}' to='${at("open")}' type='groupchat' id='z1'><body>hi from IRC</body></message>`);
  const heard = await alice.next(body("hi from IRC"));
  const id = (stanza: typeof seen) => stanza.getChild("occupant-id", "urn:xmpp:occupant-id:0")?.attrs.id;
  expect([heard.attrs.from, id(heard)]).toEqual([at("open", "Zoe"), id(seen)]);
  say(alice, "open", "welcome");
  expect((await irc.next(body("welcome"))).attrs.to).toBe(guest);
  alice.send(`<message to='${at("open", "Zoe")}' type='chat'><body>just you</body></message>`);
  const pm = await irc.next(body("just you"));
  expect([pm.attrs.from, pm.attrs.to, pm.getChild("x", `${muc}#user`) !== undefined]).toEqual([
    at("open", "Alice"),
    guest,
    true,
  ]);
  expect((await irc.iq("get", at("open", "Zoe"), "<ping xmlns='urn:xmpp:ping'/>", guest)).attrs.type).toBe("result");
  const list = "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query>";
  expect((await irc.iq("get", at("open"), list, guest)).attrs.type).toBe("error");
  await admin(alice, "open", "<item affiliation='member' jid='zoe@irc.localhost'/>");
  await alice.next("presence", (p) => presenceOf("open", "Zoe")(p) && itemOf(p).affiliation === "member");

  irc.connection.end();
  await irc.connection.ended;
  say(alice, "open", "anybody there?");
  expect(statusCodes(await alice.next("presence", presenceOf("open", "Zoe", "unavailable")))).toEqual(["333"]);
});
