/** What headquarters hands to its branches: the file FIREKEEPER_FLEET_SETTINGS, read anew when it says something else. docs/fleet.md. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { z } from "zod";
import { knownSettingKeys } from "../desired/settings.ts";
import { explain } from "../errors.ts";
import { branchName } from "./branch-report.ts";

/** Each is a branch's own: who it is, who rules it and where it is reached. */
const neverPublished = [
  "sys.xmpp.domain",
  "sys.xmpp.adminuser",
  "sys.xmpp.externalip",
  "sys.xmpp.properties.xmpp.domain",
  "sys.xmpp.properties.admin.authorizedJIDs",
];

/** Settings on their way: a branch checks again what headquarters may not say. */
export const inheritedSettings = z.record(z.string(), z.string()).superRefine((settings, context) => {
  for (const key of Object.keys(settings)) {
    if (neverPublished.includes(key))
      context.addIssue({ code: "custom", message: `${key} is each branch's own and is never published` });
    else if (!key.startsWith("sys.xmpp."))
      context.addIssue({ code: "custom", message: `${key} does not begin with sys.xmpp. and is never published` });
  }
});

const published = inheritedSettings.superRefine((settings, context) => {
  for (const key of Object.keys(settings))
    if (key.startsWith("sys.xmpp.") && !knownSettingKeys.some((one) => one === key || isUnder(one, key)))
      context.addIssue({ code: "custom", message: `${key} means nothing` });
});

const settingsFile = z.strictObject({
  settings: published,
  branches: z
    .record(z.string().regex(branchName, "a branch: lower case letters, digits, dots and hyphens"), published)
    .optional(),
});
type SettingsFile = z.infer<typeof settingsFile>;

const mostBytes = 256 * 1024;

export interface PublishedSettings {
  /** JSON: `{"settings": {key: value}}`. */
  readonly body: string;
  readonly etag: string;
}

/** For each branch its settings; undefined while the file is broken, which `failed` hears once for each state of the file. */
export function publishedSettings(
  file: string,
  failed: (code: string, why: string) => void,
): (branch: string) => Promise<PublishedSettings | undefined> {
  let last: { text: string; is: SettingsFile | undefined } | undefined;
  let said: string | undefined;
  function refuse(why: string): undefined {
    if (said !== why) failed("fleet/settings-unreadable", `${file} is not published: ${why}`);
    said = why;
    return undefined;
  }
  function readText(text: string): SettingsFile | undefined {
    try {
      if (text.length > mostBytes) return refuse(`it is larger than ${mostBytes / 1024} KiB.`);
      // Every value is text as it is written: 010 stays 010.
      const is = settingsFile.parse(parse(text, { schema: "failsafe" }));
      said = undefined;
      return is;
    } catch (error) {
      return refuse(error instanceof z.ZodError ? z.prettifyError(error) : explain(error));
    }
  }
  return async (branch) => {
    const text = await readFile(file, "utf8").catch((error: unknown) => refuse(explain(error)));
    if (text === undefined) last = undefined;
    else if (last?.text !== text) last = { text, is: readText(text) };
    if (!last?.is) return undefined;
    const { settings, branches = {} } = last.is;
    const own = Object.hasOwn(branches, branch) ? branches[branch] : {};
    const sorted = Object.entries({ ...settings, ...own }).sort(([a], [b]) => (a < b ? -1 : 1));
    const body = JSON.stringify({ settings: Object.fromEntries(sorted) });
    return { body, etag: `"${createHash("sha256").update(body).digest("base64url")}"` };
  };
}

function isUnder(known: string, key: string): boolean {
  return known.endsWith(".") && key.startsWith(known) && key.length > known.length;
}
