import { createHash } from "node:crypto";
import { ns } from "../formats/namespaces.ts";
import type { Connection, TlsFacts } from "../transport/connection.ts";
import { type Limits, limitsBeforeLogin } from "../xml/reader.ts";
import type { Stanza } from "../xml/stanza.ts";
import type { Xml } from "../xml/writer.ts";
import { BoshAnswers } from "./bosh-answers.ts";
import { type BoshAnswer, type BoshBody, closing, conditionOf, terminateBody, writeBody } from "./bosh-body.ts";
import { type Beginning, type BoshOptions, type BoshState, beginningOf, type FrozenBosh } from "./bosh-state.ts";
import { type Visitor, visitorTls } from "./visitor.ts";
import type { FrozenWire, Opening, Wire, WireHandler } from "./wire.ts";

interface Open {
  readonly rid: number;
  readonly key: string | undefined;
  readonly since: number;
  /** Tells whoever asked last. */
  answer: (given: BoshAnswer) => void;
}

/** So much may wait for a client that fetches nothing. */
const mostPendingBytes = 16 * 1024 * 1024;

type Item = Stanza | "end" | Beginning;

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
  readonly #answers = new BoshAnswers();
  /** What the next answer says of one that did not arrive. XEP-0124 §9.2 */
  #report: { readonly report: number; readonly time: number } | undefined;
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
  #over: BoshAnswer | undefined;
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
  begin(body: BoshBody, creation: Record<string, string | number | undefined>): Promise<BoshAnswer> {
    this.#creation = creation;
    this.#restartDue = true;
    return new Promise((answer) => {
      this.#held.push({ rid: body.rid, key: undefined, since: this.#options.now(), answer });
      this.#inbox.push(beginningOf(body), ...body.payload);
      this.#drain();
    });
  }

  /** The answer to one request, when it is due. XEP-0124 §8, §9, §14 */
  take(body: BoshBody): Promise<BoshAnswer> {
    const { rid, requests } = this.#state;
    const again = this.#answers.find(body.rid);
    // Only an exact copy is the same request again.
    if (again !== undefined && again.key === body.key) return Promise.resolve(this.#told(again.body));
    if (this.#over !== undefined) return Promise.resolve(this.#over);
    if (body.stream !== undefined || again !== undefined) return this.#refuse("item-not-found");
    const known = this.#held.find((open) => open.rid === body.rid) ?? this.#early.get(body.rid)?.open;
    if (known === undefined && (body.rid <= rid || body.rid > rid + requests)) return this.#refuse("item-not-found");
    if (known !== undefined && known.key !== body.key) return this.#refuse("item-not-found");
    return new Promise((answer) => {
      if (known !== undefined) {
        // The earlier connection is broken, or the client asks there once more. XEP-0124 §14.3
        known.answer(this.#told(writeBody({ type: "error" }, [])));
        known.answer = answer;
        return;
      }
      this.#early.set(body.rid, {
        body,
        open: { rid: body.rid, key: body.key, since: this.#options.now(), answer },
      });
      this.#inOrder();
    });
  }

  #told(body: string): BoshAnswer {
    return { status: 200, type: this.#state.content, body };
  }

  #refuse(condition: string): Promise<BoshAnswer> {
    this.#violated(condition);
    return Promise.resolve(this.#over ?? this.#ending(condition));
  }

  #ending(condition: string | undefined): BoshAnswer {
    return closing(condition, this.#state);
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
    // Who does not say how far answers have come has all of them. XEP-0124 §9.2
    if (this.#state.acks) this.#report = this.#answers.missing(body.ack ?? body.rid - 1, this.#idleSince);
    this.#handler.heard();
    // What stands beside a restart is not looked at. XEP-0206 §5
    if (body.restart) this.#inbox.push(beginningOf(body));
    else this.#inbox.push(...body.payload);
    if (body.terminate) this.#inbox.push("end");
    this.#drain();
    if (this.#over !== undefined) return;
    if (!this.#stalled) this.#handler.took(body.bytes);
    if (body.pause !== undefined) this.#pause(open, body.pause * 1000);
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

  /** Answers at once what is open, this request with nothing in it, and hears nothing for so long. XEP-0124 §10 */
  #pause(open: Open, forMs: number): void {
    const { maxPauseMs, ignoresLongPauses } = this.#options.rules;
    if (forMs > maxPauseMs()) {
      if (!ignoresLongPauses()) this.#violated("policy-violation");
      return;
    }
    while (this.#held[0] !== undefined) this.#answer(this.#held[0] !== open);
    this.#emptyAt = undefined;
    this.#state = { ...this.#state, patienceMs: forMs };
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

  #begins(header: Beginning): void {
    // A restart that nobody awaits changes nothing. XEP-0206 §5
    if (!this.#restartDue) return;
    this.#restartDue = false;
    this.#handler.header({ name: "stream", ns: ns.streams, contentNs: ns.client, ...header });
  }

  // ------------------------------------------------------------ answers

  /** Answers what need not wait: all that has something to carry, and more than may be held. */
  #settle(): void {
    if ((this.#pending.length > 0 || this.#report !== undefined) && this.#held.length > 0) this.#answer();
    // What a stanza under way will bring is worth the wait, also to a client that polls.
    const most = this.#stalled ? Math.max(this.#state.hold, 1) : this.#state.hold;
    while (this.#held.length > most) this.#answer();
  }

  /** Answers the oldest request, with all that is there if it may carry it. */
  #answer(carries = true): void {
    const open = this.#held.shift();
    if (open === undefined) return;
    const content = carries ? this.#pending : [];
    if (carries) this.#pending = [];
    if (carries) this.#pendingBytes = 0;
    const { rid } = this.#state;
    const known = this.#creation === undefined ? rid : open.rid;
    const ack = this.#creation === undefined && known === open.rid ? undefined : known;
    const body = writeBody({ ...this.#creation, ack, ...this.#report }, content);
    this.#creation = undefined;
    this.#report = undefined;
    this.#answers.add({ rid: open.rid, key: open.key, body }, this.#options.now());
    this.#answers.forgetBefore(rid - this.#state.requests);
    this.#give(open, this.#told(body));
    this.#emptyAt = content.length === 0 ? this.#options.now() : undefined;
  }

  #give(open: Open, answer: BoshAnswer): void {
    this.#idleSince = this.#options.now();
    open.answer(answer);
  }

  /** Answers everything that is open: the connections are about to close. */
  answerAll(): void {
    while (this.#held.length > 0) this.#answer();
    this.#emptyAt = undefined;
  }

  /** Once a second: answers what has waited long enough, and gives up who stays away. */
  sweep(now: number): void {
    if (this.#over !== undefined) {
      if (now - this.#idleSince >= this.#state.patienceMs) this.#options.over();
      return;
    }
    while (this.#held[0] !== undefined && now - this.#held[0].since >= this.#state.waitMs) this.#answer();
    if (this.#held.length > 0 || now - this.#idleSince < this.#state.patienceMs) return;
    this.#finish("item-not-found");
    this.#options.over();
    this.#handler.gone("inactive");
  }

  /** The client broke the rules of BOSH. XEP-0124 §17 */
  #violated(condition: string): void {
    this.#finish(condition);
    this.#handler.gone(`bosh ${condition}`);
  }

  /**
   * Ends the session: the oldest request that is open is told `last`, or whoever asks next; all others that it is over,
   * or nothing if the client ended it in order.
   */
  #finish(condition: string | undefined, last?: string): void {
    const ending = this.#ending(condition);
    this.#over = ending;
    this.#inbox = [];
    const open = [...this.#held, ...[...this.#early.values()].map((each) => each.open)];
    this.#held = [];
    this.#early.clear();
    this.#idleSince = this.#options.now();
    const first = last === undefined ? ending : this.#told(last);
    // XEP-0124 §13
    const others = condition === undefined ? this.#told(writeBody({}, [])) : ending;
    for (const [place, each] of open.entries()) {
      const answer = place === 0 ? first : others;
      if (answer.status === 200)
        this.#answers.add({ rid: each.rid, key: each.key, body: answer.body }, this.#idleSince);
      this.#give(each, answer);
    }
    if (open.length === 0) this.#over = first;
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
    this.#finish("internal-server-error");
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
    this.#finish(condition, terminateBody(condition, content, first));
  }

  drop(): void {
    if (this.#over === undefined) this.#dropped("dropped");
  }

  freeze(): FrozenWire {
    const pending = this.#pending.map(String);
    const state: FrozenBosh = { agreed: this.#state, pending, answers: this.#answers.frozen() };
    return { connection: 0, state };
  }

  /** Puts it where the predecessor's was. */
  thaw({ pending, answers }: FrozenBosh): void {
    this.#pending = [...pending];
    this.#pendingBytes = pending.reduce((bytes, { length }) => bytes + length, 0);
    for (const answer of answers) this.#answers.add(answer, this.#options.now());
  }
}
