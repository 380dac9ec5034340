import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Account } from "../../xmpp-core/routing/accounts.ts";
import type { Write } from "../../xmpp-core/storage/statement.ts";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import {
  affiliate,
  create,
  event,
  fetch,
  ids,
  item,
  publish,
  refusal,
  subscribe,
  subscription,
  told,
} from "../support/pubsub.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// Nodes when names change: of the domain, of persons, and for those who are elsewhere.
const [before, after] = ["old.example", "new.example"];
let core: TestCore;
let port = 0;
beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    domain: before,
    users: ["alice", "bob", "carol", "dave"],
    properties: {
      ...takesComponents(port, "secret"),
    },
  });
});
afterEach(() => XmppClient.dropAll());
afterAll(() => core.close());

async function online(user: string, resource: string, domain = before): Promise<XmppClient> {
  const client = await core.login(user, { resource, domain });
  client.presence();
  await client.next("presence");
  return client;
}
const account = (name: string): Account => {
  const found = core.server.accounts.get(core.server.names.primary.id, name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};

test("somebody behind a component subscribes, hears, publishes and reads", async () => {
  const at = `pubsub.${before}`;
  const irc = await TestComponent.join(port, `irc.${before}`, "secret");
  const alice = await online("alice", "desk");
  await create(alice, at, "news", { publish_model: "open" });
  const ask = (type: string, inside: string) => {
    const id = alice.newId();
    irc.send(
      `<iq type='${type}' id='${id}' from='kim@irc.${before}/x' to='${at}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>${inside}</pubsub></iq>`,
    );
    return irc.next("iq", (iq) => iq.attrs.id === id);
  };
  expect(subscription(await ask("set", `<subscribe node='news' jid='kim@irc.${before}'/>`)).subscription).toBe(
    "subscribed",
  );
  expect(refusal(await ask("set", `<subscribe node='news' jid='alice@${before}'/>`))).toBe("bad-request invalid-jid");
  await publish(alice, at, "news", item("a"));
  const message = await irc.next("message");
  expect(told(message)).toBe("items a");
  expect(message.attrs).toMatchObject({ from: at, to: `kim@irc.${before}` });
  expect((await ask("set", `<publish node='news'>${item("b")}</publish>`)).attrs.type).toBe("result");
  expect(ids(await ask("get", "<items node='news'/>"))).toEqual(["a", "b"]);
  const answer = await fetch(alice, at, "news");
  expect(answer.toString()).toContain(`publisher="kim@irc.${before}"`);
  irc.connection.end();
  await irc.connection.ended;
});

test("who is renamed keeps nodes, rights and subscriptions; who takes his name has none of them", async () => {
  const at = `pubsub.${before}`;
  const alice = await online("alice", "desk");
  const dave = await online("dave", "home");
  await create(alice, at, "club", { access_model: "whitelist" });
  await affiliate(alice, at, "club", { [`dave@${before}`]: "member" });
  await subscribe(dave, at, "club");
  await publish(dave, "", "urn:example:own", item("mine"));
  const { accounts, storage, handlers } = core.server;
  const person = account("dave");
  await storage.write(accounts.rename(person, "david"));
  for (const each of handlers) each.account?.renamed?.(person, "dave");
  dave.drop();
  const david = await core.login("david", { password: "dave", domain: before });
  david.presence();
  await david.next("presence");
  await publish(alice, at, "club", item("a"));
  expect((await event(david, "club")).attrs.to).toBe(`david@${before}`);
  expect(ids(await fetch(david, "", "urn:example:own"))).toEqual(["mine"]);
  await core.addUser("dave");
  const another = await online("dave", "new");
  expect(refusal(await fetch(another, at, "club"))).toBe("not-allowed closed-node");
  expect(refusal(await fetch(another, "", "urn:example:own"))).toBe("item-not-found");
});

test("who is removed leaves nothing: no nodes, no rights, no subscriptions", async () => {
  const at = `pubsub.${before}`;
  const alice = await online("alice", "desk");
  const carol = await online("carol", "home");
  await create(alice, at, "circle");
  await subscribe(carol, at, "circle");
  await affiliate(alice, at, "circle", { [`carol@${before}`]: "publisher" });
  await publish(carol, "", "urn:example:own", item("mine"));
  const { accounts, storage, handlers, sessions } = core.server;
  const person = account("carol");
  for (const session of [...person.sessions]) sessions.end(session, "ended");
  const writes: Write[] = handlers.flatMap((each) => each.account?.removed?.(person) ?? []);
  await storage.write([...writes, ...accounts.remove(person)]);
  await core.addUser("carol");
  const another = await online("carol", "new");
  expect(refusal(await fetch(another, "", "urn:example:own"))).toBe("item-not-found");
  expect(refusal(await publish(another, at, "circle", item("a")))).toBe("forbidden");
  const left = await core.server.storage.read({
    ...{
      id: 999_999,
      sql: "SELECT (SELECT count(*) FROM pubsub_subscription s JOIN pubsub_node n ON n.id = s.node WHERE n.name = 'circle') AS n",
    },
  });
  expect(left).toEqual([{ n: 0 }]);
});

test("under another name of the domain nodes are the same, and addresses in declared places follow", async () => {
  const desk = await online("alice", "desk");
  const room = (domain: string) =>
    `<item id='r1@conference.${domain}'><conference xmlns='urn:xmpp:bookmarks:1' name='said at old.example'/></item>`;
  await publish(desk, "", "urn:xmpp:bookmarks:1", room(before) + item("x@rooms.elsewhere.example"));
  const legacy = `<item id='current'><storage xmlns='storage:bookmarks'><conference jid='r1@conference.${before}'/></storage></item>`;
  await create(desk, `pubsub.${before}`, "both", { contact: `bob@${before}` });
  const bob = await online("bob", "home");
  await subscribe(bob, `pubsub.${before}`, "both");
  await publish(bob, "", "storage:bookmarks", legacy);
  await core.rename(after, null);
  const phone = await online("alice", "phone", after);
  const marks = await fetch(phone, "", "urn:xmpp:bookmarks:1");
  expect(ids(marks)).toEqual([`r1@conference.${after}`, "x@rooms.elsewhere.example"]);
  expect(marks.toString()).toContain("said at old.example");
  expect(marks.toString()).toContain(`publisher="alice@${after}"`);
  expect(ids(await fetch(desk, "", "urn:xmpp:bookmarks:1"))[0]).toBe(`r1@conference.${before}`);
  // The same item under the other name is no second one.
  await publish(phone, "", "urn:xmpp:bookmarks:1", room(after));
  expect(ids(await fetch(phone, "", "urn:xmpp:bookmarks:1", `<item id='r1@conference.${before}'/>`))).toHaveLength(1);
  expect(ids(await fetch(phone, "", "urn:xmpp:bookmarks:1"))).toHaveLength(2);
  await publish(phone, `pubsub.${after}`, "both", item("a"));
  const message = await event(bob, "both");
  expect(message.attrs).toMatchObject({ from: `pubsub.${before}`, to: `bob@${before}` });
  expect(message.toString()).toContain(`publisher="alice@${before}"`);
  const newBob = await online("bob", "new", after);
  expect((await fetch(newBob, "", "storage:bookmarks")).toString()).toContain(`jid="r1@conference.${after}"`);
  await publish(desk, `pubsub.${before}`, "both", item("b"));
  expect((await event(newBob, "both")).attrs).toMatchObject({ from: `pubsub.${after}`, to: `bob@${after}` });
  const info = await phone.get("<query xmlns='http://jabber.org/protocol/disco#info' node='both'/>", `pubsub.${after}`);
  expect(info.toString()).toContain(`<value>bob@${after}</value>`);
});
