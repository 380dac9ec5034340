/** The header of a TCP proxy, read from bytes. https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt */
import { expect, test } from "vitest";
import { readProxyHeader } from "../../xmpp-core/gate/proxy-protocol.ts";
import { binaryHeader } from "../protocol/gate-fixture.ts";

const from = (address: string, port: number, to: string, toPort: number) => ({
  remote: { address, port },
  local: { address: to, port: toPort },
});

test.each([
  ["PROXY TCP4 192.0.2.1 198.51.100.7 56324 5222\r\n", from("192.0.2.1", 56324, "198.51.100.7", 5222)],
  ["PROXY TCP6 2001:DB8:0::1 2001:db8::7 1 65535\r\n", from("2001:db8::1", 1, "2001:db8::7", 65535)],
  ["PROXY TCP6 ::ffff:192.0.2.1 2001:db8::7 0 5222\r\n", from("192.0.2.1", 0, "2001:db8::7", 5222)],
  ["PROXY UNKNOWN\r\n", undefined],
  [`PROXY UNKNOWN ${"f".repeat(91)}\r\n`, undefined],
])("%j", (header, ends) => {
  expect(readProxyHeader(Buffer.from(`${header}<stream`))).toEqual({ is: "header", length: header.length, ends });
});

test.each([
  "GET / HTTP/1.1\r\n",
  "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
  "PROXY TCP4 192.0.2.1 198.51.100.7 56324 5222 \r\n",
  "PROXY TCP4 192.0.2.1  198.51.100.7 56324 5222\r\n",
  "PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n",
  "PROXY TCP4 192.0.2.1 198.51.100.7 056324 5222\r\n",
  "PROXY TCP4 192.0.2.256 198.51.100.7 56324 5222\r\n",
  "PROXY TCP4 2001:db8::1 2001:db8::7 1 2\r\n",
  "PROXY TCP6 fe80::1%eth0 2001:db8::7 1 2\r\n",
  "PROXY UDP4 192.0.2.1 198.51.100.7 1 2\r\n",
  `PROXY UNKNOWN ${"f".repeat(92)}\r\n`,
  "PROXY\r\n",
  "proxy TCP4",
])("%j is garbled", (header) => {
  expect(readProxyHeader(Buffer.from(header))).toEqual({ is: "garbled" });
});

const v4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 4, 0x14, 0x66]);
const v6 = Buffer.concat([
  Buffer.from("20010db8000000000000000000000001", "hex"),
  Buffer.from("00000000000000000000ffffc6336407", "hex"),
  Buffer.from([0, 1, 0, 2]),
]);
const extension = Buffer.from([0x02, 0, 3, 0x61, 0x62, 0x63]);

test.each([
  ["IPv4", binaryHeader(0x21, 0x11, v4), from("192.0.2.1", 56324, "198.51.100.7", 5222)],
  [
    "IPv4 with extensions",
    binaryHeader(0x21, 0x11, Buffer.concat([v4, extension])),
    from("192.0.2.1", 56324, "198.51.100.7", 5222),
  ],
  ["IPv6, one end mapped IPv4", binaryHeader(0x21, 0x21, v6), from("2001:db8::1", 1, "198.51.100.7", 2)],
  ["LOCAL, whatever it carries", binaryHeader(0x20, 0x11, v4), undefined],
  ["LOCAL with nothing", binaryHeader(0x20, 0x00, Buffer.alloc(0)), undefined],
  ["family unspecified", binaryHeader(0x21, 0x00, extension), undefined],
])("version 2: %s", (_name, header, ends) => {
  expect(readProxyHeader(Buffer.concat([header, Buffer.from("<stream")]))).toEqual({
    is: "header",
    length: header.length,
    ends,
  });
  for (let length = 0; length < header.length; length++)
    expect(readProxyHeader(header.subarray(0, length))).toEqual({ is: "partial" });
});

test.each([
  ["version 3", binaryHeader(0x31, 0x11, v4)],
  ["an unknown command", binaryHeader(0x22, 0x11, v4)],
  ["datagrams", binaryHeader(0x21, 0x12, v4)],
  ["a Unix socket", binaryHeader(0x21, 0x31, Buffer.alloc(216))],
  ["too few bytes for its family", binaryHeader(0x21, 0x21, v4)],
  // Seen from its first 16 bytes: nobody waits for the rest.
  ["a length beyond what proxies send", binaryHeader(0x21, 0x11, Buffer.alloc(5000)).subarray(0, 16)],
])("version 2: %s is garbled", (_name, header) => {
  expect(readProxyHeader(header)).toEqual({ is: "garbled" });
});
