import { createHash } from "node:crypto";
import { z } from "zod";
import { ns } from "../formats/namespaces.ts";
import type { Connection, TlsFacts } from "../transport/connection.ts";
import { type Limits, limitsBeforeLogin } from "../xml/reader.ts";
import type { Stanza } from "../xml/stanza.ts";
import type { Xml } from "../xml/writer.ts";
import { type BoshBody, terminateBody, writeBody } from "./bosh-body.ts";
import { type Visitor, visitorTls } from "./visitor.ts";
import type { FrozenWire, Opening, Wire, WireHandler } from "./wire.ts";

/** What both sides agreed on when the session began, and where it stands. JSON-able. */
export const boshState = z.object({
  sid: z.string(),
  /** Of the last request that was taken in its order. */
  rid: z.number(),
  /** Requests that may be open at once. */
  requests: z.number(),
  hold: z.number(),
  waitMs: z.number(),
  polls: z.boolean(),
  acks: z.boolean(),
  key: z.string().optional(),
  /** How long no request may be open; a pause changes it until the next request. */
  patienceMs: z.number(),
  visitor: z.object({ address: z.string(), secure: z.boolean(), proxied: z.boolean() }),
});
export type BoshState = z.infer<typeof boshState>;

/** What an orderly restart carries over. */
export const frozenBosh = z.object({
  agreed: boshState,
  pending: z.array(z.string()),
  answers: z.array(z.tuple([z.number(), z.string()])),
});
export type FrozenBosh = z.infer<typeof frozenBosh>;

/** Live values. */
export interface BoshRules {
  readonly inactivityMs: (polls: boolean) => number;
  readonly pollingMs: () => number;
  readonly maxPauseMs: () => number;
  readonly ignoresLongPauses: () => boolean;
  readonly ignoresOveractivity: () => boolean;
}

export interface BoshOptions {
  readonly state: BoshState;
  readonly rules: BoshRules;
  readonly now: () => number;
  readonly listener: string;
  readonly local: Connection["local"];
  /** The session is of no use any more. */
  readonly over: (wire: BoshWire) => void;
}

interface Open {
  readonly rid: number;
  readonly since: number;
  readonly answer: ((body: string) => void)[];
}

/** So much may wait for a client that fetches nothing. */
const mostPendingBytes = 16 * 1024 * 1024;

type Item = Stanza | "end" | { readonly to: string | undefined; readonly version: string };

/** A stream in the bodies of HTTP requests: requests wait, and are answered when there is something to say. XEP-0124, XEP-0206 */
export class BoshWire implements Wire {
  readonly kind = "bosh";
  readonly listener: string;
  readonly remote: Connection["remote"];
  readonly local: Connection["local"];
  limits: Limits = limitsBeforeLogin;
  readonly #options: BoshOptions;
  #handler: WireHandler;
  #state: BoshState;
  /** Came before their turn. */
  readonly #early = new Map<number, { readonly body: BoshBody; readonly open: Open }>();
  /** Wait for something to say, in order. */
  #held: Open[] = [];
  #answers = new Map<number, string>();
  #pending: (Buffer | string)[] = [];
  #pendingBytes = 0;
  #inbox: Item[] = [];
  #creation: Record<string, string | number | undefined> | undefined;
  #stalled = false;
  #draining = false;
  #restartDue = false;
  #flushing = false;
  #leaving = false;
  /** How every further request is answered: the session is over. */
  #over: string | undefined;
  #idleSince: number;
  /** When the last request without content was answered without any. */
  #emptyAt: number | undefined;

  constructor(options: BoshOptions, handler: WireHandler) {
    this.#options = options;
    this.#state = options.state;
    this.listener = options.listener;
    this.local = options.local;
    this.remote = { address: options.state.visitor.address, port: 0 };
    this.#handler = handler;
    this.#idleSince = options.now();
  }

  get sid(): string {
    return this.#state.sid;
  }

  get visitor(): Visitor {
    return this.#state.visitor;
  }

