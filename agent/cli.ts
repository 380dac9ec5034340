#!/usr/bin/env node
/** `firekeeper`: finds the agent by FIREKEEPER_HOME and asks it. Exit codes: 0 done, 1 error; `plan`: 2 when there are changes. */
import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import { Command } from "commander";
import { failureOf } from "./agent-socket.ts";
import { agentSocketPath, askAgent } from "./agent-socket-client.ts";
import { applyCommand } from "./commands/apply.ts";
import type { AskingParts } from "./commands/command.ts";
import { historyCommand, showCommand } from "./commands/history.ts";
import { planCommand } from "./commands/plan.ts";
import { restartCommand } from "./commands/restart.ts";
import { resumeCommand } from "./commands/resume.ts";
import { rolesCommand } from "./commands/roles.ts";
import { rollbackCommand } from "./commands/rollback.ts";
import { settingsCommand } from "./commands/settings.ts";
import { statusCommand } from "./commands/status.ts";
import { type StoreAccess, storeOnDisk, storeThroughAgent } from "./commands/store-access.ts";
import { terminalParts } from "./commands/store-command.ts";
import { usersCommand } from "./commands/users.ts";
import { readEnvironment } from "./environment.ts";
import { CodedError, explain } from "./errors.ts";

const environment = () => readEnvironment();

const parts: AskingParts = {
  ask: (what, params) => askAgent(environment().home, what, params),
  print: (text) => console.log(text),
  exitCode: (code) => {
    process.exitCode = code;
  },
};

/** Through the agent if one runs, which then takes the change at once; else on the file itself. */
async function store(): Promise<StoreAccess> {
  const place = environment();
  const { home } = place;
  const throughAgent = storeThroughAgent(({ ask, ...params }) => askAgent(home, ask, params));
  if (!existsSync(agentSocketPath(home))) return storeOnDisk(place);
  try {
    await askAgent(home, "ping");
  } catch (error) {
    if (error instanceof CodedError && error.code === "agent/not-running") return storeOnDisk(place);
    throw error;
  }
  return throughAgent;
}

const program = new Command("firekeeper")
  .description("An XMPP service that follows the settings of its host.")
  .showHelpAfterError("(firekeeper --help lists the commands)")
  .addCommand(planCommand(parts))
  .addCommand(applyCommand(parts))
  .addCommand(statusCommand(parts))
  .addCommand(historyCommand(parts))
  .addCommand(showCommand(parts))
  .addCommand(
    rollbackCommand(parts, () => ({ home: environment().home, by: `local user ${userInfo().username} (claimed)` })),
  )
  .addCommand(resumeCommand(parts))
  .addCommand(restartCommand(parts))
  .addCommand(usersCommand(terminalParts(store)))
  .addCommand(rolesCommand(terminalParts(store)))
  .addCommand(settingsCommand(terminalParts(store)));

try {
  await program.parseAsync();
} catch (error) {
  const json = process.argv.includes("--json");
  if (json) console.log(JSON.stringify({ error: failureOf(error) }));
  else console.error(error instanceof CodedError ? explain(error) : error);
  process.exitCode = 1;
}
