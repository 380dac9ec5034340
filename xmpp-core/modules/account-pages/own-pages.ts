/** Pages on which somebody changes a password, gives up an account, or asks for a link for a new password. */
import { text, x } from "../../xml/writer.ts";
import { attempts } from "../attempts.ts";
import { giveUpAccount, removalRefused } from "../giving-up.ts";
import type { Core } from "../module.ts";
import { badPassword, changeFor, leastLength, refusal } from "../own-password.ts";
import type { WebAnswer } from "../web-points.ts";
import { alarm, form, input, page, paragraph } from "./layout.ts";
import { sendsMails } from "./mail.ts";
import { owner } from "./owner.ts";
import { hostLink } from "./register-page.ts";
import type { Resets } from "./resets.ts";
import type { Visit } from "./visit.ts";
import { filled } from "./words.ts";

/** Links that one address may ask for, and tokens that it may try. */
const allowance = { atOnce: 6, everyMs: 5 * 60_000 };

export function ownPages(core: Core, resets: Resets) {
  const admitted = attempts(core, allowance);
  const mayTry = attempts(core, { atOnce: 20, everyMs: 60_000 });
  const value = ({ sent }: Visit, name: string): string => sent?.get(name) ?? "";

  /** What is wrong with a new password that was typed twice. */
  function wrongPassword(visit: Visit): string | undefined {
    const { words } = visit;
    if (value(visit, "new") !== value(visit, "again")) return words.differ;
    if (badPassword(core, value(visit, "new")) === undefined) return undefined;
    return filled(words["short-password"], { least: core.properties.get(leastLength) });
  }

  const newPassword = ({ words }: Visit) => [
    input({ name: "new", label: words.newPassword, type: "password", fills: "new-password" }),
    input({ name: "again", label: words.again, type: "password", fills: "new-password" }),
  ];
  const login = (visit: Visit) => [
    input({ name: "name", label: visit.words.name, fills: "username", value: visit.sent?.get("name") }),
    input({ name: "password", label: visit.words.presentPassword, type: "password", fills: "current-password" }),
  ];

  async function password(visit: Visit, stale = false): Promise<WebAnswer> {
    const { words, sent, remote } = visit;
    const shown = (status: number, wrong?: string) =>
      page(visit, status, words.passwordTitle, [
        wrong !== undefined && alarm(wrong),
        form(visit.token, [...login(visit), ...newPassword(visit)], words.change),
        sendsMails(core) && x("p", {}, x("a", { href: "reset" }, text(words.resetTitle))),
      ]);
    if (stale) return shown(400, words.stale);
    if (sent === undefined) return shown(200);
    const wrong = wrongPassword(visit);
    if (wrong !== undefined) return shown(400, wrong);
    const account = await owner(core, { name: value(visit, "name"), password: value(visit, "password"), remote });
    if (typeof account === "string") return shown(account === "wrongLogin" ? 403 : 429, words[account]);
    const refused = refusal(core, account) ?? (await changeFor(core, account, value(visit, "new")));
    if (refused !== undefined)
      return page(visit, 403, words.passwordTitle, [
        alarm(refused.text ?? words["not-stored"]),
        ...hostLink(core, visit),
      ]);
    return page(visit, 200, words.changedTitle, [paragraph(words.changedText)]);
  }

  async function remove(visit: Visit, stale = false): Promise<WebAnswer> {
    const { words, sent, remote } = visit;
    const shown = (status: number, wrong?: string) =>
      page(visit, status, words.deleteTitle, [
        wrong !== undefined && alarm(wrong),
        paragraph(words.deleteText),
        form(
          visit.token,
          [
            ...login(visit),
            x(
              "div",
              { class: "field" },
              x(
                "label",
                { class: "check" },
                x("input", { type: "checkbox", name: "sure", value: "yes", required: "required" }),
                text(` ${words.confirm}`),
              ),
            ),
          ],
          words.giveUp,
        ),
      ]);
    if (stale) return shown(400, words.stale);
    if (sent === undefined) return shown(200);
    if (value(visit, "sure") !== "yes") return shown(400, words.mustConfirm);
    const account = await owner(core, { name: value(visit, "name"), password: value(visit, "password"), remote });
    if (typeof account === "string") return shown(account === "wrongLogin" ? 403 : 429, words[account]);
    const refused = removalRefused(core, account) ?? (await giveUpAccount(core, account));
    if (refused !== undefined)
      return page(visit, 403, words.deleteTitle, [
        alarm(refused.text ?? words["not-stored"]),
        ...hostLink(core, visit),
      ]);
    return page(visit, 200, words.deletedTitle, [paragraph(words.deletedText)]);
  }

  async function reset(visit: Visit, stale = false): Promise<WebAnswer> {
    const { words, sent, remote } = visit;
    if (!sendsMails(core))
      return page(visit, 403, words.resetTitle, [paragraph(words.noMail), ...hostLink(core, visit)]);
    const shown = (status: number, wrong?: string) =>
      page(visit, status, words.resetTitle, [
        wrong !== undefined && alarm(wrong),
        paragraph(words.resetText),
        form(visit.token, [input({ name: "name", label: words.name, fills: "username" })], words.send),
      ]);
    if (stale) return shown(400, words.stale);
    if (sent === undefined) return shown(200);
    if (!admitted(remote)) return shown(429, words.tooMany);
    if (!(await resets.ask(value(visit, "name"), visit.language))) return shown(503, words["not-stored"]);
    return page(visit, 200, words.sentTitle, [paragraph(words.sentText)]);
  }

  async function resetBy(token: string, visit: Visit, stale = false): Promise<WebAnswer> {
    const { words, sent, remote } = visit;
    const gone = () =>
      page(visit, 404, words.resetTitle, [
        alarm(words.resetGone),
        x("p", {}, x("a", { href: "../reset" }, text(words.resetTitle))),
      ]);
    if (!mayTry(remote)) return page(visit, 429, words.resetTitle, [alarm(words.tooMany)]);
    if ((await resets.find(token)) === undefined) return gone();
    const shown = (status: number, wrong?: string) =>
      page(visit, status, words.resetNewTitle, [
        wrong !== undefined && alarm(wrong),
        form(visit.token, newPassword(visit), words.change),
      ]);
    if (stale) return shown(400, words.stale);
    if (sent === undefined) return shown(200);
    const wrong = wrongPassword(visit);
    if (wrong !== undefined) return shown(400, wrong);
    const done = await resets.use(token, value(visit, "new"));
    if (done === "gone") return gone();
    if (done !== "done") return page(visit, 503, words.resetTitle, [alarm(done.text ?? words["not-stored"])]);
    return page(visit, 200, words.changedTitle, [paragraph(words.changedText)]);
  }

  return { password, remove, reset, resetBy };
}
