import type { Element } from "ltx";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import type { Xml } from "../xml/writer.ts";
import type { Point } from "./module.ts";

/** The typed points around what people publish of themselves: nodes, cards, pictures, and who wants to know. */
function point<T>(name: string): Point<T> {
  return { name };
}

/** What clients want to be told of, by the capabilities in their presence. XEP-0115, XEP-0163 §4.3 */
export interface Interests {
  /** Whether the client asked for `<node>+notify`; false while its capabilities are not known. */
  wants(session: Session, node: string): boolean;
}
export const interests = point<Interests>("interests");

/** Told when it is known what an available session wants, and again when that changed; `fresh`: nodes it did not want before. */
export interface InterestsKnown {
  interestsKnown(session: Session, fresh: readonly string[]): void;
}
export const interestsKnown = point<InterestsKnown>("interests known");

/** An item of a node that a person owns. */
export interface NodeItem {
  readonly id: string;
  /** Canonical XML of the payload, alone; default namespace none. Written under the name of `epoch`. */
  readonly payload: Buffer;
  readonly epoch: number;
  /** ms since 1970. */
  readonly publishedAt: number;
}

/** Fields of `pubsub#node_config` by their names without "pubsub#": `{ access_model: "whitelist", max_items: "max" }`. */
export type NodeOptions = Readonly<Record<string, string>>;

/** Nodes of accounts, for modules that read or write them in the owner's name. XEP-0163 */
export interface PersonalNodes {
  /** Oldest first; none if there is no such node. */
  items(account: Account, node: string): Promise<readonly NodeItem[]>;
  /** As if the owner had published: makes the node with these options if there is none, and tells who wants to know. */
  publish(
    account: Account,
    node: string,
    items: readonly Pick<NodeItem, "id" | "payload" | "epoch">[],
    options: NodeOptions,
  ): Promise<void>;
  retract(account: Account, node: string, ids: readonly string[]): Promise<void>;
  /** Who may read the node, as `pubsub#access_model` has it; undefined: there is no such node. */
  accessModel(account: Account, node: string): Promise<string | undefined>;
}
export const personalNodes = point<PersonalNodes>("personal nodes");

/** An element of private storage that is a view of data kept elsewhere. XEP-0049 */
export interface PrivateElement {
  readonly element: readonly [ns: string, name: string];
  /** What a client under `view` gets; `kept`: what private storage has of it, under the same view. */
  read(account: Account, view: string, kept: Element | undefined): Promise<Xml>;
  /**
   * Takes over what a client under `view` wrote, or, with "add", what private storage has of earlier times; returns what
   * private storage is to keep of it.
   */
  write(account: Account, view: string, given: Element, how: "replace" | "add"): Promise<Xml>;
}
export const privateElement = point<PrivateElement>("private element");

/** Contact cards. XEP-0054 */
export interface Cards {
  /** The person's picture: the host's if it gives one, else that in the card. */
  photo(account: Account): Promise<Photo | undefined>;
  /** Puts another picture into the person's card, or takes it out; nobody is told. Resolves when it is on disk. */
  setPhoto(account: Account, photo: Photo | undefined): Promise<void>;
}
export interface Photo {
  /** Media type, such as `image/png`. */
  readonly type: string;
  readonly data: Buffer;
}
export const cards = point<Cards>("cards");

/** Told when a person wrote another picture into his card. */
export interface PhotoChanged {
  /** Undefined: there is none any more. The answer to the person waits for it. */
  photoChanged(account: Account, photo: Photo | undefined): Promise<void>;
}
export const photoChanged = point<PhotoChanged>("photo changed");

/** Told of every change of a node that a person owns, once it is on disk, whoever made it. */
export interface PersonalNodeChanged {
  personalNodeChanged(change: {
    readonly account: Account;
    readonly node: string;
    readonly published: readonly NodeItem[];
    readonly retracted: readonly string[];
    /** All items are gone: the node was purged or deleted. */
    readonly emptied: boolean;
  }): void;
}
export const personalNodeChanged = point<PersonalNodeChanged>("personal node changed");
