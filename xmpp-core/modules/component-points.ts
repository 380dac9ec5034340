import type { StanzaError } from "../formats/stanza-error.ts";
import type { Jid } from "../jid/jid.ts";
import type { Account } from "../routing/accounts.ts";
import type { Link } from "../routing/handlers.ts";
import type { Stanza } from "../xml/stanza.ts";
import type { Xml } from "../xml/writer.ts";
import type { Point } from "./module.ts";

/** Where modules meet what components do (points.ts has the others). docs/components.md */
function point<T>(name: string): Point<T> {
  return { name };
}

/** A component that is connected. XEP-0114 */
export interface ComponentLink extends Link {
  /** The name by which code and stored addresses know it: `irc` of irc.example.org. */
  readonly label: string;
  /** A request from the server to the component; the answer is a result or an error, undefined: none came. */
  ask(type: "get" | "set", payload: Xml, answered: (answer: Stanza | undefined) => void): void;
}

/** What components may do beyond what everybody may: the rights of one, by `firekeeper.component.grants`. */
export interface ComponentGrants {
  /** Namespaces it answers for, with the attributes that a request must have to be meant. XEP-0355 */
  readonly delegated: ReadonlyMap<string, readonly string[]>;
  /** XEP-0356 */
  readonly roster: "get" | "set" | "both" | undefined;
  readonly message: boolean;
  readonly presence: "managed_entity" | "roster" | undefined;
  readonly iq: ReadonlyMap<string, "get" | "set" | "both">;
  /** It may show presence for accounts and teams. docs/components.md */
  readonly virtualPresence: boolean;
  /** It may read accounts, teams and groups. */
  readonly directory: boolean;
  /** Settings it may read. */
  readonly settings: ReadonlySet<string>;
}

export interface Components {
  /** Those connected now, by label. */
  readonly links: ReadonlyMap<string, ComponentLink>;
  /** Whether the service is a component, connected or not. */
  knows(label: string): boolean;
  grants(label: string): ComponentGrants;
  /** Labels that have been granted anything. */
  granted(): Iterable<string>;
  /** The label of the component that speaks under this address. */
  speaker(from: Jid): string | undefined;
}
export const components = point<Components>("components");

/** Told of components that come and go; `grantsChanged` for each that is connected. */
export interface ComponentWatch {
  connected?(link: ComponentLink): void;
  gone?(label: string): void;
  grantsChanged?(link: ComponentLink): void;
  /** Looks at a stanza of a component before it is routed; "taken" keeps it, an error is told. */
  take?(link: ComponentLink, stanza: Stanza, from: Jid): StanzaError | "taken" | undefined;
}
export const componentWatch = point<ComponentWatch>("component watch");

/** A session of no client: presence that a component shows for an account, a team or another entity that cannot log in. docs/components.md */
export interface VirtualPresences {
  /** Whether any is shown at all. */
  readonly any: boolean;
  /** Presence stanzas that are shown for this account, as `view` sees them, addressed to `to`; `resource`: that one only. */
  current(account: Account, view: string, to: string, resource?: string): readonly Xml[];
  /** What says that those are not there. */
  ended(account: Account, view: string, to: string): readonly Xml[];
}
export const virtualPresences = point<VirtualPresences>("virtual presences");
