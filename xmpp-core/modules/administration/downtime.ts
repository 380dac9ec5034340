/** Restart and shutdown, announced and after a while, and the list of admins, which is the host's. XEP-0133 §4.29 to §4.31 */

import { parseForm, singleValueOf, valuesOf } from "../../formats/data-form.ts";
import { online, tell } from "../announcements.ts";
import { askFor, completed, refusedFor, submitted } from "../command-forms.ts";
import type { Core } from "../module.ts";
import { type CommandAsk, type CommandStep, downtimes } from "../points.ts";

const longestDelay = 24 * 3600;
const delays = [
  ["30", "30 seconds"],
  ["60", "60 seconds"],
  ["90", "90 seconds"],
  ["120", "2 minutes"],
  ["180", "3 minutes"],
  ["240", "4 minutes"],
  ["300", "5 minutes"],
] as const;

export function downtimeCommands(core: Core) {
  let planned: { readonly what: string; readonly at: number; readonly cancel: () => void } | undefined;
  const { clock, rights } = core;

  function forget(): void {
    planned?.cancel();
    planned = undefined;
    for (const each of core.offered(downtimes)) each.plan(undefined);
  }

  function toAll(served: number, body: string): void {
    for (const account of online(core, served)) tell(core, account, body);
  }

  /** @param back whether the service returns by itself */
  function ending(what: "restart" | "shutdown", title: string, back: boolean, run: () => void) {
    return (ask: CommandAsk): CommandStep => {
      const form = ask.form && parseForm(ask.form);
      if (form?.type !== "submit")
        return askFor({
          title,
          fields: [
            {
              ...{ name: "delay", label: "When", type: "list-single", values: ["60"] },
              options: delays.map(([value, label]) => ({ value, label })),
            },
            { name: "announcement", label: "Announcement to those who are online", type: "text-multi", values: [] },
          ],
        });
      const given = singleValueOf(form, "delay") ?? "0";
      const delay = /^\d{1,5}$/.test(given) ? Number(given) : Number.NaN;
      if (!(delay <= longestDelay))
        return refusedFor("bad-request", `The delay is a number of seconds, at most ${longestDelay}.`);
      if (planned !== undefined)
        return refusedFor("conflict", `A ${planned.what} is planned already; call it off first.`);
      const message = valuesOf(form, "announcement").join("\n").trim() || undefined;
      rights.used(ask.session.bareAddress, what, ask.served.name);
      if (message !== undefined) toAll(ask.served.id, message);
      const at = clock.now() + delay * 1000;
      planned = { what, at, cancel: clock.after(delay * 1000, run) };
      // A restart is over before anybody could read of it.
      if (!back)
        for (const each of core.offered(downtimes)) each.plan({ beginning: at, expectedEnd: undefined, message });
      return completed(`The ${what} comes in ${delay} seconds.`);
    };
  }

  function callOff(ask: CommandAsk): CommandStep {
    if (planned === undefined) return refusedFor("item-not-found", "Neither a restart nor a shutdown is planned.");
    const { what } = planned;
    forget();
    rights.used(ask.session.bareAddress, `call off ${what}`, ask.served.name);
    toAll(ask.served.id, `The planned ${what} of the service is called off.`);
    return completed(`The ${what} is called off.`);
  }

  /** The list is shown; who is on it is the host's to say. */
  function admins(ask: CommandAsk): CommandStep {
    if (submitted(ask, "adminjids") !== undefined)
      return refusedFor(
        "not-allowed",
        "The admin is whom sys.xmpp.adminuser names in the host's settings: change it there.",
      );
    const listed = [...core.accounts.all()].filter(({ id }) => rights.isAdmin(id));
    return askFor({
      title: "Admins",
      instructions: "Read only: sys.xmpp.adminuser in the host's settings says who it is.",
      fields: [
        {
          ...{ name: "adminjids", label: "Admins", type: "jid-multi", required: true },
          values: listed.map(({ name }) => core.names.absolute(`${name}@`, ask.session.view)),
        },
      ],
    });
  }

  return {
    stop: () => planned?.cancel(),
    commands: [
      [
        "restart",
        "Restart the service",
        ending("restart", "Restart the service", true, () => core.operation.restart()),
      ],
      [
        "shutdown",
        "Shut the service down",
        ending("shutdown", "Shut the service down", false, () => core.operation.stop()),
      ],
      ["edit-admin", "Admins", admins],
    ] as const,
    callOff,
  };
}
