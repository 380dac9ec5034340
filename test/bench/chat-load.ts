import type { LoadClient } from "./load-client.ts";

/** What one run of chatting shows; times in milliseconds. */
export type ChatResult = {
  delivered: number;
  seconds: number;
  lost: number;
  doubled: number;
  disordered: number;
  p50: number;
  p99: number;
  /** Longest time in which one client, with messages on the way to it, heard nothing. */
  longestSilence: number;
};

// Sender and number stand at fixed distance behind a word that nothing else contains, so one search finds both.
const mark = Buffer.from("@@bench");
const markLength = mark.length + 5 + 8;
const ackRequest = Buffer.from("<r xmlns=");
const filler = "The quick brown fox jumps over the lazy dog, and a stanza of this length is what people send. ".slice(
  0,
  90,
);
const zero = 48;

type Talker = {
  client: LoadClient;
  /** Stanza in front of and behind the number. */
  head: string;
  tail: string;
  next: number;
  sentAt: Float64Array;
  seen: Uint8Array;
  lastSeen: number;
  /** What the present chunk wants written. */
  pending: string;
  rest: Buffer;
  lastHeard: number;
  heardAny: boolean;
  handled: number;
};

/** Pairs of clients that chat with a fixed number of messages in flight each way; stopped and counted by the caller. */
export type Chat = {
  /** Puts the first messages on their way. */
  start(): void;
  /** From here on latency, silence and throughput count. */
  measure(): void;
  /** Ends the measured span. */
  measured(): Omit<ChatResult, "lost" | "doubled" | "disordered">;
  /** Sends nothing more, waits until all has arrived or nothing has for three seconds, and counts. */
  finish(): Promise<Pick<ChatResult, "lost" | "doubled" | "disordered">>;
};

/** Client 2k talks with client 2k+1. A message that arrives makes its sender send the next one. */
export function chat(clients: readonly LoadClient[], inFlight: number, capacity = 2_000_000): Chat {
  const room = Math.ceil(capacity / clients.length);
  const talkers = clients.map((client, at) => talker(client, clients[at ^ 1]?.jid ?? "", at, room));
  const latencies = new Float64Array(capacity);
  let latencyCount = 0;
  let delivered = 0;
  let doubled = 0;
  let disordered = 0;
  let measuring = false;
  let startedAt = 0;
  let longestSilence = 0;
  let stopped = false;
  let dirty: Talker[] = [];

  const send = (from: Talker, now: number): void => {
    if (stopped || from.next >= room) return;
    const number = from.next++;
    from.sentAt[number] = now;
    if (from.pending === "") dirty.push(from);
    from.pending += from.head + String(number).padStart(8, "0") + from.tail;
  };
  const flush = (): void => {
    const writing = dirty;
    dirty = [];
    for (const one of writing) {
      one.client.socket.write(one.pending, "latin1");
      one.pending = "";
    }
  };
  const arrived = (sender: Talker, number: number, now: number): void => {
    // Not sent yet: it is the former scenario's, unacknowledged when its clients were dropped, and comes to their next session.
    if (number >= sender.next) return;
    if (sender.seen[number] === 1) {
      doubled++;
      return;
    }
    sender.seen[number] = 1;
    if (number < sender.lastSeen) disordered++;
    sender.lastSeen = number;
    delivered++;
    if (measuring && latencyCount < latencies.length) latencies[latencyCount++] = now - (sender.sentAt[number] ?? now);
    send(sender, now);
  };
  const take = (to: Talker, chunk: Buffer): void => {
    const now = performance.now();
    if (measuring && to.heardAny) longestSilence = Math.max(longestSilence, now - Math.max(to.lastHeard, startedAt));
    to.lastHeard = now;
    to.heardAny = true;
    const bytes = to.rest.length === 0 ? chunk : Buffer.concat([to.rest, chunk]);
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(mark, from);
      if (at < 0 || at + markLength > bytes.length) {
        from = at < 0 ? Math.max(from, bytes.length - mark.length + 1) : at;
        break;
      }
      const sender = talkers[digits(bytes, at + mark.length, 5)];
      from = at + markLength;
      to.handled++;
      // A bounce comes back to its sender and is no delivery.
      if (sender !== undefined && sender !== to) arrived(sender, digits(bytes, from - 8, 8), now);
    }
    to.rest = bytes.subarray(from);
    if (chunk.includes(ackRequest)) {
      if (to.pending === "") dirty.push(to);
      to.pending += `<a xmlns='urn:xmpp:sm:3' h='${to.handled}'/>`;
    }
    flush();
  };
  for (const one of talkers) one.client.onBytes((bytes) => take(one, bytes));

  return {
    start() {
      const now = performance.now();
      for (const one of talkers) for (let k = 0; k < inFlight; k++) send(one, now);
      flush();
    },
    measure() {
      delivered = 0;
      latencyCount = 0;
      longestSilence = 0;
      startedAt = performance.now();
      measuring = true;
    },
    measured() {
      measuring = false;
      const now = performance.now();
      for (const one of talkers) longestSilence = Math.max(longestSilence, now - Math.max(one.lastHeard, startedAt));
      const sorted = latencies.slice(0, latencyCount).sort();
      const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
      return { delivered, seconds: (now - startedAt) / 1000, p50: at(0.5), p99: at(0.99), longestSilence };
    },
    async finish() {
      stopped = true;
      const missing = (): number => talkers.reduce((sum, one) => sum + one.next - count(one.seen, one.next), 0);
      let before = missing();
      for (let quiet = 0; before > 0 && quiet < 3; ) {
        await new Promise((resolve) => setTimeout(resolve, 1000));
        const now = missing();
        quiet = now === before ? quiet + 1 : 0;
        before = now;
      }
      // A doubled message would come behind the last one.
      await new Promise((resolve) => setTimeout(resolve, 300));
      for (const one of talkers) one.client.onBytes(() => {});
      return { lost: before, doubled, disordered };
    },
  };
}

function talker(client: LoadClient, to: string, index: number, room: number): Talker {
  return {
    client,
    head: `<message to='${to}' type='chat' id='m${index}'><body>@@bench${String(index).padStart(5, "0")}`,
    tail: ` ${filler}</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>`,
    next: 0,
    sentAt: new Float64Array(room),
    seen: new Uint8Array(room),
    lastSeen: -1,
    pending: "",
    rest: Buffer.alloc(0),
    lastHeard: 0,
    heardAny: false,
    handled: 0,
  };
}

function digits(bytes: Buffer, at: number, length: number): number {
  let value = 0;
  for (let k = at; k < at + length; k++) value = value * 10 + ((bytes[k] ?? zero) - zero);
  return value;
}

function count(seen: Uint8Array, until: number): number {
  let sum = 0;
  for (let k = 0; k < until; k++) sum += seen[k] ?? 0;
  return sum;
}
