import { ns } from "../../formats/namespaces.ts";
import { type Core, defineModule } from "../module.ts";
import { commands } from "../points.ts";
import { downtimeCommands } from "./downtime.ts";
import { factCommands } from "./facts.ts";
import { standingTexts, textsMigration } from "./texts.ts";
import { userCommands } from "./users.ts";

/** What the admin does from any client that knows ad-hoc commands. docs/administration.md, XEP-0133 */
export const administration = defineModule({
  name: "administration",
  implements: [
    {
      spec: "XEP-0133",
      version: "1.3.1",
      status: "partial",
      note: "users of the server's own, who is there, announcements, message of the day, welcome, restart and shutdown; no passwords are told, no blacklist and whitelist, the admin is named by the host",
    },
  ],
  migrations: [textsMigration],
  start,
});

function start(core: Core) {
  const texts = standingTexts(core);
  const downtime = downtimeCommands(core);
  for (const [end, name, run] of [
    ...userCommands(core),
    ...factCommands(core),
    ...texts.commands,
    ...downtime.commands,
  ])
    core.offer(commands, { node: `${ns.admin}#${end}`, name, by: "admin", run });
  core.offer(commands, {
    ...{ node: "urn:firekeeper:admin#call-off", name: "Call off a planned restart or shutdown", by: "admin" },
    run: downtime.callOff,
  });
  return { ready: texts.ready, account: texts.account, stop: downtime.stop };
}
