import type { IncomingHttpHeaders } from "node:http";
import { languageOf, type Text } from "../../formats/language.ts";
import { text, x } from "../../xml/writer.ts";
import { plainAnswer, type WebAnswer } from "../web-points.ts";

/** What people read when a file is not to be had or not taken: in their language, or as JSON for programs. */

interface Page {
  readonly status: number;
  readonly code: string;
  readonly title: Text;
  readonly says: Text;
}

/** There is none, or none any more; the answer is the same for both. `days`: 0 is for ever. */
export function gonePage(headers: IncomingHttpHeaders, days: number): WebAnswer {
  return page(
    headers,
    {
      status: 404,
      code: "upload/gone",
      title: { en: "This file is not here", fr: "Ce fichier n’est pas ici", de: "Diese Datei ist nicht hier" },
      says:
        days === 0
          ? {
              en: "It was deleted, or the address is incomplete. Ask who sent it to send it again.",
              fr: "Il a été supprimé, ou l’adresse est incomplète. Demandez à l’expéditeur de l’envoyer à nouveau.",
              de: "Sie wurde gelöscht, oder die Adresse ist unvollständig. Bitten Sie den Absender, sie noch einmal zu schicken.",
            }
          : {
              en: `Files are deleted here after ${days} ${days === 1 ? "day" : "days"}. Ask who sent it to send it again.`,
              fr: `Les fichiers sont supprimés ici après ${days} ${days === 1 ? "jour" : "jours"}. Demandez à l’expéditeur de l’envoyer à nouveau.`,
              de: `Dateien werden hier nach ${days} ${days === 1 ? "Tag" : "Tagen"} gelöscht. Bitten Sie den Absender, sie noch einmal zu schicken.`,
            },
    },
    days === 0 ? {} : { days },
  );
}

export function forbiddenPage(headers: IncomingHttpHeaders): WebAnswer {
  return page(headers, {
    status: 403,
    code: "upload/forbidden",
    title: { en: "Not allowed", fr: "Interdit", de: "Nicht erlaubt" },
    says: {
      en: "Files are taken only from chat programs that have just asked for a place to put one. Send the file again from your chat program.",
      fr: "Les fichiers ne sont acceptés que de programmes de messagerie qui viennent de demander un emplacement. Envoyez à nouveau le fichier depuis votre programme.",
      de: "Dateien nimmt der Server nur von Chatprogrammen, die gerade um einen Platz dafür gebeten haben. Schicken Sie die Datei noch einmal aus Ihrem Chatprogramm.",
    },
  });
}

export function tooLargePage(headers: IncomingHttpHeaders, most: number): WebAnswer {
  return page(
    headers,
    {
      status: 413,
      code: "upload/too-large",
      title: { en: "The file is too large", fr: "Le fichier est trop grand", de: "Die Datei ist zu groß" },
      says: {
        en: `Your program announced ${most} bytes and sent more.`,
        fr: `Votre programme a annoncé ${most} octets et en a envoyé davantage.`,
        de: `Ihr Programm hat ${most} Bytes angekündigt und mehr geschickt.`,
      },
    },
    { bytes: most },
  );
}

const others = {
  length: {
    status: 411,
    code: "upload/length-required",
    en: "Say how long the file is: a Content-Length is required.",
  },
  shorter: { status: 400, code: "upload/wrong-length", en: "The file is shorter than what the slot was asked for." },
  used: { status: 409, code: "upload/used", en: "This slot was used, or is being used. Ask for another one." },
  type: { status: 415, code: "upload/wrong-type", en: "The file is of another type than the slot was asked for." },
  full: { status: 507, code: "upload/no-space", en: "The server has no space for this file at the moment." },
  failed: { status: 500, code: "upload/failed", en: "The server could not store the file. Try again later." },
  off: { status: 403, code: "upload/off", en: "No files are taken here." },
} as const;

/** What only programs meet; their log has it in English. */
export function refusal(headers: IncomingHttpHeaders, why: keyof typeof others): WebAnswer {
  const { status, code, en } = others[why];
  const same = { en, fr: en, de: en };
  return page(headers, { status, code, title: same, says: same });
}

function page(headers: IncomingHttpHeaders, told: Page, more: Record<string, number> = {}): WebAnswer {
  const { status, code } = told;
  const accept = String(headers.accept ?? "");
  const vary = { vary: "accept, accept-language" };
  if (accept.includes("application/json"))
    return {
      status,
      headers: { "content-type": "application/json; charset=utf-8", ...vary },
      body: `${JSON.stringify({ error: { code, message: told.says.en, ...more } })}\n`,
    };
  const language = languageOf(null, headers["accept-language"]);
  if (!accept.includes("text/html"))
    return plainAnswer(status, told.says[language], { "content-language": language, ...vary });
  const html = x(
    "html",
    { lang: language },
    x(
      "head",
      {},
      x("meta", { charset: "utf-8" }),
      x("meta", { name: "viewport", content: "width=device-width" }),
      x("title", {}, text(told.title[language])),
    ),
    x("body", {}, x("h1", {}, text(told.title[language])), x("p", {}, text(told.says[language]))),
  );
  return {
    status,
    headers: { "content-type": "text/html; charset=utf-8", "content-language": language, ...vary },
    body: `<!doctype html>${html}\n`,
  };
}
