/** Proofs of the properties of accounts that people make, invite to and give up themselves. */
import { createServer } from "node:net";
import { expect } from "vitest";
import { command, formFields } from "../support/commands.ts";
import { freePort } from "../support/core.ts";
import { mailServer } from "../support/mail-server.ts";
import { type Browser, browser } from "../support/pages.ts";
import { errorCondition } from "../support/stanzas.ts";
import type { Proof, World } from "./properties-world.ts";

const register = "jabber:iq:register";
const password = "correct horse";
const freely = {
  ...{ "register.inband": "true", "firekeeper.register.captcha": "false" },
  "firekeeper.client.trusted-networks": "127.0.0.0/8",
};
const account = (name: string, more = "") =>
  `<query xmlns='${register}'><username>${name}</username><password>${password}</password>${more}</query>`;
const removal = `<query xmlns='${register}'><remove/></query>`;
const make = async (world: World, name: string, more?: string) =>
  (await world.connect()).set(account(name, more), world.core.domain);
const condition = async (world: World, name: string) => errorCondition(await make(world, name));
const form = async (world: World) =>
  (await (await world.connect()).get(`<query xmlns='${register}'/>`, world.core.domain)).toString();
const invite = "urn:xmpp:invite#invite";

async function pages(world: World, more: Record<string, string> = {}): Promise<Browser> {
  const port = await freePort();
  await world.set({ ...freely, "httpbind.enabled": "true", "httpbind.port.secure": String(port), ...more });
  return browser(port);
}

let people = 0;
/** Makes an account with a mail address, and asks for a link for it. */
async function forgets(visit: Browser): Promise<string> {
  const name = `forgetful-${"abcdefghijkl"[people++]}`;
  const fields = { name, password, again: password, email: `${name}@example.org` };
  expect((await visit.send("/account/register", fields)).status).toBe(200);
  await visit.send("/account/reset", { name });
  return name;
}

/** Pages, and a mail server that takes what they send. */
async function mailing(
  world: World,
  work: (visit: Browser, mails: Awaited<ReturnType<typeof mailServer>>) => Promise<void>,
) {
  const mails = await mailServer();
  const mail = { "firekeeper.mail.from": "chat@example.org", "mail.smtp.host": "127.0.0.1" };
  try {
    await work(await pages(world, { ...mail, "mail.smtp.port": String(mails.port) }), mails);
  } finally {
    mails.close();
  }
}

