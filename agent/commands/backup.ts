/** `firekeeper backup`: the home as one file, taken while everything goes on; and whether such a file is whole. */
import { readFile, rm } from "node:fs/promises";
import { Command } from "commander";
import { isUpload, type Manifest } from "../backup/manifest.ts";
import { readBackup } from "../backup/read-backup.ts";
import { type Staged, staged } from "../backup/stage.ts";
import { writeBackup } from "../backup/write-backup.ts";
import { CodedError, explain } from "../errors.ts";
import type { AskingParts } from "./command.ts";
import { terminalProgress } from "./progress.ts";

export interface BackupParts extends AskingParts {
  offline(): { home: string };
}

type Options = { json?: boolean; passphraseFile?: string; withoutUploads?: boolean };

export function backupCommand(parts: BackupParts): Command {
  const backup = new Command("backup").description("the whole service as one file");
  withPassphrase(backup.command("create"))
    .description("write a backup while the service runs")
    .argument("<file>", "where to write it; must not exist")
    .option("--without-uploads", "leave out the files that people sent each other")
    .action(async (file: string, options: Options) => {
      const { home } = parts.offline();
      const held: Staged = staged.parse(await parts.ask("backup-stage"));
      const progress = options.json ? undefined : terminalProgress();
      try {
        const passphrase = await passphraseOf(options);
        const about = await writeBackup({
          ...{ file, home, staged: held, passphrase, withoutUploads: options.withoutUploads },
          ...(progress ? { onProgress: (done, of) => progress(`${mib(done)} of ${mib(of)}`) } : {}),
        });
        progress?.(undefined);
        parts.print(options.json ? JSON.stringify(about) : written(file, about, passphrase !== undefined));
      } finally {
        await rm(held.folder, { recursive: true, force: true });
      }
    });
  withPassphrase(backup.command("verify"))
    .description("read a backup to its end and check every byte")
    .argument("<file>")
    .action(async (file: string, options: Options) => {
      const about = await readBackup(file, await passphraseOf(options));
      parts.print(options.json ? JSON.stringify(about) : `${file} is whole: ${described(about)}.`);
    });
  return backup;
}

export function withPassphrase(command: Command): Command {
  return command
    .option("--passphrase-file <file>", "file with the passphrase that seals the backup; its first line counts")
    .option("--json", "print JSON");
}

/** The first line; throws `backup/passphrase` when there is none. */
export async function passphraseOf({ passphraseFile }: Options): Promise<string | undefined> {
  if (passphraseFile === undefined) return undefined;
  const text = await readFile(passphraseFile, "utf8").catch((error: unknown) => {
    throw new CodedError("backup/passphrase", `${passphraseFile} cannot be read: ${explain(error)}.`);
  });
  const [line = ""] = text.split(/\r?\n/);
  if (line !== "") return line;
  throw new CodedError("backup/passphrase", `The first line of ${passphraseFile} is empty.`, {
    hint: "Write a long passphrase into it.",
  });
}

function written(file: string, about: Manifest, sealed: boolean): string {
  return [
    `${file}: ${described(about)}.`,
    ...(sealed ? [] : ["It holds private keys and password keys, not sealed: keep it as you keep those."]),
    `Check it: firekeeper backup verify ${file}`,
  ].join("\n");
}

export function described({ domain, revision, at, members, program, withoutUploads }: Manifest): string {
  const uploaded = members.filter(({ name }) => isUpload(name));
  const what = [
    `${members.length} files of ${mib(sum(members))}`,
    ...(withoutUploads ? ["without what people uploaded"] : []),
    ...(uploaded.length > 0 ? [`${uploaded.length} of them of ${mib(sum(uploaded))} uploaded by people`] : []),
  ];
  return `${domain}, revision ${revision}, ${at}, ${what.join(", ")}, by Firekeeper ${program}`;
}

function sum(members: Manifest["members"]): number {
  return members.reduce((all, one) => all + one.bytes, 0);
}

function mib(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
