import type { Account } from "../../routing/accounts.ts";
import { text, type Xml, x } from "../../xml/writer.ts";
import { type AccountMaking, accountMaking, challenges, type Invitation, type Refusal } from "../account-points.ts";
import type { Core } from "../module.ts";
import { leastLength } from "../own-password.ts";
import type { WebAnswer } from "../web-points.ts";
import { alarm, form, hidden, input, page, paragraph } from "./layout.ts";
import { hostAddress, notice } from "./properties.ts";
import type { Visit } from "./visit.ts";
import { filled } from "./words.ts";

/** The page on which an account is made. */
export async function registerPage(core: Core, visit: Visit, stale = false): Promise<WebAnswer> {
  const making = core.offered(accountMaking)[0];
  const { words } = visit;
  if (making?.open() !== true)
    return page(visit, 403, words.registerTitle, [
      ...noticeText(core),
      paragraph(words.closed),
      ...hostLink(core, visit),
    ]);
  const made = visit.sent === undefined ? undefined : await register(core, making, visit, undefined);
  if (made !== undefined && !("wrong" in made)) return madePage(core, visit, made);
  const wrong = stale ? words.stale : made?.wrong;
  const fields = registerForm(core, making, visit, undefined);
  if (fields === undefined) return page(visit, 429, words.registerTitle, [alarm(words.tooMany)]);
  return page(visit, wrong === undefined ? 200 : 400, words.registerTitle, [
    ...noticeText(core),
    wrong !== undefined && alarm(wrong),
    fields,
  ]);
}

/** Undefined: this address was shown too many pictures. */
export function registerForm(
  core: Core,
  making: AccountMaking,
  visit: Visit,
  invitation: Invitation | undefined,
): Xml | undefined {
  const { words, sent, domain } = visit;
  const needed = invitation === undefined && core.offered(challenges)[0]?.needed() === true;
  const challenge = needed ? core.offered(challenges)[0]?.pose(visit.remote) : undefined;
  if (needed && challenge === undefined) return undefined;
  const name = invitation?.name;
  const email = making.email();
  return form(
    visit.token,
    [
      input({
        ...{ name: "name", label: words.name, fills: "username", hint: filled(words.nameHint, { domain }) },
        ...{ value: name ?? sent?.get("name"), fixed: name !== undefined },
      }),
      input({ name: "password", label: words.password, type: "password", fills: "new-password" }),
      input({ name: "again", label: words.again, type: "password", fills: "new-password" }),
      email !== "none" &&
        input({
          ...{ name: "email", label: words.email, type: "email", fills: "email", hint: words.emailHint },
          ...{ value: sent?.get("email"), optional: email === "optional" },
        }),
      challenge && hidden("challenge", challenge.id),
      challenge &&
        x("img", {
          ...{ src: `${visit.root}captcha/${challenge.id}`, alt: words.lettersAlt },
          ...{ width: challenge.width, height: challenge.height },
        }),
      challenge && input({ name: "letters", label: words.letters, optional: challenge.question !== undefined }),
      challenge?.question !== undefined &&
        input({ name: "answer", label: `${words.question}: ${challenge.question}`, optional: true }),
    ],
    words.register,
  );
}

/** Makes it of what was sent, or says what was wrong. */
export async function register(
  core: Core,
  making: AccountMaking,
  visit: Visit,
  invitation: Invitation | undefined,
): Promise<Account | { wrong: string }> {
  const { words, sent, remote } = visit;
  const value = (name: string): string => sent?.get(name) ?? "";
  if (value("password") !== value("again")) return { wrong: words.differ };
  const made = await making.make({
    ...{ served: core.names.primary, remote, name: value("name"), password: value("password"), invitation },
    email: value("email"),
    challenge: { id: value("challenge"), letters: value("letters"), answer: value("answer") },
  });
  return "why" in made ? { wrong: sentence(core, visit, made.why) } : made;
}

function sentence(core: Core, { words }: Visit, why: Refusal["why"]): string {
  return filled(words[why], { least: core.properties.get(leastLength) });
}

export function madePage(core: Core, visit: Visit, account: Account): WebAnswer {
  const { words, domain } = visit;
  const address = core.names.absolute(`${account.name}@`, domain);
  return page(visit, 200, words.madeTitle, [
    paragraph(words.madeText),
    x("p", { class: "address" }, text(address)),
    x(
      "p",
      {},
      x("a", { class: "button", href: `xmpp:${encodeURIComponent(account.name)}@${domain}` }, text(words.openInClient)),
    ),
  ]);
}

export function noticeText(core: Core): Xml[] {
  const said = core.properties.get(notice);
  return said === undefined ? [] : [paragraph(said)];
}

export function hostLink(core: Core, { words }: Visit): Xml[] {
  const href = core.properties.get(hostAddress);
  return href === undefined ? [] : [x("p", {}, text(`${words.atHost} `), x("a", { href }, text(href)))];
}
