import type { RequestListener } from "../transport/http-door.ts";
import type { AdminParts } from "./parts.ts";
import { adminSecurePort } from "./properties.ts";
import { hostOf } from "./visitor.ts";

/**
 * What strangers get on the plain port: the way to HTTPS. It looks at nothing but host and path, so no password,
 * cookie or token that came in clear is ever read. docs/architecture.md "Three processes"
 */
export function redirecting(parts: Pick<AdminParts, "properties" | "names">): RequestListener {
  return (request, response) => {
    response.setHeader("connection", "close");
    const port = parts.properties.get(adminSecurePort);
    if (port === -1) {
      response.writeHead(403, { "content-type": "text/plain; charset=utf-8" });
      response.end(`HTTPS is turned off (${adminSecurePort.key}), and without it only this machine may enter.\n`);
      return;
    }
    const host = hostOf(request.headers.host) ?? parts.names.primary.name;
    const path = /^\/[\x21-\x7e]*$/.test(request.url ?? "") ? request.url : "/";
    response.writeHead(308, {
      location: `https://${host}:${port}${path}`,
      "content-type": "text/plain; charset=utf-8",
    });
    response.end("The console speaks HTTPS.\n");
  };
}
