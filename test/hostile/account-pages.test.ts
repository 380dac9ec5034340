/** Forms that nobody meant to send, and fields that want to be more than text. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { type MailServer, mailServer } from "../support/mail-server.ts";
import { browser, hiddenFields } from "../support/pages.ts";

let core: TestCore;
let mails: MailServer;
let port: number;
const password = "correct horse";

beforeAll(async () => {
  mails = await mailServer();
  port = await freePort();
  core = await startTestCore({
    users: ["alice"],
    properties: {
      ...{ "register.inband": "true", "firekeeper.register.captcha": "false" },
      ...{ "httpbind.enabled": "true", "httpbind.port.secure": String(port), "httpbind.port.plain": "-1" },
      ...{ "firekeeper.mail.from": "chat@example.org", "mail.smtp.host": "127.0.0.1" },
      ...{ "mail.smtp.port": String(mails.port), "firekeeper.register.question": "<i>?</i>" },
      ...{ "firekeeper.accounts.notice": "<script>alert(1)</script>" },
    },
  });
});
afterAll(async () => {
  mails.close();
  await core.close();
});

let lastAddress = 10;
const visit = () => browser(port, `127.${lastAddress++}.0.1`);
const pages = ["/account/register", "/account/password", "/account/delete", "/account/reset"];
const markup = `"><script>alert(1)</script><img src=x onerror='a'>&amp;`;

test("whatever is typed comes back as text, in every field of every page, and in addresses", async () => {
  for (const path of pages) {
    const page = await visit().send(path, {
      ...{ name: markup, password: markup, again: markup, new: markup, email: markup, sure: markup, letters: markup },
      ...{ challenge: markup, answer: markup },
    });
    expect(page.body, path).not.toMatch(/<script|<img|onerror='a'>/);
  }
  for (const path of [`/invite/${encodeURIComponent(markup.replaceAll("/", ""))}`, "/account/reset/%3Cscript%3E"])
    expect((await visit().get(path)).body).not.toMatch(/<script/);
  const odd = await visit().get(`/account/register?lang=${encodeURIComponent(markup)}`, { "accept-language": markup });
  expect(odd.body).toMatch(/^<!doctype html><html lang="en">/);
});

test("without cookie, token or their match nothing is done, whatever the page", async () => {
  const fields = { name: "alice", password: "alice", new: password, again: password, sure: "yes" };
  for (const path of pages) {
    const mine = visit();
    const { token = "" } = hiddenFields((await mine.get(path)).body);
    const other = visit();
    await other.get(path);
    const attempts = [
      visit().post(path, new URLSearchParams({ ...fields, token }).toString()),
      other.post(path, new URLSearchParams({ ...fields, token }).toString()),
      mine.post(path, new URLSearchParams(fields).toString()),
      mine.post(path, JSON.stringify({ ...fields, token }), { "content-type": "application/json" }),
      mine.post(path, new URLSearchParams({ ...fields, token }).toString(), { "content-type": "text/plain" }),
      mine.post(path, `${new URLSearchParams({ ...fields, token })}&token=x`),
      visit().post(path, new URLSearchParams({ ...fields, token }).toString(), { cookie: "__Host-form=" }),
    ];
    for (const page of await Promise.all(attempts)) expect([path, page.status]).toEqual([path, 400]);
  }
  await core.login("alice");
});

test("names of object parts, repeated and huge forms are no fields", async () => {
  const mine = visit();
  const { token = "" } = hiddenFields((await mine.get("/account/register")).body);
  for (const body of [
    `token=${token}&__proto__=x&constructor=y&name=__proto__&password=${password}&again=${password}`,
    `token=${token}&name=a&name=b&password=${password}&again=${password}`,
    `token=${token}&name=${"x".repeat(100_000)}`,
    "%".repeat(500),
    "",
  ])
    expect((await mine.post("/account/register", body)).status).toBeLessThan(500);
  expect(({} as Record<string, unknown>).x).toBeUndefined();
  expect((await mine.get("/account/register")).status).toBe(200);
});

test("nothing that is typed leaves its line in a mail, and mails go to the account's address alone", async () => {
  const address = "victim@example.org";
  for (const email of [
    `${address}\nBcc: all@example.org`,
    `${address},all@example.org`,
    `"a"@example.org`,
    `a@[127.0.0.1]`,
    `<${address}>`,
  ]) {
    const page = await visit().send("/account/register", { name: "mailer", password, again: password, email });
    expect([email, page.status]).toEqual([email, 400]);
  }
  await visit().send("/account/register", { name: "mailer", password, again: password, email: address });
  for (const name of [`mailer\r\nBcc: all@example.org`, `mailer@localhost, all@example.org`, "all@example.org"])
    await visit().send("/account/reset", { name });
  await visit().send("/account/reset", { name: "mailer@localhost" });
  const { envelope, text } = await mails.next();
  expect(envelope).toEqual(["MAIL FROM:<chat@example.org>", `RCPT TO:<${address}>`]);
  expect(text).not.toMatch(/all@example/);
  expect(mails.waiting).toBe(0);
});

test("one account gets three mails in an hour, and one address asks six times", async () => {
  await visit().send("/account/register", { name: "target", password, again: password, email: "target@example.org" });
  const ask = async (name: string) => expect((await visit().send("/account/reset", { name })).status).toBe(200);
  for (let mail = 0; mail < 3; mail++) {
    await ask("target");
    expect((await mails.next()).envelope[1]).toContain("target@example.org");
  }
  await ask("target");
  await ask("mailer");
  expect((await mails.next()).envelope[1]).not.toContain("target@example.org");
  const one = visit();
  const answers: number[] = [];
  for (let asked = 0; asked < 8; asked++) answers.push((await one.send("/account/reset", { name: "nobody" })).status);
  expect(answers).toEqual([...Array(6).fill(200), 429, 429]);
  expect(mails.waiting).toBe(0);
});

test("passwords are guessed no faster than in a chat program, and a name that does not exist looks the same", async () => {
  const one = visit();
  const guess = (name: string) =>
    one.send("/account/password", { name, password: "guess", new: password, again: password });
  const [known, unknown] = [await guess("alice"), await guess("nobody")];
  const plain = (body: string) => body.replaceAll(/value="[^"]*"/g, "");
  expect([known.status, plain(known.body)]).toEqual([unknown.status, plain(unknown.body)]);
  const elsewhere = (name: string) =>
    visit().send("/account/password", { name, password: "guess", new: password, again: password });
  for (let more = 0; more < 4; more++) await elsewhere("alice");
  // Whoever guesses in a chat program now waits, from wherever: five are free.
  const attempt = core.server.core.slowDown.attempt({ account: "alice", address: "192.0.2.1" });
  expect(attempt).toMatchObject({ is: "admitted", waitMs: expect.any(Number) });
  expect(attempt.is === "admitted" && attempt.waitMs > 0).toBe(true);
  let refused = false;
  const { slowDown } = core.server.core;
  for (let tried = 0; tried < 40 && !refused; tried++) {
    const each = slowDown.attempt({ account: "alice", address: "192.0.2.2" });
    if (each.is === "refused") refused = true;
    else each.failed();
  }
  expect(refused).toBe(true);
  expect((await guess("alice")).status).toBe(429);
});

test("no page leads elsewhere, whatever it is asked for", async () => {
  for (const path of [
    "/account/register?next=https://evil.example",
    "/account//evil.example",
    "/account/..%2f",
    "/invite/https:",
  ]) {
    const page = await visit().get(path);
    expect([path, page.headers.location]).toEqual([path, undefined]);
    expect(page.body).not.toContain("evil.example");
  }
});
