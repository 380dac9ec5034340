/** What `<home>/agent.sock` answers. */
import type { Agent } from "./agent.ts";
import type { Handler } from "./agent-socket.ts";
import { revisionDifferences } from "./apply/revision-diff.ts";
import { contentOf } from "./apply/revision-state.ts";
import { asking, number, text } from "./asking.ts";
import { stage } from "./backup/stage.ts";
import { answerStoreRequest, storeEdited, storeRequest } from "./commands/store-access.ts";
import { CodedError } from "./errors.ts";
import { fleetDocument, readFleet } from "./fleet/fleet-state.ts";
import { checkLogin } from "./login-check.ts";

const local = (by: string) => ({ by, from: "agent socket" });

export interface Places {
  readonly home: string;
  /** Absolute path of the host file, if the store is one. */
  readonly hostFile: string | undefined;
}

export function handlers(agent: Agent, places: Places): ReadonlyMap<string, Handler> {
  const { journal, store, target } = agent.parts;
  return new Map<string, Handler>([
    ["ping", async () => ({})],
    ["plan", (params) => agent.plan(asking(params))],
    ["review", (params, by) => agent.review(local(by), asking(params))],
    ["apply", (params, by, progress) => agent.apply(local(by), asking(params), { seen: params.reviewed, progress })],
    ["confirm", (_, by) => agent.confirm(local(by))],
    ["freeze", (params, by) => agent.freeze(local(by), number(params, "until"), text(params, "reason"))],
    ["unfreeze", (_, by) => agent.unfreeze(local(by))],
    ["status", () => agent.status()],
    ["fleet", async () => fleetDocument(await readFleet(places.home), Date.now())],
    [
      "check-login",
      (params) => checkLogin(agent.parts, { name: String(params.name ?? ""), ...passwordGiven(params.password) }),
    ],
    ["sessions", (params) => target.sessions(number(params, "limit"))],
    [
      "history",
      async (params) =>
        journal.history(number(params, "limit") ?? 20, { since: number(params, "since"), by: text(params, "by") }),
    ],
    ["diff", async (params) => revisionDifferences(journal, number(params, "from"), number(params, "to"))],
    ["show", async (params) => shown(agent, number(params, "revision"))],
    ["rollback", (params, by) => agent.rollBack(local(by), number(params, "revision"), params.accounts === true)],
    ["resume", (_, by) => agent.resume(by)],
    ["restart", (_, by) => agent.restart(by)],
    ["backup-stage", () => agent.alone(() => stage({ ...agent.parts, ...places }))],
    ["store-read", () => answerStoreRequest(store, { ask: "store-read" })],
    [
      "store-edit",
      async (params, by) => {
        const request = storeRequest.parse({ ask: "store-edit", ...params });
        const edited = storeEdited.parse(await answerStoreRequest(store, request));
        if (!edited.changed) return edited;
        return { ...edited, outcome: await agent.edited(by, edited.summary, edited.removes) };
      },
    ],
  ]);
}

/** One revision: what it changed, and what it asked for as a whole. */
function shown({ parts: { journal } }: Agent, revision: number | undefined) {
  const line = journal.history().find((one) => one.revision === (revision ?? journal.revision));
  if (!line) {
    throw new CodedError("history/unknown-revision", `There is no revision ${revision ?? "yet"}.`, {
      hint: "firekeeper history lists them.",
    });
  }
  const state = journal.state(line.revision);
  if (!state) return { ...line, content: null };
  const { accounts, ...content } = contentOf(state);
  return { ...line, content: { ...content, accounts: [...accounts].map(([name, account]) => ({ name, ...account })) } };
}

function passwordGiven(given: unknown): { password?: string } {
  return typeof given === "string" ? { password: given } : {};
}
