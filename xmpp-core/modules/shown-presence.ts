/** How somebody is, in one word: of all his devices the one that would get a message. */
import { ns } from "../formats/namespaces.ts";
import type { Account } from "../routing/accounts.ts";
import { parseStanza } from "../xml/document.ts";
import { limitsAfterLogin } from "../xml/limits.ts";
import type { Core } from "./module.ts";
import { presences } from "./points.ts";

export const shows = ["online", "chat", "away", "xa", "dnd"] as const;
export interface ShownPresence {
  readonly show: (typeof shows)[number] | "offline";
  /** What he wrote beside it. */
  readonly status: string | undefined;
}

/** The device with the highest priority; among equals the one that is most there. RFC 6121 §4.7.2 */
export function shownPresence(core: Core, account: Account): ShownPresence {
  const view = core.names.primary.name;
  let best: { priority: number; rank: number; shown: ShownPresence } | undefined;
  for (const each of core.offered(presences))
    for (const xml of each.current(account, view, view)) {
      const presence = parseStanza(xml, ns.client, limitsAfterLogin).element();
      const said = presence.getChildText("show")?.trim();
      const show = shows.find((one) => one === said) ?? "online";
      const priority = Number(presence.getChildText("priority") ?? 0);
      const rank = ["chat", "online", "dnd", "away", "xa"].indexOf(show);
      if (best !== undefined && (best.priority > priority || (best.priority === priority && best.rank <= rank)))
        continue;
      best = { priority, rank, shown: { show, status: presence.getChildText("status") ?? undefined } };
    }
  return best?.shown ?? { show: "offline", status: undefined };
}
