/** The journal on disk: cut anywhere it repairs itself, changed anywhere it says so, and every revision comes back. */
import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Journal, openJournal } from "../../agent/apply/journal.ts";
import { advanced, contentOf, difference, type RevisionState, withDelta } from "../../agent/apply/revision-state.ts";

let home: string;
let path: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "firekeeper-journal-"));
  path = join(home, "journal.jsonl");
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function write(journal: Journal, revision: number, state: RevisionState): Promise<void> {
  const facts = { revision, by: "x", cause: "y", snapshot: "s", impact: "live" as const, changes: [] };
  await journal.append(journal.intent(facts, state));
  await journal.append({ is: "applied", revision, done: [] });
  await journal.append({ is: "proven", revision });
}

test("cut at any byte, it keeps the whole lines before and goes on", async () => {
  const journal = await openJournal(home);
  await journal.append({ is: "resumed", why: "ü", by: "x" });
  await journal.append({ is: "resumed", why: "ü", by: "x" });
  await journal.close();
  const whole = await readFile(path);
  const ends = [...whole.keys()].filter((at) => whole[at] === 0x0a).map((at) => at + 1);
  expect(ends).toHaveLength(2);
  for (let length = 0; length <= whole.length; length++) {
    await writeFile(path, whole.subarray(0, length));
    const opened = await openJournal(home);
    const kept = ends.filter((end) => end <= length).length;
    const torn = length - (ends[kept - 1] ?? 0);
    expect(opened.entries.length, `cut at ${length}`).toBe(kept + (torn > 0 ? 1 : 0));
    if (torn > 0) expect(opened.entries.at(-1)).toMatchObject({ is: "repaired", bytes: torn });
    await opened.close();
    const again = await openJournal(home);
    expect(again.entries.length).toBe(opened.entries.length);
    await again.close();
  }
});

test("blocks of zeros that a power cut left behind are taken off", async () => {
  const journal = await openJournal(home);
  await write(journal, 1, new Map());
  await journal.close();
  await appendFile(path, Buffer.alloc(512));
  const opened = await openJournal(home);
  expect(opened.entries).toHaveLength(4);
  await opened.close();
});

test("a line that was changed, taken out or moved is found", async () => {
  const journal = await openJournal(home);
  await write(journal, 1, new Map());
  await journal.close();
  const lines = (await readFile(path, "utf8")).split("\n");
  const attempts = [
    [lines[0]?.replace('"by":"x"', '"by":"z"'), ...lines.slice(1)],
    [lines[0], ...lines.slice(2)],
    [lines[1], lines[0], ...lines.slice(2)],
    ["{}", ...lines],
  ];
  for (const attempt of attempts) {
    await writeFile(path, attempt.join("\n"));
    await expect(openJournal(home)).rejects.toMatchObject({ code: "journal/broken" });
  }
});

test("a shortened journal has another head", async () => {
  const journal = await openJournal(home);
  await write(journal, 1, new Map());
  const { head } = journal;
  await journal.close();
  const bytes = await readFile(path);
  await truncate(path, bytes.lastIndexOf(0x0a, bytes.length - 2) + 1);
  const opened = await openJournal(home);
  expect(opened.head).not.toBe(head);
  await opened.close();
});

test("every revision comes back, through differences and the full copies between them", async () => {
  const journal = await openJournal(home);
  const states: RevisionState[] = [];
  for (let revision = 1; revision <= 120; revision++) {
    const state = new Map(states.at(-1) ?? []);
    state.set(JSON.stringify(["member", "Sales", `user${revision}`]), "");
    if (revision % 7 === 0) state.delete(JSON.stringify(["member", "Sales", `user${revision - 3}`]));
    states.push(state);
    await write(journal, revision, state);
  }
  await journal.close();
  const opened = await openJournal(home);
  for (const [at, state] of states.entries()) expect(opened.state(at + 1)).toEqual(state);
  expect(opened.state(121)).toBeUndefined();
  expect(opened.history(2).map((one) => one.revision)).toEqual([120, 119]);
  await opened.close();
  const text = await readFile(path, "utf8");
  const full = text.split("\n").filter((line) => line.includes('"full"'));
  expect(full).toHaveLength(3);
});

test("a revision that was undone has no state and its number does not come again", async () => {
  const journal = await openJournal(home);
  await write(journal, 1, new Map([["a", "1"]]));
  const facts = { revision: 2, by: "x", cause: "y", snapshot: "s", impact: "live" as const, changes: [] };
  await journal.append(journal.intent(facts, new Map([["a", "2"]])));
  expect(journal.unsettled?.revision).toBe(2);
  await journal.append({ is: "undone", revision: 2, why: "z" });
  expect(journal.unsettled).toBeUndefined();
  expect(journal.state(2)).toBeUndefined();
  expect([journal.revision, journal.highest, journal.former]).toEqual([1, 2, undefined]);
  await journal.close();
});

test("a full disk leaves the journal as it was, and the step before which it was written is not taken", async () => {
  const journal = await openJournal(home);
  await write(journal, 1, new Map());
  const before = await readFile(path);
  const { open } = await import("node:fs/promises");
  const probe = await open("/dev/null");
  const prototype = Object.getPrototypeOf(probe) as { appendFile(data: Buffer): Promise<void> };
  await probe.close();
  const { appendFile: real } = prototype;
  prototype.appendFile = async function (data) {
    await real.call(this, data.subarray(0, 20));
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  };
  try {
    await expect(journal.append({ is: "resumed", why: "x", by: "y" })).rejects.toMatchObject({
      code: "journal/not-written",
    });
  } finally {
    prototype.appendFile = real;
  }
  expect(await readFile(path)).toEqual(before);
  await journal.append({ is: "resumed", why: "x", by: "y" });
  await journal.close();
  await (await openJournal(home)).close();
});

test("difference and withDelta are each other's inverse, also for names that are objects' own", () => {
  const name = fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor"));
  const states = fc
    .array(fc.tuple(name, fc.string()))
    .map((all) => new Map(all.map(([key, text]) => [JSON.stringify(["setting", `property:${key}`]), text])));
  fc.assert(
    fc.property(states, states, (from, to) => {
      const delta = JSON.parse(JSON.stringify(difference(from, to)));
      expect(new Map([...withDelta(from, delta)].sort())).toEqual(new Map([...to].sort()));
    }),
  );
});

test("a rename takes memberships and rights along", () => {
  const before: RevisionState = new Map([
    [
      JSON.stringify(["group", "Sales"]),
      JSON.stringify({ displayName: "Sales", showInRoster: "onlyGroup", groupList: [] }),
    ],
    [JSON.stringify(["member", "Sales", "alice"]), ""],
    [JSON.stringify(["supervisor", "alice"]), ""],
    [JSON.stringify(["account", "alice"]), JSON.stringify({ enabled: true })],
  ]);
  const after = advanced(before, [
    {
      subject: "account alicia",
      action: "rename",
      from: "alice",
      to: "alicia",
      impact: "live",
      source: "users: alicia",
      scope: "roster",
      steps: [
        {
          kind: "account-rename",
          from: "alice",
          account: { name: "alicia", enabled: true, credentials: { sha256: "k" } },
        },
      ],
      removes: [],
    },
  ]);
  const content = contentOf(after);
  expect(content.groups).toMatchObject([{ members: ["alicia"] }]);
  expect(content.supervisors).toEqual(["alicia"]);
  expect([...content.accounts]).toEqual([["alicia", { enabled: true }]]);
});
