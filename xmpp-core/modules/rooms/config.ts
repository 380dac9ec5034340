import { z } from "zod";
import {
  booleanOf,
  type DataForm,
  type Field,
  type FieldType,
  field,
  singleValueOf,
  valuesOf,
} from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import type { RoomExtension } from "./extensions.ts";
import { roles } from "./powers.ts";
import type { Role, RoomConfig } from "./room.ts";

/** Openfire's defaults of a new room. */
export const openfireDefaults: RoomConfig = {
  ...{ name: "", description: "", lang: "", password: "" },
  ...{ public: true, persistent: false, moderated: false, membersOnly: false },
  ...{ whois: "anyone", allowPm: "anyone", changeSubject: false, allowInvites: false, maxUsers: 30 },
  presenceBroadcast: ["moderator", "participant", "visitor"],
  memberListFor: ["moderator", "participant", "visitor"],
  maxHistory: undefined,
  ...{ logging: true, reservedNickOnly: false, changeNick: true, registration: true },
  extra: new Map(),
};

const role = z.enum(["moderator", "participant", "visitor", "none"]);
const stored = z.object({
  ...{ name: z.string(), description: z.string(), lang: z.string(), password: z.string() },
  ...{ public: z.boolean(), persistent: z.boolean(), moderated: z.boolean(), membersOnly: z.boolean() },
  whois: z.enum(["anyone", "moderators"]),
  allowPm: z.enum(["anyone", "participants", "moderators", "none"]),
  ...{ changeSubject: z.boolean(), allowInvites: z.boolean(), maxUsers: z.number() },
  ...{ presenceBroadcast: z.array(role), memberListFor: z.array(role), maxHistory: z.number().optional() },
  ...{ logging: z.boolean(), reservedNickOnly: z.boolean(), changeNick: z.boolean(), registration: z.boolean() },
  extra: z.array(z.tuple([z.string(), z.array(z.string())])),
});

export function storedConfig(config: RoomConfig): string {
  return JSON.stringify({ ...config, extra: [...config.extra] });
}

/** As it was stored; fields that came with a later version have their defaults. */
export function readConfig(text: string): RoomConfig {
  const known: unknown = JSON.parse(text);
  const whole = { ...openfireDefaults, extra: [], ...(typeof known === "object" ? known : {}) };
  const read = stored.parse(whole);
  return { ...read, maxHistory: read.maxHistory, extra: new Map(read.extra) };
}

const longest = { name: 255, description: 2000, lang: 35, password: 255 } as const;
const v = (name: string): string => `muc#roomconfig_${name}`;

const texts = [
  ["roomname", "name", "text-single", "Name of the room"],
  ["roomdesc", "description", "text-single", "Description"],
  ["lang", "lang", "text-single", "Language of the discussion"],
] as const;
const booleans = [
  [v("publicroom"), "public", "List the room in the directory"],
  [v("persistentroom"), "persistent", "Keep the room when nobody is in it"],
  [v("moderatedroom"), "moderated", "Only who was given voice may speak"],
  [v("membersonly"), "membersOnly", "Only members may come in"],
  [v("changesubject"), "changeSubject", "Participants may change the subject"],
  [v("allowinvites"), "allowInvites", "Occupants may invite others"],
  [v("enablelogging"), "logging", "Keep an archive of the discussion"],
  ["x-muc#roomconfig_reservednick", "reservedNickOnly", "Who has registered a nickname must use it"],
  ["x-muc#roomconfig_canchangenick", "changeNick", "Occupants may change their nicknames"],
  ["x-muc#roomconfig_registration", "registration", "People may register with the room"],
] as const;
const roleLists = [
  ["presencebroadcast", "presenceBroadcast", "Roles whose presence is told to others"],
  ["getmemberlist", "memberListFor", "Roles that may read the list of members"],
] as const;
const choices = [
  ["whois", "whois", ["moderators", "anyone"], "Who sees real addresses"],
  ["allowpm", "allowPm", ["anyone", "participants", "moderators", "none"], "Who may send private messages"],
] as const;
const presentRoles: readonly Role[] = ["moderator", "participant", "visitor"];
const sizes = ["10", "20", "30", "50", "100", "200", "500", "1000"];