export const accountProofs: Record<string, Proof> = {
  async "firekeeper.register.captcha"(world) {
    await world.set({ ...freely, "firekeeper.register.captcha": "true" });
    expect(await form(world)).toContain("urn:xmpp:media-element");
    expect(await condition(world, "machine")).toBe("not-acceptable");
    await world.set({ "firekeeper.register.captcha": "false" });
    expect(await form(world)).not.toContain("urn:xmpp:media-element");
    expect(await condition(world, "machine")).toBe("");
  },
  async "firekeeper.register.question"(world) {
    await world.set({ ...freely, "firekeeper.register.captcha": "true", "firekeeper.register.answer": "white" });
    expect(await form(world)).not.toContain('var="qa"');
    await world.set({ "firekeeper.register.question": "Which colour has snow?" });
    expect(await form(world)).toContain('label="Which colour has snow?"');
  },
  async "firekeeper.register.answer"(world) {
    await world.set({ ...freely, "firekeeper.register.captcha": "true", "firekeeper.register.question": "Snow?" });
    const answered = async (qa: string) => {
      const stranger = await world.connect();
      const asked = (await stranger.get(`<query xmlns='${register}'/>`)).getChild("query")?.getChild("x");
      const challenge = asked
        ?.getChildren("field")
        .find((one) => one.attrs.var === "challenge")
        ?.getChildText("value");
      const fields = Object.entries({ challenge, qa, username: "answerer", password }).map(
        ([name, value]) => `<field var='${name}'><value>${value}</value></field>`,
      );
      const submitted = `<x xmlns='jabber:x:data' type='submit'>${fields.join("")}</x>`;
      return errorCondition(await stranger.set(`<query xmlns='${register}'>${submitted}</query>`));
    };
    await world.set({ "firekeeper.register.answer": "white" });
    expect(await answered("grey")).toBe("not-acceptable");
    await world.set({ "firekeeper.register.answer": "grey" });
    expect(await answered("grey")).toBe("");
  },
  async "firekeeper.register.email"(world) {
    await world.set({ ...freely, "firekeeper.register.email": "required" });
    expect(await form(world)).toContain("<email/>");
    expect(await condition(world, "mailed")).toBe("not-acceptable");
    expect((await make(world, "mailed", "<email>mailed@example.org</email>")).attrs.type).toBe("result");
    await world.set({ "firekeeper.register.email": "optional" });
    expect(await condition(world, "mailless")).toBe("");
  },
  async "firekeeper.register.removal"(world) {
    await world.set({ ...freely, "firekeeper.register.removal": "none" });
    await make(world, "stayer");
    const stayer = await world.login("stayer", { password });
    expect(errorCondition(await stayer.set(removal))).toBe("not-allowed");
    await world.set({ "firekeeper.register.removal": "local" });
    expect((await stayer.set(removal)).attrs.type).toBe("result");
  },
  async "firekeeper.register.reserved-names"(world) {
    await world.set({ ...freely, "firekeeper.register.reserved-names": "boss" });
    expect([await condition(world, "b0ss"), await condition(world, "postmaster")]).toEqual(["conflict", ""]);
  },
  async "firekeeper.register.look-alikes"(world) {
    await world.set(freely);
    // Cyrillic.
    expect([await condition(world, "b0b"), await condition(world, "\u0430lice")]).toEqual(["conflict", "conflict"]);
    await world.set({ "firekeeper.register.look-alikes": "true" });
    expect(await condition(world, "b0b")).toBe("");
  },
  async "firekeeper.register.quarantine-days"(world) {
    await world.set({ ...freely, "firekeeper.register.quarantine-days": "2" });
    await make(world, "phoenix");
    await (await world.login("phoenix", { password })).set(removal);
    expect(await condition(world, "phoenix")).toBe("conflict");
    world.pass(2 * 24 * 3600_000 + 1000);
    expect(await condition(world, "phoenix")).toBe("");
    await world.set({ "firekeeper.register.quarantine-days": "0" });
    await (await world.login("phoenix", { password })).set(removal);
    expect(await condition(world, "phoenix")).toBe("");
  },
  async "firekeeper.invitations.accounts"(world) {
    const offered = async () =>
      (await world.connect()).features
        ?.getChildren("register")
        .some((one) => one.attrs.xmlns === "urn:xmpp:ibr-token:0");
    const alice = await world.login("alice");
    const uri = async () => formFields(await command(alice, invite)).get("uri")?.[0];
    expect([await offered(), await uri()]).toEqual([false, expect.not.stringContaining("ibr=y")]);
    await world.set({ "firekeeper.invitations.accounts": "everybody" });
    expect([await offered(), await uri()]).toEqual([true, expect.stringContaining("ibr=y")]);
  },
  async "firekeeper.invitations.contacts"(world) {
    await world.set({ "firekeeper.invitations.contacts": "false" });
    const [alice, bob] = [await world.login("alice"), await world.login("bob")];
    alice.presence();
    const ask = async () => {
      const token = /preauth=([\w-]+)/.exec(formFields(await command(alice, invite)).get("uri")?.[0] ?? "")?.[1];
      bob.presence(`<preauth xmlns='urn:xmpp:pars:0' token='${token}'/>`, "type='subscribe' to='alice@localhost'");
    };
    await bob.roster();
    await ask();
    await alice.next("presence", (one) => one.attrs.type === "subscribe");
    await world.set({ "firekeeper.invitations.contacts": "true" });
    await ask();
    await bob.next("roster push", (one) => one.getChild("query")?.getChild("item")?.attrs.subscription === "both");
    await bob.set("<query xmlns='jabber:iq:roster'><item jid='alice@localhost' subscription='remove'/></query>");
  },
  async "firekeeper.invitations.days"(world) {
    const alice = await world.login("alice");
    const days = async () => {
      const until = formFields(await command(alice, invite)).get("expire")?.[0] ?? "";
      return Math.round((Date.parse(until) - world.core.server.core.clock.now()) / 86_400_000);
    };
    expect(await days()).toBe(7);
    await world.set({ "firekeeper.invitations.days": "3" });
    expect(await days()).toBe(3);
  },
  async "firekeeper.invitations.limit"(world) {
    const bob = await world.login("bob");
    await world.set({ "firekeeper.invitations.limit": "1" });
    expect((await command(bob, invite)).attrs.type).toBe("result");
    expect(errorCondition(await command(bob, invite))).toBe("resource-constraint");
    await world.set({ "firekeeper.invitations.limit": "2" });
    expect((await command(bob, invite)).attrs.type).toBe("result");
  },
  async "firekeeper.accounts.pages"(world) {
    const visit = await pages(world);
    expect((await visit.get("/account/password")).status).toBe(200);
    await world.set({ "firekeeper.accounts.pages": "false" });
    expect((await visit.get("/account/password")).status).toBe(404);
  },
  async "firekeeper.accounts.notice"(world) {
    const visit = await pages(world, { "firekeeper.accounts.notice": "Be kind." });
    expect((await visit.get("/account/register")).body).toContain("<p>Be kind.</p>");
  },
  async "firekeeper.accounts.host-address"(world) {
    const visit = await pages(world, { "register.inband": "false" });
    expect((await visit.get("/account/register")).body).not.toContain("host.example.org");
    await world.set({ "firekeeper.accounts.host-address": "https://host.example.org" });
    expect((await visit.get("/account/register")).body).toContain('href="https://host.example.org"');
  },
  "firekeeper.mail.from": (world) =>
    mailing(world, async (visit, mails) => {
      await world.set({ "firekeeper.mail.from": "other@example.org" });
      await forgets(visit);
      expect((await mails.next()).envelope[0]).toBe("MAIL FROM:<other@example.org>");
    }),
  "mail.smtp.host": (world) =>
    mailing(world, async (visit) => {
      const mails = await mailServer("127.0.0.2");
      await world.set({ "mail.smtp.host": "127.0.0.2", "mail.smtp.port": String(mails.port) });
      await forgets(visit);
      await mails.next();
      mails.close();
    }),
  "mail.smtp.port": (world) =>
    mailing(world, async (visit, mails) => {
      await forgets(visit);
      await mails.next();
    }),
  "mail.smtp.ssl": (world) =>
    mailing(world, async (visit) => {
      let heard: (first: number) => void = () => undefined;
      const first = new Promise<number>((resolve) => {
        heard = resolve;
      });
      const server = createServer((socket) => {
        socket
          .on("error", () => undefined)
          .once("data", (data: Buffer) => {
            heard(data[0] ?? 0);
            socket.destroy();
          });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const at = server.address();
      const port = typeof at === "object" && at !== null ? at.port : 0;
      await world.set({ "mail.smtp.ssl": "true", "mail.smtp.port": String(port) });
      await forgets(visit);
      // A TLS record with a handshake, before the server said anything.
      expect(await first).toBe(0x16);
      server.close();
    }),
  "mail.smtp.username": (world) =>
    mailing(world, async (visit, mails) => {
      await world.set({ "mail.smtp.username": "postie", "mail.smtp.password": "secret" });
      await forgets(visit);
      expect(credentials(await mails.next())).toEqual(["", "postie", "secret"]);
    }),
  "mail.smtp.password": (world) =>
    mailing(world, async (visit, mails) => {
      await world.set({ "mail.smtp.username": "postie", "mail.smtp.password": "other" });
      await forgets(visit);
      expect(credentials(await mails.next())[2]).toBe("other");
    }),
  "firekeeper.mail.per-hour": (world) =>
    mailing(world, async (visit, mails) => {
      await world.set({ "firekeeper.mail.per-hour": "1" });
      world.pass(3600_000);
      await forgets(visit);
      await mails.next();
      const second = await forgets(visit);
      await world.set({ "firekeeper.mail.per-hour": "2" });
      await visit.send("/account/reset", { name: "nobody" });
      expect((await mails.next()).envelope).toContain(`RCPT TO:<${second}@example.org>`);
      expect(mails.waiting).toBe(0);
    }),
};

function credentials({ envelope }: { envelope: string[] }): string[] {
  const [, , encoded = ""] = envelope.find((line) => line.startsWith("AUTH"))?.split(" ") ?? [];
  return Buffer.from(encoded, "base64").toString().split("\0");
}
