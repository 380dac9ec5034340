/** What people do with their accounts in a browser. docs/accounts.md */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { loadDriver } from "../../xmpp-core/storage/driver.ts";
import { command, formFields } from "../support/commands.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type MailServer, mailServer } from "../support/mail-server.ts";
import { browser, type Page } from "../support/pages.ts";
import { errorCondition } from "../support/stanzas.ts";
import { XmppClient } from "../support/xmpp-client.ts";

let core: TestCore;
let mails: MailServer;
const ports = { secure: 0, plain: 0 };
const good = "correct horse";

beforeAll(async () => {
  mails = await mailServer();
  Object.assign(ports, { secure: await freePort(), plain: await freePort() });
  core = await startTestCore({
    users: ["alice", "admin"],
    properties: {
      ...{ "register.inband": "true", "firekeeper.register.captcha": "false", "httpbind.enabled": "true" },
      ...{ "httpbind.port.secure": String(ports.secure), "httpbind.port.plain": String(ports.plain) },
      ...{ "firekeeper.client.trusted-networks": "127.0.0.1", "firekeeper.invitations.accounts": "admins" },
      ...{ "firekeeper.mail.from": "chat@example.org", "mail.smtp.host": "127.0.0.1" },
      "mail.smtp.port": String(mails.port),
    },
  });
});
afterAll(async () => {
  mails.close();
  await core.close();
});
afterEach(() => XmppClient.dropAll());

const visit = () => browser(ports.secure);
const title = (page: Page): string => /<h1>(.*?)<\/h1>/.exec(page.body)?.[1] ?? "";
const alarm = (page: Page): string => /<p role="alert" class="alarm">(.*?)<\/p>/.exec(page.body)?.[1] ?? "";
const register = (name: string, more: Record<string, string> = {}) =>
  visit().send("/account/register", { name, password: good, again: good, email: "", ...more });
const login = (name: string, password = good) => core.login(name, { password });
const linkIn = (text: string): string => {
  // Long lines are folded in quoted-printable.
  const whole = text.replaceAll("=\n", "");
  return new URL(/https:\/\/\S+\/account\/reset\/\S+/.exec(whole)?.[0] ?? "none:").pathname;
};

test("an account is made: the page says its address, and it logs in", async () => {
  const made = await register("Marta", { email: "marta@example.org" });
  expect([made.status, title(made)]).toEqual([200, "Your account is ready"]);
  expect(made.body).toContain('<p class="address">marta@localhost</p>');
  await login("marta");
});

test("what is wrong is said, what was typed stays, and nothing is made", async () => {
  const wrong: [Record<string, string>, string][] = [
    [{ again: "other" }, "The two passwords differ."],
    [{ password: "short", again: "short" }, "The password needs at least 8 characters"],
    [{ name: "a@b" }, "This cannot be a user name."],
    [{ name: "alice" }, "This name is taken"],
    [{ name: "a1ice" }, "This name is taken"],
    [{ name: "administrator" }, "This name is taken"],
    [{ email: "no address" }, "This is no mail address."],
    [{ email: "a@example.org\r\nBcc: all@example.org" }, "This is no mail address."],
  ];
  for (const [fields, sentence] of wrong) {
    const page = await register("fine", fields);
    expect([page.status, alarm(page)], JSON.stringify(fields)).toEqual([400, expect.stringContaining(sentence)]);
    expect(page.body).toContain(`value="${fields.name ?? "fine"}"`);
    expect(page.body).not.toContain(good);
  }
  await expect(login("fine")).rejects.toThrow("not-authorized");
});

test("a form without the token of its page, or with that of another page, does nothing", async () => {
  const fields = { name: "forged", password: good, again: good };
  const mine = visit();
  const pages = [
    await visit().post("/account/register", new URLSearchParams(fields).toString()),
    await mine.send("/account/register", fields, { token: undefined }),
    await mine.send("/account/register", fields, { token: "x" }),
    await mine.send("/account/password", { ...fields, new: good }, {}).then(async () => {
      const other = /name="token" value="([^"]*)"/.exec((await mine.get("/account/password")).body)?.[1] ?? "";
      return mine.send("/account/register", fields, { token: other });
    }),
  ];
  for (const page of pages)
    expect([page.status, alarm(page)]).toEqual([400, expect.stringContaining("The form was too old")]);
  await expect(login("forged")).rejects.toThrow("not-authorized");
});

test("the password is changed by who knows the present one; other programs are logged out", async () => {
  await register("carla");
  const desk = await login("carla");
  const send = (fields: Record<string, string>) =>
    visit().send("/account/password", {
      name: "carla",
      password: good,
      new: "battery staple",
      again: "battery staple",
      ...fields,
    });
  expect(alarm(await send({ password: "wrong" }))).toBe("Name or password is wrong.");
  expect(alarm(await send({ name: "nobody" }))).toBe("Name or password is wrong.");
  expect(alarm(await send({ again: "staple" }))).toBe("The two passwords differ.");
  expect(title(await send({}))).toBe("Your password is changed");
  expect(await desk.streamError()).toBe("not-authorized");
  await expect(login("carla")).rejects.toThrow("not-authorized");
  await login("carla", "battery staple");
});

