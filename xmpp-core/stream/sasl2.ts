import type { Devices, Token } from "../auth/devices.ts";
import type { Offer } from "../auth/exchange.ts";
import { hashedToken, offeredTokens, type TokenShelf, tokenMechanisms } from "../auth/hashed-token.ts";
import { hashes } from "../auth/keys.ts";
import { downgradeProtection, saslMechanisms, tokenDays } from "../auth/properties.ts";
import { ns } from "../formats/namespaces.ts";
import { parseJid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Write } from "../storage/statement.ts";
import type { TlsFacts } from "../transport/connection.ts";
import type { Stanza } from "../xml/stanza.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import { bind2, bind2Feature } from "./bind2.ts";
import type { Login, Outcome, Refusal } from "./login.ts";
import { features, featuresAfterLogin } from "./negotiation.ts";
import type { StreamParts } from "./parts.ts";
import { managementActive } from "./properties.ts";
import { dataOf, readRequest, type Sasl2Request, taskOf } from "./sasl2-request.ts";
import type { ManagedStream, StreamManagement } from "./stream-management.ts";
import { type Upgrades, upgrades } from "./upgrades.ts";

const dayMs = 24 * 3600 * 1000;

/** What it needs of a client's stream. */
export interface LoginStream extends ManagedStream {
  /** Nobody is there any more. */
  readonly over: boolean;
  /** The account has proved itself; the stream goes on without a restart. */
  loggedIn(account: Account, mechanism: string, device: string): void;
}

/** One client's attempts in the profile of XEP-0388. */
export interface Sasl2 {
  /** An attempt is under way: nothing may come but its elements. */
  readonly underway: boolean;
  take(stanza: Stanza): Promise<void>;
}

/** `<authentication/>` for an encrypted stream, with what can be done in the same breath. XEP-0388 §2.1 */
export function sasl2Features(parts: StreamParts, view: string, tls: TlsFacts | undefined, offered: Offer): Xml[] {
  if (tls === undefined || offered.mechanisms.length === 0) return [];
  const listed = (names: readonly string[]): Xml[] => names.map((name) => x("mechanism", {}, text(name)));
  const tokens = parts.properties.get(tokenDays) > 0 && x("fast", { xmlns: ns.fast }, listed(offeredTokens(tls)));
  const resumable = parts.properties.get(managementActive) && x("sm", { xmlns: ns.streamManagement });
  const lacking = offered.bindingTypes.length === 0 ? [] : parts.lackingKeys(parts.names.host(view)?.served.id ?? 0);
  const allowed = parts.properties.get(saslMechanisms);
  const tasks = lacking
    .filter((hash) => allowed.includes(hashes[hash].mechanism))
    .map((hash) => x("upgrade", { xmlns: ns.saslUpgrade }, text(taskOf(hash))));
  return [
    x(
      "authentication",
      { xmlns: ns.sasl2 },
      listed(offered.mechanisms),
      x("inline", {}, bind2Feature(parts), resumable, tokens),
      tasks,
    ),
  ];
}

