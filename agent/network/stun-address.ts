/** `auto`: the address by which STUN servers see us, asked again and again in the background. docs/network.md */
import { explain, type Notice } from "../errors.ts";
import type { AddressResolver } from "./address-resolver.ts";
import { type FollowReport, heldNotice, type Seen } from "./seen.ts";
import type { SteadyAddress } from "./steady-address.ts";
import { type After, realAfter } from "./stun-client.ts";
import { type AskStun, agreement, type Family, families, isInside, type StunAnswer, stunRound } from "./stun-round.ts";
import type { StunServer } from "./stun-servers.ts";

/** A new address is looked at once more after this, and then taken. */
const confirmMs = 5000;
export const confirmations = 2;
/** How long the first look of all waits for an answer, so that a first apply has the address. */
const firstLookMs = 3000;
/** A family of which nobody has said anything for so long, while the other is seen, is gone. */
const silentMs = 60 * 60_000;

export interface StunAddress {
  /** What the servers have said so far. Asks in the background from now on; `steady` is where the answers go. */
  look(steady: Record<Family, SteadyAddress>): Promise<Seen>;
  /** Asks nobody any more. */
  rest(): void;
}

export function stunAddress(options: {
  readonly servers: readonly StunServer[];
  readonly resolver: AddressResolver;
  readonly now: () => number;
  /** Between two rounds. */
  readonly everyMs: number;
  /** The address has moved, or what is to be said of it has changed. */
  readonly moved: (cause: string) => void;
  readonly after?: After | undefined;
  readonly ask?: AskStun | undefined;
  readonly report?: FollowReport | undefined;
}): StunAddress {
  const { servers, now, everyMs, after = realAfter, report } = options;
  let running: { steady: Record<Family, SteadyAddress>; ending: AbortController; first: Promise<void> } | undefined;
  let seen: Seen = { lost: [], notices: [], how: "auto" };
  const heardAt = new Map<Family, number>();

  async function rounds(steady: Record<Family, SteadyAddress>, signal: AbortSignal, first: () => void): Promise<void> {
    while (!signal.aborted) {
      const answers = await stunRound({ ...options, after, signal });
      if (signal.aborted) return;
      const before = JSON.stringify(seen.notices);
      const { took, next } = judge(answers, steady);
      first();
      if (took || JSON.stringify(seen.notices) !== before) options.moved("STUN servers see another external address");
      await pause(next, signal);
    }
  }

  function pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const over = () => {
        stop();
        signal.removeEventListener("abort", over);
        resolve();
      };
      const stop = after(ms, over);
      signal.addEventListener("abort", over);
    });
  }

  /** Lets the answers of one round count. */
  function judge(
    answers: readonly StunAnswer[],
    steady: Record<Family, SteadyAddress>,
  ): { took: boolean; next: number } {
    const notices: Notice[] = [];
    const ways: string[] = [];
    let took = false;
    let next = everyMs;
    const found = families.map((family) => {
      const ours = answers.filter((answer) => answer.family === family);
      return { family, ours, came: agreement(ours) };
    });
    const agreed = found.filter(({ came }) => came.is === "agreed");
    for (const { family, ours, came } of found) {
      if (came.is === "agreed") {
        heardAt.set(family, now());
        const steadied = steady[family].saw(came.address, now());
        if (steadied.is === "unconfirmed") next = Math.min(confirmMs, everyMs);
        if (steadied.is === "held") {
          notices.push(heldNotice("auto", steadied));
          next = Math.max(1000, Math.min(next, steadied.until - now()));
        }
        if (steadied.is === "taken") {
          took = true;
          report?.addressFollowed("auto", came.address);
        }
        ways.push(`seen by ${came.by} of ${came.of} STUN servers`);
      } else if (came.is === "disagree") notices.push(disagreement(came.said, steady[family].state.current));
      else if (agreed.length === 0 && family === 4) {
        notices.push(silence(answers, steady));
        report?.addressUnresolved("auto", "no STUN server answers");
      }
      notices.push(...ours.filter(({ address }) => address !== undefined && isInside(address)).map(insider));
    }
    const lost = families.filter(
      (family) => agreed.some((one) => one.family !== family) && now() - (heardAt.get(family) ?? now()) >= silentMs,
    );
    seen = { lost, notices, how: ["auto", ...new Set(ways)].join(", ") };
    return { took, next };
  }

  return {
    async look(steady) {
      if (running?.steady !== steady) {
        running?.ending.abort();
        const ending = new AbortController();
        for (const family of families) heardAt.set(family, now());
        const first = new Promise<void>((resolve) => {
          // A fault of ours must cost the address, not the agent.
          rounds(steady, ending.signal, resolve).catch((error: unknown) =>
            report?.addressUnresolved("auto", explain(error)),
          );
        });
        running = { steady, ending, first };
      }
      const nothing = families.every((family) => steady[family].state.current === undefined);
      if (nothing) {
        const patience = new AbortController();
        await Promise.race([running.first, pause(firstLookMs, patience.signal)]);
        patience.abort();
      }
      return seen;
    },
    rest() {
      running?.ending.abort();
      running = undefined;
      heardAt.clear();
      seen = { lost: [], notices: [], how: "auto" };
    },
  };

  function silence(answers: readonly StunAnswer[], steady: Record<Family, SteadyAddress>): Notice {
    const why = answers.flatMap((answer) =>
      answer.family === 4 || !answers.some(({ family, server }) => family === 4 && server === answer.server)
        ? [`${answer.server}: ${answer.why ?? `it sees ${answer.address}`}`]
        : [],
    );
    const last = families.flatMap((family) => steady[family].state.current ?? []);
    return {
      code: "network/stun-silent",
      message: `No STUN server of ${servers.length} says how we are seen from outside. ${why.join("; ")}.`,
      hint: last.length === 0 ? "The address in force stays." : `The last address ${last.join(", ")} stays.`,
    };
  }
}

function disagreement(said: readonly string[], current: string | undefined): Notice {
  return {
    code: "network/stun-disagree",
    message: `The STUN servers do not agree on the external address; seen: ${said.join(", ")}.`,
    hint: `More than half of those that answer must, and at least two of three. ${current === undefined ? "The address in force" : current} stays.`,
  };
}

function insider({ server, address }: StunAnswer): Notice {
  return {
    code: "network/stun-inside",
    message: `The STUN server ${server} sees us at ${address}: it stands inside the network, and its answer does not count.`,
    hint: "Name servers outside the NAT in FIREKEEPER_STUN.",
  };
}
