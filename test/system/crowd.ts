import { escapeXML } from "ltx";
import { expect } from "vitest";
import { credentialsOf } from "../support/core.ts";
import type { HostYaml, Service } from "../support/processes.ts";
import { XmppClient } from "../support/xmpp-client.ts";
import type { Ending } from "../support/xmpp-connection.ts";

/** One writes to another, a few messages under way at a time, numbered. */
interface Flow {
  readonly number: number;
  readonly from: Member;
  readonly to: Member;
  sent: number;
  /** Sent and neither arrived nor given up. */
  underWay: number;
  /** The numbers that arrived, in order of arrival. */
  readonly arrived: number[];
}
interface Member {
  readonly name: string;
  readonly managed: boolean;
  readonly via: Via;
  client: XmppClient;
  /** Logged in or resumed: may write. */
  here: boolean;
  /** How often its connection was lost. */
  losses: number;
}

type Via = "websocket" | "bosh" | undefined;

const window = 2;
const nameOf = (number: number) => `p${number}`;

/** The users that a crowd of this size needs; each password is the name, its keys cheap. */
export async function crowdUsers(size: number): Promise<NonNullable<HostYaml["users"]>> {
  const names = Array.from({ length: size }, (_, number) => nameOf(number));
  return Promise.all(names.map(async (name) => ({ name, credentials: await credentialsOf(name) })));
}

/**
 * People who chat all the time, every other one with stream management: each writes to the next two, so that managed
 * write to managed and to unmanaged and the other way round. Every message is numbered, so that one lost, doubled or out
 * of order shows.
 */
export class Crowd {
  readonly members: readonly Member[];
  readonly #service: Service;
  readonly #flows: readonly Flow[];
  readonly #faults: string[] = [];
  #chatting = false;

