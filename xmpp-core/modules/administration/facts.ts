/** Commands that say who there is and what is known of somebody. XEP-0133 §4.8 to §4.10 and §4.13 to §4.22 */

import { field } from "../../formats/data-form.ts";
import { formatDate } from "../../formats/delay.ts";
import { ns } from "../../formats/namespaces.ts";
import type { Account } from "../../routing/accounts.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import { online } from "../announcements.ts";
import {
  accountNamed,
  askFor,
  completed,
  listUsers,
  oneAccount,
  resultForm,
  severalAccounts,
  submitted,
} from "../command-forms.ts";
import type { Core } from "../module.ts";
import { activity, type CommandAsk, type CommandStep, rosterLists } from "../points.ts";
import { shownPresence } from "../shown-presence.ts";

export function factCommands(core: Core) {
  const { accounts, names, rights } = core;
  const used = (ask: CommandAsk, what: string, on: string): void => rights.used(ask.session.bareAddress, what, on);

  const of = function* (served: number, which: (account: Account) => boolean): IterableIterator<Account> {
    for (const account of accounts.all())
      if (account.served === served && account.keptUntil === undefined && which(account)) yield account;
  };
  const isIdle = (account: Account): boolean => {
    const { show } = shownPresence(core, account);
    return show === "away" || show === "xa";
  };
  const among = (served: number, idle: boolean): Account[] =>
    [...online(core, served)].filter((account) => isIdle(account) === idle);

  const groups = {
    registered: (served: number) => of(served, () => true),
    disabled: (served: number) => of(served, ({ enabled }) => !enabled),
    active: (served: number) => among(served, false),
    idle: (served: number) => among(served, true),
    online: (served: number) => online(core, served),
  } as const;
  const are = { registered: "registered", disabled: "disabled", active: "active", idle: "away", online: "online" };

  const number =
    (kind: keyof typeof groups) =>
    (ask: CommandAsk): CommandStep => {
      const count = [...groups[kind](ask.served.id)].length;
      used(ask, `count ${kind} users`, ask.served.name);
      return completed(
        `${count} users are ${are[kind]}.`,
        resultForm([{ ...field(`${kind}usersnum`, count), label: `The number of ${kind} users` }]),
      );
    };
  const list =
    (kind: keyof typeof groups) =>
    (ask: CommandAsk): CommandStep =>
      listUsers(core, ask, {
        title: `List ${kind} users`,
        field: `${kind}userjids`,
        all: () => groups[kind](ask.served.id),
        sentence: (count) => `${count} users are ${are[kind]}.`,
      });

  const addressOf = (ask: CommandAsk, account: Account): string => names.absolute(`${account.name}@`, ask.session.view);

  async function rosterOf(ask: CommandAsk): Promise<CommandStep> {
    const given = submitted(ask, "accountjids");
    if (given === undefined) return askFor({ title: "Read a roster", fields: [severalAccounts("The user")] });
    const account = accountNamed(core, ask, given);
    if ("is" in account) return account;
    const items: Xml[] = [];
    for (const each of core.offered(rosterLists)) items.push(...(await each.items(account, ask.session.view)));
    used(ask, "read roster", account.name);
    return {
      is: "completed",
      form: x(
        "x",
        { xmlns: ns.dataForms, type: "result" },
        fieldElement("FORM_TYPE", ns.admin, "hidden"),
        fieldElement("accountjids", addressOf(ask, account)),
        x("query", { xmlns: ns.roster }, items),
      ),
    };
  }

  async function lastLogin(ask: CommandAsk): Promise<CommandStep> {
    const given = submitted(ask, "accountjids");
    if (given === undefined)
      return askFor({ title: "When was a user last here", fields: [severalAccounts("The user")] });
    const account = accountNamed(core, ask, given);
    if ("is" in account) return account;
    let at: number | undefined;
    for (const each of core.offered(activity)) at = await each.lastLogin(account);
    used(ask, "read last login", account.name);
    return completed(
      at === undefined ? `${account.name} was never here, or it is not kept.` : undefined,
      resultForm([
        field("accountjids", addressOf(ask, account)),
        field("lastlogin", at === undefined ? [] : formatDate(new Date(at))),
      ]),
    );
  }

  async function statistics(ask: CommandAsk): Promise<CommandStep> {
    const given = submitted(ask, "accountjid");
    if (given === undefined) return askFor({ title: "Statistics of a user", fields: [oneAccount("The user")] });
    const account = accountNamed(core, ask, given);
    if ("is" in account) return account;
    let contacts = 0;
    for (const each of core.offered(rosterLists)) contacts += (await each.items(account, ask.session.view)).length;
    const remotes = new Set(account.sessions.flatMap(({ carrier }) => carrier?.remote.address ?? []));
    used(ask, "read statistics", account.name);
    return completed(
      undefined,
      resultForm([
        field("ipaddresses", [...remotes]),
        field("rostersize", contacts),
        field(
          "onlineresources",
          account.sessions.flatMap(({ resource, priority }) => (priority === undefined ? [] : [resource])),
        ),
      ]),
    );
  }

  return [
    ["get-user-roster", "Read a user's roster", rosterOf],
    ["get-user-lastlogin", "When was a user last here", lastLogin],
    ["user-stats", "Statistics of a user", statistics],
    ["get-registered-users-num", "Count registered users", number("registered")],
    ["get-disabled-users-num", "Count disabled users", number("disabled")],
    ["get-online-users-num", "Count online users", number("online")],
    ["get-active-users-num", "Count active users", number("active")],
    ["get-idle-users-num", "Count idle users", number("idle")],
    ["get-registered-users-list", "List registered users", list("registered")],
    ["get-disabled-users-list", "List disabled users", list("disabled")],
    // Without "-list" in the specification.
    ["get-active-users", "List active users", list("active")],
    ["get-idle-users", "List idle users", list("idle")],
  ] as const;
}

function fieldElement(name: string, value: string, type?: string): Xml {
  return x("field", { var: name, type }, x("value", {}, text(value)));
}
