/** `npm run bench -- --crowd`: one who writes and a thousand who read, and pages of a large archive; each server in turn. */
import { type CrowdClient, enter } from "./crowd-client.ts";
import { cpuMicroseconds } from "./proc.ts";
import { type Subject, type SubjectName, startSubject } from "./subject.ts";
import { aligned } from "./table.ts";

export type CrowdSize = { people: number; archived: (name: SubjectName) => number };
/** Wall time in ms and CPU of the server in µs, each for one of `per`. */
type Figure = { wallMs: number; cpuUs: number };
type Row = { subject: string; figures: Map<string, Figure>; notes: string[] };

const room = (subject: Subject): string => `crowd@conference.${subject.target.domain}`;
const mostUsers =
  "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_maxusers'><value>0</value></field>";
const atOnce = 20;
const longestFillMs = Number(process.env.FILL_SECONDS ?? 120) * 1000;
const messages = 20;
const rounds = 5;
const pages = 40;

/** Measures the named servers one after the other and returns the table. */
export async function crowdTable(names: readonly SubjectName[], size: CrowdSize, machine: string): Promise<string> {
  const rows: Row[] = [];
  for (const name of names) {
    if (name === "relay") continue;
    const subject = await startSubject(name, { archive: true, users: size.people, services: true });
    if (subject === undefined) continue;
    try {
      rows.push(await measure(subject, size.people, size.archived(name)));
    } finally {
      await subject.stop();
    }
  }
  return table(rows, size.people, machine);
}

