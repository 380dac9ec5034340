/** Which specifications are implemented, and where: from the declarations in the code. */
import { allModules } from "../xmpp-core/modules/all.ts";
import type { Implements } from "../xmpp-core/modules/module.ts";
import { openTag, text, x } from "../xmpp-core/xml/writer.ts";

/** What the parts below the modules implement; they have no declaration of their own. */
const belowModules: readonly (Implements & { readonly where: string })[] = [
  { spec: "RFC 6120", status: "complete", where: "stream", note: "client to server; server to server comes later" },
  { spec: "RFC 6121", section: "5, 8", status: "complete", where: "routing", note: "messages, delivery" },
  { spec: "RFC 7590", status: "complete", where: "gate, stream", note: "TLS 1.2 and 1.3; no password without TLS" },
  { spec: "RFC 7622", status: "complete", where: "jid", note: "addresses, by PRECIS (RFC 8264, 8265)" },
  { spec: "RFC 5802", status: "complete", where: "auth", note: "SCRAM-SHA-1 and -PLUS" },
  { spec: "RFC 7677", status: "complete", where: "auth", note: "SCRAM-SHA-256 and -PLUS; SHA-512 likewise" },
  { spec: "RFC 4616", status: "complete", where: "auth", note: "PLAIN, over TLS only" },
  { spec: "RFC 5929", status: "partial", where: "auth", note: "tls-server-end-point" },
  { spec: "RFC 9266", status: "complete", where: "auth", note: "tls-exporter" },
  { spec: "RFC 7395", status: "complete", where: "stream", note: "no compression of messages" },
  { spec: "XEP-0124", version: "1.11.2", status: "complete", where: "stream", note: "one stream a session; no JSONP" },
  { spec: "XEP-0156", version: "1.4.0", status: "complete", where: "web", note: "host-meta, XML and JSON" },
  { spec: "XEP-0198", version: "1.6.3", status: "complete", where: "stream", note: "resumed after kill -9 too" },
  { spec: "XEP-0206", version: "1.4", status: "complete", where: "stream" },
  {
    spec: "XEP-0368",
    version: "1.1.0",
    status: "partial",
    where: "stream",
    note: "direct TLS with ALPN; clients only",
  },
  { spec: "XEP-0386", version: "1.1.0", status: "complete", where: "stream" },
  { spec: "XEP-0388", version: "1.0.4", status: "complete", where: "stream" },
  { spec: "XEP-0440", version: "1.0.0", status: "complete", where: "auth" },
  { spec: "XEP-0474", version: "0.5.0", status: "complete", where: "auth" },
  { spec: "XEP-0480", version: "0.2.0", status: "complete", where: "stream", note: "channel-bound SCRAM only" },
  { spec: "XEP-0484", version: "0.2.0", status: "complete", where: "stream, auth", note: "without TLS 0-RTT" },
];

