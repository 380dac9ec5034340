/** Every XML namespace the server speaks, by the name the code uses. The comment names the specification. */
export const ns = {
  // RFC 6120, RFC 6121, RFC 7395
  client: "jabber:client",
  server: "jabber:server",
  streams: "http://etherx.jabber.org/streams",
  streamErrors: "urn:ietf:params:xml:ns:xmpp-streams",
  stanzaErrors: "urn:ietf:params:xml:ns:xmpp-stanzas",
  tls: "urn:ietf:params:xml:ns:xmpp-tls",
  sasl: "urn:ietf:params:xml:ns:xmpp-sasl",
  bind: "urn:ietf:params:xml:ns:xmpp-bind",
  session: "urn:ietf:params:xml:ns:xmpp-session",
  roster: "jabber:iq:roster",
  rosterVersioning: "urn:xmpp:features:rosterver", // XEP-0237
  preApproval: "urn:xmpp:features:pre-approval", // RFC 6121 §3.4
  framing: "urn:ietf:params:xml:ns:xmpp-framing",
  xml: "http://www.w3.org/XML/1998/namespace",
  bosh: "http://jabber.org/protocol/httpbind", // XEP-0124
  xbosh: "urn:xmpp:xbosh", // XEP-0206
  xrd: "http://docs.oasis-open.org/ns/xri/xrd-1.0", // XEP-0156
  // Logging in
  iqAuth: "jabber:iq:auth", // XEP-0078, only to refuse it
  register: "jabber:iq:register", // XEP-0077
  registerFeature: "http://jabber.org/features/iq-register", // XEP-0077
  captcha: "urn:xmpp:captcha", // XEP-0158
  mediaElement: "urn:xmpp:media-element", // XEP-0221
  bitsOfBinary: "urn:xmpp:bob", // XEP-0231
  outOfBand: "jabber:x:oob", // XEP-0066
  preAuth: "urn:xmpp:pars:0", // XEP-0379
  invite: "urn:xmpp:invite", // XEP-0401
  ibrToken: "urn:xmpp:ibr-token:0", // XEP-0445
  streamManagement: "urn:xmpp:sm:3", // XEP-0198
  streamLimits: "urn:xmpp:stream-limits:0", // XEP-0478
  channelBinding: "urn:xmpp:sasl-cb:0", // XEP-0440
  sasl2: "urn:xmpp:sasl:2", // XEP-0388
  bind2: "urn:xmpp:bind:0", // XEP-0386
  fast: "urn:xmpp:fast:0", // XEP-0484
  saslUpgrade: "urn:xmpp:sasl:upgrade:0", // XEP-0480
  scramUpgrade: "urn:xmpp:scram-upgrade:0", // XEP-0480
  clientState: "urn:xmpp:csi:0", // XEP-0352
  push: "urn:xmpp:push:0", // XEP-0357
  pushSummary: "urn:xmpp:push:summary", // XEP-0357
  // Forms, errors, results
  dataForms: "jabber:x:data", // XEP-0004
  dataFormValidate: "http://jabber.org/protocol/xdata-validate", // XEP-0122
  rsm: "http://jabber.org/protocol/rsm", // XEP-0059
  applicationErrors: "urn:xmpp:errors", // XEP-0182
  // Discovery
  discoInfo: "http://jabber.org/protocol/disco#info", // XEP-0030
  discoItems: "http://jabber.org/protocol/disco#items", // XEP-0030
  capabilities: "http://jabber.org/protocol/caps", // XEP-0115
  capabilities2: "urn:xmpp:caps", // XEP-0390
  hashes: "urn:xmpp:hashes:2", // XEP-0300
  serverInfo: "http://jabber.org/network/serverinfo", // XEP-0157
  serviceOutage: "urn:xmpp:sos:0", // XEP-0455
  // Small services
  ping: "urn:xmpp:ping", // XEP-0199
  version: "jabber:iq:version", // XEP-0092
  time: "urn:xmpp:time", // XEP-0202
  lastActivity: "jabber:iq:last", // XEP-0012
  search: "jabber:iq:search", // XEP-0055
  sharedGroup: "http://www.jivesoftware.org/protocol/sharedgroup", // Spark
  privateStorage: "jabber:iq:private", // XEP-0049
  vcard: "vcard-temp", // XEP-0054
  vcardUpdate: "vcard-temp:x:update", // XEP-0153
  vcard4: "urn:ietf:params:xml:ns:vcard-4.0", // XEP-0292
  vcard4Node: "urn:xmpp:vcard4", // XEP-0292
  avatarData: "urn:xmpp:avatar:data", // XEP-0084
  avatarMetadata: "urn:xmpp:avatar:metadata", // XEP-0084
  avatarConversion: "urn:xmpp:pep-vcard-conversion:0", // XEP-0398
  bookmarks: "urn:xmpp:bookmarks:1", // XEP-0402
  legacyBookmarks: "storage:bookmarks", // XEP-0048
  blocking: "urn:xmpp:blocking", // XEP-0191
  blockingErrors: "urn:xmpp:blocking:errors", // XEP-0191
  privacy: "jabber:iq:privacy", // XEP-0016
  reporting: "urn:xmpp:reporting:1", // XEP-0377
  moved: "urn:xmpp:moved:1", // XEP-0283
  // Messages
  delay: "urn:xmpp:delay", // XEP-0203
  offlineFeature: "msgoffline", // XEP-0160
  offline: "http://jabber.org/protocol/offline", // XEP-0013
  forward: "urn:xmpp:forward:0", // XEP-0297
  carbons: "urn:xmpp:carbons:2", // XEP-0280
  carbonRules: "urn:xmpp:carbons:rules:0", // XEP-0280 §6.1
  hints: "urn:xmpp:hints", // XEP-0334
  stanzaIds: "urn:xmpp:sid:0", // XEP-0359
  archive: "urn:xmpp:mam:2", // XEP-0313
  archiveExtended: "urn:xmpp:mam:2#extended", // XEP-0313
  archiveGroupchat: "urn:xmpp:mam:2#groupchat-field", // XEP-0313
  fulltext: "urn:xmpp:fulltext:0", // XEP-0431
  chatStates: "http://jabber.org/protocol/chatstates", // XEP-0085
  receipts: "urn:xmpp:receipts", // XEP-0184
  chatMarkers: "urn:xmpp:chat-markers:0", // XEP-0333
  correction: "urn:xmpp:message-correct:0", // XEP-0308
  retraction: "urn:xmpp:message-retract:1", // XEP-0424
  reactions: "urn:xmpp:reactions:0", // XEP-0444
  encryption: "urn:xmpp:eme:0", // XEP-0380
  omemo: "eu.siacs.conversations.axolotl", // XEP-0384 0.3
  openPgp: "urn:xmpp:openpgp:0", // XEP-0373
  legacyEncrypted: "jabber:x:encrypted", // XEP-0027
  conference: "jabber:x:conference", // XEP-0249
  addresses: "http://jabber.org/protocol/address", // XEP-0033
  jingleMessage: "urn:xmpp:jingle-message:0", // XEP-0353
  externalServices: "urn:xmpp:extdisco:2", // XEP-0215
  // Commands
  commands: "http://jabber.org/protocol/commands", // XEP-0050
  admin: "http://jabber.org/protocol/admin", // XEP-0133
  // Files
  upload: "urn:xmpp:http:upload:0", // XEP-0363
  uploadBefore: "urn:xmpp:http:upload", // XEP-0363 0.2, as Psi+ and old Smack ask it
  uploadPurpose: "urn:xmpp:http:upload:purpose:0", // XEP-0363 §6
  bytestreams: "http://jabber.org/protocol/bytestreams", // XEP-0065
  // Rooms and nodes
  muc: "http://jabber.org/protocol/muc", // XEP-0045
  mucUser: "http://jabber.org/protocol/muc#user", // XEP-0045
  mucRegister: "http://jabber.org/protocol/muc#register", // XEP-0045 §7.10
  mucRoomInfo: "http://jabber.org/protocol/muc#roominfo", // XEP-0045 §15.5.4
  moderation: "urn:xmpp:message-moderate:1", // XEP-0425
  moderationBefore: "urn:xmpp:message-moderate:0", // XEP-0425 0.2, as clients still ask it
  retractionBefore: "urn:xmpp:message-retract:0", // XEP-0424 0.3
  fastening: "urn:xmpp:fasten:0", // XEP-0422, around both of them
  hats: "urn:xmpp:hats:0", // XEP-0317
  hatCommands: "urn:xmpp:hats:commands", // XEP-0317
  channelSearch: "urn:xmpp:channel-search:0:search", // XEP-0433
  channelSearchParams: "urn:xmpp:channel-search:0:search-params", // XEP-0433
  channelSearchError: "urn:xmpp:channel-search:0:error", // XEP-0433
  channelSearchOrder: "urn:xmpp:channel-search:0:order", // XEP-0433
  pubsub: "http://jabber.org/protocol/pubsub", // XEP-0060
  pubsubEvent: "http://jabber.org/protocol/pubsub#event", // XEP-0060
  component: "jabber:component:accept", // XEP-0114
  delegation: "urn:xmpp:delegation:2", // XEP-0355
  privilege: "urn:xmpp:privilege:2", // XEP-0356
  virtualPresence: "urn:firekeeper:virtual-presence:0", // ours, docs/components.md
  hostData: "urn:firekeeper:host:0", // ours, docs/components.md
  dialback: "jabber:server:dialback", // XEP-0220
} as const;
