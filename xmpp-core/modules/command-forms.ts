/** What commands of administration have in common: their forms, and the accounts that forms name. XEP-0133 */

import { type DataForm, type Field, formElement, parseForm } from "../formats/data-form.ts";
import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Core } from "./module.ts";
import type { CommandAsk, CommandStep } from "./points.ts";

/** Addresses that one answer holds at most. */
const mostListed = 10_000;

export function completed(note: string | undefined, form?: DataForm): CommandStep {
  return {
    is: "completed",
    ...(note !== undefined && { note }),
    ...(form !== undefined && { form: formElement(form) }),
  };
}

/** A form of XEP-0133 to fill in. */
export function askFor(form: Omit<DataForm, "type" | "formType">): CommandStep {
  return { is: "form", form: formElement({ type: "form", formType: ns.admin, ...form }) };
}

/** A result of XEP-0133. */
export function resultForm(fields: readonly Field[]): DataForm {
  return { type: "result", formType: ns.admin, fields };
}

export function refusedFor(
  condition: "bad-request" | "conflict" | "item-not-found" | "not-acceptable" | "not-allowed",
  why: string,
): CommandStep {
  return { is: "error", error: stanzaError(condition, { text: why }) };
}

/** Values of a submitted field; undefined: no form was submitted, so it is to be shown. */
export function submitted(request: CommandAsk, name: string): readonly string[] | undefined {
  const form = request.form && parseForm(request.form);
  if (form?.type !== "submit") return undefined;
  return form.fields.find((one) => one.name === name)?.values ?? [];
}

/** The text of a field of several lines; undefined: no form was submitted. */
export function submittedText(request: CommandAsk, name: string): string | undefined {
  return submitted(request, name)?.join("\n").trim();
}

/** The accounts that bare addresses of the asker's domain name, teams and probes left out; or why one is none. */
export function accountsNamed(
  core: Core,
  request: CommandAsk,
  given: readonly string[],
): readonly Account[] | CommandStep {
  const found = new Set<Account>();
  for (const one of given) {
    const address = parseJid(one.trim());
    const place = address && core.names.locate(address);
    if (place?.at !== "account" || place.served.id !== request.served.id || place.resource !== "")
      return refusedFor("bad-request", `"${one}" is no address of a user of ${request.session.view}.`);
    const account = core.accounts.get(place.served.id, place.name);
    if (account === undefined || account.probe || account.contact || account.name !== place.name)
      return refusedFor("item-not-found", `There is no user ${place.name}.`);
    found.add(account);
  }
  return found.size > 0 ? [...found] : refusedFor("bad-request", "Name at least one user.");
}

/** Exactly one of them. */
export function accountNamed(core: Core, request: CommandAsk, given: readonly string[]): Account | CommandStep {
  const found = accountsNamed(core, request, given);
  if ("is" in found) return found;
  const [account] = found;
  return account !== undefined && found.length === 1 ? account : refusedFor("bad-request", "Name one user at a time.");
}

export const oneAccount = (label: string): Field => ({
  ...{ name: "accountjid", type: "jid-single", label, required: true, values: [] },
});
export const severalAccounts = (label: string): Field => ({
  ...{ name: "accountjids", type: "jid-multi", label, required: true, values: [] },
});

/** Lists users by their bare addresses, as many as asked for. XEP-0133 §4.18 to §4.22 */
export function listUsers(
  core: Core,
  request: CommandAsk,
  list: { title: string; field: string; all: () => Iterable<Account>; sentence: (count: number) => string },
): CommandStep {
  const limits = ["25", "50", "75", "100", "150", "200", "none"];
  const [wanted] = submitted(request, "max_items") ?? ["-"];
  if (wanted === "-")
    return askFor({
      title: list.title,
      instructions: "Choose how many to list.",
      fields: [
        {
          ...{ name: "max_items", label: "At most", type: "list-single", values: ["none"] },
          options: limits.map((value) => ({ label: value === "none" ? "All" : value, value })),
        },
      ],
    });
  const most = wanted === undefined || wanted === "none" ? mostListed : Number(wanted);
  if (!(most >= 0)) return refusedFor("bad-request", `"${wanted}" is no number.`);
  const addresses = [...list.all()].map(({ name }) => core.names.absolute(`${name}@`, request.session.view)).sort();
  const listed = addresses.slice(0, Math.min(most, mostListed));
  const cut = listed.length < addresses.length ? ` The first ${listed.length} are listed.` : "";
  core.rights.used(request.session.bareAddress, list.title.toLowerCase(), request.served.name);
  return completed(
    `${list.sentence(addresses.length)}${cut}`,
    resultForm([{ name: list.field, type: "jid-multi", label: list.title, values: listed }]),
  );
}
