import { LRUCache } from "lru-cache";
import type { Element } from "ltx";
import { deriveCredentials, formatCredentials, preparePassword } from "../auth/keys.ts";
import { scramIterations } from "../auth/properties.ts";
import { placesOf } from "../auth/slow-down.ts";
import { ns } from "../formats/namespaces.ts";
import { type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { prepareLocal } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { boolean } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { IqAnswer, IqRequest, StrangerRequest } from "../routing/handlers.ts";
import type { Write } from "../storage/statement.ts";
import { isTrusted } from "../stream/login.ts";
import { text, x } from "../xml/writer.ts";
import { type Core, defineModule } from "./module.ts";
import { discoExtra } from "./points.ts";

/** Openfire's default is true. */
const inband = property("register.inband", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether anybody may make an account of his own over the chat protocol; such accounts belong to the server, not to the host.",
  weakens: (open) => (open ? "Anybody who reaches this server may make an account." : undefined),
});

const passwords = property("register.password", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether people may change the passwords of accounts that belong to the server; those of the host's users are changed in the host.",
});

/** Attempts of one address to make an account: so many at once, and one more each time this passes. */
const attemptsAtOnce = 10;
const attemptEveryMs = 5 * 60_000;
const rememberedAddresses = 20_000;

/** Making an account, changing its password and giving it up, by its owner. XEP-0077 */
export const registration = defineModule({
  name: "registration",
  implements: [
    {
      spec: "XEP-0077",
      version: "2.4",
      status: "complete",
      note: "accounts of the server; those of the host are managed there",
    },
  ],
  properties: [inband, passwords],
  start(core) {
    /** For each address the time at which its attempts are forgotten. */
    const debts = new LRUCache<string, number>({ max: rememberedAddresses });

    /** Charges an attempt to the address; false: too many. */
    function admitted(remote: string): boolean {
      if (isTrusted(core, remote)) return true;
      const { address } = placesOf(remote);
      const now = core.clock.now();
      const until = Math.max(debts.get(address) ?? 0, now) + attemptEveryMs;
      if (until - now > attemptsAtOnce * attemptEveryMs) return false;
      debts.set(address, until);
      return true;
    }

    const open = (): boolean => core.properties.get(inband);
    core.offer(discoExtra, { features: () => (open() ? [ns.register] : []) });

    return {
      beforeLogin: {
        feature: () => (open() ? x("register", { xmlns: ns.registerFeature }) : undefined),
        request: [ns.register, "query"],
        answer(request) {
          if (!open()) return request.error(closed());
          if (!request.secured)
            return request.error(stanzaError("not-allowed", { text: "Encrypt the connection first." }));
          return request.type === "get" ? request.result(form()) : make(core, request, admitted);
        },
      },
      iq: [
        { get: [ns.register, "query"], at: ["server", "account"], answer: (request) => show(core, request) },
        {
          set: [ns.register, "query"],
          at: ["server", "account"],
          answer: (request) =>
            request.element.getChild("remove", ns.register) === undefined
              ? changePassword(core, request)
              : giveUp(core, request),
        },
      ],
    };
  },
});

const closed = (): StanzaError =>
  stanzaError("not-allowed", { text: "Accounts cannot be made here; ask the administrator for one." });

const hostOwned = (what: string): StanzaError =>
  stanzaError("not-allowed", {
    text: `This account belongs to the host application that manages the users: ${what} there.`,
  });

const notStored = (): StanzaError =>
  stanzaError("resource-constraint", { text: "The server cannot store this at the moment. Please try again later." });

function form() {
  const instructions = "Choose a user name and a password.";
  return x("query", { xmlns: ns.register }, x("instructions", {}, text(instructions)), x("username"), x("password"));
}

function field(element: Element, name: string): string | undefined {
  return element.getChild(name, ns.register)?.getText();
}

/** Keys for a password that may be stored, or what is wrong with it. */
async function keysOf(core: Core, password: string | undefined) {
  if (password === undefined || preparePassword(password) === undefined)
    return stanzaError("not-acceptable", {
      text: "A password is needed, without control characters and mixed writing directions.",
    });
  const by = { iterations: core.properties.get(scramIterations), random: core.random, pool: core.derivations };
  return formatCredentials(await deriveCredentials(password, by));
}

/** The account's hash tells the host's credentials apart; those of the server get one that no host has. */
const hashOfOwn = (core: Core): string => `local:${core.random(16).toString("hex")}`;

