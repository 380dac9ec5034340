/**
 * How fast the XML reader is, in MB per second of one core: `npx tsx test/bench/xml.ts`.
 * "mix" is 6 chats, 2 presences, 1 iq and 1 encrypted message in 10.
 */
import { limitsAfterLogin, xmlReader } from "../../xmpp-core/xml/reader.ts";
import type { Stanza } from "../../xmpp-core/xml/stanza.ts";
import { writeStanza } from "../../xmpp-core/xml/writer.ts";

const chat =
  "<message to='juliet@capulet.example/balcony' from='romeo@montague.example/orchard' id='ktx72v49' type='chat'><body>Art thou not Romeo, and a Montague? Neither, fair saint.</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>";
const presence =
  "<presence from='romeo@montague.example/orchard' id='p-4711' xml:lang='en'><show>away</show><status>in the orchard, be right back</status><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example/caps' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/><x xmlns='vcard-temp:x:update'><photo/></x></presence>";
const iq =
  "<iq to='capulet.example' from='juliet@capulet.example/balcony' id='disco-17' type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/commands'/></iq>";
const keys = Array.from({ length: 12 }, (_, i) => `<key rid='${1000 + i}'>${"MwohBfQ7r2".repeat(14)}</key>`).join("");
const omemo = `<message to='juliet@capulet.example' from='romeo@montague.example/orchard' id='om-1' type='chat'><encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='27183'>${keys}<iv>BASE64ENCODED==</iv></header><payload>${"QmFzZTY0IHBheWxvYWQ".repeat(95)}</payload></encrypted><store xmlns='urn:xmpp:hints'/></message>`;
const mix = [chat, presence, chat, chat, iq, chat, omemo, chat, presence, chat].join("");

const open = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

function measure(name: string, text: string, chunkBytes: number, use: (stanza: Stanza) => void): void {
  const input = Buffer.from(text.repeat(Math.ceil(4_000_000 / text.length)));
  let stanzas = 0;
  const run = () => {
    const reader = xmlReader(
      {
        header: () => {},
        stanza: (stanza) => {
          stanzas++;
          use(stanza);
        },
        closed: () => {},
        failed: (error) => {
          throw new Error(error.text);
        },
      },
      limitsAfterLogin,
    );
    reader.push(Buffer.from(open));
    for (let at = 0; at < input.length; at += chunkBytes) reader.push(input.subarray(at, at + chunkBytes));
  };
  for (let warm = 0; warm < 10; warm++) run();
  stanzas = 0;
  const before = process.cpuUsage();
  for (let pass = 0; pass < 25; pass++) run();
  const { user, system } = process.cpuUsage(before);
  const seconds = (user + system) / 1e6;
  const mb = (25 * input.length) / 1e6 / seconds;
  console.log(
    `${name.padEnd(28)} ${mb.toFixed(0).padStart(6)} MB/s ${(stanzas / seconds / 1000).toFixed(0).padStart(6)}k stanzas/s`,
  );
}

const nothing = () => {};
measure("mix, 1.4 kB", mix, 1_400, nothing);
measure("mix, 16 kB", mix, 16_384, nothing);
measure("chat, 1.4 kB", chat, 1_400, nothing);
measure("encrypted, 1.4 kB", omemo, 1_400, nothing);
measure("encrypted, 16 kB", omemo, 16_384, nothing);
measure("mix, 1.4 kB, with trees", mix, 1_400, (stanza) => stanza.element());
measure("mix, 1.4 kB, written on", mix, 1_400, (stanza) =>
  writeStanza(stanza, { from: "romeo@montague.example/orchard" }),
);
