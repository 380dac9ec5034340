/** Answers the agent and tells it what it should know. The composition of everything in this folder. */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CodedError } from "../errors.ts";
import type { HostPasswords } from "../modules/module.ts";
import { writeWhole } from "../storage/files.ts";
import { programVersion } from "../version.ts";
import { actualTeller } from "./actual.ts";
import { applying, leaveBoot } from "./apply.ts";
import { canonicalForm } from "./canonical.ts";
import { checkLogin } from "./check-login.ts";
import {
  type Answer,
  type ApplyAnswer,
  type Ask,
  accountRemoved,
  type ControlEvent,
  contractVersion,
} from "./contract.ts";
import { groupView } from "./group-view.ts";
import type { ControlParts } from "./parts.ts";
import { probes } from "./probes.ts";
import { type ControlSocket, openControlSocket } from "./socket.ts";
import { coreStatus, sessionList } from "./status.ts";
import { upkeep } from "./upkeep.ts";

type ConsoleAsk = Extract<ControlEvent, { event: "console" }>;
type ChangedPart = Extract<ControlEvent, { event: "changed" }>["part"];

/** What modules ask of the host by way of the agent; `control` is undefined until the server is open. */
export const hostPasswords = (control: () => Control | undefined): HostPasswords => ({
  takes: () => control()?.agent()?.takesPasswords === true,
  change: async (account, password) => control()?.changePassword(account, password),
  removes: () => control()?.agent()?.takesRemovals === true,
  remove: async (account) => (await control()?.removeUser(account)) ?? 0,
});

/** What console and REST use of control. */
export interface Control {
  status(): Answer<"status">;
  sessions(limit?: number): Answer<"sessions">["sessions"];
  /** What the agent last said of itself; undefined without an agent. */
  agent(): Ask<"agent"> | undefined;
  /** Puts an admin's request to the agent. Throws control/no-agent, or the agent's own refusal. */
  askAgent(admin: string, ask: ConsoleAsk["ask"], given: Record<string, unknown>): Promise<unknown>;
  /** Gives a password back to the host store, through the agent. Throws control/no-agent, or the store's own refusal. */
  changePassword(account: string, password: string): Promise<void>;
  /** Resolves once the host store no longer has the user: the days for which the data is kept. */
  removeUser(account: string): Promise<number>;
  /** Sets what the host leaves to the server (null: removes it). Throws settings/owned-by-host, property/value … */
  setLocal(changes: ReadonlyMap<string, string | null>): Promise<ApplyAnswer>;
  /** Something of the actual state changed without the agent. */
  changed(part: ChangedPart): void;
  close(): Promise<void>;
}

/** The longest the agent may take for an admin's request: an apply with its verification. */
const agentAnswersWithinMs = 10 * 60_000;

export async function openControl(parts: ControlParts): Promise<Control> {
  const { revisions, clock } = parts;
  const instance = await instanceId(parts.home);
  const appliesInTurn = applying(parts);
  const actual = actualTeller(parts);
  const probing = probes(parts);
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  let agent: Ask<"agent"> | undefined;
  let lastNumber = 0;

  const socket: ControlSocket = await openControlSocket({
    path: join(parts.home, "control.sock"),
    clock,
    report: parts.report,
    lost() {
      agent = undefined;
      probing.closeAll();
      for (const each of waiting.values()) each.reject(new CodedError("control/no-agent", "The agent is gone."));
    },
    answering: {
      hello: () => ({
        ...{
          instance,
          version: contractVersion,
          program: programVersion,
          pid: process.pid,
          gatePid: parts.process.gatePid,
        },
        ...{
          revision: revisions.current,
          proven: revisions.proven,
          startedAt: new Date(parts.startedAt).toISOString(),
        },
      }),
      canonical: (desired) => canonicalForm(parts, desired),
      actual: ({ known }) => actual(known),
      apply: (request) => appliesInTurn.apply(request),
      async "set-password"(wanted) {
        await appliesInTurn.setPassword(wanted);
        return {};
      },
      "check-login": (asked) => checkLogin(parts, asked),
      async prove({ revision }) {
        if (revision !== revisions.current)
          throw new CodedError(
            "control/stale-revision",
            `Revision ${revisions.current} is in force, not ${revision}.`,
            {
              fields: { expected: revision, current: revisions.current },
            },
          );
        await revisions.prove(revision);
        return {};
      },
      restart() {
        parts.process.restart();
        return {};
      },
      stop() {
        parts.process.stop();
        return {};
      },
      status: () => coreStatus(parts),
      sessions: ({ limit }) => ({ sessions: sessionList(parts, limit) }),
      "probe-open": () => probing.open(),
      "probe-close"({ name }) {
        probing.close(name);
        return {};
      },
      "group-view": ({ group }) => groupView(parts, group),
      async backup({ folder }) {
        await parts.storage.snapshot(join(parts.home, folder, "core.db"));
        return {};
      },
      answer({ to, ok, error }) {
        const asked = waiting.get(to);
        if (error === undefined) asked?.resolve(ok);
        else
          asked?.reject(
            new CodedError(error.code, error.message, {
              ...(error.hint === undefined ? {} : { hint: error.hint }),
              ...(error.fields === undefined ? {} : { fields: error.fields }),
            }),
          );
        return {};
      },
      agent(state) {
        agent = state;
        return {};
      },
    },
  });
  parts.rights.onUsed((use) => void socket.tell({ event: "used-right", ...use }));
  await leaveBoot(parts);
  const keeping = upkeep(parts, (part) => void socket.tell({ event: "changed", part }));

  /** Puts a question to the agent, which answers by its number. */
  const ask = (event: (number: number) => ControlEvent): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const number = ++lastNumber;
      const settle = (): void => {
        waiting.delete(number);
        late();
      };
      const refuse = (error: unknown): void => {
        settle();
        reject(error);
      };
      const late = clock.after(agentAnswersWithinMs, () =>
        refuse(new CodedError("control/agent-silent", "The agent did not answer.")),
      );
      waiting.set(number, {
        reject: refuse,
        resolve(value) {
          settle();
          resolve(value);
        },
      });
      if (!socket.tell(event(number)))
        refuse(
          new CodedError("control/no-agent", "No agent is connected.", {
            hint: "Start the agent: it plans and applies what the host's settings say.",
          }),
        );
    });

  return {
    status: () => coreStatus(parts),
    sessions: (limit) => sessionList(parts, limit),
    agent: () => agent,
    askAgent: (admin, asked, given) => ask((number) => ({ event: "console", number, admin, ask: asked, with: given })),
    async changePassword(account, password) {
      await ask((number) => ({ event: "password", number, account, password }));
    },
    async removeUser(account) {
      return accountRemoved.parse(await ask((number) => ({ event: "removal", number, account }))).keepDays;
    },
    async setLocal(changes) {
      const answer = await appliesInTurn.setLocal(changes);
      socket.tell({ event: "changed", part: "settings" });
      return answer;
    },
    changed: (part) => void socket.tell({ event: "changed", part }),
    close() {
      keeping.stop();
      return socket.close();
    },
  };
}

/** Members as the host named them: disabled ones count, as they do in `actual`. */
/** Tells this home from every other one. */
async function instanceId(home: string): Promise<string> {
  const file = join(home, "instance");
  try {
    return (await readFile(file, "utf8")).trim();
  } catch {
    const made = randomUUID();
    await writeWhole(file, `${made}\n`);
    return made;
  }
}
