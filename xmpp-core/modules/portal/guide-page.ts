import type { Language } from "../../formats/language.ts";
import { join, text, type Xml, x } from "../../xml/writer.ts";
import type { PortalFacts } from "./facts.ts";
import { guides } from "./guides/all.ts";
import type { Condition, Features, Guide, Step } from "./guides/guide.ts";
import { filled, typeset } from "./language.ts";
import { code, hrefOf, htmlPage, link, type Place } from "./layout.ts";
import tests from "./tested.json" with { type: "json" };
import { dateText, words } from "./words.ts";

interface Test {
  readonly version: string;
  readonly date: string;
}
/** When each part of a guide was seen to work, written by `npm run docs`; see docs/guides.md. */
const tested = new Map<string, ReadonlyMap<string, Test>>(
  Object.entries(tests).map(([client, parts]) => [client, new Map(Object.entries(parts))]),
);

/** The steps of one program, with this server's values. */
export function guidePage(place: Place, guide: Guide, facts: PortalFacts): string {
  const { language } = place;
  const own = words[language];
  const { name: client, platforms, labelsOf: version } = guide;
  const { domain } = facts;
  const tlsPort = (facts.client.directTls ?? facts.client.starttls)?.port ?? "";
  return htmlPage(place, filled(own.guideTitle, { client, domain }), [
    x("p", {}, text(filled(own.guideFor, { client, platforms, domain }))),
    x("p", {}, x("small", {}, text(filled(own.labelsOf, { version })))),
    x("h2", {}, text(own.steps)),
    x(
      "ol",
      {},
      stepsFor(guide, facts).map((step) =>
        x("li", { id: step.id }, stepText(place, guide, step, facts), testNote(guide, step, language)),
      ),
    ),
    x("h2", {}, text(own.encryption)),
    x(
      "ul",
      {},
      own.encryptionNotes.map((note) => x("li", {}, text(filled(note, { tlsPort })))),
    ),
    x("p", {}, x("a", { href: guide.home, rel: "noreferrer" }, text(guide.home))),
  ]);
}

/** Those that hold on this server as it is now. */
export function stepsFor(guide: Guide, facts: PortalFacts): readonly Step[] {
  const has = (kind: string): boolean => facts.services.some((service) => service.kind === kind);
  const holds: Readonly<Record<Condition, boolean>> = {
    typeHost: facts.client.typeHost,
    dnsLeads: !facts.client.typeHost,
    selfSigned: facts.client.selfSigned,
    trusted: !facts.client.selfSigned,
    onion: facts.onion !== null,
    fileProxy: has("file-proxy"),
    rooms: has("rooms"),
    webChat: facts.web.chat !== null,
    noWebChat: facts.web.chat === null && facts.web.websocket !== null,
    registration: facts.registration.open,
  };
  return guide.steps.filter(({ when }) => when === undefined || holds[when]);
}

function stepText(place: Place, guide: Guide, step: Step, facts: PortalFacts): Xml {
  const { language } = place;
  const address = (kind: string): string => facts.services.find((service) => service.kind === kind)?.address ?? "";
  const values: Readonly<Record<string, string | number>> = {
    ...{ address: facts.address, name: "name", domain: facts.domain, host: facts.client.host },
    port: (facts.client.starttls ?? facts.client.directTls)?.port ?? "",
    tlsPort: facts.client.directTls?.port ?? "",
    ...{ rooms: address("rooms"), fileProxy: address("file-proxy") },
    ...{ onion: facts.onion ?? "", chat: facts.web.chat ?? "" },
    ...{ websocket: facts.web.websocket ?? "", bosh: facts.web.bosh ?? "" },
  };
  const pieces = typeset(step.text[language], language).split(/(\[[a-zA-Z]+\]|[a-z]*@?\{[a-zA-Z]+\})/);
  return join(
    pieces.map((piece) => {
      const label = /^\[(\w+)\]$/.exec(piece)?.[1];
      if (label !== undefined) return x("b", {}, text(labelOf(guide, label, language)));
      const [, before = "", value] = /^([a-z]*@?)\{(\w+)\}$/.exec(piece) ?? [];
      if (value === undefined) return text(piece);
      if (value === "certificates") return link(place, "/certificates", words[language].certificates);
      if (value === "chat") return x("a", { href: String(values.chat) }, text(values.chat ?? ""));
      return code(before + filled(`{${value}}`, values));
    }),
  );
}

function labelOf({ labels, client }: Guide, label: string, language: Language): string {
  const found = labels[label];
  if (found === undefined) throw new TypeError(`the guide for ${client} has no label ${label}`);
  return found[language];
}

function testNote({ client }: Guide, { provenBy }: Step, language: Language): Xml {
  const own = words[language];
  const test = tested.get(client)?.get(provenBy);
  const note = test ? filled(own.tested, { version: test.version, date: dateText(test.date, language) }) : own.untested;
  return join([text(" "), x("small", { class: test ? "tested" : "untested" }, text(`(${note})`))]);
}

/** All guides, and what the programs can do. */
export function guideList(place: Place, domain: string, shown: readonly string[]): string {
  const { language } = place;
  const own = words[language];
  const all = shown.flatMap((client) => guides.get(client) ?? []);
  const columns = Object.keys(own.columns) as (keyof Features)[];
  return htmlPage(place, filled(own.guideListTitle, { domain }), [
    x("p", {}, text(own.guidesIntro)),
    x(
      "ul",
      {},
      all.map(({ client, name, platforms }) =>
        x("li", {}, link(place, `/guide/${client}`, name), text(` (${platforms})`)),
      ),
    ),
    x("h2", { id: "programs" }, text(own.programs)),
    x(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-labelledby": "programs" },
      x(
        "table",
        {},
        x(
          "thead",
          {},
          x(
            "tr",
            {},
            [own.program, ...columns.map((column) => own.columns[column]), own.lastTest].map((title) =>
              x("th", { scope: "col" }, text(title)),
            ),
          ),
        ),
        x(
          "tbody",
          {},
          all.map((guide) => {
            // A file keeps its parts in the order of their dates.
            const test = [...(tested.get(guide.client)?.values() ?? [])].at(-1);
            return x(
              "tr",
              {},
              x("th", { scope: "row" }, x("a", { href: hrefOf(place, `/guide/${guide.client}`) }, text(guide.name))),
              columns.map((column) => x("td", {}, text(own.abilities[guide.features[column]]))),
              x("td", {}, text(test === undefined ? own.never : `${test.version}, ${dateText(test.date, language)}`)),
            );
          }),
        ),
      ),
    ),
    x("p", {}, x("small", {}, text(own.columnNotes))),
  ]);
}
