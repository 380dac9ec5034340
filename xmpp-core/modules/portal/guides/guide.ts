import type { Text } from "../../../formats/language.ts";

/** How to set up one program: the one source of its page in every language. */
export interface Guide {
  /** The last segment of its address: `/guide/gajim`. */
  readonly client: string;
  readonly name: string;
  readonly platforms: string;
  /** The version whose menus and fields are named. */
  readonly labelsOf: string;
  readonly home: string;
  readonly features: Features;
  /** The program's own words in each language, as it shows them. */
  readonly labels: Readonly<Record<string, Text>>;
  readonly steps: readonly Step[];
}

export interface Step {
  readonly id: string;
  /** What must hold on this server for the step to be shown; absent: always. */
  readonly when?: Condition;
  /** The part of the client's tests that goes through it; see docs/tested.ts. */
  readonly provenBy: Proof;
  /** `[label]` is one of the guide's labels, `{value}` one of this server's. */
  readonly text: Text;
}

export type Condition =
  /** Whether a server must be typed, because DNS does not lead here. */
  | "typeHost"
  | "dnsLeads"
  /** Whether programs ask about the certificate. */
  | "selfSigned"
  | "trusted"
  | "onion"
  | "fileProxy"
  | "rooms"
  | "webChat"
  | "noWebChat"
  | "registration";

export type Proof = "login" | "host" | "certificate" | "room" | "proxy" | "tor" | "register";

/** What a program can do: by itself, with a plug-in, or not at all. */
export type Ability = "yes" | "plugin" | "no";
export interface Features {
  readonly otr: Ability;
  readonly omemo: Ability;
  /** Calls or files between two programs. XEP-0166 */
  readonly jingle: Ability;
  /** Connecting through a SOCKS5 proxy. */
  readonly proxy: Ability;
  readonly tls: Ability;
  readonly tor: Ability;
  readonly muc: Ability;
}
