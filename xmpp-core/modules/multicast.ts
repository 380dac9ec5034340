import type { Element } from "ltx";
import { field } from "../formats/data-form.ts";
import { ns } from "../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { formatJid, type Jid, parseJid } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { integer } from "../properties/text-schema.ts";
import type { ServiceStanza } from "../routing/handlers.ts";
import { parseStanza } from "../xml/document.ts";
import { XmlFault } from "../xml/fault.ts";
import { limitsAfterLogin } from "../xml/limits.ts";
import type { Child, Stanza } from "../xml/stanza.ts";
import { writeStanza, type Xml, x } from "../xml/writer.ts";
import { type Core, defineModule } from "./module.ts";
import { serviceDisco } from "./points.ts";

const mostRecipients = property("firekeeper.multicast.recipients", {
  schema: integer(0, 1000),
  default: 100,
  impact: "live",
  doc: "To how many addresses one stanza may be sent by the multicast service; 0 turns the service off.",
});

const label = "multicast";
const identity = { category: "service", type: "multicast", name: "Multicast" };

/** Those that get the stanza, as written. XEP-0033 §4.6 */
const receiving = ["to", "cc", "bcc"];
/** What is said of the stanza and passed on; "ofrom" is for rooms to say. */
const telling = ["replyto", "replyroom", "noreply"];

interface Recipient {
  readonly to: Jid;
  /** Set for who is to stay unknown to the others: his own address element. */
  readonly blind: Xml | undefined;
}
interface Addressed {
  readonly recipients: readonly Recipient[];
  /** What everybody sees. */
  readonly seen: readonly Xml[];
}

/** One message or presence to several people and services of this server. XEP-0033 */
export const multicast = defineModule({
  name: "multicast",
  implements: [
    { spec: "XEP-0033", version: "1.2.1", status: "complete", note: "to addresses of this server and its services" },
  ],
  properties: [mostRecipients],
  start(core) {
    const stops: (() => void)[] = [];
    const most = (): number => core.properties.get(mostRecipients);
    core.watch(mostRecipients, (now) => {
      for (const stop of stops.splice(0)) stop();
      if (now === 0) return;
      core.names.openService(label);
      const handler = {
        message: (flow: ServiceStanza) => send(core, flow, most()),
        presence: (flow: ServiceStanza) => send(core, flow, most()),
        iq: () => stanzaError("service-unavailable"),
      };
      stops.push(core.router.serve(label, handler), () => core.names.closeService(label));
    });
    core.offer(serviceDisco, {
      services: () => (most() === 0 ? [] : [{ service: label, name: identity.name, listed: true }]),
      info(_request, node) {
        if (node !== undefined) return stanzaError("item-not-found");
        const limit = { formType: ns.addresses, fields: [field("max_recipients", most())] };
        return {
          identities: [identity],
          features: [ns.discoInfo, ns.discoItems, ns.addresses],
          forms: [{ type: "result", ...limit }],
        };
      },
      items: () => ({ items: [] }),
    });
    return { stop: () => stops.splice(0).forEach((stop) => void stop()) };
  },
});

const refused = (text: string): StanzaError => stanzaError("bad-request", { text });

/** Who gets it, each once, and what they see of each other; nobody gets anything if there is a fault. XEP-0033 §6 */
function addressed(core: Core, element: Element, most: number): Addressed | StanzaError {
  const recipients = new Map<string, Recipient>();
  const seen: Xml[] = [];
  for (const address of element.getChildren("address", ns.addresses)) {
    const { type, jid, uri, node, desc, delivered } = address.attrs as Record<string, string | undefined>;
    if (type === undefined || (!receiving.includes(type) && !telling.includes(type))) continue;
    if (uri !== undefined)
      return stanzaError("jid-malformed", { text: "Addresses of other kinds than jid are not understood here." });
    const attributes = { type, jid, node, desc };
    if (!receiving.includes(type)) {
      seen.push(x("address", attributes));
      continue;
    }
    const already = delivered === "true";
    const to = parseJid(jid ?? "");
    if (to === undefined) return stanzaError("jid-malformed", { text: `"${jid ?? ""}" is not a valid address.` });
    const place = core.names.locate(to);
    if (!already && place.at !== "account" && (place.at !== "service" || place.label === label))
      return stanzaError("forbidden", { text: `${formatJid(to)} cannot be reached by this service.` });
    const blind = type === "bcc" ? x("address", attributes) : undefined;
    if (blind === undefined) seen.push(x("address", { ...attributes, delivered: "true" }));
    const key = core.names.relative(to);
    // Who is named openly, too, knows already.
    const known = recipients.get(key);
    if (!already && (known === undefined || known.blind !== undefined)) recipients.set(key, { to, blind });
    if (recipients.size > most)
      return stanzaError("not-acceptable", { text: `One stanza goes to ${most} addresses at most.` });
  }
  return { recipients: [...recipients.values()], seen };
}

/** Sends a copy to each, as if the sender had sent it to that address alone. */
function send(core: Core, flow: ServiceStanza, most: number): StanzaError | undefined {
  const { stanza, session, place } = flow;
  const element = stanza.child(ns.addresses, "addresses");
  if (stanza.type === "error" || (element === undefined && stanza.type === "unavailable")) return undefined;
  if (session === undefined) return stanzaError("forbidden", { text: "Only users of this server may send by it." });
  if (place.local !== "" || place.resource !== "") return stanzaError("item-not-found");
  if (element === undefined) return refused("There is no address to send it to.");
  const to = addressed(core, element, most);
  if ("condition" in to) return to;
  if (to.recipients.length === 0) return refused("There is no address to send it to.");
  const without = (child: Child): boolean => child.ns === ns.addresses && child.name === "addresses";
  const copies: Stanza[] = [];
  try {
    for (const { to: recipient, blind } of to.recipients) {
      const append = x("addresses", { xmlns: ns.addresses }, to.seen, blind && [blind]);
      const copy = writeStanza(stanza, { to: formatJid(recipient), from: null, without, append });
      copies.push(parseStanza(copy, ns.client, limitsAfterLogin));
    }
  } catch (error) {
    if (error instanceof XmlFault) return stanzaError("policy-violation", { text: "The stanza is too large." });
    throw error;
  }
  // A promise is only made where a roster has yet to be read, and says itself what went wrong.
  for (const copy of copies) void core.router.receive(session, copy);
  return undefined;
}
