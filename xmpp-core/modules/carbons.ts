import { z } from "zod";
import { forwardedElement } from "../formats/forwarded.ts";
import { hasHint } from "../formats/hints.ts";
import { ns } from "../formats/namespaces.ts";
import { stanzaId } from "../formats/stanza-id.ts";
import { formatJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { MessageFlow } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { sessionState } from "../routing/session-state.ts";
import { rawXml, type Xml, x } from "../xml/writer.ts";
import { defineModule } from "./module.ts";
import { type Blocking, blocking, carbonCopies } from "./points.ts";

const carbonsOn = sessionState("carbons", { schema: z.boolean(), initial: false });

/** Why a message is copied, or why not; tests and support read the word. XEP-0280 §6.1 */
const copied = {
  chat: true,
  body: true,
  instant: true,
  invitation: true,
  private: false,
  hint: false,
  other: false,
} as const;

/** Payloads of instant messaging that are copied without a body. */
const instant: readonly string[] = [ns.receipts, ns.chatStates, ns.chatMarkers, ns.jingleMessage];

export function copyReason(flow: Pick<MessageFlow, "stanza" | "type">): keyof typeof copied {
  const { stanza, type } = flow;
  if (stanza.has(ns.carbons, "private")) return "private";
  if (hasHint(stanza, "no-copy")) return "hint";
  if (type === "chat") return "chat";
  if (type !== "normal") return "other";
  if (stanza.has(ns.client, "body")) return "body";
  if (stanza.has(ns.mucUser) || stanza.has(ns.conference)) return "invitation";
  return instant.some((namespace) => stanza.has(namespace)) ? "instant" : "other";
}

/** Keeps all devices of a person in one conversation. XEP-0280 */
export const carbons = defineModule({
  name: "carbons",
  implements: [{ spec: "XEP-0280", version: "1.0.1", status: "complete" }],
  features: [ns.carbons, ns.carbonRules],
  accountFeatures: [ns.carbons, ns.carbonRules],
  sessionState: [carbonsOn],
  // Only in what is stored or copied: the copy a client gets is written in its own view.
  addresses: [
    {
      within: [
        [ns.carbons, "sent"],
        [ns.forward, "forwarded"],
      ],
      element: [ns.client, "message"],
      attributes: ["from", "to"],
    },
    {
      within: [
        [ns.carbons, "received"],
        [ns.forward, "forwarded"],
      ],
      element: [ns.client, "message"],
      attributes: ["from", "to"],
    },
  ],
  start(core) {
    core.offer(carbonCopies, { wrap });
    return {
      iq: (["enable", "disable"] as const).map((name) => ({
        set: [ns.carbons, name] as const,
        at: ["account"] as const,
        answer(request) {
          carbonsOn.set(request.session, name === "enable");
          // After a crash others may be heard before this client is back, and it would miss the copies of what they say.
          return request.result(undefined, core.sessions.commit(request.session, []));
        },
      })),
      inlineBind: [
        {
          namespace: ns.carbons,
          take(session, element) {
            if (element.getName() === "enable") carbonsOn.set(session, true);
            return undefined;
          },
        },
      ],
      message: {
        amend(flow) {
          if (!flow.stanza.has(ns.carbons, "private")) return;
          const others = flow.without;
          flow.without = (child) => (child.ns === ns.carbons && child.name === "private") || others?.(child) === true;
        },
        copy(flow) {
          if (!copied[copyReason(flow)]) return;
          if (flow.sender !== undefined) copyTo(flow, flow.sender.account, "sent");
          if (flow.recipient !== undefined && flow.recipient !== flow.sender?.account)
            copyTo(flow, flow.recipient, "received", core.offered(blocking));
        },
      },
    };
  },
});

function copyTo(
  flow: MessageFlow,
  account: Account,
  direction: "sent" | "received",
  shut: readonly Blocking[] = [],
): void {
  for (const session of account.sessions) {
    const gets = session === flow.sender || session === flow.deferred || flow.targets.includes(session);
    if (gets || !carbonsOn.get(session)) continue;
    if (shut.some((one) => one.hidesMessage?.(session, flow.from))) continue;
    flow.copies.push({ session, render: () => copyFor(flow, session, direction) });
  }
}

function copyFor(flow: MessageFlow, session: Session, direction: "sent" | "received"): Xml {
  const by = formatJid({ local: session.account.name, domain: session.view, resource: "" });
  const archive = direction === "sent" ? flow.senderArchive : flow.recipientArchive;
  const id = archive === session.account.id ? stanzaId(flow.archiveId, by) : undefined;
  const message = flow.renderedWith(session.view, id).toString();
  return wrap(session, direction, rawXml(`<message xmlns="${ns.client}"${message.slice("<message".length)}`));
}

/** From the own bare address, as the only one who may send copies (XEP-0280 §11). */
function wrap(session: Session, direction: "sent" | "received", message: Xml): Xml {
  return x(
    "message",
    { from: session.bareAddress, to: session.address, type: "chat" },
    x(direction, { xmlns: ns.carbons }, forwardedElement(message)),
  );
}