test("who belongs to the host is led there", async () => {
  await core.set({ "firekeeper.accounts.host-address": "https://host.example.org/me" });
  const fields = { name: "alice", password: "alice" };
  for (const page of [
    await visit().send("/account/password", { ...fields, new: good, again: good }),
    await visit().send("/account/delete", { ...fields, sure: "yes" }),
  ]) {
    expect([page.status, alarm(page)]).toEqual([403, expect.stringContaining("host application")]);
    expect(page.body).toContain('href="https://host.example.org/me"');
  }
  await core.login("alice");
});

test("an account is given up, its contacts see it go, and its name is not to be had for a while", async () => {
  await register("dora");
  const [alice, dora] = [await core.login("alice"), await login("dora")];
  await alice.roster();
  alice.presence();
  await dora.roster();
  dora.presence();
  dora.presence("", "type='subscribe' to='alice@localhost'");
  await alice.next("presence", (one) => one.attrs.type === "subscribe");
  alice.presence("", "type='subscribed' to='dora@localhost'");
  await dora.next("presence", (one) => one.attrs.type === "subscribed");
  alice.presence("", "type='subscribe' to='dora@localhost'");
  await dora.next("presence", (one) => one.attrs.type === "subscribe");
  dora.presence("", "type='subscribed' to='alice@localhost'");
  await alice.next("presence", (one) => String(one.attrs.from).startsWith("dora@localhost/"));
  const fields = { name: "dora", password: good };
  expect(alarm(await visit().send("/account/delete", fields))).toBe("Tick the box if you are sure.");
  expect(title(await visit().send("/account/delete", { ...fields, sure: "yes" }))).toBe("Your account is gone");
  expect(await dora.streamError()).toBe("not-authorized");
  await alice.next("presence", (one) => one.attrs.type === "unavailable" && String(one.attrs.from).startsWith("dora@"));
  await alice.next("roster push", (one) => one.getChild("query")?.getChild("item")?.attrs.subscription === "none");
  await expect(login("dora")).rejects.toThrow("not-authorized");
  expect(alarm(await register("dora"))).toContain("This name is taken");
  await core.crash();
  expect(alarm(await register("dora"))).toContain("This name is taken");
  await core.set({ "firekeeper.register.quarantine-days": "0" });
});

test("a forgotten password: the link comes by mail, works once, for one account, and tells nobody who exists", async () => {
  await register("emil", { email: "emil@example.org" });
  const ask = (name: string, headers = {}) => visit().send("/account/reset", { name, ...headers });
  const [known, unknown] = [await ask("emil"), await ask("nobody")];
  expect([known.status, title(known)]).toEqual([200, "Look into your mail"]);
  const { envelope, text } = await mails.next();
  expect(envelope).toEqual(["MAIL FROM:<chat@example.org>", "RCPT TO:<emil@example.org>"]);
  expect(known.body.replaceAll(/value="[^"]*"/g, "")).toBe(unknown.body.replaceAll(/value="[^"]*"/g, ""));
  expect(text).toContain("Subject: A new password for emil@localhost");
  const link = linkIn(text);
  const desk = await login("emil");
  expect(title(await visit().get(link))).toBe("Choose a new password");
  const choose = (password: string) => visit().send(link, { new: password, again: password });
  expect(alarm(await choose("short"))).toContain("at least 8 characters");
  const [one, other] = await Promise.all([choose("first of two"), choose("second of two")]);
  expect([title(one), title(other)].sort()).toEqual(["Forgotten password", "Your password is changed"]);
  expect(await desk.streamError()).toBe("not-authorized");
  await login("emil", title(one) === "Your password is changed" ? "first of two" : "second of two");
  expect((await visit().get(link)).status).toBe(404);
  expect((await visit().get(`${link.slice(0, -1)}_`)).status).toBe(404);
  expect(mails.waiting).toBe(0);
});

test("what the mail server does not take now is sent later, also after a crash; no token lies on the disk", async () => {
  await register("frida", { email: "frida@example.org" });
  const refused = mails.refuseNext("451 later");
  await visit().send("/account/reset", { name: "frida" });
  await refused;
  await core.crash();
  await core.set({ "mail.smtp.port": String(mails.port) });
  // Asking again wakes what waits.
  await visit().send("/account/reset", { name: "nobody" });
  const link = linkIn((await mails.next()).text);
  const database = loadDriver().open(`${core.home}/core.db`, { readOnly: true });
  const rows = database.prepare("SELECT * FROM password_reset").rows([]);
  database.close();
  expect(rows.length).toBeGreaterThan(0);
  expect(rows.flat().some((value) => String(value).includes(link.split("/").at(-1) ?? ""))).toBe(false);
  expect(title(await visit().get(link))).toBe("Choose a new password");
});

test("without a sender's address no links are sent, and the page says whom to ask", async () => {
  await core.set({ "firekeeper.mail.from": null });
  const page = await visit().get("/account/reset");
  expect([page.status, page.body]).toEqual([403, expect.stringContaining("ask the administrator")]);
  await core.set({ "firekeeper.mail.from": "chat@example.org" });
});

