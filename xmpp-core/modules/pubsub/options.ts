import type { DataForm, Field, FieldOption, FieldType } from "../../formats/data-form.ts";
import { formatJid, parseJid } from "../../jid/jid.ts";

/** A node's configuration: canonical texts by the names of XEP-0060 §16.4.4 without "pubsub#"; several values stand on lines of their own. */
export type NodeConfig = Readonly<Record<OptionName, string>>;

interface Option {
  readonly type: FieldType;
  readonly label: string;
  readonly values?: readonly (readonly [value: string, label: string])[];
  /** Canonical text of one submitted value; undefined: it is none. */
  readonly read: (given: string) => string | undefined;
  readonly default: string;
}

const flag = (label: string, byDefault: "0" | "1"): Option => ({
  ...{ type: "boolean", label, default: byDefault },
  read: (given) => (given === "1" || given === "true" ? "1" : given === "0" || given === "false" ? "0" : undefined),
});
const choice = (label: string, byDefault: string, ...values: readonly (readonly [string, string])[]): Option => ({
  ...{ type: "list-single", label, values, default: byDefault },
  read: (given) => values.find(([value]) => value === given)?.[0],
});
const line = (label: string): Option => ({
  ...{ type: "text-single", label, default: "" },
  read: (given) => (given.length <= 1024 && !given.includes("\n") ? given : undefined),
});
const number = (label: string, byDefault: string, words: readonly string[] = []): Option => ({
  ...{ type: "text-single", label, default: byDefault },
  read(given) {
    const text = given.trim();
    if (words.includes(text)) return text;
    return /^[0-9]{1,12}$/.test(text) ? String(Number(text)) : undefined;
  },
});
const addresses = (label: string): Option => ({
  ...{ type: "jid-multi", label, default: "" },
  read(given) {
    const address = given.length <= 3072 ? parseJid(given) : undefined;
    return address && formatJid(address);
  },
});

const optionTable = {
  title: line("A friendly name for the node"),
  description: line("A description of the node"),
  language: line("The default language of the node"),
  type: line("The type of node data, usually the namespace of the payload"),
  contact: addresses("The addresses of those to contact with questions"),
  access_model: choice(
    "Who may subscribe and retrieve items",
    "open",
    ["open", "Anybody"],
    ["presence", "Those who see the owner's presence"],
    ["roster", "Contacts in certain groups of the owner"],
    ["authorize", "Those whom an owner approves"],
    ["whitelist", "Those whom an owner names"],
  ),
  roster_groups_allowed: {
    ...{ type: "text-multi", label: "The roster groups allowed to subscribe and retrieve items", default: "" },
    read: (given: string) => (given.length <= 1024 && !given.includes("\n") ? given : undefined),
  } satisfies Option,
  publish_model: choice(
    "Who may publish items",
    "publishers",
    ["publishers", "Publishers only"],
    ["subscribers", "Subscribers only"],
    ["open", "Anybody"],
  ),
  subscribe: flag("Whether to allow subscriptions", "1"),
  persist_items: flag("Whether to persist items to storage", "1"),
  max_items: number("The maximum number of items to persist", "max", ["max"]),
  item_expire: number("Number of seconds after which to purge items", "max", ["max"]),
  publish_node_full: choice(
    "What happens when an item is published to a full node",
    "discard-oldest",
    ["discard-oldest", "The oldest item is discarded"],
    ["retract-oldest", "The oldest item is retracted"],
    ["reject-new", "The new item is rejected"],
  ),
  max_payload_size: number("The maximum payload size in bytes", "max", ["max"]),
  deliver_payloads: flag("Whether to deliver payloads with event notifications", "1"),
  deliver_notifications: flag("Whether to deliver event notifications", "1"),
  notification_type: choice(
    "The delivery style of notifications",
    "headline",
    ["normal", "Messages of type normal"],
    ["headline", "Messages of type headline"],
  ),
  notify_config: flag("Whether to notify subscribers when the node configuration changes", "0"),
  notify_delete: flag("Whether to notify subscribers when the node is deleted", "1"),
  notify_retract: flag("Whether to notify subscribers when items are removed from the node", "1"),
  notify_sub: flag("Whether to notify owners about new subscribers and unsubscribes", "0"),
  presence_based_delivery: flag("Whether to deliver notifications to available users only", "0"),
  send_last_published_item: choice(
    "When to send the last published item",
    "on_sub",
    ["never", "Never"],
    ["on_sub", "When a new subscription is processed"],
    ["on_sub_and_presence", "When a new subscription is processed and whenever a subscriber comes online"],
  ),
} as const satisfies Record<string, Option>;
export type OptionName = keyof typeof optionTable;

const options = new Map<string, Option>(Object.entries(optionTable));
const names = Object.keys(optionTable) as OptionName[];
const multi = new Set<FieldType>(["jid-multi", "text-multi"]);
const mostValues = 50;

export const configForm = "http://jabber.org/protocol/pubsub#node_config";
export const optionsForm = "http://jabber.org/protocol/pubsub#publish-options";

/** What a node of the service has unless somebody says otherwise. */
export const serviceDefaults = Object.fromEntries(names.map((name) => [name, optionTable[name].default])) as NodeConfig;

