import type { Guide } from "./guide.ts";

export const spark: Guide = {
  client: "spark",
  name: "Spark",
  platforms: "Linux, Windows, macOS",
  labelsOf: "3.0",
  home: "https://www.igniterealtime.org/projects/spark/",
  features: { otr: "plugin", omemo: "no", jingle: "plugin", proxy: "yes", tls: "yes", tor: "yes", muc: "yes" },
  labels: {
    username: { en: "Username", fr: "Nom d'utilisateur", de: "Benutzername" },
    domain: { en: "Domain", fr: "Serveur", de: "Domain" },
    password: { en: "Password", fr: "Mot de Passe", de: "Passwort" },
    advanced: { en: "Advanced", fr: "Avancé", de: "Erweitert" },
    general: { en: "General", fr: "Général", de: "Allgemein" },
    discover: {
      en: "Automatically discover host and port",
      fr: "Détecter automatiquement l'hôte et le port",
      de: "Host und Port automatisch bestimmen",
    },
    host: { en: "Host", fr: "Hôte", de: "Host" },
    port: { en: "Port", fr: "Port", de: "Port" },
    security: { en: "Security", fr: "Securité", de: "Sicherheit" },
    required: { en: "Required", fr: "Requis", de: "Pflichtfach" },
    directTls: {
      en: "Use Direct TLS method",
      fr: "Utiliser l'ancienne méthode SSL",
      de: "ALTE SSL-Port-Methode verwenden",
    },
    certificates: { en: "Certificates", fr: "Certificats", de: "Zertifikate" },
    selfSigned: { en: "Accept self-signed", fr: "Accepter l'auto-signature", de: "Selbstsigniert akzeptieren" },
    login: { en: "Login", fr: "Connexion", de: "Anmelden" },
    conference: { en: "Start a conference…", fr: "Commencer une Conférence", de: "Eine Konferenz starten…" },
  },
  steps: [
    {
      id: "address",
      provenBy: "login",
      text: {
        en: "As [username], type what stands to the left of the @, {name}; as [domain], what stands to the right, {domain}; then your [password].",
        fr: "Dans [username], saisissez ce qui précède le @, {name} ; dans [domain], ce qui le suit, {domain} ; puis votre [password].",
        de: "Geben Sie bei [username] ein, was links vom @ steht, {name}, bei [domain], was rechts davon steht, {domain}, und dann Ihr [password].",
      },
    },
    {
      id: "host",
      when: "typeHost",
      provenBy: "host",
      text: {
        en: "Choose [advanced]. On the tab [general], untick “[discover]” and type {host} as [host] and {port} as [port].",
        fr: "Choisissez [advanced]. Dans l’onglet [general], décochez « [discover] », puis saisissez {host} dans [host] et {port} dans [port].",
        de: "Wählen Sie [advanced]. Entfernen Sie auf dem Reiter [general] das Häkchen bei „[discover]“ und geben Sie bei [host] {host} und bei [port] {port} ein.",
      },
    },
    {
      id: "encryption",
      provenBy: "login",
      text: {
        en: "Under [advanced] > [security], choose “[required]”. Leave “[directTls]” unticked; with it, the port is {tlsPort}.",
        fr: "Sous [advanced] > [security], choisissez « [required] ». Ne cochez pas « [directTls] » ; avec cette option, le port est {tlsPort}.",
        de: "Wählen Sie unter [advanced] > [security] die Möglichkeit „[required]“. Lassen Sie „[directTls]“ ohne Häkchen; damit wäre der Port {tlsPort}.",
      },
    },
    {
      id: "certificate",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "Under [advanced] > [certificates], tick “[selfSigned]”, and compare the fingerprint with the page {certificates}.",
        fr: "Sous [advanced] > [certificates], cochez « [selfSigned] », et comparez l’empreinte avec la page {certificates}.",
        de: "Kreuzen Sie unter [advanced] > [certificates] „[selfSigned]“ an und vergleichen Sie den Fingerabdruck mit der Seite {certificates}.",
      },
    },
    {
      id: "log-in",
      provenBy: "login",
      text: {
        en: "Confirm with [login]. Groups and contacts of your organisation appear by themselves.",
        fr: "Validez avec [login]. Les groupes et contacts de votre organisation apparaissent d’eux-mêmes.",
        de: "Bestätigen Sie mit [login]. Gruppen und Kontakte Ihrer Organisation erscheinen von selbst.",
      },
    },
    {
      id: "rooms",
      when: "rooms",
      provenBy: "room",
      text: {
        en: "Rooms are at {rooms}; “[conference]” opens one.",
        fr: "Les salons se trouvent sur {rooms} ; « [conference] » en ouvre un.",
        de: "Räume finden Sie unter {rooms}; „[conference]“ öffnet einen.",
      },
    },
  ],
};
