import { createTransport } from "nodemailer";
import type { Core } from "../module.ts";
import { isMailAddress } from "../registration-forms.ts";
import { mailFrom, mailHost, mailPassword, mailPort, mailTls, mailUser } from "./properties.ts";

export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

const connectMs = 10_000;
const silenceMs = 20_000;

/** Whether mails are sent at all. */
export function sendsMails(core: Pick<Core, "properties">): boolean {
  return core.properties.get(mailFrom) !== undefined;
}

/** Resolves once the mail server has taken it. */
export async function sendMail({ properties }: Pick<Core, "properties">, { to, subject, text }: Mail): Promise<void> {
  const { get } = properties;
  if (!isMailAddress(to)) throw new TypeError("no mail address");
  const [host, user, pass] = [get(mailHost), get(mailUser), get(mailPassword)];
  const here = host === "localhost" || host === "::1" || host.startsWith("127.");
  const transport = createTransport({
    ...{ host, port: get(mailPort), secure: get(mailTls) },
    // Neither the password nor the link is sent where others could read it.
    ...{ requireTLS: user !== undefined && !here, tls: { rejectUnauthorized: !here } },
    ...(user === undefined ? {} : { auth: { user, pass: pass ?? "" } }),
    ...{ connectionTimeout: connectMs, greetingTimeout: connectMs, socketTimeout: silenceMs },
    ...{ disableFileAccess: true, disableUrlAccess: true },
  });
  try {
    await transport.sendMail({
      ...{ from: get(mailFrom), to, subject, text },
      headers: { "auto-submitted": "auto-generated" },
    });
  } finally {
    transport.close();
  }
}
