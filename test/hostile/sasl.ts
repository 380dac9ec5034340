/** SASL by hand: every message is the test's to write. RFC 6120 §6, RFC 5802. */
import { type ChannelBinding, channelBinding, scram } from "../support/scram-client.ts";
import { ns } from "../support/stanzas.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

const encode = (text: string): string => Buffer.from(text).toString("base64");

/** Sends `<auth/>` or `<response/>` and returns what comes: the element's name, the failure's condition, the data. */
export async function say(client: XmppClient, xml: string): Promise<{ is: string; condition: string; data: string }> {
  client.send(xml);
  const answer = await client.next((element) => element.getNS() === ns.sasl, "SASL answer");
  return {
    is: answer.getName(),
    condition: answer.getChildElements()[0]?.getName() ?? "",
    data: Buffer.from(answer.getText(), "base64").toString(),
  };
}

export const auth = (mechanism: string, first: string): string =>
  `<auth xmlns='${ns.sasl}' mechanism='${mechanism}'>${encode(first)}</auth>`;
export const response = (text: string): string => `<response xmlns='${ns.sasl}'>${encode(text)}</response>`;

export const plain = (user: string, password: string, authzid = ""): string =>
  auth("PLAIN", `${authzid}\0${user}\0${password}`);

/** One SCRAM login from first to last message; `header` and `binding` may lie. Returns "success" or the condition. */
export async function scramLogin(
  client: XmppClient,
  given: {
    user: string;
    password?: string;
    mechanism?: string;
    authzid?: string;
    /** The GS2 flag: n, y, or what the mechanism wants. */
    flag?: string;
    binding?: ChannelBinding;
    /** Instead of what the connection gives. */
    data?: Buffer;
  },
): Promise<string> {
  const mechanism = given.mechanism ?? "SCRAM-SHA-1";
  const { tls } = client.connection;
  const type = given.binding ?? "tls-exporter";
  const data =
    given.data ??
    (mechanism.endsWith("-PLUS") && tls !== undefined
      ? channelBinding(tls, client.certificate?.raw, type)
      : Buffer.alloc(0));
  const flag = given.flag ?? (mechanism.endsWith("-PLUS") ? `p=${type}` : "n");
  const authzid = given.authzid === undefined ? "" : `a=${given.authzid}`;
  const header = `${flag},${authzid},`;
  const binding = { type, data };
  const exchange = scram({ mechanism, user: given.user, password: given.password ?? given.user, header, binding });
  const challenge = await say(client, auth(mechanism, exchange.first));
  if (challenge.is === "failure") return challenge.condition;
  const outcome = await say(client, response(await exchange.final(challenge.data)));
  if (outcome.is === "success") exchange.verify(outcome.data);
  return outcome.is === "success" ? "success" : outcome.condition;
}

/** A guess without the work of one: the proof is noise of the right length. Returns the condition. */
export async function guess(client: XmppClient, user: string, mechanism = "SCRAM-SHA-1"): Promise<string> {
  const challenge = await say(client, auth(mechanism, `n,,n=${user},r=abc`));
  if (challenge.is === "failure") return challenge.condition;
  return (await say(client, response(guessFor(challenge.data, mechanism)))).condition;
}

export function guessFor(challenge: string, mechanism = "SCRAM-SHA-1"): string {
  const nonce = /^r=([^,]+)/.exec(challenge)?.[1] ?? "";
  const bytes = { "SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32, "SCRAM-SHA-512": 64 }[mechanism] ?? 20;
  return `c=${encode("n,,")},r=${nonce},p=${Buffer.alloc(bytes, 1).toString("base64")}`;
}