const pepDefaults: NodeConfig = {
  ...serviceDefaults,
  access_model: "presence",
  max_items: "1",
  send_last_published_item: "on_sub_and_presence",
  presence_based_delivery: "1",
};
const privately = { access_model: "whitelist", send_last_published_item: "never" } as const;

/** Nodes of well-known formats that the defaults of XEP-0163 would break or give away, by name or its beginning. */
const wellKnown: readonly (readonly [start: string, config: Partial<NodeConfig>])[] = [
  ["urn:xmpp:bookmarks:1", { ...privately, max_items: "max" }],
  ["urn:xmpp:mds:displayed:0", { ...privately, max_items: "max" }],
  ["storage:bookmarks", privately],
  ["urn:xmpp:omemo:2:bundles", { access_model: "open", max_items: "max" }],
  ["urn:xmpp:omemo:2:devices", { access_model: "open" }],
  ["eu.siacs.conversations.axolotl.", { access_model: "open" }],
  ["urn:xmpp:openpgp:0:public-keys", { access_model: "open" }],
  ["urn:xmpp:microblog:0", { max_items: "max" }],
];

/** What a node of a person has unless his client says otherwise. XEP-0163 §3, XEP-0222, XEP-0223 */
export function personalDefaults(node: string): NodeConfig {
  const known = wellKnown.find(([start]) => node.startsWith(start));
  return known === undefined ? pepDefaults : { ...pepDefaults, ...known[1] };
}

/** Fields of the registry that are understood with the one value that says what is done here anyway. */
const theOneWay = new Map<string, readonly string[]>([
  ["node_type", ["leaf"]],
  ["collection", [""]],
  ["purge_offline", ["0", "false"]],
  ["tempsub", ["0", "false"]],
  ["itemreply", ["publisher"]],
]);

/** What a form wants: canonical texts of the options it names; a string says which field cannot be taken. `relative` stores an address. */
export function optionsIn(form: DataForm, relative: (address: string) => string): Partial<NodeConfig> | string {
  const wanted: Partial<Record<OptionName, string>> = {};
  for (const { name = "", values } of form.fields) {
    const key = name.startsWith("pubsub#") ? name.slice("pubsub#".length) : name;
    if (theOneWay.get(key)?.includes(values.join()) === true) continue;
    const read = readOption(key, values, relative);
    if (read === undefined) return name;
    wanted[key as OptionName] = read;
  }
  return wanted;
}

/** As `optionsIn`, for options given as texts. */
export function optionsOf(
  given: Readonly<Record<string, string>>,
  relative: (address: string) => string,
): Partial<NodeConfig> {
  const wanted: Partial<Record<OptionName, string>> = {};
  for (const [key, value] of Object.entries(given)) {
    const read = readOption(key, value.split("\n"), relative);
    if (read === undefined) throw new Error(`${key} of a node cannot be ${JSON.stringify(value)}`);
    wanted[key as OptionName] = read;
  }
  return wanted;
}

function readOption(key: string, values: readonly string[], relative: (address: string) => string): string | undefined {
  const option = options.get(key);
  if (option === undefined) return undefined;
  if (!multi.has(option.type)) {
    if (values.length > 1) return undefined;
    const [value = ""] = values;
    return value === "" ? option.default : option.read(value);
  }
  const read = values.filter((value) => value !== "").map(option.read);
  if (read.length > mostValues || !read.every((value) => value !== undefined)) return undefined;
  return (option.type === "jid-multi" ? read.map(relative) : read).join("\n");
}

export const valuesOfOption = (config: NodeConfig, name: OptionName): readonly string[] => {
  if (config[name] === "") return [];
  return multi.has(optionTable[name].type) ? config[name].split("\n") : [config[name]];
};

/** The form with a node's values; `show` renders addresses for the reader. */
export function configFields(config: NodeConfig, show: (address: string) => string): Field[] {
  const fields = names.map((name): Field => {
    const { type, label, values } = optionTable[name] as Option;
    const options = values?.map(([value, text]): FieldOption => ({ value, label: text }));
    const own = valuesOfOption(config, name);
    return {
      ...{ name: `pubsub#${name}`, type, label, options },
      values: type === "jid-multi" ? own.map(show) : own,
    };
  });
  const node: Field = { name: "pubsub#node_type", type: "list-single", values: ["leaf"], options: [{ value: "leaf" }] };
  return [...fields, node];
}

/** Which of the wanted options a node has another way; undefined: none. */
export function firstMismatch(config: NodeConfig, wanted: Partial<NodeConfig>): OptionName | undefined {
  return names.find((name) => wanted[name] !== undefined && wanted[name] !== config[name]);
}

/** Only what differs from the defaults is stored. */
export function storedConfig(config: NodeConfig, defaults: NodeConfig): string {
  return JSON.stringify(
    Object.fromEntries(names.flatMap((name) => (config[name] === defaults[name] ? [] : [[name, config[name]]]))),
  );
}

export function configFrom(stored: string, defaults: NodeConfig): NodeConfig {
  const known: Record<string, string> = { ...defaults };
  for (const [key, value] of Object.entries(JSON.parse(stored) as Record<string, string>))
    if (options.has(key)) known[key] = value;
  return known as NodeConfig;
}

export const isOn = (config: NodeConfig, name: OptionName): boolean => config[name] === "1";
