/** `firekeeper restore`: a backup as a home again, here or on another host, under its domain or another. */
import { Command } from "commander";
import { restoreBackup } from "../backup/restore.ts";
import { described, passphraseOf, withPassphrase } from "./backup.ts";
import type { AskingParts } from "./command.ts";

type Options = {
  json?: boolean;
  passphraseFile?: string;
  home: string;
  domain?: string;
  keepAlias?: boolean;
  sameInstance?: boolean;
};

export function restoreCommand(parts: Pick<AskingParts, "print">): Command {
  return withPassphrase(new Command("restore"))
    .description("make a home of a backup; the next start serves it")
    .argument("<file>", "a backup")
    .requiredOption("--home <directory>", "where to; must not exist, or be empty")
    .option("--domain <domain>", "serve this domain instead of the one of the backup")
    .option("--keep-alias", "with --domain: go on serving the former domain too, as after any change of domain")
    .option("--same-instance", "this is the same service on another machine, not a copy beside it")
    .action(async (file: string, { json, home, domain, keepAlias, sameInstance, ...options }: Options) => {
      const passphrase = await passphraseOf(options);
      const about = await restoreBackup({ file, home, domain, keepAlias, sameInstance, passphrase });
      const changed = domain !== undefined && domain !== about.domain;
      const text = [
        `${home}: ${described(about)}.`,
        ...(changed
          ? [`The first start makes it ${domain}${keepAlias ? `, and goes on serving ${about.domain}` : ""}.`]
          : []),
        `Next: FIREKEEPER_HOME=${home} npm start`,
      ];
      parts.print(json ? JSON.stringify({ home, ...about }) : text.join("\n"));
    });
}
