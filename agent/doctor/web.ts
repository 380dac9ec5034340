/** Whether browsers find what host-meta promises them: WebSocket and BOSH. docs/web.md */
import { type IncomingMessage, type RequestOptions, request as requestPlain } from "node:http";
import { request as requestSecure } from "node:https";
import type { TLSSocket } from "node:tls";
import { z } from "zod";
import { explain } from "../errors.ts";
import type { Facts } from "./facts.ts";
import { hostsOf } from "./ports.ts";
import { type Verdict, verdict } from "./verdict.ts";

const timeoutMs = 5000;
const mostBytes = 65_536;
const hostMeta = "/.well-known/host-meta.json";
const hostMetaDocument = z.object({ links: z.array(z.object({ rel: z.string(), href: z.url() })) });
const fix =
  "sys.xmpp.properties.firekeeper.web.address: the address by which browsers reach port 7443 here, or a proxy in front of it; docs/web.md";

/** Each address that host-meta names at this moment is asked as a browser would. */
export async function checkWeb(facts: Facts): Promise<Verdict[]> {
  const { server, place, domain } = facts;
  const open = (name: string) => server?.listeners.find((one) => one.name === name && one.state === "open");
  const listener = open("web-tls") ?? open("web");
  if (listener === undefined) {
    const found = server === undefined ? "Nothing runs." : "No port for browsers is open.";
    return [verdict("reachability.web", "skipped", "web clients", found)];
  }
  if ((listener.proxies ?? []).length > 0)
    return [verdict("reachability.web", "skipped", "web clients", "The port is for a proxy that names the client.")];
  const [host = "127.0.0.1"] = hostsOf(listener, place.probeHost);
  const { name, port } = listener;
  const of = `${hostMeta} on port ${port}`;
  try {
    const { text } = await ask(name === "web-tls", { host, port, path: hostMeta, headers: { host: domain } });
    const { links } = hostMetaDocument.parse(JSON.parse(text));
    if (links.length > 0) return await Promise.all(links.map(({ href }) => followed(href)));
    return [verdict("reachability.web", "fail", of, "Browsers are told of no way in.", fix)];
  } catch (error) {
    return [verdict("reachability.web", "fail", of, `Cannot be read: ${explain(error)}.`, "firekeeper restart")];
  }
}

async function followed(href: string): Promise<Verdict> {
  const to = new URL(href);
  const where = { host: to.hostname.replace(/^\[|\]$/g, ""), port: to.port || 443, path: to.pathname };
  const look = to.protocol === "wss:" ? webSocket : bosh;
  try {
    const { problem, distrust } = await look(where, to.host);
    if (problem !== undefined) return verdict("reachability.web", "fail", href, problem, fix);
    if (distrust === undefined) return verdict("reachability.web", "ok", href, "This server answers.");
    const found = `Answers, but browsers do not trust the certificate: ${distrust}.`;
    return verdict("reachability.web", "warn", href, found, "docs/certificates.md");
  } catch (error) {
    return verdict("reachability.web", "fail", href, `Not reached: ${explain(error)}.`, fix);
  }
}

interface Look {
  readonly problem: string | undefined;
  /** Why browsers do not trust the certificate. */
  readonly distrust: string | undefined;
}

async function webSocket(where: RequestOptions, host: string): Promise<Look> {
  const headers = {
    ...{ host, connection: "Upgrade", upgrade: "websocket" },
    ...{ "sec-websocket-key": Buffer.alloc(16).toString("base64"), "sec-websocket-version": "13" },
    "sec-websocket-protocol": "xmpp",
  };
  const { status, headers: told, distrust } = await ask(true, { ...where, headers });
  const speaks = status === 101 && told["sec-websocket-protocol"] === "xmpp";
  return { distrust, problem: speaks ? undefined : `No WebSocket of XMPP: it was answered with ${status}.` };
}

async function bosh(where: RequestOptions, host: string): Promise<Look> {
  const headers = { host, "content-type": "text/xml; charset=utf-8" };
  const { status, text, distrust } = await ask(true, { ...where, method: "POST", headers }, "<body/>");
  const speaks = status === 200 && /^<body [^>]*http:\/\/jabber\.org\/protocol\/httpbind/.test(text);
  return { distrust, problem: speaks ? undefined : `No BOSH: it was answered with ${status}.` };
}

interface Answer extends Pick<IncomingMessage, "headers"> {
  readonly status: number;
  readonly text: string;
  readonly distrust: string | undefined;
}

function ask(secure: boolean, options: RequestOptions, body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = (secure ? requestSecure : requestPlain)({
      ...options,
      ...{ agent: false, rejectUnauthorized: false },
      timeout: timeoutMs,
    });
    let distrust: string | undefined;
    const done = ({ statusCode = 0, headers }: IncomingMessage, text: string): void => {
      resolve({ status: statusCode, headers, text, distrust });
      sent.destroy();
    };
    sent.once("socket", (socket) =>
      socket.once("secureConnect", () => {
        // A code, whatever the types say; null when there is nothing to say.
        const reason: unknown = (socket as TLSSocket).authorizationError;
        distrust = reason ? String(reason) : undefined;
      }),
    );
    sent.once("timeout", () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    sent.once("error", reject);
    sent.once("upgrade", (answer, socket) => {
      done(answer, "");
      socket.destroy();
    });
    sent.once("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > mostBytes) sent.destroy(new Error("the answer is too long"));
      });
      answer.once("end", () => done(answer, text));
      answer.once("error", reject);
    });
    sent.end(body);
  });
}