test("an invitation: who invites, the link for clients, programs, a code for the phone, and the account made there", async () => {
  const admin = await core.login("admin");
  const fields = formFields(await command(admin, "urn:xmpp:invite#invite"));
  const path = new URL(fields.get("landing-url")?.[0] ?? "").pathname;
  const page = await visit().get(path, { "user-agent": "Mozilla/5.0 (Linux; Android 14)" });
  expect([page.status, title(page)]).toEqual([200, "admin@localhost invites you to chat"]);
  expect(page.body).toContain(`href="${fields.get("uri")?.[0]}"`);
  expect(page.body.indexOf("conversations.im")).toBeLessThan(page.body.indexOf("gajim.org"));
  expect(page.body).toContain('<svg xmlns="http://www.w3.org/2000/svg"');
  const mine = visit();
  const made = await mine.send(path, { name: "invited", password: good, again: good, email: "" });
  expect(title(made)).toBe("Your account is ready");
  expect((await (await login("invited")).roster()).contacts.get("admin@localhost")?.subscription).toBe("both");
  const used = await visit().get(path);
  const guessed = await visit().get("/invite/AAAAAAAAAAAAAAAAAAAAAA");
  const nonsense = await visit().get("/invite/__proto__");
  expect([used.status, guessed.status, nonsense.status]).toEqual([404, 404, 404]);
  expect(new Set([used.body, guessed.body, nonsense.body]).size).toBe(1);
});

test("a contact's invitation has no form where accounts belong to the host", async () => {
  await core.set({ "register.inband": "false" });
  const alice = await core.login("alice");
  const fields = formFields(await command(alice, "urn:xmpp:invite#invite"));
  const path = new URL(fields.get("landing-url")?.[0] ?? "").pathname;
  const page = await visit().get(path);
  expect([page.status, page.body.includes("<form")]).toEqual([200, false]);
  const sent = await visit().post(path, "name=sneaky");
  expect(sent.body).not.toContain("Your account is ready");
  const closed = await visit().get("/account/register");
  expect([closed.status, closed.body]).toEqual([403, expect.stringContaining("https://host.example.org/me")]);
  await core.set({ "register.inband": "true" });
});

test("in the reader's language, or the one he chooses", async () => {
  const french = await visit().get("/account/register", { "accept-language": "es, fr-CH;q=0.9, en;q=0.8" });
  expect([title(french), /<html lang="(..)">/.exec(french.body)?.[1]]).toEqual(["Créer un compte", "fr"]);
  const german = await visit().get("/account/register?lang=de", { "accept-language": "fr" });
  expect(title(german)).toBe("Konto anlegen");
  expect(title(await visit().get("/account/register", { "accept-language": "xx" }))).toBe("Make an account");
});

test("pages run nothing, are kept nowhere, and are to be had over HTTPS alone", async () => {
  const { headers } = await visit().get("/account/register");
  expect(headers["content-security-policy"]).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
  expect(headers).toMatchObject({ "cache-control": "no-store", "referrer-policy": "no-referrer" });
  expect(String(headers["set-cookie"])).toMatch(/^__Host-form=[\w-]{22}; .*Secure; HttpOnly; SameSite=Strict$/);
  const clear = await fetch(`http://127.0.0.1:${ports.plain}/account/password`);
  expect([clear.status, (await clear.text()).includes("<form")]).toEqual([403, false]);
  const linked = async () => {
    const { registration, passwordPage } = JSON.parse((await visit().get("/portal.json")).body);
    return [registration.page, passwordPage];
  };
  const base = `https://localhost:${ports.secure}/account`;
  expect(await linked()).toEqual([`${base}/register`, `${base}/password`]);
  await core.set({ "firekeeper.accounts.pages": "false" });
  expect(await linked()).toEqual([null, null]);
  expect((await visit().get("/account/register")).status).toBe(404);
  await core.set({ "firekeeper.accounts.pages": "true", "firekeeper.accounts.notice": "House <rules> apply." });
  expect((await visit().get("/account/register")).body).toContain("<p>House &lt;rules&gt; apply.</p>");
  expect((await visit().get("/account/style.css")).headers["content-type"]).toBe("text/css; charset=utf-8");
});

test("a form on its way while the server restarts is taken by the next one", async () => {
  const mine = visit();
  const page = await mine.get("/account/register");
  const token = /name="token" value="([^"]*)"/.exec(page.body)?.[1] ?? "";
  await core.restart();
  const fields = new URLSearchParams({ token, name: "patient", password: good, again: good, email: "" });
  expect(title(await mine.post("/account/register", fields.toString()))).toBe("Your account is ready");
});

test("removal over the chat protocol of somebody of the host is refused as long as that is not allowed", async () => {
  const alice = await core.login("alice");
  const remove = "<query xmlns='jabber:iq:register'><remove/></query>";
  expect(errorCondition(await alice.set(remove, core.domain))).toBe("not-allowed");
});
