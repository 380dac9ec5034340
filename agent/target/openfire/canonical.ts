/** Openfire's own form of what is wanted, what it costs there, and what cannot be. Pure. docs/openfire-target.md. */
import type {
  CanonicalAnswer,
  DesiredState,
  NameAnswer,
  SettingAnswer,
  SettingsWanted,
} from "../../../xmpp-core/control/contract.ts";
import { canonicalText, factOf, isSecret, listOf, names, needsRestart } from "./catalogue.ts";
import type { Look } from "./look.ts";
import type { Owned } from "./owned.ts";
import { addressable } from "./rest.ts";

const restartHint = "Restart Openfire yourself, or its listener in the console: the REST plugin cannot.";

export function canonical(desired: DesiredState, look: Look, owned: Owned): CanonicalAnswer {
  const { settings } = desired;
  const wanted = new Set(Object.keys(settings.properties).map((key) => `property:${key}`));
  const given = Object.entries(settings.properties).map(([key, value]) => property(key, value));
  const left = [...owned.settings.keys()].filter((name) => name.startsWith("property:") && !wanted.has(name));
  return {
    settings: [
      ...scalars(settings, look),
      ...given,
      ...left.map((name) => givenUp(name.slice("property:".length))),
      ...["admin", "external-address", "runtime-options"].flatMap((name) =>
        owned.settings.has(name) && !hasScalar(settings, name) ? [answer(name, null)] : [],
      ),
    ],
    accounts: desired.accounts.map(({ name }) => accountName(name)),
    groups: [...new Set(desired.groups.flatMap(({ name, groupList }) => [name, ...groupList]))].map(groupName),
  };
}

function hasScalar(settings: SettingsWanted, name: string): boolean {
  const { admin, externalAddress, runtimeOptions } = settings;
  return { admin, "external-address": externalAddress, "runtime-options": runtimeOptions }[name] !== undefined;
}

function scalars({ domain, admin, externalAddress, runtimeOptions, properties }: SettingsWanted, look: Look) {
  const answers: SettingAnswer[] = [];
  if (domain !== undefined) answers.push(domainAnswer(domain, look.domain));
  if (admin !== undefined) {
    const { name, rejected } = accountName(admin);
    const others = listOf(look.properties.get(names.admins) ?? "").filter((one) => one !== `${name}@${look.domain}`);
    answers.push({
      ...answer("admin", name),
      ...(rejected ? { rejected } : {}),
      notes: others.length > 0 ? [`Openfire's other admins stay: ${others.join(", ")}.`] : [],
    });
  }
  if (externalAddress !== undefined) {
    const covered = names.external in properties;
    // Openfire has room for one: the IPv4 address where there are two.
    const [first = externalAddress] = externalAddress.split(", ");
    answers.push({
      ...answer("external-address", first),
      ...(covered ? { effect: "none" } : {}),
      notes: [
        covered
          ? `the store sets ${names.external} itself, which is all that Openfire has for it.`
          : `It becomes ${names.external}, the address that Openfire's file transfer proxy names.`,
      ],
    });
  }
  if (runtimeOptions !== undefined)
    answers.push({
      ...answer("runtime-options", runtimeOptions),
      effect: "none",
      notes: ["options of Openfire's Java machine stand where Openfire is started, out of reach of its REST plugin."],
    });
  return answers;
}

function domainAnswer(given: string, served: string): SettingAnswer {
  const wanted = given.trim().toLowerCase();
  if (wanted === served) return answer("domain", served);
  return {
    ...answer("domain", null),
    impact: "migrate",
    rejected: {
      code: "openfire/domain",
      rule: `${served}, the domain that Openfire was set up with: a change while it runs splits the server, and stored rosters, rooms and admin lists keep the former name`,
      hint: `Set sys.xmpp.domain to ${served}, or set Openfire up anew under ${wanted} and import its users.`,
    },
  };
}

function answer(setting: string, value: string | null): SettingAnswer {
  return { setting, value, impact: "live", effect: "honoured", notes: [], secret: false };
}

function property(key: string, given: string): SettingAnswer {
  const secret = isSecret(key);
  const fact = factOf(key);
  const made: SettingAnswer = { ...answer(`property:${key}`, null), secret };
  const reject = (code: string, rule: string, hint: string): SettingAnswer => ({
    ...made,
    rejected: { code, rule, hint },
  });
  if (!addressable(key) || key.length > 100 || key.startsWith("firekeeper."))
    return reject(
      "openfire/property-name",
      "a name of at most 100 characters without / \\ ; % ? #, which the REST plugin can address, and none of ours (firekeeper.)",
      "Set it in Openfire's console.",
    );
  if (key.startsWith("plugin.restapi."))
    return reject(
      "openfire/own-access",
      "set in the console: it is how this agent reaches Openfire",
      "Server > Server Settings > REST API.",
    );
  const text = canonicalText(key, given);
  if ("rule" in text) return reject("openfire/bad-value", text.rule, "Openfire would keep the text and act otherwise.");
  const notes = fact?.note === undefined ? [] : [fact.note];
  if (fact?.file !== undefined)
    return {
      ...made,
      value: text.text,
      effect: "none",
      notes: [`Openfire reads it from conf/${fact.file}; a value in the database changes nothing.`],
    };
  return {
    ...made,
    value: text.text,
    impact: needsRestart(key) ? "restart" : "live",
    effect: fact ? "honoured" : "unknown",
    notes: [
      ...(fact ? notes : ["Openfire's own sources do not name it; it is stored for plugins."]),
      ...(needsRestart(key) ? [restartHint] : []),
    ],
  };
}

/** The store no longer wants it: Openfire's default is back. */
function givenUp(key: string): SettingAnswer {
  const restart = needsRestart(key);
  return {
    ...answer(`property:${key}`, null),
    impact: restart ? "restart" : "live",
    notes: restart ? [restartHint] : [],
    secret: isSecret(key),
  };
}

/** Openfire prepares names by nodeprep and keeps 64 characters. */
export function accountName(given: string): NameAnswer {
  const name = given.trim().normalize("NFKC").toLowerCase();
  const bad =
    name === "" || name.length > 64 || /["&'/:<>@\s\p{Cc}]/u.test(name) || !addressable(name)
      ? {
          code: "openfire/account-name",
          rule: "a name of at most 64 characters without spaces and \" & ' / : < > @ \\ ; % ? #",
          hint: "Rename the user in the host.",
        }
      : undefined;
  return bad ? { given, name: null, rejected: bad } : { given, name };
}

export function groupName(given: string): NameAnswer {
  const name = given.trim().normalize("NFC");
  const bad =
    name === "" || name.length > 50 || !addressable(name) || name.includes(",")
      ? {
          code: "openfire/group-name",
          rule: "a name of at most 50 characters without , / \\ ; % ? #",
          hint: "Openfire's table holds 50 characters, its group lists split at commas, and its web server refuses the others.",
        }
      : undefined;
  return bad ? { given, name: null, rejected: bad } : { given, name };
}