/** The form an owner gets. XEP-0045 §10.1.3, §15.5.3 */
export function configForm(
  title: string,
  config: RoomConfig,
  people: { owners: readonly string[]; admins: readonly string[] },
  extensions: readonly RoomExtension[],
): DataForm {
  const entry = (name: string, type: FieldType, label: string, values: readonly string[], more: Partial<Field> = {}) =>
    ({ name, type, label, values, ...more }) satisfies Field;
  const bit = (value: boolean): string[] => [value ? "1" : "0"];
  const options = (values: readonly string[]) => values.map((value) => ({ value, label: value }));
  const most = config.maxUsers === 0 ? "none" : String(config.maxUsers);
  const mostOptions = options([...new Set(["none", ...sizes, most])]);
  const kept = config.maxHistory === undefined ? [] : [String(config.maxHistory)];
  return {
    type: "form",
    formType: `${ns.muc}#roomconfig`,
    title,
    instructions: "Fields that are left out keep their values.",
    fields: [
      ...texts.map(([name, key, type, label]) => entry(v(name), type, label, [config[key]])),
      ...booleans.map(([name, key, label]) => entry(name, "boolean", label, bit(config[key]))),
      entry(v("passwordprotectedroom"), "boolean", "A password is needed to come in", bit(config.password !== "")),
      entry(v("roomsecret"), "text-private", "Password", [config.password]),
      ...choices.map(([name, key, values, label]) =>
        entry(v(name), "list-single", label, [config[key]], { options: options(values) }),
      ),
      entry(v("maxusers"), "list-single", "Occupants at most", [most], { options: mostOptions }),
      ...roleLists.map(([name, key, label]) =>
        entry(v(name), "list-multi", label, config[key], { options: options(presentRoles) }),
      ),
      entry("muc#maxhistoryfetch", "text-single", "Messages of the past shown to newcomers at most", kept),
      entry(v("roomadmins"), "jid-multi", "Admins of the room", people.admins),
      entry(v("roomowners"), "jid-multi", "Owners of the room", people.owners),
      ...extensions.flatMap(({ configFields }) =>
        (configFields ?? []).map(({ field: own }) => ({ ...own, values: config.extra.get(own.name) ?? own.values })),
      ),
    ],
  };
}

export interface Submitted {
  readonly config: RoomConfig;
  /** Addresses as written; undefined: the lists stay. */
  readonly owners: readonly string[] | undefined;
  readonly admins: readonly string[] | undefined;
}

/** What a form that may be partial makes of a configuration, or a sentence that says what is wrong. */
export function submitted(
  form: DataForm,
  before: RoomConfig,
  extensions: readonly RoomExtension[],
): Submitted | string {
  if (form.formType !== undefined && form.formType !== `${ns.muc}#roomconfig`)
    return "This is not the form of a room's configuration.";
  if (form.fields.length > 200) return "The form has too many fields.";
  const has = new Set(form.fields.map(({ name }) => name));
  const next: { -readonly [K in keyof RoomConfig]: RoomConfig[K] } = { ...before };
  for (const [name, key] of texts) {
    if (!has.has(v(name))) continue;
    const value = valuesOf(form, v(name)).join("\n");
    if (value.length > longest[key]) return `${v(name)} has ${longest[key]} characters at most.`;
    next[key] = value;
  }
  for (const [name, key] of booleans) {
    if (!has.has(name)) continue;
    const value = booleanOf(form, name);
    if (value === undefined) return `${name} is 0 or 1.`;
    next[key] = value;
  }
  const problem = password(form, has, next) ?? rest(form, has, next) ?? extras(form, has, next, extensions);
  if (problem !== undefined) return problem;
  const people = (name: string): readonly string[] | undefined =>
    has.has(v(name)) ? valuesOf(form, v(name)).filter((value) => value.trim() !== "") : undefined;
  return { config: next, owners: people("roomowners"), admins: people("roomadmins") };
}

type Draft = { -readonly [K in keyof RoomConfig]: RoomConfig[K] };

function password(form: DataForm, has: ReadonlySet<string | undefined>, next: Draft): string | undefined {
  const secret = has.has(v("roomsecret")) ? valuesOf(form, v("roomsecret")).join("\n") : next.password;
  if (secret.length > longest.password) return `${v("roomsecret")} has ${longest.password} characters at most.`;
  if (!has.has(v("passwordprotectedroom"))) {
    if (next.password !== "" && secret === "") return "A room with a password needs one that is not empty.";
    if (next.password !== "") next.password = secret;
    return undefined;
  }
  const wanted = booleanOf(form, v("passwordprotectedroom"));
  if (wanted === undefined) return `${v("passwordprotectedroom")} is 0 or 1.`;
  if (wanted && secret === "") return "A room with a password needs one that is not empty.";
  next.password = wanted ? secret : "";
  return undefined;
}

