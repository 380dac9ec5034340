import type { Guide } from "./guide.ts";

export const thunderbird: Guide = {
  client: "thunderbird",
  name: "Thunderbird",
  platforms: "Linux, Windows, macOS",
  labelsOf: "153",
  home: "https://www.thunderbird.net",
  features: { otr: "yes", omemo: "no", jingle: "no", proxy: "yes", tls: "yes", tor: "yes", muc: "yes" },
  labels: {
    tools: { en: "Tools", fr: "Outils", de: "Extras" },
    status: { en: "Chat status", fr: "État de messagerie instantanée", de: "Chat-Status" },
    show: { en: "Show Accounts…", fr: "Afficher les comptes…", de: "Konten anzeigen…" },
    add: { en: "Add Account", fr: "Ajouter un compte", de: "Konto hinzufügen" },
    next: { en: "Next", fr: "Suivant", de: "Weiter" },
    finish: { en: "Finish", fr: "Terminer", de: "Fertig" },
    username: { en: "Username", fr: "Nom d’utilisateur", de: "Benutzername" },
    domain: { en: "Domain", fr: "Domaine", de: "Domain" },
    password: { en: "Password", fr: "Mot de passe", de: "Passwort" },
    alias: { en: "Local Alias", fr: "Alias local", de: "Lokaler Anzeigename" },
    options: { en: "XMPP Options", fr: "Options XMPP", de: "XMPP-Optionen" },
    resource: { en: "Resource", fr: "Ressource", de: "Quelle" },
    priority: { en: "Priority", fr: "Priorité", de: "Priorität" },
    security: { en: "Connection security", fr: "Sécurité de la connexion", de: "Verbindungssicherheit" },
    required: {
      en: "Require encryption",
      fr: "Nécessite un chiffrement",
      de: "Immer Verschlüsselung verwenden",
    },
    server: { en: "Server", fr: "Serveur", de: "Server" },
    port: { en: "Port", fr: "Port", de: "Port" },
    now: {
      en: "Connect this account now.",
      fr: "Se connecter à ce compte maintenant.",
      de: "Dieses Konto jetzt verbinden.",
    },
    connect: { en: "Connect", fr: "Connecter", de: "Verbinden" },
    exception: { en: "Add Exception", fr: "Ajouter une exception", de: "Ausnahme hinzufügen" },
    joinChat: { en: "Join Chat…", fr: "Rejoindre la discussion…", de: "Chat beitreten…" },
  },
  steps: [
    {
      id: "open",
      provenBy: "login",
      text: {
        en: "Choose [tools] > [status] > [show], then [add]. Without a chat account the assistant opens by itself.",
        fr: "Choisissez [tools] > [status] > [show], puis [add]. Sans compte de messagerie instantanée, l’assistant s’ouvre de lui-même.",
        de: "Wählen Sie [tools] > [status] > [show], dann [add]. Ohne Chat-Konto öffnet sich der Assistent von selbst.",
      },
    },
    {
      id: "network",
      provenBy: "login",
      text: {
        en: "Choose XMPP, then [next].",
        fr: "Choisissez XMPP, puis [next].",
        de: "Wählen Sie XMPP, dann [next].",
      },
    },
    {
      id: "address",
      provenBy: "login",
      text: {
        en: "As [username], type {name}, and as [domain], {domain}. The whole address in the first field, {address}, is split by itself.",
        fr: "Dans [username], saisissez {name}, et dans [domain], {domain}. L’adresse complète saisie dans le premier champ, {address}, est répartie d’elle-même.",
        de: "Geben Sie bei [username] {name} und bei [domain] {domain} ein. Steht im ersten Feld die ganze Adresse, {address}, wird sie von selbst aufgeteilt.",
      },
    },
    {
      id: "password",
      provenBy: "login",
      text: {
        en: "Type your [password]. On the next page the [alias] may stay empty; it is shown to you alone.",
        fr: "Saisissez votre [password]. À la page suivante, l’[alias] peut rester vide ; il n’est visible que par vous.",
        de: "Geben Sie Ihr [password] ein. Das Feld [alias] auf der nächsten Seite kann leer bleiben; nur Sie selbst sehen diesen Namen.",
      },
    },
    {
      id: "options",
      provenBy: "login",
      text: {
        en: "Under [options], leave [security] at “[required]” and [port] at {port}. [resource] and [priority] may stay as they are.",
        fr: "Sous [options], laissez [security] sur « [required] » et [port] sur {port}. [resource] et [priority] peuvent rester tels quels.",
        de: "Lassen Sie unter [options] die [security] auf „[required]“ und den [port] auf {port}. [resource] und [priority] können bleiben, wie sie sind.",
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
      id: "connect-later",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "Untick “[now]” before [finish]: Thunderbird only asks about the certificate while the list of accounts is open.",
        fr: "Décochez « [now] » avant [finish] : Thunderbird ne pose la question du certificat que si la liste des comptes est ouverte.",
        de: "Entfernen Sie das Häkchen bei „[now]“, bevor Sie auf [finish] klicken: Thunderbird fragt nur nach dem Zertifikat, wenn die Liste der Konten offen ist.",
      },
    },
    {
      id: "certificate",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "Then choose [connect] in the list of accounts, and [exception]. Compare the fingerprint with the page {certificates} before you confirm.",
        fr: "Choisissez ensuite [connect] dans la liste des comptes, puis [exception]. Avant de confirmer, comparez l’empreinte avec la page {certificates}.",
        de: "Wählen Sie danach in der Liste der Konten [connect] und dann [exception]. Vergleichen Sie den Fingerabdruck mit der Seite {certificates}, bevor Sie bestätigen.",
      },
    },
    {
      id: "finish",
      when: "trusted",
      provenBy: "login",
      text: {
        en: "Confirm with [finish]. Your contacts appear by themselves.",
        fr: "Validez avec [finish]. Vos contacts apparaissent d’eux-mêmes.",
        de: "Bestätigen Sie mit [finish]. Ihre Kontakte erscheinen von selbst.",
      },
    },
    {
      id: "rooms",
      when: "rooms",
      provenBy: "room",
      text: {
        en: "To enter a room, choose [joinChat] on the chat tab and type its name and, as the server, {rooms}.",
        fr: "Pour entrer dans un salon, choisissez [joinChat] dans l’onglet de messagerie instantanée, puis saisissez son nom et, comme serveur, {rooms}.",
        de: "Um einen Raum zu betreten, wählen Sie im Chat-Tab [joinChat] und geben seinen Namen und als Server {rooms} ein.",
      },
    },
  ],
};
