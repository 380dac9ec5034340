import { type IncomingHttpHeaders, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import type { Element } from "ltx";
import { escapeXML } from "ltx";
import type { XmppClient } from "./xmpp-client.ts";

export const upload = "urn:xmpp:http:upload:0";

export interface Slot {
  readonly put: string;
  readonly get: string;
  readonly headers: Record<string, string>;
}

export interface Wish {
  readonly name?: string;
  readonly size: number;
  readonly type?: string;
  /** The element that says what for. */
  readonly purpose?: string;
  readonly to?: string;
}

/** Asks for a slot as clients do. XEP-0363 §5 */
export function askSlot(client: XmppClient, { name = "a.txt", size, type, purpose = "", to }: Wish): Promise<Element> {
  const typed = type === undefined ? "" : ` content-type='${escapeXML(type)}'`;
  const attributes = `filename='${escapeXML(name)}' size='${size}'${typed}`;
  return client.get(`<request xmlns='${upload}' ${attributes}>${purpose}</request>`, to ?? "upload.localhost");
}

export function slotOf(answer: Element): Slot {
  const slot = answer.getChild("slot", upload);
  const put = slot?.getChild("put");
  if (put === undefined) throw new Error(`no slot: ${answer.toString()}`);
  const headers = put.getChildren("header").map(({ attrs, children }) => [attrs.name, children.join("")]);
  return { put: put.attrs.url, get: slot?.getChild("get")?.attrs.url, headers: Object.fromEntries(headers) };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** One request on a connection of its own; any certificate will do. */
export function http(
  method: string,
  url: string,
  options: { headers?: Record<string, string | string[]>; body?: string | Buffer } = {},
): Promise<Answer> {
  const at = new URL(url);
  const { headers = {}, body } = options;
  const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  const ask = at.protocol === "https:" ? secureRequest : plainRequest;
  return new Promise((resolve, reject) => {
    const asked = ask(
      at,
      { method, headers: { ...length, ...headers }, agent: false, rejectUnauthorized: false, family: 4 },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.once("error", reject);
        answer.once("end", () =>
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) }),
        );
      },
    );
    asked.once("error", reject);
    asked.end(body);
  });
}

/** Asks for a slot and fills it; gives the address to read it from. */
export async function uploaded(
  client: XmppClient,
  content: string | Buffer,
  wish: Partial<Wish> = {},
): Promise<string> {
  const slot = slotOf(await askSlot(client, { size: Buffer.byteLength(content), ...wish }));
  const headers = { ...slot.headers, ...(wish.type !== undefined && { "content-type": wish.type }) };
  const { status } = await http("PUT", slot.put, { headers, body: content });
  if (status !== 201) throw new Error(`the upload was answered with ${status}`);
  return slot.get;
}
