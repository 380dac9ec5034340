import type { Element } from "ltx";
import { ns } from "../../formats/namespaces.ts";
import { type Jid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import { type Xml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import { rosterFacts } from "../points.ts";
import { storedAddress } from "../stored-address.ts";

/** What a rule may be about; a rule about none of them is about every stanza, in and out. XEP-0016 §2.1 */
export const privacyKinds = ["message", "iq", "presence-in", "presence-out"] as const;
export type PrivacyKind = (typeof privacyKinds)[number];

/** One rule of a list, as it is stored: in JSON, a value of type jid in stored form. */
export interface PrivacyItem {
  /** Absent: everybody. */
  readonly type?: "jid" | "group" | "subscription";
  readonly value?: string;
  readonly allow: boolean;
  readonly order: number;
  readonly kinds: readonly PrivacyKind[];
}

const subscriptions = ["none", "to", "from", "both"];
const mostItems = 1000;

/** The items of a `<list/>` in their order; a string says what is wrong. XEP-0016 §2.1 */
export function itemsIn(core: Core, list: Element): PrivacyItem[] | string {
  const found = list.getChildren("item", ns.privacy);
  if (found.length > mostItems) return `A list has ${mostItems} rules at most.`;
  const items: PrivacyItem[] = [];
  const orders = new Set<number>();
  for (const element of found) {
    const item = itemOf(core, element);
    if (typeof item === "string") return item;
    if (orders.has(item.order)) return `The order ${item.order} is there twice.`;
    orders.add(item.order);
    items.push(item);
  }
  return items.sort((a, b) => a.order - b.order);
}

function itemOf(core: Core, element: Element): PrivacyItem | string {
  const { type, value, action, order } = element.attrs as Record<string, string | undefined>;
  if (action !== "allow" && action !== "deny") return "The action is allow or deny.";
  if (order === undefined || !/^\d{1,10}$/.test(order) || Number(order) > 0xffff_ffff)
    return "The order is a whole number.";
  const kinds = privacyKinds.filter((kind) => element.getChild(kind, ns.privacy) !== undefined);
  // All four are the same as none named.
  const about = kinds.length === privacyKinds.length ? [] : kinds;
  const facts = { allow: action === "allow", order: Number(order), kinds: about };
  if (type === undefined) return facts;
  if (value === undefined) return "A rule with a type has a value.";
  if (type === "jid") {
    const address = parseJid(value);
    return address === undefined
      ? `"${value}" is not a valid address.`
      : { type, value: storedAddress(core, address), ...facts };
  }
  if (type === "subscription")
    return subscriptions.includes(value) ? { type, value, ...facts } : "A subscription is both, to, from or none.";
  return type === "group" && value !== "" ? { type, value, ...facts } : "The type is jid, group or subscription.";
}

/** The items as somebody under `view` sees them. */
export function itemElements(core: Core, items: readonly PrivacyItem[], view: string): Xml[] {
  return items.map(({ type, value, allow, order, kinds }) => {
    const shown = type === "jid" && value !== undefined ? core.names.absolute(value, view) : value;
    return x(
      "item",
      { type, value: shown, action: allow ? "allow" : "deny", order },
      kinds.map((kind) => x(kind)),
    );
  });
}

/** Whether the list needs the account's contacts in memory. */
export function needsRoster(items: readonly PrivacyItem[]): boolean {
  return items.some(({ type }) => type === "group" || type === "subscription");
}

/** A rule that shuts somebody out altogether, as a block list does. XEP-0191 §5 */
export function isBlock({ type, allow, kinds }: PrivacyItem): boolean {
  return type === "jid" && !allow && kinds.length === 0;
}

/**
 * Whether the list denies a stanza between the account and `other`: the first rule that fits decides, and where none
 * does it passes. `sent`: a message, request or presence that the account sends, which only rules about every stanza,
 * and `presence-out`, can stop.
 */
export function denies(
  core: Core,
  account: Account,
  items: readonly PrivacyItem[],
  kind: PrivacyKind | "sent",
  other: Jid,
): boolean {
  let forms: string[] | undefined;
  for (const { type, value, allow, kinds } of items) {
    if (kinds.length > 0 && (kind === "sent" || !kinds.includes(kind))) continue;
    if (type === "jid") {
      forms ??= formsOf(core, other);
      if (!forms.includes(value ?? "")) continue;
    } else if (type !== undefined) {
      const contact = core.offered(rosterFacts)[0]?.contact(account, other);
      if (type === "group" && contact?.groups.includes(value ?? "") !== true) continue;
      if (type === "subscription" && (contact?.subscription ?? "none") !== value) continue;
    }
    return !allow;
  }
  return false;
}

/** Full address, bare address, domain/resource, domain. XEP-0016 §2.1 */
function formsOf(core: Core, other: Jid): string[] {
  const { local, domain, resource } = other;
  return [
    storedAddress(core, other),
    storedAddress(core, { local, domain, resource: "" }),
    core.names.relative({ local: "", domain, resource }),
    core.names.relative({ local: "", domain, resource: "" }),
  ];
}
