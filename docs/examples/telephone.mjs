/**
 * A telephone system as a component: it shows each telephone as a resource of its owner and answers a namespace that is
 * delegated to it. docs/components.md says how to start it and what the server needs.
 */
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { escapeXML, Parser } from "ltx";

const domain = process.env.COMPONENT_DOMAIN ?? "localhost";
const port = Number(process.env.COMPONENT_PORT ?? 5275);
const secret = process.env.COMPONENT_SECRET ?? "";
const telephones = (process.env.TELEPHONES ?? "bob").split(",");
const self = `pbx.${domain}`;
const dialling = "http://www.pascom.net/mobydick";

/** Whom each telephone is connected to; absent: free. */
const calls = new Map();
let showsNumbers = false;
let ids = 0;

function start() {
  const socket = connect(port, "127.0.0.1");
  const send = (xml) => socket.write(xml);
  const ask = (type, payload) =>
    send(`<iq type='${type}' id='pbx-${++ids}' from='${self}' to='${domain}'>${payload}</iq>`);
  socket.once("connect", () =>
    send(
      `<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${self}'>`,
    ),
  );
  socket.on("error", (error) => console.error(error.message));
  // Whatever the server showed of us is gone with the connection: come back, and say it all again.
  socket.once("close", () => setTimeout(start, 1000));
  read(socket, {
    header: ({ id }) => send(`<handshake>${createHash("sha1").update(`${id}${secret}`).digest("hex")}</handshake>`),
    stanza(stanza) {
      if (stanza.is("handshake")) {
        ask("get", "<settings xmlns='urn:firekeeper:host:0'/>");
        show(telephones, true);
        console.log(`connected as ${self}`);
      } else if (stanza.is("iq")) request(stanza);
    },
  });

  /** Says how some telephones are; `whole`: and that there are no others. */
  function show(names, whole = false) {
    const states = names.map((name) => {
      const partner = calls.get(name);
      const status = showsNumbers && partner ? `on the phone with ${partner}` : "on the phone";
      const inside = partner ? `<show>dnd</show><status>${escapeXML(status)}</status>` : "";
      return `<presence xmlns='jabber:client' from='${name}@${domain}/phone'>${inside}</presence>`;
    });
    ask("set", `<presences xmlns='urn:firekeeper:virtual-presence:0' whole='${whole}'>${states.join("")}</presences>`);
  }

  function request(iq) {
    const settings = iq.getChild("settings", "urn:firekeeper:host:0");
    for (const { attrs } of settings?.getChildren("setting") ?? [])
      if (attrs.key === "roster.shownumbers") showsNumbers = attrs.value === "true";
    if (settings) show([...calls.keys()]);
    const forwarded = iq.getChild("delegation")?.getChild("forwarded")?.getChild("iq");
    if (forwarded) return answer(iq, forwarded);
    if (iq.attrs.type === "set" || iq.attrs.type === "get") reply(iq, "");
  }

  /** A request that somebody made to the server, and that the server sent on to us. XEP-0355 */
  function answer(iq, asked) {
    const name = asked.attrs.from.split("@")[0];
    const command = asked.getChild("cmd", dialling)?.getChildElements()[0];
    const dials = command?.getName() === "Dial";
    if (dials) calls.set(name, String(command.attrs.target));
    else calls.delete(name);
    show([name]);
    const done = `<cmd xmlns='${dialling}' module='base'><Success><message>${dials ? "dialling" : "free"}</message></Success></cmd>`;
    const inner = `<iq xmlns='jabber:client' type='result' id='${escapeXML(asked.attrs.id)}' to='${escapeXML(asked.attrs.from)}'>${done}</iq>`;
    const forwarded = `<forwarded xmlns='urn:xmpp:forward:0'>${inner}</forwarded>`;
    reply(iq, `<delegation xmlns='urn:xmpp:delegation:2'>${forwarded}</delegation>`);
  }

  function reply(iq, payload) {
    send(`<iq type='result' id='${escapeXML(iq.attrs.id)}' from='${self}' to='${iq.attrs.from}'>${payload}</iq>`);
  }
}

/** Tells of the stream's header and of each stanza as it is complete. */
function read(socket, { header, stanza }) {
  const tree = new Parser();
  const Element = tree.DefaultElement;
  const open = [];
  tree.parser.on("startElement", (name, attrs) => {
    const element = new Element(name, attrs);
    open.at(-1)?.cnode(element);
    open.push(element);
    if (open.length === 1) header(attrs);
  });
  tree.parser.on("endElement", () => {
    const element = open.pop();
    if (open.length !== 1) return;
    open[0].children.length = 0;
    stanza(element);
  });
  tree.parser.on("text", (text) => open.at(-1)?.t(text));
  socket.setEncoding("utf8");
  socket.on("data", (chunk) => tree.write(chunk));
}

start();
