/** Guides for clients: one source, three languages, this server's values. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { languages } from "../../xmpp-core/formats/language.ts";
import { guideNames, guides } from "../../xmpp-core/modules/portal/guides/all.ts";
import { testAuthority } from "../support/authority.ts";
import { freePort, startTestCore, type TestCore } from "../support/core.ts";
import { fetchPage } from "../support/public-pages.ts";

let core: TestCore;
let port: number;
const onion = `${"b3".repeat(28)}.onion`;

beforeAll(async () => {
  port = await freePort();
  core = await startTestCore({
    domain: "chat.example",
    properties: {
      "httpbind.enabled": "true",
      "httpbind.port.plain": "-1",
      "httpbind.port.secure": String(port),
      "xmpp.proxy.enabled": "true",
      "xmpp.proxy.port": String(await freePort()),
      "register.inband": "true",
      "firekeeper.portal.onion": onion,
      fqdn: "host.example",
    },
  });
});
afterAll(() => core.close());

const page = async (client: string, language: string): Promise<string> => {
  const { status, body } = await fetchPage(port, `/guide/${client}?lang=${language}`, { host: "chat.example" });
  expect(status, `${client} in ${language}`).toBe(200);
  return body;
};
const stepsOf = (body: string) =>
  [...body.matchAll(/<li id="([a-z-]+)">(.*?)<small class="(tested|untested)">\((.*?)\)<\/small><\/li>/g)].map(
    ([, id = "", content = "", tested = "", note = ""]) => ({ id, content, tested, note }),
  );
const valuesOf = (content: string) => [...content.matchAll(/<code>(.*?)<\/code>/g)].map(([, value = ""]) => value);
const step = (body: string, id: string) => stepsOf(body).find((one) => one.id === id)?.content ?? "";

describe.each(guideNames)("%s", (client) => {
  const guide = guides.get(client);
  if (guide === undefined) throw new Error(client);

  test("has the same steps with the same values in every language", async () => {
    const [first, ...others] = await Promise.all(languages.map((language) => page(client, language)));
    const told = stepsOf(first ?? "");
    expect(told.length).toBeGreaterThan(2);
    for (const other of others) {
      const steps = stepsOf(other);
      expect(steps.map(({ id }) => id)).toEqual(told.map(({ id }) => id));
      expect(steps.map(({ tested }) => tested)).toEqual(told.map(({ tested }) => tested));
      for (const [at, { content }] of steps.entries())
        expect(valuesOf(content).sort()).toEqual(valuesOf(told[at]?.content ?? "").sort());
    }
    const all = told.flatMap(({ content }) => valuesOf(content));
    expect(all.some((value) => value.includes("chat.example"))).toBe(true);
    expect(first).not.toMatch(/[{}[\]]/);
  });

  test("names every label, and nothing is left in another language", () => {
    const used = new Set<string>();
    for (const { id, text } of guide.steps) {
      const marks = languages.map((language) =>
        [...text[language].matchAll(/\[(\w+)\]|\{(\w+)\}/g)].map(String).sort(),
      );
      expect(marks[1], `${client} ${id} fr`).toEqual(marks[0]);
      expect(marks[2], `${client} ${id} de`).toEqual(marks[0]);
      expect(new Set(languages.map((language) => text[language])).size, `${client} ${id}`).toBe(3);
      for (const language of languages)
        for (const [, label] of text[language].matchAll(/\[(\w+)\]/g)) used.add(label ?? "");
    }
    expect([...used].sort()).toEqual(Object.keys(guide.labels).sort());
    const words = guide.steps.map(({ text }) => text);
    expect(words.map(({ de }) => de).join(" ")).not.toMatch(/\b(du|dein|deine|the|your|votre)\b/i);
    expect(words.map(({ fr }) => fr).join(" ")).not.toMatch(/\b(tu|ton|tes|the|your|und)\b/i);
  });

  test("is shown without scripts, in one article that says what was tested", async () => {
    const body = await page(client, "en");
    expect(body).not.toMatch(/<script|<style|style=| on[a-z]+=/i);
    for (const { tested, note } of stepsOf(body)) {
      if (tested === "untested") expect(note).toBe("not tested");
      else expect(note).toMatch(/^tested with [\d.]+ on \d+ [A-Z][a-z]+ \d{4}$/);
    }
  });
});

test("B15: Pidgin's user name is the local part, never with an @", async () => {
  for (const language of languages) {
    const values = valuesOf(step(await page("pidgin", language), "address"));
    expect(values).toEqual(["name", "chat.example"]);
  }
});

test("B8, B18: Gajim, Conversations and Dino take the whole address", async () => {
  for (const client of ["gajim", "conversations", "dino"])
    expect(valuesOf(step(await page(client, "en"), "address"))).toEqual(["name@chat.example"]);
});

test("B13, B17: encryption is required on the port of the clients", async () => {
  const body = await page("pidgin", "fr");
  expect(step(body, "encryption")).toContain("<b>Nécessite chiffrement</b>");
  expect(valuesOf(step(body, "encryption"))).toEqual([String(core.port)]);
  expect(valuesOf(step(body, "host"))).toEqual(["host.example"]);
});

test("G4: says what to do where the setting is hidden or turned round", async () => {
  const body = await page("spark", "en");
  expect(body).toContain("allow plain text");
  expect(body).toContain(`change the port to ${core.directPort}`);
});

test("R13: Tor stands there only if there is an onion service", async () => {
  expect(step(await page("pidgin", "de"), "tor")).toContain(`<code>${onion}</code>`);
  await core.set({ "firekeeper.portal.onion": null });
  expect(step(await page("pidgin", "de"), "tor")).toBe("");
  await core.set({ "firekeeper.portal.onion": onion });
});

test("R14: the file transfer proxy is named as it is typed", async () => {
  expect(valuesOf(step(await page("pidgin", "en"), "file-proxy"))).toEqual(["proxy.chat.example"]);
  await core.set({ "xmpp.proxy.enabled": "false" });
  expect(step(await page("pidgin", "en"), "file-proxy")).toBe("");
  await core.set({ "xmpp.proxy.enabled": "true" });
});

test("R15: the list of clients has its columns, and when each was tested", async () => {
  const { body } = await fetchPage(port, "/guide?lang=en");
  const columns = [...body.matchAll(/<th scope="col">(.*?)<\/th>/g)].map(([, title]) => title);
  expect(columns).toEqual(["Program", "OTR", "OMEMO", "Jingle", "Proxy", "TLS", "Tor", "Rooms (MUC)", "Tested here"]);
  for (const guide of guides.values())
    expect(body).toContain(`href="/guide/${guide.client}?lang=en">${guide.name}</a>`);
});

test("G11: registering is told only where anybody may", async () => {
  expect(step(await page("gajim", "en"), "register")).toContain("<code>chat.example</code>");
  await core.set({ "register.inband": "false" });
  expect(step(await page("gajim", "en"), "register")).toBe("");
  await core.set({ "register.inband": "true" });
});

test("B14, B21: notes about the certificate stand there only while it is self-signed", async () => {
  /** For each guide, which of the two kinds of steps it shows; that languages have the same steps is tested above. */
  const noted = async (): Promise<ReadonlyMap<string, string>> => {
    const rows = guideNames.map(async (client) => {
      const body = await page(client, "en");
      const ids = new Set(stepsOf(body).map(({ id }) => id));
      const kinds = guides.get(client)?.steps.flatMap(({ id, when }) => (ids.has(id) ? [when] : []));
      const told = kinds?.filter((when) => when === "selfSigned" || when === "trusted") ?? [];
      if (/self-signed|Connect this account now/.test(body)) told.push("selfSigned");
      return [client, [...new Set(told)].join()] as const;
    });
    return new Map(await Promise.all(rows));
  };
  const asked = await noted();
  for (const client of guideNames) expect(asked.get(client), client).toBe("selfSigned");
  expect(step(await page("thunderbird", "en"), "connect-later")).toContain("Connect this account now.");

  const { chain, key } = testAuthority().issue(["chat.example", "host.example"]);
  const [chainPath, keyPath] = [join(core.home, "own-chain.pem"), join(core.home, "own-key.pem")];
  writeFileSync(chainPath, chain);
  writeFileSync(keyPath, key, { mode: 0o600 });
  await core.set({ "firekeeper.certificate.chain": chainPath, "firekeeper.certificate.key": keyPath });
  await core.server.serving.refresh();
  const spared = await noted();
  for (const client of guideNames) expect(spared.get(client), client).toMatch(/^(trusted)?$/);
  expect(spared.get("thunderbird")).toBe("trusted");

  await core.set({ "firekeeper.certificate.chain": null, "firekeeper.certificate.key": null });
  await core.server.serving.refresh();
  expect(await noted()).toEqual(asked);
});
