/** `firekeeper doctor`: one line per verdict with the fix. Exit code 1 when something failed, else 0, also with warnings. */
import { text } from "node:stream/consumers";
import { Command } from "commander";
import { zoneLines } from "../doctor/dns.ts";
import { examine, facts, groups, readGroups } from "../doctor/doctor.ts";
import type { Place } from "../doctor/facts.ts";
import { checkOneLogin } from "../doctor/login.ts";
import { firewallRules } from "../doctor/ports.ts";
import { tally, verdictLine } from "../doctor/verdict.ts";
import { readEnvironment } from "../environment.ts";
import type { AskingParts } from "./command.ts";

type Options = {
  json?: boolean;
  only?: string;
  resolver?: string;
  from?: string;
  ntp?: string;
  ports?: boolean;
  zone?: boolean;
  login?: string;
  passwordStdin?: boolean;
};

export function doctorCommand(
  parts: Pick<AskingParts, "ask" | "print" | "exitCode">,
  place: () => Place = readEnvironment,
  input: () => Promise<string> = () => text(process.stdin),
): Command {
  return new Command("doctor")
    .description("look at everything the service needs; one line per verdict, with the fix")
    .option("--only <groups>", `some of ${groups.join(",")}`)
    .option("--resolver <address>", "ask this DNS server too; default FIREKEEPER_RESOLVER")
    .option("--from <proxy>", "socks5://host:port outside, to look from; default FIREKEEPER_PROBE_FROM")
    .option("--ntp <server>", "compare the clock with this NTP server")
    .option("--ports", "print the firewall rules of this configuration and nothing else: | nft -f -")
    .option("--zone", "print the lines for the DNS zone and nothing else")
    .option("--login <name>", "say which check fails when this person logs in")
    .option("--password-stdin", "with --login: read the password and log in with it")
    .option("--json", "print JSON")
    .action(async (options: Options) => {
      const { json, only, resolver, from, ntp, login } = options;
      const chosen = readGroups(only);
      const known = await facts(place(), (what, params) => parts.ask(what, params), from);
      if (options.ports) return parts.print(firewallRules(known, known.server !== undefined).join("\n"));
      if (options.zone) return parts.print(zoneLines(known).join("\n"));
      const password = options.passwordStdin ? (await input()).replace(/\r?\n$/, "") : undefined;
      const verdicts =
        login === undefined
          ? await examine(known, { only: chosen, resolver, ntp })
          : await checkOneLogin(known, (what, params) => parts.ask(what, params), { name: login, password });
      if (verdicts.some((one) => one.standing === "fail")) parts.exitCode(1);
      const zone = login === undefined && chosen.includes("dns") ? zoneLines(known) : [];
      if (json) return parts.print(JSON.stringify({ verdicts, zone }));
      const lines = [
        ...verdicts.map(verdictLine),
        ...(zone.length > 0 ? ["zone:", ...zone.map((one) => `  ${one}`)] : []),
      ];
      parts.print([...lines, tally(verdicts)].join("\n"));
    });
}
