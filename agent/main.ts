#!/usr/bin/env node
/** The agent's process: boot and signals. `npm start`. */
import { readEnvironment } from "./environment.ts";
import { CodedError, explain } from "./errors.ts";
import { openReport } from "./report.ts";
import { startAgent } from "./start.ts";
import { tellSystemd } from "./supervise/systemd.ts";

process.umask(0o077);

try {
  const environment = readEnvironment();
  const report = openReport(environment.logLevel);
  for (const notice of environment.notices) report.noticed(notice);
  const agent = await startAgent(environment, { report });
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) {
      agent.force();
      process.exit(1);
    }
    stopping = true;
    tellSystemd("STOPPING=1");
    report.stopping(signal);
    agent.stop(signal).then(
      () => process.exit(0),
      (error: unknown) => {
        report.failed(error instanceof CodedError ? error.code : "agent/failed", explain(error));
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  process.on("SIGHUP", () => agent.reload());
  const settled = await agent.settled;
  tellSystemd("READY=1");
  console.log(settled);
} catch (error) {
  console.error(error instanceof CodedError ? `${error.code}: ${explain(error)}` : error);
  process.exit(1);
}
