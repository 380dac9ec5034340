/** What the first start after a restore under another domain has to do, once: the change of domain that the person asked for. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errno } from "../errors.ts";
import type { Cause, Outcome } from "../reconcile.ts";

const order = z.object({
  domain: z.string(),
  /** The former domain stays an alias as after any change; else it is let go at once. */
  keepAlias: z.boolean(),
});
export type RestoredOrder = z.infer<typeof order>;

/** Long enough to be an alias at all: the service that was backed up may still bear the name. */
const momentDays = 1 / 86_400;

const pathIn = (home: string) => join(home, "restored.json");

export async function leaveRestored(home: string, left: RestoredOrder): Promise<void> {
  await writeFile(pathIn(home), `${JSON.stringify(left)}\n`, { mode: 0o600 });
}

export interface Restored {
  /** For how long a former domain is served, while the order stands. */
  readonly aliasDays: number | undefined;
  /** Makes the change as if a person had said apply; the order is gone once it is in force. */
  finish(agent: { look(cause: Cause): Promise<Outcome> }): Promise<void>;
}

/** Reads the order that a restore left in this home; without one `finish` does nothing. */
export async function openRestored(home: string): Promise<Restored> {
  let left = await read(home);
  return {
    get aliasDays() {
      return left && !left.keepAlias ? momentDays : undefined;
    },
    async finish(agent) {
      if (!left) return;
      const outcome = await agent.look({ text: `restored as ${left.domain}`, by: "restore", person: true, now: true });
      if (outcome.is !== "applied" && outcome.is !== "in step") return;
      await rm(pathIn(home), { force: true });
      left = undefined;
    },
  };
}

async function read(home: string): Promise<RestoredOrder | undefined> {
  try {
    return order.parse(JSON.parse(await readFile(pathIn(home), "utf8")));
  } catch (error) {
    if (errno(error) === "ENOENT") return undefined;
    throw error;
  }
}
