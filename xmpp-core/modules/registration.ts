import { LRUCache } from "lru-cache";
import type { Element } from "ltx";
import { placesOf } from "../auth/slow-down.ts";
import { ns } from "../formats/namespaces.ts";
import { notStored, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { prepareLocal } from "../jid/jid.ts";
import { property } from "../properties/property.ts";
import { boolean } from "../properties/text-schema.ts";
import type { IqAnswer, IqRequest, StrangerRequest } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { isTrusted } from "../stream/login.ts";
import { text, x } from "../xml/writer.ts";
import { endSessionsOf, eraseLocal, makeLocal } from "./local-accounts.ts";
import { type Core, defineModule } from "./module.ts";
import { badPassword, changeOwn, leastLength, passwordCommand, passwords, refusal } from "./own-password.ts";
import { commands, discoExtra } from "./points.ts";

/** Openfire's default is true. */
const inband = property("register.inband", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether anybody may make an account of his own over the chat protocol; such accounts belong to the server, not to the host.",
  weakens: (open) => (open ? "Anybody who reaches this server may make an account." : undefined),
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
      note: "accounts of the server; of the host's users the password alone, which goes back to the host store",
    },
  ],
  properties: [inband, passwords, leastLength],
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
    const mayChange = (session: Session) => refusal(core, session.account) === undefined;
    core.offer(discoExtra, {
      features: (session) => (open() || (session !== undefined && mayChange(session)) ? [ns.register] : []),
    });
    core.offer(commands, passwordCommand(core));

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

function form() {
  const instructions = "Choose a user name and a password.";
  return x("query", { xmlns: ns.register }, x("instructions", {}, text(instructions)), x("username"), x("password"));
}

function field(element: Element, name: string): string | undefined {
  return element.getChild(name, ns.register)?.getText();
}

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
  const password = field(element, "password") ?? "";
  const bad = badPassword(core, password);
  if (bad !== undefined) return request.error(bad);
  const made = await makeLocal(core, served, { name }, password);
  if (made === "taken") return taken();
  if (made === "not-stored") return request.error(notStored);
  core.report.registered({ name, remote });
  return request.result();
}

/** What one's account is: XEP-0077 §3.1 for those who have one. Without a `<password/>` it is not changed here. */
function show(core: Core, request: IqRequest): IqAnswer {
  const { account } = request.session;
  const refused = refusal(core, account);
  if (refused !== undefined && !core.properties.get(inband)) return request.error(refused);
  return request.result(
    x(
      "query",
      { xmlns: ns.register },
      x("registered"),
      x("username", {}, text(account.name)),
      refused === undefined && x("password"),
    ),
  );
}

/** XEP-0077 §3.3. */
async function changePassword(core: Core, request: IqRequest): Promise<IqAnswer> {
  const { session } = request;
  const given = field(request.element, "username");
  if (given === undefined || prepareLocal(given.trim()) !== session.account.name)
    return request.error(stanzaError("bad-request", { text: `The user name must be ${session.account.name}.` }));
  const failed = await changeOwn(core, session, field(request.element, "password"));
  return failed === undefined ? request.result() : request.error(failed);
}

const gone = "The account was given up.";

/** XEP-0077 §3.2: the account and everything that was kept for it is gone, and its sessions end. */
async function giveUp(core: Core, request: IqRequest): Promise<IqAnswer> {
  const { session } = request;
  const { account } = session;
  if (account.origin !== "local") return request.error(hostOwned("remove it"));
  if (!core.properties.get(inband)) return request.error(closed());
  if (request.element.getChildElements().length !== 1) return request.error(stanzaError("bad-request"));
  endSessionsOf(core, account, gone, session);
  if (!(await eraseLocal(core, account))) return request.error(notStored);
  core.report.unregistered({ name: account.name });
  // The answer goes out before the stream ends.
  setImmediate(() => endSessionsOf(core, account, gone));
  return request.result();
}
