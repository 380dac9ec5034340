import { ns } from "../formats/namespaces.ts";
import { stanzaError } from "../formats/stanza-error.ts";
import { property } from "../properties/property.ts";
import { integer, milliseconds } from "../properties/text-schema.ts";
import type { IqAnswer, IqRequest } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import { defineModule } from "./module.ts";
import { type Command, type CommandAsk, type CommandStep, commands, discoExtra } from "./points.ts";

const actions = new Set(["execute", "next", "complete", "prev", "cancel"]);
const mostRunning = property("xmpp.command.limit", {
  schema: integer(1, 1000),
  default: 100,
  impact: "live",
  doc: "Commands that one session may have under way at once.",
});

const runningFor = property("xmpp.command.timeout", {
  schema: milliseconds.min(1000),
  default: 600_000,
  impact: "live",
  doc: "How long a command waits for its next step; then it is given up.",
});

interface Running {
  readonly command: Command;
  readonly kept: unknown;
  readonly startedAt: number;
}

/** Lists and runs the commands that other modules offer, for those who may. XEP-0050 */
export const adHocCommands = defineModule({
  name: "ad-hoc-commands",
  implements: [{ spec: "XEP-0050", version: "1.3.0", status: "complete" }],
  features: [ns.commands],
  properties: [mostRunning, runningFor],
  start(core) {
    /** Commands under way, per session and id. */
    const running = new WeakMap<Session, Map<string, Running>>();

    const allowed = (session: Session, command: Command): boolean => {
      const { id } = session.account;
      if (command.by === "anyone") return true;
      return core.rights.isAdmin(id) || (command.by === "supervisor" && core.rights.isSupervisor(id));
    };
    const find = (node: string): Command | undefined => core.offered(commands).find((command) => command.node === node);

    core.offer(discoExtra, {
      items(at, session, node) {
        if (at !== "server") return [];
        if (node === undefined) return [{ jid: session.view, node: ns.commands, name: "Commands" }];
        if (node !== ns.commands) return [];
        return core
          .offered(commands)
          .filter((command) => allowed(session, command) && command.shownTo?.(session) !== false)
          .map((command) => ({ jid: session.view, node: command.node, name: command.name }));
      },
      info(at, session, node) {
        if (at !== "server") return undefined;
        if (node === ns.commands)
          return { identities: [{ category: "automation", type: "command-list", name: "Commands" }], features: [] };
        const command = find(node);
        if (command === undefined || !allowed(session, command)) return undefined;
        return {
          identities: [{ category: "automation", type: "command-node", name: command.name }],
          features: [ns.commands, ns.dataForms],
        };
      },
    });

    async function answer(request: IqRequest): Promise<IqAnswer> {
      const { session, element } = request;
      const { node, action: given = "execute", sessionid: id } = element.attrs as Record<string, unknown>;
      if (typeof node !== "string" || typeof given !== "string")
        return request.error(stanzaError("bad-request", { text: "A command needs a node." }));
      if (!actions.has(given)) return refused(request, "malformed-action", `"${given}" is no action of XEP-0050.`);
      const command = find(node);
      if (command === undefined)
        return request.error(stanzaError("item-not-found", { text: `There is no command ${node}.` }));
      if (!allowed(session, command)) return request.error(stanzaError("forbidden"));
      const mine = running.get(session) ?? new Map<string, Running>();
      running.set(session, mine);
      const now = core.clock.now();
      for (const [key, each] of mine) if (now - each.startedAt > core.properties.get(runningFor)) mine.delete(key);
      const before = typeof id === "string" ? mine.get(id) : undefined;
      // Without an id there is nothing under way that could be gone back in or given up.
      const known = typeof id === "string" ? before?.command === command : given !== "cancel" && given !== "prev";
      if (!known) return refused(request, "bad-sessionid", "This command is not under way.");
      const sessionId = typeof id === "string" ? id : core.random(9).toString("base64url");
      if (given === "cancel") {
        mine.delete(sessionId);
        return request.result(commandElement(node, sessionId, "canceled"));
      }
      if (before === undefined && mine.size >= core.properties.get(mostRunning))
        return request.error(stanzaError("resource-constraint", { text: "Too many commands are under way." }));
      const ask: CommandAsk = {
        session,
        served: request.served,
        action: given as CommandAsk["action"],
        form: element.getChild("x", ns.dataForms),
        kept: before?.kept,
      };
      const step = await command.run(ask);
      return report(request, command, sessionId, step, mine, now);
    }

    function report(
      request: IqRequest,
      command: Command,
      id: string,
      step: CommandStep,
      mine: Map<string, Running>,
      now: number,
    ): IqAnswer {
      if (step.is === "error") return request.error(step.error);
      if (step.is === "completed") {
        mine.delete(id);
        const note = step.note === undefined ? undefined : x("note", { type: "info" }, text(step.note));
        return request.result(commandElement(command.node, id, "completed", note, step.form));
      }
      mine.set(id, { command, kept: step.keep, startedAt: now });
      const next = x("actions", { execute: "complete" }, step.final === false && x("next"), x("complete"));
      return request.result(commandElement(command.node, id, "executing", next, step.form));
    }

    return { iq: [{ set: [ns.commands, "command"], at: ["server"], answer }] };
  },
});

function refused(request: IqRequest, condition: "malformed-action" | "bad-sessionid", why: string): IqAnswer {
  return request.error(stanzaError("bad-request", { text: why, application: x(condition, { xmlns: ns.commands }) }));
}

function commandElement(node: string, sessionid: string, status: string, ...content: (Xml | undefined)[]): Xml {
  return x("command", { xmlns: ns.commands, node, sessionid, status }, ...content);
}
