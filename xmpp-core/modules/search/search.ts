import { type DataForm, type Field, field, formElement } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { type PageRequest, pageElement, parsePageRequest } from "../../formats/rsm.ts";
import { stanzaError } from "../../formats/stanza-error.ts";
import { property } from "../../properties/property.ts";
import { boolean, jidList, list, serviceLabel } from "../../properties/text-schema.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqRequest } from "../../routing/handlers.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import { type Core, defineModule } from "../module.ts";
import { serviceDisco, sharedContacts } from "../points.ts";
import { typedServices } from "../web-points.ts";
import { legacy, readSearch, type Search, type SearchField, searchFields, textOf } from "./found.ts";

const enabled = property("plugin.search.serviceEnabled", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether users may search for each other by user name, name and mail address.",
});

const serviceName = property("plugin.search.serviceName", {
  schema: serviceLabel,
  default: "search",
  impact: "live",
  doc: "The first part of the search service's address: search.example.org.",
});

const excludedFields = property("plugin.search.excludedFields", {
  schema: list(
    (word) => searchFields.find((one) => one.toLowerCase() === word.toLowerCase()),
    `the words ${searchFields.join(", ")}`,
  ),
  default: [],
  impact: "live",
  doc: "What users can neither search for nor see in what is found: Username, Name, Email.",
});

const groupOnly = property("plugin.search.groupOnly", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether users find only those who are in their contact lists by a shared group.",
});

const excludedUsers = property("firekeeper.search.excluded-users", {
  schema: jidList,
  default: [],
  impact: "live",
  doc: "Users who are never found, by name or address.",
});

const mostOnPage = 100;
const service = "search";
const instructions = "Search for a user; * stands for any text.";

/** The directory of the domain's users. Teams, probes and people who are disabled or gone are not in it. XEP-0055 */
export const search = defineModule({
  name: "search",
  implements: [
    { spec: "XEP-0055", version: "1.3", status: "complete", note: "with Openfire's form, in pages (XEP-0059)" },
  ],
  properties: [enabled, serviceName, excludedFields, groupOnly, excludedUsers],
  start,
});

function start(core: Core) {
  const { names, properties } = core;
  const open = (): SearchField[] => searchFields.filter((one) => !properties.get(excludedFields).includes(one));

  core.watch(enabled, (on) => {
    if (!on) return names.closeService(service);
    names.openService(service, { certified: false });
    names.callService(service, properties.get(serviceName));
  });
  core.watch(serviceName, (label) => {
    if (properties.get(enabled)) names.callService(service, label);
  });
  core.offer(typedServices, { services: () => (properties.get(enabled) ? [{ kind: "search", service }] : []) });
  core.offer(serviceDisco, {
    services: () => (properties.get(enabled) ? [{ service, name: "User search", listed: true }] : []),
    info: (_, node) =>
      node === undefined
        ? {
            identities: [{ category: "directory", type: "user", name: "User search" }],
            features: [ns.discoInfo, ns.discoItems, ns.search, ns.dataForms, ns.rsm],
          }
        : stanzaError("item-not-found"),
    items: () => ({ items: [] }),
  });

  function form(): Xml {
    const shown: DataForm = {
      ...{ type: "form", formType: ns.search, title: "User search", instructions },
      fields: [
        { name: "search", label: "Search for", type: "text-single", required: true, values: [] },
        ...open().map((name): Field => ({ name, label: name, type: "boolean", values: ["1"] })),
      ],
    };
    const simple = legacy.filter(([, fields]) => fields.some((one) => open().includes(one)));
    return x(
      "query",
      { xmlns: ns.search },
      x("instructions", {}, text(instructions)),
      simple.map(([name]) => x(name)),
      formElement(shown),
    );
  }

  function* searched({ served, session }: IqRequest): IterableIterator<Account> {
    const hidden = new Set(properties.get(excludedUsers).map((given) => given.split("@")[0]));
    const known = properties.get(groupOnly) ? new Set<Account>([session.account]) : undefined;
    if (known !== undefined)
      for (const each of core.offered(sharedContacts))
        for (const { account, subscription } of each.contactsOf(session.account))
          if (subscription !== "from") known.add(account);
    for (const account of known ?? core.accounts.all())
      if (
        account.served === served.id &&
        account.enabled &&
        !account.probe &&
        !account.contact &&
        !hidden.has(account.name)
      )
        yield account;
  }

  function find(request: IqRequest): IqAnswer {
    const wanted = readSearch(request.element, open());
    const page = parsePageRequest(request.element);
    if (wanted === "malformed" || page === "malformed") return request.error(stanzaError("bad-request"));
    if (wanted === undefined) return request.result(x("query", { xmlns: ns.search }));
    const found = [...searched(request)].filter((account) => wanted.matches(account));
    found.sort((one, other) => (one.name < other.name ? -1 : 1));
    const { first, shown } = pageOf(found, page);
    // Who asks for no page gets the first one, and is told of the others if he can read it.
    const told = page !== undefined || shown.length < found.length;
    const set = pageElement({ first: shown[0]?.name, last: shown.at(-1)?.name, index: first, count: found.length });
    return request.result(x("query", { xmlns: ns.search }, results(request, wanted, shown), told && set));
  }

  function results({ view }: IqRequest, { form: asForm }: Search, accounts: readonly Account[]): Xml | Xml[] {
    const address = ({ name }: Account): string => names.absolute(`${name}@`, view);
    const shown = open();
    if (asForm)
      return formElement({
        ...{ type: "result", formType: ns.search, fields: [] },
        reported: [
          { name: "jid", label: "Address", type: "jid-single", values: [] },
          ...shown.map((name): Field => ({ name, label: name, type: "text-single", values: [] })),
        ],
        items: accounts.map((account) => [
          field("jid", address(account)),
          ...shown.map((name) => field(name, textOf(account, name) ?? "")),
        ]),
      });
    return accounts.map((account) =>
      x(
        "item",
        { jid: address(account) },
        shown.includes("Name") && x("first", {}, text(account.displayName ?? "")),
        x("last"),
        shown.includes("Username") && x("nick", {}, text(account.name)),
        shown.includes("Email") && x("email", {}, text(account.email ?? "")),
      ),
    );
  }

  return {
    iq: [
      {
        get: [ns.search, "query"] as const,
        at: [`service:${service}` as const],
        answer: (request: IqRequest) => request.result(form()),
      },
      { set: [ns.search, "query"] as const, at: [`service:${service}` as const], answer: find },
    ],
  };
}

/** A page of what is sorted by name; a cursor is a name, there or not any more. XEP-0059 */
function pageOf(found: readonly Account[], page: PageRequest = {}): { first: number; shown: readonly Account[] } {
  const most = Math.min(page.max ?? mostOnPage, mostOnPage);
  const behind = (name: string): number => {
    const at = found.findIndex((account) => account.name > name);
    return at < 0 ? found.length : at;
  };
  const from = (name: string): number => {
    const at = found.findIndex((account) => account.name >= name);
    return at < 0 ? found.length : at;
  };
  let first = page.index ?? 0;
  if (page.after !== undefined) first = behind(page.after);
  else if (page.before !== undefined) {
    const end = page.before === "" ? found.length : from(page.before);
    first = Math.max(0, end - most);
    return { first, shown: found.slice(first, end) };
  }
  return { first, shown: found.slice(first, first + most) };
}
