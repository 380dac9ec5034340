import { property } from "../../properties/property.ts";
import { boolean, host, integer, port, type TextSchema, text, webOrigin } from "../../properties/text-schema.ts";
import { isMailAddress } from "../registration-forms.ts";

export const pagesEnabled = property("firekeeper.accounts.pages", {
  schema: boolean,
  default: true,
  impact: "live",
  doc: "Whether the ports for browsers have pages on which people make, change and give up accounts and accept invitations.",
});

export const notice = property("firekeeper.accounts.notice", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "A text above the page on which accounts are made: rules, or whom to ask.",
});

export const hostAddress = property("firekeeper.accounts.host-address", {
  schema: webOrigin,
  default: undefined,
  impact: "live",
  doc: "Where people manage their accounts in the host application; pages that cannot do it themselves lead there.",
});

const mailAddress: TextSchema<string> = {
  ...text,
  zod: text.zod.refine(isMailAddress),
  rule: "a mail address",
  hint: () => "For example chat@example.org.",
};

export const mailFrom = property("firekeeper.mail.from", {
  schema: mailAddress,
  default: undefined,
  impact: "live",
  doc: "The address from which mails are sent; without it none are, and forgotten passwords are the administrator's business.",
});

export const mailHost = property("mail.smtp.host", {
  schema: host,
  default: "localhost",
  impact: "live",
  doc: "The mail server that takes our mails.",
});

export const mailPort = property("mail.smtp.port", {
  schema: port,
  default: 25,
  impact: "live",
  doc: "Its port.",
});

export const mailTls = property("mail.smtp.ssl", {
  schema: boolean,
  default: false,
  impact: "live",
  doc: "Whether it wants TLS from the first byte (port 465); otherwise STARTTLS is used where it offers that, and is needed for a password unless the server is this machine.",
});

export const mailUser = property("mail.smtp.username", {
  schema: text,
  default: undefined,
  impact: "live",
  doc: "The name to log in with at the mail server.",
});

export const mailPassword = property("mail.smtp.password", {
  schema: text,
  default: undefined,
  impact: "live",
  secret: true,
  doc: "The password for it.",
});

export const mailsPerHour = property("firekeeper.mail.per-hour", {
  schema: integer(1, 100_000),
  default: 100,
  impact: "live",
  doc: "Links for new passwords that are sent in an hour at most, all together.",
});

export const accountPageProperties = [
  ...[pagesEnabled, notice, hostAddress, mailFrom, mailHost, mailPort, mailTls, mailUser, mailPassword, mailsPerHour],
] as const;