  get tls(): TlsFacts | undefined {
    return visitorTls({ ...this.#state.visitor, proxied: true }, undefined, false);
  }

  get open(): boolean {
    return this.#over === undefined;
  }

  // ------------------------------------------------------------ requests

  /** The first request of the session. XEP-0124 §7.1 */
  begin(body: BoshBody, creation: Record<string, string | number | undefined>): Promise<string> {
    this.#creation = creation;
    this.#restartDue = true;
    return new Promise((resolve) => {
      const { rid } = body;
      this.#held.push({ rid, since: this.#options.now(), answer: [resolve] });
      this.#inbox.push({ to: body.to, version: body.version ?? "1.0" }, ...body.payload);
      this.#drain();
    });
  }

  /** The answer to one request, when it is due. XEP-0124 §8, §9, §14 */
  take(body: BoshBody): Promise<string> {
    const { rid } = this.#state;
    if (this.#over !== undefined) return Promise.resolve(this.#over);
    if (body.stream !== undefined) return this.#refuse("item-not-found");
    const again = this.#answers.get(body.rid);
    if (again !== undefined) return Promise.resolve(again);
    const known = this.#held.find((open) => open.rid === body.rid) ?? this.#early.get(body.rid)?.open;
    if (known !== undefined) return new Promise((resolve) => known.answer.push(resolve));
    if (body.rid <= rid || body.rid > rid + this.#state.requests) return this.#refuse("item-not-found");
    return new Promise((resolve) => {
      const open = { rid: body.rid, since: this.#options.now(), answer: [resolve] };
      this.#early.set(body.rid, { body, open });
      this.#inOrder();
    });
  }

  #refuse(condition: string): Promise<string> {
    this.#violated(condition);
    return Promise.resolve(terminateBody(condition));
  }

  #inOrder(): void {
    for (;;) {
      const next = this.#early.get(this.#state.rid + 1);
      if (next === undefined || this.#over !== undefined) break;
      this.#early.delete(next.body.rid);
      this.#one(next.body, next.open);
    }
    if (this.#over === undefined) this.#settle();
  }

  #one(body: BoshBody, open: Open): void {
    this.#held.push(open);
    if (!this.#unlocks(body)) return this.#violated("item-not-found");
    const empty = body.payload.length === 0 && !body.terminate && !body.restart && body.pause === undefined;
    if (empty && this.#tooOften()) return this.#violated("policy-violation");
    if (!empty) this.#emptyAt = undefined;
    const { inactivityMs } = this.#options.rules;
    this.#state = { ...this.#state, rid: body.rid, patienceMs: inactivityMs(this.#state.polls) };
    this.#idleSince = this.#options.now();
    this.#handler.heard();
    if (body.restart) this.#inbox.push({ to: body.to, version: body.version ?? "1.0" });
    this.#inbox.push(...body.payload);
    if (body.terminate) this.#inbox.push("end");
    this.#drain();
    if (this.#over !== undefined) return;
    if (!this.#stalled) this.#handler.took(body.bytes);
    if (body.pause !== undefined) this.#pause(body.pause * 1000);
  }

  /** Whether it carries the key that the one before announced. XEP-0124 §15 */
  #unlocks({ key, newKey }: BoshBody): boolean {
    const expected = this.#state.key;
    if (expected === undefined) return true;
    if (key === undefined || createHash("sha1").update(key).digest("hex") !== expected.toLowerCase()) return false;
    this.#state = { ...this.#state, key: newKey ?? key };
    return true;
  }

  /** Empty requests one after the other, which bring nothing, sooner than a client that polls may. XEP-0124 §12 */
  #tooOften(): boolean {
    const { polls } = this.#state;
    const before = this.#emptyAt;
    if (!polls || before === undefined || this.#options.rules.ignoresOveractivity()) return false;
    return this.#options.now() - before < this.#options.rules.pollingMs();
  }

  /** Answers at once what is open and hears nothing for so long. XEP-0124 §10 */
  #pause(forMs: number): void {
    const { maxPauseMs, ignoresLongPauses } = this.#options.rules;
    if (forMs > maxPauseMs()) {
      if (!ignoresLongPauses()) this.#violated("policy-violation");
      return;
    }
    this.answerAll();
    this.#state = { ...this.#state, patienceMs: Math.max(forMs, this.#state.patienceMs) };
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    while (!this.#stalled && this.#over === undefined) {
      const item = this.#inbox.shift();
      if (item === undefined) break;
      if (item === "end") this.#handler.closed();
      else if ("version" in item) this.#begins(item);
      else this.#handler.stanza(item);
    }
    this.#draining = false;
  }

  #begins({ to, version }: { readonly to: string | undefined; readonly version: string }): void {
    // A restart that nobody awaits changes nothing. XEP-0206 §5
    if (!this.#restartDue) return;
    this.#restartDue = false;
    const told = to === undefined ? undefined : { to };
    this.#handler.header({ name: "stream", ns: ns.streams, contentNs: ns.client, version, ...told });
  }

  // ------------------------------------------------------------ answers

  /** Answers what need not wait: all that has something to carry, and more than may be held. */
  #settle(): void {
    if (this.#pending.length > 0 && this.#held.length > 0) this.#answer();
    // What a stanza under way will bring is worth the wait, also to a client that polls.
    const most = this.#stalled ? Math.max(this.#state.hold, 1) : this.#state.hold;
    while (this.#held.length > most) this.#answer();
  }

  /** Answers the oldest request with all that is there. */
  #answer(extra: Record<string, string> = {}): void {
    const open = this.#held.shift();
    if (open === undefined) return;
    const content = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    const { acks, rid } = this.#state;
    const ack = acks && rid !== open.rid ? rid : undefined;
    const first = this.#creation;
    this.#creation = undefined;
    this.#give(open, writeBody({ ...first, ack: first === undefined ? ack : open.rid, ...extra }, content));
    this.#emptyAt = content.length === 0 ? this.#options.now() : undefined;
  }

  #give(open: Open, body: string): void {
    this.#answers.set(open.rid, body);
    for (const rid of this.#answers.keys()) if (rid < this.#state.rid - this.#state.requests) this.#answers.delete(rid);
    this.#idleSince = this.#options.now();
    for (const answer of open.answer) answer(body);
  }

  /** Answers everything that is open: the connections are about to close. */
  answerAll(): void {
    while (this.#held.length > 0) this.#answer();
    this.#emptyAt = undefined;
  }

  /** Once a second: answers what has waited long enough, and gives up who stays away. */
  sweep(now: number): void {
    if (this.#over !== undefined) {
      if (now - this.#idleSince >= this.#state.patienceMs) this.#options.over(this);
      return;
    }
    while (this.#held[0] !== undefined && now - this.#held[0].since >= this.#state.waitMs) this.#answer();
    if (this.#held.length > 0 || now - this.#idleSince < this.#state.patienceMs) return;
    this.#finish(terminateBody("item-not-found"));
    this.#options.over(this);
    this.#handler.gone("inactive");
  }

  /** The client broke the rules of BOSH. XEP-0124 §17 */
  #violated(condition: string): void {
    this.#finish(terminateBody(condition));
    this.#handler.gone(`bosh ${condition}`);
  }

  /** Every request that is open, and every one to come, hears `body`. */
  #finish(body: string, last?: string): void {
    this.#over = body;
    this.#inbox = [];
    const open = [...this.#held, ...[...this.#early.values()].map((each) => each.open)];
    this.#held = [];
    this.#early.clear();
    this.#idleSince = this.#options.now();
    for (const [place, each] of open.entries()) this.#give(each, place === 0 ? (last ?? body) : body);
    // Nobody heard it yet: whoever asks next does.
    if (open.length === 0 && last !== undefined) this.#over = last;
  }

  // ------------------------------------------------------------ wire

  header({ id, from }: Opening): void {
    if (this.#creation === undefined) return;
    this.#creation = { ...this.#creation, from, authid: id };
  }

  write(data: Buffer | string): void {
    if (this.#over !== undefined) return;
    this.#pending.push(data);
    this.#pendingBytes += data.length;
    if (this.#pendingBytes > mostPendingBytes) return void this.#handler.gone(this.#dropped("slow-reader"));
    if (this.#flushing || this.#held.length === 0) return;
    // What this turn says goes out in one answer.
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      if (this.#over === undefined && !this.#leaving) this.#settle();
    });
  }

  #dropped(reason: string): string {
    this.#pending = [];
    this.#finish(terminateBody("internal-server-error"));
    return reason;
  }

  restart(): void {
    this.#restartDue = true;
  }

  hold(): void {
    this.#stalled = true;
  }

  release(): void {
    this.#stalled = false;
    this.#drain();
    if (this.#over === undefined && !this.#stalled && !this.#leaving) this.#settle();
  }

  pause(): void {
    this.#leaving = true;
  }

  startTls(): boolean {
    return false;
  }

  close(error?: Xml): void {
    if (this.#over !== undefined) return;
    const condition = error === undefined ? undefined : conditionOf(error);
    const content = error === undefined ? this.#pending : [...this.#pending, error];
    const first = this.#creation;
    this.#pending = [];
    this.#finish(terminateBody(condition), writeBody({ ...first, type: "terminate", condition }, content));
  }

  drop(): void {
    if (this.#over === undefined) this.#dropped("dropped");
  }

  freeze(): FrozenWire {
    const pending = this.#pending.map(String);
    const state: FrozenBosh = { agreed: this.#state, pending, answers: [...this.#answers] };
    return { connection: 0, state };
  }

  /** Puts it where the predecessor's was. */
  thaw({ pending, answers }: FrozenBosh): void {
    this.#pending = [...pending];
    this.#pendingBytes = pending.reduce((bytes, { length }) => bytes + length, 0);
    this.#answers = new Map(answers);
  }
}

/** Some ends of a stream have a name of their own in BOSH. XEP-0124 §17.2 */
function conditionOf(error: Xml): string {
  const condition = /^<stream:error><([\w-]+)/.exec(error)?.[1] ?? "";
  return ["host-gone", "host-unknown", "improper-addressing"].includes(condition) ? condition : "remote-stream-error";
}
