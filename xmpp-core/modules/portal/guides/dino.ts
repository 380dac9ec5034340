import type { Guide } from "./guide.ts";

export const dino: Guide = {
  client: "dino",
  name: "Dino",
  platforms: "Linux",
  labelsOf: "0.4",
  home: "https://dino.im",
  features: { otr: "no", omemo: "yes", jingle: "yes", proxy: "no", tls: "yes", tor: "no", muc: "yes" },
  labels: {
    setUp: { en: "Set up account", fr: "Configurer un compte", de: "Konto einrichten" },
    accounts: { en: "Accounts", fr: "Comptes", de: "Konten" },
    addAccount: { en: "Add Account", fr: "Ajouter un compte", de: "Konto hinzufügen" },
    next: { en: "Next", fr: "Suivant", de: "Weiter" },
    password: { en: "Password", fr: "Mot de passe", de: "Passwort" },
    finish: { en: "Finish", fr: "Terminer", de: "Fertig" },
    refused: {
      en: "Could not establish a secure connection",
      fr: "Impossible d’établir une connexion sécurisée",
      de: "Es konnte keine sichere Verbindung hergestellt werden",
    },
    join: { en: "Join Channel", fr: "Rejoindre un salon", de: "Kanal beitreten" },
  },
  steps: [
    {
      id: "open",
      provenBy: "login",
      text: {
        en: "Start Dino and choose [setUp]. If it has an account already: [accounts], then [addAccount].",
        fr: "Démarrez Dino et choisissez [setUp]. S’il a déjà un compte : [accounts], puis [addAccount].",
        de: "Starten Sie Dino und wählen Sie [setUp]. Hat es schon ein Konto: [accounts], dann [addAccount].",
      },
    },
    {
      id: "address",
      provenBy: "login",
      text: {
        en: "Type your address, {address}, then [next].",
        fr: "Saisissez votre adresse, {address}, puis [next].",
        de: "Geben Sie Ihre Adresse {address} ein, dann [next].",
      },
    },
    {
      id: "password",
      provenBy: "login",
      text: {
        en: "Type your [password], then [next] and [finish].",
        fr: "Saisissez votre [password], puis [next] et [finish].",
        de: "Geben Sie Ihr [password] ein, dann [next] und [finish].",
      },
    },
    {
      id: "host",
      when: "typeHost",
      provenBy: "host",
      text: {
        en: "Dino cannot be told a server: it only finds this one if the DNS records of {domain} lead to {host}, port {port}. Ask your administrator, or use another program.",
        fr: "Dino ne permet pas d’indiquer un serveur : il ne trouve celui-ci que si le DNS de {domain} mène à {host}, port {port}. Adressez-vous à votre administrateur ou utilisez un autre logiciel.",
        de: "In Dino lässt sich kein Server angeben: Es findet diesen nur, wenn die DNS-Einträge von {domain} zu {host}, Port {port} führen. Fragen Sie Ihre Administration oder nehmen Sie ein anderes Programm.",
      },
    },
    {
      id: "certificate",
      when: "selfSigned",
      provenBy: "certificate",
      text: {
        en: "This server’s certificate is self-signed, and Dino says “[refused]”: your system must trust the certificate first. Its fingerprint is on the page {certificates}.",
        fr: "Le certificat de ce serveur est autosigné et Dino annonce « [refused] » : votre système doit d’abord faire confiance au certificat. Son empreinte figure sur la page {certificates}.",
        de: "Das Zertifikat dieses Servers ist selbstsigniert, und Dino meldet „[refused]“: Erst muss Ihr System dem Zertifikat vertrauen. Sein Fingerabdruck steht auf der Seite {certificates}.",
      },
    },
    {
      id: "rooms",
      when: "rooms",
      provenBy: "room",
      text: {
        en: "To enter a room, choose + and [join]; its address is room@{rooms}.",
        fr: "Pour entrer dans un salon, choisissez + puis [join] ; son adresse est room@{rooms}.",
        de: "Um einen Raum zu betreten, wählen Sie + und [join]; seine Adresse ist room@{rooms}.",
      },
    },
  ],
};
