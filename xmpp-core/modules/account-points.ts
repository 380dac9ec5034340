import type { StanzaError } from "../formats/stanza-error.ts";
import type { Account } from "../routing/accounts.ts";
import type { Served } from "../routing/names.ts";
import type { Write } from "../storage/statement.ts";
import type { Stanza } from "../xml/stanza.ts";
import type { Point } from "./module.ts";

/** The typed points of making, inviting and giving up accounts. */
function point<T>(name: string): Point<T> {
  return { name };
}

/** Proof that a person asks: letters copied from a picture, or the answer to a question. XEP-0158 */
export interface Challenges {
  /** Whether an account costs an answer now. */
  needed(): boolean;
  /** Undefined: this address asked for too many. */
  pose(remote: string): Challenge | undefined;
  /** Judges an answer; a wrong one spends the challenge, a right one does not yet. */
  judge(id: string, answers: Answers): "right" | "wrong" | "gone";
  /** It is used up. False: it was already. */
  spend(id: string): boolean;
}
export interface Challenge {
  /** 128 random bits. */
  readonly id: string;
  /** Draws the PNG. */
  picture(): Buffer;
  readonly width: number;
  readonly height: number;
  /** For those who see no picture; undefined: the administrator set none. */
  readonly question: string | undefined;
}
export interface Answers {
  readonly letters?: string | undefined;
  readonly answer?: string | undefined;
}
export const challenges = point<Challenges>("challenges");

/** What is refused, for those who say it in other words and languages. */
export interface Refusal {
  readonly why:
    | "closed"
    | "too-many"
    | "no-name"
    | "name-taken"
    | "no-password"
    | "short-password"
    | "no-email"
    | "wrong-answer"
    | "answer-too-late"
    | "invitation-used"
    | "not-stored";
  readonly error: StanzaError;
}

export interface WantedAccount {
  readonly served: Served;
  readonly remote: string;
  /** As it was typed. */
  readonly name: string;
  readonly password: string;
  readonly email?: string | undefined;
  /** What entitles to an account, if not everybody may have one. */
  readonly invitation?: Invitation | undefined;
  readonly challenge?: ({ readonly id: string } & Answers) | undefined;
}

/** What plan and status say of settings by which people make accounts. */
export const madeHere =
  "Accounts made so belong to this server: the host's store does not list them, and a user of the same name there waits for apply --adopt.";

/** Makes accounts for those who ask themselves, over whatever way they come. Offered by the registration. */
export interface AccountMaking {
  /** Whether anybody may have one. */
  open(): boolean;
  email(): "none" | "optional" | "required";
  /** Whether nobody can give himself this prepared name, for what it is or looks like. */
  refusesName(served: number, name: string): boolean;
  make(wanted: WantedAccount): Promise<Account | Refusal>;
}
export const accountMaking = point<AccountMaking>("account making");

/** An invitation that is good at this moment. XEP-0401 */
export interface Invitation {
  readonly served: number;
  /** Who invites. */
  readonly by: Account;
  /** Whether an account may be made by it. */
  readonly makesAccount: boolean;
  /** Whether the newcomer and who invites become contacts. */
  readonly makesContact: boolean;
  /** The name that the account will have. */
  readonly name: string | undefined;
  /** ms since 1970 */
  readonly expiresAt: number;
}
export interface Invitations {
  /** Whether invitations make accounts here. */
  makeAccounts(): boolean;
  /** What a token opens now. The same time for each that opens nothing. */
  find(token: string): Invitation | undefined;
  /** What a token is given away as, under a name of the domain. */
  links(invitation: Invitation, token: string, view: string): InvitationLinks;
  /** The token that a stream has shown. XEP-0445 */
  shownOn(stream: object): Invitation | undefined;
  /** Whether a name is kept for somebody who is invited. */
  keeps(served: number, name: string): boolean;
  /** Takes one use, in memory at once; the rows belong into the commit that makes the account. Undefined: used up or revoked. */
  use(invitation: Invitation, newcomer: Account): Used | undefined;
}
export interface InvitationLinks {
  /** For clients. RFC 5122 */
  readonly uri: string;
  /** For browsers; undefined: the ports for them are closed. */
  readonly page: string | undefined;
}
export interface Used {
  readonly writes: readonly Write[];
  undo(): void;
  /** What follows once it is on disk: both become contacts. */
  done(): Promise<void>;
}
export const invitations = point<Invitations>("invitations");

/** Tokens in requests for a subscription. XEP-0379 */
export interface ContactTokens {
  /** Uses the token that `newcomer` (undefined: somebody behind a component) shows to `by`; undefined: there is none, or it is no good. */
  use(by: Account, newcomer: Account | undefined, stanza: Stanza): Pick<Used, "writes" | "undo"> | undefined;
}
export const contactTokens = point<ContactTokens>("contact tokens");

/** Makes two accounts see each other, as if each had asked and the other had agreed. Offered by the roster. */
export interface Acquaintance {
  /** Resolves once it is on disk and both are told; an error: it could not be written. */
  join(one: Account, other: Account): Promise<StanzaError | undefined>;
}
export const acquaintance = point<Acquaintance>("acquaintance");
