import type { Element } from "ltx";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  inboundChanges,
  outboundChanges,
  type State,
  type SubscriptionKind,
  standingOf,
  stateOf,
} from "../../xmpp-core/modules/roster/states.ts";
import { startTestCore, type TestCore } from "../support/core.ts";
import { errorCondition, ns } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

// RFC 6121 §3 and appendix A
let core: TestCore;
beforeAll(async () => {
  core = await startTestCore();
});
afterAll(() => core.close());
afterEach(() => XmppClient.dropAll());

/** Appendix A as printed: what the user sends, whether it is passed on, and the new state. */
const sent: Record<SubscriptionKind, Record<State, [routed: boolean, next: State]>> = {
  subscribe: {
    none: [true, "none+out"],
    "none+out": [true, "none+out"],
    "none+in": [true, "none+out+in"],
    "none+out+in": [true, "none+out+in"],
    to: [true, "to"],
    "to+in": [true, "to+in"],
    from: [true, "from+out"],
    "from+out": [true, "from+out"],
    both: [true, "both"],
  },
  unsubscribe: {
    none: [true, "none"],
    "none+out": [true, "none"],
    "none+in": [true, "none+in"],
    "none+out+in": [true, "none+in"],
    to: [true, "none"],
    "to+in": [true, "none+in"],
    from: [true, "from"],
    "from+out": [true, "from"],
    both: [true, "from"],
  },
  subscribed: {
    none: [false, "none"],
    "none+out": [false, "none+out"],
    "none+in": [true, "from"],
    "none+out+in": [true, "from+out"],
    to: [false, "to"],
    "to+in": [true, "both"],
    from: [false, "from"],
    "from+out": [false, "from+out"],
    both: [false, "both"],
  },
  unsubscribed: {
    none: [false, "none"],
    "none+out": [false, "none+out"],
    "none+in": [true, "none"],
    "none+out+in": [true, "none+out"],
    to: [false, "to"],
    "to+in": [true, "to"],
    from: [true, "none"],
    "from+out": [true, "none+out"],
    both: [true, "to"],
  },
};

/** What comes in: whether the user hears of it, and the new state. */
const got: Record<SubscriptionKind, Record<State, [delivered: boolean, next: State]>> = {
  subscribe: {
    none: [true, "none+in"],
    "none+out": [true, "none+out+in"],
    "none+in": [false, "none+in"],
    "none+out+in": [false, "none+out+in"],
    to: [true, "to+in"],
    "to+in": [false, "to+in"],
    from: [false, "from"],
    "from+out": [false, "from+out"],
    both: [false, "both"],
  },
  unsubscribe: {
    none: [false, "none"],
    "none+out": [false, "none+out"],
    "none+in": [true, "none"],
    "none+out+in": [true, "none+out"],
    to: [false, "to"],
    "to+in": [true, "to"],
    from: [true, "none"],
    "from+out": [true, "none+out"],
    both: [true, "to"],
  },
  subscribed: {
    none: [false, "none"],
    "none+out": [true, "to"],
    "none+in": [false, "none+in"],
    "none+out+in": [true, "to+in"],
    to: [false, "to"],
    "to+in": [false, "to+in"],
    from: [false, "from"],
    "from+out": [true, "both"],
    both: [false, "both"],
  },
  unsubscribed: {
    none: [false, "none"],
    "none+out": [true, "none"],
    "none+in": [false, "none+in"],
    "none+out+in": [true, "none+in"],
    to: [true, "none"],
    "to+in": [true, "none+in"],
    from: [false, "from"],
    "from+out": [true, "from"],
    both: [true, "from"],
  },
};

/** How the user (u) and the contact (c) get into a state of the user. */
const ways: Record<State, readonly (readonly ["u" | "c", SubscriptionKind])[]> = {
  none: [],
  "none+out": [["u", "subscribe"]],
  "none+in": [["c", "subscribe"]],
  "none+out+in": [
    ["u", "subscribe"],
    ["c", "subscribe"],
  ],
  to: [
    ["u", "subscribe"],
    ["c", "subscribed"],
  ],
  "to+in": [
    ["u", "subscribe"],
    ["c", "subscribed"],
    ["c", "subscribe"],
  ],
  from: [
    ["c", "subscribe"],
    ["u", "subscribed"],
  ],
  "from+out": [
    ["c", "subscribe"],
    ["u", "subscribed"],
    ["u", "subscribe"],
  ],
  both: [
    ["u", "subscribe"],
    ["c", "subscribed"],
    ["c", "subscribe"],
    ["u", "subscribed"],
  ],
};

/** The same state as the other side has it. */
function mirrored(state: State): State {
  const { subscription, pendingIn, pendingOut } = standingOf(state);
  const other = ({ none: "none", to: "from", from: "to", both: "both" } as const)[subscription];
  return stateOf({ subscription: other, pendingIn: pendingOut, pendingOut: pendingIn });
}

