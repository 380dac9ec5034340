import { field, formElement } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { parseStanzaError, type StanzaErrorCondition } from "../../formats/stanza-error.ts";
import { jid, parseJid } from "../../jid/jid.ts";
import { parseStanza } from "../../xml/document.ts";
import { unlimited } from "../../xml/limits.ts";
import type { Stanza } from "../../xml/stanza.ts";
import { rawXml, x } from "../../xml/writer.ts";
import type { Core } from "../module.ts";
import * as properties from "./properties.ts";
import type { Registration, Registrations } from "./registrations.ts";

/** What is worth a call. */
export interface Notice {
  /** Full address, under the account's view. */
  readonly sender: string;
  readonly body: string | undefined;
}

export interface Sending {
  /** Calls the app for so many messages, now or as soon as it may be called again; what comes meanwhile is told in one call. */
  call(registration: Registration, notice: Notice | undefined, messages?: number): void;
  /** The app is there again: nothing is to be told any more. */
  seen(registration: Registration): void;
  /** The registration is no more. */
  forget(registration: Registration): void;
  isGivenUp(registration: Registration): boolean;
  stop(): void;
}

/** The state of one registration on the way to its service: at most one call is unanswered, and one waits. */
interface Line {
  /** Messages since the app was last seen. */
  count: number;
  last: Notice | undefined;
  waits: boolean;
  /** Forgets the call that is not answered yet. */
  asking: (() => void) | undefined;
  /** Cancels the timer that is set. */
  timer: (() => void) | undefined;
  notBefore: number;
  /** Passing errors in a row. */
  troubles: number;
}

const answerWithinMs = 60_000;
const longestPauseMs = 10 * 60_000;
/** An orderly restart waits so long for calls that are due. */
const seenThroughMs = 2000;
const longestBody = 4096;

/** Errors after which the same call would fail again. XEP-0357 §7.1 */
const permanent = new Set<StanzaErrorCondition>([
  "bad-request",
  "conflict",
  "feature-not-implemented",
  "forbidden",
  "gone",
  "item-not-found",
  "jid-malformed",
  "not-acceptable",
  "not-allowed",
  "not-authorized",
  "registration-required",
]);

export function sending(core: Core, registrations: Registrations): Sending {
  const lines = new Map<Registration, Line>();

  function lineOf(registration: Registration): Line {
    let line = lines.get(registration);
    if (line === undefined) {
      line = {
        ...{ count: 0, last: undefined, waits: false, asking: undefined, timer: undefined },
        ...{ notBefore: 0, troubles: 0 },
      };
      lines.set(registration, line);
    }
    return line;
  }

  const isGivenUp = ({ failures }: Registration): boolean => failures >= core.properties.get(properties.giveUpAfter);

  function go(registration: Registration, line: Line): void {
    if (!line.waits || line.asking !== undefined || line.timer !== undefined) return;
    const wait = line.notBefore - core.clock.now();
    if (wait <= 0) return send(registration, line);
    const due = new Promise<void>((resolve) => {
      const cancel = core.clock.after(wait, () => {
        line.timer = undefined;
        if (line.waits) send(registration, line);
        resolve();
      });
      line.timer = () => {
        line.timer = undefined;
        cancel();
        resolve();
      };
    });
    if (wait <= seenThroughMs) core.seeThrough("a push notification", due);
  }

  function send(registration: Registration, line: Line): void {
    line.waits = false;
    line.notBefore = core.clock.now() + core.properties.get(properties.interval);
    const view = core.names.primary.name;
    const from = jid("", view, "");
    const to = core.names.absolute(registration.jid, view);
    if (from === undefined || parseJid(to) === undefined) return;
    const id = core.random(12).toString("base64url");
    const request = x("iq", { type: "set", id, to }, publish(registration, line));
    let over = false;
    const outcome = (told: () => void): void => {
      if (over) return;
      over = true;
      cancel();
      line.asking = undefined;
      if (lines.get(registration) !== line) return;
      told();
      go(registration, line);
    };
    const cancel = core.clock.after(answerWithinMs, () => {
      forget();
      outcome(() => troubled(line, "unanswered"));
    });
    line.asking = () => {
      over = true;
      cancel();
      forget();
    };
    let forget = (): void => undefined;
    const asked = core.router.act(from, parseStanza(request, ns.client, unlimited), (answer) =>
      outcome(() => answered(registration, line, answer)),
    );
    forget = asked;
  }

  function publish({ node, options }: Registration, line: Line) {
    const { last } = line;
    const fields = [
      field("message-count", line.count),
      ...(last !== undefined && core.properties.get(properties.sender)
        ? [field("last-message-sender", last.sender)]
        : []),
      ...(last?.body !== undefined && core.properties.get(properties.body)
        ? [field("last-message-body", last.body.slice(0, longestBody))]
        : []),
    ];
    const summary = formElement({ type: "submit", formType: ns.pushSummary, fields });
    return x(
      "pubsub",
      { xmlns: ns.pubsub },
      x(
        "publish",
        { node: node === "" ? undefined : node },
        x("item", {}, x("notification", { xmlns: ns.push }, summary)),
      ),
      options !== undefined && x("publish-options", {}, rawXml(options)),
    );
  }

  function answered(registration: Registration, line: Line, answer: Stanza): void {
    if (answer.type === "result") {
      core.report.pushed({ outcome: "accepted" });
      line.troubles = 0;
      if (registration.failures > 0) fails(registration, 0);
      return;
    }
    const condition = parseStanzaError(answer)?.condition;
    if (condition === undefined || !permanent.has(condition)) return troubled(line, "refused");
    core.report.pushed({ outcome: "refused" });
    fails(registration, registration.failures + 1);
    if (!isGivenUp(registration)) return;
    line.waits = false;
    core.report.pushGivenUp({ account: registration.account.name, service: registration.jid, condition });
  }

  function fails(registration: Registration, failures: number): void {
    registration.failures = failures;
    core.storage.commit([registrations.row(registration)]);
  }

  /** It may be better later: the call is made again, pauses grow, and nothing is given up. */
  function troubled(line: Line, outcome: "refused" | "unanswered"): void {
    core.report.pushed({ outcome });
    line.waits = true;
    const pause = Math.min(longestPauseMs, 1000 * 2 ** line.troubles++);
    line.notBefore = Math.max(line.notBefore, core.clock.now() + pause);
  }

  function end(line: Line): void {
    line.waits = false;
    line.timer?.();
    line.asking?.();
  }

  return {
    isGivenUp,
    call(registration, notice, messages = 1) {
      if (!core.properties.get(properties.enabled) || isGivenUp(registration)) return;
      const line = lineOf(registration);
      line.count += messages;
      line.last = notice;
      if (line.waits) return;
      line.waits = true;
      // Not while the message is being queued: the numbers of those who get it are given, and the service may be one.
      queueMicrotask(() => go(registration, line));
    },
    seen(registration) {
      const line = lines.get(registration);
      if (line === undefined) return;
      line.count = 0;
      line.last = undefined;
      line.waits = false;
      line.timer?.();
    },
    forget(registration) {
      const line = lines.get(registration);
      lines.delete(registration);
      if (line !== undefined) end(line);
    },
    stop() {
      for (const line of lines.values()) end(line);
      lines.clear();
    },
  };
}