const titles: Readonly<Record<string, string>> = {
  "RFC 3921": "Session establishment of old clients",
  "RFC 4616": "SASL PLAIN",
  "RFC 5802": "SASL SCRAM",
  "RFC 5929": "Channel bindings for TLS",
  "RFC 6120": "XMPP: Core",
  "RFC 6121": "XMPP: Instant Messaging and Presence",
  "RFC 7395": "XMPP Subprotocol for WebSocket",
  "RFC 7590": "Use of TLS in XMPP",
  "RFC 7622": "XMPP: Address Format",
  "RFC 7677": "SCRAM-SHA-256",
  "RFC 9266": "Channel bindings for TLS 1.3",
  "XEP-0004": "Data Forms",
  "XEP-0012": "Last Activity",
  "XEP-0013": "Flexible Offline Message Retrieval",
  "XEP-0016": "Privacy Lists",
  "XEP-0030": "Service Discovery",
  "XEP-0033": "Extended Stanza Addressing",
  "XEP-0045": "Multi-User Chat",
  "XEP-0048": "Bookmarks",
  "XEP-0049": "Private XML Storage",
  "XEP-0050": "Ad-Hoc Commands",
  "XEP-0054": "vcard-temp",
  "XEP-0055": "Jabber Search",
  "XEP-0059": "Result Set Management",
  "XEP-0060": "Publish-Subscribe",
  "XEP-0065": "SOCKS5 Bytestreams",
  "XEP-0077": "In-Band Registration",
  "XEP-0084": "User Avatar",
  "XEP-0085": "Chat State Notifications",
  "XEP-0092": "Software Version",
  "XEP-0107": "User Mood",
  "XEP-0108": "User Activity",
  "XEP-0114": "Jabber Component Protocol",
  "XEP-0115": "Entity Capabilities",
  "XEP-0118": "User Tune",
  "XEP-0122": "Data Forms Validation",
  "XEP-0124": "Bidirectional-streams Over Synchronous HTTP (BOSH)",
  "XEP-0128": "Service Discovery Extensions",
  "XEP-0131": "Stanza Headers and Internet Metadata",
  "XEP-0133": "Service Administration",
  "XEP-0145": "Annotations",
  "XEP-0153": "vCard-Based Avatars",
  "XEP-0156": "Discovering Alternative XMPP Connection Methods",
  "XEP-0157": "Contact Addresses for XMPP Services",
  "XEP-0158": "CAPTCHA Forms",
  "XEP-0160": "Handling Offline Messages",
  "XEP-0163": "Personal Eventing Protocol",
  "XEP-0172": "User Nickname",
  "XEP-0191": "Blocking Command",
  "XEP-0198": "Stream Management",
  "XEP-0199": "XMPP Ping",
  "XEP-0202": "Entity Time",
  "XEP-0203": "Delayed Delivery",
  "XEP-0206": "XMPP Over BOSH",
  "XEP-0215": "External Service Discovery",
  "XEP-0221": "Data Forms Media Element",
  "XEP-0222": "Persistent Storage of Public Data via PubSub",
  "XEP-0223": "Persistent Storage of Private Data via PubSub",
  "XEP-0237": "Roster Versioning",
  "XEP-0249": "Direct MUC Invitations",
  "XEP-0256": "Last Activity in Presence",
  "XEP-0258": "Security Labels in XMPP",
  "XEP-0280": "Message Carbons",
  "XEP-0292": "vCard4 Over XMPP",
  "XEP-0297": "Stanza Forwarding",
  "XEP-0300": "Cryptographic Hash Functions",
  "XEP-0313": "Message Archive Management",
  "XEP-0317": "Hats",
  "XEP-0334": "Message Processing Hints",
  "XEP-0352": "Client State Indication",
  "XEP-0355": "Namespace Delegation",
  "XEP-0356": "Privileged Entity",
  "XEP-0357": "Push Notifications",
  "XEP-0359": "Unique and Stable Stanza IDs",
  "XEP-0363": "HTTP File Upload",
  "XEP-0368": "SRV records for XMPP over TLS",
  "XEP-0377": "Spam Reporting",
  "XEP-0379": "Pre-Authenticated Roster Subscription",
  "XEP-0386": "Bind 2",
  "XEP-0388": "Extensible SASL Profile",
  "XEP-0390": "Entity Capabilities 2.0",
  "XEP-0398": "User Avatar to vCard-Based Avatars Conversion",
  "XEP-0401": "Ad-hoc Account Invitation Generation",
  "XEP-0402": "PEP Native Bookmarks",
  "XEP-0410": "MUC Self-Ping",
  "XEP-0411": "Bookmarks Conversion",
  "XEP-0413": "Order-By",
  "XEP-0421": "Occupant identifiers for semi-anonymous MUCs",
  "XEP-0424": "Message Retraction",
  "XEP-0425": "Moderated Message Retraction",
  "XEP-0431": "Full Text Search in MAM",
  "XEP-0433": "Extended Channel Search",
  "XEP-0440": "SASL Channel-Binding Type Capability",
  "XEP-0441": "Message Archive Management Preferences",
  "XEP-0442": "Pubsub Message Archive Management",
  "XEP-0444": "Message Reactions",
  "XEP-0445": "Pre-Authenticated In-Band Registration",
  "XEP-0455": "Service Outage Status",
  "XEP-0474": "SASL SCRAM Downgrade Protection",
  "XEP-0478": "Stream Limits Advertisement",
  "XEP-0480": "SASL Upgrade Tasks",
  "XEP-0484": "Fast Authentication Streamlining Tokens",
  "XEP-0486": "MUC Avatars",
  "XEP-0490": "Message Displayed Synchronization",
  "XEP-0492": "Chat notification settings",
  "XEP-0500": "MUC Slow Mode",
};

