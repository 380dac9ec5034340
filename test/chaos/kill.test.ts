import type { Element } from "ltx";
import { expect, test } from "vitest";
import { type Service, startService } from "../support/processes.ts";
import { random } from "../support/seeded-random.ts";
import { XmppClient } from "../support/xmpp-client.ts";

/**
 * The promise "an ack means committed", tried by force: twenty people send at random, the core is killed at random,
 * managed clients resume, the others log in again. Afterwards per pair in order, each message once by archive id,
 * the server's count never falls. KILL_ROUNDS and KILL_SEED choose how often and which.
 */
const rounds = Number(process.env.KILL_ROUNDS ?? 5);
const seed = Number(process.env.KILL_SEED ?? 20261121);
const people = 20;
const sendsPerRound = 120;

class Person {
  readonly name: string;
  readonly managed: boolean;
  client!: XmppClient;
  /** What was sent to each other, in order. */
  readonly sent = new Map<string, string[]>();
  /** What came from each other, in order, and its archive ids. */
  readonly received = new Map<string, string[]>();
  readonly ids = new Map<string, string>();
  handledByServer = 0;

  constructor(name: string, managed: boolean) {
    this.name = name;
    this.managed = managed;
  }

  /** Takes everything that has arrived out of the inbox. */
  collect(): void {
    const { inbox } = this.client.connection;
    for (const stanza of inbox.splice(0, inbox.length)) if (stanza.is("message")) this.take(stanza);
  }

  private take(message: Element): void {
    const body = message.getChildText("body");
    if (message.attrs.type === "error") throw new Error(`refused: ${message.toString()}`);
    if (body === null || !body.startsWith("k:")) return;
    const [, from = ""] = body.split(":");
    const id: unknown = message.getChild("stanza-id", "urn:xmpp:sid:0")?.attrs.id;
    if (typeof id !== "string") throw new Error(`no archive id: ${message.toString()}`);
    const before = this.ids.get(body);
    // Without stream management "delivered" means written: what the server could not note in time comes again, under the
    // same archive id, by which a client knows it (docs/architecture.md "What is on disk when", rule 6).
    if (before === id && !this.managed) return;
    if (before !== undefined) throw new Error(`${this.name} got ${body} twice, as ${before} and ${id}`);
    this.ids.set(body, id);
    this.received.set(from, [...(this.received.get(from) ?? []), body]);
  }
}

async function login(service: Service, person: Person): Promise<void> {
  const where = { host: service.host, port: service.ports.plain, domain: service.domain };
  person.client = await XmppClient.login({
    ...where,
    user: person.name,
    password: "pw",
    resource: "r",
    sm: person.managed,
  });
  person.client.presence();
  await person.client.ping();
}

test(
  `${rounds} kills, seed ${seed}: nothing acknowledged is lost, nothing doubled, nothing out of order`,
  async () => {
    const next = random(seed);
    const all = Array.from({ length: people }, (_, number) => new Person(`p${number}`, number % 4 !== 3));
    const service = await startService({ host: { users: all.map(({ name }) => ({ name, password: "pw" })) } });
    const pick = (): Person => all[Math.floor(next() * all.length)] as Person;
    try {
      for (const person of all) await login(service, person);
      for (let round = 0; round < rounds; round++) {
        const killAt = Math.floor(next() * sendsPerRound);
        let killed: Promise<void> | undefined;
        for (let count = 0; count < sendsPerRound; count++) {
          if (count === killAt) killed = service.kill("core");
          const from = pick();
          const to = pick();
          const dice = next();
          if (dice < 0.7) {
            const list = from.sent.get(to.name) ?? [];
            const body = `k:${from.name}:${to.name}:${list.length}`;
            from.sent.set(to.name, [...list, body]);
            from.client.message(`${to.name}@${service.domain}`, body);
          } else if (dice < 0.8) from.client.presence(`<status>${count}</status>`);
          else if (dice < 0.9)
            from.client.send(
              `<iq type='get' id='v${round}-${count}' to='${to.client.jid}'><query xmlns='jabber:iq:version'/></iq>`,
            );
          else if (from.managed) from.client.send("<r xmlns='urn:xmpp:sm:3'/>");
          from.client.acks = next() < 0.3 ? "withheld" : "prompt";
          // Lets the sockets work now and then, so that the kill meets every stage of a stanza's way.
          if (next() < 0.2) await new Promise((resolve) => setImmediate(resolve));
        }
        await killed;
        for (const person of all) {
          await person.client.ended;
          person.collect();
          person.client.acks = "prompt";
          if (!person.managed) {
            await login(service, person);
            continue;
          }
          const resumed = await person.client.resume();
          const handled = Number(resumed.attrs.h);
          expect(handled, `${person.name}: the count fell`).toBeGreaterThanOrEqual(person.handledByServer);
          person.handledByServer = handled;
        }
      }
      for (const person of all) if (person.managed) person.handledByServer = await person.client.requestAck();
      for (let turn = 0; turn < 2; turn++) for (const person of all) await person.client.ping();
      for (const person of all) person.collect();
      let checked = 0;
      for (const from of all)
        for (const to of all) {
          const sent = from.sent.get(to.name) ?? [];
          const got = to.received.get(from.name) ?? [];
          // Who has no stream management may lose what was under way, but never sees disorder or doubles.
          if (from.managed && to.managed) expect(got, `${from.name} → ${to.name}`).toEqual(sent);
          else
            expect(
              sent.filter((body) => got.includes(body)),
              `${from.name} → ${to.name}`,
            ).toEqual(got);
          checked += got.length;
        }
      expect(checked).toBeGreaterThan(rounds * sendsPerRound * 0.4);
    } finally {
      for (const person of all) person.client?.drop();
      await service.stop();
    }
  },
  60_000 + rounds * 30_000,
);
