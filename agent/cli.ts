#!/usr/bin/env node
/** `firekeeper`: finds the agent by FIREKEEPER_HOME and asks it. Exit codes: 0 done, 1 error; `plan`: 2 when there are changes. */
import { existsSync } from "node:fs";
import { userInfo } from "node:os";
import { failureOf } from "./agent-socket.ts";
import { agentSocketPath, askAgent } from "./agent-socket-client.ts";
import { firekeeperProgram } from "./commands/program.ts";
import { terminalProgress } from "./commands/progress.ts";
import { type StoreAccess, storeOnDisk, storeThroughAgent } from "./commands/store-access.ts";
import { readEnvironment } from "./environment.ts";
import { CodedError, explain } from "./errors.ts";

const environment = () => readEnvironment();

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

const program = firekeeperProgram({
  ask: (what, params, progress) =>
    askAgent(environment().home, what, params, progress).finally(() => progress?.(undefined)),
  progress: terminalProgress(),
  print: (text) => console.log(text),
  exitCode: (code) => {
    process.exitCode = code;
  },
  store,
  offline: () => ({ home: environment().home, by: `local user ${userInfo().username} (claimed)` }),
});

try {
  await program.parseAsync();
} catch (error) {
  const json = process.argv.includes("--json");
  if (json) console.log(JSON.stringify({ error: failureOf(error) }));
  else console.error(error instanceof CodedError ? explain(error) : error);
  process.exitCode = 1;
}