/** Every declaration, and where it stands. */
export function everything(): readonly (Implements & { readonly where: string })[] {
  return [
    ...belowModules,
    ...allModules.flatMap((module) => module.implements.map((one) => ({ ...one, where: module.name }))),
  ];
}

/** docs/xeps.md. */
export function specificationsPage(): string {
  const rows = everything()
    .map((one) => {
      const title = titles[one.spec];
      if (title === undefined) throw new Error(`${one.spec} has no title in docs/specifications.ts`);
      const what = `${title}${one.section === undefined ? "" : ` §${one.section}`}`;
      return `| ${linked(one.spec)} | ${what} | ${one.version ?? ""} | ${one.status} | ${one.where} | ${one.note ?? ""} |`;
    })
    .sort();
  return [
    "# Specifications",
    "",
    "Generated from the declarations in the code (`npm run docs`); a test fails when this page is stale. For programs: [firekeeper.doap](firekeeper.doap).",
    "",
    "| specification | what | version | status | where | note |",
    "|---|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

export const linked = (spec: string): string => `[${spec}](${address(spec)})`;

function address(spec: string): string {
  const number = spec.slice(4);
  return spec.startsWith("RFC")
    ? `https://www.rfc-editor.org/rfc/rfc${number}`
    : `https://xmpp.org/extensions/xep-${number}.html`;
}

/** docs/firekeeper.doap: what directories of software read. XEP-0453 */
export function projectDescription(): string {
  const of = new Map<string, (Implements & { readonly where: string })[]>();
  for (const one of everything()) of.set(one.spec, [...(of.get(one.spec) ?? []), one]);
  const specs = [...of].sort(([one], [other]) => (one < other ? -1 : 1));
  const about = [
    ["name", "Firekeeper"],
    ["shortdesc", "An XMPP service that follows the settings of its host application"],
    ["programming-language", "TypeScript"],
    ["os", "Linux"],
  ] as const;
  const lines = [
    ...about.map(([name, content]) => `    ${x(name, {}, text(content))}`),
    `    ${x("category", { "rdf:resource": "https://linkmauve.fr/ns/xmpp-doap#category-server" })}`,
    ...specs
      .filter(([spec]) => spec.startsWith("RFC"))
      .map(([spec]) => `    ${x("implements", { "rdf:resource": address(spec) })}`),
    ...specs.filter(([spec]) => spec.startsWith("XEP")).flatMap(([, parts]) => supported(parts)),
  ];
  return [
    "<?xml version='1.0' encoding='UTF-8'?>",
    openTag("rdf:RDF", {
      "xmlns:rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
      xmlns: "http://usefulinc.com/ns/doap#",
      "xmlns:xmpp": "https://linkmauve.fr/ns/xmpp-doap#",
    }),
    "  <Project>",
    ...lines,
    "  </Project>",
    "</rdf:RDF>",
    "",
  ].join("\n");
}

/** One specification, whichever modules have a part in it. */
function supported(parts: readonly (Implements & { readonly where: string })[]): string[] {
  const [first] = parts;
  if (first === undefined) return [];
  const version = parts.find((one) => one.version !== undefined)?.version;
  const notes = parts.flatMap((one) => one.note ?? []).join("; ");
  const status = parts.every((one) => one.status === "complete") ? "complete" : "partial";
  const inside = [
    x("xmpp:xep", { "rdf:resource": address(first.spec) }),
    x("xmpp:status", {}, text(status)),
    ...(version === undefined ? [] : [x("xmpp:version", {}, text(version))]),
    ...(notes === "" ? [] : [x("xmpp:note", { "xml:lang": "en" }, text(notes))]),
  ];
  return [
    "    <implements>",
    "      <xmpp:SupportedXep>",
    ...inside.map((line) => `        ${line}`),
    "      </xmpp:SupportedXep>",
    "    </implements>",
  ];
}
