/**
 * Target `openfire`: a real Openfire 5, driven through its REST plugin. It has no transactions, no origins and no
 * revisions, so the journal remembers what is the host's, each step is written down before it is done and taken back
 * if a later one fails, and a property of ours says which revision stands. docs/openfire-target.md, docs/decisions/006.
 */
import { randomBytes } from "node:crypto";
import { z } from "zod";
import type { Answer, ApplyRequest, CanonicalAnswer, DesiredState } from "../../../xmpp-core/control/contract.ts";
import { contractVersion } from "../../../xmpp-core/control/contract.ts";
import type { JournalEntry } from "../../apply/journal.ts";
import type { RevisionState } from "../../apply/revision-state.ts";
import type { Desired } from "../../desired/desired.ts";
import { CodedError } from "../../errors.ts";
import type { ActualState, Target, TargetEvents } from "../target.ts";
import { actualState, isListed, noWants, type Wants } from "./actual.ts";
import { adapted, type ClearPassword, keepsPasswords } from "./adapt.ts";
import { canonical, groupName } from "./canonical.ts";
import { defaultText, factOf } from "./catalogue.ts";
import { type Versions, versionsOf } from "./greeting.ts";
import { type Holder, hold, letGo } from "./lease.ts";
import {
  domainOf,
  type Look,
  localMembers,
  lookAt,
  probePrefix,
  readGroup,
  readProperties,
  readSessions,
} from "./look.ts";
import { type Owned, ownedBy } from "./owned.ts";
import { openPending, type Pending } from "./pending.ts";
import { type OpenfireAccess, openRest, type Rest, segment } from "./rest.ts";
import { certificatesOf, listenersOf, movedPorts, sessionsOf } from "./status.ts";
import { applySteps, provenKey, recoverSteps, revisionsIn } from "./stepwise.ts";
import { type UndoLog, undoLog } from "./undo.ts";

export type OpenfireOptions = {
  /** Of the admin console. */
  url: string;
  access: OpenfireAccess;
  ca?: string | undefined;
  /** Home directory of the agent. */
  home: string;
  /** For the message that a second agent gets. */
  agent: string;
  journal: {
    append(entry: JournalEntry): Promise<unknown>;
    /** Revision in force and what it asked for. */
    inForce(): { revision: number; state: RevisionState } | undefined;
  };
  /** Passwords in clear that the store has shown to this run of the agent. */
  clear?: ClearPassword;
  events: TargetEvents;
  now?: () => Date;
  retryMs?: number;
  timeoutMs?: number;
};

export async function openOpenfire(options: OpenfireOptions): Promise<Target> {
  const pending = await openPending(options.home);
  const target: { current?: OpenfireTarget } = {};
  const rest = await openRest({ ...options, reached: (reached, why) => target.current?.reached(reached, why) });
  target.current = new OpenfireTarget(options, rest, pending);
  return target.current;
}

class OpenfireTarget implements Target {
  readonly #options: OpenfireOptions;
  readonly #rest: Rest;
  readonly #pending: Pending;
  readonly #undo: UndoLog;
  readonly #holder: Holder;
  readonly #now: () => Date;
  #versions: Versions | undefined;
  #greeting: Answer<"hello"> | undefined;
  /** Set while it does not answer. */
  #away: string | undefined;
  #closed = false;
  #wants: Wants = noWants;
  /** Groups that the last wish named: only of these and of the host's are the members read. */
  #wanted: ReadonlySet<string> = new Set();
  /** Read for `adapt`, and used up by the `actual` that follows. */
  #fresh: Look | undefined;
  #last: { look: Look; state: ActualState; basis: string } | undefined;
  #owned: { revision: number; owned: Owned } | undefined;
  /** Keys that are not the host's, by the value they had when it was asked whether that is stored. */
  #stored = new Map<string, { value: string; stored: boolean }>();

  constructor(options: OpenfireOptions, rest: Rest, pending: Pending) {
    this.#options = options;
    this.#rest = rest;
    this.#pending = pending;
    this.#undo = undoLog(options.home);
    this.#now = options.now ?? (() => new Date());
    this.#holder = { id: pending.id, name: options.agent, now: this.#now };
  }

  /** Where Openfire checks passwords elsewhere, an account made by REST cannot log in. */
  get capabilities() {
    const probes = this.#last !== undefined && keepsPasswords(this.#last.look.properties);
    return { transactional: false, origins: false, probes };
  }

