import type { Readable } from "node:stream";
import { plainAnswer, type WebRoute } from "../modules/web-points.ts";
import type { Registry } from "../properties/registry.ts";
import type { BoshDoor } from "../stream/bosh.ts";
import { corsDomains, corsEnabled, corsHeaders, corsMaxAge, webListeners } from "../stream/web-ports.ts";

/** Where BOSH is spoken: Openfire's path. XEP-0124 */
export function httpBindRoute(bosh: BoshDoor, { get }: Pick<Registry, "get">): WebRoute {
  return {
    root: "http-bind",
    methods: ["GET", "POST"],
    crossOrigin: () =>
      get(corsEnabled)
        ? { origins: get(corsDomains), headers: get(corsHeaders), maxAgeSeconds: get(corsMaxAge) }
        : undefined,
    async answer({ method, segments, body, remote, secure, local }) {
      if (segments.length > 0) return plainAnswer(404, "There is nothing here.");
      if (method === "GET")
        return plainAnswer(
          405,
          "BOSH is spoken here, by POST. Answers as scripts (JSONP) are not to be had: CORS does it safely.",
          {
            allow: "POST, OPTIONS",
          },
        );
      const read = await whole(body, bosh.mostBytes);
      if (read === undefined) return plainAnswer(413, "A body is too large.");
      const answer = await bosh.request(read, {
        ...{ address: remote, secure, proxied: true },
        ...{ listener: webListeners.plain, local: { address: local, port: 0 } },
      });
      return { status: answer.status, headers: { "content-type": answer.type }, body: answer.body };
    },
  };
}

/** All bytes of a body, or undefined: too many for whose session it is, or it broke off. */
function whole(body: Readable, mostBytes: (beginning: Buffer) => number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let size = 0;
    let most = mostBytes(Buffer.alloc(0));
    body.on("data", (chunk: Buffer) => {
      parts.push(chunk);
      size += chunk.length;
      // Only who has a session that is logged in may send more.
      if (size > most) most = Math.max(most, mostBytes(Buffer.concat(parts)));
      if (size <= most) return;
      body.removeAllListeners("data");
      body.pause();
      resolve(undefined);
    });
    body.once("end", () => resolve(Buffer.concat(parts)));
    body.once("close", () => resolve(undefined));
    body.once("error", () => resolve(undefined));
  });
}
