import type { Element } from "ltx";
import { formElement } from "../../formats/data-form.ts";
import { ns } from "../../formats/namespaces.ts";
import { notStored, stanzaError } from "../../formats/stanza-error.ts";
import { formatJid, parseJid } from "../../jid/jid.ts";
import type { Account } from "../../routing/accounts.ts";
import type { IqAnswer, IqRequest, MessageFlow } from "../../routing/handlers.ts";
import type { Session } from "../../routing/session.ts";
import { detachTimeout } from "../../stream/properties.ts";
import type { Stanza } from "../../xml/stanza.ts";
import { serialise } from "../../xml/writer.ts";
import { submitted } from "../command-forms.ts";
import { attention, hibernation, looksAgain, urgent, wakers } from "../mobile-points.ts";
import { type Core, defineModule } from "../module.ts";
import { type CommandAsk, type CommandStep, commands, discoExtra } from "../points.ts";
import { storedAddress } from "../stored-address.ts";
import * as properties from "./properties.ts";
import { isService, openRegistrations, pushMigration, type Registration } from "./registrations.ts";
import { type Notice, sending } from "./sending.ts";

const command = "urn:firekeeper:push";
const longestNode = 1024;
const longestOptions = 4096;
const sweepMs = 1000;

/** Calls apps by their push service, and keeps their sessions meanwhile. XEP-0357, docs/mobile.md */
export const push = defineModule({
  name: "push",
  implements: [{ spec: "XEP-0357", version: "0.4.1", status: "complete" }],
  properties: properties.pushProperties,
  migrations: [pushMigration],
  start,
});

