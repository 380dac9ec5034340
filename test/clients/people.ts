/** Accounts as programs find them: with keys that none refuses, with contacts, with a room among the bookmarks. */
import { randomBytes } from "node:crypto";
import { deriveCredentials, formatCredentials } from "../../xmpp-core/auth/keys.ts";
import { derivationPool } from "../../xmpp-core/auth/pool.ts";
import type { TestCore } from "../support/core.ts";
import type { XmppClient } from "../support/xmpp-client.ts";

/** As many iterations as a served account has at least: Gajim refuses fewer than 4096. */
export async function setIterations(core: TestCore, name: string): Promise<void> {
  const { accounts, names, storage } = core.server;
  const made = await deriveCredentials(name, { iterations: 4096, random: randomBytes, pool: derivationPool() });
  const account = accounts.get(names.primary.id, name);
  if (account === undefined) throw new Error(`no account ${name}`);
  await storage.write(accounts.setCredentials(account, formatCredentials(made), `test:${name}`));
}

/** The account and somebody who is online see each other from now on. */
export async function befriend(core: TestCore, name: string, other: XmppClient): Promise<void> {
  const address = `${name}@${core.domain}`;
  const contact = other.jid.split("/")[0];
  const client = await core.login(name, { resource: "before" });
  await client.roster();
  await other.roster();
  client.presence();
  client.presence("", `type='subscribe' to='${contact}'`);
  await other.next("presence", (one) => one.attrs.type === "subscribe");
  other.presence("", `type='subscribed' to='${address}'`);
  other.presence("", `type='subscribe' to='${address}'`);
  await client.next("presence", (one) => one.attrs.type === "subscribe");
  client.presence("", `type='subscribed' to='${contact}'`);
  await other.next("presence", (one) => one.attrs.type === "subscribed");
  await other.next("presence", (one) => one.attrs.from === `${address}/before`);
  await client.close();
  await other.next("presence", (one) => one.attrs.from === `${address}/before` && one.attrs.type === "unavailable");
}

/** Puts a room among the bookmarks, to be joined at login. XEP-0402. */
export async function bookmark(
  core: TestCore,
  name: string,
  room: { readonly address: string; readonly nick: string },
): Promise<void> {
  const pubsub = "http://jabber.org/protocol/pubsub";
  const conference = `<conference xmlns='urn:xmpp:bookmarks:1' autojoin='true'><nick>${room.nick}</nick></conference>`;
  const item = `<item id='${room.address}'>${conference}</item>`;
  const wanted = {
    FORM_TYPE: `${pubsub}#publish-options`,
    "pubsub#persist_items": "true",
    "pubsub#access_model": "whitelist",
    "pubsub#max_items": "max",
    "pubsub#send_last_published_item": "never",
  };
  const fields = Object.entries(wanted).map(([key, value]) => `<field var='${key}'><value>${value}</value></field>`);
  const options = `<publish-options><x xmlns='jabber:x:data' type='submit'>${fields.join("")}</x></publish-options>`;
  const publish = `<publish node='urn:xmpp:bookmarks:1'>${item}</publish>`;
  const client = await core.login(name, { resource: "before" });
  const answer = await client.set(`<pubsub xmlns='${pubsub}'>${publish}${options}</pubsub>`);
  if (answer.attrs.type !== "result") throw new Error(answer.toString());
  await client.close();
}
