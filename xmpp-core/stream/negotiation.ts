import type { Offer } from "../auth/exchange.ts";
import { ns } from "../formats/namespaces.ts";
import type { Account } from "../routing/accounts.ts";
import type { Session } from "../routing/session.ts";
import { join, type Xml, x } from "../xml/writer.ts";
import type { Login } from "./login.ts";

/**
 * Where a client's stream stands. RFC 6120 §4 to §7:
 *
 *   opened ──header──▶ greeted ──starttls──▶ securing ──TLS──▶ opened …
 *   greeted ──SASL──▶ authenticated ──header, bind──▶ bound
 *                          └──────header, resume────▶ bound (XEP-0198 §5)
 */
export type Negotiation =
  | { readonly at: "opened" }
  | { readonly at: "greeted"; readonly view: string; readonly login: Login; readonly offered: Offer }
  | { readonly at: "securing" }
  | { readonly at: "authenticated"; readonly view: string; readonly account: Account; readonly greeted: boolean }
  | { readonly at: "bound"; readonly session: Session }
  | { readonly at: "closed" };

export function features(content: readonly Xml[]): Xml {
  return x("stream:features", {}, join(content));
}

export const startTlsFeature = (required: boolean): Xml => x("starttls", { xmlns: ns.tls }, required && x("required"));

export function featuresAfterLogin(streamManagement: boolean, modules: readonly Xml[]): Xml[] {
  return [
    x("bind", { xmlns: ns.bind }, x("required")),
    // Pidgin, Thunderbird and Spark ask for it; RFC 6121 no longer does.
    x("session", { xmlns: ns.session }, x("optional")),
    ...(streamManagement ? [x("sm", { xmlns: ns.streamManagement }, x("optional"))] : []),
    ...modules,
  ];
}
