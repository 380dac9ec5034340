/**
 * How each step of an apply is taken back: one line a step in `<home>/secrets/openfire-undo.jsonl`, on disk before the
 * step is done, gone when the apply is. It may hold former values of secret properties, so it is not in the journal.
 */
import { mkdir, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { errno } from "../../errors.ts";
import { inParallel, readGroup, readUser, userShape } from "./look.ts";
import { readMark, withMark } from "./mark.ts";
import { type Rest, segment } from "./rest.ts";

const group = z.object({
  name: z.string(),
  description: z.string(),
  admins: z.array(z.string()),
  members: z.array(z.string()),
  shared: z.boolean(),
});

const undo = z.discriminatedUnion("of", [
  /** `was` null: nothing was stored. `beneath` are the properties below it, which a deletion takes along. */
  z.object({
    of: z.literal("property"),
    key: z.string(),
    was: z.string().nullable(),
    beneath: z.record(z.string(), z.string()),
  }),
  /** `was` null: there was no such user. `on` is set where the step locks or unlocks. */
  z.object({ of: z.literal("user"), name: z.string(), was: userShape.nullable(), on: z.boolean().optional() }),
  z.object({ of: z.literal("group"), name: z.string(), was: group.nullable() }),
  z.object({ of: z.literal("members"), group: z.string(), add: z.array(z.string()), remove: z.array(z.string()) }),
]);
export type Undo = z.infer<typeof undo>;

const line = z.object({ revision: z.number(), undo });

export interface UndoLog {
  /** On disk when it resolves. */
  append(revision: number, undo: Undo): Promise<void>;
  /** In the order in which they were written. A line that a crash cut belongs to a step that was not begun. */
  read(): Promise<{ revision: number; undo: Undo }[]>;
  clear(): Promise<void>;
}

export function undoLog(home: string): UndoLog {
  const path = join(home, "secrets", "openfire-undo.jsonl");
  return {
    async append(revision, one) {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const file = await open(path, "a", 0o600);
      try {
        await file.appendFile(`${JSON.stringify({ revision, undo: one })}\n`);
        await file.datasync();
      } finally {
        await file.close();
      }
    },
    async read() {
      const text = await readFile(path, "utf8").catch((error: unknown) => {
        if (errno(error) === "ENOENT") return "";
        throw error;
      });
      const whole = text.slice(0, text.lastIndexOf("\n") + 1);
      return whole
        .split("\n")
        .filter(Boolean)
        .map((one) => line.parse(JSON.parse(one)));
    },
    clear: () => rm(path, { force: true }),
  };
}

/** Takes one step back; doing it twice is doing it once. */
export async function takeBack(rest: Rest, one: Undo, now: () => Date): Promise<void> {
  switch (one.of) {
    case "property":
      return restoreProperty(rest, one);
    case "user":
      return one.was === null ? withoutUser(rest, one.name, now) : restoreUser(rest, one.was, one.on);
    case "group":
      if (one.was === null) await rest.send("DELETE", `/groups/${segment(one.name)}`, undefined, [404]);
      else await restoreGroup(rest, one.was);
      return;
    case "members":
      await moveMembers(rest, one.group, one.add, one.remove);
  }
}

async function restoreProperty(rest: Rest, { key, was, beneath }: Extract<Undo, { of: "property" }>): Promise<void> {
  if (was === null) await rest.send("DELETE", `/system/properties/${segment(key)}`, undefined, [404]);
  else await rest.send("POST", "/system/properties", { key, value: was });
  for (const [below, value] of Object.entries(beneath))
    await rest.send("POST", "/system/properties", { key: below, value });
}

/** A user that this apply made goes again, unless somebody has begun to use it: then it is locked and set aside. */
async function withoutUser(rest: Rest, name: string, now: () => Date): Promise<void> {
  const user = await readUser(rest, name);
  if (!user) return;
  const roster = await rest.find(
    `/users/${segment(name)}/roster`,
    z.object({ rosterItem: z.array(z.unknown()).nullish() }),
  );
  if ((roster?.rosterItem?.length ?? 0) === 0) {
    await rest.send("DELETE", `/lockouts/${segment(name)}`, undefined, [404]);
    await rest.send("DELETE", `/users/${segment(name)}`, undefined, [404]);
    return;
  }
  await setLock(rest, name, false);
  const mark = { ...readMark(user), on: false, until: now().toISOString() };
  await rest.send("PUT", `/users/${segment(name)}`, { properties: withMark(user, mark) });
}

async function restoreUser(rest: Rest, was: z.infer<typeof userShape>, on: boolean | undefined): Promise<void> {
  const { username, name, email, properties } = was;
  await rest.send("PUT", `/users/${segment(username)}`, {
    name: name ?? "",
    email: email ?? "",
    properties: properties ?? [],
  });
  if (on !== undefined) await setLock(rest, username, on);
}

async function restoreGroup(rest: Rest, was: z.infer<typeof group>): Promise<void> {
  const there = await readGroup(rest, was.name);
  if (there) await rest.send("PUT", `/groups/${segment(was.name)}`, was);
  else await rest.send("POST", "/groups", was);
}

/** Locking ends the sessions; Openfire does not tell whether an account is locked, so the state is set, not compared. */
export async function setLock(rest: Rest, name: string, on: boolean): Promise<void> {
  await rest.send(on ? "DELETE" : "POST", `/lockouts/${segment(name)}`);
}

/** One by one: the calls that take a whole list of members replace it. */
export async function moveMembers(
  rest: Rest,
  name: string,
  add: readonly string[],
  remove: readonly string[],
): Promise<void> {
  const path = (member: string) => `/users/${segment(member)}/groups/${segment(name)}`;
  await inParallel(remove, (member) => rest.send("DELETE", path(member), undefined, [404]));
  await inParallel(add, (member) => rest.send("POST", path(member)));
}
