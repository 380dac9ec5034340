/** The host store, and what the agent makes of it. */
import { stat } from "node:fs/promises";
import { isStoreUrl } from "../store/place.ts";
import type { Facts } from "./facts.ts";
import { type Verdict, verdict } from "./verdict.ts";

export async function checkStore(facts: Facts): Promise<Verdict[]> {
  const { store, place, status } = facts;
  // A URL may hold a password.
  const of = isStoreUrl(place.store) ? place.store.replace(/\/\/[^/@]*@/, "//") : place.store;
  const verdicts: Verdict[] = [];
  if ("unreadable" in store) {
    const fix = "correct it as said; until then the last good state stays in force";
    verdicts.push(verdict("store.readable", "fail", of, store.unreadable, fix));
  } else {
    const counts = `${store.settings.length} settings, ${store.roles.length} roles, ${store.users.length} users`;
    verdicts.push(verdict("store.readable", "ok", of, `${counts}${await lastChange(place.store)}.`));
    verdicts.push(
      store.writable
        ? verdict("store.writable", "ok", of, "Edits go back to it.")
        : verdict("store.writable", "skipped", of, "Read only: edits and changed passwords do not go back to it."),
    );
    for (const { message, hint } of store.notices) verdicts.push(verdict("store.notices", "warn", of, message, hint));
  }
  verdicts.push(...(await permissions(place.store)));
  if (status !== undefined) {
    const waits = status.pending.length;
    const why = [
      ...status.why,
      ...(status.held ? [`Held: ${status.held}`] : []),
      ...(status.frozen ? [`Frozen by ${status.frozen.by}.`] : []),
    ];
    verdicts.push(
      waits === 0 && why.length === 0
        ? verdict("store.changes", "ok", of, "The server is in step with it.")
        : verdict(
            "store.changes",
            "warn",
            of,
            [`${waits} changes wait.`, ...why].join(" "),
            "firekeeper plan; then firekeeper apply",
          ),
    );
    for (const { key, rule, hint } of status.rejected)
      verdicts.push(verdict("store.changes", "fail", key, `Rejected: it must be ${rule}.`, hint || "firekeeper plan"));
  }
  return verdicts;
}

async function lastChange(at: string): Promise<string> {
  const found = isStoreUrl(at) ? undefined : await stat(at).catch(() => undefined);
  return found ? `, changed ${found.mtime.toISOString()}` : "";
}

async function permissions(at: string): Promise<Verdict[]> {
  if (isStoreUrl(at)) {
    const found = "What its account may do is for the database or the host to say: docs/stores.";
    return [verdict("store.permissions", "skipped", "store", found)];
  }
  const found = await stat(at).catch(() => undefined);
  if (found === undefined) return [];
  const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
  if ((found.mode & 0o002) !== 0)
    return [
      verdict("store.permissions", "fail", at, `Its mode is ${mode}: everybody may write it.`, `chmod o-rwx ${at}`),
    ];
  if ((found.mode & 0o004) !== 0)
    return [
      verdict(
        "store.permissions",
        "warn",
        at,
        `Its mode is ${mode}: everybody may read keys of passwords.`,
        `chmod o-rwx ${at}`,
      ),
    ];
  return [verdict("store.permissions", "ok", at, `Its mode is ${mode}.`)];
}