const states = Object.keys(ways) as State[];
const kinds = Object.keys(sent) as SubscriptionKind[];

let people = 0;
async function pair(): Promise<{ u: XmppClient; c: XmppClient }> {
  const names = [`user${++people}`, `contact${people}`] as const;
  for (const name of names) await core.addUser(name);
  return { u: await online(names[0]), c: await online(names[1]) };
}

async function online(user: string, resource?: string): Promise<XmppClient> {
  const client = await core.login(user, resource === undefined ? {} : { resource });
  await client.roster();
  client.presence();
  await client.next("presence", (stanza) => stanza.attrs.from === client.jid);
  return client;
}

function send(from: XmppClient, kind: SubscriptionKind, to: XmppClient, inside = ""): Promise<void> {
  from.presence(inside, `type='${kind}' to='${to.bare}'`);
  return from.ping();
}

/** The state of `client` with `other`, as a new login of his sees it. */
async function stateOfPair(client: XmppClient, other: XmppClient): Promise<State> {
  const later = await core.login(client.bare.split("@")[0] ?? "");
  const { contacts } = await later.roster();
  later.presence();
  await later.ping();
  const pendingIn = later.connection.inbox.some((stanza) => isKind(stanza, "subscribe", other));
  later.drop();
  const contact = contacts.get(other.bare);
  const subscription = (contact?.subscription ?? "none") as "none";
  return stateOf({ subscription, pendingOut: contact?.ask === "subscribe", pendingIn });
}

function isKind(stanza: Element, kind: SubscriptionKind, from: XmppClient): boolean {
  return stanza.is("presence") && stanza.attrs.type === kind && stanza.attrs.from === from.bare;
}

describe.each(kinds)("%s", (kind) => {
  test.each(states)("from a user in the state %s", async (state) => {
    const { u, c } = await pair();
    const clients = { u, c };
    for (const [who, step] of ways[state]) await send(clients[who], step, who === "u" ? c : u);
    await c.ping();
    c.connection.inbox.length = 0;
    await send(u, kind, c);
    await c.ping();
    const [routed, next] = sent[kind][state];
    const [delivered, contactNext] = routed ? got[kind][mirrored(state)] : ([false, mirrored(state)] as const);
    expect(c.connection.inbox.filter((stanza) => isKind(stanza, kind, u)).length).toBe(delivered ? 1 : 0);
    expect(await stateOfPair(u, c)).toBe(next);
    expect(await stateOfPair(c, u)).toBe(contactNext);
  });

  // What two sides of one server never say to each other is proven on the tables themselves.
  test.each(states)("its tables say of %s what the appendix prints", (state) => {
    expect(outboundChanges[kind][state] ?? state).toBe(sent[kind][state][1]);
    expect(inboundChanges[kind][state] ?? state).toBe(got[kind][state][1]);
  });
});

test("a request keeps its text, waits on disk, and comes at every login until it is answered", async () => {
  const { u, c } = await pair();
  await c.close();
  u.send(`<presence type='subscribe' id='r1' to='${c.jid}'><status>It is me</status></presence>`);
  expect((await u.next("roster push")).getChild("query")?.getChild("item")?.attrs.ask).toBe("subscribe");
  await core.crash();
  for (let login = 0; login < 2; login++) {
    const again = await core.login(c.bare.split("@")[0] ?? "");
    await again.roster();
    await again.none("presence");
    again.presence();
    const request = await again.next("presence", (stanza) => stanza.attrs.type === "subscribe");
    expect(request.attrs).toMatchObject({ from: u.bare, to: c.bare, id: "r1" });
    expect(request.getChildText("status")).toBe("It is me");
    if (login === 1) await send(again, "unsubscribed", u);
    await again.close();
  }
  const answered = await online(c.bare.split("@")[0] ?? "");
  await answered.none("presence", (stanza) => stanza.attrs.type === "subscribe");
});

test("granting: the asker hears it, gets a push, then the presence of the contact", async () => {
  const { u, c } = await pair();
  const second = await online(c.bare.split("@")[0] ?? "", "second");
  await send(u, "subscribe", c);
  for (const client of [c, second]) await client.next("presence", (stanza) => isKind(stanza, "subscribe", u));
  await u.next("roster push");
  await send(c, "subscribed", u);
  const granted = await u.next((stanza) => stanza.is("presence") || stanza.is("iq"));
  expect(granted.attrs).toMatchObject({ type: "subscribed", from: c.bare });
  const push = await u.next((stanza) => stanza.is("presence") || stanza.is("iq"));
  expect(push.getChild("query")?.getChild("item")?.attrs).toMatchObject({ jid: c.bare, subscription: "to" });
  const seen = [await u.next("presence"), await u.next("presence")].map((stanza) => stanza.attrs.from).sort();
  expect(seen).toEqual([c.jid, second.jid].sort());
  // Both resources of the contact learn of it.
  for (const client of [c, second])
    expect((await client.next("roster push")).getChild("query")?.getChild("item")?.attrs.subscription).toBe("from");
  // The contact sees nothing of the user in turn.
  await c.none("presence", (stanza) => stanza.attrs.from === u.jid, u);
});

