import { placesOf } from "../auth/slow-down.ts";
import type { Clock } from "../clock.ts";
import type { Registry } from "../properties/registry.ts";
import { addressIn } from "../properties/text-schema.ts";
import type { Connection } from "../transport/connection.ts";
import { XmlFault } from "../xml/fault.ts";
import { type Limits, limitsBeforeLogin } from "../xml/reader.ts";
import { type BoshAnswer, type BoshBody, bodyBytes, closing, contentFor, parseBody } from "./bosh-body.ts";
import type { BoshOptions, BoshRules, BoshState } from "./bosh-state.ts";
import type { BoshWire } from "./bosh-wire.ts";
import { trusted } from "./properties.ts";
import type { Visitor } from "./visitor.ts";
import * as rules from "./web-properties.ts";

/** Where BOSH sessions are found by their ids. XEP-0124 */
export interface BoshDoor {
  /** Bytes that a body may have, as far as its beginning tells whose it is. */
  mostBytes(beginning: Buffer): number;
  /** The answer to a request, when it is due. */
  request(body: Buffer, from: BoshVisitor): Promise<BoshAnswer>;
  /** Answers all that is open; until the end nothing more is taken. */
  leave(): void;
  sweep(now: number): void;
  /** What a session of the predecessor goes on with; `enter` then lets its requests find it. */
  thawing(state: BoshState): BoshOptions;
  enter(wire: BoshWire): void;
}

export interface BoshVisitor extends Visitor {
  readonly listener: string;
  readonly local: Connection["local"];
}

interface BoshParts {
  readonly clock: Clock;
  readonly random: (bytes: number) => Buffer;
  readonly properties: Registry;
  /** Makes the stream above a wire, and returns the wire. */
  readonly open: (options: BoshOptions) => BoshWire;
}

/** The version of XEP-0124 that is spoken: 1.11. */
const [major, minor] = [1, 11];
/** A client that does not say how long it waits. */
const usualWait = 60;
const nobody = { address: "", port: 0 };

export function boshDoor(parts: BoshParts): BoshDoor {
  const { clock, random, properties } = parts;
  const bySid = new Map<string, BoshWire>();
  const perAddress = new Map<string, number>();
  let leaving = false;

  const live: BoshRules = {
    inactivityMs: (polls) => properties.get(polls ? rules.idlePolling : rules.idleBosh) * 1000,
    pollingMs: () => properties.get(rules.pollingInterval) * 1000,
    maxPauseMs: () => properties.get(rules.maxPause) * 1000,
    ignoresLongPauses: () => properties.get(rules.ignoreLongPauses),
    ignoresOveractivity: () => properties.get(rules.ignoreOveractivity),
  };

  function optionsOf(facts: Pick<BoshOptions, "state" | "listener" | "local">): BoshOptions {
    return { ...facts, rules: live, now: clock.now, over: () => forget(facts.state) };
  }

  function enter(wire: BoshWire): void {
    const { address } = placesOf(wire.visitor.address);
    perAddress.set(address, (perAddress.get(address) ?? 0) + 1);
    bySid.set(wire.sid, wire);
  }

  function forget({ sid, visitor }: BoshState): void {
    if (!bySid.delete(sid)) return;
    const { address } = placesOf(visitor.address);
    const left = (perAddress.get(address) ?? 1) - 1;
    if (left === 0) perAddress.delete(address);
    else perAddress.set(address, left);
  }

  function tooMany({ address }: Visitor): boolean {
    const now = perAddress.get(placesOf(address).address) ?? 0;
    return now >= properties.get(rules.webPerAddress) && !addressIn(properties.get(trusted), address);
  }

  /** XEP-0124 §7 */
  function create(body: BoshBody, { listener, local, ...visitor }: BoshVisitor): Promise<BoshAnswer> {
    const content = contentFor(body.content);
    const legacy = body.ver === undefined;
    if (tooMany(visitor)) return Promise.resolve(closing("policy-violation", { content, legacy }));
    const most = properties.get(rules.mostRequests);
    const wait = Math.min(body.wait ?? usualWait, properties.get(rules.longestWait));
    const hold = wait === 0 ? 0 : Math.min(body.hold ?? 1, most - 1);
    const polls = hold === 0;
    const patienceMs = live.inactivityMs(polls);
    const requests = Math.min(Math.max(hold + 1, 2), most);
    const state = {
      ...{ sid: random(16).toString("base64url"), rid: body.rid, requests, hold, waitMs: wait * 1000, polls },
      ...{ acks: body.ack === 1, patienceMs, visitor, content, legacy },
      ...(body.newKey === undefined ? undefined : { key: body.newKey }),
    };
    const wire = parts.open(optionsOf({ state, listener, local }));
    enter(wire);
    return wire.begin(body, {
      ...{ sid: state.sid, wait, requests, hold, ver: commonVersion(body.ver) },
      inactivity: patienceMs / 1000,
      polling: polls ? live.pollingMs() / 1000 : undefined,
      maxpause: live.maxPauseMs() / 1000,
      ...{ "xmlns:xmpp": "urn:xmpp:xbosh", "xmpp:version": "1.0", "xmpp:restartlogic": "true" },
    });
  }

  function limitsOf(wire: BoshWire | undefined): Limits {
    return wire?.limits ?? limitsBeforeLogin;
  }

  function known(beginning: Buffer): BoshWire | undefined {
    const sid = /^[^>]*\ssid\s*=\s*["']([\w-]{1,64})["']/.exec(
      beginning.toString("latin1", 0, 2048).replace(/^<\?[^>]*>/, ""),
    );
    return sid?.[1] === undefined ? undefined : bySid.get(sid[1]);
  }

  return {
    mostBytes: (beginning) => bodyBytes(limitsOf(known(beginning))),

    async request(source, from) {
      // The connection closes in a moment, and the client asks again.
      if (leaving) return new Promise(() => undefined);
      const seeming = known(source);
      let body: BoshBody | undefined;
      try {
        body = parseBody(source, limitsOf(seeming));
      } catch (error) {
        if (!(error instanceof XmlFault)) throw error;
      }
      if (body === undefined) return closing("bad-request");
      // What looked like the id of another session was none: its limits are not for this one.
      if (seeming !== undefined && seeming.sid !== body.sid) return closing("bad-request");
      if (body.sid === undefined) return create(body, from);
      const wire = bySid.get(body.sid);
      // What began in TLS does not go on without.
      if (wire === undefined || (wire.visitor.secure && !from.secure)) return closing("item-not-found");
      return wire.take(body);
    },

    leave() {
      leaving = true;
      for (const wire of bySid.values()) wire.answerAll();
    },

    sweep(now) {
      for (const wire of bySid.values()) wire.sweep(now);
    },

    thawing: (state) => optionsOf({ state, listener: "web", local: nobody }),
    enter,
  };
}

/** The lower of the client's version and ours. */
function commonVersion(told: string | undefined): string {
  const [, theirMajor, theirMinor] = /^(\d{1,4})\.(\d{1,4})$/.exec(told ?? "") ?? [];
  const [first, second] = [Number(theirMajor ?? major), Number(theirMinor ?? minor)];
  return first > major || (first === major && second >= minor) ? `${major}.${minor}` : `${first}.${second}`;
}
