import { ns } from "../formats/namespaces.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import { join, type Xml, x } from "../xml/writer.ts";
import type { Login } from "./login.ts";
import type { Sasl2 } from "./sasl2.ts";

/**
 * Where a client's stream stands. RFC 6120 §4 to §7:
 *
 *   opened ──header──▶ greeted ──starttls──▶ securing ──TLS──▶ opened …
 *   greeted ──SASL──▶ authenticated ──header, bind──▶ bound
 *      │                   └──────header, resume────▶ bound (XEP-0198 §5)
 *      └──SASL2──▶ authenticated ──resume or bind at once──▶ bound (XEP-0388, XEP-0386)
 */
export type Negotiation =
  | { readonly at: "opened" }
  | { readonly at: "greeted"; readonly view: string; readonly login: Login; readonly sasl2: Sasl2 | undefined }
  | { readonly at: "securing" }
  | {
      readonly at: "authenticated";
      readonly view: string;
      readonly account: Account;
      /** Empty: the client told none. */
      readonly device: string;
      readonly greeted: boolean;
    }
  | { readonly at: "bound"; readonly session: Session }
  | { readonly at: "closed" };

export function features(content: readonly Xml[]): Xml {
  return x("stream:features", {}, join(content));
}

export const startTlsFeature = (required: boolean): Xml => x("starttls", { xmlns: ns.tls }, required && x("required"));

/** @param bound the session stands already: XEP-0386 */
export function featuresAfterLogin(streamManagement: boolean, modules: readonly Xml[], bound = false): Xml[] {
  // Pidgin, Thunderbird and Spark ask for the second; RFC 6121 no longer does.
  const binding = [x("bind", { xmlns: ns.bind }, x("required")), x("session", { xmlns: ns.session }, x("optional"))];
  return [
    ...(bound ? [] : binding),
    ...(streamManagement ? [x("sm", { xmlns: ns.streamManagement }, x("optional"))] : []),
    ...modules,
  ];
}