function rest(form: DataForm, has: ReadonlySet<string | undefined>, next: Draft): string | undefined {
  if (has.has(v("whois"))) {
    const value = singleValueOf(form, v("whois"));
    if (value !== "anyone" && value !== "moderators") return `${v("whois")} is anyone or moderators.`;
    next.whois = value;
  }
  if (has.has(v("allowpm"))) {
    const value = singleValueOf(form, v("allowpm"));
    if (value !== "anyone" && value !== "participants" && value !== "moderators" && value !== "none")
      return `${v("allowpm")} is anyone, participants, moderators or none.`;
    next.allowPm = value;
  }
  if (has.has(v("maxusers"))) {
    const value = singleValueOf(form, v("maxusers")) ?? "";
    if (value !== "none" && value !== "" && !/^\d{1,6}$/.test(value)) return `${v("maxusers")} is a number or none.`;
    next.maxUsers = value === "none" || value === "" ? 0 : Number(value);
  }
  for (const [name, key] of roleLists) {
    if (!has.has(v(name))) continue;
    const values = valuesOf(form, v(name)).filter((value) => value !== "");
    const known = roles.filter((each) => values.includes(each));
    if (known.length !== new Set(values).size) return `${v(name)} holds moderator, participant and visitor.`;
    next[key] = known;
  }
  if (has.has("muc#maxhistoryfetch")) {
    const value = singleValueOf(form, "muc#maxhistoryfetch") ?? "";
    if (value !== "" && !/^\d{1,6}$/.test(value)) return "muc#maxhistoryfetch is a number.";
    next.maxHistory = value === "" ? undefined : Number(value);
  }
  return undefined;
}

function extras(
  form: DataForm,
  has: ReadonlySet<string | undefined>,
  next: Draft,
  extensions: readonly RoomExtension[],
): string | undefined {
  const extra = new Map(next.extra);
  for (const { configFields = [] } of extensions)
    for (const { field: own, check } of configFields) {
      if (!has.has(own.name)) continue;
      const values = valuesOf(form, own.name);
      if (values.join("").length > 4000) return `${own.name} is too long.`;
      const wrong = check?.(values);
      if (wrong !== undefined) return wrong;
      extra.set(own.name, values);
    }
  next.extra = extra;
  return undefined;
}

/** What anybody may know of a room. XEP-0045 §15.5.4 */
export function roomInfo(
  config: RoomConfig,
  facts: { occupants: number; subject: string; mayChangeSubject: boolean },
): Field[] {
  const info = (name: string, type: FieldType, label: string, value: string): Field => ({
    ...{ name, type, label },
    values: [value],
  });
  return [
    info("muc#roominfo_description", "text-single", "Description", config.description),
    info("muc#roominfo_subject", "text-single", "Subject", facts.subject),
    info("muc#roominfo_subjectmod", "boolean", "Participants may change the subject", config.changeSubject ? "1" : "0"),
    info("muc#roominfo_occupants", "text-single", "Occupants", String(facts.occupants)),
    ...(config.lang === "" ? [] : [info("muc#roominfo_lang", "text-single", "Language", config.lang)]),
    ...(config.maxHistory === undefined ? [] : [field("muc#maxhistoryfetch", config.maxHistory)]),
    info("muc#roomconfig_roomname", "text-single", "Name", config.name),
    info(
      "muc#roomconfig_changesubject",
      "boolean",
      "Participants may change the subject",
      config.changeSubject ? "1" : "0",
    ),
  ];
}

/** disco#info features that say how the room is. XEP-0045 §15.3 */
export function configFeatures(config: RoomConfig): string[] {
  return [
    config.public ? "muc_public" : "muc_hidden",
    config.membersOnly ? "muc_membersonly" : "muc_open",
    config.moderated ? "muc_moderated" : "muc_unmoderated",
    config.whois === "anyone" ? "muc_nonanonymous" : "muc_semianonymous",
    config.password === "" ? "muc_unsecured" : "muc_passwordprotected",
    config.persistent ? "muc_persistent" : "muc_temporary",
  ];
}
