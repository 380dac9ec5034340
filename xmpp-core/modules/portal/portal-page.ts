import { isIP } from "node:net";
import { join, text, type Xml, x } from "../../xml/writer.ts";
import type { PortalFacts } from "./facts.ts";
import { filled } from "./language.ts";
import { code, factTable, htmlPage, link, type Place } from "./layout.ts";
import { sizeText, words } from "./words.ts";

export interface GuideLink {
  readonly client: string;
  readonly name: string;
  readonly platforms: string;
}

/** What exactly a person types to use an account here. */
export function portalPage(place: Place, facts: PortalFacts, guides: readonly GuideLink[]): string {
  const own = words[place.language];
  const { client, domain, web, registration, contact } = facts;
  const and = (value: Xml, note?: string): Xml =>
    note === undefined ? value : join([value, x("br"), x("small", {}, text(note))]);
  const [first, ...others] = guides;
  const guideLink = ({ client: name, name: label, platforms }: GuideLink): Xml =>
    join([link(place, `/guide/${name}`, label), text(` (${platforms})`)]);

  return htmlPage(
    place,
    filled(own.title, { domain }),
    [
      x("p", {}, text(own.intro)),
      x("h2", {}, text(own.whatToType)),
      factTable(own.whatToType, [
        [own.address, and(code(facts.address), own.addressNote)],
        [own.apart, join([text(`${own.userName} `), code("name"), text(`, ${own.domain} `), code(domain)])],
        client.typeHost
          ? [own.server, and(code(client.host), own.serverTyped)]
          : [own.server, text(filled(own.serverEmpty, { host: client.host }))],
        client.starttls === null ? undefined : [own.port, and(code(client.starttls.port), own.starttls)],
        client.directTls === null ? undefined : [own.portTls, and(code(client.directTls.port), own.directTls)],
        facts.onion === null ? undefined : [own.onion, code(facts.onion)],
        web.chat === null ? undefined : [own.webChat, x("a", { href: web.chat }, text(own.webChatOpen))],
      ]),
      x("h2", {}, text(own.services)),
      factTable(own.services, [
        ...facts.services.map((service) => serviceRow(place, service)),
        web.websocket === null || web.bosh === null
          ? undefined
          : ([own.web, join([code(web.websocket), x("br"), code(web.bosh)])] as const),
      ]),
      x("h2", {}, text(own.guides)),
      x("p", {}, text(own.guidesIntro)),
      first !== undefined && x("p", {}, x("b", {}, text(`${own.guidesFirst}: `)), guideLink(first)),
      others.length > 0 &&
        x(
          "ul",
          { "aria-label": own.guidesOthers },
          others.map((each) => x("li", {}, guideLink(each))),
        ),
      x("h2", {}, text(own.account)),
      x("p", {}, text(registration.open ? own.registrationOpen : own.registrationClosed)),
      registration.page !== null && x("p", {}, x("a", { href: registration.page }, text(own.registerHere))),
      facts.passwordPage !== null && x("p", {}, x("a", { href: facts.passwordPage }, text(own.changePassword))),
      Object.keys(contact).length > 0 && x("h2", {}, text(own.contact)),
      factTable(
        own.contact,
        Object.entries(contact).map(([kind, addresses]) => [
          own.contacts[kind as keyof typeof own.contacts] ?? kind,
          join(
            addresses.flatMap((address, at) => [
              ...(at === 0 ? [] : [x("br")]),
              x("a", { href: address }, text(bareOf(address))),
            ]),
          ),
        ]),
      ),
      x("p", {}, x("small", {}, x("a", { href: `${place.prefix}/portal.json` }, text(own.asJson)))),
    ].filter((piece) => piece !== false),
  );
}

const bareOf = (uri: string): string => uri.replace(/^(mailto|xmpp):/, "");

function serviceRow(
  place: Place,
  { kind, address, port, mostBytes, keptDays }: PortalFacts["services"][number],
): readonly [string, Xml] {
  const own = words[place.language];
  const label = { rooms: own.rooms, search: own.search, "file-proxy": own.fileProxy, uploads: own.uploads }[kind];
  const notes = [
    ...(kind === "rooms" && isIP(address) === 0 ? [filled(own.roomsNote, { example: `room@${address}` })] : []),
    ...(port === undefined ? [] : [filled(own.portIs, { port })]),
    ...(mostBytes === undefined ? [] : [filled(own.mostBytes, { size: sizeText(mostBytes, place.language) })]),
    ...(keptDays === undefined ? [] : [filled(own.keptDays, { days: keptDays })]),
  ];
  const small = notes.length === 0 ? [] : [x("br"), x("small", {}, text(notes.join(", ")))];
  return [label, join([code(address), ...small])];
}
