/** What is read from the journal: confirmations, freezes, differences, old lines that go, and whether the chain is whole. */
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Journal, openJournal } from "../../agent/apply/journal.ts";
import { readChain } from "../../agent/apply/journal-chain.ts";
import { frozen, unfinishedReturn } from "../../agent/apply/journal-history.ts";
import { differencesOf, revisionDifferences } from "../../agent/apply/revision-diff.ts";
import type { RevisionState } from "../../agent/apply/revision-state.ts";
import { journalCommand } from "../../agent/commands/journal.ts";

let home: string;
let path: string;
let day = 1;
const now = () => new Date(Date.UTC(2026, 0, day));
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "firekeeper-journal-"));
  path = join(home, "journal.jsonl");
  day = 1;
});
afterEach(() => rm(home, { recursive: true, force: true }));

const stateWith = (members: number): RevisionState =>
  new Map(Array.from({ length: members }, (_, at) => [JSON.stringify(["member", "Sales", `user${at}`]), ""]));

async function revision(
  journal: Journal,
  number: number,
  state: RevisionState,
  more: { by?: string; from?: string; confirm?: { ms: number; to: number } } = {},
): Promise<void> {
  const facts = { revision: number, by: "x", cause: "y", snapshot: "s", impact: "live" as const, changes: [], ...more };
  await journal.append(journal.intent(facts, state));
  await journal.append({ is: "applied", revision: number, done: [], tookMs: 7 });
  await journal.append({ is: "proven", revision: number, tookMs: 9 });
}

async function run(...words: string[]): Promise<string> {
  const printed: string[] = [];
  const parts = {
    ask: () => Promise.reject(new Error("no agent")),
    print: (text: string) => printed.push(text),
    exitCode() {},
  };
  await journalCommand(parts, () => home).parseAsync(words, { from: "user" });
  return printed.join("\n");
}

test("a confirmation is awaited from the verify on, from the intent after a crash, and not once it is settled", async () => {
  const journal = await openJournal(home, { now });
  await revision(journal, 1, stateWith(1));
  expect(journal.confirmation).toBeUndefined();
  await revision(journal, 2, stateWith(2), { confirm: { ms: 1000, to: 1 } });
  expect(journal.confirmation).toMatchObject({ revision: 2, to: 1, until: now().getTime() + 1000 });
  await journal.append({ is: "awaits", revision: 2, until: "2026-02-01T00:00:00.000Z" });
  expect(journal.confirmation?.until).toBe(Date.UTC(2026, 1, 1));
  await journal.append({ is: "confirmed", revision: 2, by: "x" });
  expect(journal.confirmation).toBeUndefined();
  await revision(journal, 3, stateWith(3), { confirm: { ms: 1000, to: 2 } });
  await journal.append({ is: "expired", revision: 3, to: 2, why: "nobody" });
  expect(journal.confirmation).toBeUndefined();
  expect(unfinishedReturn(journal.entries)).toMatchObject({ to: 2 });
  await journal.append({ is: "held", why: "w", snapshot: "s", by: "agent" });
  expect(unfinishedReturn(journal.entries)).toBeUndefined();
  expect(journal.history().map((one) => one.confirmation)).toEqual(["expired", "confirmed", undefined]);
  await journal.close();
});

test("a freeze stands until it is ended", async () => {
  const journal = await openJournal(home, { now });
  await journal.append({ is: "frozen", by: "x", until: null, reason: "r" });
  expect(frozen(journal.entries)).toMatchObject({ by: "x", reason: "r" });
  await journal.append({ is: "unfrozen", why: "asked for", by: "x" });
  expect(frozen(journal.entries)).toBeUndefined();
  await journal.close();
});

test("history is filtered by time and name, and tells where and how long", async () => {
  const journal = await openJournal(home, { now });
  for (day = 1; day <= 4; day++)
    await revision(journal, day, stateWith(day), { by: day % 2 ? "Alice@localhost" : "agent", from: "console" });
  expect(journal.history(10, { since: Date.UTC(2026, 0, 3) }).map((one) => one.revision)).toEqual([4, 3]);
  expect(journal.history(10, { by: "alice" }).map((one) => one.revision)).toEqual([3, 1]);
  expect(journal.history(1)[0]).toMatchObject({ from: "console", applyMs: 7, verifyMs: 9 });
  await journal.close();
});

