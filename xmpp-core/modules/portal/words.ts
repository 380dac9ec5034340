import { type Language, typeset } from "./language.ts";

/** What the pages say beside the guides' steps. The compiler misses what a language lacks. */
interface Words {
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

const written: Readonly<Record<Language, Words>> = {
  en: {
    start: "Your access",
    guides: "Guides",
    certificates: "Certificates",
    skip: "Skip to the content",
    pages: "Pages",
    languages: "Languages",
    live: "What stands here is what the server uses at this moment.",
    missing: "There is no such page here.",
    missingTitle: "Not found",

    title: "Chat at {domain}",
    intro:
      "Use any program that speaks XMPP (also called Jabber). Most of them ask for nothing but your address and your password.",
    whatToType: "What to type",
    address: "Address",
    addressNote: "also called Jabber ID, JID or XMPP address; put your user name in place of “name”",
    apart: "In two fields",
    userName: "user name",
    domain: "domain",
    server: "Server, host",
    serverEmpty: "leave it empty: your program finds the server by itself ({host})",
    serverTyped: "where your program asks for a server, a host or a “connect server”",
    port: "Port, encryption",
    portTls: "Port with direct TLS",
    starttls: "encryption required (STARTTLS)",
    directTls: "for programs that want TLS from the start, also called “legacy SSL”",
    services: "Services",
    rooms: "Chat rooms",
    roomsNote: "a room’s address is {example}",
    search: "User search",
    fileProxy: "File transfer proxy",
    portIs: "port {port}",
    uploads: "File upload",
    mostBytes: "files up to {size}",
    keptDays: "kept for {days} days",
    web: "For web programs",
    webChat: "Web chat",
    webChatOpen: "Chat in the browser",
    onion: "Through Tor",
    account: "Your account",
    registrationOpen: "Anybody may make an account here, in the program or on the page that is linked.",
    registrationClosed: "Accounts are made by the administrators of this service.",
    registerHere: "Make an account",
    changePassword: "Change your password",
    contact: "Contact",
    contacts: {
      abuse: "Abuse",
      admin: "Administrators",
      feedback: "Feedback",
      sales: "Sales",
      security: "Security",
      status: "Status",
      support: "Help",
    },
    guidesIntro: "Step by step, with the values of this server filled in:",
    guidesFirst: "Recommended",
    guidesOthers: "Other programs",

    certificatesTitle: "Certificates of {domain}",
    certificatesIntro:
      "If your program asks whether to trust a certificate, compare what it shows with this page. If they differ, do not accept it.",
    certificateFor: "Certificate for {domain}",
    names: "Names",
    issuer: "Issued by",
    selfSigned: "itself (self-signed): programs ask you once whether you trust it",
    valid: "Valid",
    untilWord: "{from} to {to}",
    sha256: "SHA-256 fingerprint",
    sha1: "SHA-1 fingerprint",
    spki: "Public key (SHA-256, Base64)",
    spkiNote: "stays the same when a self-signed certificate is renewed",
    asJson: "The same as JSON",

    guideTitle: "{client} at {domain}",
    guideFor: "Set up {client} ({platforms}) for an account of {domain}.",
    labelsOf: "Menus and fields are named as in version {version}.",
    tested: "tested with {version} on {date}",
    untested: "not tested",
    steps: "Steps",
    encryption: "If the encryption setting has another name",
    encryptionNotes: [
      "Some programs hide the setting. Leave it as it is: this server takes no password without encryption.",
      "Some ask the other way round, such as “allow plain text” or “allow unencrypted passwords”: leave that off.",
      "With “if available” anybody on the way can switch encryption off: choose “required”.",
      "Some change the port to {tlsPort} when “SSL” or “old-style SSL” is on. That works too: both ports take either kind.",
    ],
    guideListTitle: "Guides for {domain}",
    programs: "What the programs can do",
    program: "Program",
    lastTest: "Tested here",
    never: "not tested",
    abilities: { yes: "yes", plugin: "with a plug-in", no: "no" },
    columns: {
      otr: "OTR",
      omemo: "OMEMO",
      jingle: "Jingle",
      proxy: "Proxy",
      tls: "TLS",
      tor: "Tor",
      muc: "Rooms (MUC)",
    },
    columnNotes:
      "OTR and OMEMO encrypt from person to person. Jingle: calls or files between two programs. Proxy: connects through a SOCKS5 proxy.",
  },
  fr: {
    start: "Votre accès",
    guides: "Guides",
    certificates: "Certificats",
    skip: "Aller au contenu",
    pages: "Pages",
    languages: "Langues",
    live: "Cette page indique ce que le serveur utilise en ce moment même.",
    missing: "Cette page n’existe pas.",
    missingTitle: "Page introuvable",

    title: "Messagerie instantanée de {domain}",
    intro:
      "Utilisez n’importe quel logiciel compatible XMPP (ou Jabber). La plupart ne demandent que votre adresse et votre mot de passe.",
    whatToType: "Ce qu’il faut saisir",
    address: "Adresse",
    addressNote:
      "appelée aussi identifiant Jabber, JID ou adresse XMPP ; remplacez « name » par votre nom d’utilisateur",
    apart: "En deux champs",
    userName: "nom d’utilisateur",
    domain: "domaine",
    server: "Serveur, hôte",
    serverEmpty: "laissez ce champ vide : le logiciel trouve le serveur de lui-même ({host})",
    serverTyped: "là où le logiciel demande un serveur, un hôte ou un « serveur de connexion »",
    port: "Port, chiffrement",
    portTls: "Port avec TLS direct",
    starttls: "chiffrement obligatoire (STARTTLS)",
    directTls: "pour les logiciels qui exigent TLS dès la connexion, aussi appelé « ancien SSL »",
    services: "Services",
    rooms: "Salons de discussion",
    roomsNote: "l’adresse d’un salon est de la forme {example}",
    search: "Annuaire",
    fileProxy: "Proxy de transfert de fichiers",
    portIs: "port {port}",
    uploads: "Envoi de fichiers",
    mostBytes: "fichiers de {size} au plus",
    keptDays: "conservés {days} jours",
    web: "Pour les applications web",
    webChat: "Messagerie web",
    webChatOpen: "Discuter dans le navigateur",
    onion: "Par Tor",
    account: "Votre compte",
    registrationOpen: "Chacun peut créer un compte ici, dans son logiciel ou sur la page indiquée.",
    registrationClosed: "Les comptes sont créés par les administrateurs de ce service.",
    registerHere: "Créer un compte",
    changePassword: "Changer votre mot de passe",
    contact: "Contact",
    contacts: {
      abuse: "Abus",
      admin: "Administrateurs",
      feedback: "Remarques",
      sales: "Service commercial",
      security: "Sécurité",
      status: "État du service",
      support: "Aide",
    },
    guidesIntro: "Pas à pas, avec les valeurs de ce serveur :",
    guidesFirst: "Conseillé",
    guidesOthers: "Autres logiciels",

    certificatesTitle: "Certificats de {domain}",
    certificatesIntro:
      "Si votre logiciel vous demande s’il faut faire confiance à un certificat, comparez ce qu’il affiche avec cette page. En cas de différence, ne l’acceptez pas.",
    certificateFor: "Certificat de {domain}",
    names: "Noms",
    issuer: "Délivré par",
    selfSigned: "lui-même (autosigné) : les logiciels vous demandent une fois si vous lui faites confiance",
    valid: "Validité",
    untilWord: "du {from} au {to}",
    sha256: "Empreinte SHA-256",
    sha1: "Empreinte SHA-1",
    spki: "Clé publique (SHA-256, Base64)",
    spkiNote: "ne change pas quand un certificat autosigné est renouvelé",
    asJson: "Les mêmes données en JSON",

    guideTitle: "{client} chez {domain}",
    guideFor: "Configurer {client} ({platforms}) pour un compte de {domain}.",
    labelsOf: "Les menus et les champs portent les noms de la version {version}.",
    tested: "testé avec {version} le {date}",
    untested: "non testé",
    steps: "Étapes",
    encryption: "Si le réglage du chiffrement porte un autre nom",
    encryptionNotes: [
      "Certains logiciels cachent ce réglage. Laissez-le tel quel : ce serveur n’accepte aucun mot de passe sans chiffrement.",
      "D’autres posent la question à l’envers, par exemple « autoriser le texte en clair » ou « autoriser l’envoi de mot de passe non chiffré » : laissez cette case décochée.",
      "Avec « si disponible », n’importe qui sur le trajet peut désactiver le chiffrement : choisissez « obligatoire ».",
      "Certains passent au port {tlsPort} quand « SSL » ou « ancien SSL » est activé. Cela fonctionne aussi : les deux ports acceptent les deux modes.",
    ],
    guideListTitle: "Guides pour {domain}",
    programs: "Ce que savent faire les logiciels",
    program: "Logiciel",
    lastTest: "Testé ici",
    never: "non testé",
    abilities: { yes: "oui", plugin: "avec un greffon", no: "non" },
    columns: {
      otr: "OTR",
      omemo: "OMEMO",
      jingle: "Jingle",
      proxy: "Proxy",
      tls: "TLS",
      tor: "Tor",
      muc: "Salons (MUC)",
    },
    columnNotes:
      "OTR et OMEMO chiffrent de personne à personne. Jingle : appels ou fichiers entre deux logiciels. Proxy : connexion par un proxy SOCKS5.",
  },
  de: {
    start: "Ihr Zugang",
    guides: "Anleitungen",
    certificates: "Zertifikate",
    skip: "Zum Inhalt springen",
    pages: "Seiten",
    languages: "Sprachen",
    live: "Hier steht, was der Server in diesem Augenblick verwendet.",
    missing: "Diese Seite gibt es hier nicht.",
    missingTitle: "Nicht gefunden",

    title: "Chat bei {domain}",
    intro:
      "Sie können jedes Programm verwenden, das XMPP (auch Jabber genannt) spricht. Die meisten fragen nur nach Ihrer Adresse und Ihrem Passwort.",
    whatToType: "Was Sie eingeben",
    address: "Adresse",
    addressNote: "auch Jabber-ID, JID oder XMPP-Adresse genannt; statt „name“ steht Ihr Benutzername",
    apart: "In zwei Feldern",
    userName: "Benutzername",
    domain: "Domain",
    server: "Server, Host",
    serverEmpty: "leer lassen: Das Programm findet den Server von selbst ({host})",
    serverTyped: "wo das Programm nach Server, Host oder „Verbindungsserver“ fragt",
    port: "Port, Verschlüsselung",
    portTls: "Port mit direktem TLS",
    starttls: "Verschlüsselung erforderlich (STARTTLS)",
    directTls: "für Programme, die von Anfang an TLS verlangen, auch „altes SSL“ genannt",
    services: "Dienste",
    rooms: "Chaträume",
    roomsNote: "ein Raum hat die Adresse {example}",
    search: "Personensuche",
    fileProxy: "Proxy für Dateiübertragungen",
    portIs: "Port {port}",
    uploads: "Datei-Upload",
    mostBytes: "Dateien bis {size}",
    keptDays: "werden {days} Tage aufbewahrt",
    web: "Für Webprogramme",
    webChat: "Webchat",
    webChatOpen: "Im Browser chatten",
    onion: "Über Tor",
    account: "Ihr Konto",
    registrationOpen: "Hier darf jeder ein Konto anlegen, im Programm oder auf der verlinkten Seite.",
    registrationClosed: "Konten werden von der Administration dieses Dienstes angelegt.",
    registerHere: "Konto anlegen",
    changePassword: "Passwort ändern",
    contact: "Kontakt",
    contacts: {
      abuse: "Missbrauch",
      admin: "Administration",
      feedback: "Rückmeldungen",
      sales: "Vertrieb",
      security: "Sicherheit",
      status: "Betriebszustand",
      support: "Hilfe",
    },
    guidesIntro: "Schritt für Schritt, mit den Werten dieses Servers:",
    guidesFirst: "Empfohlen",
    guidesOthers: "Weitere Programme",

    certificatesTitle: "Zertifikate von {domain}",
    certificatesIntro:
      "Wenn Ihr Programm fragt, ob Sie einem Zertifikat vertrauen, vergleichen Sie seine Angaben mit dieser Seite. Weichen sie ab, nehmen Sie es nicht an.",
    certificateFor: "Zertifikat für {domain}",
    names: "Namen",
    issuer: "Ausgestellt von",
    selfSigned: "sich selbst (selbstsigniert): Programme fragen Sie einmal, ob Sie ihm vertrauen",
    valid: "Gültig",
    untilWord: "vom {from} bis zum {to}",
    sha256: "SHA-256-Fingerabdruck",
    sha1: "SHA-1-Fingerabdruck",
    spki: "Öffentlicher Schlüssel (SHA-256, Base64)",
    spkiNote: "bleibt gleich, wenn ein selbstsigniertes Zertifikat erneuert wird",
    asJson: "Dasselbe als JSON",

    guideTitle: "{client} bei {domain}",
    guideFor: "So richten Sie {client} ({platforms}) für ein Konto bei {domain} ein.",
    labelsOf: "Menüs und Felder heißen hier wie in Version {version}.",
    tested: "getestet mit {version} am {date}",
    untested: "nicht getestet",
    steps: "Schritte",
    encryption: "Wenn die Verschlüsselung anders heißt",
    encryptionNotes: [
      "Manche Programme verstecken die Einstellung. Lassen Sie sie, wie sie ist: Dieser Server nimmt kein Passwort ohne Verschlüsselung an.",
      "Manche fragen umgekehrt, etwa „Klartext erlauben“ oder „unverschlüsseltes Passwort erlauben“: Lassen Sie das ausgeschaltet.",
      "Bei „falls verfügbar“ kann jeder auf dem Weg die Verschlüsselung abschalten: Wählen Sie „erforderlich“.",
      "Manche wechseln zum Port {tlsPort}, wenn „SSL“ oder „altes SSL“ eingeschaltet ist. Auch das geht: Beide Ports nehmen beide Arten an.",
    ],
    guideListTitle: "Anleitungen für {domain}",
    programs: "Was die Programme können",
    program: "Programm",
    lastTest: "Hier getestet",
    never: "nicht getestet",
    abilities: { yes: "ja", plugin: "mit Plug-in", no: "nein" },
    columns: {
      otr: "OTR",
      omemo: "OMEMO",
      jingle: "Jingle",
      proxy: "Proxy",
      tls: "TLS",
      tor: "Tor",
      muc: "Räume (MUC)",
    },
    columnNotes:
      "OTR und OMEMO verschlüsseln von Person zu Person. Jingle: Anrufe oder Dateien zwischen zwei Programmen. Proxy: verbindet sich über einen SOCKS5-Proxy.",
  },
};

/** Every text of a language, set as it is there. */
function set<T>(value: T, language: Language): T {
  if (typeof value === "string") return typeset(value, language) as T;
  if (Array.isArray(value)) return value.map((each) => set<unknown>(each, language)) as T;
  const entries = Object.entries(value as object).map(([key, each]) => [key, set<unknown>(each, language)]);
  return Object.fromEntries(entries) as T;
}

export const words: typeof written = { en: written.en, fr: set(written.fr, "fr"), de: written.de };

/** `5 MB` in the spelling of the language; powers of 1000, as file managers count. */
export function sizeText(bytes: number, language: Language): string {
  const units = language === "fr" ? ["o", "ko", "Mo", "Go", "To"] : ["bytes", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  const rounded = value.toLocaleString(language, { maximumFractionDigits: value < 10 ? 1 : 0 });
  return `${rounded} ${units[unit]}`;
}

export function dateText(iso: string, language: Language): string {
  return new Date(iso).toLocaleDateString(language === "en" ? "en-GB" : language, {
    dateStyle: "long",
    timeZone: "UTC",
  });
}
