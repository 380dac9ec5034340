import type { Guide } from "./guide.ts";

export const conversations: Guide = {
  client: "conversations",
  name: "Conversations",
  platforms: "Android",
  labelsOf: "2.19",
  home: "https://conversations.im",
  features: { otr: "no", omemo: "yes", jingle: "yes", proxy: "no", tls: "yes", tor: "yes", muc: "yes" },
  labels: {
    have: { en: "I already have an account", fr: "J'ai déjà un compte", de: "Ich habe bereits ein Konto" },
    manage: { en: "Manage accounts", fr: "Gérer les comptes", de: "Konten verwalten" },
    add: { en: "Add account", fr: "Ajouter un compte", de: "Konto hinzufügen" },
    address: { en: "XMPP address", fr: "Adresse XMPP", de: "XMPP-Adresse" },
    password: { en: "Password", fr: "Mot de passe", de: "Passwort" },
    next: { en: "Next", fr: "Suivant", de: "Weiter" },
    settings: { en: "Settings", fr: "Paramètres", de: "Einstellungen" },
    connection: { en: "Connection", fr: "Connexion", de: "Verbindung" },
    extended: { en: "Hostname & Port", fr: "Nom d'hôte et port", de: "Hostname & Port" },
    hostname: { en: "Hostname", fr: "Nom d'hôte", de: "Hostname" },
    port: { en: "Port", fr: "Port", de: "Port" },
    unknown: {
      en: "Accept Unknown Certificate?",
      fr: "Accepter les certificats inconnus ?",
      de: "Unbekanntes Zertifikat akzeptieren?",
    },
    always: { en: "Always", fr: "Toujours", de: "Immer" },
    tor: { en: "Connect via Tor", fr: "Connexion via Tor", de: "Über Tor verbinden" },
  },
  steps: [
    {
      id: "open",
      provenBy: "login",
      text: {
        en: "Start the app and choose “[have]”. If it has an account already: [manage], then [add].",
        fr: "Démarrez l’application et choisissez « [have] ». Si elle a déjà un compte : [manage], puis [add].",
        de: "Starten Sie die App und wählen Sie „[have]“. Hat sie schon ein Konto: [manage], dann [add].",
      },
    },
    {
      id: "address",
      provenBy: "login",
      text: {
        en: "As [address], type {address}; then your [password], then [next].",
        fr: "Dans [address], saisissez {address} ; puis votre [password], puis [next].",
        de: "Geben Sie bei [address] {address} ein, dann Ihr [password], dann [next].",
      },
    },
    {
      id: "host",
      when: "typeHost",
      provenBy: "host",
      text: {
        en: "If the server is not found: switch on [settings] > [connection] > [extended], go back, and type {host} as [hostname] and {port} as [port].",
        fr: "Si le serveur est introuvable : activez [settings] > [connection] > [extended], revenez en arrière, puis saisissez {host} dans [hostname] et {port} dans [port].",
        de: "Wird der Server nicht gefunden: Schalten Sie [settings] > [connection] > [extended] ein, gehen Sie zurück und geben Sie bei [hostname] {host} und bei [port] {port} ein.",
      },
    },
    {
      id: "certificate",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "The app asks “[unknown]”. Compare the fingerprint with the page {certificates}, then choose [always].",
        fr: "L’application demande « [unknown] ». Comparez l’empreinte avec la page {certificates}, puis choisissez [always].",
        de: "Die App fragt „[unknown]“. Vergleichen Sie den Fingerabdruck mit der Seite {certificates} und wählen Sie dann [always].",
      },
    },
    {
      id: "rooms",
      when: "rooms",
      provenBy: "room",
      text: {
        en: "Rooms have addresses such as room@{rooms}.",
        fr: "Les salons ont des adresses de la forme room@{rooms}.",
        de: "Räume haben Adressen wie room@{rooms}.",
      },
    },
    {
      id: "tor",
      when: "onion",
      provenBy: "tor",
      text: {
        en: "To come through Tor, switch on [settings] > [connection] > [tor] (Orbot is needed) and type {onion} as [hostname]. The certificate is still checked for {domain}.",
        fr: "Pour passer par Tor, activez [settings] > [connection] > [tor] (Orbot est nécessaire), puis saisissez {onion} dans [hostname]. Le certificat reste vérifié pour {domain}.",
        de: "Über Tor: Schalten Sie [settings] > [connection] > [tor] ein (Orbot wird gebraucht) und geben Sie bei [hostname] {onion} ein. Das Zertifikat wird weiterhin für {domain} geprüft.",
      },
    },
  ],
};
