/** The load generator's half of WebSocket. RFC 6455, RFC 7395 */
import type { TLSSocket } from "node:tls";

export const handshake = [
  "GET /ws/ HTTP/1.1",
  "Host: localhost",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Protocol: xmpp",
  "\r\n",
].join("\r\n");

const header = /^<\?xml.*?<stream:stream .*?( to='[^']*' version='[^']*')>$/;
const topLevel =
  /(?=<\?xml|<message |<presence|<iq |<auth |<response |<(?:a|r|enable) xmlns='urn:xmpp:sm)|(?<=<stream:stream [^>]*>)/;

/** What is written from now on leaves as WebSocket messages, one element each. */
export function speakMessages(socket: TLSSocket): void {
  const write = socket.write.bind(socket);
  socket.write = (text) => write(Buffer.concat(String(text).split(topLevel).filter(Boolean).map(frame)));
}

function frame(element: string): Buffer {
  const [, attributes] = header.exec(element) ?? [];
  const open = `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'${attributes}/>`;
  const text = attributes === undefined ? element.replace(/^<(message|presence|iq)/, "$& xmlns='jabber:client'") : open;
  const length = Buffer.byteLength(text);
  const long = length > 125;
  const whole = Buffer.alloc((long ? 4 : 2) + 4 + length);
  whole[0] = 0x81;
  whole[1] = 0x80 | (long ? 126 : length);
  if (long) whole.writeUInt16BE(length, 2);
  // The server unmasks by any key alike; that of zeros spares the load generator the work.
  whole.write(text, (long ? 4 : 2) + 4);
  return whole;
}
