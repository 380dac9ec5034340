/** The whole command line as one tree: what runs it, completes it and describes it all read this. */
import { Command } from "commander";
import { applyCommand, confirmCommand } from "./apply.ts";
import { backupCommand } from "./backup.ts";
import type { AskingParts } from "./command.ts";
import { completionCommand } from "./completion.ts";
import { diffCommand } from "./diff.ts";
import { doctorCommand } from "./doctor.ts";
import { freezeCommand, unfreezeCommand } from "./freeze.ts";
import { historyCommand, showCommand } from "./history.ts";
import { journalCommand } from "./journal.ts";
import { planCommand } from "./plan.ts";
import { restartCommand } from "./restart.ts";
import { restoreCommand } from "./restore.ts";
import { resumeCommand } from "./resume.ts";
import { rolesCommand } from "./roles.ts";
import { rollbackCommand } from "./rollback.ts";
import { settingsCommand } from "./settings.ts";
import { statusCommand } from "./status.ts";
import type { StoreAccess } from "./store-access.ts";
import { terminalParts } from "./store-command.ts";
import { teamsCommand } from "./teams.ts";
import { usersCommand } from "./users.ts";

export interface ProgramParts extends AskingParts {
  /** The host store, through the agent or on disk. */
  store(): Promise<StoreAccess>;
  /** The home directory and who asks, for what works on files when nothing runs. */
  offline(): { home: string; by: string };
}

export function firekeeperProgram(parts: ProgramParts): Command {
  const store = terminalParts(parts.store);
  const program = new Command("firekeeper")
    .description("An XMPP service that follows the settings of its host.")
    .showHelpAfterError("(firekeeper --help lists the commands)")
    .addCommand(planCommand(parts))
    .addCommand(applyCommand(parts))
    .addCommand(confirmCommand(parts))
    .addCommand(statusCommand(parts))
    .addCommand(doctorCommand(parts))
    .addCommand(historyCommand(parts))
    .addCommand(showCommand(parts))
    .addCommand(diffCommand(parts))
    .addCommand(rollbackCommand(parts, parts.offline))
    .addCommand(resumeCommand(parts))
    .addCommand(freezeCommand(parts))
    .addCommand(unfreezeCommand(parts))
    .addCommand(journalCommand(parts, () => parts.offline().home))
    .addCommand(restartCommand(parts))
    .addCommand(usersCommand(store))
    .addCommand(rolesCommand(store))
    .addCommand(teamsCommand(store))
    .addCommand(settingsCommand(store));
  program.addCommand(backupCommand(parts)).addCommand(restoreCommand(parts));
  return program.addCommand(completionCommand(parts, program));
}