test("a journal of the first release, without the new fields, is read", async () => {
  const journal = await openJournal(home, { now });
  const facts = { revision: 1, by: "x", cause: "y", snapshot: "s", impact: "live" as const, changes: [] };
  await journal.append(journal.intent(facts, stateWith(1)));
  await journal.append({ is: "applied", revision: 1, done: [] });
  await journal.append({ is: "proven", revision: 1 });
  await journal.close();
  expect(await readFile(path, "utf8")).not.toMatch(/tookMs|"from":"|confirm/);
  const opened = await openJournal(home);
  expect(opened.history()).toMatchObject([{ revision: 1, result: "proven" }]);
  await opened.close();
});

test("two revisions' differences: settings, groups, members, rights, accounts", () => {
  const key = (...parts: string[]) => JSON.stringify(parts);
  const group = JSON.stringify({ displayName: "Sales", showInRoster: "onlyGroup", groupList: [] });
  const before: RevisionState = new Map([
    [key("setting", "domain"), "a.example"],
    [key("setting", "property:a"), "1"],
    [key("setting", "property:b"), "1"],
    [key("group", "Sales"), group],
    [key("member", "Sales", "alice"), ""],
    [key("supervisor", "alice"), ""],
    [key("account", "alice"), JSON.stringify({ enabled: true })],
  ]);
  const after: RevisionState = new Map([
    [key("setting", "domain"), "a.example"],
    [key("setting", "property:a"), "2"],
    [key("setting", "property:c"), "1"],
    [key("group", "Sales"), group],
    [key("member", "Sales", "bob"), ""],
    [key("account", "alice"), JSON.stringify({ enabled: false, email: "a@b" })],
  ]);
  expect(differencesOf(before, after)).toEqual([
    { subject: "account alice", from: "enabled", to: "disabled, a@b" },
    { subject: "property a", from: "1", to: "2" },
    { subject: "property b", from: "1", to: null },
    { subject: "property c", from: null, to: "1" },
    { subject: "supervisor alice", from: "yes", to: null },
    { subject: "members of Sales", from: "alice", to: "bob" },
  ]);
  expect(differencesOf(after, after)).toEqual([]);
});

test("retention drops whole old applies, keeps what is in force, and the chain stays provable", async () => {
  const journal = await openJournal(home, { now });
  for (day = 1; day <= 60; day++) await revision(journal, day, stateWith(day));
  const cut = new Date(Date.UTC(2026, 0, 41));
  expect(await journal.compact(cut, 10 ** 9)).toBe(0);
  expect(await journal.compact(cut, 1)).toBe(120);
  expect(journal.revision).toBe(60);
  expect(journal.history().at(-1)?.revision).toBe(41);
  for (const number of [40, 41, 55, 60]) expect(journal.state(number)?.size, `revision ${number}`).toBe(number);
  expect(journal.state(39)).toBeUndefined();
  await revision(journal, 61, stateWith(61));
  const { head } = journal;
  await journal.close();

  const opened = await openJournal(home, { now });
  expect([opened.head, opened.state(60)?.size, opened.state(61)?.size]).toEqual([head, 60, 61]);
  expect(opened.entries[0]).toMatchObject({ n: 121, is: "intent", revision: 41 });
  expect(revisionDifferences(opened, 60, 61).differences).toEqual([]);
  await opened.close();
  expect(await run("verify")).toContain(`head ${head}`);

  // Without the checkpoint that names them, lines that are missing in front are somebody's work.
  const lines = (await readFile(path, "utf8")).split("\n");
  const without = lines.slice(
    0,
    lines.findIndex((line) => line.includes('"checkpoint"')),
  );
  await writeFile(path, `${without.join("\n")}\n`);
  await expect(openJournal(home)).rejects.toMatchObject({ code: "journal/broken", fields: { line: 1 } });
  await writeFile(path, lines.slice(3).join("\n"));
  await expect(openJournal(home)).rejects.toMatchObject({ code: "journal/broken" });
});

test("retention keeps a hold, a freeze and the revision to return to, however old", async () => {
  const journal = await openJournal(home, { now });
  for (let number = 1; number <= 30; number++) await revision(journal, number, stateWith(number));
  await journal.append({ is: "frozen", by: "x", until: null, reason: null });
  for (let number = 31; number <= 40; number++) await revision(journal, number, stateWith(number));
  day = 100;
  expect(await journal.compact(now(), 1)).toBe(87);
  expect(frozen(journal.entries)).toBeDefined();
  await journal.append({ is: "unfrozen", why: "w", by: "x" });
  day = 200;
  expect(await journal.compact(now(), 1)).toBeGreaterThan(0);
  expect([journal.former, journal.state(39)?.size]).toEqual([39, 39]);
  await journal.close();
});

test("an export is checked by itself, and a line changed in it is named", async () => {
  const journal = await openJournal(home, { now });
  for (day = 1; day <= 3; day++) await revision(journal, day, stateWith(day));
  await journal.close();
  await appendFile(path, '{"cut');
  const whole = await run("export");
  expect(whole.split("\n")).toHaveLength(9);
  const since = await run("export", "--since", "2026-01-03");
  expect(since.split("\n")).toHaveLength(3);
  const file = join(home, "export.jsonl");
  await writeFile(file, `${since}\n`);
  const { head } = readChain(file, await readFile(file), { part: true });
  expect(JSON.parse(await run("verify", file, "--json"))).toMatchObject({ lines: 3, first: 7, last: 9, head, torn: 0 });
  expect(await run("verify", file)).toMatch(/^3 lines, whole, from line 7, after [0-9a-f]{64}, to line 9/);
  expect(await run("verify")).toMatch(/^9 lines, whole, from the very first.*\nA crash has cut a last line of 5 bytes/);
  await writeFile(file, `${since.replace('"by":"x"', '"by":"z"')}\n`);
  await expect(run("verify", file)).rejects.toMatchObject({ code: "journal/broken", fields: { line: 1 } });
  await expect(run("verify", join(home, "none"))).rejects.toMatchObject({ code: "journal/unreadable" });
});
