import { decodeSasl, encodeSasl, type Offer } from "../auth/exchange.ts";
import { downgradeProtection } from "../auth/properties.ts";
import { ns } from "../formats/namespaces.ts";
import type { Account } from "../routing/accounts.ts";
import type { Stanza } from "../xml/stanza.ts";
import { text, type Xml, x } from "../xml/writer.ts";
import type { Login, Outcome } from "./login.ts";
import type { StreamParts } from "./parts.ts";

/** `<mechanisms/>` and, with channel binding, XEP-0440's list, which counts for both profiles. */
export function mechanismFeatures(offered: Offer): Xml[] {
  if (offered.mechanisms.length === 0) return [];
  const features = [
    x(
      "mechanisms",
      { xmlns: ns.sasl },
      offered.mechanisms.map((mechanism) => x("mechanism", {}, text(mechanism))),
    ),
  ];
  if (offered.bindingTypes.length > 0)
    features.push(
      x(
        "sasl-channel-binding",
        { xmlns: ns.channelBinding },
        offered.bindingTypes.map((type) => x("channel-binding", { type })),
      ),
    );
  return features;
}

export function isSasl(stanza: Stanza): boolean {
  return stanza.ns === ns.sasl && ["auth", "response", "abort"].includes(stanza.name);
}

/** `<auth/>`, `<response/>` or `<abort/>`; the answer to write, and the account once it has proved itself. RFC 6120 §6 */
export async function takeSasl(
  parts: Pick<StreamParts, "properties">,
  login: Login,
  stanza: Stanza,
): Promise<{ answer: Xml; account?: Account; mechanism?: string; spent?: boolean }> {
  return written(await outcomeOf(parts, login, stanza));
}

async function outcomeOf(parts: Pick<StreamParts, "properties">, login: Login, stanza: Stanza): Promise<Outcome> {
  if (stanza.name === "abort") return login.refuse("aborted");
  const element = stanza.element();
  const given = element.getText().trim();
  if (stanza.name === "response") return login.respond(decodeSasl(given));
  const mechanism: unknown = element.attrs.mechanism;
  const showsOffer = parts.properties.get(downgradeProtection) === "always";
  // An empty element is no initial response, `=` an empty one. RFC 6120 §6.4.2
  const data = given === "" ? undefined : decodeSasl(given);
  return login.begin(typeof mechanism === "string" ? mechanism : "", data, { showsOffer });
}

function written(outcome: Outcome): { answer: Xml; account?: Account; mechanism?: string; spent?: boolean } {
  if (outcome.is === "challenge") return { answer: x("challenge", { xmlns: ns.sasl }, text(encodeSasl(outcome.data))) };
  if (outcome.is === "success") {
    const { account, mechanism, data } = outcome;
    return {
      ...{ account, mechanism },
      answer: x("success", { xmlns: ns.sasl }, data === undefined ? undefined : text(encodeSasl(data))),
    };
  }
  const { condition, text: why, spent } = outcome;
  const explained = why !== undefined && x("text", { "xml:lang": "en" }, text(why));
  return { answer: x("failure", { xmlns: ns.sasl }, x(condition), explained), spent };
}