  reached(reached: boolean, why = ""): void {
    if (!reached) {
      if (this.#away === undefined && this.#greeting && !this.#closed) this.#options.events.lost(why);
      this.#away = why;
      return;
    }
    const was = this.#away;
    this.#away = undefined;
    if (was === undefined || !this.#greeting || this.#closed) return;
    // Nobody listened there: the process was gone, so this is another run of it.
    if (was === "ECONNREFUSED") void this.#pending.restarted("all");
    this.#options.events.greeted(this.#greeting, true);
  }

  async ready(timeoutMs: number): Promise<Answer<"hello">> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      if (this.#closed) throw new CodedError("target/unreachable", "Openfire is not asked: the agent is stopping.");
      try {
        return await this.#greet();
      } catch (error) {
        if (!(error instanceof CodedError) || error.code !== "target/lost") throw error;
        if (Date.now() >= until) {
          const { hint } = error;
          throw new CodedError("target/unreachable", error.message, hint === undefined ? {} : { hint });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, this.#options.retryMs ?? 500));
    }
  }

  async #greet(): Promise<Answer<"hello">> {
    const versions = await versionsOf(this.#rest);
    const stored = await readProperties(this.#rest);
    await hold(this.#rest, this.#holder, stored);
    const first = this.#greeting === undefined;
    if (first) await this.#removeProbes();
    this.#versions = versions;
    this.#greeting = {
      instance: domainOf(stored),
      version: contractVersion,
      program: `Openfire ${versions.openfire ?? "5.0 or newer"}, REST API plugin ${versions.plugin}`,
      ...revisionsIn(stored),
      pid: 0,
      gatePid: 0,
      startedAt: this.#greeting?.startedAt ?? this.#now().toISOString(),
    };
    if (first) this.#options.events.greeted(this.#greeting, false);
    return this.#greeting;
  }

  /** What a crash between making and deleting left. */
  async #removeProbes(): Promise<void> {
    const found = await this.#rest.get(`/users?search=${probePrefix}`, probes);
    for (const { username } of found.users) if (username.startsWith(probePrefix)) await this.closeProbe(username);
  }

  async revisions() {
    return revisionsIn(await readProperties(this.#rest));
  }

  recover() {
    return recoverSteps(this.#stepping);
  }

  async adapt(wish: Desired): Promise<Desired> {
    this.#wanted = new Set(wish.state.groups.map(({ name }) => groupName(name).name ?? name));
    const look = await this.#look();
    this.#fresh = look;
    const { desired, wants } = adapted(wish, look, this.#mine(), this.#clear);
    this.#wants = wants;
    return desired;
  }

  async canonical(desired: DesiredState): Promise<CanonicalAnswer> {
    const look = this.#last?.look ?? (await this.#look());
    return canonical(desired, look, this.#mine());
  }

  async actual(): Promise<ActualState> {
    const look = this.#fresh ?? (await this.#look());
    this.#fresh = undefined;
    const mine = this.#mine();
    const { admin, setsExternal, unsettable } = this.#wants;
    const revision = this.#options.journal.inForce()?.revision ?? 0;
    const basis = JSON.stringify([look.hash, revision, admin, setsExternal, [...unsettable]]);
    // The same objects for the same content: whoever compares by them need not compare again.
    if (this.#last?.basis === basis) return this.#last.state;
    const state = actualState(look, mine, this.#wants, await this.#storedLocally(look, mine));
    this.#last = { look, state, basis };
    return state;
  }

  async #look(): Promise<Look> {
    const look = await lookAt(this.#rest, new Set([...this.#wanted, ...this.#mine().groups.keys()]));
    await hold(this.#rest, this.#holder, look.properties);
    await this.#askPending(look.properties);
    this.#last = { look, state: this.#last?.state ?? emptyState(look), basis: "" };
    return look;
  }

  /** Openfire's liveness check fails while a declared property waits for its restart; moved ports speak for themselves. */
  async #askPending(properties: ReadonlyMap<string, string>): Promise<void> {
    if (this.#pending.entries.size === 0) return;
    const { status } = await this.#rest.page("/plugins/restapi/v1/system/liveness/properties");
    if (status === 200) await this.#pending.restarted("declared");
    await this.#pending.restarted(await movedPorts(properties, this.#pending, this.#host));
  }

  #mine(): Owned {
    const inForce = this.#options.journal.inForce();
    const revision = inForce?.revision ?? 0;
    if (this.#owned?.revision !== revision) this.#owned = { revision, owned: ownedBy(inForce?.state) };
    return this.#owned.owned;
  }

  /** The list mixes defaults of declared properties with what is stored; asked by name, only the latter is there. */
  async #storedLocally(look: Look, mine: Owned): Promise<Set<string>> {
    const stored = new Set<string>();
    for (const [key, value] of look.properties) {
      if (mine.settings.has(`property:${key}`) || !isListed(key, true)) continue;
      if (factOf(key)?.declared === true && value !== "" && value === defaultText(key)) continue;
      if (factOf(key)?.declared !== true) {
        stored.add(key);
        continue;
      }
      const asked = this.#stored.get(key);
      const is =
        asked?.value === value
          ? asked.stored
          : (await this.#rest.find(`/system/properties/${segment(key)}`, z.unknown())) !== undefined;
      this.#stored.set(key, { value, stored: is });
      if (is) stored.add(key);
    }
    return stored;
  }

  get #clear(): ClearPassword {
    return this.#options.clear ?? (() => undefined);
  }

  async apply(request: ApplyRequest) {
    const { access } = this.#options;
    const { done, waits } = await applySteps(request, {
      ...this.#stepping,
      clear: this.#clear,
      formerAdmin: this.#mine().settings.get("admin"),
      setsExternal: this.#wants.setsExternal,
      ourselves: access.by === "password" ? access.user : undefined,
    });
    for (const { key, was, is } of waits) await this.#pending.add(key, was, is, this.#now());
    return { revision: request.revision, done: [...done, ...this.#pending.words()], restarting: false };
  }

  get #stepping() {
    return {
      rest: this.#rest,
      undo: this.#undo,
      holder: this.#holder,
      append: this.#options.journal.append,
      now: this.#now,
    };
  }

  async prove(revision: number) {
    await this.#rest.send("POST", "/system/properties", { key: provenKey, value: String(revision) });
  }

  restart(): Promise<void> {
    return Promise.reject(cannotRestart());
  }

  stop(): Promise<void> {
    return Promise.reject(cannotRestart());
  }

  async status() {
    const { url } = this.#rest;
    const stored = await readProperties(this.#rest);
    const look = this.#last?.look ?? (await this.#look());
    const domain = domainOf(stored);
    const tls = url.protocol === "https:";
    const admin = { port: Number(url.port || (tls ? 443 : 80)), tls };
    const host = this.#host;
    const listeners = listenersOf(stored, this.#pending, host, admin);
    const inClear = !tls && !["localhost", "127.0.0.1", "::1"].includes(host);
    return {
      domain,
      aliases: [],
      ...revisionsIn(stored),
      startedAt: this.#greeting?.startedAt ?? this.#now().toISOString(),
      pid: 0,
      version: this.#greeting?.program ?? `Openfire ${this.#versions?.openfire ?? ""}`,
      listeners,
      certificates: await certificatesOf(listeners, domain),
      sessions: (await readSessions(this.#rest)).length,
      detachedSessions: 0,
      accounts: look.users.length,
      storage: "Openfire's own",
      weakens: inClear
        ? [`The credentials of the REST plugin go to ${url.host} in clear: use its https:// port (9091).`]
        : [],
      notices: this.#pending.words(),
    };
  }

  get #host(): string {
    return this.#rest.url.hostname.replace(/^\[|\]$/g, "");
  }

  async sessions(limit?: number) {
    return sessionsOf(await readSessions(this.#rest), this.#greeting?.instance ?? "", limit);
  }

  async openProbe() {
    const name = `${probePrefix}${randomBytes(6).toString("hex")}`;
    const password = randomBytes(24).toString("base64url");
    await this.#rest.send("POST", "/users", { username: name, name: "", email: "", password, properties: [] });
    return { name, password, domain: domainOf(await readProperties(this.#rest)) };
  }

  async closeProbe(name: string) {
    await this.#rest.send("DELETE", `/users/${segment(name)}`, undefined, [404]);
  }

  /** The plugin tells who is in it and whether its members see it; they see it under its own name. */
  async groupView(group: string) {
    const found = await readGroup(this.#rest, group);
    const domain = this.#greeting?.instance ?? domainOf(await readProperties(this.#rest));
    return {
      exists: found !== undefined,
      displayName: found?.shared ? found.name : "",
      members: found ? localMembers(found, domain).length : 0,
    };
  }

  async backup(): Promise<void> {
    throw new CodedError("backup/not-ours", "Openfire keeps its data in a database of its own.", {
      hint: "Back that up with its own tools.",
    });
  }

  async tell() {}

  async answer() {}

  async close() {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#greeting && this.#away === undefined) await letGo(this.#rest, this.#holder).catch(() => {});
    this.#rest.close();
  }
}

const probes = z.object({ users: z.array(z.object({ username: z.string() })) });

function emptyState(look: Look): ActualState {
  return actualState(look, ownedBy(undefined), noWants, new Set());
}

function cannotRestart(): CodedError {
  return new CodedError("openfire/cannot-restart", "Openfire cannot be restarted or stopped through its REST plugin.", {
    hint: "Do it where Openfire is started; firekeeper status tells what waits for it.",
  });
}
