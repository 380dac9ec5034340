import { BlockList, isIPv6 } from "node:net";
import type { ListenLimits } from "../frames.ts";
import { failed } from "./failure.ts";

const defaultHandshakes = 200;

/** Who may come in on one listener, and how many at once. The counts outlive a change of the limits. */
export class Admission {
  #limits: ListenLimits = {};
  #trusted = new BlockList();
  readonly #open = new Map<string, number>();
  #handshakes = 0;
  readonly #handshakesOf = new Map<string, number>();
  /** Who waits for a handshake slot, by address; the first address is served next. */
  readonly #queues = new Map<string, { readonly starts: Set<() => void>; readonly trusted: boolean }>();
  #tokens = 0;
  #filledMs = 0;
  readonly #now: () => number;

  /** @param now a steady clock in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  set(limits: ListenLimits): void {
    const fresh = limits.perSecond !== this.#limits.perSecond || limits.burst !== this.#limits.burst;
    this.#limits = limits;
    this.#trusted = networks(limits.trusted ?? []);
    if (fresh) {
      this.#tokens = this.#depth;
      this.#filledMs = this.#now();
    }
  }

  /** Counts the connection in, or says which limit it met. Whoever was let in is counted out by {@link leave}. */
  enter(address: string): "admitted" | "per-address" | "per-second" {
    const key = addressKey(address);
    const open = this.#open.get(key) ?? 0;
    if (!this.#trusts(address)) {
      if (open >= (this.#limits.perAddress ?? Number.POSITIVE_INFINITY)) return "per-address";
      if (!this.#takeToken()) return "per-second";
    }
    this.#open.set(key, open + 1);
    return "admitted";
  }

  leave(address: string): void {
    const key = addressKey(address);
    const open = (this.#open.get(key) ?? 1) - 1;
    if (open > 0) this.#open.set(key, open);
    else this.#open.delete(key);
  }

  /**
   * Calls `start` when a handshake slot is free; each call is paid by {@link handshaken}. One address has a quarter of
   * the slots, trusted ones aside, so that nobody fills them all with handshakes that never end.
   *
   * @returns gives the place up; without effect once `start` was called
   */
  handshake(address: string, start: () => void): () => void {
    const key = addressKey(address);
    const queue = this.#queues.get(key) ?? { starts: new Set(), trusted: this.#trusts(address) };
    queue.starts.add(start);
    this.#queues.set(key, queue);
    this.#startNext();
    return () => {
      if (queue.starts.delete(start) && queue.starts.size === 0) this.#queues.delete(key);
    };
  }

  handshaken(address: string): void {
    const key = addressKey(address);
    this.#handshakes -= 1;
    const left = (this.#handshakesOf.get(key) ?? 1) - 1;
    if (left > 0) this.#handshakesOf.set(key, left);
    else this.#handshakesOf.delete(key);
    this.#startNext();
  }

  #startNext(): void {
    const limit = this.#limits.handshakes ?? defaultHandshakes;
    const share = Math.max(1, Math.floor(limit / 4));
    for (const [key, queue] of this.#queues) {
      if (this.#handshakes >= limit) return;
      const running = this.#handshakesOf.get(key) ?? 0;
      if (running >= share && !queue.trusted) continue;
      // Back to the end of the line, which this loop comes to as well.
      this.#queues.delete(key);
      const [start] = queue.starts;
      if (start === undefined) continue;
      queue.starts.delete(start);
      if (queue.starts.size > 0) this.#queues.set(key, queue);
      this.#handshakes += 1;
      this.#handshakesOf.set(key, running + 1);
      start();
    }
  }

  get #depth(): number {
    return this.#limits.burst ?? this.#limits.perSecond ?? 0;
  }

  #takeToken(): boolean {
    const { perSecond } = this.#limits;
    if (perSecond === undefined) return true;
    const now = this.#now();
    this.#tokens = Math.min(Math.max(this.#depth, 1), this.#tokens + ((now - this.#filledMs) / 1000) * perSecond);
    this.#filledMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #trusts(address: string): boolean {
    return contains(this.#trusted, address);
  }
}

/** Whether an address, IPv4 or IPv6, is in a list of {@link networks}. */
export function contains(list: BlockList, address: string): boolean {
  return list.check(address, isIPv6(address) ? "ipv6" : "ipv4");
}

/**
 * Addresses, CIDR networks and ranges (`10.0.0.1-10.0.0.9`) to test others against.
 *
 * @throws GateFailure gate/network-unreadable
 */
export function networks(list: readonly string[]): BlockList {
  const result = new BlockList();
  for (const entry of list) {
    const [first = "", last] = entry.split("-");
    const [address = "", prefix] = first.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    try {
      if (last !== undefined) result.addRange(address, last, family);
      else if (prefix === undefined) result.addAddress(address, family);
      else result.addSubnet(address, Number(prefix), family);
    } catch {
      throw failed("gate/network-unreadable", `"${entry}" is neither an address nor a network nor a range.`, {
        fields: { entry },
        hint: "Write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.",
      });
    }
  }
  return result;
}

/** One IPv4 address, or the /64 of an IPv6 address: what one customer usually has. */
export function addressKey(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = "", tail] = (address.split("%")[0] as string).split("::");
  const left = head === "" ? [] : head.split(":");
  if (tail === undefined) return left.slice(0, 4).join(":");
  const right = tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0");
  return [...left, ...zeros, ...right].slice(0, 4).join(":");
}

/** "::ffff:192.0.2.1" is an IPv4 address on a socket that takes both. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
