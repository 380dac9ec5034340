/** Where an invitation leads that is opened in a browser. XEP-0379 §3.3, XEP-0401 §5 */
import { text, type Xml, x } from "../../xml/writer.ts";
import { accountMaking, type Invitation, invitations } from "../account-points.ts";
import type { Core } from "../module.ts";
import { accountPages, type WebAnswer } from "../web-points.ts";
import { alarm, page, paragraph } from "./layout.ts";
import { qrCode } from "./qr.ts";
import { madePage, register, registerForm } from "./register-page.ts";
import type { Visit } from "./visit.ts";
import { filled } from "./words.ts";

const programs = {
  conversations: { name: "Conversations (Android)", href: "https://conversations.im/" },
  monal: { name: "Monal (iPhone, iPad, Mac)", href: "https://monal-im.org/" },
  dino: { name: "Dino (Linux, Windows)", href: "https://dino.im/" },
  gajim: { name: "Gajim (Windows, Linux, Mac)", href: "https://gajim.org/" },
} as const;

/** The reader's own kind of device first. */
function programsFor(userAgent: string): readonly { name: string; href: string }[] {
  const { conversations, monal, dino, gajim } = programs;
  if (/Android/.test(userAgent)) return [conversations, gajim, dino, monal];
  if (/iPhone|iPad|Macintosh/.test(userAgent)) return [monal, gajim, dino, conversations];
  return /Windows/.test(userAgent) ? [gajim, dino, conversations, monal] : [dino, gajim, conversations, monal];
}

export async function invitePage(core: Core, token: string, visit: Visit, stale = false): Promise<WebAnswer> {
  const { words } = visit;
  const offered = core.offered(invitations)[0];
  const invitation = offered?.find(token);
  if (offered === undefined || invitation === undefined)
    return page(visit, 404, words.notFound, [paragraph(words.inviteGone)]);
  const making = core.offered(accountMaking)[0];
  const welcome = invitation.makesAccount && making !== undefined;
  const made = visit.sent === undefined || !welcome ? undefined : await register(core, making, visit, invitation);
  if (made !== undefined && !("wrong" in made)) return madePage(core, visit, made);
  const wrong = stale ? words.stale : made?.wrong;
  const { uri, page: address } = offered.links(invitation, token, visit.domain);
  const webChat = webChatOf(core);
  const name = invitation.by.displayName ?? inviter(core, invitation, visit);
  return page(visit, wrong === undefined ? 200 : 400, filled(words.inviteTitle, { name }), [
    wrong !== undefined && alarm(wrong),
    paragraph(filled(words.inviteText, { address: inviter(core, invitation, visit) })),
    welcome && paragraph(filled(words.inviteAccount, { domain: visit.domain })),
    x("h2", {}, text(words.inviteStep1)),
    x(
      "ul",
      {},
      programsFor(visit.userAgent).map(({ name: program, href }) =>
        x("li", {}, x("a", { href, rel: "noreferrer" }, text(program))),
      ),
    ),
    x("h2", {}, text(words.inviteStep2)),
    x("p", {}, x("a", { class: "button", href: uri }, text(words.accept))),
    x("p", {}, x("small", {}, text(words.acceptHint))),
    webChat !== undefined && x("p", {}, x("a", { href: `${visit.root}${webChat.slice(1)}` }, text(words.webChat))),
    ...(welcome ? [x("h2", {}, text(words.inviteForm)), registerForm(core, making, visit, invitation)] : []),
    ...phone(visit, address),
    x("p", {}, x("small", {}, text(filled(words.until, { date: dateOf(invitation, visit) })))),
  ]);
}

function inviter(core: Core, { by }: Invitation, { domain }: Visit): string {
  return core.names.absolute(`${by.name}@`, domain);
}

function phone({ words }: Visit, address: string | undefined): (Xml | undefined)[] {
  if (address === undefined) return [];
  return [x("h2", {}, text(words.scan)), qrCode(address, words.scan)];
}

function dateOf({ expiresAt }: Invitation, { language }: Visit): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "long", timeZone: "UTC" }).format(expiresAt);
}

/** Its path, if there is one. */
const webChatOf = (core: Core): string | undefined =>
  core
    .offered(accountPages)
    .find(({ kind }) => kind === "web-chat")
    ?.path();
