import { afterAll, beforeAll, expect, test } from "vitest";
import { ClientStream } from "../../xmpp-core/stream/client-stream.ts";
import { TestComponent, takesComponents } from "../support/component.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { manualClock } from "../support/manual-clock.ts";
import { random as seeded } from "../support/seeded-random.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

/**
 * An hour of a busy person's telephone: 200 contacts whose presence changes three times, 20 rooms of 30 people where
 * 1,200 things are said (six of them to her) and 400 people come or go, twelve messages with typing before and receipts
 * behind, 40 things published, each at the second that the seed has. docs/mobile.md
 */
const contacts = 200;
const rooms = 20;
const people = 30;
const clock = manualClock();
let core: TestCore;
let world: TestComponent;
beforeAll(async () => {
  const port = await freePort();
  core = await startTestCore({
    users: ["alice"],
    clock,
    properties: {
      ...takesComponents(port, "secret"),
      "xmpp.component.idle": "-1",
    },
  });
  world = await TestComponent.join(port, "world", "secret");
});
afterAll(async () => {
  world.connection.end();
  await world.connection.ended;
  await core.close();
});

interface Cost {
  readonly bytes: number;
  /** Seconds in which anything is written. */
  readonly wakeUps: number;
  /** Of them those in which there is nothing but the question whether the client is still there. */
  readonly pings: number;
}

/** Everything that happens, with the second in which it does. */
function hour(): { readonly at: number; readonly what: string }[] {
  const random = seeded(6);
  const events: { at: number; what: string }[] = [];
  const some = (n: number, make: (i: number) => string): void => {
    for (let i = 0; i < n; i++) events.push({ at: Math.floor(random() * 3600), what: make(i) });
  };
  const one = (below: number): number => Math.floor(random() * below);
  const contact = (n: number): string => `c${n}@world.localhost/phone`;
  const shows = ["away", "xa", "dnd", "chat"];
  some(contacts * 3, (i) => {
    const show = `<show>${shows[one(4)]}</show><status>at desk ${one(40)}</status>`;
    return `<presence from='${contact(i % contacts)}' to='alice@localhost'>${show}<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/></presence>`;
  });
  const speaker = (): string => `from='o${one(people)}@world.localhost/x'`;
  some(rooms * 60, (i) => {
    const said = i < 6 ? "Alice: would you look at this?" : "and then there was something about the other thing again";
    return `<message ${speaker()} to='room${i % rooms}@conference.localhost' type='groupchat' id='m${i}'><body>${said}</body></message>`;
  });
  some(rooms * 20, (i) => {
    const show = `<show>${shows[one(4)]}</show>`;
    const nick = one(people);
    return `<presence from='o${nick}@world.localhost/x' to='room${i % rooms}@conference.localhost/o${nick}'>${show}</presence>`;
  });
  const chat = (from: number, inside: string): string =>
    `<message from='${contact(from)}' to='alice@localhost' type='chat'>${inside}</message>`;
  const state = (name: string): string => `<${name} xmlns='http://jabber.org/protocol/chatstates'/>`;
  for (let i = 0; i < 12; i++) {
    const at = one(3500);
    for (const [later, inside] of [
      [0, state("composing")],
      [4, state("paused")],
      [6, state("composing")],
      [9, `<body>message ${i}</body>${state("active")}`],
      [12, "<displayed xmlns='urn:xmpp:chat-markers:0' id='x'/>"],
      [13, "<received xmlns='urn:xmpp:receipts' id='x'/>"],
    ] as const)
      events.push({ at: at + later, what: chat(i, inside) });
  }
  some(40, (i) => {
    const item = `<item id='current'><tune xmlns='http://jabber.org/protocol/tune'><title>song ${i}</title></tune></item>`;
    return `<message from='${contact(i % 10)}' to='alice@localhost' type='headline'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='http://jabber.org/protocol/tune'>${item}</items></event></message>`;
  });
  return events.sort((a, b) => a.at - b.at);
}

/** What goes out to the session in an hour, before TLS. */
async function live(phone: XmppClient): Promise<Cost> {
  const { accounts, names, sessions } = core.server;
  const alice = accounts.get(names.primary.id, "alice");
  const session = alice && sessions.get(alice, phone.jid.split("/")[1] ?? "");
  if (session === undefined) throw new Error("no session");
  let bytes = 0;
  let written = false;
  const { carrier } = session;
  if (!(carrier instanceof ClientStream)) throw new Error("no stream");
  let asked = false;
  session.outbound.attach({
    write(data) {
      bytes += Buffer.byteLength(data);
      if (data.includes("urn:xmpp:ping") || data.includes("<r ")) {
        asked = true;
        carrier.wire.write(data);
      } else written = true;
    },
  });
  let wakeUps = 0;
  let pings = 0;
  let second = 0;
  const count = (): void => {
    if (asked && !written) pings++;
    if (asked || written) wakeUps++;
    written = false;
  };
  /** A telephone says that it is there. */
  const answered = async (): Promise<void> => {
    while (asked && carrier.heardAt !== clock.now()) await new Promise((next) => setImmediate(next));
    asked = false;
  };
  for (const { at, what } of hour()) {
    if (at > second) {
      // Everything of this second is handled and on disk.
      await world.ping();
      await core.server.storage.write([]);
      count();
      await answered();
    }
    for (; second < at; second++) {
      clock.pass(1000);
      count();
      await answered();
    }
    world.send(what);
  }
  await world.ping();
  count();
  return { bytes, wakeUps, pings };
}

test("an hour costs a client that nobody looks at a twentieth of the wake-ups", { timeout: 300_000 }, async () => {
  const setUp = await core.login("alice", { resource: "setup" });
  await setUp.roster();
  setUp.presence();
  for (let i = 0; i < contacts; i++) setUp.presence("", `type='subscribe' to='c${i}@world.localhost'`);
  for (let i = 0; i < contacts; i++) {
    await world.next("presence", (p) => p.attrs.type === "subscribe");
    world.send(`<presence type='subscribed' from='c${i}@world.localhost' to='alice@localhost'/>`);
  }
  await world.ping();
  await setUp.close();
  const cost: Cost[] = [];
  // In the middle: asked as often whether it is there as if somebody looked.
  for (const [state, idle] of [
    ["active", null],
    ["inactive", "0"],
    ["inactive", null],
  ] as const) {
    await core.set({ "firekeeper.csi.idle": idle });
    const phone = await core.login("alice", { resource: state, sm: true });
    phone.presence();
    for (let i = 0; i < rooms; i++) {
      const room = `room${i}@conference.localhost`;
      phone.presence("<x xmlns='http://jabber.org/protocol/muc'/>", `to='${room}/Alice'`);
      await phone.next("message", (m) => m.attrs.from.startsWith(room) && m.getChild("subject") !== undefined);
      if (state === "active")
        await phone.set(
          "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>",
          room,
        );
      for (let j = 0; j < people; j++)
        world.send(
          `<presence from='o${j}@world.localhost/x' to='${room}/o${j}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>`,
        );
      await world.ping();
    }
    phone.send(`<${state} xmlns='urn:xmpp:csi:0'/>`);
    await phone.ping();
    cost.push(await live(phone));
    phone.drop();
  }
  const [active, asked, inactive] = cost as [Cost, Cost, Cost];
  process.stdout.write(`${JSON.stringify({ active, asked, inactive })}\n`);
  expect(asked.pings).toBeGreaterThan(inactive.pings + 5);
  expect(inactive.wakeUps).toBeLessThan(active.wakeUps / 20);
  expect(inactive.bytes).toBeLessThan(active.bytes);
});
