import { readFile } from "node:fs/promises";
import { client, xml } from "@xmpp/client";
import type { Element } from "ltx";
import { until } from "../support/processes.ts";
import { type ClientProgram, patienceMs } from "./real-client.ts";

/** @xmpp/client from npm, in the test's own process. */
export const xmppJs: ClientProgram = {
  name: "@xmpp/client",
  async missing() {
    return undefined;
  },
  async version() {
    const manifest = new URL("../../node_modules/@xmpp/client/package.json", import.meta.url);
    return (JSON.parse(await readFile(manifest, "utf8")) as { version: string }).version;
  },
  async login(account) {
    // It has no option for a self-signed certificate; Node reads this when a connection is made.
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    const { domain, user, password, room } = account;
    const entity = client({ service: `xmpp://${account.host}:${account.port}`, domain, username: user, password });
    // Its own two seconds for each step of a login are too few for a machine that is busy with other things.
    entity.timeout = patienceMs;
    const lines: string[] = [];
    const messages: { from: string; body: string }[] = [];
    const archived: { from: string; body: string }[] = [];
    const busy = new Set<string>();
    const groups = new Map<string, string[]>();
    let losses = 0;
    const note = (what: string) => (detail: unknown) => lines.push(`${what} ${String(detail)}`);
    entity.on("input", note("<<"));
    entity.on("output", note(">>"));
    entity.on("error", note("!!"));
    entity.on("disconnect", (detail) => {
      losses++;
      note("!! disconnect")(detail);
    });
    const takeRoster = (query: Element | undefined): void => {
      for (const item of query?.getChildren("item") ?? [])
        groups.set(
          item.attrs.jid,
          item.getChildren("group").map((group) => group.getText()),
        );
    };
    entity.on("stanza", (stanza) => {
      const sender = String(stanza.attrs.from).split("/")[0] ?? "";
      if (stanza.is("presence") && stanza.getChildText("show") === "dnd") busy.add(sender);
      if (!stanza.is("message")) return;
      const old = stanza.getChild("result", "urn:xmpp:mam:2")?.getChild("forwarded", "urn:xmpp:forward:0");
      const message = old?.getChild("message") ?? stanza;
      const body = message.getChildText("body");
      const shown = old === undefined ? messages : archived;
      if (body) shown.push({ from: String(message.attrs.from).split("/")[0] ?? "", body });
    });
    entity.iqCallee.set("jabber:iq:roster", "query", ({ element }) => {
      takeRoster(element);
      return true;
    });
    const transcript = (): string => lines.join("\n");
    const seen = (what: string, holds: () => boolean): Promise<void> =>
      until(holds, patienceMs, () => `@xmpp/client: no ${what}\n${transcript()}`);
    const stop = async (): Promise<void> => {
      entity.reconnect.stop();
      await entity.stop();
    };
    try {
      await entity.start();
      const roster = xml("iq", { type: "get" }, xml("query", { xmlns: "jabber:iq:roster" }));
      takeRoster((await entity.iqCaller.request(roster)).getChild("query"));
      await entity.send(xml("presence"));
      if (room !== undefined) await entity.send(enter(room));
      // The answer comes behind the presence: from here on messages to the bare address reach this session.
      await entity.iqCaller.request(xml("iq", { type: "get", to: domain }, xml("ping", { xmlns: "urn:xmpp:ping" })));
    } catch (error) {
      await stop();
      throw new Error(`@xmpp/client: ${String(error)}\n${transcript()}`);
    }
    return {
      address: `${user}@${domain}`,
      say: (to, body) =>
        entity.send(xml("message", { to, type: to === room?.address ? "groupchat" : "chat" }, xml("body", {}, body))),
      heard: (from, body) =>
        seen(`message "${body}"`, () => messages.some((one) => one.from === from && one.body === body)),
      timesHeard: async (from, body) => messages.filter((one) => one.from === from && one.body === body).length,
      async finds(from, body) {
        const field = (name: string, value: string): Element => xml("field", { var: name }, xml("value", {}, value));
        const fields = [field("FORM_TYPE", "urn:xmpp:mam:2"), field("with", from)];
        const form = xml("x", { xmlns: "jabber:x:data", type: "submit" }, ...fields);
        await entity.iqCaller.request(xml("iq", { type: "set" }, xml("query", { xmlns: "urn:xmpp:mam:2" }, form)));
        await seen(`archived "${body}"`, () => archived.some((one) => one.from === from && one.body === body));
      },
      sees: (contact, group) => seen(`${contact} in ${group}`, () => groups.get(contact)?.includes(group) === true),
      seesBusy: (contact) => seen(`busy ${contact}`, () => busy.has(contact)),
      losses: async () => losses,
      transcript,
      stop,
    };
  },
};

function enter(room: { address: string; nick: string }): Element {
  return xml("presence", { to: `${room.address}/${room.nick}` }, xml("x", { xmlns: "http://jabber.org/protocol/muc" }));
}
