import type { Device } from "../auth/devices.ts";
import type { Field } from "../formats/data-form.ts";
import { notStored } from "../formats/stanza-error.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import { deviceOf } from "../stream/device-session.ts";
import { accountNamed, askFor, completed, oneAccount, refusedFor, submitted } from "./command-forms.ts";
import { type Core, defineModule } from "./module.ts";
import { stored } from "./own-password.ts";
import { type Command, type CommandAsk, type CommandStep, commands } from "./points.ts";

const ownNode = "urn:firekeeper:devices";
const adminNode = "urn:firekeeper:devices-of-user";

/** People see where they are logged in, and log devices out: the device's token is void and its session ends. docs/login.md */
export const loginDevices = defineModule({
  name: "login-devices",
  implements: [],
  sessionState: [deviceOf],
  start(core) {
    core.offer(commands, ownCommand(core));
    core.offer(commands, adminCommand(core));
    return {
      account: {
        changed(account) {
          if (account.enabled) return;
          // Should the disk not take it: nobody gets in while the account is disabled, and the next start does it.
          core.storage.commit(core.devices.revoke(account.id), (error) =>
            core.report.wrong({ what: `tokens of ${account.name}`, error }),
          );
        },
        setAside: (account) => [...core.devices.forget(account.id)],
        removed: (account) => [...core.devices.forget(account.id)],
      },
    };
  },
});

function ownCommand(core: Core): Command {
  return {
    node: ownNode,
    name: "Your devices: see them, log them out",
    by: "anyone",
    async run(ask) {
      const { session } = ask;
      const devices = (await core.devices.of(session.account.id)).filter(({ key }) => key !== deviceOf.get(session));
      const chosen = choice(ask);
      if (chosen === undefined) return form("Your devices", devices, session.account, session);
      return logOut(core, session.account, devices, chosen, session);
    },
  };
}

function adminCommand(core: Core): Command {
  return {
    node: adminNode,
    name: "Devices of a user: see them, log them out",
    by: "admin",
    async run(ask) {
      const { session, kept } = ask;
      const named = typeof kept === "number" ? core.accounts.byId(kept) : undefined;
      if (named === undefined) {
        const given = submitted(ask, "accountjid");
        if (given === undefined) return askFor({ title: "Devices of a user", fields: [oneAccount("User")] });
        const account = accountNamed(core, ask, given);
        if ("is" in account) return account;
        return {
          ...form(`Devices of ${account.name}`, await core.devices.of(account.id), account),
          keep: account.id,
        } as CommandStep;
      }
      const chosen = choice(ask);
      if (chosen === undefined) return refusedFor("bad-request", "Fill in the form.");
      const step = await logOut(core, named, await core.devices.of(named.id), chosen);
      if (step.is === "completed") core.rights.used(session.bareAddress, "log out devices", named.name);
      return step;
    },
  };
}

interface Choice {
  readonly keys: readonly string[];
  readonly everywhere: boolean;
}

function choice(ask: CommandAsk): Choice | undefined {
  const keys = submitted(ask, "devices");
  if (keys === undefined) return undefined;
  return { keys, everywhere: ["1", "true"].includes(submitted(ask, "everywhere")?.[0] ?? "") };
}

/** @param asking the session that asks about its own account */
function form(title: string, devices: readonly Device[], account: Account, asking?: Session): CommandStep {
  const here = new Set(account.sessions.map((session) => deviceOf.get(session)));
  const fields: Field[] = [
    {
      ...{ name: "devices", type: "list-multi", label: "Log these out", values: [] },
      options: devices.map((device) => ({ label: labelOf(device, here.has(device.key)), value: device.key })),
    },
    {
      ...{ name: "everywhere", type: "boolean", values: ["0"] },
      label: asking === undefined ? "Log out everywhere" : "Log out everywhere but here",
    },
  ];
  const known = devices.length === 0 ? "No device is known that has told its name." : "Days are as UTC has them.";
  return askFor({ title, instructions: `${known} Who is logged out needs the password again.`, fields });
}

function labelOf({ software, device, lastLogin }: Device, connected: boolean): string {
  const names = [software, device].filter((name) => name !== undefined).join(", ") || "A device without a name";
  const day = new Date(lastLogin).toISOString().slice(0, 10);
  return `${names}: last login ${day}${connected ? ", connected" : ""}`;
}

/** @param but the session that stays */
async function logOut(
  core: Core,
  account: Account,
  devices: readonly Device[],
  { keys, everywhere }: Choice,
  but?: Session,
): Promise<CommandStep> {
  const gone = devices.filter(({ key }) => everywhere || keys.includes(key));
  if (keys.some((key) => !devices.some((device) => device.key === key)))
    return refusedFor("item-not-found", "One of these devices is not known.");
  // A login of the account that is under way is first, so that its session is found below.
  const done = await core.devices.turn(account.id);
  try {
    const writes = gone.flatMap(({ key }) => [...core.devices.forget(account.id, key)]);
    if (writes.length > 0 && !(await stored(core, writes))) return { is: "error", error: notStored };
    for (const session of [...account.sessions]) {
      const named = gone.some(({ key }) => key === deviceOf.get(session));
      if (session !== but && (everywhere || named)) end(core, session);
    }
  } finally {
    done();
  }
  if (gone.length === 0 && !everywhere) return completed("Nothing was chosen: nobody is logged out.");
  return completed(gone.length === 1 ? "1 device is logged out." : `${gone.length} devices are logged out.`);
}

function end(core: Core, session: Session): void {
  if (session.carrier !== undefined) session.carrier.end("not-authorized", "This device was logged out.");
  else core.sessions.end(session, "ended");
}