async function make(core: Core, request: StrangerRequest, admitted: (remote: string) => boolean): Promise<IqAnswer> {
  const { element, served, remote } = request;
  if (!admitted(remote))
    return request.error(
      stanzaError("resource-constraint", { text: "Too many accounts were asked for from this address. Try later." }),
    );
  const name = prepareLocal(field(element, "username")?.trim() ?? "");
  if (name === undefined) return request.error(stanzaError("not-acceptable", { text: "This cannot be a user name." }));
  const taken = (): IqAnswer => request.error(stanzaError("conflict", { text: `The name ${name} is taken.` }));
  // Former names of people and names of disabled accounts lead to their bearers still.
  if (core.accounts.get(served.id, name) !== undefined) return taken();
  const keys = await keysOf(core, field(element, "password"));
  if ("kind" in keys) return request.error(keys);
  if (core.accounts.get(served.id, name) !== undefined) return taken();
  const { result, undo } = core.accounts.tentatively(() => {
    const facts = { name, hostId: undefined, displayName: undefined, email: undefined, enabled: true };
    const now = core.clock.now();
    const made = core.accounts.create(served, { ...facts, origin: "local", keptUntil: undefined, probe: false }, now);
    return {
      account: made.account,
      writes: [...made.writes, ...core.accounts.setCredentials(made.account, keys, hashOfOwn(core))],
    };
  });
  // Whoever bears the admin's name is the admin: nobody may take it while it is free.
  if (core.rights.isAdmin(result.account.id)) {
    undo();
    return taken();
  }
  if (!(await stored(core, result.writes))) {
    undo();
    return request.error(notStored());
  }
  for (const handlers of core.accountHandlers()) handlers.created?.(result.account);
  core.report.registered({ name, remote });
  return request.result();
}

async function stored(core: Core, writes: readonly Write[]): Promise<boolean> {
  try {
    await core.storage.write(writes);
    return true;
  } catch {
    return false; // the storage has reported it
  }
}

/** What one's account is: XEP-0077 §3.1 for those who have one. */
function show(core: Core, request: IqRequest): IqAnswer {
  const { account } = request.session;
  const own = account.origin === "local";
  if (own ? !core.properties.get(inband) && !core.properties.get(passwords) : !core.properties.get(inband))
    return request.error(own ? closed() : hostOwned("change the password"));
  return request.result(
    x(
      "query",
      { xmlns: ns.register },
      x("registered"),
      x("username", {}, text(account.name)),
      own && core.properties.get(passwords) && x("password"),
    ),
  );
}

/** XEP-0077 §3.3. Sessions that are open stay: they have proved who they are. */
async function changePassword(core: Core, request: IqRequest): Promise<IqAnswer> {
  const { account } = request.session;
  if (account.origin !== "local") return request.error(hostOwned("change the password"));
  if (!core.properties.get(passwords))
    return request.error(
      stanzaError("not-allowed", { text: "Passwords are not changed over the chat protocol here." }),
    );
  const given = field(request.element, "username");
  if (given === undefined || prepareLocal(given.trim()) !== account.name)
    return request.error(stanzaError("bad-request", { text: `The user name must be ${account.name}.` }));
  const keys = await keysOf(core, field(request.element, "password"));
  if ("kind" in keys) return request.error(keys);
  const { result, undo } = core.accounts.tentatively(() =>
    core.accounts.setCredentials(account, keys, hashOfOwn(core)),
  );
  if (await stored(core, result)) return request.result();
  undo();
  return request.error(notStored());
}

/** XEP-0077 §3.2: the account and everything that was kept for it is gone, and its sessions end. */
async function giveUp(core: Core, request: IqRequest): Promise<IqAnswer> {
  const { session } = request;
  const { account } = session;
  if (account.origin !== "local") return request.error(hostOwned("remove it"));
  if (!core.properties.get(inband)) return request.error(closed());
  if (request.element.getChildElements().length !== 1) return request.error(stanzaError("bad-request"));
  for (const other of [...account.sessions]) if (other !== session) end(core, other);
  if (!(await erased(core, account))) return request.error(notStored());
  core.report.unregistered({ name: account.name });
  // The answer goes out before the stream ends.
  setImmediate(() => end(core, session));
  return request.result();
}

async function erased(core: Core, account: Account): Promise<boolean> {
  const ofModules = core.accountHandlers().flatMap((handlers) => handlers.removed?.(account) ?? []);
  const { result, undo } = core.accounts.tentatively(() => core.accounts.remove(account));
  if (await stored(core, [...ofModules, ...result])) return true;
  undo();
  return false;
}

function end(core: Core, session: IqRequest["session"]): void {
  if (session.carrier !== undefined) session.carrier.end("not-authorized", "The account was given up.");
  else core.sessions.end(session, "ended");
}
