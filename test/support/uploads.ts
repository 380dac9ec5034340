import { readdir } from "node:fs/promises";
import { type IncomingHttpHeaders, request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { join } from "node:path";
import type { Element } from "ltx";
import { escapeXML } from "ltx";
import { freePort, startTestCore, type TestCore } from "./core.ts";
import { type ManualClock, manualClock } from "./manual-clock.ts";
import type { XmppClient } from "./xmpp-client.ts";

export const upload = "urn:xmpp:http:upload:0";
export const mib = 1024 * 1024;
/** A machine that is busy with other tests writes to its disk in its own time. */
export const soon = { timeout: 20_000 };

export interface Uploads {
  readonly core: TestCore;
  readonly clock: ManualClock;
  readonly alice: XmppClient;
  /** The ports for browsers. */
  readonly port: number;
  readonly secure: number;
  /** Changes properties until `reset`. */
  set(properties: Record<string, string>): Promise<void>;
  reset(): Promise<void>;
  /** Files on disk, without those that are still coming in. */
  onDisk(): Promise<string[]>;
}

/** A server that takes files, with admin, alice, who is logged in, and bob. */
export async function startUploads(): Promise<Uploads> {
  const clock = manualClock();
  const [port, secure] = [await freePort(), await freePort()];
  const web = {
    "httpbind.port.plain": String(port),
    "httpbind.port.secure": String(secure),
    "httpbind.enabled": "true",
  };
  const properties = { ...web, "xmpp.client.idle": "-1", "firekeeper.upload.keep-free-bytes": "0" };
  const core = await startTestCore({ users: ["admin", "alice", "bob"], clock, properties });
  const changed: Record<string, null> = {};
  return {
    ...{ core, clock, port, secure },
    alice: await core.login("alice", { resource: "a" }),
    async set(values) {
      for (const key of Object.keys(values)) changed[key] = null;
      await core.set(values);
    },
    reset: () => core.set(changed),
    async onDisk() {
      const names = await readdir(join(core.home, "uploads"), { recursive: true });
      return names.filter((name) => /[0-9a-f]{32}$/.test(name));
    },
  };
}

export const errorOf = (answer: Element): Element | undefined => answer.getChild("error");

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
