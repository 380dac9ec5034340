/** What following an address, by DNS or STUN, comes to. The addresses themselves are in the steady state. */
import type { Notice } from "../errors.ts";
import type { Steadied } from "./steady-address.ts";
import type { Family } from "./stun-round.ts";

export interface Seen {
  /** Families that the external address no longer has. */
  readonly lost: readonly Family[];
  readonly notices: readonly Notice[];
  /** For the plan: where the address is from. */
  readonly how: string;
}

export interface FollowReport {
  addressFollowed(name: string, address: string): void;
  addressUnresolved(name: string, why: string): void;
}

export function heldNotice(name: string, held: Extract<Steadied, { is: "held" }>): Notice {
  return {
    code: "network/address-held",
    message: `The external address (${name}) is ${held.address} now; it has moved too often to be followed at once.`,
    hint: `It is followed at ${new Date(held.until).toISOString()} if it is still there.`,
  };
}
