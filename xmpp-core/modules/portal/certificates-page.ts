import { join, text, x } from "../../xml/writer.ts";
import type { CertificatesFacts } from "./certificate-facts.ts";
import { filled } from "./language.ts";
import { code, factTable, htmlPage, type Place } from "./layout.ts";
import { dateText, words } from "./words.ts";

/** Fingerprints and dates, to compare with what a program shows before it is told to trust. */
export function certificatesPage(place: Place, domain: string, { certificates }: CertificatesFacts): string {
  const own = words[place.language];
  return htmlPage(place, filled(own.certificatesTitle, { domain }), [
    x("p", {}, text(own.certificatesIntro)),
    ...certificates.flatMap((one) => {
      const title = filled(own.certificateFor, { domain: one.domain });
      const dates = { from: dateText(one.validFrom, place.language), to: dateText(one.validTo, place.language) };
      return [
        x("h2", {}, text(title)),
        factTable(title, [
          [own.sha256, code(one.sha256)],
          [own.sha1, code(one.sha1)],
          [own.valid, text(filled(own.untilWord, dates))],
          [own.issuer, text(one.selfSigned ? own.selfSigned : one.issuer)],
          [own.names, join(one.names.flatMap((name, at) => [...(at === 0 ? [] : [x("br")]), code(name)]))],
          [own.spki, join([code(one.spki), x("br"), x("small", {}, text(own.spkiNote))])],
        ]),
      ];
    }),
    x("p", {}, x("small", {}, x("a", { href: `${place.prefix}/certificates.json` }, text(own.asJson)))),
  ]);
}
