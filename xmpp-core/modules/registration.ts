import type { Element } from "ltx";
import { ns } from "../formats/namespaces.ts";
import { notStored, type StanzaError, stanzaError } from "../formats/stanza-error.ts";
import { prepareLocal } from "../jid/jid.ts";
import { skeleton } from "../jid/skeleton.ts";
import { property } from "../properties/property.ts";
import { boolean, enumeration } from "../properties/text-schema.ts";
import type { Account } from "../routing/accounts.ts";
import type { IqAnswer, IqRequest, StrangerRequest } from "../routing/handlers.ts";
import type { Session } from "../routing/session.ts";
import { webAddress } from "../stream/web-ports.ts";
import { text, x } from "../xml/writer.ts";
import {
  accountMaking,
  challenges,
  invitations,
  madeHere,
  type Refusal,
  type WantedAccount,
} from "./account-points.ts";
import { attempts } from "./attempts.ts";
import { giveUpAccount, removal, removalRefused } from "./giving-up.ts";
import { makeLocal } from "./local-accounts.ts";
import { type Core, defineModule } from "./module.ts";
import { formerNamesMigration, lookAlikes, newNames, quarantineDays, reservedNames } from "./new-names.ts";
import { badPassword, changeOwn, leastLength, passwordCommand, passwords, refusal } from "./own-password.ts";
import { commands, discoExtra } from "./points.ts";
import { challengeForm, filledIn, isMailAddress, plainForm } from "./registration-forms.ts";

/** Openfire's default is true. */
const inband = property("register.inband", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether anybody may make an account of his own, over the chat protocol or on the page for it; such accounts belong to the server, not to the host.",
  notes: (open) => (open ? [madeHere] : []),
  weakens: (open) => (open ? "Anybody who reaches this server may make an account." : undefined),
});

const email = property("firekeeper.register.email", {
  schema: enumeration("none", "optional", "required"),
  default: "optional",
  impact: "live",
  doc: "Whether who makes an account is asked for a mail address, to which a link for a new password can be sent.",
});

/** Who may make accounts from one address, the unsuccessful ones too. */
const allowance = { atOnce: 10, everyMs: 5 * 60_000 };

/** Making an account, changing its password and giving it up, by its owner. XEP-0077 */
export const registration = defineModule({
  name: "registration",
  implements: [
    {
      spec: "XEP-0077",
      version: "2.4",
      status: "complete",
      note: "accounts of the server; of the host's users the password, and by a property the removal, go back to the host store",
    },
  ],
  properties: [inband, email, passwords, leastLength, removal, reservedNames, lookAlikes, quarantineDays],
  migrations: [formerNamesMigration],
  start,
});

