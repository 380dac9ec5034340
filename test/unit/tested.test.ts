/** What the help pages call tested comes from what the tests with real programs kept, and from nowhere else. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Tested, testedPage } from "../../docs/tested.ts";
import { guides } from "../../xmpp-core/modules/portal/guides/all.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const kept = ["results", "by-eye"].flatMap((name) => JSON.parse(read(`test/clients/${name}.json`)) as Tested[]);
const page = (...all: Tested[]) => JSON.parse(testedPage(all));

test("the file in the repository is made of what was kept: npm run docs", () => {
  expect(read("xmpp-core/modules/portal/tested.json")).toBe(testedPage(kept));
});

test("each entry is of a guide, and of a part that one of its steps names", () => {
  const made: Record<string, Record<string, unknown>> = page(...kept);
  expect(Object.keys(made).length).toBeGreaterThan(3);
  for (const [client, parts] of Object.entries(made)) {
    const named = guides.get(client)?.steps.map(({ provenBy }) => provenBy);
    for (const part of Object.keys(parts)) expect(named, client).toContain(part);
  }
});

const gajim = { client: "Gajim", version: "1:1.7.3-2~deb12u1", date: "2026-11-21" };
const wizard = (outcome: string) => ({ ...gajim, steps: { login: "passed", wizard: outcome } });

test("only what passed on the way that the guide describes proves it, with the version that people see", () => {
  const one = { version: "1.7.3", date: "2026-11-21" };
  expect(page(wizard("passed"))).toEqual({ gajim: { login: one, host: one, certificate: one } });
  expect(page(wizard("failed"))).toEqual({});
  expect(page({ ...wizard("passed"), client: "slixmpp" })).toEqual({});
});

test("of two programs tested for one guide the later one stands there", () => {
  const later = { ...wizard("passed"), version: "1.8.0", date: "2026-12-01" };
  expect(page(later, wizard("passed")).gajim.login).toEqual({ version: "1.8.0", date: "2026-12-01" });
});
