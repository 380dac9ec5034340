import type { Guide } from "./guide.ts";

export const converse: Guide = {
  client: "converse",
  name: "Converse.js",
  platforms: "Web",
  labelsOf: "14",
  home: "https://conversejs.org",
  features: { otr: "no", omemo: "yes", jingle: "no", proxy: "yes", tls: "yes", tor: "yes", muc: "yes" },
  labels: {
    address: { en: "XMPP Address", fr: "Adresse XMPP", de: "XMPP-Adresse" },
    password: { en: "Password", fr: "Mot de passe", de: "Passwort" },
    logIn: { en: "Log in", fr: "Se connecter", de: "Anmelden" },
    enter: { en: "Enter groupchat", fr: "Entrer dans le salon", de: "Gruppenchat beitreten" },
  },
  steps: [
    {
      id: "open",
      when: "webChat",
      provenBy: "login",
      text: {
        en: "Open {chat} in your browser.",
        fr: "Ouvrez {chat} dans votre navigateur.",
        de: "Öffnen Sie {chat} in Ihrem Browser.",
      },
    },
    {
      id: "own",
      when: "noWebChat",
      provenBy: "host",
      text: {
        en: "A Converse.js on a page of your own needs the addresses {websocket} (websocket_url) and {bosh} (bosh_service_url).",
        fr: "Un Converse.js placé sur votre propre page a besoin des adresses {websocket} (websocket_url) et {bosh} (bosh_service_url).",
        de: "Ein Converse.js auf einer eigenen Seite braucht die Adressen {websocket} (websocket_url) und {bosh} (bosh_service_url).",
      },
    },
    {
      id: "address",
      provenBy: "login",
      text: {
        en: "As [address], type {address}; then your [password], then [logIn].",
        fr: "Dans [address], saisissez {address} ; puis votre [password], puis [logIn].",
        de: "Geben Sie bei [address] {address} ein, dann Ihr [password], dann [logIn].",
      },
    },
    {
      id: "certificate",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "Your browser warns of the certificate beforehand. Compare its fingerprint with the page {certificates}, over a connection that you trust, before you go on.",
        fr: "Votre navigateur vous met d’abord en garde contre le certificat. Avant de continuer, comparez son empreinte avec la page {certificates}, par une connexion de confiance.",
        de: "Ihr Browser warnt vorher vor dem Zertifikat. Vergleichen Sie seinen Fingerabdruck mit der Seite {certificates}, über eine Verbindung, der Sie vertrauen, bevor Sie fortfahren.",
      },
    },
    {
      id: "rooms",
      when: "rooms",
      provenBy: "room",
      text: {
        en: "“[enter]” leads into a room; its address is room@{rooms}.",
        fr: "« [enter] » mène dans un salon ; son adresse est room@{rooms}.",
        de: "„[enter]“ führt in einen Raum; seine Adresse ist room@{rooms}.",
      },
    },
  ],
};
