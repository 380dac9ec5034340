/** What the pages say beside the guides' steps. The compiler misses what a language lacks. */
export interface Words {
  readonly start: string;
  readonly guides: string;
  readonly certificates: string;
  readonly skip: string;
  readonly pages: string;
  readonly languages: string;
  readonly live: string;
  readonly missing: string;
  readonly missingTitle: string;

  readonly title: string;
  readonly intro: string;
  readonly whatToType: string;
  readonly address: string;
  readonly addressNote: string;
  readonly apart: string;
  readonly userName: string;
  readonly domain: string;
  readonly server: string;
  readonly serverEmpty: string;
  readonly serverTyped: string;
  readonly port: string;
  readonly portTls: string;
  readonly starttls: string;
  readonly directTls: string;
  readonly services: string;
  readonly rooms: string;
  readonly roomsNote: string;
  readonly search: string;
  readonly fileProxy: string;
  readonly portIs: string;
  readonly uploads: string;
  readonly mostBytes: string;
  readonly keptDays: string;
  readonly web: string;
  readonly webChat: string;
  readonly webChatOpen: string;
  readonly onion: string;
  readonly account: string;
  readonly registrationOpen: string;
  readonly registrationClosed: string;
  readonly registerHere: string;
  readonly changePassword: string;
  readonly contact: string;
  readonly contacts: Readonly<
    Record<"abuse" | "admin" | "feedback" | "sales" | "security" | "status" | "support", string>
  >;
  readonly guidesIntro: string;
  readonly guidesFirst: string;
  readonly guidesOthers: string;

  readonly certificatesTitle: string;
  readonly certificatesIntro: string;
  readonly certificateFor: string;
  readonly names: string;
  readonly issuer: string;
  readonly selfSigned: string;
  readonly valid: string;
  readonly untilWord: string;
  readonly sha256: string;
  readonly sha1: string;
  readonly spki: string;
  readonly spkiNote: string;
  readonly asJson: string;

  readonly guideTitle: string;
  readonly guideFor: string;
  readonly labelsOf: string;
  readonly tested: string;
  readonly untested: string;
  readonly steps: string;
  readonly encryption: string;
  readonly encryptionNotes: readonly string[];
  readonly guideListTitle: string;
  readonly programs: string;
  readonly program: string;
  readonly lastTest: string;
  readonly never: string;
  readonly abilities: Readonly<Record<"yes" | "plugin" | "no", string>>;
  readonly columns: Readonly<Record<"otr" | "omemo" | "jingle" | "proxy" | "tls" | "tor" | "muc", string>>;
  readonly columnNotes: string;
}
