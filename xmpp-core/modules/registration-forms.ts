/** What is asked of somebody who wants an account, and how it comes back. XEP-0077, XEP-0158 §4, XEP-0221 */
import { createHash } from "node:crypto";
import type { Element } from "ltx";
import { formIn, singleValueOf } from "../formats/data-form.ts";
import { ns } from "../formats/namespaces.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import type { Challenge } from "./account-points.ts";

/** What the person filled in. */
export interface Filled {
  readonly name: string;
  readonly password: string;
  readonly email: string | undefined;
  readonly challenge: { id: string; letters: string | undefined; answer: string | undefined } | undefined;
}

type EmailMode = "none" | "optional" | "required";

/** For those who need no challenge: what every client can show. `name`: the one that is kept for the person. */
export function plainForm({ email, name }: { email: EmailMode; name?: string | undefined }): Xml {
  const instructions =
    name === undefined ? "Choose a user name and a password." : `Your user name is ${name}. Choose a password.`;
  return x(
    "query",
    { xmlns: ns.register },
    x("instructions", {}, text(instructions)),
    x("username", {}, name === undefined ? undefined : text(name)),
    x("password"),
    email === "required" && x("email"),
  );
}

/** With the letters to copy. `web`: where that can be done in a browser. */
export function challengeForm(
  challenge: Challenge,
  { email, web, picture }: { email: EmailMode; web: string | undefined; picture: string | undefined },
): Xml {
  const png = challenge.picture();
  const cid = `sha1+${createHash("sha1").update(png).digest("hex")}@bob.xmpp.org`;
  const { width, height, question } = challenge;
  const hidden = (name: string, value: string): Xml =>
    x("field", { type: "hidden", var: name }, x("value", {}, text(value)));
  const asked = (type: string, name: string, label: string, required: boolean): Xml =>
    x("field", { type, var: name, label }, required && x("required"));
  const media = x(
    "media",
    { xmlns: ns.mediaElement, width, height },
    x("uri", { type: "image/png" }, text(`cid:${cid}`)),
    picture !== undefined && x("uri", { type: "image/png" }, text(picture)),
  );
  const elsewhere = web === undefined ? "" : ` Or do it in a browser: ${web}`;
  return x(
    "query",
    { xmlns: ns.register },
    x("instructions", {}, text(`Choose a user name and a password, and copy the letters of the picture.${elsewhere}`)),
    x(
      "x",
      { xmlns: ns.dataForms, type: "form" },
      x("title", {}, text("A new account")),
      hidden("FORM_TYPE", ns.register),
      hidden("challenge", challenge.id),
      x("field", { type: "text-single", var: "ocr", label: "Letters in the picture" }, media),
      question !== undefined && asked("text-single", "qa", question, false),
      asked("text-single", "username", "User name", true),
      asked("text-private", "password", "Password", true),
      email !== "none" && asked("text-single", "email", "Mail address, to set a new password", email === "required"),
    ),
    x("data", { xmlns: ns.bitsOfBinary, cid, type: "image/png", "max-age": 0 }, text(png.toString("base64"))),
    web !== undefined && x("x", { xmlns: ns.outOfBand }, x("url", {}, text(web))),
  );
}

/** The data form wins over the fields of old (XEP-0077 §4). */
export function filledIn(query: Element): Filled {
  const form = formIn(query);
  const value = (name: string): string | undefined =>
    form === undefined ? query.getChild(name, ns.register)?.getText() : singleValueOf(form, name);
  const id = form === undefined ? undefined : value("challenge");
  return {
    name: value("username") ?? "",
    password: value("password") ?? "",
    email: value("email"),
    challenge: id === undefined ? undefined : { id, letters: value("ocr"), answer: value("qa") },
  };
}

const mailAddress =
  /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const longestMailAddress = 254;

/** RFC 5322 §3.4.1 without quoting, comments and anything that could leave its header. */
export function isMailAddress(given: string): boolean {
  return given.length <= longestMailAddress && mailAddress.test(given);
}