test("cancelling: presence ends at once", async () => {
  const { u, c } = await pair();
  for (const [who, kind] of ways.both) await send({ u, c }[who], kind, who === "u" ? c : u);
  await u.ping();
  u.connection.inbox.length = 0;
  await send(c, "unsubscribed", u);
  expect((await u.next("presence")).attrs).toMatchObject({ type: "unsubscribed", from: c.bare });
  expect((await u.next("presence")).attrs).toMatchObject({ type: "unavailable", from: c.jid });
  c.presence("<show>dnd</show>");
  await u.none("presence", () => true, c);
  await send(c, "unsubscribe", u);
  await c.next("presence", (stanza) => stanza.attrs.type === "unavailable" && stanza.attrs.from === u.jid);
});

test("removing a contact cancels everything in both directions", async () => {
  const { u, c } = await pair();
  for (const [who, kind] of ways.both) await send({ u, c }[who], kind, who === "u" ? c : u);
  await u.ping();
  await c.ping();
  c.connection.inbox.length = 0;
  await u.set(`<query xmlns='${ns.roster}'><item jid='${c.bare}' subscription='remove'/></query>`);
  const heard = [await c.next("presence"), await c.next("presence")].map((stanza) => stanza.attrs.type);
  expect(heard).toEqual(["unsubscribe", "unsubscribed"]);
  await c.next("presence", (stanza) => stanza.attrs.type === "unavailable" && stanza.attrs.from === u.jid);
  await u.next("presence", (stanza) => stanza.attrs.type === "unavailable" && stanza.attrs.from === c.jid);
  const last = await c.next(
    "roster push",
    (push) => push.getChild("query")?.getChild("item")?.attrs.subscription === "none",
  );
  expect(last.getChild("query")?.getChild("item")?.attrs.jid).toBe(u.bare);
  expect(await stateOfPair(u, c)).toBe("none");
  expect((await u.roster()).contacts.size).toBe(0);
});

test("pre-approval answers the request when it comes, once, and can be taken back", async () => {
  const { u, c } = await pair();
  await send(u, "subscribed", c);
  expect((await u.next("roster push")).getChild("query")?.getChild("item")?.attrs).toMatchObject({
    jid: c.bare,
    subscription: "none",
    approved: "true",
  });
  await c.none("presence", (stanza) => stanza.attrs.from === u.bare, u);
  await send(c, "subscribe", u);
  await c.next("presence", (stanza) => isKind(stanza, "subscribed", u));
  await u.none("presence", (stanza) => stanza.attrs.type === "subscribe");
  const item = (await u.next("roster push")).getChild("query")?.getChild("item");
  expect(item?.attrs).toEqual({ jid: c.bare, subscription: "from" });

  const { u: second, c: late } = await pair();
  await send(second, "subscribed", late);
  await send(second, "unsubscribed", late);
  await send(late, "subscribe", second);
  await second.next("presence", (stanza) => isKind(stanza, "subscribe", late));
});

test("a name that nobody has is asked in silence, and tells nothing", async () => {
  const { u } = await pair();
  u.presence("", "type='subscribe' to='nobody-here@localhost'");
  await u.next("roster push", (push) => push.getChild("query")?.getChild("item")?.attrs.ask === "subscribe");
  await u.none("presence", (stanza) => stanza.attrs.type === "error");
});

test.each([
  ["type='subscribe' to='someone@else.example'", "remote-server-not-found"],
  ["type='subscribe' to='bob'", "jid-malformed"],
  ["type='subscribe' to='proxy'", "jid-malformed"],
  ["type='subscribe'", "bad-request"],
  ["type='subscribe' to='localhost'", "service-unavailable"],
])("presence %s is refused with %s", async (attributes, condition) => {
  const { u } = await pair();
  u.presence("", attributes);
  expect(errorCondition(await u.next("presence", (stanza) => stanza.attrs.type === "error"))).toBe(condition);
  expect((await u.roster()).contacts.size).toBe(0);
});

test("who is blocked asks in vain and hears nothing", async () => {
  const { u, c } = await pair();
  await c.set(`<block xmlns='urn:xmpp:blocking'><item jid='${u.bare}'/></block>`);
  await send(u, "subscribe", c);
  await u.none("presence", (stanza) => stanza.attrs.type === "error");
  await c.none("presence", (stanza) => stanza.attrs.type === "subscribe", u);
  await send(c, "subscribe", u);
  expect(errorCondition(await c.next("presence", (stanza) => stanza.attrs.type === "error"))).toBe("not-acceptable");
});