function start(core: Core) {
  const isOn = (): boolean => core.properties.get(properties.enabled);
  const registrations = openRegistrations(core, (registration) => send.forget(registration));
  const send = sending(core, registrations);
  /** Sessions without connection whose apps can be called. */
  const asleep = new Set<Session>();

  /** Those that this session enabled last. */
  const ofSession = (session: Session): Registration[] =>
    registrations.of(session.account).filter((one) => one.session === session.id);

  const callable = (session: Session): boolean =>
    isOn() && ofSession(session).some((registration) => !send.isGivenUp(registration));

  // ------------------------------------------------------------ what is worth a call

  function call(registration: Registration, notice: Notice): void {
    const sender = parseJid(notice.sender);
    // Or a service that answers with a message would call for ever.
    if (sender !== undefined && isService(core, registration, sender)) return;
    send.call(registration, notice);
  }

  function noticeOf(stanza: Stanza, from: string): Notice {
    return { sender: from, body: stanza.child(ns.client, "body")?.getText() };
  }

  core.offer(wakers, {
    woken(session, stanza) {
      const notice = noticeOf(stanza, stanza.from ?? session.bareAddress);
      for (const registration of ofSession(session)) call(registration, notice);
    },
  });

  /** Apps that are not logged in hear of what comes for their account. */
  function notify(flow: MessageFlow): void {
    const account = flow.recipient;
    if (account === undefined || !isOn()) return;
    const all = registrations.of(account);
    if (all.length === 0) return;
    const sender = formatJid(flow.from);
    withdrawn(flow, all);
    const away = all.filter(({ session }) => hearsNothing(flow, core.sessions.byId(session)));
    if (away.length === 0 || flow.sender?.account === account) return;
    const own = formatJid({ local: account.name, domain: flow.view, resource: "" });
    if (!core.offered(urgent).some((one) => one.wakes(flow.stanza, sender, own))) return;
    const notice = noticeOf(flow.stanza, sender);
    for (const registration of away) call(registration, notice);
  }

  /** What goes to a session that is kept for its app, `wakers` tell of. */
  function hearsNothing(flow: MessageFlow, session: Session | undefined): boolean {
    if (session === undefined) return true;
    const gets = flow.targets.includes(session) || flow.copies.some((copy) => copy.session === session);
    return !gets && session !== flow.deferred && !session.outbound.attached;
  }

  /** The service says that it takes no more calls for a node. XEP-0357 §8 */
  function withdrawn(flow: MessageFlow, all: readonly Registration[]): void {
    if (!flow.stanza.has(ns.pubsub, "pubsub")) return;
    const told = flow.stanza.child(ns.pubsub, "pubsub");
    if (told?.getChild("affiliation")?.attrs.affiliation !== "none") return;
    const service = storedAddress(core, flow.from);
    const gone = all.filter(({ jid, node }) => jid === service && node === told.attrs.node);
    if (gone.length > 0) core.storage.commit(gone.map(registrations.remove));
  }

  // ------------------------------------------------------------ enabling

  function enable(request: IqRequest): IqAnswer {
    const { session, element } = request;
    const { account } = session;
    const address = parseJid(String(element.attrs.jid ?? ""));
    if (!isOn()) return request.error(stanzaError("service-unavailable"));
    if (address === undefined)
      return request.error(stanzaError("bad-request", { text: "Name the push service's address in jid." }));
    const node = String(element.attrs.node ?? "");
    const options = optionsIn(element);
    if (node.length > longestNode || (options?.length ?? 0) > longestOptions)
      return request.error(
        stanzaError("policy-violation", {
          text: `A node has ${longestNode} characters at most, a form ${longestOptions}.`,
        }),
      );
    const jid = storedAddress(core, address);
    const writes = [];
    const known = registrations.find(account, jid, node);
    const former = known && { ...known };
    if (known === undefined && registrations.of(account).length >= core.properties.get(properties.most)) {
      const oldest = [...registrations.of(account)]
        .sort((one, other) => one.since - other.since)
        .find((one) => core.sessions.byId(one.session) === undefined);
      if (oldest === undefined)
        return request.error(stanzaError("resource-constraint", { text: "Too many of your apps are to be called." }));
      writes.push(registrations.remove(oldest));
    }
    const now = { options, session: session.id, since: core.clock.now(), failures: 0 };
    const registration = known === undefined ? { account, jid, node, ...now } : Object.assign(known, now);
    writes.push(registrations.add(registration));
    if (former !== undefined && former.session !== session.id) shorten(former.session);
    const after = core.sessions.commit(session, writes, () => {
      if (former === undefined) registrations.remove(registration);
      else Object.assign(registration, former);
    });
    return request.result(undefined, after);
  }

  function disable(request: IqRequest): IqAnswer {
    const { session, element } = request;
    const address = parseJid(String(element.attrs.jid ?? ""));
    if (address === undefined)
      return request.error(stanzaError("bad-request", { text: "Name the push service's address in jid." }));
    const jid = storedAddress(core, address);
    const node: unknown = element.attrs.node;
    const named = registrations
      .of(session.account)
      .filter((one) => one.jid === jid && (node === undefined || one.node === node));
    const after = core.sessions.commit(session, named.map(registrations.remove), () => {
      for (const one of named) registrations.add(one);
    });
    for (const one of named) shorten(one.session);
    return request.result(undefined, after);
  }

  // ------------------------------------------------------------ sessions

  core.offer(hibernation, { hibernates: callable });
  core.offer(looksAgain, { looksAgain: awake });

  function awake(session: Session): void {
    asleep.delete(session);
    for (const registration of ofSession(session)) send.seen(registration);
  }

  function detached(session: Session): void {
    if (!callable(session)) return;
    sleep(session);
    const longest = core.properties.get(properties.hibernation);
    if (longest > session.resumeWithinMs) {
      session.resumeWithinMs = longest;
      session.stateChanged = true;
      core.sessions.commit(session, []);
    }
    // What was sent into a connection that was dead already has woken nobody.
    if (core.offered(attention).some((one) => one.wasTold(session))) return;
    for (const { data, cargo } of session.outbound.everything()) {
      if (cargo.is !== "message" || data.length === 0) continue;
      for (const one of core.offered(attention)) {
        const stanza = one.wakes(session, data);
        if (stanza === undefined) continue;
        const notice = noticeOf(stanza, stanza.from ?? session.bareAddress);
        for (const registration of ofSession(session)) call(registration, notice);
      }
    }
  }

  /** A session that nothing can call back any more waits as long as any other. */
  function shorten(id: number): void {
    const session = core.sessions.byId(id);
    if (session === undefined || callable(session)) return;
    session.resumeWithinMs = Math.min(session.resumeWithinMs, core.properties.get(detachTimeout));
    session.stateChanged = true;
    core.sessions.commit(session, []);
  }

  function sleep(session: Session): void {
    if (session.resumeToken !== undefined) asleep.add(session);
  }

  /** Whose connection was to be taken over: whether it was is known a little later. */
  let restored: Session[] = [];
  core.every(sweepMs, () => {
    for (const session of restored) if (!session.ended && !session.outbound.attached) detached(session);
    restored = [];
    if (asleep.size === 0) return;
    const bytes = core.properties.get(properties.queueBytes);
    for (const session of asleep) {
      if (session.ended || session.outbound.attached) asleep.delete(session);
      else session.outbound.shed(bytes);
    }
  });

  /** Whom a service did not want to call any more: his being here is a reason to ask it again. */
  function again(account: Account): void {
    for (const registration of registrations.of(account)) {
      if (!send.isGivenUp(registration)) continue;
      registration.failures = 0;
      core.storage.commit([registrations.row(registration)]);
    }
  }

  // ------------------------------------------------------------ the person's own list

  function list({
    session,
  }: CommandAsk): readonly { readonly key: string; readonly label: string; one: Registration }[] {
    return registrations.of(session.account).map((one, i) => {
      const since = new Date(one.since).toISOString().slice(0, 10);
      const state = send.isGivenUp(one) ? ", no longer called: the service refused" : "";
      const service = core.names.absolute(one.jid, session.view);
      return { key: `${i} ${one.since}`, label: `${service}, since ${since}${state}`, one };
    });
  }

  async function run(ask: CommandAsk): Promise<CommandStep> {
    const all = list(ask);
    const chosen = submitted(ask, "remove");
    if (chosen === undefined)
      return {
        is: "form",
        form: formElement({
          ...{ type: "form", formType: command, title: "Apps that are called" },
          instructions:
            "Apps that a push service wakes when something comes for you. Choose those that shall not be called any more.",
          fields: [
            {
              ...{ name: "remove", type: "list-multi", label: "Do not call any more", values: [] },
              options: all.map(({ key, label }) => ({ label, value: key })),
            },
          ],
        }),
      };
    const gone = all.filter(({ key }) => chosen.includes(key)).map(({ one }) => one);
    try {
      await core.storage.write(gone.map(registrations.remove));
    } catch {
      for (const one of gone) registrations.add(one);
      return { is: "error", error: notStored };
    }
    for (const one of gone) shorten(one.session);
    return {
      is: "completed",
      note: gone.length === 1 ? "One app is not called any more." : `${gone.length} apps are not called any more.`,
    };
  }

  core.offer(commands, { node: command, name: "Apps that are called", by: "anyone", shownTo: isOn, run });
  core.offer(discoExtra, {
    features: () => (isOn() ? [ns.push] : []),
    accountFeatures: () => (isOn() ? [ns.push] : []),
  });

  return {
    ready: registrations.ready,
    iq: [
      { set: [ns.push, "enable"] as const, at: ["account"] as const, answer: enable },
      { set: [ns.push, "disable"] as const, at: ["account"] as const, answer: disable },
    ],
    message: { notify },
    session: {
      opened: (session: Session) => again(session.account),
      restored(session: Session, after: "restart" | "crash") {
        if (session.expectsConnection) restored.push(session);
        else if (callable(session)) sleep(session);
        const { length } = session.remembered;
        if (after === "restart" || length === 0) return;
        // Calls that were due when the server was killed are forgotten; what they were for is not.
        for (const registration of ofSession(session)) send.call(registration, undefined, length);
      },
      resumed: awake,
      detached,
      closed: (session: Session) => void asleep.delete(session),
    },
    account: {
      renamed(account: Account, before: string) {
        const writes = registrations.follow(account, before);
        if (writes.length > 0) core.storage.commit(writes);
      },
      setAside: registrations.removeAll,
      removed: registrations.removeAll,
    },
    stop: send.stop,
  };
}

/** The form of an `<enable/>` with what the service wants to be told, alone. XEP-0357 §5 */
function optionsIn(element: Element): string | undefined {
  const form = element.getChild("x", ns.dataForms);
  return form && serialise(form, ns.pubsub);
}
