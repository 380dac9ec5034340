import type { Element } from "ltx";
import type { UserAgent } from "../auth/devices.ts";
import { ns } from "../formats/namespaces.ts";
import { prepareResource } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import type { Ticket } from "../storage/storage.ts";
import { type Xml, x } from "../xml/writer.ts";
import { deviceOf } from "./device-session.ts";
import type { StreamParts } from "./parts.ts";
import { managementActive } from "./properties.ts";
import type { ManagedStream, StreamManagement } from "./stream-management.ts";

/** What may be asked for inside `<bind/>`. XEP-0386 §3.1 */
export function bind2Feature(parts: Pick<StreamParts, "inlineBinds" | "properties">): Xml {
  const managed = parts.properties.get(managementActive) ? [ns.streamManagement] : [];
  const inline = [...parts.inlineBinds().map(({ namespace }) => namespace), ...managed];
  return x(
    "bind",
    { xmlns: ns.bind2 },
    x(
      "inline",
      {},
      inline.map((name) => x("feature", { var: name })),
    ),
  );
}

/** Opens the session of a client that has just logged in, with all that it asked for at once. XEP-0386 §3.2 */
export function bind2(
  parts: StreamParts,
  management: StreamManagement,
  stream: ManagedStream,
  asked: { account: Account; view: string; userAgent: UserAgent | undefined; bind: Element; bound: readonly Xml[] },
): { readonly session: Session; readonly bound: Xml; readonly after: Ticket } {
  const { account, view, userAgent, bind } = asked;
  const device = userAgent === undefined ? "" : parts.auth.devices.keyOf(account.id, userAgent.id);
  if (device !== "")
    for (const older of [...account.sessions]) if (deviceOf.get(older) === device) replace(parts, older);
  const session = parts.sessions.open(account, view, resourceFor(parts, account, userAgent, bind));
  if (device !== "") deviceOf.set(session, device);
  const answers = parts.inlineBinds().map((handler) => {
    const element = bind.getChildElements().find((child) => child.getNS() === handler.namespace);
    return element && handler.take(session, element);
  });
  const enable = bind.getChild("enable", ns.streamManagement);
  const managed = enable && management.enable(stream, session, enable);
  const content = [...asked.bound, ...answers.filter((answer) => answer !== undefined), managed?.answer];
  return { session, bound: x("bound", { xmlns: ns.bind2 }, ...content), after: managed?.after ?? 0 };
}

/** The same client is here again: what it left behind waits for nobody. */
function replace(parts: StreamParts, older: Session): void {
  if (older.carrier !== undefined) older.carrier.end("conflict", "This client has logged in again.");
  else parts.sessions.end(older, "replaced");
}

const longestTag = 100;

/** The client's tag, and behind it what stays the same for one device and tells nothing of it. XEP-0386 §3.2.1 */
function resourceFor(parts: StreamParts, account: Account, userAgent: UserAgent | undefined, bind: Element): string {
  const tag = (bind.getChildText("tag", ns.bind2) ?? "").trim();
  const random = (): string => parts.random(9).toString("base64url");
  const stable = userAgent && parts.auth.devices.resourceOf(account.id, userAgent.id, tag);
  const named = (part: string): string =>
    (tag === "" || tag.length > longestTag ? undefined : prepareResource(`${tag}/${part}`)) ?? part;
  const wanted = named(stable ?? random());
  // Somebody who logged in the older way may have chosen the very same.
  return parts.sessions.get(account, wanted) === undefined ? wanted : named(random());
}