function start(core: Core) {
  const admitted = attempts(core, allowance);
  const names = newNames(core);
  const open = (): boolean => core.properties.get(inband);
  const invites = () => core.offered(invitations)[0];
  const posed = () => core.offered(challenges)[0];
  const mayChange = (session: Session): boolean => refusal(core, session.account) === undefined;
  const mayLeave = (session: Session): boolean => removalRefused(core, session.account) === undefined;
  /** Looks of names that are being made, so that two who look alike are not made at once. */
  const underway = new Set<string>();

  async function make(wanted: WantedAccount): Promise<Account | Refusal> {
    const { served, invitation } = wanted;
    if (invitation === undefined && !open()) return refusals.closed;
    if (!admitted(wanted.remote)) return refusals["too-many"];
    const challenge =
      invitation === undefined && posed()?.needed() === true ? (wanted.challenge ?? noChallenge) : undefined;
    const verdict = challenge && posed()?.judge(challenge.id, challenge);
    if (verdict === "gone") return refusals["answer-too-late"];
    if (verdict === "wrong") return refusals["wrong-answer"];
    const name = prepareLocal(wanted.name.trim());
    if (name === undefined) return refusals["no-name"];
    const bad = badPassword(core, wanted.password);
    if (bad !== undefined) return { why: wanted.password === "" ? "no-password" : "short-password", error: bad };
    const address = wanted.email?.trim() || undefined;
    const mode = core.properties.get(email);
    if (mode === "required" && address === undefined) return refusals["no-email"];
    if (address !== undefined && !isMailAddress(address)) return refusals["no-email"];
    const named = invitation?.name !== undefined;
    if (named && invitation.name !== name) return refusals["invitation-used"];
    const look = `${served.id} ${skeleton(name)}`;
    const kept = !named && invites()?.keeps(served.id, name) === true;
    const taken = kept || underway.has(look) ? "name-taken" : names.refused(served.id, name, named);
    if (taken !== undefined) return taken === "name-taken" ? nameTaken(name) : refusals[taken];
    if (challenge !== undefined && posed()?.spend(challenge.id) !== true) return refusals["answer-too-late"];
    underway.add(look);
    try {
      return await put(wanted, name, mode === "none" ? undefined : address);
    } finally {
      underway.delete(look);
    }
  }

  async function put(wanted: WantedAccount, name: string, address: string | undefined): Promise<Account | Refusal> {
    const { invitation, password, remote, served } = wanted;
    let done: (() => Promise<void>) | undefined;
    const made = await makeLocal(core, served, { name, email: address }, password, (account) => {
      if (invitation === undefined) return { writes: [], undo: () => undefined };
      const used = invites()?.use(invitation, account);
      done = used?.done;
      return used;
    });
    if (made === "taken") return nameTaken(name);
    if (made === "refused") return refusals["invitation-used"];
    if (made === "not-stored") return refusals["not-stored"];
    core.report.registered({ name, remote });
    await done?.();
    return made;
  }

  core.offer(accountMaking, {
    open,
    email: () => core.properties.get(email),
    refusesName: (served, name) => names.refused(served, name, false) !== undefined,
    make,
  });
  core.offer(discoExtra, {
    features: (session) =>
      open() || (session !== undefined && (mayChange(session) || mayLeave(session))) ? [ns.register] : [],
  });
  core.offer(commands, passwordCommand(core));

  function form({ remote, stream, view, ...request }: StrangerRequest): IqAnswer {
    const mode = core.properties.get(email);
    const invitation = invites()?.shownOn(stream);
    if (invitation !== undefined) return request.result(plainForm({ email: mode, name: invitation.name }));
    if (!open()) return request.error(refusals.closed.error);
    if (posed()?.needed() !== true) return request.result(plainForm({ email: mode }));
    const challenge = posed()?.pose(remote);
    if (challenge === undefined) return request.error(refusals["too-many"].error);
    const web = webAddress(core.properties.get, view);
    return request.result(
      challengeForm(challenge, {
        email: mode,
        web: web && `${web}/account/register`,
        picture: web && `${web}/captcha/${challenge.id}`,
      }),
    );
  }

  async function makeFor({ element, remote, served, stream, ...request }: StrangerRequest): Promise<IqAnswer> {
    const invitation = invites()?.shownOn(stream);
    const made = await make({ served, remote, invitation, ...filledIn(element) });
    return "why" in made ? request.error(made.error) : request.result();
  }

  return {
    ready: names.ready,
    beforeLogin: {
      feature: () =>
        open() || invites()?.makeAccounts() === true ? x("register", { xmlns: ns.registerFeature }) : undefined,
      request: [ns.register, "query"] as const,
      answer(request: StrangerRequest) {
        if (!open() && invites()?.makeAccounts() !== true) return request.error(refusals.closed.error);
        if (!request.secured)
          return request.error(stanzaError("not-allowed", { text: "Encrypt the connection first." }));
        return request.type === "get" ? form(request) : makeFor(request);
      },
    },
    iq: [
      {
        get: [ns.register, "query"] as const,
        at: ["server", "account"] as const,
        answer: (request: IqRequest) => show(core, request, open()),
      },
      {
        set: [ns.register, "query"] as const,
        at: ["server", "account"] as const,
        answer: (request: IqRequest) =>
          request.element.getChild("remove", ns.register) === undefined
            ? changePassword(core, request)
            : giveUp(core, request),
      },
    ],
    account: { removed: (account: Account) => (account.origin === "local" ? names.quarantine(account) : []) },
  };
}

const noChallenge: NonNullable<WantedAccount["challenge"]> = { id: "" };

const refused = <W extends Refusal["why"]>(why: W, condition: StanzaError["condition"], sentence: string): Refusal => ({
  why,
  error: stanzaError(condition, { text: sentence }),
});

const nameTaken = (name: string): Refusal => refused("name-taken", "conflict", `The name ${name} is taken.`);

const refusals = {
  closed: refused("closed", "not-allowed", "Accounts cannot be made here; ask the administrator for one."),
  "too-many": refused(
    "too-many",
    "resource-constraint",
    "Too many accounts were asked for from this address. Try later.",
  ),
  "no-name": refused("no-name", "not-acceptable", "This cannot be a user name."),
  "no-email": refused("no-email", "not-acceptable", "A mail address is needed, such as alice@example.org."),
  "wrong-answer": refused(
    "wrong-answer",
    "not-acceptable",
    "These are not the letters of the picture. Ask for another one.",
  ),
  "answer-too-late": refused(
    "answer-too-late",
    "not-acceptable",
    "The letters of a picture must be copied first, in time. Ask for the form.",
  ),
  "invitation-used": refused("invitation-used", "not-acceptable", "The invitation is for another name, or used up."),
  "not-stored": { why: "not-stored", error: notStored } as Refusal,
};

function field(element: Element, name: string): string | undefined {
  return element.getChild(name, ns.register)?.getText();
}

/** What one's account is: XEP-0077 §3.1 for those who have one. Without a `<password/>` it is not changed here. */
function show(core: Core, request: IqRequest, open: boolean): IqAnswer {
  const { account } = request.session;
  const refused = refusal(core, account);
  if (refused !== undefined && !open && removalRefused(core, account) !== undefined) return request.error(refused);
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

/** XEP-0077 §3.2: the account and everything that was kept for it is gone, and its sessions end, the asking one last. */
async function giveUp(core: Core, request: IqRequest): Promise<IqAnswer> {
  const { session } = request;
  const { account } = session;
  if (request.element.getChildElements().length !== 1) return request.error(stanzaError("bad-request"));
  const failed = await giveUpAccount(core, account, session);
  return failed === undefined ? request.result() : request.error(failed);
}
