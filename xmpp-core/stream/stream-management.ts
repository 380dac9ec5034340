import type { Element } from "ltx";
import { ns } from "../formats/namespaces.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import type { Ticket } from "../storage/storage.ts";
import type { Stanza } from "../xml/stanza.ts";
import { type Xml, x } from "../xml/writer.ts";
import { clientListeners } from "./listeners.ts";
import type { StreamParts } from "./parts.ts";
import * as properties from "./properties.ts";
import type { Wire } from "./wire.ts";

/** What it needs of a client's stream. */
export interface ManagedStream {
  readonly wire: Pick<Wire, "write" | "open" | "listener">;
  end(condition: string, text?: string, application?: Xml): void;
  becomes(session: Session): void;
}

export interface StreamManagement {
  /** A nonza of a bound session. */
  take(stream: ManagedStream, session: Session, stanza: Stanza): void;
  /** A stanza of a managed session has been handled: perhaps the client is told so unasked. */
  handled(session: Session): void;
  /** `<enable/>` for a session; the answer, and the group it has to wait for. XEP-0198 §3 and §9.1 */
  enable(stream: ManagedStream, session: Session, request: Element): { readonly answer: Xml; readonly after: Ticket };
  /** `<resume/>`: the client goes on with its session on this connection. XEP-0198 §5 */
  resume(stream: ManagedStream, account: Account, stanza: Stanza): Promise<void>;
  /** The same, where whoever asks writes the answer, together with what else it has to say. XEP-0198 §9.2 */
  resuming(stream: ManagedStream, account: Account, request: Element): Promise<Resuming>;
  /** Ends sessions whose client did not come back in time, and those that let too much pile up. */
  sweep(now: number): void;
  failed(condition: string, handled?: number): Xml;
}

export type Resuming =
  | { readonly is: "failed"; readonly answer: Xml }
  | {
      readonly is: "resumed";
      readonly answer: Xml;
      readonly session: Session;
      /** To be called in the same turn, once the answer is written. */
      go(): void;
    }
  /** The stream has ended, or the session meanwhile. */
  | { readonly is: "over" };

/**
 * Stream management, XEP-0198 1.6.1. What makes it different here: no `<a/>`, `<resumed/>` or `<failed/>` ever carries
 * more than the committed count, and a session outlives a crash of the server. docs/architecture.md "What is on disk when".
 */
