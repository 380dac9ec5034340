/** `npm run bench`: Firekeeper, Prosody, ejabberd and a bare relay under the same load, as a table of ratios. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { agentScenario, agentTable } from "./agent.ts";
import { crowdTable } from "./crowd.ts";
import { startLoad } from "./load-driver.ts";
import { loginTable } from "./login.ts";
import {
  type ChatRow,
  type ChatScenario,
  chatScenario,
  type IdleRow,
  idleScenario,
  type LoginRow,
  loginScenario,
  type RestartRow,
  restartScenario,
} from "./scenarios.ts";
import { type SubjectName, startSubject, subjectNames } from "./subject.ts";
import { table } from "./table.ts";
import { uploadTable } from "./upload.ts";
import { webTable } from "./websocket.ts";

/** All that was measured of one subject in one setup. */
export type Result = {
  subject: string;
  version: string;
  setup: string;
  archive: boolean;
  chats: Record<string, ChatRow>;
  login: LoginRow | undefined;
  idle: IdleRow | undefined;
  restart: RestartRow | undefined;
};

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    archive: { type: "string", default: "on,off" },
    sm: { type: "boolean", default: false },
    agent: { type: "boolean", default: false },
    crowd: { type: "boolean", default: false },
    login: { type: "boolean", default: false },
    upload: { type: "boolean", default: false },
    web: { type: "boolean", default: false },
    people: { type: "string" },
    seconds: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(`npm run bench -- [options]
  --only prosody,relay    which of ${subjectNames.join(", ")}
  --quick                 shorter spans, 200 idle sessions instead of 2,000
  --seconds N             measured span of each chat scenario (default 10, quick 4)
  --archive on|off|on,off message archive (default both)
  --sm                    chat with stream management and carbons enabled
  --agent                 the agent's looks at a large host, and nothing else
  --crowd                 rooms, presence and nodes with a thousand who read, pages of a large archive, and nothing else
  --login                 each way to log in: CPU and round trips, and nothing else
  --upload                files by HTTPS beside nginx: rate, CPU and memory, and nothing else
  --web                   WebSocket beside TCP: CPU per message, memory per idle session, and nothing else
  --people N              how many for --crowd (default 1000, quick 100); FILL_SECONDS bounds what fills the archive
  --json                  the figures as JSON on standard output, the table on standard error`);
  process.exit();
}

if (values.agent) {
  const size = values.quick
    ? { users: 5000, groups: 200, settings: 500 }
    : { users: 50_000, groups: 2000, settings: 5000 };
  console.log(agentTable(size, await agentScenario(size)));
  process.exit();
}

const only = values.only?.split(",") ?? [...subjectNames];
const chosen = subjectNames.filter((name) => only.includes(name));
const unknown = only.filter((name) => !chosen.some((known) => known === name));
if (unknown.length > 0) throw new Error(`--only ${unknown.join(",")}: one of ${subjectNames.join(", ")}`);
const machine = `${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}, ${new Date().toISOString()}`;
if (values.login) {
  console.log(await loginTable(chosen, values.quick ? 50 : 200, machine));
  process.exit();
}
if (values.upload) {
  const size = values.quick ? { largeMb: 100, small: 200, hugeMb: 0 } : { largeMb: 100, small: 1000, hugeMb: 1000 };
  console.log(await uploadTable(size, machine));
  process.exit();
}
if (values.web) {
  const seconds = Number(values.seconds ?? (values.quick ? 4 : 10));
  console.log(await webTable(values.quick ? 200 : 2000, seconds, machine));
  process.exit();
}
if (values.crowd) {
  // Prosody's and ejabberd's archives take minutes for what they are given here already.
  const archived = (name: SubjectName): number => (values.quick || name !== "firekeeper" ? 20_000 : 1_000_000);
  const people = Number(values.people ?? (values.quick ? 100 : 1000));
  console.log(await crowdTable(chosen, { people, archived }, machine));
  process.exit();
}
const seconds = Number(values.seconds ?? (values.quick ? 4 : 10));
const sessions = values.quick ? 200 : 2000;
const scenarios: ChatScenario[] = [
  { name: "200 x 4", clients: 200, inFlight: 4, streamManagement: values.sm },
  { name: "20 x 1", clients: 20, inFlight: 1, streamManagement: values.sm },
];

const results: Result[] = [];
for (const archive of values.archive.split(",").map((word) => word === "on"))
  for (const name of chosen) {
    // The relay has no archive; once is enough.
    if (name === "relay" && results.some((result) => result.subject === "relay")) continue;
    const result = await measure(name, archive).catch((error: unknown) => {
      console.error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
      return undefined;
    });
    if (result !== undefined) results.push(result);
  }

const report = table(results, machine);
if (values.json) {
  console.error(report);
  console.log(JSON.stringify(results, undefined, 2));
} else console.log(report);

async function measure(name: SubjectName, archive: boolean): Promise<Result | undefined> {
  console.error(`${name}, archive ${archive ? "on" : "off"} …`);
  const subject = await startSubject(name, { archive, users: sessions });
  if (subject === undefined) return undefined;
  const load = startLoad();
  try {
    const chats: Record<string, ChatRow> = {};
    // First, on a fresh server: idle sessions that wait to be resumed would be a part of what chatting costs.
    for (const scenario of scenarios) chats[scenario.name] = await chatScenario(subject, load, scenario, seconds);
    // Login and memory do not depend on the archive.
    const alsoRest = archive || values.archive === "off";
    const login = alsoRest ? await loginScenario(subject, load, 200) : undefined;
    const idle = alsoRest ? await idleScenario(subject, load, sessions) : undefined;
    const restart = alsoRest ? await restartScenario(subject, load, sessions) : undefined;
    const { version, setup } = subject;
    return { subject: name, version, setup, archive, chats, login, idle, restart };
  } finally {
    load.stop();
    await subject.stop();
  }
}
