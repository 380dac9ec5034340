import { CodedError } from "../errors.ts";
import type { StorageHealth, Ticket } from "./contract.ts";

interface Waiter {
  readonly ticket: Ticket;
  readonly resolve: () => void;
  readonly reject: (error: CodedError) => void;
}

/** Promises for those who want to await a ticket. Failed tickets are kept as ranges: failing comes in stretches. */
export function settledTickets(decidedNow: () => Ticket) {
  let waiters: Waiter[] = [];
  const failedRanges: { from: Ticket; to: Ticket; error: CodedError }[] = [];

  return {
    /** To be called once per group, in order. */
    decided(ticket: Ticket, failed: boolean, health: StorageHealth): void {
      const error = failed ? failureOf(health) : undefined;
      if (error !== undefined) {
        const last = failedRanges.at(-1);
        if (last?.to === ticket - 1) last.to = ticket;
        else failedRanges.push({ from: ticket, to: ticket, error });
      }
      if (waiters.length === 0) return;
      const ready = waiters.filter((waiter) => waiter.ticket <= ticket);
      waiters = waiters.filter((waiter) => waiter.ticket > ticket);
      for (const waiter of ready) error === undefined ? waiter.resolve() : waiter.reject(error);
    },
    settled(ticket: Ticket): Promise<void> {
      if (ticket > decidedNow()) return new Promise((resolve, reject) => waiters.push({ ticket, resolve, reject }));
      const failed = failedRanges.find((range) => range.from <= ticket && ticket <= range.to);
      return failed === undefined ? Promise.resolve() : Promise.reject(failed.error);
    },
  };
}

function failureOf(health: StorageHealth): CodedError {
  return health === "ok" ? new CodedError("storage/failing", "The database could not be written.") : health.failing;
}