export function streamManagement(parts: StreamParts): StreamManagement {
  const failed = (condition: string, handled?: number): Xml =>
    x(
      "failed",
      { xmlns: ns.streamManagement, h: handled === undefined ? undefined : handled % 2 ** 32 },
      x(condition, { xmlns: ns.stanzaErrors }),
    );

  /** The 32 bit count of the wire as a number that never wraps, near what the client acknowledged last. */
  function unwrap(text: unknown, near: number): number | undefined {
    if (typeof text !== "string" || !/^\d{1,10}$/.test(text)) return undefined;
    const low = Number(text);
    if (low >= 2 ** 32) return undefined;
    const difference = (low - (near % 2 ** 32) + 2 ** 32) % 2 ** 32;
    return difference > 2 ** 31 ? near - (2 ** 32 - difference) : near + difference;
  }

  /** Where the client should resume: on the port it came by, which takes both kinds of TLS. XEP-0198 §3 */
  function location(stream: ManagedStream): string | undefined {
    const name = parts.properties.get(properties.fqdn);
    const overTcp = clientListeners.some((each) => each === stream.wire.listener);
    if (name === undefined || !overTcp || !parts.properties.get(properties.locationTold)) return undefined;
    const direct = stream.wire.listener === "c2s-tls";
    const port = parts.properties.get(direct ? properties.directPort : properties.plainPort);
    return `${name.includes(":") ? `[${name}]` : name}:${port}`;
  }

  // The count is committed with the stanza's effects and acknowledged afterwards: a crash before the commit makes the client resend, one after it must not (XEP-0198 §4).
  function acknowledge(session: Session): void {
    const ticket = parts.sessions.settleCount(session);
    session.outbound.nonza(x("a", { xmlns: ns.streamManagement, h: session.handled % 2 ** 32 }), ticket);
  }

  function enable(stream: ManagedStream, session: Session, request: Element): { answer: Xml; after: Ticket } {
    if (!parts.properties.get(properties.managementActive)) return { answer: failed("service-unavailable"), after: 0 };
    if (session.managed) return { answer: failed("unexpected-request"), after: 0 };
    const { resume, max } = request.attrs as Record<string, unknown>;
    const wanted = resume === "true" || resume === "1";
    const asked = typeof max === "string" && /^\d{1,7}$/.test(max) ? Number(max) : undefined;
    const longest = Math.floor(parts.properties.get(properties.detachTimeout) / 1000);
    const token = wanted && longest > 0 ? parts.random(18).toString("base64url") : undefined;
    session.resumeWithinMs = Math.min(asked === undefined || asked === 0 ? longest : asked, longest) * 1000;
    session.outbound.requestEvery = parts.properties.get(properties.requestFrequency);
    const ticket = parts.sessions.manage(session, token);
    const told = token !== undefined && parts.properties.get(properties.resumable);
    const answer = x("enabled", {
      xmlns: ns.streamManagement,
      id: token,
      resume: token === undefined ? undefined : "true",
      max: told ? session.resumeWithinMs / 1000 : undefined,
      location: token === undefined ? undefined : location(stream),
    });
    return { answer, after: ticket };
  }

  function acknowledged(stream: ManagedStream, session: Session, stanza: Stanza): void {
    const handled = unwrap(stanza.element().attrs.h, session.outbound.acknowledged);
    if (handled === undefined) return stream.end("policy-violation", "<a/> needs h, a number below 2^32.");
    if (parts.sessions.acknowledged(session, handled)) return;
    const sent = session.outbound.lastNumber % 2 ** 32;
    stream.end(
      "undefined-condition",
      `You acknowledge ${handled} stanzas, and ${sent} were sent.`,
      x("handled-count-too-high", { xmlns: ns.streamManagement, h: handled % 2 ** 32, "send-count": sent }),
    );
  }

  async function resuming(stream: ManagedStream, account: Account, request: Element): Promise<Resuming> {
    const { previd, h } = request.attrs as Record<string, unknown>;
    const session = typeof previd === "string" ? parts.sessions.byToken(previd) : undefined;
    if (session === undefined || session.account !== account) {
      const known = typeof previd === "string" ? await parts.sessions.handledOf(previd, account) : undefined;
      return { is: "failed", answer: failed("item-not-found", known) };
    }
    const before = session.carrier;
    before?.displaced();
    session.outbound.detach();
    // Whoever was to take it over does not: it waits for the next who comes.
    const over = (): Resuming => {
      if (!session.ended && session.carrier === before) {
        if (before === undefined) session.outbound.detach();
        else parts.sessions.detach(session);
      }
      return { is: "over" };
    };
    const crashed = parts.sessions.awaitsRecovery(session);
    const handled = unwrap(h, crashed ? 0 : session.outbound.acknowledged);
    if (handled === undefined) {
      stream.end("policy-violation", "<resume/> needs h, a number below 2^32.");
      return over();
    }
    if (crashed) await parts.sessions.recover(session, handled, parts.renderStored);
    else if (!parts.sessions.acknowledged(session, handled)) {
      stream.end("undefined-condition", "More stanzas acknowledged than were sent.");
      return over();
    }
    await parts.sessions.refill(session, parts.renderStored);
    await parts.storage.settled(parts.sessions.settleCount(session));
    if (session.ended || !stream.wire.open) return over();
    return {
      is: "resumed",
      answer: x("resumed", { xmlns: ns.streamManagement, previd: session.resumeToken, h: session.handled % 2 ** 32 }),
      session,
      go() {
        // Another connection may have resumed it meanwhile: the later one has it.
        session.carrier?.displaced();
        stream.becomes(session);
        session.outbound.retransmit();
        parts.report.sessionResumed({ session: session.address, after: crashed ? "crash" : "detach" });
        if (crashed) parts.router.answerLost(session);
        for (const handler of parts.sessionHandlers()) handler.resumed?.(session, crashed ? "crash" : "detach");
      },
    };
  }

  return {
    failed,

    take(stream, session, stanza) {
      if (stanza.name === "enable") {
        const { answer, after } = enable(stream, session, stanza.element());
        return session.outbound.nonza(answer, after);
      }
      if (!session.managed || stanza.name === "resume") return session.outbound.nonza(failed("unexpected-request"));
      if (stanza.name === "a") {
        acknowledged(stream, session, stanza);
        return;
      }
      if (stanza.name !== "r")
        return stream.end("unsupported-stanza-type", `<${stanza.name}/> is not part of stream management.`);
      // A client that asks is awake. XEP-0352
      session.outbound.letGo();
      acknowledge(session);
    },

    handled(session) {
      const every = parts.properties.get(properties.unsolicitedAcks);
      if (every > 0 && session.handled % every === 0) acknowledge(session);
    },

    enable,

    async resume(stream, account, stanza) {
      const outcome = await resuming(stream, account, stanza.element());
      if (outcome.is === "over") return;
      stream.wire.write(outcome.answer);
      if (outcome.is === "resumed") outcome.go();
    },

    resuming,

    sweep(now) {
      parts.sessions.sweep();
      const bound = parts.properties.get(properties.maxUnacked);
      for (const session of parts.sessions.all()) {
        if (session.outbound.unacknowledged > bound || session.outbound.held > heldBytes) {
          parts.report.sessionEnded({ session: session.address, why: "too much unacknowledged" });
          if (session.carrier !== undefined)
            session.carrier.end("resource-constraint", "Too many stanzas were left unacknowledged.");
          else parts.sessions.end(session, "resumption-expired");
        } else if (session.detachedAt !== undefined && now - session.detachedAt >= session.resumeWithinMs) {
          parts.report.sessionEnded({ session: session.address, why: "not resumed in time" });
          parts.sessions.end(session, "resumption-expired");
        }
      }
    },
  };
}

/** Bytes that may wait for one client in memory. */
const heldBytes = 16 * 1024 * 1024;
