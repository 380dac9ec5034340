/** One agent drives one Openfire: a property names the holder and until when. A second agent is refused by that name. */
import { z } from "zod";
import { CodedError } from "../../errors.ts";
import { readProperties } from "./look.ts";
import type { Rest } from "./rest.ts";

export const leaseKey = "firekeeper.holder";
const leaseMs = 5 * 60_000;

const lease = z.object({ id: z.string(), holder: z.string(), until: z.string() });

export type Holder = {
  /** Stays the same for one home. */
  readonly id: string;
  /** Host and process, for the message the other one gets. */
  readonly name: string;
  readonly now: () => Date;
};

/** Takes or renews the lease. `stored` are properties read just now. Throws `target/held`. */
export async function hold(rest: Rest, holder: Holder, stored: ReadonlyMap<string, string>): Promise<void> {
  const there = leaseOf(stored);
  refuseOther(there, holder);
  const left = there ? Date.parse(there.until) - holder.now().getTime() : 0;
  if (there?.id === holder.id && there.holder === holder.name && left > leaseMs / 2) return;
  await writeLease(rest, holder, leaseMs);
  // The plugin has no compare-and-set: who wrote last is seen by reading again.
  if (there?.id !== holder.id) refuseOther(leaseOf(await readProperties(rest)), holder);
}

export async function letGo(rest: Rest, holder: Holder): Promise<void> {
  await writeLease(rest, holder, 0);
}

async function writeLease(rest: Rest, { id, name, now }: Holder, forMs: number): Promise<void> {
  const until = new Date(now().getTime() + forMs).toISOString();
  await rest.send("POST", "/system/properties", {
    key: leaseKey,
    value: JSON.stringify({ id, holder: name, until }),
  });
}

function leaseOf(stored: ReadonlyMap<string, string>): z.infer<typeof lease> | undefined {
  try {
    return lease.parse(JSON.parse(stored.get(leaseKey) ?? ""));
  } catch {
    return undefined;
  }
}

function refuseOther(there: z.infer<typeof lease> | undefined, { id, now }: Holder): void {
  if (!there || there.id === id || Date.parse(there.until) <= now().getTime()) return;
  throw new CodedError("target/held", `Another agent drives this Openfire: ${there.holder}, until ${there.until}.`, {
    fields: { holder: there.holder },
    hint: `Stop that one; its hold ends by itself at the time named. Only then: the property ${leaseKey} may be deleted in the console.`,
  });
}