async function measure(subject: Subject, people: number, archived: number): Promise<Row> {
  const figures = new Map<string, Figure>();
  const notes: string[] = [];
  const measured = async (name: string, per: number, what: () => Promise<void>): Promise<void> => {
    const before = { cpu: cpuMicroseconds(subject.pids()), at: performance.now() };
    const failure = await what().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const wallMs = (performance.now() - before.at) / per;
    if (failure === undefined)
      figures.set(name, { wallMs, cpuUs: (cpuMicroseconds(subject.pids()) - before.cpu) / per });
    else notes.push(`${subject.name}, ${name}: ${failure}`);
    console.error(`${subject.name}: ${name} ${failure ?? `${wallMs.toFixed(2)} ms`}`);
  };

  const [first, ...others] = await enter(subject, people);
  if (first === undefined) throw new Error("nobody is there");
  const all = [first, ...others];
  await first.join(room(subject), "n0");
  // Ours takes thirty, as Openfire does, until the owner says otherwise.
  const most = subject.name === "firekeeper" ? mostUsers : "";
  first.send(
    `<iq type='set' id='unlock' to='${room(subject)}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>${most}</x></query></iq>`,
  );
  await first.seen(/id=['"]unlock['"]/);
  const total = (people * (people + 1)) / 2;
  await measured("a room fills: one presence to one occupant", total - 1, async () => {
    await inTurn(others, (client, at) => client.join(room(subject), `n${at + 1}`));
    await until(() => all.reduce((sum, client) => sum + client.presences, 0) >= total, 300_000, "presences");
  });
  await measured(`a message in a room of ${people}: one recipient`, messages * people, async () => {
    for (let k = 0; k < messages; k++) {
      for (const client of all) client.expect("@@crowd");
      first.send(
        `<message type='groupchat' to='${room(subject)}' id='g${k}'><body>@@crowd ${"word ".repeat(20)}</body></message>`,
      );
      await Promise.all(all.map((client) => client.expected(60_000)));
    }
  });
  for (const client of all) client.send(`<presence type='unavailable' to='${room(subject)}/n${client.index}'/>`);
  await inTurn(all, (client) => client.ping());

  await befriend(first, others);
  await measured(
    `presence of a login, ${people - 1} contacts online: one contact, both ways`,
    rounds * (people - 1),
    async () => {
      for (let round = 0; round < rounds; round++) {
        first.send("<presence type='unavailable'/>");
        await inTurn(all, (client) => client.ping());
        for (const client of others) client.expect(first.jid);
        const before = first.presences;
        first.send("<presence/>");
        await Promise.all(others.map((client) => client.expected(60_000)));
        await until(() => first.presences >= before + people - 1, 60_000, "presences of contacts");
      }
    },
  );
  await measured(`a PEP item to ${people - 1} contacts: one contact`, rounds * (people - 1), async () => {
    for (const client of others) client.showInterest();
    await inTurn(all, (client) => client.ping());
    await inTurn(all, (client) => client.ping());
    for (let round = 0; round < rounds; round++) {
      for (const client of others) client.expect(`@@tune${round}`);
      first.send(
        `<iq type='set' id='tune${round}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='http://jabber.org/protocol/tune'><item id='current'><tune xmlns='http://jabber.org/protocol/tune'><title>@@tune${round}</title></tune></item></publish></pubsub></iq>`,
      );
      await Promise.all(others.map((client) => client.expected(60_000)));
    }
  });
  for (const client of others.slice(50)) client.drop();
  const filled = await fill(first, others.slice(0, 50), archived);
  notes.push(`${subject.name}: ${filled.toLocaleString("en")} messages in the archive that is asked`);
  // Servers put work off while messages come in: the first page may pay for all of it.
  await measured("the first page that is asked of that archive", 1, () => first.page("after", "<before/>"));
  for (const [name, set] of [
    ["last", "<before/>"],
    ["first", ""],
  ] as const)
    await measured(`the ${name} 50 of the archive: one page`, pages, async () => {
      for (let k = 0; k < pages; k++) await first.page(`${name}${k}`, set);
    });
  for (const client of all) client.drop();
  return { subject: subject.name, figures, notes };
}

/** Twenty at a time. */
async function inTurn(
  clients: readonly CrowdClient[],
  one: (client: CrowdClient, at: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < clients.length; at = next++) {
      const client = clients[at];
      if (client !== undefined) await one(client, at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** Subscriptions both ways, as clients make them. RFC 6121 §3.1 */
async function befriend(first: CrowdClient, others: readonly CrowdClient[]): Promise<void> {
  const all = [first, ...others];
  const handled = (): Promise<void> => inTurn(all, (client) => client.ping());
  // Servers keep so many requests waiting, not any number.
  for (let from = 0; from < others.length; from += 100) {
    const some = others.slice(from, from + 100);
    for (const client of some) first.send(`<presence type='subscribe' to='${client.bare}'/>`);
    await handled();
    for (const client of some)
      client.send(`<presence type='subscribed' to='${first.bare}'/><presence type='subscribe' to='${first.bare}'/>`);
    await handled();
    for (const client of some) first.send(`<presence type='subscribed' to='${client.bare}'/>`);
    await handled();
  }
  for (const client of all) client.send("<presence/>");
  await handled();
}

/** Puts so many messages into the archive of `to`; what a server could not take in time is not waited for. */
async function fill(to: CrowdClient, from: readonly CrowdClient[], count: number): Promise<number> {
  const each = 40;
  const until = performance.now() + longestFillMs;
  let sent = 0;
  while (sent < count && performance.now() < until) {
    const message = `<message to='${to.bare}' type='chat'><body>@@fill ${"word ".repeat(15)}</body></message>`;
    to.expect("@@fill", each * from.length);
    for (const client of from) client.send(message.repeat(each));
    await to.expected(60_000);
    sent += each * from.length;
  }
  return sent;
}

async function until(condition: () => boolean, withinMs: number, what: string): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not all ${what} came within ${withinMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function table(rows: readonly Row[], people: number, machine: string): string {
  const names = [...new Set(rows.flatMap(({ figures }) => [...figures.keys()]))];
  const own = rows.find(({ subject }) => subject === "firekeeper");
  const ratio = (value: number, base: number | undefined): string =>
    base === undefined ? "" : ` (x${(value / base).toPrecision(2)})`;
  const cells = (row: Row, name: string): string[] => {
    const figure = row.figures.get(name);
    if (figure === undefined) return [row.subject, "", ""];
    const base = own?.figures.get(name);
    const cpu = `${figure.cpuUs.toFixed(1)} µs${ratio(figure.cpuUs, base?.cpuUs)}`;
    return [row.subject, cpu, `${(figure.wallMs * 1000).toFixed(1)} µs${ratio(figure.wallMs, base?.wallMs)}`];
  };
  const lines = [machine, `${people} people; in brackets how many times Firekeeper's figure`, ""];
  for (const name of names)
    lines.push(name, ...aligned([["", "CPU", "wall"], ...rows.map((row) => cells(row, name))]), "");
  return [...lines, ...rows.flatMap(({ notes }) => notes)].join("\n");
}
