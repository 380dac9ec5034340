import type { Guide } from "./guide.ts";

export const gajim: Guide = {
  client: "gajim",
  name: "Gajim",
  platforms: "Linux, Windows, macOS",
  labelsOf: "1.7",
  home: "https://gajim.org",
  features: { otr: "no", omemo: "plugin", jingle: "yes", proxy: "yes", tls: "yes", tor: "yes", muc: "yes" },
  labels: {
    accounts: { en: "Accounts", fr: "Comptes", de: "Konten" },
    add: { en: "Add Account…", fr: "Ajouter un compte…", de: "Konto hinzufügen…" },
    advanced: { en: "Advanced Settings", fr: "Paramètres avancés", de: "Erweiterte Einstellungen" },
    logIn: { en: "Log In", fr: "Se connecter", de: "Einloggen" },
    hostname: { en: "Hostname", fr: "Nom d'Hôte", de: "Hostname" },
    port: { en: "Port", fr: "Port", de: "Port" },
    type: { en: "Type", fr: "Type", de: "Typ" },
    failed: {
      en: "Certificate Verification Failed",
      fr: "La vérification du certificat a échoué",
      de: "Zertifikatsprüfung fehlgeschlagen",
    },
    trust: {
      en: "Add to Trusted Certificates",
      fr: "Ajouter aux certificats de confiance",
      de: "Zu der Liste vertrauenswürdiger Zertifikate hinzufügen",
    },
    signUp: { en: "Sign Up", fr: "S'inscrire", de: "Registrieren" },
    proxy: { en: "Proxy", fr: "Serveur mandataire", de: "Proxy" },
    startChat: { en: "Start Chat…", fr: "Commencer une discussion…", de: "Chat starten…" },
    join: { en: "Join", fr: "Rejoindre", de: "Beitreten" },
  },
  steps: [
    {
      id: "open",
      provenBy: "login",
      text: {
        en: "Start Gajim. Without an account it opens the assistant by itself; otherwise choose [accounts] > [add].",
        fr: "Démarrez Gajim. Sans compte configuré, l’assistant s’ouvre de lui-même ; sinon, choisissez [accounts] > [add].",
        de: "Starten Sie Gajim. Ohne Konto öffnet sich der Assistent von selbst; sonst wählen Sie [accounts] > [add].",
      },
    },
    {
      id: "address",
      provenBy: "login",
      text: {
        en: "In the first field, type your address, {address}; below it, your password.",
        fr: "Dans le premier champ, saisissez votre adresse, {address} ; au-dessous, votre mot de passe.",
        de: "Geben Sie im ersten Feld Ihre Adresse {address} ein, darunter Ihr Passwort.",
      },
    },
    {
      id: "host",
      when: "typeHost",
      provenBy: "host",
      text: {
        en: "Tick [advanced]. After [logIn], type {host} as [hostname] and {port} as [port], and choose START TLS as [type].",
        fr: "Cochez [advanced]. Après [logIn], saisissez {host} dans [hostname] et {port} dans [port], puis choisissez START TLS comme [type].",
        de: "Kreuzen Sie [advanced] an. Nach [logIn] geben Sie bei [hostname] {host} und bei [port] {port} ein und wählen als [type] START TLS.",
      },
    },
    {
      id: "log-in",
      provenBy: "login",
      text: {
        en: "Confirm with [logIn]. Your contacts appear by themselves.",
        fr: "Validez avec [logIn]. Vos contacts apparaissent d’eux-mêmes.",
        de: "Bestätigen Sie mit [logIn]. Ihre Kontakte erscheinen von selbst.",
      },
    },
    {
      id: "certificate",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "Gajim reports “[failed]”. Compare the fingerprint with the page {certificates}, tick [trust], and confirm with [logIn].",
        fr: "Gajim signale « [failed] ». Comparez l’empreinte avec la page {certificates}, cochez [trust], puis validez avec [logIn].",
        de: "Gajim meldet „[failed]“. Vergleichen Sie den Fingerabdruck mit der Seite {certificates}, kreuzen Sie [trust] an und bestätigen Sie mit [logIn].",
      },
    },
    {
      id: "register",
      when: "registration",
      provenBy: "register",
      text: {
        en: "If you have no account yet, choose [signUp] in the assistant and type {domain} as the server.",
        fr: "Si vous n’avez pas encore de compte, choisissez [signUp] dans l’assistant et saisissez {domain} comme serveur.",
        de: "Falls Sie noch kein Konto haben, wählen Sie im Assistenten [signUp] und geben als Server {domain} ein.",
      },
    },
    {
      id: "rooms",
      when: "rooms",
      provenBy: "room",
      text: {
        en: "To enter a room, choose [startChat], type its address (room@{rooms}), and confirm with [join].",
        fr: "Pour entrer dans un salon, choisissez [startChat], saisissez son adresse (room@{rooms}), puis validez avec [join].",
        de: "Um einen Raum zu betreten, wählen Sie [startChat], geben seine Adresse ein (room@{rooms}) und bestätigen mit [join].",
      },
    },
    {
      id: "tor",
      when: "onion",
      provenBy: "tor",
      text: {
        en: "To come through Tor: tick [advanced], choose Tor as [proxy], and type {onion} as [hostname] and {port} as [port]. The certificate is still checked for {domain}.",
        fr: "Pour passer par Tor : cochez [advanced], choisissez Tor comme [proxy], puis saisissez {onion} dans [hostname] et {port} dans [port]. Le certificat reste vérifié pour {domain}.",
        de: "Über Tor: Kreuzen Sie [advanced] an, wählen Sie als [proxy] Tor und geben Sie bei [hostname] {onion} und bei [port] {port} ein. Das Zertifikat wird weiterhin für {domain} geprüft.",
      },
    },
  ],
};