/** A client logs in, and on one and the same way gets its session. XEP-0388, XEP-0386, XEP-0484, XEP-0480 */
export function sasl2(
  parts: StreamParts,
  management: StreamManagement,
  stream: LoginStream,
  { login, view, tls, to, from }: { login: Login; view: string; tls: TlsFacts; to?: string; from?: string },
): Sasl2 {
  const { devices } = parts.auth;
  let request: Sasl2Request | undefined;
  let tasks: Upgrades | undefined;
  /** Of the attempt under way, if it shows a token. */
  let shown: ShownToken | undefined;

  function refused({ condition, text: why, spent }: Refusal): void {
    request = undefined;
    tasks = undefined;
    const explained = why !== undefined && x("text", {}, text(why));
    stream.wire.write(x("failure", { xmlns: ns.sasl2 }, x(condition, { xmlns: ns.sasl }), explained));
    if (spent) stream.end("policy-violation", "Too many failed logins on one stream.");
  }

  async function judged(outcome: Outcome): Promise<void> {
    if (stream.over) return;
    if (outcome.is === "refused") return refused(outcome);
    if (outcome.is === "challenge")
      return void stream.wire.write(x("challenge", { xmlns: ns.sasl2 }, text(outcome.data.toString("base64"))));
    const { account, mechanism, data } = outcome;
    if (request === undefined) return;
    tasks = upgrades(parts, { account, mechanism, wanted: request.upgrades });
    if (tasks === undefined) return finish(request, account, mechanism, data);
    stream.wire.write(tasks.offer(data));
  }

  async function begin(stanza: Stanza): Promise<void> {
    if (foreign(from)) return stream.end("invalid-from", "Your address is not of this domain.");
    request = readRequest(stanza.element());
    if (request === undefined) return refused(login.refuse("malformed-request"));
    const { mechanism, data, fast, userAgent } = request;
    const byToken = tokenMechanisms.some((name) => name === mechanism) && parts.properties.get(tokenDays) > 0;
    if (byToken && (fast === undefined || userAgent === undefined))
      return refused(login.refuse("malformed-request", "A token needs <fast/> and the id of the <user-agent/>."));
    const shelf = byToken ? shownToken(parts, devices, request) : undefined;
    shown = shelf;
    const by =
      shelf &&
      ((name: string, context: Parameters<typeof hashedToken<Account>>[1]) => hashedToken(name, context, shelf));
    const showsOffer = parts.properties.get(downgradeProtection) !== "never";
    await judged(await login.begin(mechanism, data, { showsOffer, from, by }));
  }

  /** Whether the client says that it is of another domain than the one it wants to talk to. XEP-0388 §2.1 */
  function foreign(address: string | undefined): boolean {
    const { domain, local = "" } = (address === undefined ? undefined : parseJid(address)) ?? {};
    if (domain === undefined || domain === to) return false;
    return parts.names.host(domain)?.served.id !== parts.names.host(view)?.served.id && local !== "";
  }

  async function finish(
    { userAgent, bind, resume, ...asked }: Sasl2Request,
    account: Account,
    mechanism: string,
    data: Buffer | undefined,
  ): Promise<void> {
    const leave = shown?.leave ?? (userAgent && (await devices.turn(account.id)));
    try {
      const device = userAgent === undefined ? "" : devices.keyOf(account.id, userAgent.id);
      const { writes, token } = tokenRows(account, device, asked);
      if (userAgent !== undefined) writes.unshift(...(await devices.seen(account.id, userAgent)));
      const kept = writes.length === 0 || (await stored(writes));
      // A count that is not on disk would be taken a second time, and what was to be void would be good.
      const mustKeep = shown?.used !== undefined && (asked.fast?.count !== undefined || asked.fast?.invalidate);
      if (!kept && mustKeep) return refused(login.refuse("temporary-auth-failure"));
      const told = bind === undefined ? [] : await toldAtBinding(account);
      if (stream.over) return;
      if (parts.accounts.byId(account.id) !== account || !account.enabled)
        return refused(login.refuse("account-disabled", undefined, account.name));
      request = undefined;
      stream.loggedIn(account, mechanism, device);
      const success = (identity: string, ...more: readonly (Xml | undefined)[]): Xml =>
        x(
          "success",
          { xmlns: ns.sasl2 },
          data && x("additional-data", {}, text(data.toString("base64"))),
          x("authorization-identifier", {}, text(identity)),
          ...more,
          kept ? token : undefined,
        );
      const resumed = resume && (await management.resuming(stream, account, resume));
      if (resumed?.is === "over" || stream.over) return;
      if (resumed?.is === "resumed") {
        stream.wire.write(success(resumed.session.address, resumed.answer));
        return resumed.go();
      }
      const offers = (managed: boolean, bound: boolean): Xml =>
        features(featuresAfterLogin(parts.properties.get(managementActive) && !managed, parts.streamFeatures(), bound));
      if (bind === undefined) {
        stream.wire.write(success(`${account.name}@${view}`, resumed?.answer));
        return void stream.wire.write(offers(false, false));
      }
      const opened = bind2(parts, management, stream, { account, view, userAgent, bind, bound: told });
      const { session } = opened;
      stream.becomes(session);
      // In the session's own queue: nothing that comes for it meanwhile may overtake what tells the client of it.
      const answer = success(session.address, resumed?.answer, opened.bound);
      session.outbound.nonza(answer, opened.after);
      session.outbound.nonza(offers(session.managed, true), opened.after);
      for (const handler of parts.sessionHandlers()) handler.opened?.(session, told.length > 0 ? "archive" : undefined);
      await parts.storage.settled(opened.after).catch(() => undefined);
    } finally {
      leave?.();
      shown = undefined;
    }
  }

  /** What becomes of the token that was shown, and a new one if it is asked for or time for it. XEP-0484 §3.5, §3.6 */
  function tokenRows(
    account: Account,
    device: string,
    { fast, wantsToken }: Pick<Sasl2Request, "fast" | "wantsToken">,
  ): { writes: Write[]; token: Xml | undefined } {
    const used = shown?.used;
    const writes: Write[] = [];
    if (used !== undefined) {
      writes.push(...devices.used(account.id, device, used, fast?.count));
      if (fast?.invalidate) writes.push(...devices.invalidated(account.id, device));
    }
    const due = used !== undefined && !fast?.invalidate && parts.clock.now() - used.issuedAt > dayMs;
    const offered = offeredTokens(tls).find((name) => name === (wantsToken ?? (due ? used?.mechanism : undefined)));
    const password = account.credentialsHash;
    const lifetimeMs = parts.properties.get(tokenDays) * dayMs;
    // What a directory judges at each login stays its to judge.
    const may = device !== "" && password !== undefined && account.password?.from === undefined && lifetimeMs > 0;
    if (!may || offered === undefined) return { writes, token: undefined };
    const issued = devices.issue(account.id, device, { mechanism: offered, password, lifetimeMs });
    writes.push(...issued.writes);
    const expiry = new Date(issued.token.expiresAt).toISOString().replace(".000Z", "Z");
    return { writes, token: x("token", { xmlns: ns.fast, token: issued.token.secret, expiry }) };
  }

  async function stored(writes: readonly Write[]): Promise<boolean> {
    try {
      await parts.storage.write(writes);
      return true;
    } catch {
      return false; // the storage has reported it
    }
  }

  /** Without it a client is let in all the same: the disk may be full, and its archive is there to be read. */
  async function toldAtBinding(account: Account): Promise<readonly Xml[]> {
    try {
      return await parts.bound(account);
    } catch (error) {
      parts.report.wrong({ what: "what a client is told when it binds", error });
      return [];
    }
  }

  /** `<next/>` and `<task-data/>`. XEP-0388 §2.6.3 */
  async function goOn(stanza: Stanza): Promise<void> {
    const done = await tasks?.take(stanza.element());
    if (stream.over) return;
    if (done === undefined || tasks === undefined || request === undefined)
      return refused(login.refuse("malformed-request"));
    if (done.is === "answer") return void stream.wire.write(done.answer);
    const { account, mechanism, stale } = tasks;
    tasks = undefined;
    if (stale) return refused(login.refuse("credentials-expired", undefined, account.name));
    await finish(request, account, mechanism, undefined);
  }

  const underway = (): boolean => request !== undefined && (login.underway || tasks !== undefined);

  async function handle(stanza: Stanza): Promise<void> {
    const { name } = stanza;
    const busy = underway();
    if (name === "abort") return refused(login.refuse("aborted"));
    if (name === "authenticate" && !busy) return begin(stanza);
    if (name === "response" && busy && tasks === undefined)
      return judged(await login.respond(dataOf(stanza.element())));
    if ((name === "next" || name === "task-data") && tasks !== undefined) return goOn(stanza);
    stream.end("policy-violation", `<${name}/> is out of place here.`);
  }

  return {
    get underway() {
      return underway();
    },
    async take(stanza) {
      try {
        await handle(stanza);
      } finally {
        // Whoever was judged, in one message or in two, holds nobody up any more.
        shown?.leave?.();
        if (!underway()) shown = undefined;
      }
    },
  };
}

interface ShownToken extends TokenShelf<Account> {
  readonly used: Token | undefined;
  /** Ends the turn that it began. */
  leave: (() => void) | undefined;
}

/** The tokens of the device that a request names, and whether they may be used for it. */
function shownToken(parts: StreamParts, devices: Devices, { fast, userAgent }: Sasl2Request): ShownToken {
  let known: readonly Token[] = [];
  let used: Token | undefined;
  const shelf: ShownToken = {
    get used() {
      return used;
    },
    leave: undefined,
    async of(account, mechanism) {
      // Nobody has the number 0: it takes as long as for somebody.
      const id = account?.id ?? 0;
      shelf.leave = await devices.turn(id);
      known = await devices.tokens(id, devices.keyOf(id, userAgent?.id ?? ""));
      const password = account?.password?.from === undefined ? account?.credentialsHash : undefined;
      return known.map((token) => {
        const again = token.counted !== undefined && !((fast?.count ?? 0) > token.counted);
        const late = token.expiresAt <= parts.clock.now();
        const valid = token.mechanism === mechanism && token.password === password && !late && !again;
        return { secret: token.secret, valid };
      });
    },
    proved(place) {
      used = known[place];
    },
  };
  return shelf;
}
