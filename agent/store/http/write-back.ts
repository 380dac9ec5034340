/** A password that a user changed in a client goes to the host, in clear inside TLS: the host keeps it in its own form. */
import type { HostChange } from "../host-change.ts";
import { StoreError } from "../host-store.ts";
import { type HostClient, printable } from "./client.ts";
import { type HttpConfiguration, placeOf } from "./configuration.ts";
import { statusFailure } from "./failures.ts";

type PasswordChange = Extract<HostChange, { kind: "user-password" }>;

/**
 * Sends `{ name, password }`. Gives a sentence for person and journal. Throws `store/refused` with the host's words when it
 * answers 4xx with JSON `{ message }`, else what the status means.
 */
export async function writePassword(
  client: HostClient,
  { url, method }: NonNullable<HttpConfiguration["passwordWrite"]>,
  { name, password }: PasswordChange,
): Promise<string> {
  const { status, text } = await client.send(method, url, { name, password });
  if (status >= 200 && status < 300) return `Changed the password of ${name} in the host.`;
  const said = status >= 400 && status < 500 && status !== 401 && status !== 429 ? messageOf(text) : undefined;
  if (said === undefined) throw statusFailure(status, placeOf(url), {}, 0);
  // A host that repeats the password in its refusal must not bring it into our log.
  const words = said === "" || said.includes(printable(password)) ? "without a reason that can be shown" : said;
  throw new StoreError("store/refused", `The host refused the password of ${name}: ${words}`, {
    fields: { status, name },
    hint: "Choose another password, or ask who runs the host.",
  });
}

function messageOf(text: string): string | undefined {
  try {
    const data: unknown = JSON.parse(text);
    if (typeof data !== "object" || data === null || !("message" in data)) return undefined;
    return typeof data.message === "string" ? printable(data.message) : undefined;
  } catch {
    return undefined;
  }
}
