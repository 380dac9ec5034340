import { plainAnswer } from "../modules/web-points.ts";
import type { Visitor } from "../stream/visitor.ts";
import type { Connection } from "../transport/connection.ts";
import { acceptanceOf } from "../transport/websocket.ts";
import type { Upgrade } from "./http.ts";

/** Where XMPP is spoken in WebSocket messages. Openfire's path. */
export const webSocketRoot = "ws";
const subprotocol = "xmpp";
const version = "13";

/** The opening handshake: `accept` gets a connection on which both sides speak WebSocket. RFC 6455 §4.2, RFC 7395 §3.1 */
export function webSocketUpgrade(accept: (connection: Connection, visitor: Visitor) => void): Upgrade {
  return (request, take) => {
    const { headers, method, segments } = request;
    if (segments.length !== 1 || segments[0] !== webSocketRoot) return plainAnswer(404, "There is nothing here.");
    if (method !== "GET") return plainAnswer(405, "A WebSocket begins with GET.", { allow: "GET" });
    const wanted = words(headers.upgrade);
    if (!wanted.includes("websocket")) return plainAnswer(426, "WebSocket is spoken here.", { upgrade: "websocket" });
    if (headers["sec-websocket-version"] !== version)
      return plainAnswer(426, "Version 13 is spoken here.", { "sec-websocket-version": version });
    const key = headers["sec-websocket-key"];
    if (key === undefined || !/^[A-Za-z0-9+/]{22}==$/.test(key))
      return plainAnswer(400, "The key has to be 16 bytes in base64.");
    if (!words(headers["sec-websocket-protocol"]).includes(subprotocol))
      return plainAnswer(400, "The subprotocol xmpp is spoken here, and nothing else.");
    const connection = take();
    connection.write(
      [
        "HTTP/1.1 101 Switching Protocols",
        "upgrade: websocket",
        "connection: Upgrade",
        `sec-websocket-accept: ${acceptanceOf(key)}`,
        `sec-websocket-protocol: ${subprotocol}`,
        "\r\n",
      ].join("\r\n"),
    );
    const { address, secure, proxied } = request;
    accept(connection, { address, secure, proxied });
    return undefined;
  };
}

function words(header: string | undefined): string[] {
  return (header ?? "").split(",").map((word) => word.trim().toLowerCase());
}