  private constructor(service: Service, members: readonly Member[]) {
    this.#service = service;
    this.members = members;
    this.#flows = members.flatMap((from, number) =>
      [1, 2].map((step) => ({
        ...{ number: number * 2 + step - 1, from, sent: 0, underWay: 0, arrived: [] },
        to: members[(number + step) % members.length] as Member,
      })),
    );
    for (const member of members) this.#listen(member);
  }

  /** `viaOf` tells who comes by a port for browsers. */
  static async gather(
    service: Service,
    size: number,
    viaOf: (number: number) => Via = () => undefined,
  ): Promise<Crowd> {
    const members: Member[] = [];
    await fewAtATime(Array.from({ length: size }).keys(), async (number) => {
      const managed = number % 2 === 0;
      const name = nameOf(number);
      const via = viaOf(number);
      members[number] = { name, managed, via, client: await login(service, name, managed, via), here: true, losses: 0 };
    });
    return new Crowd(service, members);
  }

  get managed(): Member[] {
    return this.members.filter((member) => member.managed);
  }

  /** Everybody begins to write. */
  chat(): void {
    this.#chatting = true;
    for (const flow of this.#flows) this.#fill(flow);
  }

  /** Resolves when `count` more messages have arrived in every flow between connected people. */
  async progress(count: number): Promise<void> {
    const goals = this.#flows.map((flow) => ({ flow, goal: flow.arrived.length + count }));
    await waitFor(
      () => goals.every(({ flow, goal }) => flow.arrived.length >= goal),
      () => this.#explain(goals.filter(({ flow, goal }) => flow.arrived.length < goal).map(({ flow }) => flow)),
    );
  }

  /** Everybody stops writing; resolves when all that was sent between managed people (or all) has arrived. */
  async settle(between: "all" | "managed" = "all"): Promise<void> {
    this.#chatting = false;
    const flows = between === "all" ? this.#flows : this.#flows.filter(({ from, to }) => from.managed && to.managed);
    const missing = () => flows.filter((flow) => flow.arrived.length < flow.sent);
    await waitFor(
      () => missing().length === 0,
      () => this.#explain(missing()),
    );
    for (const { client } of this.members) await client.ping().catch(() => undefined);
    expect(this.#faults).toEqual([]);
    for (const flow of flows)
      expect(flow.arrived, `${flow.from.name} → ${flow.to.name}`).toEqual(
        Array.from({ length: flow.sent }, (_, n) => n),
      );
  }

  /** Nobody's connection has been closed since the crowd came together. */
  undisturbed(): void {
    expect(this.members.filter(({ losses }) => losses > 0).map(({ name }) => name)).toEqual([]);
  }

  /** Resolves when every connection is lost, and proves that none was closed as a finished session would be. */
  async dropped(): Promise<void> {
    const endings = await Promise.all(this.members.map(({ client }): Promise<Ending> => client.ended));
    expect(endings.filter(({ streamEnded }) => streamEnded)).toEqual([]);
  }

  /** Managed people resume, the others log in again. */
  async comeBack(): Promise<void> {
    await fewAtATime(this.members.values(), async (member) => {
      if (member.managed) await member.client.resume();
      else member.client = await login(this.#service, member.name, false, member.via);
      this.#listen(member);
      for (const flow of this.#flows) if (flow.from === member) this.#fill(flow);
    });
    // What was under way from or to somebody without stream management may be lost.
    for (const flow of this.#flows) if (!flow.from.managed || !flow.to.managed) flow.underWay = 0;
  }

  leave(): void {
    for (const { client } of this.members) client.drop();
  }

  #fill(flow: Flow): void {
    while (this.#chatting && flow.from.here && flow.underWay < window) this.#send(flow);
  }

  #send(flow: Flow): void {
    const { client } = flow.from;
    flow.underWay++;
    client.send(
      `<message type='chat' to='${escapeXML(flow.to.name)}@${this.#service.domain}' id='c${flow.number}-${flow.sent}'><body>c:${flow.number}:${flow.sent++}</body></message>`,
    );
  }

  #listen(member: Member): void {
    const { client } = member;
    member.here = true;
    void client.ended.then(() => {
      member.here = false;
      member.losses++;
    });
    const take = async (): Promise<void> => {
      for (;;) {
        const message = await client.next("message");
        const [, number, count] = /^c:(\d+):(\d+)$/.exec(message.getChildText("body") ?? "") ?? [];
        const flow = this.#flows[Number(number)];
        if (message.attrs.type === "error" || flow?.to !== member) {
          this.#faults.push(message.toString());
          continue;
        }
        flow.arrived.push(Number(count));
        flow.underWay = Math.max(0, flow.underWay - 1);
        this.#fill(flow);
      }
    };
    // Ends with the connection, or after a while in which nobody wrote; who listens in vain is seen by `progress`.
    const again = (): void => {
      void take().catch(() => {
        if (member.here && member.client === client) again();
      });
    };
    again();
  }

  #explain(flows: readonly Flow[]): string {
    const lines = flows.slice(0, 5).map(({ from, to, sent, arrived }) => {
      const missing = Array.from({ length: sent }, (_, n) => n).filter((n) => !arrived.includes(n));
      return `${from.name} → ${to.name}: ${arrived.length} of ${sent} arrived, without ${missing.slice(0, 10)}\n${to.client.transcript().slice(-12000)}`;
    });
    return `${flows.length} flows stand still\n${lines.join("\n")}\n${this.#service.logs()}`;
  }
}

function login(service: Service, user: string, sm: boolean, via: Via): Promise<XmppClient> {
  const { host, ports, domain } = service;
  const where = via === undefined ? { host, port: ports.plain } : { host, port: ports.secureWeb, via };
  return XmppClient.login({ ...where, domain, user, password: user, resource: "r", sm }).then(async (client) => {
    client.presence();
    await client.ping();
    return client;
  });
}

async function fewAtATime<T>(items: Iterator<T>, work: (item: T) => Promise<void>): Promise<void> {
  const worker = async () => {
    for (let next = items.next(); next.done !== true; next = items.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

/** What arrives is announced to nobody but the crowd itself. */
async function waitFor(condition: () => boolean, failure: () => string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(failure());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
