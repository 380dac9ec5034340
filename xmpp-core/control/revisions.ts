/** Which revision is in force, which one is proven, and the whole content of the proven one. docs/architecture.md "A setting's way". */
import { z } from "zod";
import { read, type Write, write } from "../storage/statement.ts";
import type { Storage } from "../storage/storage.ts";
import { group } from "./contract.ts";

/** Settings, roles and teams of the host: what a boot on the proven revision returns to. Never accounts or keys. */
export const revisionContent = z.object({
  settings: z.record(z.string(), z.string()),
  groups: z.array(group),
  supervisors: z.array(z.string()),
});
export type RevisionContent = z.infer<typeof revisionContent>;

/** What the column `proven` says. A revision that was left after two failed boots is named until the next one is applied. */
const standing = { unproven: 0, proven: 1, left: 2 } as const;

export interface Revisions {
  readonly current: number;
  readonly proven: number;
  /** The revision whose boots failed, if this one was booted in its place. */
  readonly fellBackFrom: number | undefined;
  /** Row of a new revision; `content` is what has been in force until now. `enter` when it is on disk. */
  begin(next: { number: number; by: string; at: number; content: () => RevisionContent }): {
    readonly writes: readonly Write[];
    readonly enter: () => void;
  };
  prove(number: number): Promise<void>;
  /** The content of the proven revision, if it is not the one in force. */
  provenContent(): Promise<RevisionContent | undefined>;
  /** Makes the proven revision the one in force. */
  fallBack(): { readonly writes: readonly Write[]; readonly enter: () => void };
}

const allRevisions = read<[], { number: number; proven: number }>(
  "SELECT number, proven FROM revision ORDER BY number",
);
const contentOf = read<[number], { content: string }>("SELECT content FROM revision WHERE number = ?");
const putRevision = write<[number: number, at: number, by: string, proven: number, content: string]>(
  "INSERT OR REPLACE INTO revision (number, at, by_whom, proven, content) VALUES (?, ?, ?, ?, ?)",
);
const keepContent = write<[content: string, number: number]>("UPDATE revision SET content = ? WHERE number = ?");
const setStanding = write<[proven: number, number: number]>("UPDATE revision SET proven = ? WHERE number = ?");
const dropOthers = write<[number, number]>("DELETE FROM revision WHERE number NOT IN (?, ?)");

export async function openRevisions(storage: Storage, now: number): Promise<Revisions> {
  const rows = await storage.read(allRevisions);
  // An empty home is revision 0, and there is nothing to prove about it.
  if (rows.length === 0) await storage.write([putRevision.with(0, now, "first start", standing.proven, "")]);
  let fellBackFrom = rows.find((row) => row.proven === standing.left)?.number;
  let current = rows.filter((row) => row.proven !== standing.left).at(-1)?.number ?? 0;
  let proven = rows.filter((row) => row.proven === standing.proven).at(-1)?.number ?? current;

  return {
    get current() {
      return current;
    },
    get proven() {
      return proven;
    },
    get fellBackFrom() {
      return fellBackFrom;
    },
    begin({ number, by, at, content }) {
      // The newest revision is what the tables hold; a proven one is written down when another takes its place.
      const keep = current === proven ? [keepContent.with(JSON.stringify(content()), current)] : [];
      return {
        writes: [...keep, putRevision.with(number, at, by, standing.unproven, ""), dropOthers.with(number, proven)],
        enter() {
          current = number;
          fellBackFrom = undefined;
        },
      };
    },
    async prove(number) {
      await storage.write([setStanding.with(standing.proven, number), dropOthers.with(number, number)]);
      proven = number;
      fellBackFrom = undefined;
    },
    async provenContent() {
      if (proven === current) return undefined;
      const text = (await storage.read(contentOf, proven))[0]?.content ?? "";
      return text === "" ? undefined : revisionContent.parse(JSON.parse(text));
    },
    fallBack() {
      const left = current;
      return {
        writes: [setStanding.with(standing.left, left)],
        enter() {
          fellBackFrom = left;
          current = proven;
        },
      };
    },
  };
}
