/**
 * The agent as a process of its own, for tests that kill it. `FIREKEEPER_*` as always; `STAND_IN=yes` takes the stand-in
 * as its gate; `CRASH=<n>:<before|torn|after>` kills this process (SIGKILL) around its n-th journal line.
 */
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readEnvironment } from "../../agent/environment.ts";
import { openReport } from "../../agent/report.ts";
import { startAgent } from "../../agent/start.ts";

const [count, when] = (process.env.CRASH ?? "").split(":");
if (count && when) {
  const probe = await open("/dev/null", "a");
  const prototype = Object.getPrototypeOf(probe) as {
    appendFile(data: Buffer): Promise<void>;
    datasync(): Promise<void>;
  };
  await probe.close();
  const { appendFile, datasync } = prototype;
  let lines = 0;
  const die = () => process.kill(process.pid, "SIGKILL");
  prototype.appendFile = async function (data) {
    lines++;
    if (lines === Number(count) && when === "before") die();
    const torn = lines === Number(count) && when === "torn";
    await appendFile.call(this, torn ? data.subarray(0, data.length / 2) : data);
    if (torn) die();
  };
  prototype.datasync = async function () {
    await datasync.call(this);
    if (lines === Number(count) && when === "after") die();
  };
}

const environment = readEnvironment(process.env, { dotenvPath: "/nonexistent" });
const gate =
  process.env.STAND_IN === "yes" ? { gate: fileURLToPath(new URL("stand-in-core.ts", import.meta.url)) } : {};
try {
  const agent = await startAgent(environment, { report: openReport("info"), quietMs: 50, ...gate });
  process.on("SIGTERM", () => void agent.stop("SIGTERM").then(() => process.exit(0)));
  console.log(await agent.settled);
} catch (error) {
  console.error(error);
  process.exit(1);
}
