import type { Guide } from "./guide.ts";

export const pidgin: Guide = {
  client: "pidgin",
  name: "Pidgin",
  platforms: "Linux, Windows",
  labelsOf: "2.14",
  home: "https://pidgin.im",
  features: { otr: "plugin", omemo: "plugin", jingle: "yes", proxy: "yes", tls: "yes", tor: "yes", muc: "yes" },
  labels: {
    accounts: { en: "Accounts", fr: "Comptes", de: "Konten" },
    manage: { en: "Manage Accounts", fr: "Gérer les comptes", de: "Konten verwalten" },
    add: { en: "Add...", fr: "Ajouter...", de: "Hinzufügen…" },
    basic: { en: "Basic", fr: "Essentiel", de: "Einfach" },
    protocol: { en: "Protocol", fr: "Protocole", de: "Protokoll" },
    username: { en: "Username", fr: "Utilisateur", de: "Benutzer" },
    domain: { en: "Domain", fr: "Domaine", de: "Domain" },
    resource: { en: "Resource", fr: "Ressource", de: "Ressource" },
    password: { en: "Password", fr: "Mot de passe", de: "Passwort" },
    alias: { en: "Local alias", fr: "Alias local", de: "Lokales Pseudonym" },
    advanced: { en: "Advanced", fr: "Avancé", de: "Erweitert" },
    security: { en: "Connection security", fr: "Sécurité de la connexion", de: "Verbindungssicherheit" },
    required: { en: "Require encryption", fr: "Nécessite chiffrement", de: "Verschlüsselung erforderlich" },
    port: { en: "Connect port", fr: "Port de connexion", de: "Verbindungsport" },
    server: { en: "Connect server", fr: "Serveur de connexion", de: "Verbindungsserver" },
    proxies: {
      en: "File transfer proxies",
      fr: "Proxy pour le transfert de fichiers",
      de: "Proxys für Dateiübertragungen",
    },
    save: { en: "Add", fr: "Ajouter", de: "Hinzufügen" },
    accept: { en: "Accept", fr: "Accepter", de: "Akzeptieren" },
    buddies: { en: "Buddies", fr: "Contacts", de: "Kontakte" },
    addChat: { en: "Add Chat...", fr: "Ajouter une discussion...", de: "Chat hinzufügen…" },
    room: { en: "Room", fr: "Salon", de: "Raum" },
    roomServer: { en: "Server", fr: "Serveur", de: "Server" },
    handle: { en: "Handle", fr: "Identifiant", de: "Kürzel" },
    proxy: { en: "Proxy", fr: "Proxy", de: "Proxy" },
    tor: { en: "Tor/Privacy (SOCKS5)", fr: "Tor/Privacy (SOCKS5)", de: "Tor/Privatsphäre (SOCKS5)" },
  },
  steps: [
    {
      id: "open",
      provenBy: "login",
      text: {
        en: "Choose [accounts] > [manage], then [add]. Without an account this window opens by itself.",
        fr: "Choisissez [accounts] > [manage], puis [add]. Sans compte configuré, cette fenêtre s’ouvre d’elle-même.",
        de: "Wählen Sie [accounts] > [manage], dann [add]. Ohne Konto öffnet sich dieses Fenster von selbst.",
      },
    },
    {
      id: "basic",
      provenBy: "login",
      text: {
        en: "On the tab [basic], choose XMPP as [protocol].",
        fr: "Dans l’onglet [basic], choisissez XMPP comme [protocol].",
        de: "Wählen Sie auf dem Reiter [basic] als [protocol] XMPP.",
      },
    },
    {
      id: "address",
      provenBy: "login",
      text: {
        en: "As [username], type only the first part of your address, {name}, without the domain; as [domain], {domain}. [resource] may stay empty.",
        fr: "Dans [username], saisissez seulement la première partie de votre adresse, {name}, sans le domaine ; dans [domain], {domain}. [resource] peut rester vide.",
        de: "Bei [username] geben Sie nur den ersten Teil Ihrer Adresse ein, {name}, ohne die Domain; bei [domain] {domain}. [resource] kann leer bleiben.",
      },
    },
    {
      id: "password",
      provenBy: "login",
      text: {
        en: "Type your [password]. The [alias] is shown to you alone.",
        fr: "Saisissez votre [password]. L’[alias] n’est visible que par vous.",
        de: "Geben Sie Ihr [password] ein. Ihr [alias] sehen nur Sie selbst.",
      },
    },
    {
      id: "encryption",
      provenBy: "login",
      text: {
        en: "On the tab [advanced], leave [security] at “[required]” and [port] at {port}.",
        fr: "Dans l’onglet [advanced], laissez [security] sur « [required] » et [port] sur {port}.",
        de: "Lassen Sie auf dem Reiter [advanced] die [security] auf „[required]“ und den [port] auf {port}.",
      },
    },
    {
      id: "host",
      when: "typeHost",
      provenBy: "host",
      text: {
        en: "As [server], type {host}.",
        fr: "Dans [server], saisissez {host}.",
        de: "Geben Sie als [server] {host} ein.",
      },
    },
    {
      id: "file-proxy",
      when: "fileProxy",
      provenBy: "proxy",
      text: {
        en: "As [proxies], type {fileProxy}; files then arrive although a firewall lies between you.",
        fr: "Dans [proxies], saisissez {fileProxy} ; les fichiers passent alors même si un pare-feu vous sépare.",
        de: "Geben Sie bei [proxies] {fileProxy} ein; Dateien kommen dann auch an, wenn eine Firewall dazwischenliegt.",
      },
    },
    {
      id: "add",
      provenBy: "login",
      text: {
        en: "Confirm with [save]. Your contacts appear by themselves.",
        fr: "Validez avec [save]. Vos contacts apparaissent d’eux-mêmes.",
        de: "Bestätigen Sie mit [save]. Ihre Kontakte erscheinen von selbst.",
      },
    },
    {
      id: "certificate",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "Pidgin asks whether to accept the certificate. Compare the fingerprint with the page {certificates}, then choose [accept]; it asks only once.",
        fr: "Pidgin demande s’il faut accepter le certificat. Comparez l’empreinte avec la page {certificates}, puis choisissez [accept] ; la question n’est posée qu’une fois.",
        de: "Pidgin fragt, ob Sie das Zertifikat annehmen. Vergleichen Sie den Fingerabdruck mit der Seite {certificates} und wählen Sie dann [accept]; gefragt wird nur einmal.",
      },
    },
    {
      id: "rooms",
      when: "rooms",
      provenBy: "room",
      text: {
        en: "To keep a room, choose [buddies] > [addChat]: [room] is its name, [roomServer] is {rooms}, [handle] is the name you want to be seen by.",
        fr: "Pour garder un salon, choisissez [buddies] > [addChat] : [room] est son nom, [roomServer] est {rooms}, [handle] est le nom sous lequel vous y apparaissez.",
        de: "Um einen Raum zu behalten, wählen Sie [buddies] > [addChat]: [room] ist sein Name, [roomServer] ist {rooms}, [handle] der Name, unter dem man Sie dort sieht.",
      },
    },
    {
      id: "tor",
      when: "onion",
      provenBy: "tor",
      text: {
        en: "To come through Tor: on the tab [proxy], choose “[tor]”, host 127.0.0.1, port 9050; on the tab [advanced], type {onion} as [server]. The certificate is still checked for {domain}.",
        fr: "Pour passer par Tor : dans l’onglet [proxy], choisissez « [tor] », hôte 127.0.0.1, port 9050 ; dans l’onglet [advanced], saisissez {onion} dans [server]. Le certificat reste vérifié pour {domain}.",
        de: "Über Tor: Wählen Sie auf dem Reiter [proxy] „[tor]“, Host 127.0.0.1, Port 9050; auf dem Reiter [advanced] geben Sie als [server] {onion} ein. Das Zertifikat wird weiterhin für {domain} geprüft.",
      },
    },
  ],
};
