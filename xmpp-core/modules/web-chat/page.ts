import { text, x } from "../../xml/writer.ts";

/** What the page may do: run the files of this server, talk to it, and show what it hands out. */
export const chatPolicy = [
  "default-src 'none'",
  // OMEMO's curve is WebAssembly.
  "script-src 'self' 'wasm-unsafe-eval'",
  // Converse.js sets sizes and colours as style attributes.
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "media-src 'self' blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** `base`: where the chat stands, `/chat`, without a slash at its end. */
export function chatPage(base: string, domain: string, version: string): string {
  const files = `${base}/${version}`;
  const document = x(
    "html",
    { lang: "en" },
    x(
      "head",
      {},
      x("meta", { charset: "utf-8" }),
      x("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
      x("title", {}, text(domain)),
      x("link", { rel: "icon", href: `${files}/images/favicon.ico` }),
      x("link", { rel: "stylesheet", href: `${files}/converse.min.css` }),
      x("link", { rel: "license", href: `${files}/LICENSE` }),
      x("script", { src: `${files}/converse.min.js`, type: "module" }, text(" ")),
      x("script", { src: `${base}/start.js`, type: "module", "data-base": base, "data-domain": domain }, text(" ")),
    ),
    x(
      "body",
      { class: "converse-fullscreen" },
      x("noscript", {}, x("p", {}, text("The web chat needs JavaScript. Any other XMPP program works without."))),
    ),
  );
  return `<!DOCTYPE html>${document}\n`;
}

/**
 * Begins the chat: over WebSocket, or, where something on the way does not let it through, over BOSH. Both lie beside
 * the page, so what reaches the page reaches them, whatever names and proxies are before it.
 */
export const startScript = `// Converse.js is free software under the Mozilla Public License 2.0; its licence is in the file LICENSE beside it.
const { base, domain } = document.querySelector("script[data-base]").dataset;
const beside = (path) => new URL(base + "/../" + path, location.origin).href;

function links(name, targets) {
  customElements.define(
    name,
    class extends HTMLElement {
      connectedCallback() {
        const paragraph = document.createElement("p");
        paragraph.className = "text-center p-3 m-0";
        for (const [href, textContent] of targets)
          paragraph.append(Object.assign(document.createElement("a"), { href, textContent, className: "px-2" }));
        this.replaceChildren(paragraph);
      }
    },
  );
}
// Instead of Converse.js's own, which show pictures of other hosts and lead to its authors for help.
links("converse-controlbox-navbar", [[beside(""), domain]]);
links("converse-footer", [
  ["https://conversejs.org", "Converse.js"],
  [document.querySelector("link[rel=license]").href, "MPL 2.0"],
]);

// What nobody has read yet stands in the title, so that it is seen from another tab.
converse.plugins.add("firekeeper", {
  initialize() {
    const { _converse } = this;
    const { api } = _converse;
    api.waitUntil("chatBoxesInitialized").then(() => {
      const { chatboxes } = _converse.state;
      const count = () => {
        const unread = chatboxes.models.reduce((sum, box) => sum + (box.get("num_unread") || 0), 0);
        document.title = unread > 0 ? "(" + unread + ") " + domain : domain;
      };
      for (const event of ["change:num_unread", "add", "remove", "reset"]) chatboxes.on(event, count);
      count();
    });
    // Converse.js 14 scrolls the element around the messages, which never moves: the ribbon that names new ones led nowhere.
    api.listen.on("chatBoxScrolledDown", ({ chatbox }) => {
      for (const content of document.querySelectorAll("converse-chat-content"))
        if (content.model === chatbox) content.querySelector(".chat-content__messages").scrollTop = 0;
    });
    // A stream is resumed under the address it was bound to, and not under the one that a new login makes up.
    const bound = () => _converse.session.save({ bound_jid: api.connection.get().jid });
    for (const event of ["connected", "reconnected"]) api.listen.on(event, bound);
    api.listen.on("setUserJID", () => {
      const { session } = _converse;
      const jid = session.get("bound_jid");
      if (!jid || !session.get("smacks_stream_id") || !jid.startsWith(session.get("bare_jid") + "/")) return;
      const resource = jid.slice(jid.indexOf("/") + 1);
      session.save({ jid, resource });
      Object.assign(_converse, { jid, resource });
      api.connection.get().jid = jid;
    });
  },
});

const settings = await (await fetch(base + "/settings.json", { cache: "no-cache" })).json();
const socketAddress = beside("ws/").replace(/^http/, "ws");
const opens = await new Promise((resolve) => {
  const socket = new WebSocket(socketAddress, "xmpp");
  const end = (opened) => {
    clearTimeout(timer);
    socket.onopen = socket.onerror = null;
    socket.close();
    resolve(opened);
  };
  const timer = setTimeout(() => end(false), 5000);
  socket.onopen = () => end(true);
  socket.onerror = () => end(false);
}).catch(() => false);
const way = opens ? { websocket_url: socketAddress } : { bosh_service_url: beside("http-bind/") };
converse.initialize({ ...settings, ...way, whitelisted_plugins: ["firekeeper"] });
`;

/** Converse.js's own settings; the domain is fixed and nobody else's server is asked for anything. */
export function chatSettings(facts: {
  readonly base: string;
  readonly version: string;
  readonly domain: string;
  readonly registration: boolean;
  readonly rooms: string | undefined;
}): Readonly<Record<string, unknown>> {
  const { base, version, domain, registration, rooms } = facts;
  return {
    view_mode: "fullscreen",
    authentication: "login",
    auto_login: false,
    locked_domain: domain,
    discover_connection_methods: false,
    assets_path: `${base}/${version}/`,
    allow_registration: registration,
    registration_domain: domain,
    ...(rooms === undefined ? {} : { muc_domain: rooms }),
    muc_search_service: "",
    embed_3rd_party_media_players: false,
    fetch_url_headers: false,
    render_media: false,
    allow_user_trust_override: "off",
    show_client_info: false,
    message_archiving: "always",
    loglevel: "error",
  };
}
