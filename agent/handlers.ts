/** What `<home>/agent.sock` answers. */
import { type Agent, asking, number } from "./agent.ts";
import type { Handler } from "./agent-socket.ts";
import { contentOf } from "./apply/revision-state.ts";
import { answerStoreRequest, storeEdited, storeRequest } from "./commands/store-access.ts";
import { CodedError } from "./errors.ts";

export function handlers(agent: Agent): ReadonlyMap<string, Handler> {
  const { journal, store, target } = agent.parts;
  return new Map<string, Handler>([
    ["ping", async () => ({})],
    ["plan", (params) => agent.plan(asking(params))],
    ["apply", (params, by) => agent.apply(by, asking(params))],
    ["status", () => agent.status()],
    ["sessions", (params) => target.sessions(number(params, "limit"))],
    ["history", async (params) => journal.history(number(params, "limit") ?? 20)],
    ["show", async (params) => shown(agent, number(params, "revision"))],
    ["rollback", (params, by) => agent.rollBack(by, number(params, "revision"), params.accounts === true)],
    ["resume", (_, by) => agent.resume(by)],
    ["restart", (_, by) => agent.restart(by)],
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
