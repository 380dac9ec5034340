import type { Element } from "ltx";
import { field, formElement } from "../formats/data-form.ts";
import { ns } from "../formats/namespaces.ts";
import { parseJid } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { integer } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import { read, type Write, write } from "../storage/statement.ts";
import { defineModule } from "./module.ts";
import { blockReports, commands } from "./points.ts";
import { storedAddress } from "./stored-address.ts";

const days = property("firekeeper.reports.days", {
  schema: integer(0, 36_500),
  default: 90,
  impact: "live",
  unit: "days",
  doc: "How long reports of spam and abuse by users are kept; 0: for ever.",
});

const migration = {
  name: "0069_abuse-reports",
  sql: `
    CREATE TABLE abuse_report (
      id INTEGER PRIMARY KEY, at INTEGER NOT NULL, reporter INTEGER NOT NULL REFERENCES account(id) ON DELETE CASCADE,
      reported TEXT NOT NULL, reason TEXT NOT NULL, said TEXT NOT NULL, messages TEXT NOT NULL
    );
    CREATE INDEX abuse_report_reporter ON abuse_report (reporter);
    CREATE INDEX abuse_report_reported ON abuse_report (reported);`,
};
const put = write<[at: number, reporter: number, reported: string, reason: string, said: string, messages: string]>(
  "INSERT INTO abuse_report (at, reporter, reported, reason, said, messages) VALUES (?, ?, ?, ?, ?, ?)",
);
const newest = read<
  [most: number],
  { at: number; reporter: number; reported: string; reason: string; said: string; messages: string }
>("SELECT at, reporter, reported, reason, said, messages FROM abuse_report ORDER BY id DESC LIMIT ?");
const dropOld = write<[before: number, rows: number]>(
  "DELETE FROM abuse_report WHERE id IN (SELECT id FROM abuse_report WHERE at < ? ORDER BY id LIMIT ?)",
);
const dropAll = write<[]>("DELETE FROM abuse_report");
const about = "(reported = ? OR substr(reported, 1, length(?) + 1) = ? || '/')";
const ofDomain = "reporter IN (SELECT id FROM account WHERE served = ?)";
const rename = write<[now: string, then: string, then2: string, then3: string, then4: string, served: number]>(
  `UPDATE abuse_report SET reported = ? || substr(reported, length(?) + 1) WHERE ${about} AND ${ofDomain}`,
);
const dropAbout = write<[bare: string, bare2: string, bare3: string, served: number]>(
  `DELETE FROM abuse_report WHERE ${about} AND ${ofDomain}`,
);

const hourMs = 3600 * 1000;
const dayMs = 24 * hourMs;
const longestReason = 200;
const longestText = 2000;
const mostMessages = 20;
/** Of one person in an hour; what comes beyond is a block like any other. */
const mostHourly = 30;
const mostShown = 100;
const known = new Map([
  ["urn:xmpp:reporting:spam", "spam"],
  ["urn:xmpp:reporting:abuse", "abuse"],
]);

/** Reports of spam and abuse that come with a block, for admins to read. Nothing is passed on to others. XEP-0377 */
export const reports = defineModule({
  name: "reports",
  implements: [{ spec: "XEP-0377", version: "0.4.1", status: "complete" }],
  features: [ns.reporting],
  accountFeatures: [ns.reporting],
  properties: [days],
  migrations: [migration],
  start(core) {
    const { names, storage, clock } = core;
    let lately = new Map<number, number>();
    core.every(hourMs, () => {
      lately = new Map();
      const kept = core.properties.get(days);
      if (kept === 0) return;
      const before = clock.now() - kept * dayMs;
      const dropping = storage.bulk(async (step) => {
        while ((await step((rows) => [dropOld.with(before, rows)])) > 0);
      });
      dropping.catch((error: unknown) => core.report.wrong({ what: "forgetting old reports", error }));
    });

    core.offer(blockReports, {
      report(session, on, element) {
        const { account } = session;
        const reason: unknown = element.attrs.reason;
        if (typeof reason !== "string" || reason === "") return "A report has a reason.";
        if (reason.length > longestReason) return "The reason of the report is too long.";
        const said = element.getChildText("text", ns.reporting)?.trim() ?? "";
        if (said.length > longestText) return `The text of a report has ${longestText} characters at most.`;
        const before = lately.get(account.id) ?? 0;
        if (before >= mostHourly) return [];
        lately.set(account.id, before + 1);
        const facts = { by: session.bareAddress, on: names.absolute(on, names.primary.name) };
        core.report.abuseReported({ ...facts, reason: known.get(reason) ?? "other" });
        core.rights.used(facts.by, `report ${known.get(reason) ?? reason}`, facts.on);
        return [put.with(clock.now(), account.id, on, reason, said, JSON.stringify(messagesIn(element)))];
      },
    });

    /** The messages that the report names. */
    function messagesIn(element: Element): { id: string; by: string }[] {
      const ids = element.getChildren("stanza-id", ns.stanzaIds).slice(0, mostMessages);
      return ids.flatMap(({ attrs }) => {
        const by = parseJid(String(attrs.by ?? ""));
        const id = String(attrs.id ?? "");
        return by === undefined || id.length > longestReason ? [] : [{ id, by: storedAddress(core, by) }];
      });
    }

    core.offer(commands, {
      node: "urn:firekeeper:reports#list",
      name: "List reports of spam and abuse",
      by: "admin",
      async run({ session: { view } }) {
        const found = await storage.read(newest, mostShown);
        const reporter = (id: number): string => names.absolute(`${core.accounts.byId(id)?.name ?? ""}@`, view);
        const form = formElement({
          type: "result",
          title: "Reports of spam and abuse, the newest first",
          fields: [],
          reported: [
            { name: "at", type: "text-single", label: "When", values: [] },
            { name: "reporter", type: "jid-single", label: "Reported by", values: [] },
            { name: "reported", type: "jid-single", label: "Reported", values: [] },
            { name: "reason", type: "text-single", label: "Reason", values: [] },
            { name: "text", type: "text-single", label: "Text", values: [] },
            { name: "messages", type: "text-single", label: "Messages", values: [] },
          ],
          items: found.map((row) => [
            field("at", new Date(row.at).toISOString()),
            field("reporter", reporter(row.reporter)),
            field("reported", names.absolute(row.reported, view)),
            field("reason", known.get(row.reason) ?? row.reason),
            field("text", row.said),
            field("messages", (JSON.parse(row.messages) as { id: string }[]).map(({ id }) => id).join(" ")),
          ]),
        });
        return { is: "completed", form };
      },
    });
    core.offer(commands, {
      node: "urn:firekeeper:reports#clear",
      name: "Delete all reports of spam and abuse",
      by: "admin",
      async run({ session }) {
        await storage.write([dropAll.with()]);
        core.rights.used(session.bareAddress, "delete reports", "all");
        return { is: "completed", note: "All reports are deleted." };
      },
    });

    /** The name may become somebody else's, whom nobody has reported. */
    const forget = ({ name, served }: Account): Write[] => [dropAbout.with(`${name}@`, `${name}@`, `${name}@`, served)];
    return {
      account: {
        renamed(account, before) {
          const then = `${before}@`;
          storage.commit([rename.with(`${account.name}@`, then, then, then, then, account.served)]);
        },
        setAside: forget,
        removed: forget,
      },
    };
  },
});
